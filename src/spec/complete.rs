//! From what users write to what everything downstream reads.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use windlass_bootstrap::config::{MASTER_TAINT, Role};
use windlass_bootstrap::tags::INSTANCE_GROUP;

use super::check::check;
use super::cluster::{
    AccessSource, Api, ApiName, Cluster, DnsZone, EtcdCluster, EtcdMember, InstanceGroup, Network,
    NetworkPlugin, Permissions, SshKey, Subnet, Volume,
};
use super::default::fill;
use super::problem::{Problem, Problems};
use super::v1alpha2::{self, InstanceGroupRole, Object};
use super::yaml::Documents;
use super::{subnets, support};

/// The port of the API.
const API_PORT: u16 = 443;

/// The complete specification of a cluster: what is not supported yet is refused, defaults are filled in, every rule
/// is checked. Fails with all problems; they have places in files only when [`Documents::complete`] is used.
pub fn complete(
    cluster: &v1alpha2::Cluster,
    groups: &[v1alpha2::InstanceGroup],
    credentials: &[v1alpha2::SshCredential],
) -> Result<Cluster, Problems> {
    let mut problems = support::check_cluster(cluster);
    for group in groups {
        problems.extend(support::check_instance_group(group).0);
    }
    let unsupported = problems.0.iter().map(|problem| (problem.object.clone(), problem.path.clone()));
    let unsupported: std::collections::HashSet<_> = unsupported.collect();
    let (cluster, groups) = fill(cluster, groups);
    let checked = check(&cluster, &groups, credentials);
    let news = |problem: &Problem| !unsupported.contains(&(problem.object.clone(), problem.path.clone()));
    problems.extend(checked.0.into_iter().filter(news));
    problems.or(())?;
    convert(&cluster, &groups, credentials).ok_or_else(|| {
        let message = "the specification passed every check, and still has a value that can't be read";
        Problems(vec![Problem::at("", message).hint("this is a mistake of windlass: please report it")])
    })
}

impl Documents {
    /// The one cluster of the documents, completed; problems say where they stand.
    pub fn complete(&self) -> Result<Cluster, Problems> {
        let cluster = match self.clusters.as_slice() {
            [cluster] => cluster,
            [] => return Err(Problems(vec![Problem::at("", "there is no Cluster among the documents")])),
            several => {
                let message = format!("there are {} Clusters among the documents", several.len());
                return Err(Problems(vec![Problem::at("", message).hint("name one at a time")]));
            }
        };
        complete(cluster, &self.instance_groups, &self.ssh_credentials)
            .map_err(|problems| self.locate(problems))
    }
}

/// `None` where a value can't be read, which the checks have ruled out.
fn convert(
    cluster: &v1alpha2::Cluster,
    groups: &[v1alpha2::InstanceGroup],
    credentials: &[v1alpha2::SshCredential],
) -> Option<Cluster> {
    let spec = &cluster.spec;
    let subnets: Vec<Subnet> = spec.subnets.as_ref()?.iter().map(subnet).collect::<Option<_>>()?;
    let mut instance_groups: Vec<InstanceGroup> =
        groups.iter().map(|group| instance_group(spec, group)).collect::<Option<_>>()?;
    instance_groups.sort_by(|one, other| one.name.cmp(&other.name));
    Some(Cluster {
        name: cluster.name().to_owned(),
        region: subnets::region(&subnets.first()?.zone)?.to_owned(),
        kubernetes_version: spec.kubernetes_version.clone()?,
        network: network(spec)?,
        subnets,
        api: api(cluster)?,
        ssh_access: sources(spec.ssh_access.as_ref()?)?,
        ssh_key: ssh_key(spec, credentials),
        container_registry: spec.iam.as_ref().and_then(|iam| iam.allow_container_registry).unwrap_or(false),
        masters_may: permissions(spec, &["control-plane", "master"])?,
        nodes_may: permissions(spec, &["node"])?,
        etcd: spec.etcd_clusters.as_ref()?.iter().map(etcd_cluster).collect::<Option<_>>()?,
        certificate_seconds: spec
            .kube_controller_manager
            .as_ref()
            .and_then(|manager| manager.experimental_cluster_signing_duration.as_ref())
            .and_then(|duration| super::check::seconds(&duration.0)),
        plugin: plugin(spec.networking.as_ref()?)?,
        cloud_labels: spec.cloud_labels.clone().unwrap_or_default(),
        instance_groups,
    })
}

