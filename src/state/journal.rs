//! The journal: what makes a change of several objects one change.
//!
//! A change of the specification that is more than one write is written down first, whole, as the object
//! [`layout::journal`]; then its writes are made; then the journal is deleted. Whoever is killed in between leaves the
//! journal behind, and with it all that it takes to finish:
//!
//! - Every command that takes the cluster's lease finishes the change first, the same command and any other, so nobody
//!   ever works on a mixed specification. It is the change that was asked for, checked and begun: finishing it is as if
//!   whoever began it had not been killed.
//! - Whoever only reads is shown the specification as it will be, and that it isn't written yet
//!   ([`super::Specification::unfinished`]).
//!
//! A deletion of the whole cluster can't be finished by just anybody. Its journal is a tombstone, written before the first
//! thing is deleted, deleted as one of the last: until then every command but `delete cluster` refuses to change the
//! cluster, and `unlock --undelete` gives the deletion up.
//!
//! Every write in the journal names the version of the object that it replaces, so that finishing writes over nothing
//! that somebody else wrote meanwhile.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::cluster_state::{ClusterState, WRITES};
use super::error::StateError;
use super::format::newer;
use super::holder::Holder;
use super::layout;
use super::object::{Condition, Object, Version};

/// The version of the journal's format.
const FORMAT: u32 = 1;

/// A change that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Journal {
    version: u32,
    /// By whom.
    pub user: String,
    /// On which machine.
    pub host: String,
    /// With which command, such as `replace`.
    pub command: String,
    /// When.
    pub since: Timestamp,
    /// What is being done.
    pub work: Work,
}

/// What a journal is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Work {
    /// These objects are being written.
    Change(Vec<Write>),
    /// The whole cluster is being deleted.
    Deletion,
}

/// One object's part of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Write {
    /// The object's key.
    pub key: String,
    /// The version that is replaced; none where there is no object yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Version>,
    /// What it will say; none where it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Journal {
    fn new(command: &str, work: Work) -> Self {
        let Holder { user, host, command, process: _ } = Holder::this_process(command);
        Self { version: FORMAT, user, host, command, since: Timestamp::now(), work }
    }

    /// Who began what, and when.
    pub fn describe(&self) -> String {
        let Self { user, host, command, since, .. } = self;
        format!("{user} on {host} began `windlass {command}` at {}", since.strftime("%Y-%m-%d %H:%M:%S UTC"))
    }

    /// Whether the whole cluster is being deleted.
    pub fn is_deletion(&self) -> bool {
        self.work == Work::Deletion
    }

    /// What is written of the specification.
    pub fn writes(&self) -> &[Write] {
        match &self.work {
            Work::Change(writes) => writes,
            Work::Deletion => &[],
        }
    }
}

/// Where an object stands between before and after.
enum Stand {
    /// It is as it shall be.
    Written,
    /// It is as it was.
    Pending(Condition),
    /// It is neither.
    Elsewhere,
}

impl Write {
    fn stand(&self, found: Option<&Object>) -> Stand {
        let is_written = match (&self.after, found) {
            (Some(after), Some(found)) => found.bytes == after.as_bytes(),
            (None, None) => true,
            _ => false,
        };
        match (&self.before, found) {
            _ if is_written => Stand::Written,
            (None, None) => Stand::Pending(Condition::Absent),
            (Some(before), Some(found)) if found.version == *before => {
                Stand::Pending(Condition::Unchanged(before.clone()))
            }
            _ => Stand::Elsewhere,
        }
    }
}

impl ClusterState {
    /// The change that was begun and not ended, if there is one.
    pub async fn journal(&self) -> Result<Option<Journal>, StateError> {
        Ok(self.read_journal().await?.map(|(journal, _)| journal))
    }

    /// Makes a change of any number of objects, whole or not at all: what a killed attempt leaves,
    /// [`ClusterState::finish_change`] finishes. Fails when an object isn't what the change was made from; then nothing is
    /// written. Needs the lease.
    pub async fn change(&self, command: &str, writes: Vec<Write>) -> Result<(), StateError> {
        if let [write] = writes.as_slice() {
            let condition = write.before.clone().map_or(Condition::Absent, Condition::Unchanged);
            return self.carry_out(write, condition).await;
        }
        if writes.is_empty() {
            return Ok(());
        }
        let stands = self.stands(&writes).await?;
        if let Some((write, _)) =
            writes.iter().zip(&stands).find(|(_, stand)| matches!(stand, Stand::Elsewhere))
        {
            let source = super::StoreError::Changed { key: write.key.clone() };
            return Err(self.failed()(source));
        }
        let journal = Journal::new(command, Work::Change(writes));
        let version = self.write_journal(&journal, Condition::Absent).await?;
        self.end(&journal, &version).await
    }

