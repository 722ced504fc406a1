//! Which backup is restored, and whether it can be: all that can be said of it before anything is stopped.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest as sha256};
use flate2::read::GzDecoder;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use windlass_bootstrap::backup::{Backup, BackupId, Snapshot};

use crate::spec::cluster::Cluster;
use crate::spec::versions::Version;
use crate::state::backups::ListedBackup;
use crate::state::object::digest;

/// How many bytes a SHA-256 has.
const DIGEST: usize = 32;

/// Which backup the user wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The newest that isn't known to be bad.
    #[default]
    Latest,
    /// This one.
    Id(BackupId),
    /// The newest of this moment or before, that isn't known to be bad.
    At(Timestamp),
}

/// Something names no backup.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is neither `latest`, nor a backup such as 2026-11-23T14-05-00Z, nor a time such as 2026-11-23T14:05 (in UTC, unless \
     it says otherwise)"
)]
pub struct NotWanted(String);

impl FromStr for Wanted {
    type Err = NotWanted;

    fn from_str(text: &str) -> Result<Self, NotWanted> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        moment(text).map(Self::At).ok_or_else(|| NotWanted(text.to_owned()))
    }
}

/// The moment that a user names: in UTC, unless it says otherwise.
pub fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Some(moment);
    }
    let time = text.parse::<DateTime>().ok().filter(|_| text.contains(['T', ' ']))?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

impl Wanted {
    /// The backups that come into question, the best first, of a list with the newest first.
    pub fn candidates(self, listed: &[ListedBackup]) -> Vec<&ListedBackup> {
        let is_wanted = |backup: &&ListedBackup| match self {
            Self::Latest => backup.is_complete,
            Self::Id(id) => backup.id == id && backup.is_complete,
            Self::At(moment) => backup.is_complete && backup.id.moment() <= moment,
        };
        listed.iter().filter(is_wanted).collect()
    }
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest => formatter.write_str("no backup that is whole"),
            Self::Id(id) => write!(formatter, "no backup {id} that is whole"),
            Self::At(moment) => write!(formatter, "no backup of {moment} or before that is whole"),
        }
    }
}

/// Why a backup isn't restored.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is none.
    #[error("`{cluster}` has {wanted}")]
    None {
        /// The cluster.
        cluster: String,
        /// What was asked for.
        wanted: Wanted,
    },
    /// It is of something else.
    #[error("the backup {id} is of {found}, and not of {expected}")]
    Other {
        /// Which.
        id: BackupId,
        /// Of what it is.
        found: String,
        /// Of what it should be.
        expected: String,
    },
    /// What runs can't read it.
    #[error("the backup {id} is of {what} {found}, which is newer than the {expected} of the specification")]
    Newer {
        /// Which.
        id: BackupId,
        /// Of which program.
        what: String,
        /// The backup's version.
        found: String,
        /// The cluster's.
        expected: String,
    },
    /// A file of it isn't there.
    #[error("the backup {id} has lost `{key}`")]
    Lost {
        /// Which.
        id: BackupId,
        /// The object.
        key: String,
    },
    /// A file of it isn't what it was.
    #[error("the backup {id} is damaged: `{key}` {why}")]
    Damaged {
        /// Which.
        id: BackupId,
        /// The object.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// Another one is being restored.
    #[error("`{cluster}` is being restored from the backup {id}")]
    UnderWay {
        /// The cluster.
        cluster: String,
        /// Which.
        id: BackupId,
    },
    /// Data has been restored already.
    #[error(
        "the restore of `{cluster}` from the backup {id} can't be given up any more: masters restore their data"
    )]
    TooLate {
        /// The cluster.
        cluster: String,
        /// Which.
        id: BackupId,
    },
}

impl Refused {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::None { .. } => "`windlass get backups` lists what there is".to_owned(),
            Self::UnderWay { .. } => "`windlass restore cluster --yes` goes on with it".to_owned(),
            Self::TooLate { .. } => {
                "`windlass restore cluster --yes` goes on with it; another restore may follow".to_owned()
            }
            Self::Other { .. } | Self::Newer { .. } | Self::Lost { .. } | Self::Damaged { .. } => {
                "nothing was stopped. `windlass get backups` lists the others: restore one of them with --backup"
                    .to_owned()
            }
        }
    }
}

