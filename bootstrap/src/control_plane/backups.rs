//! Backups of etcd: made by the master whose etcd leads, so often as the specification says, and proven.
//!
//! When one is due follows from the clock alone ([`BackupId::due`]), so that a new leader goes on where the last one was.
//! No master can change or delete what is there, not even its own: a run that was killed leaves files that no description
//! names, and the next run writes others beside them.

pub mod proof;
pub mod snapshot;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use self::snapshot::SnapshotError;
use crate::agent::Agent;
use crate::aws::state::StateError;
use crate::background::every::{Every, every};
use crate::contract::backup::{self, Backup, BackupId, Class, DESCRIPTION, Snapshot};
use crate::contract::config::{BackupsConfig, CONFIG_VERSION, ControlPlaneConfig, EtcdConfig};
use crate::contract::keys;
use crate::control_plane::etcd_client as members;
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::storage::etcd_data;

/// The task: while no backup is due it asks nobody, and while this master doesn't lead its own etcd alone.
/// What an attempt has stored that failed stays until it is old, so that it isn't repeated at once.
pub const TASK: Every =
    every("back_up_etcd", Duration::from_secs(10)).at_once().after_error(Duration::from_mins(1));

/// What is left free on a volume at least, in bytes.
const SLACK: u64 = 64 << 20;

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A snapshot.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The state.
    #[error("the backup {id} can't be written to the state")]
    State {
        /// Which.
        id: BackupId,
        /// Why.
        #[source]
        source: StateError,
    },
    /// Its description.
    #[error("the backup {0} can't be described")]
    Description(BackupId, #[source] serde_json::Error),
}

/// A backup that was made, in its folder.
pub type Made = (Class, BackupId);

/// Makes backups, for as long as it is let; `made` is told of each.
pub async fn make(
    agent: Arc<Agent>,
    control_plane: ControlPlaneConfig,
    config: BackupsConfig,
    made: watch::Sender<Option<Made>>,
) {
    let mut rounds = TASK.rounds(&agent.reporter);
    let mut done = None;
    // What an agent that was killed has left.
    control_plane.etcd_clusters().for_each(|etcd| leave(&place(&agent.host, etcd, "backup")));
    loop {
        rounds.next().await;
        let due = BackupId::due(Timestamp::now(), config.interval_seconds);
        if done == Some(due) {
            continue;
        }
        match ensure(&agent, &control_plane, due).await {
            Ok(Outcome::NotLeading) => drop(rounds.tell(Ok::<_, BackupError>(()))),
            Ok(Outcome::Made(class) | Outcome::There(class)) => {
                done = Some(due);
                rounds.tell(Ok::<_, BackupError>(()));
                made.send_replace(Some((class, due)));
            }
            Err(error) => drop(rounds.tell(Err::<(), _>(error))),
        }
    }
}

/// How it stands with a backup that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Another master makes it.
    NotLeading,
    /// It is there.
    There(Class),
    /// This master has made it.
    Made(Class),
}

async fn ensure(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    id: BackupId,
) -> Result<Outcome, BackupError> {
    let mut own = members::own(&agent.host, &control_plane.etcd).await.map_err(SnapshotError::from)?;
    if !snapshot::leads(&mut own, &control_plane.etcd).await? {
        return Ok(Outcome::NotLeading);
    }
    let class = match find(agent, id).await? {
        Some((class, true)) => return Ok(Outcome::There(class)),
        // Another attempt at the same backup stays in its folder.
        Some((class, false)) => class,
        None => class_of(agent, id).await?,
    };
    let taken = Timestamp::now();
    let mut snapshots = std::collections::BTreeMap::new();
    // What the other etcd clusters hold is told of objects in `main`: it comes first, so that nothing of them is of a time
    // before the objects that they are about.
    for etcd in control_plane.etcd_clusters() {
        snapshots.insert(etcd.name.clone(), store_one(agent, etcd, class, id).await?);
    }
    let backup = Backup {
        version: CONFIG_VERSION.to_owned(),
        cluster: agent.config.cluster.clone(),
        id,
        taken,
        kubernetes_version: agent.config.kubernetes_version.clone(),
        etcd: snapshots,
    };
    let bytes = serde_json::to_vec_pretty(&backup).map_err(|source| BackupError::Description(id, source))?;
    let key = keys::backup(&agent.config.cluster, class, id, DESCRIPTION);
    let written = agent.store.put_if_absent(&key, bytes).await;
    // Where somebody else was sooner, theirs is the backup.
    let is_ours = written.map_err(|source| BackupError::State { id, source })?;
    Ok(if is_ours { Outcome::Made(class) } else { Outcome::There(class) })
}

/// Where a backup is, whole or begun, and whether it is whole.
async fn find(agent: &Agent, id: BackupId) -> Result<Option<(Class, bool)>, BackupError> {
    let mut begun = None;
    for class in Class::ALL {
        let folder = keys::backup(&agent.config.cluster, class, id, "");
        let found = agent.store.keys(&folder).await.map_err(|source| BackupError::State { id, source })?;
        if found.iter().any(|key| key.ends_with(DESCRIPTION)) {
            return Ok(Some((class, true)));
        }
        begun = begun.or((!found.is_empty()).then_some((class, false)));
    }
    Ok(begun)
}

