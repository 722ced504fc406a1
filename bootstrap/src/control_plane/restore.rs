//! A master's part of a restore of the whole cluster ([`crate::contract::restore`]).
//!
//! The step stands before etcd starts, and does what the order asks of this master's members: while it says `stop`, it holds
//! the boot up, with the static pods of etcd and of the API server taken away and their containers gone; then it restores the
//! data, answers, and lets the boot go on, which starts the pods as always. The task looks for a new order; where there is one,
//! the boot is gone through again, and comes to the step.
//!
//! The answer that a member was restored is written before its etcd starts: whatever was written to a member that was restored
//! is never restored over, not even where its volume is lost ([`crate::contract::restore::duty`]).

pub mod data;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use self::data::DataError;
use crate::agent::Agent;
use crate::aws::state::StateError;
use crate::background::every::{Every, every};
use crate::contract::backup::BackupId;
use crate::contract::config::{CONFIG_VERSION, ControlPlaneConfig, DocumentError, EtcdConfig};
use crate::contract::keys;
use crate::contract::restore::{Answer, Duty, Order, Source};
use crate::control_plane::etcd_programs::{Bounds, EtcdPrograms, ProgramError};
use crate::control_plane::{controllers, static_pods};
use crate::host::Host;
use crate::host::command::{Command, CommandError};
use crate::kubernetes::manifests::{ManifestError, image};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};
use crate::storage::etcd_data::{self, Data};
use crate::storage::restore_order::{self, OrderError};

/// The step.
pub const STEP: Step = Step::until_done("ensure_restored").outside().poll(Duration::from_secs(2));

/// The task: one request each time.
pub const TASK: Every = every("follow_restores", Duration::from_secs(10));

/// The unit in which etcd's program runs, and what it may use: nothing else runs on this master now.
const UNIT: &str = "windlass-restore.service";
const BOUNDS: Bounds = Bounds { cpu_percent: 200, memory_mib: 2048, time: Duration::from_mins(15) };

/// The containers that must be gone before data is restored.
const CONTAINERS: [&str; 2] = ["etcd", "kube-apiserver"];

/// Why it isn't restored yet.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// What is to be done.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// Other masters stop still, or the operator's windlass was ended.
    #[error(
        "the control plane is stopped for the restore of the backup {0}, which goes on when all masters have stopped; \
         `windlass restore cluster` goes on with it where it was ended"
    )]
    Stopped(BackupId),
    /// Containers end still.
    #[error("waiting for containers to end: {}", .0.join(", "))]
    Ending(Vec<String>),
    /// The static pods.
    #[error("the static pods can't be taken away")]
    Manifest(#[from] ManifestError),
    /// containerd.
    #[error("containerd doesn't say which containers run")]
    Containers(#[source] CommandError),
    /// The data.
    #[error("etcd {etcd} can't be restored from the backup {backup}")]
    Data {
        /// The etcd cluster.
        etcd: String,
        /// The backup.
        backup: BackupId,
        /// Why.
        #[source]
        source: DataError,
    },
    /// etcd's programs.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The answer.
    #[error("the state doesn't take the answer")]
    Answer(#[source] StateError),
    /// The answer as JSON.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Classed for RestoreError {
    fn class(&self) -> Class {
        match self {
            Self::Order(error) => error.class(),
            Self::Stopped(_) | Self::Ending(_) => Class::Waiting,
            _ => Class::Passing,
        }
    }
}

/// The step.
pub async fn run(agent: &Agent, control_plane: &ControlPlaneConfig) -> Result<(), StepError> {
    STEP.run(&agent.reporter, async || ensure(agent, control_plane).await.map(Done::changed_if)).await
}

/// Ends when an order asks something of this master: then the boot is to be gone through again.
pub async fn follow(agent: Arc<Agent>, control_plane: ControlPlaneConfig) {
    let mut rounds = TASK.rounds(&agent.reporter);
    let mut answered = None;
    loop {
        rounds.next().await;
        let looked = look(&agent, &control_plane, &mut answered).await;
        if rounds.tell(looked) == Some(true) {
            tracing::warn!("the state orders a restore: the boot begins again");
            return;
        }
    }
}

/// Whether an order asks something of this master. What the step couldn't answer, because the state was away, is answered.
async fn look(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    answered: &mut Option<u64>,
) -> Result<bool, RestoreError> {
    let Some(order) = restore_order::read(&agent.store, &agent.config.cluster).await? else {
        return Ok(false);
    };
    let duties = duties(agent, control_plane, &order).await?;
    if *answered != Some(order.generation) {
        answer_restored(agent, control_plane, &order).await?;
        *answered = Some(order.generation);
    }
    Ok(duties.iter().any(|(_, duty)| *duty != Duty::None))
}

type Duties<'a> = Vec<(&'a EtcdConfig, Duty)>;

async fn duties<'a>(
    agent: &Agent,
    control_plane: &'a ControlPlaneConfig,
    order: &Order,
) -> Result<Duties<'a>, RestoreError> {
    let mut duties = Vec::new();
    for etcd in control_plane.etcd_clusters() {
        duties.push((etcd, restore_order::duty_of(&agent.host, &agent.store, order, etcd).await?));
    }
    Ok(duties)
}

