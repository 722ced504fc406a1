//! What a resource is called: its kind and its name.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use serde::{Serialize, Serializer};

/// The kinds of resource that a cluster consists of. Their order is the order in which plans list them where nothing
/// else decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A virtual network.
    Vpc,
    /// The VPC's way to the Internet.
    InternetGateway,
    /// A subnet.
    Subnet,
    /// An address of a subnet that EC2 does not hand out by itself.
    AddressReservation,
    /// A route table with its routes and associations.
    RouteTable,
    /// A security group without its rules.
    SecurityGroup,
    /// The whole allow-list of a security group.
    SecurityGroupRules,
    /// An IAM role with its inline policy.
    Role,
    /// An instance profile.
    InstanceProfile,
    /// An imported SSH key.
    KeyPair,
    /// An EBS volume.
    Volume,
    /// An Elastic IP.
    ElasticIp,
    /// A name in a hosted zone.
    RecordSet,
    /// An object of the state that instances read.
    StateObject,
    /// The objects that masters apply besides windlass's own add-ons.
    AdditionalObjects,
    /// The groups of nodes, as masters follow them.
    NodeGroups,
    /// A launch template.
    LaunchTemplate,
    /// An Auto Scaling group.
    AutoScalingGroup,
    /// The marks on volumes of PersistentVolumes that go with the cluster.
    ReclaimMarks,
    /// The volume of a PersistentVolume.
    PersistentVolume,
    /// An application, network or gateway load balancer that a controller made.
    LoadBalancer,
    /// A classic load balancer that a controller made.
    ClassicLoadBalancer,
    /// A target group that a controller made.
    TargetGroup,
    /// A security group that a controller made.
    ControllersSecurityGroup,
    /// A network interface that a controller made.
    NetworkInterface,
}

impl Kind {
    /// Every kind, in order.
    pub const ALL: [Self; 25] = [
        Self::Vpc,
        Self::InternetGateway,
        Self::Subnet,
        Self::AddressReservation,
        Self::RouteTable,
        Self::SecurityGroup,
        Self::SecurityGroupRules,
        Self::Role,
        Self::InstanceProfile,
        Self::KeyPair,
        Self::Volume,
        Self::ElasticIp,
        Self::RecordSet,
        Self::StateObject,
        Self::AdditionalObjects,
        Self::NodeGroups,
        Self::LaunchTemplate,
        Self::AutoScalingGroup,
        Self::ReclaimMarks,
        Self::PersistentVolume,
        Self::LoadBalancer,
        Self::ClassicLoadBalancer,
        Self::TargetGroup,
        Self::ControllersSecurityGroup,
        Self::NetworkInterface,
    ];

    /// Whether things of this kind are made by controllers in the cluster, and never from a specification.
    pub fn is_made_by_controllers(self) -> bool {
        matches!(
            self,
            Self::PersistentVolume
                | Self::LoadBalancer
                | Self::ClassicLoadBalancer
                | Self::TargetGroup
                | Self::ControllersSecurityGroup
                | Self::NetworkInterface
        )
    }

    /// The kind's name in plans: `launch-template`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vpc => "vpc",
            Self::InternetGateway => "internet-gateway",
            Self::Subnet => "subnet",
            Self::AddressReservation => "address-reservation",
            Self::RouteTable => "route-table",
            Self::SecurityGroup => "security-group",
            Self::SecurityGroupRules => "security-group-rules",
            Self::Role => "role",
            Self::InstanceProfile => "instance-profile",
            Self::KeyPair => "key-pair",
            Self::Volume => "volume",
            Self::ElasticIp => "elastic-ip",
            Self::RecordSet => "record-set",
            Self::StateObject => "state-object",
            Self::AdditionalObjects => "additional-objects",
            Self::NodeGroups => "node-groups",
            Self::LaunchTemplate => "launch-template",
            Self::AutoScalingGroup => "auto-scaling-group",
            Self::ReclaimMarks => "reclaim-marks",
            Self::PersistentVolume => "persistent-volume",
            Self::LoadBalancer => "load-balancer",
            Self::ClassicLoadBalancer => "classic-load-balancer",
            Self::TargetGroup => "target-group",
            Self::ControllersSecurityGroup => "controllers-security-group",
            Self::NetworkInterface => "network-interface",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A resource's identity within a cluster: `subnet/us-east-1a.demo.example.com`. It is known before the resource
/// exists; AWS's own id is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    /// What it is.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: String,
}

impl ResourceId {
    /// An identity.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl From<&ResourceId> for String {
    fn from(id: &ResourceId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.name)
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A type that describes a resource of one kind.
pub trait Described {
    /// The kind.
    const KIND: Kind;
}

/// A reference from one resource to another of a known kind, by name. References are what a plan's order is made of.
///
/// What is observed may refer to something that isn't the cluster's; the reference then holds AWS's id, which no name
/// of ours equals, so that the difference shows.
pub struct Reference<T> {
    name: String,
    kind: PhantomData<fn() -> T>,
}

impl<T: Described> Reference<T> {
    /// Refers to the resource of this name.
    pub fn to(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: PhantomData }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The identity of what is referred to.
    pub fn id(&self) -> ResourceId {
        ResourceId::new(T::KIND, &self.name)
    }
}

impl<T> Clone for Reference<T> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), kind: PhantomData }
    }
}

impl<T> fmt::Debug for Reference<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(formatter)
    }
}

impl<T> fmt::Display for Reference<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl<T> PartialEq for Reference<T> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<T> Eq for Reference<T> {}

impl<T> PartialOrd for Reference<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Reference<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}
