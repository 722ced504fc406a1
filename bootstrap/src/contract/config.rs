//! The contract between the CLI, which writes these documents, and the agent, which reads them.
//!
//! Two documents reach an instance:
//!
//! - [`BootConfig`]: the EC2 user data. It holds no secret and nothing that changes often: which cluster and
//!   group this instance belongs to, where the state is, and the digest of the node configuration to use.
//! - [`NodeConfig`]: the node configuration of the instance group, read from the state at
//!   `<cluster>/public/instance-groups/<group>/<sha256>.json`. The key is the digest of its bytes, so that a
//!   launch template's version names one exact configuration, and editing the specification never changes a
//!   machine that happens to boot.
//!
//! Nothing here depends on an AWS id: volumes and addresses are found by their tags.
//!
//! Both are JSON with an explicit [`version`](NodeConfig::version). Within a major version formats only grow: an image
//! may be older than the windlass that writes for it, so an agent leaves alone the fields that it doesn't know, and new
//! fields have a default. Another major version is refused by name: see [`read`]. A node configuration is of a later
//! one where an agent that knows only the first would carry it out in part: see [`SEVERAL_ETCD_VERSION`],
//! [`GROUP_SETTINGS_VERSION`], [`EXTENDED_VERSION`], [`LIFECYCLE_VERSION`] and [`JOINING_VERSION`].

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::components::{ComponentSettings, Components};
use super::egress_proxy::EgressProxy;
use super::endpoint::Endpoint;
use super::image_source::ImageSource;
use super::ipv6::MasterIpv6;

/// The version of the documents that the CLI and the agent exchange.
pub const CONFIG_VERSION: &str = "windlass/v1";

/// The version of a node configuration that says of etcd what an agent of [`CONFIG_VERSION`] alone doesn't know. It has to
/// refuse it: what belongs into further etcd clusters would end in `main`.
pub const SEVERAL_ETCD_VERSION: &str = "windlass/v2";

/// The version of a node configuration, and of an image, of a group that asks for what an agent of [`SEVERAL_ETCD_VERSION`]
/// doesn't know: user data of several parts, kernel parameters.
pub const GROUP_SETTINGS_VERSION: &str = "windlass/v3";

/// The version of a node configuration, and of an image, that says what an agent of [`GROUP_SETTINGS_VERSION`] would carry out
/// in part: other roles than masters and nodes, settings of components, files, volumes and hooks of a group.
pub const EXTENDED_VERSION: &str = "windlass/v4";

/// The version of a node configuration, and of an image, that says what an agent of [`EXTENDED_VERSION`] would carry out in
/// part: lifecycle hooks that the agent completes, API servers besides the masters', and whatever else has come since.
pub const LIFECYCLE_VERSION: &str = "windlass/v5";

/// The version of a node configuration, and of an image, of a master whose etcd takes members in: an agent of
/// [`LIFECYCLE_VERSION`] would have those that are new begin a cluster of their own.
pub const JOINING_VERSION: &str = "windlass/v6";

/// All versions of node configurations, the oldest first. An agent that reads one reads those before it.
pub const NODE_CONFIG_VERSIONS: [&str; 6] = [
    CONFIG_VERSION,
    SEVERAL_ETCD_VERSION,
    GROUP_SETTINGS_VERSION,
    EXTENDED_VERSION,
    LIFECYCLE_VERSION,
    JOINING_VERSION,
];

/// The etcd cluster that holds what no other does.
pub const MAIN_ETCD: &str = "main";

/// Why a document can't be used.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// Of another major version, whatever else it may hold.
    #[error(
        "it is of version `{0}`; this agent reads none that is newer than `{CONFIG_VERSION}`, and \
         `{JOINING_VERSION}` of a node configuration, so it takes an image with a newer agent"
    )]
    Version(String),
    /// It isn't what it should be.
    #[error("it is not what it should be")]
    Format(#[source] serde_json::Error),
}

/// Reads a document that carries its version: the version first, so that a newer format is refused by its name and not
/// for whatever field of it comes first. Unknown fields are left alone.
pub fn read<T: DeserializeOwned>(document: &[u8]) -> Result<T, DocumentError> {
    read_one_of(document, &[CONFIG_VERSION])
}

fn read_one_of<T: DeserializeOwned>(document: &[u8], majors: &[&str]) -> Result<T, DocumentError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: String,
    }
    let Versioned { version } = serde_json::from_slice(document).map_err(DocumentError::Format)?;
    if !majors.iter().any(|major| is_of(&version, major)) {
        return Err(DocumentError::Version(version));
    }
    serde_json::from_slice(document).map_err(DocumentError::Format)
}