/// The first whole one of a day is kept for longest, and the first of an hour for longer than the others.
async fn class_of(agent: &Agent, id: BackupId) -> Result<Class, BackupError> {
    let [day, hour] = id.prefixes();
    for (class, beginning) in [(Class::Daily, day), (Class::Hourly, hour)] {
        let prefix = keys::backups_prefix(&agent.config.cluster);
        let beginning = format!("{prefix}{}/{beginning}", class.folder());
        let found = agent.store.keys(&beginning).await.map_err(|source| BackupError::State { id, source })?;
        if !found.iter().any(|key| key.ends_with(DESCRIPTION)) {
            return Ok(class);
        }
    }
    Ok(Class::Frequent)
}

/// Takes a snapshot of one etcd, and stores it.
async fn store_one(
    agent: &Agent,
    etcd: &EtcdConfig,
    class: Class,
    id: BackupId,
) -> Result<Snapshot, BackupError> {
    let folder = room(&agent.host, etcd, "backup").map_err(SnapshotError::File)?;
    let stored = async {
        let mut own = members::own(&agent.host, etcd).await.map_err(SnapshotError::from)?;
        let size = snapshot::ask(&mut own, etcd).await?.size;
        // Compressed it is smaller; what doesn't compress doesn't grow by more than this.
        check_free(&folder, etcd, size + size / 10)?;
        let file = folder.join("snapshot.gz");
        let snapshot = snapshot::take(&agent.host, etcd, &file).await?;
        let name = backup::snapshot(&etcd.name, &snapshot.sha256);
        let key = keys::backup(&agent.config.cluster, class, id, &name);
        let stored = agent.store.put_file_if_absent(&key, &file).await;
        stored.map_err(|source| BackupError::State { id, source })?;
        Ok(snapshot)
    };
    let stored = stored.await;
    leave(&folder);
    stored
}

/// A folder on an etcd's volume.
fn place(host: &Host, etcd: &EtcdConfig, name: &str) -> PathBuf {
    host.path(etcd_data::mount_point(&etcd.name)).join(name)
}

/// An empty folder on an etcd's volume: what a backup holds is no more secret than what is there already, and elsewhere it
/// would come onto a disk that holds none of it.
fn room(host: &Host, etcd: &EtcdConfig, name: &str) -> Result<PathBuf, FileError> {
    let folder = place(host, etcd, name);
    leave(&folder);
    file::ensure_folder(&folder, 0o700)?;
    Ok(folder)
}

/// Takes a folder away, which need not be there.
fn leave(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "it could not be taken away");
        }
        _ => {}
    }
}

/// Fails where a volume has less room than is needed for a while: etcd must never find its disk full.
pub(super) fn check_free(folder: &Path, etcd: &EtcdConfig, needed: u64) -> Result<(), SnapshotError> {
    let room = rustix::fs::statvfs(folder);
    let room = room.map_err(|error| {
        SnapshotError::File(FileError::Read { path: folder.to_owned(), source: error.into() })
    })?;
    let (free, needed) = (room.f_bavail.saturating_mul(room.f_frsize), needed.saturating_add(SLACK));
    if free >= needed { Ok(()) } else { Err(SnapshotError::Room { etcd: etcd.name.clone(), free, needed }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const ID: &str = "2026-11-23T14-05-00Z";

    async fn agent(folder: &Path) -> Agent {
        testing::agent(folder, testing::master_config()).await
    }

    #[tokio::test]
    async fn the_first_whole_backup_of_a_day_and_of_an_hour_are_kept_for_longer() {
        let folder = tempfile::tempdir().unwrap();
        let agent = agent(folder.path()).await;
        let cluster = agent.config.cluster.clone();
        let store = async |class, id, file: &str| {
            let key = keys::backup(&cluster, class, id, file);
            assert!(agent.store.put_if_absent(&key, b"{}".to_vec()).await.unwrap());
        };
        for (id, expected) in [
            ("2026-11-23T13-50-00Z", Class::Daily),
            ("2026-11-23T13-55-00Z", Class::Hourly),
            (ID, Class::Hourly),
            ("2026-11-23T14-10-00Z", Class::Frequent),
            ("2026-11-24T14-10-00Z", Class::Daily),
        ] {
            let id: BackupId = id.parse().unwrap();
            assert_eq!(find(&agent, id).await.unwrap(), None);
            assert_eq!(class_of(&agent, id).await.unwrap(), expected, "{id}");
            // One that was begun counts for nothing but itself.
            store(expected, id, "main.0.gz").await;
            assert_eq!(find(&agent, id).await.unwrap(), Some((expected, false)));
            assert_eq!(class_of(&agent, id).await.unwrap(), expected, "{id}, again");
            store(expected, id, DESCRIPTION).await;
            assert_eq!(find(&agent, id).await.unwrap(), Some((expected, true)));
        }
    }

    #[tokio::test]
    async fn a_volume_without_room_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let agent = agent(folder.path()).await;
        let etcd = testing::etcd_config();
        let place = room(&agent.host, &etcd, "backup").unwrap();
        std::fs::write(place.join("left"), "by a killed run").unwrap();
        let place = room(&agent.host, &etcd, "backup").unwrap();
        assert!(!place.join("left").exists());
        check_free(&place, &etcd, 1).unwrap();
        let error = check_free(&place, &etcd, u64::MAX).unwrap_err();
        assert!(matches!(error, SnapshotError::Room { .. }), "{error}");
        leave(&place);
        assert!(!place.exists());
    }
}
