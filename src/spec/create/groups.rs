//! Instance groups, and the etcd clusters over them.

use std::collections::BTreeMap;

use super::network::{further, is_private};
use super::{CreateOptions, group};
use crate::spec::default::{self, member_names};
use crate::spec::resolve::GROUP_LABEL;
use crate::spec::v1alpha2::{
    CLUSTER_LABEL, ClusterSpec, EtcdClusterSpec, EtcdMemberSpec, InstanceGroup, InstanceGroupRole,
    InstanceManager, MixedInstancesPolicySpec, Object, SubnetType,
};

/// One group for each master, over the control plane's zones in turn: `control-plane-<zone>`, with a number behind
/// it when there are more masters than zones.
pub(super) fn masters(options: &CreateOptions) -> Vec<InstanceGroup> {
    let given = &options.control_plane_zones;
    let zones = if given.is_empty() { &options.zones } else { given };
    let count = options.control_plane_count.map_or_else(|| given.len().max(1), |count| count as usize);
    let prefix = if options.ipv6 && is_private(options) { "dualstack-" } else { "" };
    let master = |index: usize| {
        let zone = &zones[index % zones.len()];
        let number =
            if count > zones.len() { format!("-{}", 1 + index / zones.len()) } else { String::new() };
        let mut group = group(&format!("control-plane-{zone}{number}"), InstanceGroupRole::Master, 1);
        group.spec.subnets = Some(vec![format!("{prefix}{zone}")]);
        machine(&Machine::of_master(options), &mut group);
        group
    };
    (0..count).map(master).collect()
}

/// One group for each zone, `nodes-<zone>`; the first have one node more where the count does not divide. Karpenter
/// has one group for all.
pub(super) fn nodes(options: &CreateOptions) -> Vec<InstanceGroup> {
    if options.instance_manager.as_deref() == Some("karpenter") {
        let mut group = InstanceGroup::named("nodes");
        group.spec.role = Some(InstanceGroupRole::Node);
        group.spec.manager = Some(InstanceManager::Karpenter);
        return vec![group];
    }
    let zones = u32::try_from(options.zones.len()).unwrap_or(u32::MAX);
    let count = options.node_count.unwrap_or(zones);
    let node = |(index, zone): (u32, &String)| {
        let size = count / zones + u32::from(index < count % zones);
        let mut group = group(&format!("nodes-{zone}"), InstanceGroupRole::Node, size);
        group.spec.subnets = Some(node_subnets(options, zone));
        machine(&Machine::of_node(options), &mut group);
        group
    };
    (0..).zip(&options.zones).map(node).collect()
}

/// Where a zone has subnets of further ranges, nodes are in these: the first may be small.
fn node_subnets(options: &CreateOptions, zone: &str) -> Vec<String> {
    let names = further(options).filter(|(_, of, _)| of.as_str() == zone).map(|(name, ..)| name);
    let names: Vec<String> = names.collect();
    if names.is_empty() { vec![zone.to_owned()] } else { names }
}

/// The bastion, in all private subnets; in IPv6 in those for masters.
pub(super) fn bastions(options: &CreateOptions, spec: &ClusterSpec) -> Option<InstanceGroup> {
    if !options.bastion {
        return None;
    }
    let mut group = group("bastions", InstanceGroupRole::Bastion, 1);
    group.spec.image.clone_from(&options.bastion_image);
    group.spec.machine_type = Some(default::BASTION_MACHINE_TYPE.to_owned());
    let kind = if options.ipv6 { SubnetType::DualStack } else { SubnetType::Private };
    group.spec.subnets = Some(subnets_of(spec, kind));
    Some(group)
}

fn subnets_of(spec: &ClusterSpec, kind: SubnetType) -> Vec<String> {
    let subnets = spec.subnets.iter().flatten().filter(|subnet| subnet.r#type == Some(kind));
    subnets.filter_map(|subnet| subnet.name.clone()).collect()
}

/// The flags that there are for masters and for nodes.
struct Machine<'a> {
    sizes: &'a [String],
    image: Option<&'a String>,
    tenancy: Option<&'a String>,
    volume_size: Option<u32>,
    volume_type: Option<&'a String>,
    security_groups: &'a [String],
}

impl<'a> Machine<'a> {
    fn of_master(options: &'a CreateOptions) -> Self {
        Self {
            sizes: &options.control_plane_size,
            image: options.control_plane_image.as_ref(),
            tenancy: options.control_plane_tenancy.as_ref(),
            volume_size: options.control_plane_volume_size,
            volume_type: options.control_plane_volume_type.as_ref(),
            security_groups: &options.control_plane_security_groups,
        }
    }

    fn of_node(options: &'a CreateOptions) -> Self {
        Self {
            sizes: &options.node_size,
            image: options.node_image.as_ref(),
            tenancy: options.node_tenancy.as_ref(),
            volume_size: options.node_volume_size,
            volume_type: options.node_volume_type.as_ref(),
            security_groups: &options.node_security_groups,
        }
    }
}

fn machine(machine: &Machine<'_>, group: &mut InstanceGroup) {
    let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let spec = &mut group.spec;
    spec.machine_type = machine.sizes.first().cloned();
    spec.mixed_instances_policy = (machine.sizes.len() > 1).then(|| MixedInstancesPolicySpec {
        instances: list(machine.sizes),
        ..MixedInstancesPolicySpec::default()
    });
    spec.image = machine.image.cloned();
    spec.tenancy = machine.tenancy.cloned();
    spec.root_volume_size = machine.volume_size;
    spec.root_volume_type = machine.volume_type.cloned();
    spec.additional_security_groups = list(machine.security_groups);
}

/// The label with its group's name that kops writes into every group.
pub fn group_label(group: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(GROUP_LABEL.to_owned(), group.to_owned())])
}

/// What every group has in common.
pub(super) fn finish(options: &CreateOptions, spec: &ClusterSpec, mut group: InstanceGroup) -> InstanceGroup {
    let label = (CLUSTER_LABEL.to_owned(), options.name.clone());
    group.metadata.labels = Some(BTreeMap::from([label]));
    group.spec.node_labels = Some(group_label(group.name()));
    group.spec.machine_type.get_or_insert_with(|| default::MACHINE_TYPE.to_owned());
    group.spec.image = group.spec.image.or_else(|| options.image.clone());
    group.spec.associate_public_ip = options.associate_public_ip;
    let kind = if is_private(options) { SubnetType::Private } else { SubnetType::Public };
    group.spec.subnets.get_or_insert_with(|| subnets_of(spec, kind));
    group
}

/// The etcd clusters: `main` unless asked otherwise, each with a member on every master.
pub(super) fn etcd_clusters(options: &CreateOptions, masters: &[InstanceGroup]) -> Vec<EtcdClusterSpec> {
    let mut names = options.etcd_clusters.clone();
    if names.is_empty() {
        names.push("main".to_owned());
    }
    if options.networking.as_deref() == Some("cilium-etcd") {
        names.push("cilium".to_owned());
    }
    names.into_iter().map(|name| etcd_cluster(options, name, masters)).collect()
}

fn etcd_cluster(options: &CreateOptions, name: String, masters: &[InstanceGroup]) -> EtcdClusterSpec {
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
        name: Some(name),
        etcd_members: Some(member_names(&groups).into_iter().zip(&groups).map(member).collect()),
        ..EtcdClusterSpec::default()
    }
}
