//! The world as the region tells it: what exists, and in which state, at one generation.
//!
//! `README.md` beside `Cargo.toml` describes the document. Fields that the machines don't need are left out
//! here, and fields that the region adds are ignored.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

mod balancing;

pub use balancing::{
    BalancerNode, HealthCheck, Listener, LoadBalancer, Record, Target, TargetGroup, TargetHealth, Zone,
};

/// Everything the machines have to make real.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct World {
    /// Grows with every change.
    pub generation: u64,
    /// The VPCs.
    pub vpcs: Vec<Vpc>,
    /// The subnets of all VPCs.
    pub subnets: Vec<Subnet>,
    /// The security groups of all VPCs.
    pub security_groups: Vec<SecurityGroup>,
    /// The NAT gateways that carry traffic.
    pub nat_gateways: Vec<NatGateway>,
    /// The network load balancers.
    pub load_balancers: Vec<LoadBalancer>,
    /// The target groups that their listeners forward to.
    pub target_groups: Vec<TargetGroup>,
    /// Route 53's hosted zones.
    pub zones: Vec<Zone>,
    /// The instances that have not been forgotten yet.
    pub instances: Vec<Instance>,
    /// The EBS volumes, root volumes excepted.
    pub volumes: Vec<Volume>,
}

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Vpc {
    /// The VPC's id.
    pub id: String,
    /// Its address range.
    pub cidr: Ipv4Net,
    /// The attached Internet gateway's id.
    #[serde(default)]
    pub internet_gateway: Option<String>,
}

/// A subnet with the routes of its route table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    /// The subnet's id.
    pub id: String,
    /// The VPC's id.
    pub vpc: String,
    /// Its address range.
    pub cidr: Ipv4Net,
    /// Its availability zone, such as `us-east-1a`.
    pub zone: String,
    /// The route table's entries besides the local one.
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// An entry of a route table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// An address range, or the prefix list of S3; IPv6 ranges are not routed here.
    pub destination: String,
    /// The id of a gateway, a VPC endpoint, an instance or a network interface.
    pub target: String,
}

/// A NAT gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NatGateway {
    /// The gateway's id.
    pub id: String,
    /// The VPC's id.
    pub vpc: String,
    /// The subnet that it is in, whose route table its own packets follow.
    pub subnet: String,
    /// Its private address.
    pub private_ip: Ipv4Addr,
    /// Its Elastic IP; a private gateway has none.
    #[serde(default)]
    pub public_ip: Option<Ipv4Addr>,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityGroup {
    /// The group's id.
    pub id: String,
    /// The VPC's id.
    pub vpc: String,
    /// What its members may receive.
    #[serde(default)]
    pub ingress: Vec<Permission>,
    /// What its members may send.
    #[serde(default)]
    pub egress: Vec<Permission>,
}

/// A rule of a security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permission {
    /// `tcp`, `udp`, `icmp`, `-1` for all, or a protocol number.
    pub protocol: String,
    /// The first port, or the ICMP type; none or -1 for all.
    #[serde(default)]
    pub from: Option<i32>,
    /// The last port, or the ICMP code; none or -1 for all.
    #[serde(default)]
    pub to: Option<i32>,
    /// The peers by address range.
    #[serde(default)]
    pub cidrs: Vec<String>,
    /// The peers by security group.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Instance {
    /// The instance's id.
    pub id: String,
    /// Where it stands in its life.
    pub state: InstanceState,
    /// The AMI's id.
    pub image: String,
    /// The instance type, such as `t3.medium`.
    #[serde(rename = "type")]
    pub instance_type: String,
    /// The VPC's id.
    pub vpc: String,
    /// The subnet's id.
    pub subnet: String,
    /// The availability zone.
    pub zone: String,
    /// The primary network interface's MAC address.
    pub mac: String,
    /// The primary network interface's id.
    pub network_interface: String,
    /// The primary private address.
    pub private_ip: Ipv4Addr,
    /// The interface's further private addresses.
    #[serde(default)]
    pub secondary_private_ips: Vec<Ipv4Addr>,
    /// Public addresses, Elastic or not, by the private address they stand for.
    #[serde(default)]
    pub public_ips: BTreeMap<Ipv4Addr, Ipv4Addr>,
    /// Whether packets must carry one of the instance's own addresses.
    #[serde(default = "yes")]
    pub source_dest_check: bool,
    /// The security groups' ids.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// The user data in base64.
    #[serde(default)]
    pub user_data: Option<String>,
    /// The options of the instance metadata service.
    #[serde(default)]
    pub metadata: MetadataOptions,
    /// The instance profile's ARN.
    #[serde(default)]
    pub profile_arn: Option<String>,
    /// The name of the profile's role.
    #[serde(default)]
    pub role: Option<String>,
    /// The key pair's public key in OpenSSH's form.
    #[serde(default)]
    pub public_key: Option<String>,
    /// The Auto Scaling group it belongs to.
    #[serde(default)]
    pub auto_scaling_group: Option<String>,
    /// What that group wants of it: `InService` or `Terminated`.
    #[serde(default)]
    pub target_lifecycle_state: Option<String>,
    /// `on-demand` or `spot`.
    #[serde(default)]
    pub lifecycle: Option<String>,
    /// The notice that it is going to be taken.
    #[serde(default)]
    pub interruption: Option<Interruption>,
    /// When it was recommended to rebalance, RFC 3339.
    #[serde(default)]
    pub rebalance: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// How often it was asked to reboot.
    #[serde(default)]
    pub reboots: u64,
    /// When it was launched, RFC 3339.
    #[serde(default)]
    pub launch_time: Option<String>,
}

