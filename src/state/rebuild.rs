//! The state is lost: which objects of a cluster are gone or can't be read, and what the bucket still keeps of them.
//!
//! A bucket that keeps versions forgets nothing that is deleted or written over, unless a rule of its own says so. So the
//! state is made again from earlier versions: each is written as a new one, under the condition that what is there is what
//! was looked at. No version and no delete marker is ever deleted.
//!
//! Most objects are never deleted while their cluster lives: the `Cluster`, keys, revisions, the pointer to the applied one,
//! what says that etcd has data. One that is gone is lost, and its newest sound version is what it was. Others go when
//! somebody wants them gone: documents beside the `Cluster`, configurations of nodes that nothing was made from any more.
//! Of those, what was deleted before the loss began stays deleted, and what was deleted since is lost, too. The loss began
//! when the first object went that never goes; where only such objects are gone that may, or where that isn't the moment to
//! go back to, the operator names one (`as_of`).
//!
//! Backups of etcd are such objects, too: the bucket's own rules let them go. They may be large, so S3 copies them, and nobody
//! reads them here.
//!
//! What instances write again by themselves (reports, the token of joining nodes) and leases are left alone. A cluster that is being deleted, or was when its state was lost, is refused; one that was deleted has left no version.
//!
//! What would be there afterwards is looked at as a whole before anything is written: the specification and all
//! keys are read as every command reads them, and the pointer is followed.
//!
//! Whoever is killed in between has written whole objects, and the next run writes the others: what may go comes first,
//! while it is still seen when the loss began, and the `Cluster` last, because until then there is none to work on.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use windlass_bootstrap::keys;

use super::cluster_state::{ClusterState, WRITES};
use super::damage::MISSING;
use super::error::StateError;
use super::object::{Bytes, Condition, Object};
use super::object_kind::is_known;
use super::store_error::StoreError;
use super::versions::ObjectVersion;
use super::{format, layout};

mod whole;

/// How many objects are looked at at once, and how many versions of one are read to find a sound one.
const READS: usize = 32;
const LOOKS: usize = 20;

/// What a cluster's state has lost.
#[derive(Debug)]
pub struct Losses {
    /// Since when, as far as that is known.
    pub since: Option<Timestamp>,
    /// What can be put back, in the order in which it is.
    pub lost: Vec<Lost>,
    /// What was deleted, as may be, and when: it stays deleted. Documents only.
    pub left: Vec<(String, Timestamp)>,
}

/// An object that is gone or can't be read, and what it was.
#[derive(Debug)]
pub struct Lost {
    /// Its key in the store.
    pub key: String,
    /// What is wrong with it, without anything of its content.
    pub fault: String,
    /// The version that is put back.
    pub version: ObjectVersion,
    /// Nothing where S3 copies it.
    bytes: Option<Bytes>,
    condition: Condition,
    /// Whether nothing that is sound was written after it.
    is_last: bool,
}

impl Lost {
    /// Whether it is a file of a backup of etcd.
    pub fn is_of_backup(&self) -> bool {
        self.bytes.is_none()
    }
}

/// Why a state can't be rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The store keeps no versions.
    #[error("{store} keeps no versions of its objects")]
    NoVersions {
        /// The store's address.
        store: String,
    },
    /// The bucket has never heard of the cluster.
    #[error("{store} keeps nothing of a cluster `{cluster}`, not even earlier versions")]
    Nothing {
        /// The cluster's name.
        cluster: String,
        /// The store's address.
        store: String,
    },
    /// It was being deleted when its state was lost.
    #[error("the cluster `{cluster}` was being deleted when its state was lost: {began}")]
    WasBeingDeleted {
        /// The cluster's name.
        cluster: String,
        /// Who began, and when.
        began: String,
    },
    /// What there would be is no whole state.
    #[error("the state of `{cluster}` would not be whole; nothing was written:{}", lines(faults))]
    Broken {
        /// The cluster's name.
        cluster: String,
        /// What is wrong.
        faults: Vec<String>,
    },
    /// The state could not be used.
    #[error(transparent)]
    State(#[from] StateError),
}

fn lines(faults: &[String]) -> String {
    faults.iter().fold(String::new(), |text, fault| format!("{text}\n  {fault}"))
}

