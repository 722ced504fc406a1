//! Writing a changed specification: checked as a whole, compared with what runs, and written only over what was read.

use anyhow::Context as _;
use similar::TextDiff;

use super::context::Context;
use super::diagnostic::Refusal;
use super::holding::{OnInterrupt, holding};
use crate::assets::addons;
use crate::spec::additional::masked_pair;
use crate::spec::v1alpha2::{Cluster, InstanceGroup, Object, SshCredential};
use crate::spec::{AdditionalObject, ObjectKey, Problems, check_change, complete};
use crate::state::{ClusterState, Specification, Stored};

/// Documents that replace those of the same name, or are added.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Change {
    /// The names of instance groups that go.
    pub(crate) removed_groups: Vec<String>,
    /// The names of SSH keys that go.
    pub(crate) removed_ssh_credentials: Vec<String>,
    /// Which additional objects go.
    pub(crate) removed_objects: Vec<ObjectKey>,
    /// The cluster.
    pub(crate) cluster: Option<Cluster>,
    /// Instance groups.
    pub(crate) instance_groups: Vec<InstanceGroup>,
    /// SSH keys.
    pub(crate) ssh_credentials: Vec<SshCredential>,
    /// Additional objects.
    pub(crate) additional_objects: Vec<AdditionalObject>,
}

impl Change {
    /// Whether it says nothing that isn't there already.
    pub(crate) fn is_nothing_new_in(&self, read: &Specification) -> bool {
        fn all_there<T: Object + PartialEq>(new: &[T], old: &[Stored<T>]) -> bool {
            new.iter().all(|new| old.iter().any(|old| old.value == *new))
        }
        self.removed_groups.is_empty()
            && self.removed_ssh_credentials.is_empty()
            && self.removed_objects.is_empty()
            && self.cluster.as_ref().is_none_or(|cluster| *cluster == read.cluster.value)
            && all_there(&self.instance_groups, &read.instance_groups)
            && all_there(&self.ssh_credentials, &read.ssh_credentials)
            && self
                .additional_objects
                .iter()
                .all(|new| read.additional_objects.iter().any(|old| old.value == *new))
    }

    /// Checks the specification as it will be, and that a cluster that runs survives the step there.
    pub(crate) fn check(&self, read: &Specification) -> Result<(), Problems> {
        let (old_cluster, old_groups, old_credentials) = read.documents();
        let cluster = self.cluster.as_ref().unwrap_or(&old_cluster);
        let mut groups = overlay(&old_groups, &self.instance_groups);
        groups.retain(|group| !self.removed_groups.iter().any(|name| name == group.name()));
        let mut credentials = overlay(&old_credentials, &self.ssh_credentials);
        credentials.retain(|key| !self.removed_ssh_credentials.iter().any(|name| name == key.name()));
        let complete = complete(cluster, &groups, &credentials)?;
        addons::check_additional(&complete, &self.additional_objects)?;
        check_change((&old_cluster, &old_groups), (cluster, &groups))
    }

    /// Writes it, while holding the cluster's lease, if nothing of the specification has changed since it was read.
    pub(crate) async fn write(
        &self,
        context: &Context,
        state: &ClusterState,
        command: &str,
        read: &Specification,
    ) -> anyhow::Result<()> {
        holding(context, state, command, OnInterrupt::Drop, async {
            let now = state.read().await?;
            if now != *read {
                return Err(changed_meanwhile(state, read, &now).into());
            }
            self.put(state, read).await.with_context(|| format!("could not change {state}"))
        })
        .await
    }

    async fn put(&self, state: &ClusterState, read: &Specification) -> anyhow::Result<()> {
        for object in &self.additional_objects {
            let found = read.additional_objects.iter().find(|stored| stored.value.key() == object.key());
            state.put_additional_object(object, found.map(|found| &found.version)).await?;
        }
        for credential in &self.ssh_credentials {
            state.put_ssh_credential(credential, version(&read.ssh_credentials, credential)).await?;
        }
        for group in &self.instance_groups {
            state.put_instance_group(group, version(&read.instance_groups, group)).await?;
        }
        if let Some(cluster) = &self.cluster {
            state.put_cluster(cluster, &read.cluster.version).await?;
        }
        for stored in &read.instance_groups {
            if self.removed_groups.iter().any(|name| name == stored.value.name()) {
                state.delete_instance_group(stored.value.name(), &stored.version).await?;
            }
        }
        for stored in &read.ssh_credentials {
            if self.removed_ssh_credentials.iter().any(|name| name == stored.value.name()) {
                state.delete_ssh_credential(stored.value.name(), &stored.version).await?;
            }
        }
        for stored in &read.additional_objects {
            if self.removed_objects.contains(stored.value.key()) {
                state.delete_additional_object(stored.value.key(), &stored.version).await?;
            }
        }
        Ok(())
    }
}

/// The refusal of a change that was made from something older, with what changed since.
pub(crate) fn changed_meanwhile(state: &ClusterState, read: &Specification, now: &Specification) -> Refusal {
    let (before, after) = masked_pair(&read.objects(), &now.objects());
    let (read, now) = (read.to_yaml_with(&before), now.to_yaml_with(&after));
    let diff = TextDiff::from_lines(&read, &now);
    let diff = diff.unified_diff().header("as it was read", "as it is now").to_string();
    Refusal::new(format!("{state} has been changed by somebody else meanwhile; nothing was written:\n{diff}"))
        .hint("look at what changed and run the command again")
}

fn version<'a, T: Object>(read: &'a [Stored<T>], document: &T) -> Option<&'a crate::state::Version> {
    read.iter().find(|stored| stored.value.name() == document.name()).map(|stored| &stored.version)
}

/// The old documents with the new ones in their places, and those that have none behind them.
fn overlay<T: Object + Clone>(old: &[T], new: &[T]) -> Vec<T> {
    let replaced =
        |old: &T| new.iter().find(|new| new.name() == old.name()).cloned().unwrap_or_else(|| old.clone());
    let added = new.iter().filter(|new| !old.iter().any(|old| old.name() == new.name()));
    old.iter().map(replaced).chain(added.cloned()).collect()
}
