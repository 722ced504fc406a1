//! Groups of instances.

use std::collections::BTreeSet;

use windlass_bootstrap::keys;

use super::{
    Desired, Inputs, ModelError, access, control_plane, group_name, group_tags, identity, instance_tags,
    interruption, load_balancer, network,
};
use crate::assets::user_data::user_data;
use crate::aws::tags::{self, Tags};
use crate::cloud::Reference;
use crate::cloud::auto_scaling_group::lifecycle_hooks::Hooks;
use crate::cloud::auto_scaling_group::{AutoScalingGroup, TemplateVersion, attachments, lifecycle_hooks};
use crate::cloud::launch_template::{Addresses, LaunchTemplate, ProfileName, RootVolume};
use crate::cloud::security_group::SecurityGroup;
use crate::spec::cluster::{Cluster, DataVolume, InstanceGroup, Instances};

/// Seconds after its launch during which an instance isn't replaced for failing EC2's status checks: they take some
/// minutes to pass.
const HEALTH_CHECK_GRACE: u32 = 300;

/// Adds a group: its launch template and Auto Scaling group, and what its instances have besides.
pub(super) fn add(
    inputs: &Inputs<'_>,
    group: &InstanceGroup,
    node_config_sha256: &str,
    desired: &mut Desired,
) -> Result<(), ModelError> {
    let maintenance = match &group.instances {
        Instances::ControlPlane(master) => Some(control_plane::add(inputs, group, master, desired)?),
        Instances::Node(_) | Instances::Bastion(_) | Instances::ApiServer(_) => None,
    };
    let cluster = inputs.cluster;
    for id in &group.additional_security_groups {
        desired.refer_to_existing(id);
    }
    let name = group_name(cluster, group);
    let template = template(inputs, group, node_config_sha256)?;
    let (min_size, max_size) = group.sizes();
    let hooks = interruption::hooks(cluster, group);
    desired.insert(AutoScalingGroup {
        template: Reference::to(&template.name),
        version: TemplateVersion::Content(template.version_digest()),
        mixed: group.purchase.mixed().cloned(),
        min_size,
        max_size,
        subnets: group.subnets().iter().map(|subnet| network::subnet(cluster, subnet)).collect(),
        health_check_grace: HEALTH_CHECK_GRACE,
        maintenance,
        max_instance_lifetime: group.max_instance_lifetime,
        protected_from_scale_in: group.protected_from_scale_in,
        capacity_rebalance: group.capacity_rebalance,
        suspended: group.suspended_processes.clone(),
        suspended_by_others: BTreeSet::new(),
        stopped: None,
        is_behind: false,
        target_groups: load_balancer::target_groups(inputs, group),
        attached: group.attached.clone(),
        tags: auto_scaling_tags(cluster, group, &hooks, &name)?,
        hooks,
        warm_pool: group.warm_pool.map(interruption::warm_pool),
        name,
    })?;
    desired.insert(template)?;
    Ok(())
}

fn template(
    inputs: &Inputs<'_>,
    group: &InstanceGroup,
    node_config_sha256: &str,
) -> Result<LaunchTemplate, ModelError> {
    let cluster = inputs.cluster;
    let image = inputs
        .facts
        .images
        .get(&group.name)
        .ok_or_else(|| ModelError::NoImage { group: group.name.clone() })?;
    let name = group_name(cluster, group);
    let tags = group_tags(cluster, group, &name)?;
    let with_key_arn =
        |volume: &DataVolume| DataVolume { ebs: inputs.facts.with_key_arn(&volume.ebs), ..volume.clone() };
    let config = keys::node_config(&cluster.name, &group.name, node_config_sha256);
    Ok(LaunchTemplate {
        image: image.id.clone(),
        machine_type: group.machine_type.clone(),
        profile: profile(cluster, group),
        security_groups: security_groups(cluster, group),
        key: access::ssh_key(cluster),
        public_ip: group.associate_public_ip,
        addresses: addresses(group),
        user_data: user_data(cluster, group, inputs.state, node_config_sha256),
        node_config: Some(Reference::to(config)),
        root: RootVolume {
            device: image.root_device.clone(),
            ebs: inputs.facts.with_key_arn(&group.root_volume),
        },
        volumes: group.volumes.iter().map(with_key_arn).collect(),
        ebs_optimized: group.ebs_optimized,
        metadata_hop_limit: group.metadata_hop_limit,
        detailed_monitoring: group.detailed_monitoring,
        cpu_credits: group.cpu_credits,
        dedicated: group.dedicated,
        spot: group.purchase.spot().cloned(),
        resource_name: true,
        instance_tags: instance_tags(&tags),
        tags,
        name: LaunchTemplate::name_for(name),
        drift: [].into(),
    })
}

/// Of which families the addresses of a group's instances are: those that all its subnets have.
fn addresses(group: &InstanceGroup) -> Addresses {
    let subnets = group.subnets();
    match (subnets.iter().all(|subnet| subnet.cidr.is_some()), subnets.iter().all(|it| it.ipv6.is_some())) {
        (false, _) => Addresses::Ipv6,
        (true, true) => Addresses::Both,
        (true, false) => Addresses::Ipv4,
    }
}

/// The instance profile: that of the role of the group's instances, or the group's own.
fn profile(cluster: &Cluster, group: &InstanceGroup) -> ProfileName {
    match &group.instance_profile {
        Some(name) => ProfileName::Existing(name.clone()),
        None => ProfileName::Ours(Reference::to(identity::name(cluster, group.role()))),
    }
}

fn security_groups(cluster: &Cluster, group: &InstanceGroup) -> BTreeSet<Reference<SecurityGroup>> {
    let own = match &group.security_group {
        Some(id) => Reference::existing(id),
        None => Reference::to(access::group_name(cluster, group.role())),
    };
    group.additional_security_groups.iter().map(Reference::existing).chain([own]).collect()
}

/// The tags of the Auto Scaling group, which also say what windlass has suspended and attached.
fn auto_scaling_tags(
    cluster: &Cluster,
    group: &InstanceGroup,
    hooks: &Hooks,
    name: &str,
) -> Result<Tags, ModelError> {
    let mut tags = group_tags(cluster, group, name)?;
    let suspended: Vec<&str> = group.suspended_processes.iter().map(String::as_str).collect();
    if !suspended.is_empty() {
        tags.insert(tags::SUSPENDED.to_owned(), suspended.join(" "));
    }
    tags.extend(attachments::tag(&group.attached));
    tags.extend(lifecycle_hooks::tag(hooks));
    Ok(tags)
}
