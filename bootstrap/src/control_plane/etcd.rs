//! How etcd may start: the decision that keeps an empty cluster from taking the place of a lost one.
//!
//! | marker in the state | data on the volume | start |
//! |---|---|---|
//! | no | no | a new cluster; the marker is written once it is healthy |
//! | no | yes | with the data: a crash between the first start and the marker, or an adopted volume |
//! | yes | yes | with the data |
//! | yes | no | never: the volume is the wrong one, or has lost its data |
//! | yes, of another volume | no, and this one was made to replace a lost one | it joins the other members |
//! | no | no, and the member was added when the others lived | it joins them |

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::agent::Agent;
use crate::aws::ec2::Volume;
use crate::aws::state::StateStore;
use crate::contract::config::{ControlPlaneConfig, EtcdConfig};
use crate::control_plane::etcd_members::{self, JoinError};
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};
use crate::storage::etcd_data::{self, Data};
use crate::storage::etcd_marker::{self, Marker, MarkerError};
use crate::storage::volume::AttachedVolumes;

/// Decides how etcd starts.
pub const STEP: Step = Step::new("ensure_etcd_start", Duration::from_mins(5)).outside();

/// Has the other members take in one that has lost its volume. They may be away, or take in another one first.
pub const JOIN: Step = Step::until_done("ensure_etcd_joins").outside();

/// What can go wrong with the decision.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// The volume has lost its data, or is the wrong one.
    #[error(
        "etcd member {member} was initialised on {initialised} with volume {volume}, but this volume holds no etcd data: \
         an empty cluster is not started over a lost one; attach the right volume, or restore a snapshot onto this one"
    )]
    DataLost {
        /// The member's name.
        member: String,
        /// When, RFC 3339.
        initialised: String,
        /// The volume it was initialised on.
        volume: String,
    },
    /// The marker.
    #[error(transparent)]
    Marker(#[from] MarkerError),
    /// A file on the volume or of this boot.
    #[error("etcd's data can't be looked at")]
    File(#[source] FileError),
}

impl Classed for EtcdError {
    fn class(&self) -> Class {
        match self {
            Self::DataLost { .. } => Class::Permanent,
            Self::Marker(error) => error.class(),
            Self::File(_) => Class::Passing,
        }
    }
}

/// etcd's `--initial-cluster-state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitialClusterState {
    /// Makes a new, empty cluster if there is no data.
    New,
    /// Fails if there is no data and no cluster to join.
    Existing,
}

impl InitialClusterState {
    /// As etcd spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Existing => "existing",
        }
    }
}

/// How large etcd's database may become on a volume of so many GiB, in bytes: two fifths of it, because defragmenting
/// writes a second copy beside the first, and logs and snapshots need room, too; and 8 GiB at most, which is what etcd's
/// maintainers recommend (etcd's "System limits"). Without a volume it is etcd's own default.
///
/// It follows the volume when etcd is next started: a running one isn't restarted for it.
pub fn quota(volume_gib: Option<u64>) -> u64 {
    const GIB: u64 = 1 << 30;
    volume_gib.map_or(2 * GIB, |size| (size * GIB * 2 / 5).min(8 * GIB))
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It starts.
    Start(InitialClusterState),
    /// It first joins the other members, which know what it has lost.
    Join,
}

/// Decides how etcd starts. `earlier` is what was decided earlier in this same boot, which is kept as long as it is
/// true: another flag would restart a running etcd for nothing. `replaced` says that this volume was made in the place of the one that
/// the marker names, `added` that the others lived before this member did.
pub fn decide(
    marker: Option<&Marker>,
    data: Data,
    earlier: Option<InitialClusterState>,
    replaced: bool,
    added: bool,
) -> Result<Decision, EtcdError> {
    match (marker, data) {
        (Some(_), Data::Absent) if replaced => Ok(Decision::Join),
        (None, Data::Absent) if added => Ok(Decision::Join),
        (Some(marker), Data::Absent) => Err(EtcdError::DataLost {
            member: marker.member.clone(),
            initialised: marker.initialised.to_string(),
            volume: marker.volume.clone().unwrap_or_else(|| "unknown".to_owned()),
        }),
        (None, Data::Absent) => Ok(Decision::Start(InitialClusterState::New)),
        (_, Data::Present) => Ok(Decision::Start(earlier.unwrap_or(InitialClusterState::Existing))),
    }
}

