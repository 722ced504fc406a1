//! Nothing of the model: which instance group a resource is of.

use windlass_bootstrap::{keys, tags as shared};

use super::group_name;
use crate::cloud::Resource;
use crate::cloud::launch_template::LaunchTemplate;
use crate::spec::cluster::{Cluster, InstanceGroup, Instances};

/// Whether a resource is a group's own: its Auto Scaling group, launch template and node configuration, of a master what moves
/// with it. What masters know of groups of nodes is theirs, and those groups'.
pub fn is_of_group(cluster: &Cluster, group: &InstanceGroup, resource: &Resource) -> bool {
    let name = group_name(cluster, group);
    match resource {
        Resource::AutoScalingGroup(scaling) => scaling.name == name,
        Resource::LaunchTemplate(template) => template.name == LaunchTemplate::name_for(name),
        Resource::NodeGroups(_) => !matches!(group.instances, Instances::Bastion(_)),
        Resource::StateObject(object) => {
            keys::of_node_config(&object.name).is_some_and(|(of, _)| of == group.name)
        }
        other => master_of(other).is_some_and(|master| master == group.name),
    }
}

/// Whether a resource moves with a master.
pub fn is_of_a_master(resource: &Resource) -> bool {
    master_of(resource).is_some()
}

/// The group of the master that a resource moves with.
fn master_of(resource: &Resource) -> Option<String> {
    resource.clone().tags_mut()?.remove(shared::MASTER)
}
