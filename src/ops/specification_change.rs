//! Writing a changed specification: checked as a whole, compared with what runs, and written only over what was read.

use serde::Serialize;
use similar::TextDiff;

use super::{LeaseGuard, OperationError};
use crate::assets::addons;
use crate::spec::additional::masked_pair;
use crate::spec::v1alpha2::{Cluster, InstanceGroup, Object, SshCredential};
use crate::spec::{AdditionalObject, ObjectKey, Problems, check_change, resolve, to_yaml};
use crate::state::revision::Revision;
use crate::state::{ClusterState, Specification, StateError, Stored, Version, Write, layout};

/// Documents that replace those of the same name, or are added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpecificationChange {
    /// The names of instance groups that go.
    pub removed_groups: Vec<String>,
    /// The names of SSH keys that go.
    pub removed_ssh_credentials: Vec<String>,
    /// Which additional objects go.
    pub removed_objects: Vec<ObjectKey>,
    /// The cluster.
    pub cluster: Option<Cluster>,
    /// Instance groups.
    pub instance_groups: Vec<InstanceGroup>,
    /// SSH keys.
    pub ssh_credentials: Vec<SshCredential>,
    /// Additional objects.
    pub additional_objects: Vec<AdditionalObject>,
}

impl SpecificationChange {
    /// Whether it says nothing that isn't there already.
    pub fn is_nothing_new_in(&self, read: &Specification) -> bool {
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

    /// Checks the specification as it will be, and that a cluster that runs survives the step there. What was written and
    /// never applied binds nobody: it can be undone.
    pub fn check(&self, read: &Specification, running: &Running) -> Result<(), Problems> {
        let (old_cluster, old_groups, old_credentials) = read.documents();
        let cluster = self.cluster.as_ref().unwrap_or(&old_cluster);
        let groups = self.instance_groups_over(&old_groups);
        let mut credentials = overlay(&old_credentials, &self.ssh_credentials);
        credentials.retain(|key| !self.removed_ssh_credentials.iter().any(|name| name == key.name()));
        let complete = resolve(cluster, &groups, &credentials)?;
        addons::check_additional(&complete, &self.additional_objects)?;
        let mut renamed = cluster.clone();
        renamed.metadata.name.clone_from(&old_cluster.metadata.name);
        let before = match running {
            Running::Nothing => (&renamed, groups.as_slice()),
            Running::Unknown => (&old_cluster, old_groups.as_slice()),
            Running::Applied(revision) => (&revision.cluster, revision.instance_groups.as_slice()),
        };
        check_change(before, (cluster, &groups))
    }

    fn instance_groups_over(&self, old: &[InstanceGroup]) -> Vec<InstanceGroup> {
        let mut groups = overlay(old, &self.instance_groups);
        groups.retain(|group| !self.removed_groups.iter().any(|name| name == group.name()));
        groups
    }

    /// The specification as it will be. What changes in it has no version: it isn't written.
    pub fn of(&self, read: &Specification) -> Specification {
        fn over<T: Object + Clone>(old: &[Stored<T>], new: &[T], removed: &[String]) -> Vec<Stored<T>> {
            let kept = old.iter().filter(|stored| {
                let name = stored.value.name();
                !removed.iter().any(|removed| removed == name) && !new.iter().any(|new| new.name() == name)
            });
            let mut all: Vec<Stored<T>> = kept.cloned().chain(new.iter().cloned().map(unwritten)).collect();
            all.sort_by(|one, other| one.value.name().cmp(other.value.name()));
            all
        }
        let objects = read.additional_objects.iter().filter(|stored| {
            let key = stored.value.key();
            !self.removed_objects.contains(key) && !self.additional_objects.iter().any(|new| new.key() == key)
        });
        let new_objects = self.additional_objects.iter().cloned().map(unwritten);
        let mut additional_objects: Vec<_> = objects.cloned().chain(new_objects).collect();
        additional_objects.sort_by(|one, other| one.value.key().cmp(other.value.key()));
        Specification {
            cluster: self.cluster.clone().map_or_else(|| read.cluster.clone(), unwritten),
            instance_groups: over(&read.instance_groups, &self.instance_groups, &self.removed_groups),
            ssh_credentials: over(
                &read.ssh_credentials,
                &self.ssh_credentials,
                &self.removed_ssh_credentials,
            ),
            additional_objects,
            unfinished: None,
        }
    }

    /// Writes it, while holding the cluster's lease, if nothing of the specification has changed since it was read. It is
    /// written whole: several writes go through the journal.
    pub async fn write(&self, guard: &LeaseGuard<'_>, read: &Specification) -> Result<(), OperationError> {
        guard.holding(self.write_under_lease(guard.state, guard.command, read)).await
    }

    /// The same for whoever holds the lease.
    pub async fn write_under_lease(
        &self,
        state: &ClusterState,
        command: &str,
        read: &Specification,
    ) -> Result<(), OperationError> {
        let now = state.read().await?;
        if !now.says_what(read) {
            return Err(changed_meanwhile(state, read, &now));
        }
        let changed = state.change(command, self.writes(state.name(), &now)).await;
        changed.map_err(|source| OperationError::Write { cluster: state.to_string(), source })
    }

    /// What is to be written over what is there.
    fn writes(&self, cluster: &str, now: &Specification) -> Vec<Write> {
        let mut writes = Vec::new();
        for object in &self.additional_objects {
            let found = now.additional_objects.iter().find(|stored| stored.value.key() == object.key());
            if found.is_none_or(|found| found.value != *object) {
                writes.push(Write {
                    key: layout::additional_object(cluster, object.key()),
                    before: found.map(|found| found.version.clone()),
                    after: Some(object.to_yaml()),
                });
            }
        }
        put(&mut writes, &self.ssh_credentials, &now.ssh_credentials, |name| {
            layout::ssh_credential(cluster, name)
        });
        put(&mut writes, &self.instance_groups, &now.instance_groups, |name| {
            layout::instance_group(cluster, name)
        });
        put(&mut writes, self.cluster.as_slice(), std::slice::from_ref(&now.cluster), |_| {
            layout::cluster(cluster)
        });
        let gone = |key: String, version: &Version| Write { key, before: Some(version.clone()), after: None };
        writes.extend(
            removed(&now.instance_groups, &self.removed_groups)
                .map(|group| gone(layout::instance_group(cluster, group.value.name()), &group.version)),
        );
        writes.extend(removed(&now.ssh_credentials, &self.removed_ssh_credentials).map(|credential| {
            gone(layout::ssh_credential(cluster, credential.value.name()), &credential.version)
        }));
        let objects = now.additional_objects.iter();
        let objects = objects.filter(|stored| self.removed_objects.contains(stored.value.key()));
        writes
            .extend(objects.map(|it| gone(layout::additional_object(cluster, it.value.key()), &it.version)));
        writes
    }
}

/// The writes of documents that aren't there yet, or say something else.
fn put<T: Object + PartialEq + Serialize>(
    writes: &mut Vec<Write>,
    wanted: &[T],
    there: &[Stored<T>],
    key: impl Fn(&str) -> String,
) {
    for document in wanted {
        let found = there.iter().find(|stored| stored.value.name() == document.name());
        if found.is_none_or(|found| found.value != *document) {
            writes.push(Write {
                key: key(document.name()),
                before: found.map(|found| found.version.clone()),
                after: Some(to_yaml(document)),
            });
        }
    }
}

/// The documents of these names.
fn removed<'a, T: Object>(
    there: &'a [Stored<T>],
    names: &'a [String],
) -> impl Iterator<Item = &'a Stored<T>> {
    there.iter().filter(|stored| names.iter().any(|name| name == stored.value.name()))
}

