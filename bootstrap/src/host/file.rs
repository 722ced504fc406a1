//! Files: written whole or not at all, and only where they differ.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err as fs;

/// Readable by root alone.
pub const PRIVATE: u32 = 0o600;
/// Readable by everyone.
pub const PUBLIC: u32 = 0o644;

/// What can go wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading.
    #[error("can't read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// Writing, or making its folder.
    #[error("can't write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's word.
        #[source]
        source: io::Error,
    },
}

/// Reads a file; `None` where there is none.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileError::Read { path: path.to_owned(), source }),
    }
}

/// Makes a folder with this mode, and its parents; an existing one gets the mode. Returns whether it changed anything.
pub fn ensure_folder(path: &Path, mode: u32) -> Result<bool, FileError> {
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    match fs::metadata(path) {
        Ok(metadata) if metadata.permissions().mode() & 0o7777 == mode => Ok(false),
        Ok(_) => {
            fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map(|()| true).map_err(failed)
        }
        Err(_) => {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(failed)?;
            }
            std::fs::DirBuilder::new().mode(mode).create(path).map_err(failed)?;
            // The process's umask may have taken some of it away.
            fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map(|()| true).map_err(failed)
        }
    }
}

/// Makes sure that a file holds these bytes with this mode. Returns whether it changed anything.
///
/// The file is replaced by a rename, after its bytes are on disk: a reader, or a machine that loses power, sees the
/// old file or the new one. The temporary name begins with a dot, which the kubelet's static pod source passes over.
pub fn ensure(path: &Path, contents: impl AsRef<[u8]>, mode: u32) -> Result<bool, FileError> {
    let contents = contents.as_ref();
    if is_right(path, contents, mode) {
        return Ok(false);
    }
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.tmp"));
    match fs::remove_file(&temporary) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(failed(source)),
        _ => {}
    }
    // Created with its final mode: a secret is never readable by others, not even for an instant.
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .map_err(failed)?;
    file.write_all(contents).map_err(failed)?;
    file.set_permissions(std::fs::Permissions::from_mode(mode)).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(true)
}

/// Removes a file if it is there. Returns whether it was.
pub fn ensure_absent(path: &Path) -> Result<bool, FileError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(FileError::Write { path: path.to_owned(), source }),
    }
}

fn is_right(path: &Path, contents: &[u8], mode: u32) -> bool {
    let Ok(metadata) = fs::symlink_metadata(path) else { return false };
    metadata.is_file()
        && metadata.permissions().mode() & 0o7777 == mode
        && fs::read(path).is_ok_and(|existing| existing == contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_right_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        assert!(ensure(&path, "text", PRIVATE).unwrap());
        assert!(!ensure(&path, "text", PRIVATE).unwrap());
        assert!(ensure(&path, "text", PUBLIC).unwrap(), "another mode is a change");
        assert!(ensure(&path, "other", PUBLIC).unwrap());
        assert_eq!(read(&path).unwrap().unwrap(), b"other");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, PUBLIC);
    }

    #[test]
    fn what_a_killed_write_left_behind_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".manifest.yaml.tmp"), "half").unwrap();
        let path = folder.path().join("manifest.yaml");
        assert!(ensure(&path, "whole", PRIVATE).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_file_reads_as_none_and_a_folder_as_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(&folder.path().join("none")).unwrap().is_none());
        assert!(read(folder.path()).is_err());
        assert!(!ensure_absent(&folder.path().join("none")).unwrap());
    }

    #[test]
    fn a_folder_gets_its_mode_even_if_it_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x/y");
        assert!(ensure_folder(&path, 0o700).unwrap());
        assert!(!ensure_folder(&path, 0o700).unwrap());
        assert!(ensure_folder(&path, 0o755).unwrap());
    }
}