/// Whether a version is of a major version: `windlass/v1` and `windlass/v1.7` are of `windlass/v1`.
fn is_of(version: &str, major: &str) -> bool {
    version.strip_prefix(major).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// The EC2 user data: JSON, at most 16 KiB raw (EC2's limit), without any secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootConfig {
    /// [`CONFIG_VERSION`].
    pub version: String,
    /// The cluster's name, a DNS name such as `demo.example.com`.
    pub cluster: String,
    /// The instance group's name.
    pub instance_group: String,
    /// Where the cluster's state is: `s3://<bucket>/<prefix>` without the cluster's name and a trailing slash.
    pub state_store: String,
    /// The bucket's region.
    pub region: String,
    /// The account that owns the bucket, which every request names (S3's bucket owner condition). Absent in documents
    /// that were written before there was such a field, and of a store that is no bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_store_owner: Option<String>,
    /// The proxy through which the instance reaches the Internet, and with it the state where the VPC has no other way to S3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_proxy: Option<EgressProxy>,
    /// The lower-case hexadecimal SHA-256 of the node configuration's bytes; also the name of its key.
    pub node_config_sha256: String,
}

/// What an instance of a group shall be. See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeConfig {
    /// [`CONFIG_VERSION`].
    pub version: String,
    /// The cluster's name.
    pub cluster: String,
    /// The instance group's name.
    pub instance_group: String,
    /// The Kubernetes version without a leading `v`, such as `1.36.3`; the image must hold exactly this one.
    pub kubernetes_version: String,
    /// Addresses and ranges of the cluster's network.
    pub network: NetworkConfig,
    /// How components reach the Kubernetes API.
    pub api: ApiConfig,
    /// PEM bundle of the Kubernetes authorities that are trusted: public certificates only.
    pub kubernetes_ca: String,
    /// What the kubelet is told.
    pub kubelet: KubeletConfig,
    /// The images of what runs on every instance, by component name (`kube-proxy`, `pause`).
    pub images: BTreeMap<String, String>,
    /// Kernel parameters that the specification asks for, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kernel_parameters: BTreeMap<String, String>,
    /// Where the instance's further volumes are mounted: what is below another one after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountConfig>,
    /// Files that the specification asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileConfig>,
    /// Units of systemd's that the specification asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<UnitConfig>,
    /// What components are told beyond windlass's own settings.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub components: Components,
    /// The proxy that what runs on the instance goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress_proxy: Option<EgressProxy>,
    /// Where images are pulled from, where that isn't where they are published. `images` name them there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_source: Option<ImageSource>,
    /// The lifecycle hooks of the instance's Auto Scaling group.
    #[serde(default, skip_serializing_if = "LifecycleHooks::is_empty")]
    pub lifecycle_hooks: LifecycleHooks,
    /// Turn off EC2's source/destination check, which drops packets that carry pod addresses.
    pub disable_source_dest_check: bool,
    /// Set on masters only; its presence is what makes an instance a master.
    pub control_plane: Option<ControlPlaneConfig>,
    /// Set on nodes that run an API server besides, without being masters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_server: Option<ApiServerConfig>,
    /// Whether the instance is a bastion, which runs nothing of Kubernetes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bastion: bool,
}

/// A further volume of an instance, and where it is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountConfig {
    /// The device name that EC2 knows the volume by.
    pub device: String,
    /// `ext4` or `xfs`: made where the volume is blank.
    pub filesystem: String,
    /// Where it is mounted.
    pub path: String,
    /// Further words for the program that makes the file system.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub format_options: Vec<String>,
    /// What it is mounted with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mount_options: Vec<String>,
}

/// The names of the lifecycle hooks at which Auto Scaling waits for the agent
/// (<https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html>).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleHooks {
    /// Holds the end of an instance (`autoscaling:EC2_INSTANCE_TERMINATING`) until it is drained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminating: Option<String>,
    /// Holds an instance of a warm pool (`autoscaling:EC2_INSTANCE_LAUNCHING`) until it is ready to be stopped, or, when it
    /// is taken into service, until it has joined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launching: Option<String>,
}

impl LifecycleHooks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A file of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileConfig {
    /// Where it is.
    pub path: String,
    /// Its mode, in octal.
    pub mode: String,
    /// What is in it.
    pub content: String,
    /// Whether that is in base64.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_base64: bool,
}

