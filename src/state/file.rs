//! A store in a folder, for trying things out and for tests.
//!
//! Writers of all processes take one lock on the folder; an object appears by renaming, so that a reader sees the old
//! or the new one and a killed writer leaves nothing torn.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::memory::holds;
use super::object::digest;
use super::object::{Condition, Object, Version};
use super::store_error::StoreError;

/// The lock, and the beginning of the names of files that aren't objects yet.
const OWN: &str = ".windlass-";

/// A store in a folder, which is made when something is written.
#[derive(Clone, Debug)]
pub struct FileStore {
    folder: PathBuf,
}

impl FileStore {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub(super) fn url(&self) -> String {
        format!("file://{}", self.folder.display())
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let path = self.folder.join(key);
        blocking(move || read(&path)).await
    }

    pub(super) async fn written_at(&self, key: &str) -> Result<Option<jiff::Timestamp>, StoreError> {
        let path = self.folder.join(key);
        blocking(move || match std::fs::metadata(&path).and_then(|metadata| metadata.modified()) {
            Ok(time) => Ok(jiff::Timestamp::try_from(time).ok()),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(source) => Err(failed("look at", &path, source)),
        })
        .await
    }

    pub(super) async fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        condition: Condition,
    ) -> Result<Version, StoreError> {
        let (folder, key) = (self.folder.clone(), key.to_owned());
        let bytes = Zeroizing::new(bytes);
        blocking(move || {
            let _lock = lock(&folder)?;
            let path = folder.join(&key);
            let found = read(&path)?;
            if let Some(found) = found.as_ref().filter(|found| found.bytes == *bytes) {
                return Ok(found.version.clone());
            }
            if !holds(&condition, found.as_ref()) {
                return Err(StoreError::Changed { key });
            }
            write(&folder, &path, &bytes).map_err(|source| failed("write", &path, source))?;
            Ok(Version(digest(&bytes)))
        })
        .await
    }

    pub(super) async fn delete(&self, key: &str, version: Version) -> Result<(), StoreError> {
        let (folder, key) = (self.folder.clone(), key.to_owned());
        blocking(move || {
            let path = folder.join(&key);
            if read(&path)?.is_none() {
                return Ok(());
            }
            let _lock = lock(&folder)?;
            match read(&path)? {
                None => Ok(()),
                Some(found) if found.version != version => Err(StoreError::Changed { key }),
                Some(_) => {
                    std::fs::remove_file(&path).map_err(|source| failed("delete", &path, source))?;
                    prune(&folder, path.parent());
                    Ok(())
                }
            }
        })
        .await
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let (folder, prefix) = (self.folder.clone(), prefix.to_owned());
        blocking(move || {
            let below = prefix.rsplit_once('/').map_or("", |(below, _)| below);
            let mut keys = Vec::new();
            walk(&folder, &folder.join(below), &mut keys)?;
            keys.retain(|key| key.starts_with(&prefix));
            keys.sort();
            Ok(keys)
        })
        .await
    }

    pub(super) async fn purge(&self, prefix: &str, last: &[String]) -> Result<(), StoreError> {
        let mut keys = self.list(prefix).await?;
        keys.sort_by_key(|key| last.iter().position(|last| last == key));
        let folder = self.folder.clone();
        blocking(move || {
            if keys.is_empty() {
                return Ok(());
            }
            let _lock = lock(&folder)?;
            for path in keys.iter().map(|key| folder.join(key)) {
                match std::fs::remove_file(&path) {
                    Err(source) if source.kind() != ErrorKind::NotFound => {
                        return Err(failed("delete", &path, source));
                    }
                    _ => prune(&folder, path.parent()),
                }
            }
            Ok(())
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(StoreError::File { act: "work on", key: "the state".to_owned(), source: io::Error::other(error) })
    })
}

fn failed(act: &'static str, path: &Path, source: io::Error) -> StoreError {
    StoreError::File { act, key: path.display().to_string(), source }
}

fn read(path: &Path) -> Result<Option<Object>, StoreError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(Object { version: Version(digest(&bytes)), bytes: bytes.into() })),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(source) => Err(failed("read", path, source)),
    }
}

/// Held until the file is closed.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(format!("{OWN}lock"));
    let open = || {
        std::fs::create_dir_all(folder)?;
        let file = File::options().create(true).append(true).mode(0o600).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    open().map_err(|source| failed("lock", &path, source))
}

/// The caller holds the lock, so one name for unfinished files is enough, and a killed writer's is written over.
fn write(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent)?;
    let unfinished = folder.join(format!("{OWN}unfinished"));
    let mut file = File::options().create(true).write(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    File::open(parent)?.sync_all()
}

/// Removes folders that have become empty: a bucket has none either.
fn prune(root: &Path, folder: Option<&Path>) {
    let mut folder = folder;
    while let Some(path) = folder.filter(|path| *path != root && path.starts_with(root)) {
        if std::fs::remove_dir(path).is_err() {
            return;
        }
        folder = path.parent();
    }
}

fn walk(root: &Path, folder: &Path, keys: &mut Vec<String>) -> Result<(), StoreError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        Err(source) => return Err(failed("list", folder, source)),
    };
    for entry in entries {
        let path = entry.map_err(|source| failed("list", folder, source))?.path();
        if path.is_dir() {
            walk(root, &path, keys)?;
        } else if let Some(key) = path.strip_prefix(root).ok().and_then(Path::to_str)
            && !key.starts_with(OWN)
        {
            keys.push(key.to_owned());
        }
    }
    Ok(())
}
