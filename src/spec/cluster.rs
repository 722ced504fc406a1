//! The complete specification: defaults filled in, checks passed. `model`, `assets`, `health` and `pki` read this,
//! and only this.

mod attachment;
mod cpu_credits;
mod data_volume;
mod egress_proxy;
mod etcd;
mod instance_group;
mod interruption;
mod mixed;
mod node_ports;
mod purchase;
mod service_accounts;
mod spot_price;
mod taint;
mod user_data;
mod volume;
mod warm_pool;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::Serialize;
use windlass_bootstrap::config::{EXTENDED_VERSION, JOINING_VERSION, LIFECYCLE_VERSION, Role};
use windlass_bootstrap::endpoint;
use windlass_bootstrap::image_source::ImageSource;
use windlass_bootstrap::ipv6::SubnetIpv6;

pub use self::attachment::Attachment;
pub use self::cpu_credits::CpuCredits;
pub use self::data_volume::DataVolume;
pub use self::egress_proxy::EgressProxy;
pub use self::etcd::{Backups, EtcdCluster, EtcdMember, HeldMember};
pub use self::instance_group::{InstanceGroup, Instances, Master, Nodes};
pub use self::interruption::Interruption;
pub use self::mixed::{MachineRequirements, MachineTypes, MixedInstances, Range};
pub use self::node_ports::NodePortAccess;
pub use self::purchase::Purchase;
pub use self::service_accounts::{
    AWS_AUDIENCE, CONFIGURATION, DiscoveryStore, Issuer, JWKS, ServiceAccount, ServiceAccounts,
};
pub use self::spot_price::SpotPrice;
pub use self::taint::Taint;
pub use self::user_data::UserDataPart;
pub use self::volume::EbsVolume;
pub use self::warm_pool::WarmPool;
use super::non_empty::NonEmpty;

/// A whole cluster: the `Cluster` and its `InstanceGroup`s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// A DNS name, such as `demo.example.com`.
    pub name: String,
    /// The region, derived from the zones.
    pub region: String,
    /// Without a leading `v`.
    pub kubernetes_version: String,
    /// The version as which the control plane acts, where that isn't its own; nodes are of this one.
    pub emulated_version: Option<String>,
    /// The VPC's and the cluster's address ranges.
    pub network: Network,
    /// The subnets, by name order of the specification.
    pub subnets: Vec<Subnet>,
    /// How the API is reached.
    pub api: Api,
    /// Who may reach instances by SSH; empty closes the port.
    pub ssh_access: Vec<AccessSource>,
    /// Who may reach services by the ports of nodes, where somebody may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_ports: Option<NodePortAccess>,
    /// An existing EC2 key pair, or the public key to import, or none.
    pub ssh_key: SshKey,
    /// Whether instances may read the account's ECR registries.
    pub container_registry: bool,
    /// What masters may do in AWS besides what windlass allows them.
    #[serde(skip_serializing_if = "Permissions::is_empty")]
    pub masters_may: Permissions,
    /// What nodes may do in AWS besides what windlass allows them.
    #[serde(skip_serializing_if = "Permissions::is_empty")]
    pub nodes_may: Permissions,
    /// What bastions may do in AWS besides what windlass allows them.
    #[serde(skip_serializing_if = "Permissions::is_empty")]
    pub bastions_may: Permissions,
    /// What API servers beside the masters may do in AWS besides what windlass allows them.
    #[serde(skip_serializing_if = "Permissions::is_empty")]
    pub api_servers_may: Permissions,
    /// How bastions are reached, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bastion: Option<BastionAccess>,
    /// `spec.assets`: where container images are pulled from, where that isn't where they are published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_source: Option<ImageSource>,
    /// The proxy through which instances reach the Internet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_proxy: Option<EgressProxy>,
    /// Service accounts beyond the cluster.
    #[serde(skip_serializing_if = "ServiceAccounts::are_usual")]
    pub service_accounts: ServiceAccounts,
    /// The etcd clusters, `main` first.
    pub etcd: NonEmpty<EtcdCluster>,
    /// For how many seconds kubelets' certificates are issued; the agent's own default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_seconds: Option<u64>,
    /// How backups of etcd are made.
    pub backups: Backups,
    /// The network plug-in.
    pub plugin: NetworkPlugin,
    /// `spec.metricsServer`, where it is enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metrics_server: Option<MetricsServer>,
    /// `spec.nodeTerminationHandler`, where it is enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interruption: Option<Interruption>,
    /// Tags for every resource besides windlass's own.
    pub cloud_labels: BTreeMap<String, String>,
    /// The instance groups, by name.
    pub instance_groups: Vec<InstanceGroup>,
}

