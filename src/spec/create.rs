//! `create cluster`: from flags to a specification, as kops does it.
//!
//! The same flags make the same specification, except where windlass deliberately differs: see [`DIFFERENCES`].

use std::collections::BTreeMap;

use super::check;
use super::default;
use super::problem::{Problem, Problems};
use super::subnets;
use super::v1alpha2::{
    AccessSpec, AuthorizationSpec, CLUSTER_LABEL, Cluster, CniSpec, DnsSpec, DnsType, ElasticIpSpec,
    EtcdClusterSpec, EtcdMemberSpec, FlannelSpec, IamSpec, InstanceGroup, InstanceGroupRole, NetworkingSpec,
    RbacSpec, SshCredential, SubnetSpec, SubnetType, TopologySpec,
};
use super::versions;

/// Where the specification of new clusters differs from kops's, and why.
pub const DIFFERENCES: &[(&str, &str)] = &[
    (
        "spec.api",
        "`elasticIP: {}` for a single master instead of a load balancer, which costs more and adds a hop",
    ),
    ("spec.etcdClusters", "`main` only: `events` in a cluster of its own helps very large clusters only"),
    ("spec.etcdClusters[].manager", "left out: the agent does etcd-manager's work"),
    ("spec.etcdClusters[].cpuRequest", "left out: windlass's static pods have requests of their own"),
    ("spec.etcdClusters[].memoryRequest", "left out: windlass's static pods have requests of their own"),
    ("spec.networking", "`flannel` unless asked otherwise, until windlass installs cilium"),
    ("spec.kubelet.anonymousAuth", "left out: it is always off"),
    ("spec.iam.allowContainerRegistry", "left out: images are baked into the machine image"),
    ("spec.configBase", "left out: the state store is where the specification is"),
    ("spec.nodeLabels of groups", "left out: windlass labels every Node with its group by itself"),
    (
        "spec.image of groups",
        "left out unless asked for: the newest of the account's own images follows the version",
    ),
];

/// What `create cluster` was asked for: kops's flags for AWS, with kops's names. A list that is empty was not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateOptions {
    /// `--name`.
    pub name: String,
    /// `--zones`.
    pub zones: Vec<String>,
    /// `--control-plane-zones`.
    pub control_plane_zones: Vec<String>,
    /// `--control-plane-count`.
    pub control_plane_count: Option<u32>,
    /// `--control-plane-size`.
    pub control_plane_size: Vec<String>,
    /// `--control-plane-image`.
    pub control_plane_image: Option<String>,
    /// `--control-plane-volume-size`, in GiB.
    pub control_plane_volume_size: Option<u32>,
    /// `--control-plane-volume-type`.
    pub control_plane_volume_type: Option<String>,
    /// `--node-count`.
    pub node_count: Option<u32>,
    /// `--node-size`.
    pub node_size: Vec<String>,
    /// `--node-image`.
    pub node_image: Option<String>,
    /// `--node-volume-size`, in GiB.
    pub node_volume_size: Option<u32>,
    /// `--node-volume-type`.
    pub node_volume_type: Option<String>,
    /// `--image`.
    pub image: Option<String>,
    /// `--kubernetes-version`.
    pub kubernetes_version: Option<String>,
    /// `--networking`.
    pub networking: Option<String>,
    /// `--network-cidr`.
    pub network_cidr: Vec<String>,
    /// `--admin-access`.
    pub admin_access: Vec<String>,
    /// `--ssh-access`.
    pub ssh_access: Vec<String>,
    /// The text of the file that `--ssh-public-key` names.
    pub ssh_public_key: Option<String>,
    /// `--cloud-labels`.
    pub cloud_labels: BTreeMap<String, String>,
    /// `--channel`.
    pub channel: Option<String>,
    /// `--encrypt-etcd-storage`.
    pub encrypt_etcd_storage: Option<bool>,
    /// `--etcd-storage-type`.
    pub etcd_storage_type: Option<String>,
    /// `--api-public-name`.
    pub api_public_name: Option<String>,
}

/// What is written to the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifests {
    /// The cluster.
    pub cluster: Cluster,
    /// Its instance groups: masters first.
    pub instance_groups: Vec<InstanceGroup>,
    /// Its SSH key, if there is one.
    pub ssh_credential: Option<SshCredential>,
}

