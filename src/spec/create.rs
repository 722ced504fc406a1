//! `create cluster`: from flags to a specification, as kops does it.
//!
//! The same flags make the same specification, except where windlass deliberately differs: see [`DIFFERENCES`]. What
//! windlass can't build yet is mapped all the same; completing the specification says what that is.

mod blame;
mod flags;
mod groups;
mod network;

use std::collections::BTreeMap;

use windlass_bootstrap::endpoint;

pub use self::blame::to_blame;
pub use self::groups::group_label;
use super::default;
use super::documents::Documents;
use super::problem::{Problem, Problems};
use super::set;
use super::v1alpha2::{
    AccessSpec, AlwaysAllowSpec, AuthorizationSpec, CLUSTER_LABEL, Cluster, ClusterSpec, DnsAccessSpec,
    DnsType, ElasticIpSpec, IamSpec, InstanceGroup, InstanceGroupRole, KarpenterSpec, KubeletSpec,
    LoadBalancerClass, LoadBalancerSpec, LoadBalancerType, RbacSpec, SSH_CREDENTIAL_NAME,
    ServiceAccountIssuerDiscoverySpec, SshCredential,
};
use super::versions;

/// Where the specification of new clusters differs from kops's, and why.
pub const DIFFERENCES: &[(&str, &str)] = &[
    (
        "spec.api",
        "`elasticIP: {}` for a single public master, where kops makes a load balancer; an internal load balancer with \
         `--dns private`, where kops publishes the masters' addresses",
    ),
    (
        "spec.etcdClusters",
        "`main` only unless asked: `events` in a cluster of its own helps very large clusters",
    ),
    ("spec.etcdClusters[].cpuRequest", "left out: 100m, where kops writes 200m"),
    ("spec.etcdClusters[].manager", "left out: the agent does etcd-manager's work"),
    ("spec.etcdClusters[].memoryRequest", "left out: 100Mi, as kops writes"),
    ("spec.configBase", "left out: the specification is in the state store, and nowhere else"),
    (
        "spec.image of groups",
        "left out unless asked: the newest of the account's own images follows the version",
    ),
    ("spec.networking", "`flannel` unless asked, until windlass installs cilium"),
];

/// What `create cluster` was asked for: kops's flags for AWS, with kops's names. A list that is empty was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// `--name`.
    pub name: String,
    /// `--channel`.
    pub channel: Option<String>,
    /// `--kubernetes-version`.
    pub kubernetes_version: Option<String>,
    /// `--kubernetes-feature-gates`: `Name`, `+Name` or `-Name`.
    pub kubernetes_feature_gates: Vec<String>,
    /// `--cloud-labels`.
    pub cloud_labels: BTreeMap<String, String>,
    /// `--zones`.
    pub zones: Vec<String>,
    /// `--network-cidr`: the VPC's ranges.
    pub network_cidr: Vec<String>,
    /// `--network-id`.
    pub network_id: Option<String>,
    /// The VPC of `--network-id` or of the subnets, looked up by the caller.
    pub existing_network: Option<ExistingNetwork>,
    /// `--subnets`, looked up by the caller.
    pub subnets: Vec<ExistingSubnet>,
    /// `--utility-subnets`, looked up by the caller.
    pub utility_subnets: Vec<ExistingSubnet>,
    /// `--topology`: `public` or `private`.
    pub topology: Option<String>,
    /// `--networking`.
    pub networking: Option<String>,
    /// `--ipv6`.
    pub ipv6: bool,
    /// `--associate-public-ip`.
    pub associate_public_ip: Option<bool>,
    /// `--disable-subnet-tags`.
    pub disable_subnet_tags: bool,
    /// `--dns`: `public`, `private` or `none`.
    pub dns: Option<String>,
    /// `--dns-zone`.
    pub dns_zone: Option<String>,
    /// `--api-loadbalancer-type`: `public` or `internal`.
    pub api_loadbalancer_type: Option<String>,
    /// `--api-public-name`.
    pub api_public_name: Option<String>,
    /// `--api-ssl-certificate`.
    pub api_ssl_certificate: Option<String>,
    /// `--admin-access`.
    pub admin_access: Vec<String>,
    /// `--ssh-access`.
    pub ssh_access: Vec<String>,
    /// The text of the file that `--ssh-public-key` names.
    pub ssh_public_key: Option<String>,
    /// `--bastion`.
    pub bastion: bool,
    /// `--bastion-image`.
    pub bastion_image: Option<String>,
    /// `--image`.
    pub image: Option<String>,
    /// `--instance-manager`: `cloudgroups` or `karpenter`.
    pub instance_manager: Option<String>,
    /// `--control-plane-zones`.
    pub control_plane_zones: Vec<String>,
    /// `--control-plane-count`.
    pub control_plane_count: Option<u32>,
    /// `--control-plane-size`: instance types.
    pub control_plane_size: Vec<String>,
    /// `--control-plane-image`.
    pub control_plane_image: Option<String>,
    /// `--control-plane-tenancy`.
    pub control_plane_tenancy: Option<String>,
    /// `--control-plane-volume-size`, in GiB.
    pub control_plane_volume_size: Option<u32>,
    /// `--control-plane-volume-type`.
    pub control_plane_volume_type: Option<String>,
    /// `--control-plane-security-groups`.
    pub control_plane_security_groups: Vec<String>,
    /// `--node-count`.
    pub node_count: Option<u32>,
    /// `--node-size`: instance types.
    pub node_size: Vec<String>,
    /// `--node-image`.
    pub node_image: Option<String>,
    /// `--node-tenancy`.
    pub node_tenancy: Option<String>,
    /// `--node-volume-size`, in GiB.
    pub node_volume_size: Option<u32>,
    /// `--node-volume-type`.
    pub node_volume_type: Option<String>,
    /// `--node-security-groups`.
    pub node_security_groups: Vec<String>,
    /// `--etcd-clusters`.
    pub etcd_clusters: Vec<String>,
    /// `--encrypt-etcd-storage`.
    pub encrypt_etcd_storage: Option<bool>,
    /// `--etcd-storage-type`.
    pub etcd_storage_type: Option<String>,
    /// `--authorization`: `RBAC` or `AlwaysAllow`.
    pub authorization: Option<String>,
    /// `--discovery-store`.
    pub discovery_store: Option<String>,
    /// `--set`.
    pub set: Vec<String>,
    /// `--unset`.
    pub unset: Vec<String>,
}