impl RebuildError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoVersions { .. } => Some("bring the objects back from a copy of your own".to_owned()),
            Self::Nothing { .. } => Some(
                "check the name and the store. A cluster that `delete cluster` has deleted leaves no versions, and a bucket \
                 that was deleted took them along"
                    .to_owned(),
            ),
            Self::WasBeingDeleted { cluster, .. } => Some(format!(
                "to have the state as it was before that, name a time: windlass state rebuild {cluster} --as-of TIME"
            )),
            Self::Broken { .. } => Some(
                "name another time with --as-of; or bring what is missing back from a copy of your own. What there is of one \
                 object is listed by: windlass toolbox restore-object KEY"
                    .to_owned(),
            ),
            Self::State(error) => error.hint(),
        }
    }
}

/// Whether windlass deletes an object while its cluster lives.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stay {
    /// It never does.
    Always,
    /// It does when somebody wants it gone, or nothing needs it any more.
    Wanted,
    /// The bucket's rules do, when it is old: a backup.
    Young,
    /// It is written again and again, or is nobody's concern here.
    Ignored,
}

fn stay(cluster: &str, key: &str) -> Stay {
    let rest = key.strip_prefix(&layout::cluster_prefix(cluster)).unwrap_or_default();
    let is_written_again = layout::short_lived(cluster).iter().any(|prefix| key.starts_with(prefix));
    if !is_known(cluster, key) || is_written_again || key == layout::journal(cluster) {
        Stay::Ignored
    } else if key.starts_with(&keys::backups_prefix(cluster)) {
        Stay::Young
    } else if rest.starts_with("backups/") {
        Stay::Ignored
    } else if layout::is_specification(rest)
        || keys::of_node_config(key).is_some()
        || key == keys::additional_objects(cluster)
    {
        Stay::Wanted
    } else {
        Stay::Always
    }
}

/// Where the objects are that may be lost.
fn prefixes(cluster: &str) -> Vec<String> {
    vec![
        layout::applied(cluster),
        layout::cluster(cluster),
        layout::encryption_writers(cluster),
        layout::format(cluster),
        layout::identity(cluster),
        layout::journal(cluster),
        layout::instance_groups_prefix(cluster),
        layout::ssh_credentials_prefix(cluster),
        layout::additional_objects_prefix(cluster),
        layout::revisions_prefix(cluster),
        keys::docker_config(cluster),
        format!("{cluster}/control-plane/"),
        format!("{cluster}/public/"),
        keys::backups_prefix(cluster),
    ]
}

/// When an object was deleted that isn't there, by its versions, newest first. It may have been deleted more than once.
fn deleted_at(versions: &[ObjectVersion]) -> Option<Timestamp> {
    versions.iter().take_while(|version| version.is_deletion()).last().map(|version| version.time)
}

/// The versions of an object that may be what it was, newest first.
fn candidates(stay: Stay, versions: &[ObjectVersion], as_of: Option<Timestamp>) -> Vec<&ObjectVersion> {
    let mut then =
        versions.iter().filter(|version| as_of.is_none_or(|as_of| version.time <= as_of)).peekable();
    if stay == Stay::Always {
        return then.filter(|version| !version.is_deletion()).take(LOOKS).collect();
    }
    // What was there before it was deleted another time is another object.
    while as_of.is_none() && then.next_if(|version| version.is_deletion()).is_some() {}
    then.take_while(|version| !version.is_deletion()).take(LOOKS).collect()
}

/// What became of a file of a backup.
fn backup(key: &str, versions: &[ObjectVersion], since: Option<Timestamp>, as_of: Option<Timestamp>) -> Fate {
    let gone = deleted_at(versions);
    if gone.is_none_or(|gone| since.is_none_or(|since| gone < since)) {
        return Fate::Absent;
    }
    let Some(version) = candidates(Stay::Young, versions, as_of).first().copied() else {
        return Fate::Absent;
    };
    let (key, fault, version) = (key.to_owned(), MISSING.to_owned(), version.clone());
    Fate::Lost(Lost { key, fault, version, bytes: None, condition: Condition::Absent, is_last: true })
}

/// What became of one object.
enum Fate {
    /// It is there, and sound.
    Sound(Bytes),
    Lost(Lost),
    /// It was deleted at that time, as may be.
    Deleted(Timestamp),
    /// No version of it can be put back.
    Hopeless(String),
    /// It was not there at the time.
    Absent,
}