    /// Finishes the change that somebody began and didn't end. Returns it; `None` where there is none. Fails where the
    /// cluster is being deleted, and where an object is neither as it was before the change nor as it shall be after it,
    /// while others are still to be written. Needs the lease.
    pub async fn finish_change(&self) -> Result<Option<Journal>, StateError> {
        let Some((journal, version)) = self.read_journal().await? else { return Ok(None) };
        if journal.is_deletion() {
            let (cluster, began) = (self.name().to_owned(), journal.describe());
            return Err(StateError::BeingDeleted { cluster, began });
        }
        self.end(&journal, &version).await?;
        Ok(Some(journal))
    }

    /// Says that the cluster is being deleted, before the first thing is. A change that was begun is finished first, so
    /// that a deletion that is given up leaves a whole specification; one that can't be finished, or can't be read, doesn't
    /// keep the cluster alive. Needs the lease.
    pub async fn begin_deletion(&self, command: &str) -> Result<(), StateError> {
        let found = self.store().get(&layout::journal(self.name())).await.map_err(self.failed())?;
        let condition = match found.map(|found| (self.parse_journal(&found), found.version)) {
            None => Condition::Absent,
            Some((Ok(journal), _)) if journal.is_deletion() => return Ok(()),
            Some((Ok(journal), version)) => match self.end(&journal, &version).await {
                Ok(()) => Condition::Absent,
                Err(StateError::Unfinishable { .. }) => Condition::Unchanged(version),
                Err(error) => return Err(error),
            },
            Some((Err(_), version)) => Condition::Unchanged(version),
        };
        self.write_journal(&Journal::new(command, Work::Deletion), condition).await.map(drop)
    }

    /// Gives up a deletion that was begun. Returns it; `None` where there is none. Needs the lease.
    pub async fn give_up_deletion(&self) -> Result<Option<Journal>, StateError> {
        match self.read_journal().await? {
            Some((journal, version)) if journal.is_deletion() => {
                self.delete_journal(&version).await?;
                Ok(Some(journal))
            }
            _ => Ok(None),
        }
    }

    /// Makes what is left of the writes, side by side, and then ends the journal. Where nothing is left to write, the
    /// journal is one that came too late: a copy of a request that was carried out long ago.
    async fn end(&self, journal: &Journal, version: &Version) -> Result<(), StateError> {
        let writes = journal.writes();
        let stands = self.stands(writes).await?;
        let (mut pending, mut elsewhere) = (Vec::new(), None);
        for (write, stand) in writes.iter().zip(stands) {
            match stand {
                Stand::Pending(condition) => pending.push(Box::pin(self.carry_out(write, condition))),
                Stand::Elsewhere => elsewhere = elsewhere.or(Some(write)),
                Stand::Written => {}
            }
        }
        if let (false, Some(write)) = (pending.is_empty(), elsewhere) {
            let (cluster, began) = (self.name().to_owned(), journal.describe());
            return Err(StateError::Unfinishable { cluster, began, key: write.key.clone() });
        }
        stream::iter(pending).buffer_unordered(WRITES).try_collect::<()>().await?;
        self.delete_journal(version).await
    }

    async fn stands(&self, writes: &[Write]) -> Result<Vec<Stand>, StateError> {
        let keys: Vec<String> = writes.iter().map(|write| write.key.clone()).collect();
        let found = self.store().get_all(&keys).await.map_err(self.failed())?;
        Ok(writes.iter().zip(found).map(|(write, found)| write.stand(found.as_ref())).collect())
    }

    async fn carry_out(&self, write: &Write, condition: Condition) -> Result<(), StateError> {
        let done = match (&write.after, condition) {
            (Some(text), condition) => {
                self.store().put(&write.key, text.clone().into_bytes(), condition).await.map(drop)
            }
            (None, Condition::Unchanged(version)) => self.store().delete(&write.key, &version).await,
            (None, Condition::Absent) => Ok(()),
        };
        done.map_err(self.failed())
    }