/// A subnet that exists already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingSubnet {
    /// `subnet-…`.
    pub id: String,
    /// The id of its VPC.
    pub vpc: String,
    /// The availability zone, such as `eu-west-1a`.
    pub zone: String,
    /// Its range.
    pub cidr: String,
}

/// A VPC that exists already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingNetwork {
    /// `vpc-…`.
    pub id: String,
    /// Its ranges, its first one first.
    pub ranges: Vec<String>,
}

/// The specification that flags ask for. Fails with every flag that can't be understood.
pub fn create(options: &CreateOptions) -> Result<Documents, Problems> {
    let options = &deduced(options);
    flags::check(options).or(())?;
    let mut cluster = Cluster::named(&options.name);
    let spec = &mut cluster.spec;
    identity(options, spec);
    network::network(options, spec);
    let masters = groups::masters(options);
    api(options, masters.len(), spec);
    spec.etcd_clusters = Some(groups::etcd_clusters(options, &masters));
    let groups = masters.into_iter().chain(groups::nodes(options)).chain(groups::bastions(options, spec));
    let instance_groups = groups.map(|group| groups::finish(options, spec, group)).collect();
    overrides(options, &mut cluster)?;
    let ssh_credentials =
        options.ssh_public_key.iter().map(|key| ssh_credential(&options.name, key)).collect();
    Ok(Documents { cluster, instance_groups, ssh_credentials, additional_objects: Vec::new() })
}

/// What follows from existing subnets where it isn't said: the zones, and the VPC.
fn deduced(options: &CreateOptions) -> CreateOptions {
    let mut options = options.clone();
    if options.zones.is_empty() {
        options.zones = options.subnets.iter().map(|subnet| subnet.zone.clone()).collect();
        options.zones.sort();
        options.zones.dedup();
    }
    if options.network_id.is_none() {
        let first = options.subnets.iter().chain(&options.utility_subnets).next();
        options.network_id = first.map(|subnet| subnet.vpc.clone());
    }
    options
}

fn identity(options: &CreateOptions, spec: &mut ClusterSpec) {
    let default_version = || versions::default_kubernetes().to_owned();
    spec.channel = Some(options.channel.clone().unwrap_or_else(|| "stable".to_owned()));
    spec.cloud_provider = Some("aws".to_owned());
    spec.kubernetes_version = Some(options.kubernetes_version.clone().unwrap_or_else(default_version));
    spec.cloud_labels = (!options.cloud_labels.is_empty()).then(|| options.cloud_labels.clone());
    let always_allow =
        options.authorization.as_deref().is_some_and(|it| it.eq_ignore_ascii_case("AlwaysAllow"));
    spec.authorization = Some(AuthorizationSpec {
        always_allow: always_allow.then_some(AlwaysAllowSpec {}),
        rbac: (!always_allow).then_some(RbacSpec {}),
    });
    spec.iam =
        Some(IamSpec { allow_container_registry: Some(true), legacy: Some(false), ..IamSpec::default() });
    spec.kubelet = Some(KubeletSpec { anonymous_auth: Some(false), ..KubeletSpec::default() });
    feature_gates(options, spec);
    discovery(options, spec);
    if options.instance_manager.as_deref() == Some("karpenter") {
        spec.karpenter = Some(KarpenterSpec { enabled: Some(true), ..KarpenterSpec::default() });
    }
}

