//! The proof of a backup: it is fetched from the state, restored, and started as an etcd of its own beside the master's, whose
//! keys are counted. What it may use is bounded, so that the master doesn't feel it.

use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::GetOptions;
use jiff::Timestamp;
use tokio::sync::watch;

use super::snapshot::{self, SnapshotError};
use super::{Made, check_free, leave, place, room};
use crate::agent::Agent;
use crate::aws::state::StateError;
use crate::background::every::{Every, every};
use crate::contract::backup::{self, Backup, BackupId, DESCRIPTION, PROOF, Proof, Snapshot};
use crate::contract::config::{CONFIG_VERSION, ControlPlaneConfig, DocumentError, EtcdConfig, EtcdPorts};
use crate::contract::keys;
use crate::control_plane::etcd_client as members;
use crate::control_plane::etcd_programs::{Bounds, EtcdPrograms, ProgramError};
use crate::kubernetes::manifests::{ManifestError, image};

/// The task.
pub const TASK: Every = every("prove_backups", Duration::from_secs(5)).after_error(Duration::from_mins(1));

/// The unit in which etcd's programs run.
const UNIT: &str = "windlass-backup-proof.service";

/// A quarter of a processor. etcd's index of keys is in memory; its database is a file that is mapped, and may be forgotten.
const BOUNDS: Bounds = Bounds { cpu_percent: 25, memory_mib: 1024, time: Duration::from_mins(10) };

/// What etcd lays out for its log before it writes to it: two files of 64 MB.
const LOGS: u64 = 2 * 64_000_000;

/// How long etcd may take until it answers.
const START: Duration = Duration::from_mins(3);

/// Why a backup isn't proven.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The backup is bad: that is known, and written down.
    #[error("the backup {id} can't be restored: {why}")]
    Bad {
        /// Which.
        id: BackupId,
        /// What was found.
        why: String,
    },
    /// Before it could be tried.
    #[error("the backup {id} could not be tried")]
    Untried {
        /// Which.
        id: BackupId,
        /// Why.
        #[source]
        source: Untried,
    },
}