    async fn read_journal(&self) -> Result<Option<(Journal, Version)>, StateError> {
        let key = layout::journal(self.name());
        let found = self.store().get(&key).await.map_err(self.failed())?;
        match found {
            Some(found) => Ok(Some((self.explained(self.parse_journal(&found)).await?, found.version))),
            None => Ok(None),
        }
    }

    pub(super) fn parse_journal(&self, found: &Object) -> Result<Journal, StateError> {
        let malformed = |reason: String| StateError::Malformed { key: layout::journal(self.name()), reason };
        parse(&found.bytes).map_err(malformed)
    }

    async fn write_journal(&self, journal: &Journal, condition: Condition) -> Result<Version, StateError> {
        let key = layout::journal(self.name());
        let bytes = serde_json::to_vec_pretty(journal)
            .map_err(|error| StateError::Malformed { key: key.clone(), reason: error.to_string() })?;
        self.store().put(&key, bytes, condition).await.map_err(self.failed())
    }

    async fn delete_journal(&self, version: &Version) -> Result<(), StateError> {
        self.store().delete(&layout::journal(self.name()), version).await.map_err(self.failed())
    }
}

fn parse(bytes: &[u8]) -> Result<Journal, String> {
    let journal: Journal = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if journal.version <= FORMAT { Ok(journal) } else { Err(newer(journal.version)) }
}