/// Every component has the same feature gates.
fn feature_gates(options: &CreateOptions, spec: &mut ClusterSpec) {
    if options.kubernetes_feature_gates.is_empty() {
        return;
    }
    let gate = |gate: &String| match gate.strip_prefix('-') {
        Some(name) => (name.to_owned(), "false".to_owned()),
        None => (gate.trim_start_matches('+').to_owned(), "true".to_owned()),
    };
    let gates: BTreeMap<String, String> = options.kubernetes_feature_gates.iter().map(gate).collect();
    spec.kubelet.get_or_insert_default().feature_gates = Some(gates.clone());
    spec.kube_api_server.get_or_insert_default().feature_gates = Some(gates.clone());
    spec.kube_controller_manager.get_or_insert_default().feature_gates = Some(gates.clone());
    spec.kube_scheduler.get_or_insert_default().feature_gates = Some(gates.clone());
    spec.kube_proxy.get_or_insert_default().feature_gates = Some(gates);
}

fn discovery(options: &CreateOptions, spec: &mut ClusterSpec) {
    let Some(store) = &options.discovery_store else { return };
    spec.service_account_issuer_discovery = Some(ServiceAccountIssuerDiscoverySpec {
        discovery_store: Some(format!("{}/{}", store.trim_end_matches('/'), options.name)),
        enable_aws_oidc_provider: Some(true),
        ..ServiceAccountIssuerDiscoverySpec::default()
    });
    spec.iam.get_or_insert_default().use_service_account_external_permissions = Some(true);
}

/// The API has an address of the single master, or a DNS name, or a load balancer.
fn api(options: &CreateOptions, masters: usize, spec: &mut ClusterSpec) {
    let everybody = || default::API_ACCESS.map(str::to_owned).to_vec();
    let given = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let access = given(&options.admin_access).unwrap_or_else(everybody);
    spec.ssh_access = Some(given(&options.ssh_access).unwrap_or_else(|| access.clone()));
    spec.kubernetes_api_access = Some(access);
    let public_dns = network::dns(options) == DnsType::Public;
    let default_name = || public_dns.then(|| endpoint::public_name(&options.name));
    spec.master_public_name = options.api_public_name.clone().or_else(default_name);
    let asked = options.api_loadbalancer_type.is_some() || options.api_ssl_certificate.is_some();
    let public = !network::is_private(options);
    let unnamed = network::dns(options) == DnsType::None;
    let mut api = AccessSpec::default();
    match (asked, public, public_dns, masters) {
        (false, true, true, _) => api.dns = Some(DnsAccessSpec {}),
        (false, true, false, 1) if unnamed => api.elastic_ip = Some(ElasticIpSpec {}),
        _ => api.load_balancer = Some(load_balancer(options)),
    }
    spec.api = Some(api);
}

fn load_balancer(options: &CreateOptions) -> LoadBalancerSpec {
    let is_private = network::dns(options) == DnsType::Private;
    let internal = match options.api_loadbalancer_type.as_deref() {
        Some(written) => written == "internal",
        // Its name is for those in the VPC.
        None => is_private,
    };
    LoadBalancerSpec {
        class: Some(LoadBalancerClass::Network),
        r#type: Some(if internal { LoadBalancerType::Internal } else { LoadBalancerType::Public }),
        ssl_certificate: options.api_ssl_certificate.clone(),
        ..LoadBalancerSpec::default()
    }
}

/// `--set` and `--unset`, which go last.
fn overrides(options: &CreateOptions, cluster: &mut Cluster) -> Result<(), Problems> {
    let mut problems = Problems::new();
    let refuse = |flag: &str, error: &set::SetError| {
        let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
        Problem { hint: error.hint(), ..Problem::at(flag, format!("{error}{source}")) }
    };
    for path in options.unset.iter().flat_map(|flag| set::paths(flag)) {
        set::unset(cluster, &path).unwrap_or_else(|error| problems.push(refuse("--unset", &error)));
    }
    for assignment in options.set.iter().flat_map(|flag| set::assignments(flag)) {
        set::set(cluster, &assignment).unwrap_or_else(|error| problems.push(refuse("--set", &error)));
    }
    problems.or(())
}

fn group(name: &str, role: InstanceGroupRole, size: u32) -> InstanceGroup {
    let mut group = InstanceGroup::named(name);
    group.spec.role = Some(role);
    group.spec.min_size = Some(size);
    group.spec.max_size = Some(size);
    group
}

/// The SSH key of a cluster, as `create cluster --ssh-public-key` writes it.
pub fn ssh_credential(cluster: &str, key: &str) -> SshCredential {
    let mut credential = SshCredential::named(SSH_CREDENTIAL_NAME);
    credential.metadata.labels = Some(BTreeMap::from([(CLUSTER_LABEL.to_owned(), cluster.to_owned())]));
    credential.spec.public_key = Some(key.trim().to_owned());
    credential
}
