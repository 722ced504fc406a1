//! Groups of instances.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use windlass_bootstrap::components::Components;
use windlass_bootstrap::config::{
    CONFIG_VERSION, EXTENDED_VERSION, FileConfig, GROUP_SETTINGS_VERSION, LIFECYCLE_VERSION, MountConfig,
    Role, SEVERAL_ETCD_VERSION, UnitConfig,
};

use super::{
    Attachment, CpuCredits, DataVolume, EbsVolume, HeldMember, MachineTypes, Purchase, Subnet, Taint,
    UserDataPart, WarmPool,
};
use crate::spec::non_empty::NonEmpty;

/// What the instances of a group are for, how many there are, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "role")]
pub enum Instances {
    /// One that runs etcd and the control plane.
    ControlPlane(Master),
    /// Those that run workloads.
    Node(Nodes),
    /// Those that let operators in.
    Bastion(Nodes),
    /// Nodes that run API servers.
    #[serde(rename = "APIServer")]
    ApiServer(Nodes),
}

/// A master: one instance, which stays where its volumes and its address are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Master {
    /// The subnet that it is in.
    pub subnet: Subnet,
    /// What it holds: a member of each etcd cluster.
    pub members: NonEmpty<HeldMember>,
}

impl Master {
    /// The oldest version of node configurations in which all that it says of etcd can be said.
    fn node_config_version(&self) -> &'static str {
        let is_plain =
            self.members.iter().count() == 1 && self.members.iter().all(|held| held.etcd.is_known_to_all());
        if is_plain { CONFIG_VERSION } else { SEVERAL_ETCD_VERSION }
    }
}

/// Nodes, bastions, or API servers beside the masters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Nodes {
    /// Fewest instances.
    pub min_size: u32,
    /// Most instances.
    pub max_size: u32,
    /// The subnets that they are in.
    pub subnets: NonEmpty<Subnet>,
}

/// A group of instances; while it is resolved, `I` is what is known of them so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceGroup<I = Instances> {
    /// Unique within the cluster; without the cluster's name.
    pub name: String,
    /// What its instances are for, how many there are, and where.
    #[serde(flatten)]
    pub instances: I,
    /// Such as `t3.medium`.
    pub machine_type: String,
    /// How instances are bought.
    #[serde(skip_serializing_if = "Purchase::is_on_demand")]
    pub purchase: Purchase,
    /// An AMI's id, or `owner/name`.
    pub image: String,
    /// The root volume.
    pub root_volume: EbsVolume,
    /// Further volumes, by their device names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<DataVolume>,
    /// Where they are mounted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountConfig>,
    /// Files, by their paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<FileConfig>,
    /// Units of systemd's, in the order in which they are started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<UnitConfig>,
    /// Whether instances have a bandwidth to EBS of their own, whatever their type has anyway.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub ebs_optimized: bool,
    /// Whether instances get a public address.
    pub associate_public_ip: bool,
    /// IMDSv2's hop limit.
    pub metadata_hop_limit: u32,
    /// Whether CloudWatch has metrics for each minute.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub detailed_monitoring: bool,
    /// After how many seconds an instance is replaced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_instance_lifetime: Option<u32>,
    /// Whether instances are launched with a protection from scaling in.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub protected_from_scale_in: bool,
    /// Whether Spot instances at risk are replaced before they are interrupted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub capacity_rebalance: bool,
    /// Instances that are kept stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_pool: Option<WarmPool>,
    /// Processes of Auto Scaling that are suspended.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub suspended_processes: BTreeSet<String>,
    /// How burstable types are charged for what they use beyond their baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_credits: Option<CpuCredits>,
    /// Whether no other account's instances run on the same hardware.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dedicated: bool,
    /// A security group that exists already, instead of windlass's own, by its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group: Option<String>,
    /// Security groups besides windlass's own, by their ids.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub additional_security_groups: BTreeSet<String>,
    /// Load balancers of others that its instances are put into.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub attached: BTreeSet<Attachment>,
    /// The name of an instance profile in place of windlass's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_profile: Option<String>,
    /// What cloud-init gets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_data: Vec<UserDataPart>,
    /// Kernel parameters by name, the cluster's among them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub kernel_parameters: BTreeMap<String, String>,
    /// Labels for the Nodes.
    pub node_labels: BTreeMap<String, String>,
    /// Taints for the Nodes.
    pub taints: Vec<Taint>,
    /// Whether those are the default, which a master has only while the cluster has nodes.
    pub default_taint: bool,
    /// Tags for this group's resources.
    pub cloud_labels: BTreeMap<String, String>,
    /// The kubelet's limit of pods.
    pub max_pods: Option<u32>,
    /// What its components are told.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub components: Components,
}