/// Compares what a backup says of itself with the cluster.
pub fn check_description(listed: &ListedBackup, backup: &Backup, cluster: &Cluster) -> Result<(), Refused> {
    let id = listed.id;
    let other = |found: String, expected: String| Err(Refused::Other { id, found, expected });
    if backup.cluster != cluster.name {
        return other(format!("the cluster `{}`", backup.cluster), format!("`{}`", cluster.name));
    }
    if backup.id != id {
        return other(format!("{}", backup.id), format!("{id}"));
    }
    let found: BTreeSet<&str> = backup.etcd.keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = cluster.etcd.iter().map(|etcd| etcd.name.as_str()).collect();
    if found != expected {
        let named = |names: &BTreeSet<&str>| {
            format!("the etcd clusters {}", names.iter().copied().collect::<Vec<_>>().join(", "))
        };
        return other(named(&found), named(&expected));
    }
    check_version(id, "Kubernetes", &backup.kubernetes_version, &cluster.kubernetes_version)?;
    cluster.etcd.iter().try_for_each(|etcd| {
        let snapshot = &backup.etcd[&etcd.name];
        check_version(id, &format!("etcd {}", etcd.name), &snapshot.etcd_version, &etcd.version)
    })
}

/// An older program can't be trusted with what a newer minor version has written.
fn check_version(id: BackupId, what: &str, found: &str, expected: &str) -> Result<(), Refused> {
    let minor = |text: &str| Version::parse(text).map(|version| (version.major, version.minor));
    match (minor(found), minor(expected)) {
        (Some(found), Some(expected)) if found <= expected => Ok(()),
        // One that can't be read is of a windlass to come.
        _ => Err(Refused::Newer {
            id,
            what: what.to_owned(),
            found: found.to_owned(),
            expected: expected.to_owned(),
        }),
    }
}