/// What the instances of a role may do in AWS, as `externalPolicies` and `additionalPolicies` say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Permissions {
    /// ARNs of managed policies.
    pub attached: BTreeSet<String>,
    /// Statements for the role's own policy.
    pub statements: Vec<serde_json::Value>,
}

impl Permissions {
    fn is_empty(&self) -> bool {
        self.attached.is_empty() && self.statements.is_empty()
    }
}

/// Address ranges.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Network {
    /// `spec.networkID`: the VPC that exists already; one is made when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub existing_vpc: Option<String>,
    /// The VPC's.
    pub cidr: Ipv4Net,
    /// Further ones of the VPC.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_cidrs: Vec<Ipv4Net>,
    /// Where traffic keeps the addresses of the pods that send it; pods' and services' IPv4 ranges are cut from it. `::/0` in an
    /// IPv6 cluster.
    pub non_masquerade_cidr: IpNet,
    /// Pods'. None in an IPv6 cluster: a node's pods have addresses of the prefix that EC2 delegates to its network interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_cidr: Option<IpNet>,
    /// Services'.
    pub service_cidr: IpNet,
    /// Cluster DNS: the tenth address of the service range.
    pub dns_address: IpAddr,
    /// `cluster.local`.
    pub dns_domain: String,
    /// The services that have an interface endpoint in the VPC, such as `com.amazonaws.eu-west-1.ec2`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub interface_endpoints: BTreeSet<String>,
    /// `spec.DisableSubnetTags`: what exists already gets no tags, and no subnet those of load balancers' controllers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub subnet_tags_disabled: bool,
}

impl Network {
    /// Whether pods and services have IPv6 addresses, and no others.
    pub fn is_ipv6(&self) -> bool {
        matches!(self.service_cidr, IpNet::V6(_))
    }
}

/// A subnet of the VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    /// Its name in the specification; on AWS it is called `<name>.<cluster>`.
    pub name: String,
    /// The availability zone.
    pub zone: String,
    /// Its IPv4 range. None of a subnet whose instances have IPv6 addresses alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Ipv4Net>,
    /// Its IPv6 range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<SubnetIpv6>,
    /// What it is for.
    #[serde(skip_serializing_if = "SubnetKind::is_public")]
    pub kind: SubnetKind,
    /// How what is in it reaches the Internet.
    #[serde(skip_serializing_if = "Egress::is_internet_gateway")]
    pub egress: Egress,
    /// `id`: the subnet that exists already; one is made when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub existing: Option<String>,
    /// Further destinations, each with AWS's id of what leads there.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub additional_routes: BTreeMap<IpNet, String>,
}

impl Subnet {
    /// Whether windlass keeps its routes: those of what exists already are their owner's.
    pub fn is_routed(&self) -> bool {
        self.existing.is_none() && self.egress != Egress::External
    }
}

/// What a subnet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SubnetKind {
    /// Instances with public addresses.
    Public,
    /// Load balancers, NAT gateways and bastions.
    Utility,
    /// Instances that nobody outside of the VPC reaches.
    Private,
    /// The same with IPv4 and IPv6 addresses, in a cluster whose other private subnets may have IPv6 addresses alone.
    DualStack,
}

impl SubnetKind {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_public(&self) -> bool {
        *self == Self::Public
    }

    /// Whether nobody outside of the VPC reaches what is in it.
    pub fn is_private(self) -> bool {
        matches!(self, Self::Private | Self::DualStack)
    }
}

/// How what is in a subnet reaches the Internet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Egress {
    /// With public addresses.
    InternetGateway,
    /// Through a NAT gateway that windlass makes, with this address.
    NatGateway(NatAddress),
    /// Through what exists already, by AWS's id: a NAT gateway (`nat-…`), a transit gateway (`tgw-…`), an instance (`i-…`).
    Existing(String),
    /// By routes that somebody else keeps.
    External,
}

impl Egress {
    fn is_internet_gateway(&self) -> bool {
        *self == Self::InternetGateway
    }
}