impl Manifests {
    /// All documents as one YAML file.
    pub fn to_yaml(&self) -> String {
        let groups = self.instance_groups.iter().map(super::to_yaml);
        let documents = std::iter::once(super::to_yaml(&self.cluster)).chain(groups);
        documents.chain(self.ssh_credential.iter().map(super::to_yaml)).collect::<Vec<_>>().join("---\n")
    }

    /// The completed specification; problems name documents and fields.
    pub fn complete(&self) -> Result<super::cluster::Cluster, Problems> {
        super::complete(&self.cluster, &self.instance_groups, self.ssh_credential.as_slice())
    }
}

/// The specification that flags ask for. Fails with the flags that can't be understood.
pub fn create(options: &CreateOptions) -> Result<Manifests, Problems> {
    let mut problems = flags(options);
    let networking = networking(options).map_err(|problem| problems.push(problem)).unwrap_or_default();
    problems.or(())?;
    let mut cluster = Cluster::named(&options.name);
    let masters = masters(options);
    let spec = &mut cluster.spec;
    spec.channel = Some(options.channel.clone().unwrap_or_else(|| "stable".to_owned()));
    spec.cloud_provider = Some("aws".to_owned());
    spec.kubernetes_version = Some(kubernetes_version(options));
    spec.cloud_labels = (!options.cloud_labels.is_empty()).then(|| options.cloud_labels.clone());
    spec.master_public_name.clone_from(&options.api_public_name);
    spec.networking = Some(networking);
    spec.api = Some(AccessSpec { elastic_ip: Some(ElasticIpSpec {}), ..AccessSpec::default() });
    spec.authorization = Some(AuthorizationSpec { rbac: Some(RbacSpec {}), ..AuthorizationSpec::default() });
    spec.iam = Some(IamSpec { legacy: Some(false), ..IamSpec::default() });
    spec.topology =
        Some(TopologySpec { dns: Some(DnsSpec { r#type: Some(DnsType::None) }), ..TopologySpec::default() });
    access(options, &mut cluster);
    network(options, &mut cluster);
    cluster.spec.etcd_clusters = Some(vec![etcd_cluster(options, &masters)]);
    let nodes = nodes(options);
    let instance_groups = masters.into_iter().chain(nodes).map(|group| finish(options, group)).collect();
    let ssh_credential = options.ssh_public_key.as_deref().map(|key| ssh_credential(&options.name, key));
    Ok(Manifests { cluster, instance_groups, ssh_credential })
}

/// What is wrong with flags in themselves; what they make is checked as a specification.
fn flags(options: &CreateOptions) -> Problems {
    let mut problems = Problems::new();
    if options.name.is_empty() {
        problems.push(Problem::at("--name", "a cluster needs a name").hint("such as `demo.example.com`"));
    } else if let Err(problem) = check::dns_name(&options.name) {
        problems.push(Problem { path: "--name".to_owned(), ..problem });
    }
    if options.zones.is_empty() {
        problems
            .push(Problem::at("--zones", "a cluster needs at least one zone").hint("such as `us-east-1a`"));
    }
    for (flag, zones) in
        [("--zones", &options.zones), ("--control-plane-zones", &options.control_plane_zones)]
    {
        for zone in zones.iter().filter(|zone| subnets::region(zone).is_none()) {
            let message = format!("`{zone}` is not an availability zone");
            problems.push(Problem::at(flag, message).hint("write one such as `us-east-1a`"));
        }
    }
    for cidr in &options.network_cidr {
        if let Err(problem) = check::net(cidr) {
            problems.push(Problem { path: "--network-cidr".to_owned(), ..problem });
        }
    }
    let (zones, count) = (options.control_plane_zones.len(), options.control_plane_count);
    if let Some(count) = count.filter(|count| *count == 0 || (*count as usize) < zones) {
        let message = format!("{count} masters can't be in {zones} zones");
        problems.push(Problem::at("--control-plane-count", message).hint("leave one of the two flags out"));
    }
    for (flag, sizes) in
        [("--control-plane-size", &options.control_plane_size), ("--node-size", &options.node_size)]
    {
        if sizes.len() > 1 {
            let message = "several instance types are not supported yet";
            problems.push(Problem::at(flag, message).hint("name one"));
        }
    }
    if let Some(Err(problem)) = options.ssh_public_key.as_deref().map(check::public_key) {
        problems.push(Problem { path: "--ssh-public-key".to_owned(), ..problem });
    }
    problems
}

fn kubernetes_version(options: &CreateOptions) -> String {
    options.kubernetes_version.clone().unwrap_or_else(|| versions::default_kubernetes().to_owned())
}

fn networking(options: &CreateOptions) -> Result<NetworkingSpec, Problem> {
    match options.networking.as_deref().unwrap_or("flannel") {
        "flannel" | "flannel-vxlan" => Ok(NetworkingSpec {
            flannel: Some(FlannelSpec { backend: Some("vxlan".to_owned()), ..FlannelSpec::default() }),
            ..NetworkingSpec::default()
        }),
        "cni" => Ok(NetworkingSpec { cni: Some(CniSpec::default()), ..NetworkingSpec::default() }),
        other => {
            Err(Problem::at("--networking", format!("the network plug-in `{other}` is not supported yet"))
                .hint("use `flannel`, or `cni` to bring your own"))
        }
    }
}

fn access(options: &CreateOptions, cluster: &mut Cluster) {
    let everybody = || default::API_ACCESS.map(str::to_owned).to_vec();
    let given = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    let api = given(&options.admin_access).unwrap_or_else(everybody);
    cluster.spec.ssh_access = Some(given(&options.ssh_access).unwrap_or_else(|| api.clone()));
    cluster.spec.kubernetes_api_access = Some(api);
}

/// Every zone has a subnet with its name; the first range is cut among them, further ranges are subnets of their own.
fn network(options: &CreateOptions, cluster: &mut Cluster) {
    let mut zones: Vec<&String> = options.zones.iter().chain(&options.control_plane_zones).collect();
    zones.sort();
    zones.dedup();
    let subnet = |name: &str, zone: &str, cidr: Option<&String>| SubnetSpec {
        name: Some(name.to_owned()),
        zone: Some(zone.to_owned()),
        cidr: cidr.cloned(),
        r#type: Some(SubnetType::Public),
        ..SubnetSpec::default()
    };
    let mut subnets: Vec<SubnetSpec> = zones.into_iter().map(|zone| subnet(zone, zone, None)).collect();
    let further = options.network_cidr.iter().skip(1);
    for ((index, cidr), zone) in further.clone().enumerate().zip(options.zones.iter().cycle()) {
        subnets.push(subnet(&format!("{zone}-{}", index + 1), zone, Some(cidr)));
    }
    let range = options.network_cidr.first().map_or(default::NETWORK_CIDR, String::as_str);
    if let Ok(range) = range.parse() {
        default::assign_ranges(range, &mut subnets);
    }
    cluster.spec.network_cidr = Some(range.to_owned());
    let additional: Vec<String> = further.cloned().collect();
    cluster.spec.additional_network_cidrs = (!additional.is_empty()).then_some(additional);
    cluster.spec.non_masquerade_cidr = Some(default::NON_MASQUERADE_CIDR.to_owned());
    cluster.spec.subnets = Some(subnets);
}

fn group(name: &str, role: InstanceGroupRole, size: u32) -> InstanceGroup {
    let mut group = InstanceGroup::named(name);
    group.spec.role = Some(role);
    group.spec.min_size = Some(size);
    group.spec.max_size = Some(size);
    group
}

/// One group for each master, over the control plane's zones in turn: `control-plane-<zone>`, with a number behind
/// it when there are more masters than zones.
fn masters(options: &CreateOptions) -> Vec<InstanceGroup> {
    let given = &options.control_plane_zones;
    let zones = if given.is_empty() { &options.zones } else { given };
    let count = options.control_plane_count.map_or_else(|| given.len().max(1), |count| count as usize);
    let master = |index: usize| {
        let zone = &zones[index % zones.len()];
        let number =
            if count > zones.len() { format!("-{}", 1 + index / zones.len()) } else { String::new() };
        let mut group = group(&format!("control-plane-{zone}{number}"), InstanceGroupRole::Master, 1);
        group.spec.subnets = Some(vec![zone.clone()]);
        group.spec.machine_type = options.control_plane_size.first().cloned();
        group.spec.image.clone_from(&options.control_plane_image);
        group.spec.root_volume_size = options.control_plane_volume_size;
        group.spec.root_volume_type.clone_from(&options.control_plane_volume_type);
        group
    };
    (0..count).map(master).collect()
}

/// One group for each zone, `nodes-<zone>`; the first have one node more where the count does not divide.
fn nodes(options: &CreateOptions) -> Vec<InstanceGroup> {
    let zones = u32::try_from(options.zones.len()).unwrap_or(u32::MAX);
    let count = options.node_count.unwrap_or(zones);
    let node = |(index, zone): (u32, &String)| {
        let size = count / zones + u32::from(index < count % zones);
        let mut group = group(&format!("nodes-{zone}"), InstanceGroupRole::Node, size);
        group.spec.subnets = Some(node_subnets(options, zone));
        group.spec.machine_type = options.node_size.first().cloned();
        group.spec.image.clone_from(&options.node_image);
        group.spec.root_volume_size = options.node_volume_size;
        group.spec.root_volume_type.clone_from(&options.node_volume_type);
        group
    };
    (0..).zip(&options.zones).map(node).collect()
}

/// Where a zone has subnets of further ranges, nodes are in these: the first may be small.
fn node_subnets(options: &CreateOptions, zone: &str) -> Vec<String> {
    let further = options.network_cidr.iter().skip(1).enumerate().zip(options.zones.iter().cycle());
    let names =
        further.filter(|(_, of)| of.as_str() == zone).map(|((index, _), _)| format!("{zone}-{}", index + 1));
    let names: Vec<String> = names.collect();
    if names.is_empty() { vec![zone.to_owned()] } else { names }
}

/// What every group has in common.
fn finish(options: &CreateOptions, mut group: InstanceGroup) -> InstanceGroup {
    let label = (CLUSTER_LABEL.to_owned(), options.name.clone());
    group.metadata.labels = Some(BTreeMap::from([label]));
    group.spec.machine_type.get_or_insert_with(|| default::MACHINE_TYPE.to_owned());
    group.spec.image = group.spec.image.or_else(|| options.image.clone());
    group
}

fn etcd_cluster(options: &CreateOptions, masters: &[InstanceGroup]) -> EtcdClusterSpec {
    let groups: Vec<&str> = masters.iter().filter_map(|group| group.metadata.name.as_deref()).collect();
    let encrypt = options.encrypt_etcd_storage.unwrap_or(true);
    let member = |(name, group): (String, &&str)| EtcdMemberSpec {
        name: Some(name),
        instance_group: Some((*group).to_owned()),
        encrypted_volume: Some(encrypt),
        volume_type: options.etcd_storage_type.clone(),
        ..EtcdMemberSpec::default()
    };
    EtcdClusterSpec {
        name: Some("main".to_owned()),
        etcd_members: Some(member_names(&groups).into_iter().zip(&groups).map(member).collect()),
        ..EtcdClusterSpec::default()
    }
}

/// The names of etcd members: what tells the names of their groups apart, with `etcd-` before a digit.
pub(super) fn member_names(groups: &[&str]) -> Vec<String> {
    let prefixes = ["control-plane-", "master-"];
    let bare = |name: &&str| {
        let mut name = *name;
        for prefix in prefixes {
            name = name.strip_prefix(prefix).unwrap_or(name);
        }
        name.chars().collect::<Vec<_>>()
    };
    let mut names: Vec<Vec<char>> = groups.iter().map(bare).collect();
    while names.first().is_some_and(|name| name.len() > 1)
        && names.iter().all(|name| name.first() == names[0].first())
    {
        for name in &mut names {
            name.remove(0);
        }
    }
    let readable = |name: Vec<char>| {
        let name: String = name.into_iter().collect();
        if name.starts_with(|c: char| c.is_ascii_digit()) { format!("etcd-{name}") } else { name }
    };
    names.into_iter().map(readable).collect()
}

fn ssh_credential(cluster: &str, key: &str) -> SshCredential {
    let mut credential = SshCredential::named("admin");
    credential.metadata.labels = Some(BTreeMap::from([(CLUSTER_LABEL.to_owned(), cluster.to_owned())]));
    credential.spec.public_key = Some(key.trim().to_owned());
    credential
}