/// A unit of systemd's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitConfig {
    /// Its name, such as `tune.service`.
    pub name: String,
    /// The whole unit. Without it, what is called so is stopped and doesn't start any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl NodeConfig {
    /// Reads a node configuration, of every version that there is of it.
    pub fn read(document: &[u8]) -> Result<Self, DocumentError> {
        read_one_of(document, &NODE_CONFIG_VERSIONS)
    }

    /// What a component is told: nothing, where the specification says nothing.
    pub fn component(&self, name: &str) -> &ComponentSettings {
        static NOTHING: LazyLock<ComponentSettings> = LazyLock::new(ComponentSettings::default);
        self.components.get(name).unwrap_or(&NOTHING)
    }

    /// Whether the instance has an API server, and another instance has one, too, that answers while this one's doesn't.
    pub fn is_one_api_server_of_several(&self) -> bool {
        let beside_others = |control_plane: &ControlPlaneConfig| {
            control_plane.masters > 1 || control_plane.further_api_servers
        };
        self.api_server.is_some() || self.control_plane.as_ref().is_some_and(beside_others)
    }

    /// Where what runs on the instance reaches the API.
    pub fn api_endpoint(&self) -> Endpoint {
        match self.control_plane {
            Some(_) => self.api.endpoint.on_this_machine(),
            None => self.api.endpoint.clone(),
        }
    }
}

/// The cluster's address ranges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NetworkConfig {
    /// Pods' addresses, cut into one range per node by kube-controller-manager. Absent in an IPv6 cluster: a node's pods have
    /// addresses of the prefix that EC2 delegates to its network interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_cidr: Option<IpNet>,
    /// Services' addresses.
    pub service_cidr: IpNet,
    /// Cluster DNS's service address.
    pub dns_address: IpAddr,
    /// The DNS domain of services, such as `cluster.local`.
    pub dns_domain: String,
    /// Which network plug-in the cluster runs: `flannel`, or `external` (bring your own).
    pub plugin: String,
}

impl NetworkConfig {
    /// Whether pods and services have IPv6 addresses, and no others.
    pub fn is_ipv6(&self) -> bool {
        matches!(self.service_cidr, IpNet::V6(_))
    }
}

/// How the Kubernetes API is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiConfig {
    /// Where nodes reach it: at the master's stable private address, or by a name of several masters. Masters go to the
    /// API on their own machine, see [`NodeConfig::api_endpoint`].
    #[serde(flatten)]
    pub endpoint: Endpoint,
    /// The stable private addresses of all masters, where the endpoint's name is one that no DNS server has to know:
    /// the machine keeps it in `/etc/hosts`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masters: Vec<Ipv4Addr>,
    /// In an IPv6 cluster, the stable IPv6 addresses of all masters, in place of `masters`: a node may have no IPv4 address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masters_ipv6: Vec<MasterIpv6>,
    /// The service-account issuer, a URL. Only masters go by it; nodes may be told another one.
    pub service_account_issuer: String,
    /// Names and addresses for the serving certificate besides those the agent adds itself (the private
    /// addresses, the Elastic IP, 127.0.0.1, the service address, `kubernetes.default…`).
    pub additional_sans: Vec<String>,
}

/// The taint that keeps pods off masters.
pub const MASTER_TAINT: &str = "node-role.kubernetes.io/control-plane=:NoSchedule";

/// The taint that keeps pods off API servers beside the masters: kops's.
pub const API_SERVER_TAINT: &str = "node-role.kubernetes.io/api-server=:NoSchedule";

/// What the kubelet is told beyond the agent's own defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KubeletConfig {
    /// Labels the kubelet may set itself (`NodeRestriction` forbids `node-role.kubernetes.io/…`; those the
    /// master's agent sets).
    pub labels: BTreeMap<String, String>,
    /// Taints as `key=value:Effect`.
    pub taints: Vec<String>,
    /// Limit of pods on the node; the kubelet's own default when absent.
    pub max_pods: Option<u32>,
    /// Whether the kubelet gets credentials for ECR's registries with the instance's role. Absent means no, as in
    /// documents that were written before there was such a field.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ecr_credentials: bool,
}