/// The address of a NAT gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NatAddress {
    /// A new Elastic IP.
    New,
    /// An Elastic IP that exists already, by its allocation (`eipalloc-…`).
    Allocation(String),
    /// An Elastic IP that exists already, by its address.
    Address(Ipv4Addr),
}

/// How the API is reached from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Api {
    /// Who may reach it.
    pub access: Vec<AccessSource>,
    /// Masters' addresses are Elastic IPs: with `spec.api.elasticIP`, which has a single master, and with `spec.api.dns`.
    pub elastic_ip: bool,
    /// `spec.api.loadBalancer`: a Network Load Balancer in front of the masters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// A hosted zone has a name for that address or load balancer.
    pub dns: Option<ApiName>,
    /// `spec.masterPublicName`, where it is written: a name for the address, which the operator may keep elsewhere than in
    /// a hosted zone. Kubeconfigs have it, as with kops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_name: Option<String>,
    /// `spec.masterInternalName`, where it is written: the API's name inside of the VPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_name: Option<String>,
    /// `spec.additionalSans`: names and addresses that the serving certificate is to have, too.
    pub additional_sans: Vec<String>,
    /// The secure port: 443.
    pub port: u16,
}

/// A Network Load Balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// Whether it has addresses of the VPC alone.
    pub internal: bool,
    /// Where it is: one subnet of each zone.
    pub subnets: NonEmpty<LoadBalancerSubnet>,
    /// The ARN of a certificate in ACM, which it shows on the API's port; it then passes TCP through on another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// Whether each of its addresses leads to targets in all zones.
    pub cross_zone: bool,
    /// Whether nodes go by it, too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub for_nodes: bool,
    /// Where its access log is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLog>,
    /// An existing security group instead of windlass's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group: Option<String>,
    /// Existing security groups besides.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub additional_security_groups: BTreeSet<String>,
}

impl LoadBalancer {
    /// The port for clients with certificates of their own, where another certificate is shown on the API's: as in kops.
    pub const CLIENT_CERTIFICATES_PORT: u16 = 8443;
}

/// How bastions are reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BastionAccess {
    /// The load balancer in front of them.
    pub load_balancer: LoadBalancer,
    /// `spec.topology.bastion.bastionPublicName`: their name in the API's hosted zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A certificate that a load balancer shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Its ARN in ACM.
    pub arn: String,
    /// Which versions and ciphers of TLS the load balancer takes.
    pub policy: String,
}

/// A subnet of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerSubnet {
    /// The subnet.
    pub subnet: Subnet,
    /// The load balancer's address in it, where it is internal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_address: Option<Ipv4Addr>,
    /// The allocation of the existing Elastic IP that it has there, where it is public.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation: Option<String>,
}

/// Where a load balancer writes its access log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessLog {
    /// The bucket.
    pub bucket: String,
    /// What keys begin with.
    pub prefix: String,
}

/// From where something may be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum AccessSource {
    /// A range of addresses.
    Range(IpNet),
    /// The ranges of a prefix list, by its id (`pl-…`).
    PrefixList(String),
}

impl fmt::Display for AccessSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) => range.fmt(formatter),
            Self::PrefixList(id) => id.fmt(formatter),
        }
    }
}

/// The API's name in a hosted zone of Route 53.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiName {
    /// `spec.masterPublicName`, else `api.<cluster>`.
    pub name: String,
    /// `spec.dnsZone`: the hosted zone, by its name or its id, or else the one that holds the name.
    pub zone: DnsZone,
    /// `spec.topology.dns.type`: who sees that zone.
    #[serde(skip_serializing_if = "Visibility::is_public")]
    pub visibility: Visibility,
}

/// Who sees a hosted zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Visibility {
    /// Everybody.
    Public,
    /// Those in the VPCs that it is associated with.
    Private,
}

impl Visibility {
    /// Whether everybody sees it.
    pub fn is_public(&self) -> bool {
        *self == Self::Public
    }
}

impl fmt::Display for Visibility {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_public() { "public" } else { "private" })
    }
}

/// How a hosted zone is named in a specification.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DnsZone {
    /// Such as `example.com`.
    Name(String),
    /// Such as `Z0123456789ABCDEFGHIJ`.
    Id(String),
    /// Not at all: of those that are as public or private as is asked for, the one with the longest name that the API's name is
    /// in.
    Nearest,
}