/// The notice that a spot instance is interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruption {
    /// `terminate` or `stop`.
    pub action: String,
    /// When, RFC 3339.
    pub time: String,
}

fn yes() -> bool {
    true
}

/// EC2's instance states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Launched, not yet reported running.
    Pending,
    /// Reported running.
    Running,
    /// To be stopped: its machine ends, its disk is kept.
    Stopping,
    /// Stopped.
    Stopped,
    /// To be terminated.
    ShuttingDown,
    /// Gone.
    Terminated,
}

impl InstanceState {
    /// Whether the instance should have a machine.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }

    /// EC2's own name of the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }
}

/// The options of the instance metadata service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetadataOptions {
    /// `required` (IMDSv2 only) or `optional`.
    pub tokens: String,
    /// How many hops the answer to a token request lives.
    pub hop_limit: u32,
    /// `enabled` or `disabled`.
    pub endpoint: String,
    /// Whether the instance's tags are served: `enabled` or `disabled`.
    #[serde(rename = "tags")]
    pub instance_tags: String,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self {
            tokens: "optional".to_owned(),
            hop_limit: 1,
            endpoint: "enabled".to_owned(),
            instance_tags: "disabled".to_owned(),
        }
    }
}

/// An EBS volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The volume's id.
    pub id: String,
    /// Its size in GiB.
    pub size: u64,
    /// Its availability zone.
    pub zone: String,
    /// `creating`, `available`, `in-use`, `deleting`.
    pub state: String,
    /// Where it is, or is to be, attached.
    #[serde(default)]
    pub attachment: Option<Attachment>,
}

/// A volume's attachment to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The instance's id.
    pub instance: String,
    /// The device name that was asked for, such as `/dev/xvdf`.
    pub device: String,
    /// Where the attachment stands.
    pub state: AttachmentState,
}

/// EC2's attachment states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachmentState {
    /// To be attached.
    Attaching,
    /// Attached.
    Attached,
    /// To be detached.
    Detaching,
    /// To be detached, but still mounted in the instance.
    Busy,
    /// Detached.
    Detached,
}

impl Instance {
    /// Every private address of the instance, the primary one first.
    pub fn private_addresses(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        std::iter::once(self.private_ip).chain(self.secondary_private_ips.iter().copied())
    }

    /// The region: the availability zone without its letter.
    pub fn region(&self) -> &str {
        self.zone.trim_end_matches(|c: char| c.is_ascii_lowercase())
    }

    /// The name that EC2's DHCP gives: `ip-172-20-32-11`.
    pub fn host_name(&self) -> String {
        format!("ip-{}", self.private_ip.to_string().replace('.', "-"))
    }

    /// The private DNS domain of the region.
    pub fn domain(&self) -> String {
        match self.region() {
            "us-east-1" => "ec2.internal".to_owned(),
            region => format!("{region}.compute.internal"),
        }
    }
}

impl World {
    /// The VPC's instances that are connected to its network.
    pub fn connected<'a>(&'a self, vpc: &'a str) -> impl Iterator<Item = &'a Instance> {
        self.instances.iter().filter(move |instance| {
            instance.vpc == vpc
                && (instance.state.is_alive() || instance.state == InstanceState::ShuttingDown)
        })
    }
}