/// What the specification allows a role, which may be written under several names.
fn permissions(spec: &v1alpha2::ClusterSpec, names: &[&str]) -> Option<Permissions> {
    let mut permissions = Permissions::default();
    for name in names {
        let attached = spec.external_policies.as_ref().and_then(|policies| policies.get(*name));
        permissions.attached.extend(attached.into_iter().flatten().cloned());
        let statements = spec.additional_policies.as_ref().and_then(|policies| policies.get(*name));
        if let Some(text) = statements {
            permissions.statements.extend(super::check::statements(text).ok()?);
        }
    }
    Some(permissions)
}

fn sources(texts: &[String]) -> Option<Vec<AccessSource>> {
    texts.iter().map(|text| super::check::access(text).ok()).collect()
}

fn network(spec: &v1alpha2::ClusterSpec) -> Option<Network> {
    /// Cluster DNS's place in the service range.
    const DNS: u32 = 10;
    let service_cidr = spec.service_cluster_ip_range.as_ref()?.parse().ok()?;
    Some(Network {
        cidr: spec.network_cidr.as_ref()?.parse().ok()?,
        non_masquerade_cidr: spec.non_masquerade_cidr.as_ref()?.parse().ok()?,
        pod_cidr: spec.pod_cidr.as_ref()?.parse().ok()?,
        service_cidr,
        dns_address: subnets::nth(service_cidr, DNS)?,
        dns_domain: spec.cluster_dns_domain.clone()?,
    })
}

fn subnet(subnet: &v1alpha2::SubnetSpec) -> Option<Subnet> {
    Some(Subnet {
        name: subnet.name.clone()?,
        zone: subnet.zone.clone()?,
        cidr: subnet.cidr.as_ref()?.parse().ok()?,
    })
}

fn api(cluster: &v1alpha2::Cluster) -> Option<Api> {
    let spec = &cluster.spec;
    let api = spec.api.as_ref()?;
    let zone = || spec.dns_zone.as_deref().map_or(DnsZone::Nearest, DnsZone::read);
    let name = || ApiName { name: api_name(cluster), zone: zone() };
    let names = spec.additional_sans.iter().flatten().chain(&spec.master_public_name);
    Some(Api {
        access: sources(spec.kubernetes_api_access.as_ref()?)?,
        elastic_ip: api.elastic_ip.is_some() || api.dns.is_some(),
        dns: api.dns.as_ref().map(|_| name()),
        public_name: spec.master_public_name.clone(),
        additional_sans: names.cloned().collect(),
        port: API_PORT,
    })
}

/// The name of the API in a hosted zone. The agent's certificates have the one that is there by default anyway.
pub(super) fn api_name(cluster: &v1alpha2::Cluster) -> String {
    let public = cluster.spec.master_public_name.clone();
    public.unwrap_or_else(|| super::default::api_name(cluster.name()))
}

/// A key pair that exists goes first, as in kops; an empty name asks for no key at all.
fn ssh_key(spec: &v1alpha2::ClusterSpec, credentials: &[v1alpha2::SshCredential]) -> SshKey {
    match (spec.ssh_key_name.as_deref(), credentials.first()) {
        (Some(name), _) if !name.is_empty() => SshKey::Existing(name.to_owned()),
        (None, Some(credential)) => {
            let key = credential.spec.public_key.as_deref().unwrap_or_default();
            SshKey::Import(key.trim().to_owned())
        }
        _ => SshKey::None,
    }
}