/// Does what the order asks of this master. Returns whether anything was restored.
async fn ensure(agent: &Agent, control_plane: &ControlPlaneConfig) -> Result<bool, RestoreError> {
    let order = match restore_order::read(&agent.store, &agent.config.cluster).await {
        Ok(None) => return Ok(false),
        Ok(Some(order)) => order,
        // A master that has what it needs starts without the state. The task asks again.
        Err(error) if has_all_data(&agent.host, control_plane)? => {
            tracing::warn!(%error, "starting with the data that is there");
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    let duties = duties(agent, control_plane, &order).await?;
    if duties.iter().any(|(_, duty)| *duty != Duty::None) {
        stop(agent, control_plane, &order).await?;
    }
    if duties.iter().any(|(_, duty)| *duty == Duty::Stop) {
        return Err(RestoreError::Stopped(order.backup));
    }
    let restoring: Vec<&EtcdConfig> =
        duties.into_iter().filter_map(|(etcd, duty)| (duty == Duty::Restore).then_some(etcd)).collect();
    restore(agent, control_plane, &order, &restoring).await?;
    answer_restored(agent, control_plane, &order).await?;
    Ok(!restoring.is_empty())
}

fn has_all_data(host: &Host, control_plane: &ControlPlaneConfig) -> Result<bool, RestoreError> {
    for etcd in control_plane.etcd_clusters() {
        let data = etcd_data::look(&etcd_data::folder(host, &etcd.name)).map_err(OrderError::File)?;
        if data == Data::Absent {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Ends etcd and the API server, and what goes with them, and answers when they are gone.
async fn stop(agent: &Agent, control_plane: &ControlPlaneConfig, order: &Order) -> Result<(), RestoreError> {
    let Agent { host, config, identity, .. } = agent;
    static_pods::remove(host, control_plane)?;
    controllers::remove(host)?;
    let left = running(host).await.map_err(RestoreError::Containers)?;
    if !left.is_empty() {
        return Err(RestoreError::Ending(left.into_iter().collect()));
    }
    answer(agent, &keys::restore_stopped(&config.cluster, order.generation, &identity.id)).await
}

/// The containers of etcd and of the API server that run.
async fn running(host: &Host) -> Result<BTreeSet<String>, CommandError> {
    // Debian's package has it in another folder than upstream's release.
    let ctr = || Command::new("/usr/bin/env").arguments(["ctr", "--namespace", "k8s.io"]);
    let named = CONTAINERS.map(|name| format!("labels.\"io.kubernetes.container.name\"=={name}"));
    let ours = host.run(ctr().arguments(["containers", "ls", "--quiet"]).arguments(named)).await?;
    let tasks = host.run(ctr().arguments(["tasks", "ls", "--quiet"])).await?;
    let tasks: BTreeSet<&str> = tasks.stdout.split_whitespace().collect();
    Ok(ours.stdout.split_whitespace().filter(|id| tasks.contains(id)).map(str::to_owned).collect())
}

async fn restore(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    order: &Order,
    restoring: &[&EtcdConfig],
) -> Result<(), RestoreError> {
    if restoring.is_empty() {
        return Ok(());
    }
    // What an agent that was killed has left running.
    EtcdPrograms::stop(&agent.host, UNIT).await;
    let programs = EtcdPrograms::of_image(&agent.host, image(&control_plane.images, "etcd")?).await?;
    let etcdutl =
        async |arguments: Vec<String>| programs.run(UNIT, BOUNDS, "etcdutl", &arguments).await.map(drop);
    let restored = restore_each(agent, order, restoring, etcdutl).await;
    programs.leave().await;
    restored
}

async fn restore_each(
    agent: &Agent,
    order: &Order,
    restoring: &[&EtcdConfig],
    etcdutl: impl AsyncFn(Vec<String>) -> Result<(), ProgramError>,
) -> Result<(), RestoreError> {
    for etcd in restoring {
        let Some(source) = order.etcd.get(&etcd.name) else { continue };
        let restored = restore_one(agent, order, etcd, source, &etcdutl).await;
        let (etcd, backup) = (etcd.name.clone(), order.backup);
        restored.map_err(|source| RestoreError::Data { etcd, backup, source })?;
    }
    Ok(())
}

async fn restore_one(
    agent: &Agent,
    order: &Order,
    etcd: &EtcdConfig,
    source: &Source,
    etcdutl: &impl AsyncFn(Vec<String>) -> Result<(), ProgramError>,
) -> Result<(), DataError> {
    let mount = agent.host.path(etcd_data::mount_point(&etcd.name));
    let place = data::Place::begin(&mount, order, etcd, source)?;
    agent.store.get_into_file(&source.key, &place.compressed()).await.map_err(DataError::State)?;
    place.expand().await?;
    etcdutl(place.arguments()).await.map_err(DataError::Program)?;
    place.complete()?;
    place.put_in_place()
}

/// Answers for all members whose data is of the order's generation.
async fn answer_restored(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    order: &Order,
) -> Result<(), RestoreError> {
    for etcd in control_plane.etcd_clusters() {
        let generation = restore_order::generation(&etcd_data::folder(&agent.host, &etcd.name))?;
        if generation == order.generation {
            let cluster = &agent.config.cluster;
            answer(agent, &keys::restore_restored(cluster, generation, &etcd.name, &etcd.member)).await?;
        }
    }
    Ok(())
}

/// Answers, unless it was answered before.
async fn answer(agent: &Agent, key: &str) -> Result<(), RestoreError> {
    let answer = Answer {
        version: CONFIG_VERSION.to_owned(),
        instance: agent.identity.id.clone(),
        instance_group: agent.config.instance_group.clone(),
        done: Timestamp::now(),
    };
    let bytes = serde_json::to_vec_pretty(&answer).map_err(DocumentError::Format)?;
    agent.store.put_if_absent(key, bytes).await.map(drop).map_err(RestoreError::Answer)
}

#[cfg(test)]
mod tests;
