//! A member's data, made from a snapshot beside what is there and put in its place by renames.
//!
//! ```text
//! /var/lib/etcd-<name>/data                      what etcd starts from
//! /var/lib/etcd-<name>/restore/                  what is being made; begun anew each time
//! /var/lib/etcd-<name>/data.before-<generation>  what was there before the last restore
//! ```
//!
//! The new data says itself which restore it is of, so that it counts from the rename on and not before: whoever is killed
//! before it begins anew, and whoever is killed after it is done.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::aws::state::StateError;
use crate::contract::config::EtcdConfig;
use crate::contract::restore::{Order, Source};
use crate::control_plane::backups::check_free;
use crate::control_plane::backups::snapshot::{self, SnapshotError};
use crate::control_plane::etcd_programs::ProgramError;
use crate::host::file::{self, FileError};
use crate::storage::etcd_data::{self, Data};
use crate::storage::restore_order::{self, OrderError};

/// By how much the revision grows: more than a cluster can have written since its backup, so that whoever watches learns that
/// what it knows is too old, and never that time goes back (etcd's "Disaster recovery").
const BUMP: u64 = 1_000_000_000;

/// What a folder of former data is called.
const BEFORE: &str = "data.before-";

/// Why the data isn't restored.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The snapshot, or the room for it.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// etcd's program.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The mark of the generation.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// A file on the volume.
    #[error("a file on the volume can't be used")]
    File(#[from] FileError),
    /// etcd's program has made nothing that etcd could start from.
    #[error("etcdutl has made no data")]
    Nothing,
    /// A thread.
    #[error("the snapshot could not be expanded")]
    Thread(#[from] tokio::task::JoinError),
}

/// Where one member's data is made.
#[derive(Debug)]
pub struct Place<'a> {
    mount: PathBuf,
    order: &'a Order,
    etcd: &'a EtcdConfig,
    source: &'a Source,
}

impl<'a> Place<'a> {
    /// An empty place. What attempts and earlier restores have left goes, but for what was there before the last one.
    pub fn begin(
        mount: &Path,
        order: &'a Order,
        etcd: &'a EtcdConfig,
        source: &'a Source,
    ) -> Result<Self, DataError> {
        let place = Self { mount: mount.to_owned(), order, etcd, source };
        remove(&place.folder())?;
        for former in place.of_earlier_restores()? {
            remove(&former)?;
        }
        file::ensure_folder(&place.folder(), 0o700)?;
        let snapshot = &source.snapshot;
        // The snapshot, and the database that is made of it.
        check_free(&place.folder(), etcd, snapshot.compressed_bytes + 2 * snapshot.bytes)?;
        Ok(place)
    }

    fn folder(&self) -> PathBuf {
        self.mount.join("restore")
    }

    /// Where the compressed snapshot is to be put.
    pub fn compressed(&self) -> PathBuf {
        self.folder().join("snapshot.gz")
    }

    fn expanded(&self) -> PathBuf {
        self.folder().join("snapshot.db")
    }

    fn made(&self) -> PathBuf {
        self.folder().join("data")
    }

    fn data(&self) -> PathBuf {
        self.mount.join("data")
    }

    fn of_earlier_restores(&self) -> Result<Vec<PathBuf>, DataError> {
        let failed = |source| FileError::Read { path: self.mount.clone(), source };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.mount).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let generation = name.strip_prefix(BEFORE).and_then(|rest| rest.split('.').next()?.parse().ok());
            if generation.is_some_and(|generation: u64| generation < self.order.generation) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    /// Makes the snapshot of what was fetched, which must be what the order names, and whole.
    pub async fn expand(&self) -> Result<(), DataError> {
        let (compressed, expanded) = (self.compressed(), self.expanded());
        let (expected, name) = (self.source.snapshot.clone(), self.etcd.name.clone());
        let expanding =
            tokio::task::spawn_blocking(move || snapshot::expand(&compressed, &expected, &expanded, &name));
        expanding.await??;
        remove_file(&self.compressed())
    }

    /// What etcdutl is told. The members' ids follow from their addresses and the token, and the cluster's id from those: it is
    /// another one after each restore, and the same for all who restore.
    pub fn arguments(&self) -> Vec<String> {
        let Self { order, etcd, source, .. } = self;
        let url = |address| format!("https://{address}:{}", etcd.ports.peer);
        let members = source.members.iter().map(|(name, address)| format!("{name}={}", url(address)));
        let own = source.members.get(&etcd.member).map(url).unwrap_or_default();
        vec![
            "snapshot".to_owned(),
            "restore".to_owned(),
            self.expanded().display().to_string(),
            format!("--data-dir={}", self.made().display()),
            format!("--name={}", etcd.member),
            format!("--initial-advertise-peer-urls={own}"),
            format!("--initial-cluster={}", members.collect::<Vec<_>>().join(",")),
            format!("--initial-cluster-token={}.{}.{}", etcd.name, order.cluster, order.generation),
            format!("--bump-revision={BUMP}"),
            "--mark-compacted".to_owned(),
        ]
    }

    /// Marks what etcdutl has made, and sees that it is on the disk.
    pub fn complete(&self) -> Result<(), DataError> {
        remove_file(&self.expanded())?;
        if etcd_data::look(&self.made())? == Data::Absent {
            return Err(DataError::Nothing);
        }
        restore_order::mark(&self.made(), self.order)?;
        let failed = |source: io::Error| FileError::Write { path: self.made(), source };
        let folder = File::open(self.made()).map_err(failed)?;
        rustix::fs::syncfs(folder).map_err(|error| failed(error.into()))?;
        Ok(())
    }

    /// Puts it in the place of what is there.
    pub fn put_in_place(&self) -> Result<(), DataError> {
        self.set_aside()?;
        rename(&self.made(), &self.data())?;
        self.sync()?;
        remove(&self.folder())
    }

    /// Sets aside what is there, if it is anything that an etcd has run with.
    pub fn set_aside(&self) -> Result<(), DataError> {
        let data = self.data();
        if etcd_data::look(&data)? == Data::Absent {
            return remove(&data);
        }
        let mut aside = self.mount.join(format!("{BEFORE}{}", self.order.generation));
        // What was set aside for this restore before is of an attempt whose data was taken away by somebody.
        for more in 1.. {
            if !aside.exists() {
                break;
            }
            aside = self.mount.join(format!("{BEFORE}{}.{more}", self.order.generation));
        }
        rename(&data, &aside)?;
        self.sync()
    }

    fn sync(&self) -> Result<(), DataError> {
        let failed = |source| FileError::Write { path: self.mount.clone(), source };
        Ok(File::open(&self.mount).and_then(|folder| folder.sync_all()).map_err(failed)?)
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), DataError> {
    let failed = |source| FileError::Write { path: to.to_owned(), source };
    Ok(fs::rename(from, to).map_err(failed)?)
}

fn remove(folder: &Path) -> Result<(), DataError> {
    match fs::remove_dir_all(folder) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FileError::Write { path: folder.to_owned(), source }.into())
        }
        _ => Ok(()),
    }
}

fn remove_file(path: &Path) -> Result<(), DataError> {
    Ok(file::ensure_absent(path).map(drop)?)
}