/// How long kubelets' certificates are good where the specification doesn't say it. A kubelet renews its own after some
/// two thirds of that; a node that can't for longer joins anew.
const CERTIFICATE_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// What only masters are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlPlaneConfig {
    /// The etcd cluster `main` on this master.
    pub etcd: EtcdConfig,
    /// The other etcd clusters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_etcd: Vec<EtcdConfig>,
    /// Whether an Elastic IP (found by its tags) is to be associated with this master.
    pub elastic_ip: bool,
    /// How many masters the cluster has. With one, nothing waits for leader leases.
    pub masters: u32,
    /// Images by component: `kube-apiserver`, `kube-controller-manager`, `kube-scheduler`, `etcd`.
    pub images: BTreeMap<String, String>,
    /// Whether the taint of masters is among the kubelet's by default. Then the master's agent takes it off while the
    /// cluster has no nodes, and puts it on again; a taint that the specification names stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub default_taint: bool,
    /// Add-ons to apply, in this order.
    pub addons: Vec<AddonRef>,
    /// For how many seconds kubelets' certificates are issued at most; a week when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_seconds: Option<u64>,
    /// What is special about service accounts' tokens.
    #[serde(default, skip_serializing_if = "ServiceAccountsConfig::is_usual")]
    pub service_accounts: ServiceAccountsConfig,
    /// Whether API servers of other instances keep what they have in this master's etcd: its members then listen for
    /// clients on the master's stable private address, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub further_api_servers: bool,
    /// The name of the SQS queue into which AWS puts events about instances, the cluster's among them. It is in the
    /// instance's account and region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interruption_queue: Option<String>,
    /// How backups of etcd are made. Absent in documents that were written before there were any: then there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups: Option<BackupsConfig>,
}

/// How masters make backups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupsConfig {
    /// Every so many seconds there is one.
    pub interval_seconds: u32,
}

/// What only instances are told that run an API server without being masters. They are nodes in everything else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiServerConfig {
    /// The image of `kube-apiserver`.
    pub image: String,
    /// The port on which it listens. Nodes may reach the API by another one, of a load balancer.
    pub port: u16,
    /// The masters' etcd clusters, `main` first.
    pub etcd: Vec<EtcdServers>,
    /// What is special about service accounts' tokens.
    #[serde(default, skip_serializing_if = "ServiceAccountsConfig::is_usual")]
    pub service_accounts: ServiceAccountsConfig,
}

/// An etcd cluster, as an API server of another machine reaches it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdServers {
    /// The stable private addresses of its members.
    pub addresses: Vec<Ipv4Addr>,
    /// The port on which all of them listen for clients.
    pub port: u16,
    /// The resources that Kubernetes keeps here instead of in `main`, as in [`EtcdConfig::holds`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<String>,
}

/// What the API server is told of service accounts' tokens besides who issues them
/// ([`ApiConfig::service_account_issuer`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountsConfig {
    /// Where the public keys of the issuer are published; the API server's own place when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Further issuers whose tokens are good: those of before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_issuers: Vec<String>,
    /// For whom tokens may be that the API takes; for the issuers when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Whether whoever has no credentials may read the discovery documents, which AWS does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anonymous_discovery: bool,
}

impl ServiceAccountsConfig {
    /// Whether it says nothing.
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl ControlPlaneConfig {
    /// All etcd clusters, `main` first.
    pub fn etcd_clusters(&self) -> impl Iterator<Item = &EtcdConfig> {
        std::iter::once(&self.etcd).chain(&self.further_etcd)
    }

    /// How long kubelets' certificates are good at most: what kube-controller-manager is told
    /// (`--cluster-signing-duration`), and the master's agent reckons with.
    pub fn certificate_lifetime(&self) -> Duration {
        self.certificate_seconds.map_or(CERTIFICATE_LIFETIME, Duration::from_secs)
    }
}

/// One member of an etcd cluster and the cluster around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdConfig {
    /// The etcd cluster's name, such as `main` or `events`.
    pub name: String,
    /// This member's name. Identity follows the volume: its tag `windlass.dev/etcd/<name>` holds the member.
    pub member: String,
    /// Every member's name and stable private address, this one included.
    pub members: BTreeMap<String, Ipv4Addr>,
    /// The names of those members that were added to the cluster when it lived: the others take them in.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub joining: BTreeSet<String>,
    /// The etcd version without a leading `v`.
    pub version: String,
    /// Where it listens; as `main` when absent.
    #[serde(default, skip_serializing_if = "EtcdPorts::are_of_main")]
    pub ports: EtcdPorts,
    /// The resources that Kubernetes keeps here instead of in `main`, as kube-apiserver names them: `<group>/<resource>`,
    /// such as `/events`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<String>,
    /// What its pod asks the scheduler for.
    #[serde(default, skip_serializing_if = "EtcdRequests::are_usual")]
    pub requests: EtcdRequests,
    /// How often the leader says that it is there, in milliseconds; etcd's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_milliseconds: Option<u32>,
    /// How long a member waits for its leader, in milliseconds; etcd's own default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub election_milliseconds: Option<u32>,
    /// The environment of its member: flags of etcd's, named as it does.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
}