/// How one etcd cluster starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Whether it may begin anew.
    pub state: InitialClusterState,
    /// The members that there were when this one joined them; those of the configuration where it didn't in this boot.
    pub initial_cluster: Option<String>,
}

/// How each etcd cluster starts, by its name.
pub type Starts = BTreeMap<String, Start>;

/// The step.
pub async fn run(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    volumes: &AttachedVolumes,
) -> Result<Starts, StepError> {
    let Agent { host, store, config, .. } = agent;
    let decide = async || {
        let mut decisions = Vec::new();
        for etcd in control_plane.etcd_clusters() {
            let volume = volumes.get(&etcd.name).map(|attached| &attached.volume);
            decisions.push((etcd, ensure_decision(host, store, &config.cluster, etcd, volume).await?));
        }
        Ok::<_, EtcdError>(Done::unchanged(decisions))
    };
    let decisions = STEP.run(&agent.reporter, decide).await?;
    let mut starts = Starts::new();
    for (etcd, decision) in decisions {
        let start = match decision {
            Decision::Start(state) => {
                let joined = async || {
                    let joined = file::read(&joined(host, etcd)).map_err(EtcdError::File)?;
                    Ok::<_, EtcdError>(Done::unchanged(joined))
                };
                let joined = STEP.run(&agent.reporter, joined).await?;
                let initial_cluster = joined.and_then(|bytes| String::from_utf8(bytes).ok());
                Start { state, initial_cluster }
            }
            Decision::Join => JOIN.run(&agent.reporter, async || join(host, etcd).await).await?,
        };
        starts.insert(etcd.name.clone(), start);
    }
    Ok(starts)
}

/// Where this boot remembers which members there were when this one joined them.
fn joined(host: &Host, etcd: &EtcdConfig) -> PathBuf {
    host.path(root::RUN).join(format!("etcd-{}-initial-cluster", etcd.name))
}

async fn join(host: &Host, etcd: &EtcdConfig) -> Result<Done<Start>, JoinError> {
    let initial_cluster = etcd_members::join(host, etcd).await?;
    file::ensure(&joined(host, etcd), initial_cluster.as_str(), file::PUBLIC).map_err(JoinError::File)?;
    let value = Start { state: InitialClusterState::Existing, initial_cluster: Some(initial_cluster) };
    Ok(Done { value, changed: true })
}