impl InstanceGroup {
    /// What its instances are for.
    pub fn role(&self) -> Role {
        match self.instances {
            Instances::ControlPlane(_) => Role::ControlPlane,
            Instances::Node(_) => Role::Node,
            Instances::Bastion(_) => Role::Bastion,
            Instances::ApiServer(_) => Role::ApiServer,
        }
    }

    /// The master, where it is one.
    pub fn master(&self) -> Option<&Master> {
        match &self.instances {
            Instances::ControlPlane(master) => Some(master),
            Instances::Node(_) | Instances::Bastion(_) | Instances::ApiServer(_) => None,
        }
    }

    /// The nodes, where they are some.
    pub fn nodes(&self) -> Option<&Nodes> {
        match &self.instances {
            Instances::ControlPlane(_) | Instances::Bastion(_) | Instances::ApiServer(_) => None,
            Instances::Node(nodes) => Some(nodes),
        }
    }

    /// The version of its node configuration: the oldest in which all that it asks for can be said, and whose agents can
    /// read its user data.
    pub fn node_config_version(&self) -> &'static str {
        let tells_etcd =
            |master: &Master| master.members.iter().any(|held| !held.etcd.environment.is_empty());
        let has_own = !(self.mounts.is_empty() && self.files.is_empty() && self.units.is_empty());
        let has_own = has_own || !self.components.is_empty() || self.master().is_some_and(tells_etcd);
        if self.role() == Role::ApiServer {
            return LIFECYCLE_VERSION;
        }
        if self.role() == Role::Bastion || has_own {
            return EXTENDED_VERSION;
        }
        if !self.user_data.is_empty() || !self.kernel_parameters.is_empty() {
            return GROUP_SETTINGS_VERSION;
        }
        self.master().map_or(CONFIG_VERSION, Master::node_config_version)
    }

    /// Fewest and most instances.
    pub fn sizes(&self) -> (u32, u32) {
        match &self.instances {
            Instances::ControlPlane(_) => (1, 1),
            Instances::Node(some) | Instances::Bastion(some) | Instances::ApiServer(some) => {
                (some.min_size, some.max_size)
            }
        }
    }

    /// The machine types that its instances can be of, where they are known by name.
    pub fn machine_types(&self) -> Option<Vec<&String>> {
        match self.purchase.mixed().map(|mixed| &mixed.types) {
            None => Some(vec![&self.machine_type]),
            Some(MachineTypes::These(types)) => Some(types.iter().collect()),
            Some(MachineTypes::With(_)) => None,
        }
    }

    /// The subnets that its instances are in.
    pub fn subnets(&self) -> NonEmpty<&Subnet> {
        match &self.instances {
            Instances::ControlPlane(master) => NonEmpty::from(&master.subnet),
            Instances::Node(some) | Instances::Bastion(some) | Instances::ApiServer(some) => {
                some.subnets.as_ref()
            }
        }
    }
}

impl<I> InstanceGroup<I> {
    /// The same group with something else known of its instances.
    pub fn with<J>(self, instances: J) -> InstanceGroup<J> {
        InstanceGroup {
            name: self.name,
            instances,
            machine_type: self.machine_type,
            purchase: self.purchase,
            image: self.image,
            root_volume: self.root_volume,
            volumes: self.volumes,
            mounts: self.mounts,
            files: self.files,
            units: self.units,
            ebs_optimized: self.ebs_optimized,
            associate_public_ip: self.associate_public_ip,
            metadata_hop_limit: self.metadata_hop_limit,
            detailed_monitoring: self.detailed_monitoring,
            max_instance_lifetime: self.max_instance_lifetime,
            protected_from_scale_in: self.protected_from_scale_in,
            capacity_rebalance: self.capacity_rebalance,
            warm_pool: self.warm_pool,
            suspended_processes: self.suspended_processes,
            cpu_credits: self.cpu_credits,
            dedicated: self.dedicated,
            security_group: self.security_group,
            additional_security_groups: self.additional_security_groups,
            attached: self.attached,
            instance_profile: self.instance_profile,
            user_data: self.user_data,
            kernel_parameters: self.kernel_parameters,
            node_labels: self.node_labels,
            taints: self.taints,
            default_taint: self.default_taint,
            cloud_labels: self.cloud_labels,
            max_pods: self.max_pods,
            components: self.components,
        }
    }
}