impl ClusterState {
    /// What the state has lost, and what can be put back of it; as it was at a moment, where one is named. Fails where what
    /// would be there then is no whole state. Changes nothing.
    ///
    /// # Errors
    ///
    /// See [`RebuildError`].
    pub async fn losses(&self, as_of: Option<Timestamp>) -> Result<Losses, RebuildError> {
        self.look_once().await?;
        let versions = self.store().all_versions(&prefixes(self.name())).await.map_err(self.failed())?;
        let Some(versions) = versions else {
            return Err(RebuildError::NoVersions { store: self.store().url() });
        };
        let stay = |key: &str| stay(self.name(), key);
        if versions.keys().all(|key| stay(key) == Stay::Ignored) {
            return Err(RebuildError::Nothing { cluster: self.name().to_owned(), store: self.store().url() });
        }
        let gone = versions.iter().filter(|(key, _)| stay(key) == Stay::Always);
        let since = as_of.or_else(|| gone.filter_map(|(_, versions)| deleted_at(versions)).min());
        let journal = self.lost_journal(versions.get(&layout::journal(self.name())), since, as_of).await?;
        let fates = versions.iter().map(|(key, versions)| {
            // Boxed, because the compiler can't see that a borrowing closure works for every key.
            Box::pin(async move { Ok::<_, StateError>((key, self.fate(key, versions, since, as_of).await?)) })
        });
        let fates: Vec<(&String, Fate)> =
            stream::iter(fates.collect::<Vec<_>>()).buffered(READS).try_collect().await?;
        let (mut losses, mut whole, mut faults) =
            (Losses { since, lost: Vec::new(), left: Vec::new() }, BTreeMap::new(), Vec::new());
        for (key, fate) in fates {
            match fate {
                Fate::Sound(bytes) => drop(whole.insert(key.clone(), bytes)),
                Fate::Lost(lost) => losses.lost.push(lost),
                Fate::Deleted(time) if keys::of_node_config(key).is_none() => {
                    losses.left.push((key.clone(), time));
                }
                Fate::Hopeless(fault) => faults.push(format!("`{key}`: {fault}")),
                Fate::Deleted(_) | Fate::Absent => {}
            }
        }
        losses.lost.extend(journal);
        whole.extend(losses.lost.iter().filter_map(|lost| Some((lost.key.clone(), lost.bytes.clone()?))));
        faults.extend(whole::faults(self.name(), whole).await?);
        if !faults.is_empty() {
            return Err(RebuildError::Broken { cluster: self.name().to_owned(), faults });
        }
        losses.lost.sort_by_key(|lost| (self.turn(&lost.key), lost.key.clone()));
        losses.left.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
        Ok(losses)
    }

    async fn fate(
        &self,
        key: &str,
        versions: &[ObjectVersion],
        since: Option<Timestamp>,
        as_of: Option<Timestamp>,
    ) -> Result<Fate, StateError> {
        let stay = stay(self.name(), key);
        match stay {
            Stay::Ignored => return Ok(Fate::Absent),
            Stay::Young => return Ok(backup(key, versions, since, as_of)),
            Stay::Wanted | Stay::Always => {}
        }
        let found = self.store().get(key).await.map_err(self.failed())?;
        let Some(Object { bytes, version }) = found else {
            let gone = deleted_at(versions).unwrap_or_default();
            if stay == Stay::Wanted && since.is_none_or(|since| gone < since) {
                return Ok(Fate::Deleted(gone));
            }
            let then = candidates(stay, versions, as_of);
            if then.is_empty() && as_of.is_some() {
                return Ok(Fate::Absent);
            }
            return self.sound_one(key, versions, MISSING.to_owned(), Condition::Absent, then).await;
        };
        match self.fault(key, &bytes).await.map_err(self.failed())? {
            None => Ok(Fate::Sound(bytes)),
            Some(fault) if format::is_newer(&fault) => Ok(Fate::Hopeless(fault)),
            Some(fault) => {
                let then = candidates(stay, versions, as_of);
                self.sound_one(key, versions, fault, Condition::Unchanged(version), then).await
            }
        }
    }