fn etcd_cluster(cluster: &v1alpha2::EtcdClusterSpec) -> Option<EtcdCluster> {
    let member = |member: &v1alpha2::EtcdMemberSpec| {
        let private_address: Ipv4Addr = member.private_address.as_ref()?.parse().ok()?;
        Some(EtcdMember {
            name: member.name.clone()?,
            instance_group: member.instance_group.clone()?,
            private_address,
            volume: Volume {
                size: member.volume_size?,
                kind: member.volume_type.clone()?,
                iops: member.volume_iops,
                throughput: member.volume_throughput,
                encrypted: member.encrypted_volume?,
                kms_key: member.kms_key_id.clone(),
            },
        })
    };
    Some(EtcdCluster {
        name: cluster.name.clone()?,
        version: cluster.version.clone()?,
        members: cluster.etcd_members.as_ref()?.iter().map(member).collect::<Option<_>>()?,
    })
}

fn plugin(networking: &v1alpha2::NetworkingSpec) -> Option<NetworkPlugin> {
    match (&networking.flannel, &networking.cni) {
        (Some(_), None) => Some(NetworkPlugin::Flannel),
        (None, Some(_)) => Some(NetworkPlugin::External),
        _ => None,
    }
}

fn instance_group(cluster: &v1alpha2::ClusterSpec, group: &v1alpha2::InstanceGroup) -> Option<InstanceGroup> {
    let spec = &group.spec;
    let role = role(spec.role?)?;
    let default_taint = role == Role::ControlPlane && spec.taints.is_none();
    let default = || if default_taint { vec![MASTER_TAINT.to_owned()] } else { Vec::new() };
    Some(InstanceGroup {
        name: group.name().to_owned(),
        role,
        min_size: spec.min_size?,
        max_size: spec.max_size?,
        machine_type: spec.machine_type.clone()?,
        image: spec.image.clone()?,
        subnets: spec.subnets.clone()?,
        root_volume: Volume {
            size: spec.root_volume_size?,
            kind: spec.root_volume_type.clone()?,
            iops: spec.root_volume_iops,
            throughput: spec.root_volume_throughput,
            encrypted: spec.root_volume_encryption?,
            kms_key: spec.root_volume_encryption_key.clone(),
        },
        associate_public_ip: spec.associate_public_ip?,
        metadata_hop_limit: spec.instance_metadata.as_ref()?.http_put_response_hop_limit?,
        node_labels: node_labels(group),
        taints: spec.taints.clone().unwrap_or_else(default),
        default_taint,
        cloud_labels: spec.cloud_labels.clone().unwrap_or_default(),
        max_pods: max_pods(cluster, group),
    })
}

/// The group's own word goes before the cluster's.
fn max_pods(cluster: &v1alpha2::ClusterSpec, group: &v1alpha2::InstanceGroup) -> Option<u32> {
    let kubelets = [&group.spec.kubelet, &cluster.kubelet];
    kubelets.into_iter().find_map(|kubelet| kubelet.as_ref()?.max_pods)
}

fn role(role: InstanceGroupRole) -> Option<Role> {
    match role {
        InstanceGroupRole::Master => Some(Role::ControlPlane),
        InstanceGroupRole::Node => Some(Role::Node),
        InstanceGroupRole::Bastion | InstanceGroupRole::ApiServer => None,
    }
}

/// The labels as written, and the group's name in windlass's own label. kops's label for it is one that a kubelet may
/// not set: the master's agent gives it to every Node.
fn node_labels(group: &v1alpha2::InstanceGroup) -> BTreeMap<String, String> {
    let mut labels = group.spec.node_labels.clone().unwrap_or_default();
    labels.remove(super::check::GROUP_LABEL);
    labels.insert(INSTANCE_GROUP.to_owned(), group.name().to_owned());
    labels
}
