//! Where an etcd cluster's data is on a master, and whether there is any.

use std::path::{Path, PathBuf};

use crate::host::Host;
use crate::host::file::FileError;

/// Where an etcd cluster's volume is mounted.
pub fn mount_point(etcd: &str) -> String {
    format!("/var/lib/etcd-{etcd}")
}

/// The folder of an etcd cluster's data. It is below the mount, so that there is none without the volume.
pub fn folder(host: &Host, etcd: &str) -> PathBuf {
    host.path(mount_point(etcd)).join("data")
}

/// What is on the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// No write-ahead log: nothing that etcd could start from. A start that was killed before its first log leaves
    /// other files behind, which hold nothing.
    Absent,
    /// A write-ahead log.
    Present,
}

/// Looks into the folder of an etcd cluster's data.
pub fn look(folder: &Path) -> Result<Data, FileError> {
    let log = folder.join("member/wal");
    let entries = match fs_err::read_dir(&log) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Data::Absent),
        Err(source) => return Err(FileError::Read { path: log, source }),
    };
    for entry in entries {
        let entry = entry.map_err(|source| FileError::Read { path: log.clone(), source })?;
        if Path::new(&entry.file_name()).extension().is_some_and(|extension| extension == "wal") {
            return Ok(Data::Present);
        }
    }
    Ok(Data::Absent)
}