/// What keeps a proof from being made, which says nothing of the backup.
#[derive(Debug, thiserror::Error)]
pub enum Untried {
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// The volume.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// etcd's programs.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The image's name.
    #[error(transparent)]
    Image(#[from] ManifestError),
    /// The description or the proof.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The backup is of other etcd clusters.
    #[error("it has no etcd cluster {0}")]
    Lacks(String),
    /// It was ended while it was made whole.
    #[error("it could not be made whole")]
    Expanding(#[source] tokio::task::JoinError),
    /// No answer.
    #[error("an etcd that was started from it doesn't answer")]
    Silent(#[source] SnapshotError),
    /// No port.
    #[error("there is no free port on 127.0.0.1")]
    Port(#[source] std::io::Error),
}

/// What was found of one etcd cluster.
struct Found {
    keys: u64,
    memory: Option<u64>,
    cpu: Option<f64>,
}

/// Proves each backup that this master has made; of several that came meanwhile, the latest.
pub async fn prove(
    agent: Arc<Agent>,
    control_plane: ControlPlaneConfig,
    made: watch::Receiver<Option<Made>>,
) {
    let mut rounds = TASK.rounds(&agent.reporter);
    let mut done = None;
    // What an agent that was killed has left running.
    EtcdPrograms::stop(&agent.host, UNIT).await;
    control_plane.etcd_clusters().for_each(|etcd| leave(&place(&agent.host, etcd, "proof")));
    loop {
        rounds.next().await;
        let Some(latest) = *made.borrow() else { continue };
        if done == Some(latest) {
            continue;
        }
        // Who led before may have tried it.
        let key = keys::backup(&agent.config.cluster, latest.0, latest.1, PROOF);
        if agent.store.keys(&key).await.is_ok_and(|found| !found.is_empty()) {
            done = Some(latest);
            continue;
        }
        let proven = of(&agent, &control_plane, latest).await;
        // One that is known to be bad isn't tried again, and goes on being told until a good one comes.
        if !matches!(proven, Err(ProofError::Untried { .. })) {
            done = Some(latest);
        }
        rounds.tell(proven);
    }
}

async fn of(agent: &Agent, control_plane: &ControlPlaneConfig, (class, id): Made) -> Result<(), ProofError> {
    let untried = |source: Untried| ProofError::Untried { id, source };
    let begun = Instant::now();
    let tried = try_all(agent, control_plane, (class, id)).await.map_err(untried)?;
    let mut proof = Proof {
        version: CONFIG_VERSION.to_owned(),
        proven: Timestamp::now(),
        seconds: begun.elapsed().as_secs_f64(),
        keys: std::collections::BTreeMap::new(),
        memory_peak_bytes: None,
        cpu_seconds: None,
        failure: None,
    };
    match tried {
        Ok(found) => {
            for (etcd, Found { keys, memory, cpu }) in found {
                proof.keys.insert(etcd, keys);
                proof.memory_peak_bytes = proof.memory_peak_bytes.max(memory);
                proof.cpu_seconds = cpu.map(|cpu| cpu + proof.cpu_seconds.unwrap_or_default());
            }
        }
        Err(why) => proof.failure = Some(why),
    }
    let bytes = serde_json::to_vec_pretty(&proof);
    let bytes = bytes.map_err(|error| untried(DocumentError::Format(error).into()))?;
    let key = keys::backup(&agent.config.cluster, class, id, PROOF);
    agent.store.put_if_absent(&key, bytes).await.map_err(|error| untried(error.into()))?;
    match proof.failure {
        Some(why) => Err(ProofError::Bad { id, why }),
        None => Ok(()),
    }
}

/// What was found of each etcd cluster, or why one of them can't be restored.
type Tried = Result<Vec<(String, Found)>, String>;

async fn try_all(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    (class, id): Made,
) -> Result<Tried, Untried> {
    let description = keys::backup(&agent.config.cluster, class, id, DESCRIPTION);
    let backup = Backup::read(&agent.store.require(&description).await?)?;
    let programs = EtcdPrograms::of_image(&agent.host, image(&control_plane.images, "etcd")?).await?;
    let mut found = Vec::new();
    let mut outcome = Ok(Ok(()));
    for etcd in control_plane.etcd_clusters() {
        let of = backup.etcd.get(&etcd.name).ok_or_else(|| Untried::Lacks(etcd.name.clone()));
        outcome = match of {
            Ok(snapshot) => {
                let key = backup::snapshot(&etcd.name, &snapshot.sha256);
                let key = keys::backup(&agent.config.cluster, class, id, &key);
                let tried = try_one(agent, &programs, etcd, snapshot, &key).await;
                tried.map(|tried| tried.map(|counted| found.push((etcd.name.clone(), counted))))
            }
            Err(error) => Err(error),
        };
        if !matches!(outcome, Ok(Ok(()))) {
            break;
        }
    }
    programs.leave().await;
    Ok(outcome?.map(|()| found))
}

async fn try_one(
    agent: &Agent,
    programs: &EtcdPrograms,
    etcd: &EtcdConfig,
    snapshot: &Snapshot,
    key: &str,
) -> Result<Result<Found, String>, Untried> {
    let folder = room(&agent.host, etcd, "proof").map_err(SnapshotError::File)?;
    let tried = async {
        // Compressed, as it was, and restored; the first is gone before the last grows.
        check_free(&folder, etcd, snapshot.compressed_bytes + 2 * snapshot.bytes + LOGS)?;
        if let Err(why) = restore(agent, programs, etcd, snapshot, key, &folder).await? {
            return Ok(Err(why));
        }
        let counted = count(agent, programs, etcd, snapshot, &folder.join("data")).await;
        let (memory, cpu) = programs.used(UNIT).await;
        EtcdPrograms::stop(&agent.host, UNIT).await;
        Ok(counted?.map(|keys| Found { keys, memory, cpu }))
    };
    let tried = tried.await;
    leave(&folder);
    tried
}

/// Fetches a snapshot, looks that it is whole, and has etcd's own program make a data folder of it.
async fn restore(
    agent: &Agent,
    programs: &EtcdPrograms,
    etcd: &EtcdConfig,
    snapshot: &Snapshot,
    key: &str,
    folder: &Path,
) -> Result<Result<(), String>, Untried> {
    let (compressed, whole) = (folder.join("snapshot.gz"), folder.join("snapshot.db"));
    agent.store.get_into_file(key, &compressed).await?;
    let expanding = {
        let (compressed, whole) = (compressed.clone(), whole.clone());
        let (expected, name) = (snapshot.clone(), etcd.name.clone());
        tokio::task::spawn_blocking(move || snapshot::expand(&compressed, &expected, &whole, &name))
    };
    match expanding.await {
        Ok(Ok(())) => {}
        // That the disk is full says nothing of the backup.
        Ok(Err(error @ SnapshotError::Torn(_))) => return Ok(Err(error.to_string())),
        Ok(Err(error)) => return Err(error.into()),
        Err(error) => return Err(Untried::Expanding(error)),
    }
    leave_file(&compressed);
    let arguments = ["snapshot", "restore"]
        .map(str::to_owned)
        .into_iter()
        .chain([whole.display().to_string(), format!("--data-dir={}", folder.join("data").display())]);
    let arguments: Vec<String> = arguments.collect();
    let restored = programs.run(UNIT, BOUNDS, "etcdutl", &arguments).await;
    leave_file(&whole);
    // Its limits may have ended it, or systemd: it is known to be whole.
    restored?;
    Ok(Ok(()))
}

fn leave_file(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "it could not be taken away");
    }
}

/// Starts an etcd from a data folder, and counts its keys at the backup's revision.
async fn count(
    agent: &Agent,
    programs: &EtcdPrograms,
    etcd: &EtcdConfig,
    snapshot: &Snapshot,
    data: &Path,
) -> Result<Result<u64, String>, Untried> {
    let [client, peer] = free_ports().map_err(Untried::Port)?;
    programs.start(UNIT, BOUNDS, "etcd", &arguments(data, client, peer)).await?;
    let tried = EtcdConfig { ports: EtcdPorts { client, ..etcd.ports }, ..etcd.clone() };
    let until = Instant::now() + START;
    loop {
        let counted = count_at(agent, &tried, snapshot.revision).await;
        match counted {
            Ok(keys) if keys == snapshot.keys => return Ok(Ok(keys)),
            Ok(keys) => {
                let why = format!("etcd {} has {keys} keys instead of {}", etcd.name, snapshot.keys);
                return Ok(Err(why));
            }
            Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(250)).await,
            Err(error) => return Err(Untried::Silent(error)),
        }
    }
}

async fn count_at(agent: &Agent, etcd: &EtcdConfig, revision: i64) -> Result<u64, SnapshotError> {
    let mut client = members::own(&agent.host, etcd).await?;
    let all = GetOptions::new().with_all_keys().with_count_only().with_revision(revision);
    let failed = |source| SnapshotError::Etcd { etcd: etcd.name.clone(), source: Box::new(source) };
    let counted = client.get("", Some(all)).await.map_err(failed)?;
    Ok(u64::try_from(counted.count()).unwrap_or_default())
}

/// What etcd is started with: as the master's own, on ports of its own, of 127.0.0.1 alone, and with no other member.
fn arguments(data: &Path, client: u16, peer: u16) -> Vec<String> {
    let client = format!("https://127.0.0.1:{client}");
    let mut arguments = vec![
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls=https://127.0.0.1:{peer}"),
        "--client-cert-auth=true".to_owned(),
        "--peer-client-cert-auth=true".to_owned(),
    ];
    for (flag, file) in [
        ("trusted-ca-file", "ca.crt"),
        ("cert-file", "server.crt"),
        ("key-file", "server.key"),
        ("peer-trusted-ca-file", "ca.crt"),
        ("peer-cert-file", "peer.crt"),
        ("peer-key-file", "peer.key"),
    ] {
        arguments.push(format!("--{flag}=/srv/kubernetes/etcd/{file}"));
    }
    arguments
}

/// Two ports that nobody listens on now.
fn free_ports() -> std::io::Result<[u16; 2]> {
    let listeners =
        [TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?];
    Ok([listeners[0].local_addr()?.port(), listeners[1].local_addr()?.port()])
}