/// What may be there in AWS, which a change must not break.
pub enum Running {
    /// Nothing was ever applied.
    Nothing,
    /// This was.
    Applied(Box<Revision>),
    /// Something was, and the state can't say what: the specification as it stands is the best guess.
    Unknown,
}

impl Running {
    /// Asks the state.
    pub async fn of(state: &ClusterState) -> Result<Self, StateError> {
        match state.running().await {
            Ok(Some(revision)) => Ok(Self::Applied(Box::new(revision))),
            Ok(None) => Ok(Self::Nothing),
            Err(error @ (StateError::Store { .. } | StateError::Newer { .. })) => Err(error),
            Err(_) => Ok(Self::Unknown),
        }
    }
}

fn unwritten<T>(value: T) -> Stored<T> {
    Stored { value, version: Version("not written".to_owned()) }
}

/// The refusal of a change that was made from something older, with what changed since.
pub fn changed_meanwhile(state: &ClusterState, read: &Specification, now: &Specification) -> OperationError {
    let (before, after) = masked_pair(&read.objects(), &now.objects());
    let (read, now) = (read.to_yaml_with(&before), now.to_yaml_with(&after));
    let difference = TextDiff::from_lines(&read, &now);
    let difference = difference.unified_diff().header("as it was read", "as it is now").to_string();
    OperationError::ChangedMeanwhile { cluster: state.to_string(), difference }
}

