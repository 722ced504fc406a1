//! A backup of a cluster's etcd, as masters write it and the CLI and a restore read it.
//!
//! A backup is a folder, named by the moment for which it was due ([`BackupId`]), in the folder of its [`Class`]. It holds all
//! etcd clusters, taken one after the other: what is restored is of one time.
//!
//! ```text
//! <cluster>/backups/etcd/<class>/<id>/<etcd>.<sha256>.gz  etcd's own snapshot (with its SHA-256 at the end), compressed
//! <cluster>/backups/etcd/<class>/<id>/backup.json    [`Backup`]; written last: without it there is no backup
//! <cluster>/backups/etcd/<class>/<id>/proof.json     [`Proof`]; written when it was restored into etcds of its own
//! ```
//!
//! Masters write objects that aren't there yet, and no others: they can neither change nor delete a backup. What is old goes
//! by rules of the bucket, one for each class, which the CLI makes.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::config::{self, DocumentError};

/// The file of what a backup is: [`Backup`].
pub const DESCRIPTION: &str = "backup.json";
/// The file of a backup's proof: [`Proof`].
pub const PROOF: &str = "proof.json";

/// How long a backup is kept, which is decided when it is made: the first one of a day, of an hour, and the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// Kept for as many days as the specification says.
    Daily,
    /// Kept for a week.
    Hourly,
    /// Kept for a day.
    Frequent,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Daily, Self::Hourly, Self::Frequent];

    /// The folder of its backups.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Hourly => "hourly",
            Self::Frequent => "frequent",
        }
    }

    /// For how many days its backups are kept. `daily` is what the specification says of those.
    pub fn days(self, daily: u32) -> u32 {
        match self {
            Self::Daily => daily,
            // Never longer than what is kept for longest.
            Self::Hourly => daily.min(7),
            Self::Frequent => 1,
        }
    }
}

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

    /// The name of the backup that is due at a moment, where there is one every so many seconds: the same for whoever asks.
    pub fn due(moment: Timestamp, interval_seconds: u32) -> Self {
        let interval = i64::from(interval_seconds.max(1));
        Self::at(Timestamp::from_second(moment.as_second().div_euclid(interval) * interval).unwrap_or(moment))
    }

    /// What the names of all backups of its day begin with, and of its hour.
    pub fn prefixes(self) -> [String; 2] {
        let moment = self.0.to_zoned(TimeZone::UTC);
        ["%Y-%m-%dT", "%Y-%m-%dT%H-"].map(|format| moment.strftime(format).to_string())
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
    /// [`config::CONFIG_VERSION`].
    pub version: String,
    /// The cluster's name.
    pub cluster: String,
    /// Its own name.
    pub id: BackupId,
    /// When it was begun.
    pub taken: Timestamp,
    /// Kubernetes' version without a leading `v`: of the master that made it.
    pub kubernetes_version: String,
    /// The etcd clusters, by name.
    pub etcd: BTreeMap<String, Snapshot>,
}

/// The part of a backup that is of one etcd cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// The member that gave it.
    pub member: String,
    /// etcd's version without a leading `v`.
    pub etcd_version: String,
    /// The cluster id that etcd itself gives, as hexadecimal digits: another one after each restore.
    pub etcd_cluster_id: String,
    /// The revision when it was begun: the snapshot holds all that there was, and perhaps what was written meanwhile.
    pub revision: i64,
    /// How many keys there were at that revision.
    pub keys: u64,
    /// The lower-case hexadecimal SHA-256 of the compressed file.
    pub sha256: String,
    /// How many bytes the compressed file has.
    pub compressed_bytes: u64,
    /// How many bytes the snapshot has.
    pub bytes: u64,
}

/// That a backup could be restored, or that it couldn't.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// [`config::CONFIG_VERSION`].
    pub version: String,
    /// When.
    pub proven: Timestamp,
    /// How many seconds it took.
    pub seconds: f64,
    /// How many keys were there at the backup's revision in the etcd that was started from it, by etcd cluster.
    pub keys: BTreeMap<String, u64>,
    /// The most memory that one of these etcds used, in bytes, where the machine tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak_bytes: Option<u64>,
    /// How many seconds of a processor they used together, where the machine tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_seconds: Option<f64>,
    /// Why it can't be restored. Absent where it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// The name of the file that holds the snapshot of an etcd cluster. Of two attempts at one backup each has its own, as no object
/// is written a second time; the description says which counts.
pub fn snapshot(etcd: &str, sha256: &str) -> String {
    format!("{etcd}.{}.gz", sha256.get(..16).unwrap_or(sha256))
}

/// Where a key below the folder of all backups stands: its class, its backup and its file. Nothing for what windlass doesn't
/// write there.
pub fn place(rest: &str) -> Option<(Class, BackupId, &str)> {
    let mut parts = rest.split('/');
    let class = parts.next()?;
    let class = Class::ALL.into_iter().find(|one| one.folder() == class)?;
    let (id, file) = (parts.next()?.parse().ok()?, parts.next()?);
    parts.next().is_none().then_some((class, id, file))
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
        assert_eq!(id.prefixes(), ["2026-11-23T", "2026-11-23T14-"]);
    }

    #[test]
    fn whoever_asks_finds_the_same_backup_due_until_the_next() {
        let due = |moment: &str| BackupId::due(moment.parse().unwrap(), 900).to_string();
        assert_eq!(due("2026-11-23T14:05:00Z"), "2026-11-23T14-00-00Z");
        assert_eq!(due("2026-11-23T14:14:59.9Z"), "2026-11-23T14-00-00Z");
        assert_eq!(due("2026-11-23T14:15:00Z"), "2026-11-23T14-15-00Z");
    }

    #[test]
    fn a_key_says_of_which_backup_it_is_a_part_and_for_how_long_that_is_kept() {
        let (class, id, file) = place("hourly/2026-11-23T14-00-00Z/main.gz").unwrap();
        assert_eq!(
            (class, id.to_string().as_str(), file),
            (Class::Hourly, "2026-11-23T14-00-00Z", "main.gz")
        );
        for other in
            ["weekly/2026-11-23T14-00-00Z/main.gz", "hourly/x/main.gz", "hourly/2026-11-23T14-00-00Z"]
        {
            assert_eq!(place(other), None, "{other}");
        }
        assert_eq!(Class::ALL.map(|class| class.days(90)), [90, 7, 1]);
        assert_eq!(Class::ALL.map(|class| class.days(3)), [3, 3, 1]);
    }
}
