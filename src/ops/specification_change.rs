//! Writing a changed specification: checked as a whole, compared with what runs, and written only over what was read.

use std::collections::BTreeSet;

use similar::TextDiff;

use super::{LeaseGuard, OperationError};
use crate::assets::addons;
use crate::spec::v1alpha2::Cluster;
use crate::spec::{Document, DocumentName, Documents, Problems, check_change};
use crate::state::revision::Revision;
use crate::state::{ClusterState, Specification, StateError, Write, layout};

/// A change of a specification.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SpecificationChange {
    /// What goes.
    pub removed: BTreeSet<DocumentName>,
    /// What takes the place of documents of the same name, or is added.
    pub written: Documents<Option<Cluster>>,
}

impl SpecificationChange {
    /// Documents that take the place of those of the same name, or are added.
    pub fn writing(written: impl Into<Documents<Option<Cluster>>>) -> Self {
        Self { written: written.into(), ..Self::default() }
    }

    /// Documents that go.
    pub fn removing(removed: impl IntoIterator<Item = DocumentName>) -> Self {
        Self { removed: removed.into_iter().collect(), ..Self::default() }
    }

    /// What makes exactly these documents of others.
    pub fn between(there: &Documents, wanted: Documents) -> Self {
        let removed = there.names().difference(&wanted.names()).cloned().collect();
        Self { removed, written: wanted.into() }
    }

    /// Whether it says nothing that isn't there already.
    pub fn is_nothing_new_in(&self, there: &Documents) -> bool {
        let there = there.by_name();
        self.removed.is_empty() && self.written.iter().all(|new| there.get(&new.name()) == Some(&new))
    }

    /// Checks the specification as it will be, and that a cluster that runs survives the step there. What was written and
    /// never applied binds nobody: it can be undone.
    pub fn check(&self, there: &Documents, running: &Running) -> Result<(), Problems> {
        let then = self.of(there);
        let complete = then.resolve()?;
        addons::check_additional(&complete, &then.additional_objects)?;
        match running {
            Running::Nothing => {
                // Nothing but the name binds what was never applied.
                let mut before = then.clone();
                before.cluster.metadata.name.clone_from(&there.cluster.metadata.name);
                check_change(&before, &then)
            }
            Running::Unknown => check_change(there, &then),
            Running::Applied(revision) => check_change(&revision.documents, &then),
        }
    }

    /// The documents as they will be.
    pub fn of(&self, there: &Documents) -> Documents {
        there.changed(&self.removed, &self.written)
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
        if !now.documents.say_what(&read.documents) {
            return Err(changed_meanwhile(state, read, &now));
        }
        let changed = state.change(command, self.writes(state.name(), &now)).await;
        changed.map_err(|source| OperationError::Write { cluster: state.to_string(), source })
    }

    /// What is to be written over what is there.
    fn writes(&self, cluster: &str, now: &Specification) -> Vec<Write> {
        let there = now.documents.by_name();
        let version = |name: &DocumentName| now.versions.get(name).cloned();
        let written: Vec<Document<'_>> = self.written.iter().collect();
        let changed = written.into_iter().map(|document| (document.name(), document));
        let changed = changed.filter(|(name, document)| there.get(name) != Some(document));
        let changed = changed.map(|(name, document)| Write {
            key: layout::document(cluster, &name),
            before: version(&name),
            after: Some(document.to_yaml()),
        });
        let gone = self.removed.difference(&self.written.names()).cloned().collect::<Vec<_>>();
        let gone = gone.into_iter().filter(|name| there.contains_key(name)).map(|name| Write {
            key: layout::document(cluster, &name),
            before: version(&name),
            after: None,
        });
        changed.chain(gone).collect()
    }
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

/// The refusal of a change that was made from something older, with what changed since.
pub fn changed_meanwhile(state: &ClusterState, read: &Specification, now: &Specification) -> OperationError {
    let (read, now) = read.documents.masked_yaml_beside(&now.documents);
    let difference = TextDiff::from_lines(&read, &now);
    let difference = difference.unified_diff().header("as it was read", "as it is now").to_string();
    OperationError::ChangedMeanwhile { cluster: state.to_string(), difference }
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
        let mut cluster = read.documents.cluster.clone();
        cluster.spec.pod_cidr = Some("100.100.0.0/17".to_owned());
        SpecificationChange::writing(cluster)
    }

    #[tokio::test]
    async fn what_was_written_and_never_applied_can_be_undone() {
        let state = state().await;
        let first = state.read().await.unwrap();
        let change = other_pod_range(&first);
        let running = Running::of(&state).await.unwrap();
        change.check(&first.documents, &running).unwrap();
        change.write_under_lease(&state, "edit", &first).await.unwrap();
        let second = state.read().await.unwrap();
        let back = SpecificationChange::writing(first.documents.cluster.clone());
        back.check(&second.documents, &running).unwrap();
        let mut renamed = first.documents.cluster.clone();
        renamed.metadata.name = Some("other.example.com".to_owned());
        let problems = SpecificationChange::writing(renamed).check(&second.documents, &running);
        assert!(problems.is_err(), "a cluster was renamed");
    }

    #[tokio::test]
    async fn a_change_is_checked_against_what_was_applied_and_not_against_what_was_only_written() {
        let state = state().await;
        let applied = state.read().await.unwrap();
        let number = state.record(&applied.documents, Intent::default()).await.unwrap();
        let breaking = other_pod_range(&applied);
        for _ in ["begun", "done"] {
            let running = Running::of(&state).await.unwrap();
            assert!(
                breaking.check(&applied.documents, &running).unwrap_err().to_string().contains("podCIDR")
            );
            state.mark_applied(number).await.unwrap();
        }
        // Written in another way, such as by an older windlass: the way back is open.
        breaking.write_under_lease(&state, "edit", &applied).await.unwrap();
        let read = state.read().await.unwrap();
        let back = SpecificationChange::writing(applied.documents.cluster.clone());
        let running = Running::of(&state).await.unwrap();
        back.check(&read.documents, &running).unwrap();
        assert!(back.of(&read.documents).say_what(&applied.documents));
    }
}
