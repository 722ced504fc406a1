//! What instances read out of the state.

use std::collections::BTreeSet;

use windlass_bootstrap::config::{AddonRef, NodeConfig};
use windlass_bootstrap::keyset::Secret;
use windlass_bootstrap::node_groups::Size;
use windlass_bootstrap::{docker_config, keys};

use super::{Desired, Inputs, ModelError, roles, workload_identity};
use crate::assets::node_config;
use crate::cloud::additional_objects::AdditionalObjects;
use crate::cloud::backup_expiry::BackupExpiry;
use crate::cloud::node_groups::NodeGroups;
use crate::cloud::state_object::{Content, StateObject};
use crate::cloud::{Reference, Resource, digest};
use crate::spec::cluster::InstanceGroup;

/// Adds keysets, add-ons and node configurations; returns the groups, each with the digest of its node configuration.
pub(super) fn add<'a>(
    inputs: &Inputs<'a>,
    desired: &mut Desired,
) -> Result<Vec<(&'a InstanceGroup, String)>, ModelError> {
    let cluster = inputs.cluster;
    desired.extend(inputs.keys.objects.iter().cloned().map(Resource::from))?;
    add_additional_objects(inputs, desired)?;
    add_node_groups_and_backups(inputs, desired)?;
    desired.insert(no_registry_credentials(&cluster.name))?;
    let mut addons = Vec::new();
    let mut addon_objects = BTreeSet::new();
    for addon in inputs.addons {
        let sha256 = digest(addon.manifest.as_bytes());
        let name = keys::addon(&cluster.name, &addon.name, &sha256);
        addon_objects.insert(Reference::to(&name));
        addons.push(AddonRef { name: addon.name.clone(), sha256 });
        desired.insert(StateObject {
            name,
            describes: format!("the add-on {}", addon.name),
            names: BTreeSet::new(),
            content: Some(Content::Open(addon.manifest.clone())),
        })?;
    }
    let issuer = workload_identity::issuer(inputs)?;
    let mut configurations = Vec::new();
    for group in &cluster.instance_groups {
        let config = node_config::node_config(cluster, group, &inputs.keys.kubernetes_ca, &addons, &issuer)?;
        let text = bytes(&config);
        let sha256 = digest(text.as_bytes());
        let secrets = inputs.keys.objects.iter().map(|object| Reference::to(&object.name));
        let addons = addon_objects.iter().filter(|_| roles::of(group.role()).installs_addons);
        // What a node trusts is signed with a key that must have been kept first.
        let names = addons.cloned().chain(secrets).collect();
        desired.insert(StateObject {
            name: keys::node_config(&cluster.name, &group.name, &sha256),
            describes: format!("the node configuration of {}", group.name),
            names,
            content: Some(Content::Open(text)),
        })?;
        configurations.push((group, sha256));
    }
    Ok(configurations)
}

/// What says to nodes that there are no credentials for image registries, until a user gives some; they are never
/// written over. It counts as secret, as what takes its place is.
fn no_registry_credentials(cluster: &str) -> StateObject {
    let text = Secret::new(docker_config::NONE);
    StateObject {
        name: keys::docker_config(cluster),
        describes: "no credentials for image registries".to_owned(),
        names: BTreeSet::new(),
        content: Some(Content::Secret { keys: Vec::new(), text }),
    }
}

fn add_additional_objects(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<(), ModelError> {
    let mut objects = inputs.additional_objects.to_vec();
    if objects.is_empty() {
        return Ok(());
    }
    objects.sort_by(|one, other| (one.rank(), one.key()).cmp(&(other.rank(), other.key())));
    let name = keys::additional_objects(&inputs.cluster.name);
    desired.insert(AdditionalObjects { name, objects })
}

/// What masters follow of the groups of nodes. Their configurations say nothing of them, so that a change of a group of
/// nodes changes no master. And for how long backups are kept, which nobody decides who makes them.
fn add_node_groups_and_backups(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<(), ModelError> {
    let cluster = inputs.cluster;
    let groups = cluster.instance_groups.iter();
    let sizes = groups.filter_map(|group| {
        let nodes = group.nodes()?;
        Some((group.name.clone(), Size { min: nodes.min_size, max: nodes.max_size }))
    });
    desired.insert(NodeGroups::new(&cluster.name, sizes))?;
    // Only a bucket has rules.
    if inputs.state.bucket_and_prefix().is_some() {
        desired.insert(BackupExpiry::new(&cluster.name, cluster.backups.retention_days))?;
    }
    Ok(())
}

/// The bytes whose digest names the configuration.
fn bytes(config: &NodeConfig) -> String {
    // The configuration is a struct of strings, numbers and maps by strings, which always becomes JSON.
    serde_json::to_string_pretty(config).unwrap_or_default()
}