/// Says what is wrong with a file of a snapshot, if anything is: its size, its digest, its compression, and the digest that etcd
/// itself put behind it.
pub fn check_snapshot(snapshot: &Snapshot, compressed: &[u8]) -> Result<(), String> {
    let (found, expected) = (compressed.len() as u64, snapshot.compressed_bytes);
    if found != expected {
        return Err(format!("has {found} bytes instead of {expected}"));
    }
    let found = digest(compressed);
    if found != snapshot.sha256 {
        return Err(format!("has the SHA-256 {found} instead of {}", snapshot.sha256));
    }
    let limit = snapshot.bytes + 1;
    let mut whole = Vec::new();
    let read = GzDecoder::new(compressed).take(limit).read_to_end(&mut whole);
    read.map_err(|error| format!("can't be expanded: {error}"))?;
    if whole.len() as u64 != snapshot.bytes {
        return Err(format!("doesn't expand to {} bytes", snapshot.bytes));
    }
    match whole.split_last_chunk::<DIGEST>() {
        Some((content, own)) if sha256(&SHA256, content).as_ref() == own => Ok(()),
        _ => Err("holds a snapshot of which etcd's own SHA-256 is of something else".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use windlass_bootstrap::backup::Class;

    use super::*;
    use crate::assets::sample;

    fn listed(id: &str, is_complete: bool) -> ListedBackup {
        ListedBackup { id: id.parse().unwrap(), class: Class::Frequent, is_complete, is_tried: false }
    }

    fn snapshot_of(content: &[u8]) -> (Snapshot, Vec<u8>) {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.write_all(sha256(&SHA256, content).as_ref()).unwrap();
        let compressed = encoder.finish().unwrap();
        let snapshot = Snapshot {
            member: "a".to_owned(),
            etcd_version: "3.6.0".to_owned(),
            etcd_cluster_id: "1".to_owned(),
            revision: 7,
            keys: 3,
            sha256: digest(&compressed),
            compressed_bytes: compressed.len() as u64,
            bytes: (content.len() + DIGEST) as u64,
        };
        (snapshot, compressed)
    }

    fn backup(cluster: &Cluster) -> Backup {
        let (snapshot, _) = snapshot_of(b"content");
        let snapshot = |version: &str| Snapshot { etcd_version: version.to_owned(), ..snapshot.clone() };
        Backup {
            version: "windlass/v1".to_owned(),
            cluster: cluster.name.clone(),
            id: ID.parse().unwrap(),
            taken: Timestamp::UNIX_EPOCH,
            kubernetes_version: cluster.kubernetes_version.clone(),
            etcd: cluster.etcd.iter().map(|etcd| (etcd.name.clone(), snapshot(&etcd.version))).collect(),
        }
    }

    const ID: &str = "2026-11-23T14-05-00Z";

    #[test]
    fn a_backup_is_named_by_its_id_or_by_a_moment_or_is_the_newest_that_is_whole() {
        let list = [
            listed("2026-11-23T14-30-00Z", false),
            listed("2026-11-23T14-15-00Z", true),
            listed("2026-11-23T14-00-00Z", true),
        ];
        let table = [
            ("latest", Some("2026-11-23T14-15-00Z")),
            ("2026-11-23T14:05", Some("2026-11-23T14-00-00Z")),
            ("2026-11-23 14:15:00", Some("2026-11-23T14-15-00Z")),
            ("2026-11-23T15:05:00+01:00", Some("2026-11-23T14-00-00Z")),
            ("2026-11-23T14-00-00Z", Some("2026-11-23T14-00-00Z")),
            ("2026-11-23T14-30-00Z", None),
            ("2026-11-23T13:59", None),
        ];
        for (text, expected) in table {
            let wanted: Wanted = text.parse().unwrap();
            let found = wanted.candidates(&list).first().map(|backup| backup.id.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        for text in ["", "14:05", "yesterday", "2026-11-23"] {
            assert!(text.parse::<Wanted>().is_err(), "{text}");
        }
    }

    #[test]
    fn backups_of_other_clusters_and_of_newer_versions_are_refused_by_name() {
        let cluster = sample::cluster();
        let listed = listed(ID, true);
        check_description(&listed, &backup(&cluster), &cluster).unwrap();
        let broken = |change: &dyn Fn(&mut Backup)| {
            let mut backup = backup(&cluster);
            change(&mut backup);
            check_description(&listed, &backup, &cluster).unwrap_err().to_string()
        };
        let main = |backup: &mut Backup| backup.etcd.remove("main").unwrap();
        let table = [
            (broken(&|it| it.cluster = "other.example.com".to_owned()), "`other.example.com`"),
            (broken(&|it| it.id = "2026-11-23T14-00-00Z".parse().unwrap()), "2026-11-23T14-00-00Z"),
            (broken(&|it| it.kubernetes_version = "1.99.0".to_owned()), "Kubernetes 1.99.0"),
            (broken(&|it| it.kubernetes_version = "soon".to_owned()), "Kubernetes soon"),
            (
                broken(&|it| it.etcd.get_mut("main").unwrap().etcd_version = "3.99.1".to_owned()),
                "etcd main 3.99.1",
            ),
            (broken(&|it| drop(main(it))), "etcd clusters"),
            (
                broken(&|it| {
                    let main = main(it);
                    it.etcd.insert("mine".to_owned(), main);
                }),
                "mine",
            ),
        ];
        for (said, expected) in table {
            assert!(said.contains(ID) && said.contains(expected), "{said}");
        }
        let mut older = backup(&cluster);
        older.kubernetes_version = "1.30.0".to_owned();
        check_description(&listed, &older, &cluster).unwrap();
    }

    #[test]
    fn a_file_that_isnt_what_it_was_is_refused_and_it_is_said_how() {
        let (snapshot, compressed) = snapshot_of(&[7; 5000]);
        check_snapshot(&snapshot, &compressed).unwrap();
        let refused = |snapshot: &Snapshot, bytes: &[u8]| check_snapshot(snapshot, bytes).unwrap_err();
        assert!(refused(&snapshot, &compressed[1..]).contains("bytes instead of"));
        for at in 0..compressed.len() {
            let mut flipped = compressed.clone();
            flipped[at] ^= 1;
            assert!(refused(&snapshot, &flipped).contains("SHA-256"), "{at}");
        }
        // What the description says, too, but etcd didn't write.
        let as_described = |bytes: &[u8], size: u64| {
            let sha256 = digest(bytes);
            let changed =
                Snapshot { sha256, compressed_bytes: bytes.len() as u64, bytes: size, ..snapshot.clone() };
            refused(&changed, bytes)
        };
        assert!(as_described(b"nothing that gzip knows", 10).contains("can't be expanded"));
        assert!(
            as_described(&compressed[..compressed.len() - 10], snapshot.bytes).contains("can't be expanded")
        );
        assert!(as_described(&compressed, snapshot.bytes - 1).contains("doesn't expand"));
        let (_, mut other) = snapshot_of(b"x");
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&[7; 5032]).unwrap();
        other = encoder.finish().unwrap_or(other);
        assert!(as_described(&other, 5032).contains("etcd's own SHA-256"));
    }
}