/// What is wrong with the bytes of a journal.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    parse(bytes).map(drop)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::spec::v1alpha2::Object as _;
    use crate::spec::{CreateOptions, Document, create, to_yaml};
    use crate::state::{Specification, Store};

    const NAME: &str = "demo.example.com";

    /// An operator's own door to a state in a folder.
    fn operator(folder: &Path) -> ClusterState {
        ClusterState::new(Store::file(folder), NAME)
    }

    /// One who is killed after so many writes.
    fn killed_after(folder: &Path, writes: i64) -> ClusterState {
        let state = operator(folder);
        let left = AtomicI64::new(writes);
        state.store().stop_when(Arc::new(move || left.fetch_sub(1, Ordering::SeqCst) <= 0));
        state
    }

    async fn created(folder: &Path) -> Specification {
        let zones = vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()];
        let options = CreateOptions { name: NAME.to_owned(), zones, ..CreateOptions::default() };
        operator(folder).create(&create(&options).unwrap()).await.unwrap();
        operator(folder).read().await.unwrap()
    }

    /// Another channel, one group larger, one gone, one new: four writes.
    fn writes(read: &Specification) -> Vec<Write> {
        let mut cluster = read.documents.cluster.clone();
        cluster.spec.channel = Some("alpha".to_owned());
        let [.., grown, gone] = read.documents.instance_groups.as_slice() else { panic!("too few groups") };
        let (mut more, mut new) = (grown.clone(), gone.clone());
        more.spec.max_size = Some(7);
        new.metadata.name = Some("new".to_owned());
        let write = |changed: Document<'_>, after| {
            let (name, after) = (changed.name(), Option::map(after, Document::to_yaml));
            Write { key: layout::document(NAME, &name), before: read.versions.get(&name).cloned(), after }
        };
        vec![
            write(Document::Cluster(&cluster), Some(&Document::Cluster(&cluster))),
            write(Document::InstanceGroup(&more), Some(&Document::InstanceGroup(&more))),
            write(Document::InstanceGroup(&new), Some(&Document::InstanceGroup(&new))),
            write(Document::InstanceGroup(gone), None),
        ]
    }

    fn values(specification: &Specification) -> String {
        specification.documents.to_yaml()
    }

    #[tokio::test]
    async fn a_change_that_is_killed_at_any_write_is_finished_whole_by_whoever_comes_next() {
        let whole = {
            let folder = tempfile::tempdir().unwrap();
            let read = created(folder.path()).await;
            operator(folder.path()).change("replace", writes(&read)).await.unwrap();
            assert_eq!(operator(folder.path()).journal().await.unwrap(), None);
            values(&operator(folder.path()).read().await.unwrap())
        };
        // The journal, four writes, the journal's end.
        for killed in 0..6 {
            let folder = tempfile::tempdir().unwrap();
            let read = created(folder.path()).await;
            let error =
                killed_after(folder.path(), killed).change("replace", writes(&read)).await.unwrap_err();
            assert!(matches!(&error, StateError::Store { .. }), "{error}");
            let begun = killed > 0;
            let seen = operator(folder.path()).read().await.unwrap();
            let before = values(&read);
            let shown = if begun { &whole } else { &before };
            assert_eq!(values(&seen), *shown, "killed after {killed}: a reader sees a mixture");
            assert_eq!(seen.unfinished.is_some(), begun);
            let finished = operator(folder.path()).finish_change().await.unwrap();
            assert_eq!(finished.is_some_and(|journal| journal.command == "replace"), begun);
            let after = operator(folder.path()).read().await.unwrap();
            assert_eq!(values(&after), *shown, "killed after {killed}");
            assert!(after.unfinished.is_none());
            assert_eq!(operator(folder.path()).finish_change().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn whoever_finishes_may_be_killed_too() {
        let folder = tempfile::tempdir().unwrap();
        let read = created(folder.path()).await;
        killed_after(folder.path(), 2).change("replace", writes(&read)).await.unwrap_err();
        for _ in 0..3 {
            killed_after(folder.path(), 1).finish_change().await.unwrap_err();
        }
        operator(folder.path()).finish_change().await.unwrap();
        let after = operator(folder.path()).read().await.unwrap();
        assert_eq!(after.documents.cluster.spec.channel.as_deref(), Some("alpha"));
        assert!(after.documents.instance_groups.iter().any(|group| group.name() == "new"));
    }

    #[tokio::test]
    async fn finishing_writes_over_nothing_that_somebody_else_wrote() {
        let folder = tempfile::tempdir().unwrap();
        let read = created(folder.path()).await;
        killed_after(folder.path(), 2).change("replace", writes(&read)).await.unwrap_err();
        let key = writes(&read)[1].key.clone();
        let state = operator(folder.path());
        let version = writes(&read)[1].before.clone().unwrap();
        let group = &read.documents.instance_groups[0];
        let other = to_yaml(group).replace(group.name(), "x");
        state.store().put(&key, other.clone().into_bytes(), Condition::Unchanged(version)).await.unwrap();
        let error = state.finish_change().await.unwrap_err();
        let text = format!("{error} {}", error.hint().unwrap());
        assert!(
            text.contains(&key) && text.contains("windlass replace") && text.contains("journal"),
            "{text}"
        );
        assert_eq!(state.store().get(&key).await.unwrap().unwrap().bytes, other.into_bytes());
        assert!(state.journal().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_change_from_something_older_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let read = created(folder.path()).await;
        let state = operator(folder.path());
        state.change("replace", writes(&read)).await.unwrap();
        let now = values(&state.read().await.unwrap());
        let mut outdated = writes(&read);
        outdated[0].after = Some("x".to_owned());
        let error = state.change("replace", outdated).await.unwrap_err();
        assert!(matches!(&error, StateError::Store { source, .. } if source.is_changed()), "{error}");
        assert_eq!(values(&state.read().await.unwrap()), now);
        assert_eq!(state.journal().await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_cluster_that_is_being_deleted_is_not_changed_until_the_deletion_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let read = created(folder.path()).await;
        let state = operator(folder.path());
        killed_after(folder.path(), 2).change("replace", writes(&read)).await.unwrap_err();
        state.begin_deletion("delete cluster").await.unwrap();
        state.begin_deletion("delete cluster").await.unwrap();
        let error = state.finish_change().await.unwrap_err();
        let text = format!("{error} {}", error.hint().unwrap());
        for word in ["is being deleted", "windlass delete cluster demo.example.com --yes", "--undelete"] {
            assert!(text.contains(word), "{text}");
        }
        assert!(state.read().await.unwrap().unfinished.unwrap().is_deletion());
        assert!(state.give_up_deletion().await.unwrap().is_some());
        let channel = state.read().await.unwrap().documents.cluster.spec.channel;
        assert_eq!(channel.as_deref(), Some("alpha"), "a deletion that is given up leaves a mixture");
        assert_eq!(state.give_up_deletion().await.unwrap(), None);
        assert_eq!(state.finish_change().await.unwrap(), None);
    }
}