/// The old documents with the new ones in their places, and those that have none behind them.
fn overlay<T: Object + Clone>(old: &[T], new: &[T]) -> Vec<T> {
    let replaced =
        |old: &T| new.iter().find(|new| new.name() == old.name()).cloned().unwrap_or_else(|| old.clone());
    let added = new.iter().filter(|new| !old.iter().any(|old| old.name() == new.name()));
    old.iter().map(replaced).chain(added.cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{CreateOptions, create};
    use crate::state::Store;
    use crate::state::revision::Intent;

    async fn state() -> ClusterState {
        let state = ClusterState::new(Store::memory(), "demo.example.com");
        let options = CreateOptions {
            name: "demo.example.com".to_owned(),
            zones: vec!["us-east-1a".to_owned()],
            ..CreateOptions::default()
        };
        state.create(&create(&options).unwrap()).await.unwrap();
        state
    }

    /// A change of a range that no cluster that runs could survive.
    fn other_pod_range(read: &Specification) -> SpecificationChange {
        let mut cluster = read.cluster.value.clone();
        cluster.spec.pod_cidr = Some("100.100.0.0/17".to_owned());
        SpecificationChange { cluster: Some(cluster), ..SpecificationChange::default() }
    }

    #[tokio::test]
    async fn what_was_written_and_never_applied_can_be_undone() {
        let state = state().await;
        let first = state.read().await.unwrap();
        let change = other_pod_range(&first);
        let running = Running::of(&state).await.unwrap();
        change.check(&first, &running).unwrap();
        change.write_under_lease(&state, "edit", &first).await.unwrap();
        let second = state.read().await.unwrap();
        let back = SpecificationChange {
            cluster: Some(first.cluster.value.clone()),
            ..SpecificationChange::default()
        };
        back.check(&second, &running).unwrap();
        let mut renamed = first.cluster.value.clone();
        renamed.metadata.name = Some("other.example.com".to_owned());
        let problems = SpecificationChange { cluster: Some(renamed), ..SpecificationChange::default() }
            .check(&second, &running);
        assert!(problems.is_err(), "a cluster was renamed");
    }

    #[tokio::test]
    async fn a_change_is_checked_against_what_was_applied_and_not_against_what_was_only_written() {
        let state = state().await;
        let applied = state.read().await.unwrap();
        let number = state.record(&applied, Intent::default()).await.unwrap();
        let breaking = other_pod_range(&applied);
        for _ in ["begun", "done"] {
            let running = Running::of(&state).await.unwrap();
            assert!(breaking.check(&applied, &running).unwrap_err().to_string().contains("podCIDR"));
            state.mark_applied(number).await.unwrap();
        }
        // Written in another way, such as by an older windlass: the way back is open.
        breaking.write_under_lease(&state, "edit", &applied).await.unwrap();
        let read = state.read().await.unwrap();
        let back = SpecificationChange {
            cluster: Some(applied.cluster.value.clone()),
            ..SpecificationChange::default()
        };
        let running = Running::of(&state).await.unwrap();
        back.check(&read, &running).unwrap();
        assert!(back.of(&read).says_what(&applied));
    }
}