/// Makes the data folder, decides, and remembers the decision for this boot. The marker is asked for only where there is
/// no data: what it says matters to nothing else, and the state may be away.
pub async fn ensure_decision(
    host: &Host,
    store: &StateStore,
    cluster: &str,
    etcd: &EtcdConfig,
    volume: Option<&Volume>,
) -> Result<Decision, EtcdError> {
    let folder = etcd_data::folder(host, &etcd.name);
    let data = etcd_data::look(&folder).map_err(EtcdError::File)?;
    let marker = match data {
        Data::Absent => {
            etcd_marker::read(store, cluster, etcd, volume.map(|volume| volume.id.as_str())).await?
        }
        Data::Present => None,
    };
    let memory = host.path(root::RUN).join(format!("etcd-{}-initial-cluster-state", etcd.name));
    let earlier = match file::read(&memory).map_err(EtcdError::File)?.as_deref() {
        Some(b"new") => Some(InitialClusterState::New),
        _ => None,
    };
    let replaced = marker.as_ref().zip(volume);
    let replaced = replaced.is_some_and(|(marker, volume)| etcd_marker::is_replaced_by(marker, etcd, volume));
    let decision = decide(marker.as_ref(), data, earlier, replaced, etcd.joining.contains(&etcd.member))?;
    let state = match decision {
        Decision::Start(state) => state,
        Decision::Join => InitialClusterState::Existing,
    };
    file::ensure_folder(&folder, 0o700).map_err(EtcdError::File)?;
    file::ensure(&memory, state.as_str(), file::PUBLIC).map_err(EtcdError::File)?;
    Ok(decision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::config::CONFIG_VERSION;
    use crate::contract::tags;
    use crate::storage::etcd_marker::ensure as ensure_marker;
    use crate::testing::etcd_config as config;

    fn marker() -> Marker {
        Marker {
            version: CONFIG_VERSION.into(),
            cluster: "demo".into(),
            etcd: "main".into(),
            member: "a".into(),
            volume: Some("vol-1".into()),
            initialised: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn an_empty_cluster_is_only_started_where_none_ever_was() {
        use InitialClusterState::{Existing, New};
        let marker = marker();
        let table = [
            (None, Data::Absent, None, Some(New)),
            (None, Data::Absent, Some(New), Some(New)),
            (None, Data::Present, None, Some(Existing)),
            (None, Data::Present, Some(New), Some(New)),
            (Some(&marker), Data::Present, None, Some(Existing)),
            (Some(&marker), Data::Present, Some(New), Some(New)),
            (Some(&marker), Data::Absent, None, None),
            (Some(&marker), Data::Absent, Some(New), None),
        ];
        for (marker, data, earlier, expected) in table {
            let decision = decide(marker, data, earlier, false, false);
            assert_eq!(
                decision.ok(),
                expected.map(Decision::Start),
                "marker {}, {data:?}, {earlier:?}",
                marker.is_some()
            );
        }
    }

    #[test]
    fn a_member_that_was_added_to_a_living_cluster_joins_it_and_is_lost_like_any_other_later() {
        let decided = |marker: Option<&Marker>, data| decide(marker, data, None, false, true).ok();
        assert_eq!(decided(None, Data::Absent), Some(Decision::Join));
        let existing = Decision::Start(InitialClusterState::Existing);
        assert_eq!(decided(None, Data::Present), Some(existing));
        assert_eq!(decided(Some(&marker()), Data::Absent), None);
    }

    #[tokio::test]
    async fn a_volume_that_replaced_a_lost_one_is_not_blank_a_second_time() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path().join("machine"));
        let store = StateStore::Folder(folder.path().join("state"));
        let members = [("a", "127.0.0.1"), ("b", "127.0.0.2")];
        let members = members.map(|(name, address)| (name.to_owned(), address.parse().unwrap())).into();
        let etcd = EtcdConfig { members, ..config() };
        let next_boot = || std::fs::remove_dir_all(host.path(root::RUN)).unwrap();
        assert!(ensure_marker(&host, &store, "demo", &etcd, Some("vol-1")).await.unwrap());
        next_boot();
        let volume = |id: &str, tags: &[(&str, &str)]| Volume {
            id: id.to_owned(),
            state: "in-use".to_owned(),
            size: 20,
            attachment: None,
            tags: tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        let tagged = [(tags::REPLACES_LOST, "a")];
        let (lost, made) = (volume("vol-1", &tagged), volume("vol-2", &tagged));
        for never in [&lost, &volume("vol-2", &[]), &volume("vol-2", &[(tags::REPLACES_LOST, "b")])] {
            let error = ensure_decision(&host, &store, "demo", &etcd, Some(never)).await.unwrap_err();
            assert!(matches!(error, EtcdError::DataLost { .. }), "{never:?}: {error}");
        }
        let untagged = ensure_decision(&host, &store, "demo", &etcd, None).await;
        assert!(matches!(untagged, Err(EtcdError::DataLost { .. })), "{untagged:?}");
        assert_eq!(ensure_decision(&host, &store, "demo", &etcd, Some(&made)).await.unwrap(), Decision::Join);
        assert!(
            ensure_decision(&host, &store, "demo", &config(), Some(&made)).await.is_err(),
            "there are no others"
        );
        assert!(ensure_marker(&host, &store, "demo", &etcd, Some("vol-2")).await.unwrap());
        next_boot();
        let wiped = ensure_decision(&host, &store, "demo", &etcd, Some(&made)).await.unwrap_err();
        assert!(wiped.to_string().contains("vol-2"), "{wiped}");
    }

    #[test]
    fn the_quota_follows_the_volume_s_size_and_leaves_room_for_a_second_copy() {
        const GIB: u64 = 1 << 30;
        assert_eq!([quota(Some(20)), quota(Some(1000))], [8 * GIB, 8 * GIB]);
        assert_eq!([quota(Some(10)), quota(None)], [4 * GIB, 2 * GIB]);
        assert!((1..100).all(|size| quota(Some(size)) * 2 < size * GIB));
    }

    #[tokio::test]
    async fn a_lost_disk_stops_the_boot_and_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path().join("machine"));
        let store = StateStore::Folder(folder.path().join("state"));
        let etcd = config();
        let first = ensure_decision(&host, &store, "demo", &etcd, None).await.unwrap();
        assert_eq!(first, Decision::Start(InitialClusterState::New));
        assert!(ensure_marker(&host, &store, "demo", &etcd, Some("vol-1")).await.unwrap());
        std::fs::remove_dir_all(host.path(root::RUN)).unwrap();
        let error = ensure_decision(&host, &store, "demo", &etcd, None).await.unwrap_err();
        assert_eq!(error.class(), Class::Permanent);
        let message = error.to_string();
        assert!(message.contains("vol-1") && message.contains("restore a snapshot"), "{message}");
    }

    #[tokio::test]
    async fn data_is_a_write_ahead_log_and_nothing_less() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path().join("machine"));
        let store = StateStore::Folder(folder.path().join("state"));
        let log = host.path("/var/lib/etcd-main/data/member/wal");
        std::fs::create_dir_all(log.join("../snap")).unwrap();
        std::fs::write(log.join("../snap/db"), "killed before its first log").unwrap();
        let decision = ensure_decision(&host, &store, "demo", &config(), None).await.unwrap();
        assert_eq!(decision, Decision::Start(InitialClusterState::New));
        std::fs::write(log.join("0000000000000000-0000000000000000.wal"), "log").unwrap();
        std::fs::remove_dir_all(host.path(root::RUN)).unwrap();
        let decision = ensure_decision(&host, &store, "demo", &config(), None).await.unwrap();
        assert_eq!(decision, Decision::Start(InitialClusterState::Existing), "the next boot");
    }

    #[tokio::test]
    async fn where_there_is_data_etcd_starts_and_is_known_to_be_marked_without_the_state() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path().join("machine"));
        let store = StateStore::Folder(folder.path().join("state"));
        let log = host.path("/var/lib/etcd-main/data/member/wal");
        std::fs::create_dir_all(&log).unwrap();
        std::fs::write(log.join("0.wal"), "log").unwrap();
        assert!(ensure_marker(&host, &store, "demo", &config(), None).await.unwrap());
        std::fs::remove_dir_all(folder.path().join("state")).unwrap();
        std::fs::write(folder.path().join("state"), "not a folder").unwrap();
        let decision = ensure_decision(&host, &store, "demo", &config(), None).await.unwrap();
        assert_eq!(decision, Decision::Start(InitialClusterState::Existing));
        assert!(!ensure_marker(&host, &store, "demo", &config(), None).await.unwrap());
        std::fs::remove_dir_all(&log).unwrap();
        let error = ensure_decision(&host, &store, "demo", &config(), None).await.unwrap_err();
        assert!(
            matches!(error, EtcdError::Marker(_)),
            "without data nobody decides before the state says: {error}"
        );
    }

    #[tokio::test]
    async fn the_decision_of_this_boot_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path().join("machine"));
        let store = StateStore::Folder(folder.path().join("state"));
        assert_eq!(
            ensure_decision(&host, &store, "demo", &config(), None).await.unwrap(),
            Decision::Start(InitialClusterState::New)
        );
        let log = host.path("/var/lib/etcd-main/data/member/wal");
        std::fs::create_dir_all(&log).unwrap();
        std::fs::write(log.join("0.wal"), "log").unwrap();
        ensure_marker(&host, &store, "demo", &config(), None).await.unwrap();
        assert_eq!(
            ensure_decision(&host, &store, "demo", &config(), None).await.unwrap(),
            Decision::Start(InitialClusterState::New)
        );
    }
}
