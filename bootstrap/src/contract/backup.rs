//! A backup of an etcd cluster, as masters write it and the CLI and a restore read it.
//!
//! A backup is a folder of its store, named by the moment for which it was due ([`BackupId`]). All etcd clusters of a
//! cluster are backed up under one name, one after the other within seconds: what is restored is of one time.
//!
//! ```text
//! <cluster>/backups/etcd/<etcd>/<id>/snapshot.gz    etcd's own snapshot (with its SHA-256 at the end), compressed
//! <cluster>/backups/etcd/<etcd>/<id>/backup.json    [`Backup`]; written last: without it there is no backup
//! <cluster>/backups/etcd/<etcd>/<id>/proof.json     [`Proof`]; written when it was restored into an etcd of its own
//! ```
//!
//! `<cluster>/backups/etcd/<etcd>` is another place where the specification names one (`backups.backupStore`). Masters write
//! objects that aren't there yet, and no others: they can neither change nor delete a backup.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::contract::config::{self, CONFIG_VERSION, DocumentError};

/// The file of a backup's snapshot.
pub const SNAPSHOT: &str = "snapshot.gz";
/// The file of what a backup is: [`Backup`].
pub const DESCRIPTION: &str = "backup.json";
/// The file of a backup's proof: [`Proof`].
pub const PROOF: &str = "proof.json";

/// How a moment is written in an id: sorted by name they are sorted by time, and none of it needs quoting anywhere.
const FORMAT: &str = "%Y-%m-%dT%H-%M-%SZ";

/// The name of a backup: the moment, in UTC and whole seconds, for which it was due, such as `2026-11-23T14-05-00Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId(Timestamp);

/// Something isn't a backup's name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no name of a backup; they look like 2026-11-23T14-05-00Z")]
pub struct NoBackupId(String);

impl BackupId {
    /// The name of the backup that is due at a moment.
    pub fn at(moment: Timestamp) -> Self {
        Self(Timestamp::from_second(moment.as_second()).unwrap_or(moment))
    }

    /// The moment for which it was due.
    pub fn moment(self) -> Timestamp {
        self.0
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0.to_zoned(TimeZone::UTC).strftime(FORMAT))
    }
}

impl FromStr for BackupId {
    type Err = NoBackupId;

    fn from_str(text: &str) -> Result<Self, NoBackupId> {
        let refused = || NoBackupId(text.to_owned());
        let written = jiff::civil::DateTime::strptime(FORMAT, text).map_err(|_| refused())?;
        let moment = written.to_zoned(TimeZone::UTC).map_err(|_| refused())?.timestamp();
        let id = Self(moment);
        // One spelling only: a key is made of it again.
        if id.to_string() == text { Ok(id) } else { Err(refused()) }
    }
}

impl Serialize for BackupId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BackupId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What a backup is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// [`CONFIG_VERSION`].
    pub version: String,
    /// The cluster's name.
    pub cluster: String,
    /// The etcd cluster's name.
    pub etcd: String,
    /// Its own name.
    pub id: BackupId,
    /// When the snapshot was begun.
    pub taken: Timestamp,
    /// The member that gave it.
    pub member: String,
    /// etcd's version without a leading `v`.
    pub etcd_version: String,
    /// Kubernetes' version without a leading `v`: of the master that made it.
    pub kubernetes_version: String,
    /// The cluster id that etcd itself gives, as hexadecimal digits: another one after each restore.
    pub etcd_cluster_id: String,
    /// The revision of the snapshot.
    pub revision: i64,
    /// How many keys there were.
    pub keys: u64,
    /// The lower-case hexadecimal SHA-256 of `snapshot.gz`.
    pub sha256: String,
    /// How many bytes `snapshot.gz` has.
    pub compressed_bytes: u64,
    /// How many bytes the snapshot has.
    pub bytes: u64,
}

/// That a backup could be restored, or that it couldn't.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// [`CONFIG_VERSION`].
    pub version: String,
    /// When.
    pub proven: Timestamp,
    /// How many seconds it took.
    pub seconds: f64,
    /// How many keys were there in the etcd that was started from it.
    pub keys: u64,
    /// Why it can't be restored. Absent where it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Backup {
    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        config::read(bytes)
    }
}

impl Proof {
    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        config::read(bytes)
    }

    /// The proof of a backup that could be restored.
    pub fn of(proven: Timestamp, seconds: f64, keys: u64) -> Self {
        Self { version: CONFIG_VERSION.to_owned(), proven, seconds, keys, failure: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_s_name_is_its_moment_and_has_one_spelling() {
        let id = BackupId::at("2026-11-23T14:05:00.75Z".parse().unwrap());
        assert_eq!(id.to_string(), "2026-11-23T14-05-00Z");
        assert_eq!("2026-11-23T14-05-00Z".parse::<BackupId>().unwrap(), id);
        for other in
            ["", "latest", "2026-11-23T14:05:00Z", "2026-11-3T14-05-00Z", "2026-13-23T14-05-00Z", "../x"]
        {
            assert!(other.parse::<BackupId>().is_err(), "{other}");
        }
        assert!(BackupId::at("2026-11-23T14:05:01Z".parse().unwrap()) > id);
    }
}