/// The ports of a member of an etcd cluster. On one master, no two clusters have one in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdPorts {
    /// For clients, on 127.0.0.1; and on the stable private address, where there are several masters or other machines
    /// run API servers.
    pub client: u16,
    /// For the other members, on the master's stable private address.
    pub peer: u16,
    /// For metrics and health, on 127.0.0.1.
    pub metrics: u16,
}

impl EtcdPorts {
    /// The ports of the cluster in a place: `main` has the place 0.
    pub fn of(place: u16) -> Self {
        let first = 2379 + 3 * place;
        Self { client: first, peer: first + 1, metrics: first + 2 }
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks with a reference")]
    fn are_of_main(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for EtcdPorts {
    fn default() -> Self {
        Self::of(0)
    }
}

/// Quantities of Kubernetes, such as `100m` and `100Mi`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdRequests {
    /// CPU.
    pub cpu: String,
    /// Memory.
    pub memory: String,
}

impl EtcdRequests {
    /// Whether they are those of pods of which nothing is said.
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for EtcdRequests {
    fn default() -> Self {
        Self { cpu: "100m".to_owned(), memory: "100Mi".to_owned() }
    }
}

/// The etcd cluster doesn't have the member that a master shall be.
#[derive(Debug, thiserror::Error)]
#[error("the etcd cluster {etcd} has no member {member}")]
pub struct NoMember {
    /// The etcd cluster.
    pub etcd: String,
    /// The member.
    pub member: String,
}

impl EtcdConfig {
    /// Whether it is [`MAIN_ETCD`], from which the API answers.
    pub fn is_main(&self) -> bool {
        self.name == MAIN_ETCD
    }

    /// The stable private address of this member.
    pub fn address(&self) -> Result<Ipv4Addr, NoMember> {
        let address = self.members.get(&self.member).copied();
        address.ok_or_else(|| NoMember { etcd: self.name.clone(), member: self.member.clone() })
    }
}

/// A reference to an add-on's manifests in the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddonRef {
    /// The add-on's name, such as `coredns`.
    pub name: String,
    /// The lower-case hexadecimal SHA-256 of the manifest's bytes; also the name of its key.
    pub sha256: String,
}

/// What an instance is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Runs etcd and the control plane.
    ControlPlane,
    /// Runs workloads.
    Node,
    /// Lets operators in by SSH; no Node of the cluster's.
    Bastion,
    /// Runs an API server, which keeps what it has in the masters' etcd.
    ApiServer,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masters_configuration_of_579859e_is_still_read_and_its_groups_are_not_written_again() {
        let former = include_str!("../../tests/former/579859e-master.json");
        let config: NodeConfig = serde_json::from_str(former).unwrap();
        assert_eq!(config.api.endpoint.url_with_port(), "https://172.20.0.10:443");
        assert_eq!(config.api_endpoint().url_with_port(), "https://127.0.0.1:443", "a master's own");
        let control_plane = config.control_plane.as_ref().unwrap();
        assert!(former.contains("\"instanceGroups\""), "what EC2 and the state say is newer");
        assert!(!control_plane.default_taint, "it was made without");
        let written = serde_json::to_string(&config).unwrap();
        assert!(!written.contains("instanceGroups") && !written.contains("defaultTaint"), "{written}");
    }

    const NEWER: &str = r#"{"version":"windlass/v1.3","cluster":"demo.example.com","instanceGroup":"nodes",
        "stateStore":"s3://bucket","region":"us-east-1","nodeConfigSha256":"00","colour":{"of":["the","sky"]}}"#;

    #[test]
    fn unknown_fields_of_the_same_major_version_are_left_alone() {
        assert_eq!(read::<BootConfig>(NEWER.as_bytes()).unwrap().cluster, "demo.example.com");
        let mut config = serde_json::to_value(crate::testing::node_config()).unwrap();
        config["shade"] = true.into();
        config["network"]["mtu"] = 9001.into();
        let read: NodeConfig = read(config.to_string().as_bytes()).unwrap();
        assert_eq!(read, crate::testing::node_config());
    }

    #[test]
    fn a_newer_major_version_is_refused_by_name_whatever_is_in_it() {
        for document in
            [NEWER.replace("windlass/v1.3", "windlass/v2"), r#"{"version":"windlass/v10"}"#.to_owned()]
        {
            let error = read::<BootConfig>(document.as_bytes()).unwrap_err();
            let DocumentError::Version(found) = &error else { panic!("{error}") };
            assert!(document.contains(found.as_str()) && error.to_string().contains(found.as_str()));
        }
        assert!(matches!(read::<BootConfig>(b"#cloud-config"), Err(DocumentError::Format(_))));
    }
}