impl DnsZone {
    /// Reads a zone as kops does: what has a dot is a name. Route 53 writes ids with `/hostedzone/` before them, and
    /// names with a dot behind them; both mean the same without.
    pub fn read(text: &str) -> Self {
        match text.trim_end_matches('.') {
            name if name.contains('.') => Self::Name(name.to_owned()),
            _ => Self::Id(text.trim_start_matches("/hostedzone/").to_owned()),
        }
    }

    /// Whether a name may be in it: of a zone that is named by its id, or not at all, AWS alone knows.
    pub fn may_hold(&self, name: &str) -> bool {
        match self {
            Self::Name(zone) => is_in_zone(name, zone),
            Self::Id(_) | Self::Nearest => true,
        }
    }
}

/// Whether a name is in a zone. The zone's own name is not: the records of the zone itself are there.
pub fn is_in_zone(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone).is_some_and(|host| host.len() > 1 && host.ends_with('.'))
}

/// Which SSH key instances get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SshKey {
    /// None.
    None,
    /// `spec.sshKeyName`: a key pair that exists in EC2.
    Existing(String),
    /// A public key in OpenSSH's form, which windlass imports.
    Import(String),
}

/// The network plug-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NetworkPlugin {
    /// flannel over vxlan, installed as an add-on.
    Flannel,
    /// `cni: {}`: bring your own.
    External,
}

/// The metrics server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsServer {
    /// The reference of its image, in place of windlass's.
    pub image: Option<String>,
}

impl Cluster {
    /// Whether some subnet has IPv6 addresses.
    pub fn has_ipv6(&self) -> bool {
        self.subnets.iter().any(|subnet| subnet.ipv6.is_some())
    }

    /// The masters, in the order of their groups' names.
    pub fn masters(&self) -> impl Iterator<Item = &Master> {
        self.instance_groups.iter().filter_map(InstanceGroup::master)
    }

    /// Whether API servers run beside the masters.
    pub fn has_api_servers(&self) -> bool {
        self.instance_groups.iter().any(|group| group.role() == Role::ApiServer)
    }

    /// Whether there are instances of a role, or may be without another specification: nodes may come and go.
    pub fn has_role(&self, role: Role) -> bool {
        match role {
            Role::ControlPlane | Role::Node => true,
            Role::Bastion => self.bastion.is_some(),
            Role::ApiServer => self.has_api_servers(),
        }
    }

    /// Whether windlass associates the hosted zone with the VPC: a private one with the cluster's own.
    pub fn associates_zone(&self) -> bool {
        let is_private = self.api.dns.as_ref().is_some_and(|dns| !dns.visibility.is_public());
        is_private && self.network.existing_vpc.is_none()
    }

    /// The API's name inside of the VPC.
    pub fn internal_name(&self) -> String {
        self.api.internal_name.clone().unwrap_or_else(|| endpoint::internal_name(&self.name))
    }

    /// The Kubernetes version of a group's instances.
    pub fn version_of(&self, group: &InstanceGroup) -> &str {
        let emulated = self.emulated_version.as_deref().filter(|_| group.role() != Role::ControlPlane);
        emulated.unwrap_or(&self.kubernetes_version)
    }

    /// The version of a group's node configuration: the oldest in which all that it asks for can be said. Of several
    /// masters, an older agent would look for the internal name in DNS; masters are told of another issuer, and of API
    /// servers beside them; all of a proxy, and of a registry; and it would give Kubernetes 1.33 an authentication
    /// configuration of a version that it doesn't know. It would have members of etcd begin anew that are added. Auto Scaling would wait in vain for an older agent, and nobody would
    /// read the queue.
    pub fn node_config_version(&self, group: &InstanceGroup) -> &'static str {
        let joins = || self.etcd.iter().any(|etcd| etcd.members.iter().any(|member| member.joins));
        if group.master().is_some() && joins() {
            return JOINING_VERSION;
        }
        let is_new_to_agents = self.network.is_ipv6()
            || self.egress_proxy.is_some()
            || self.image_source.is_some()
            || !self.lifecycle_hooks(group).is_empty();
        let is_new_to_masters = self.kubernetes_version.starts_with("1.33.")
            || self.has_api_servers()
            || self.has_interruption_queue();
        if is_new_to_agents || (group.master().is_some() && is_new_to_masters) {
            return LIFECYCLE_VERSION;
        }
        let has_issuer = group.master().is_some() && !self.service_accounts.are_usual();
        if has_issuer || self.masters().count() > 1 { EXTENDED_VERSION } else { group.node_config_version() }
    }
}