    /// An object as the newest was of these versions that is sound.
    async fn sound_one(
        &self,
        key: &str,
        all: &[ObjectVersion],
        fault: String,
        condition: Condition,
        candidates: Vec<&ObjectVersion>,
    ) -> Result<Fate, StateError> {
        for version in &candidates {
            let then = self.store().get_version(key, &version.id).await.map_err(self.failed())?;
            let Some(Object { bytes, .. }) = then else { continue };
            match self.fault(key, &bytes).await.map_err(self.failed())? {
                None => {
                    let last = all.iter().find(|version| !version.is_deletion());
                    // What was looked at before this one isn't sound.
                    let (key, is_last) = (key.to_owned(), last == candidates.first().copied());
                    let version = (*version).clone();
                    return Ok(Fate::Lost(Lost {
                        key,
                        fault,
                        version,
                        bytes: Some(bytes),
                        condition,
                        is_last,
                    }));
                }
                Some(newer) if format::is_newer(&newer) => return Ok(Fate::Hopeless(newer)),
                Some(_) => {}
            }
        }
        Ok(Fate::Hopeless(format!("{fault}, and none of its {} earlier versions is sound", candidates.len())))
    }

    /// The journal that was there when the state was lost. Fails where the cluster is being deleted, or was then.
    async fn lost_journal(
        &self,
        versions: Option<&Vec<ObjectVersion>>,
        since: Option<Timestamp>,
        as_of: Option<Timestamp>,
    ) -> Result<Option<Lost>, RebuildError> {
        let key = layout::journal(self.name());
        if let Some(journal) = self.journal().await? {
            if journal.is_deletion() {
                let (cluster, began) = (self.name().to_owned(), journal.describe());
                return Err(StateError::BeingDeleted { cluster, began }.into());
            }
            return Ok(None);
        }
        let Some(versions) = versions else { return Ok(None) };
        let gone = deleted_at(versions);
        if since.is_none_or(|since| gone.is_none_or(|gone| gone < since)) {
            return Ok(None);
        }
        let Some(version) = candidates(Stay::Wanted, versions, as_of).first().copied() else {
            return Ok(None);
        };
        let found = self.store().get_version(&key, &version.id).await.map_err(self.failed())?;
        let Some(found) = found else { return Ok(None) };
        // One that can't be read says nothing any more.
        let Ok(journal) = self.parse_journal(&found) else { return Ok(None) };
        if journal.is_deletion() {
            let (cluster, began) = (self.name().to_owned(), journal.describe());
            return Err(RebuildError::WasBeingDeleted { cluster, began });
        }
        let (fault, version) = (MISSING.to_owned(), version.clone());
        Ok(Some(Lost {
            key,
            fault,
            version,
            bytes: Some(found.bytes),
            condition: Condition::Absent,
            is_last: true,
        }))
    }

    /// When an object is put back, among the others.
    fn turn(&self, key: &str) -> u8 {
        if matches!(stay(self.name(), key), Stay::Wanted | Stay::Young) {
            0
        } else if key == layout::journal(self.name()) {
            1
        } else if key == layout::encryption_writers(self.name()) {
            2
        } else if key == layout::cluster(self.name()) {
            4
        } else {
            3
        }
    }

    /// Puts back what was lost, unless somebody has written it meanwhile. Needs the lease.
    ///
    /// # Errors
    ///
    /// Fails with what the store said.
    pub async fn put_back(&self, losses: &Losses) -> Result<(), StateError> {
        for turn in losses.lost.chunk_by(|one, other| self.turn(&one.key) == self.turn(&other.key)) {
            let writes = turn.iter().map(|lost| Box::pin(self.put_one_back(lost)));
            stream::iter(writes.collect::<Vec<_>>()).buffer_unordered(WRITES).try_collect::<()>().await?;
        }
        Ok(())
    }

    async fn put_one_back(&self, lost: &Lost) -> Result<(), StateError> {
        if lost.key == keys::encryption_configuration(self.name()) && !lost.is_last {
            // Another one wrote since: etcd's data may need that one's keys.
            return Box::pin(self.restore(&lost.key, &lost.version)).await.map(drop);
        }
        let put = match &lost.bytes {
            Some(bytes) => {
                let put = self.store().put(&lost.key, bytes.to_vec(), lost.condition.clone());
                put.await.map(drop)
            }
            None => self.store().copy_version(&lost.key, &lost.version.id).await,
        };
        put.map_err(|source: StoreError| self.failed()(source))
    }
}

#[cfg(test)]
mod tests;
