//! Watches for the instance's end, and drains the node before it comes: a Spot instance that EC2 takes, and an instance that
//! its Auto Scaling group ends, where a lifecycle hook has the group wait for the agent. Its API server ends in order then,
//! with or without a hook.
//!
//! The metadata are asked every few seconds, and go on saying what they said: an agent that is started again in the middle of
//! a drain goes on with it. A recommendation to rebalance and scheduled events are told, and nothing is done: the instance may
//! live for days, and nobody may have launched another one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_config::imds::client::Client as Metadata;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::aws::identity::IdentityError;
use crate::aws::lifecycle::{HEARTBEAT, Lifecycle};
use crate::aws::notice::{self, Notices};
use crate::aws::{AwsError, notice::SpotNotice};
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::kubernetes::api::{self, ADMIN_KUBECONFIG, ApiError, NODE_KUBECONFIG};
use crate::node::api_server_end;
use crate::node::drain::{self, Left};
use crate::progress::retry::chain;

/// The task's name in the report.
pub const TASK: &str = "watch_for_interruption";

/// How often the metadata are asked: EC2's guide says every five seconds.
const LOOK: Duration = Duration::from_secs(5);
/// How often the pods are looked at in a drain.
const ROUND: Duration = Duration::from_secs(1);
/// How long before a Spot instance's end all pods shall have ended: it may come somewhat early.
const MARGIN: SignedDuration = SignedDuration::from_secs(5);
/// How long a drain may take that nothing but the agent bounds, as long as kops's and windlass's rolling updates wait.
const LONGEST: SignedDuration = SignedDuration::from_mins(15);
/// How long AWS may be silent in a round.
const ANSWER: Duration = Duration::from_secs(5);
/// How many of the pods that were refused are named in the report.
const NAMED: usize = 3;
/// When the group began to end the instance, as the agent saw it first. It outlives the agent, not the machine.
const SINCE: &str = "draining-since";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum InterruptionError {
    /// Asking the metadata.
    #[error("the instance can't be told whether it is going to end")]
    Look(#[source] IdentityError),
    /// Draining.
    #[error("the node can't be drained")]
    Drain(#[source] ApiError),
    /// The API is silent.
    #[error("the node can't be drained: the Kubernetes API is silent")]
    Silent,
    /// Ending the API server.
    #[error("the API server's pod can't be taken away")]
    ApiServer(#[source] FileError),
    /// Answering the hook.
    #[error("the lifecycle hook can't be told that the node is drained")]
    Hook(#[source] AwsError),
}

/// Why an instance ends, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ending {
    why: String,
    end: Timestamp,
}

/// The task.
pub async fn watch(agent: Arc<Agent>) {
    let Agent { identity, access, config, .. } = &*agent;
    let lifecycle = Lifecycle::open(&identity.region, access, config, &identity.id).await;
    let metadata = access.metadata();
    let mut watch = Watch::new(agent, metadata, lifecycle);
    loop {
        let outcome = watch.round().await;
        watch.agent.reporter.tell(TASK, outcome);
        tokio::time::sleep(if watch.drains { ROUND } else { LOOK }).await;
    }
}

/// An instance that is watched.
struct Watch {
    agent: Arc<Agent>,
    metadata: Metadata,
    lifecycle: Lifecycle,
    client: Option<Client>,
    /// Whether there is something to do before the end.
    drains: bool,
    cordoned: bool,
    /// Whether the hook waits no more.
    completed: bool,
    heard: Option<Instant>,
}

impl Watch {
    fn new(agent: Arc<Agent>, metadata: Metadata, lifecycle: Lifecycle) -> Self {
        let (drains, cordoned, completed) = (false, false, false);
        Self { agent, metadata, lifecycle, client: None, drains, cordoned, completed, heard: None }
    }

    /// One look at the metadata, and what follows from it.
    async fn round(&mut self) -> Result<(), InterruptionError> {
        let notices = notice::read(&self.metadata).await.map_err(InterruptionError::Look)?;
        self.agent.reporter.notices(told(&notices));
        let left = self.end_api_server(&notices);
        let hook = self.hook(&notices);
        let Some(ending) = self.ending(&notices, hook.is_some()) else {
            self.drains = false;
            return left;
        };
        self.drains = !self.completed;
        let heard = async {
            match &hook {
                Some(hook) if !self.completed => self.tell_hook(hook).await,
                _ => Ok(None),
            }
        };
        let (drained, heard) = futures::join!(self.look_at_pods(&ending), heard);
        if let Ok(Some(at)) = heard {
            self.heard = Some(at);
        }
        let (over, drained) = self.take_in(&ending, drained);
        if over {
            self.drains = false;
            // Whatever became of the pods: the group waits for nothing else.
            self.complete(hook.as_deref()).await?;
        }
        drained.and(left).and(heard.map(drop).map_err(InterruptionError::Hook))
    }

    fn end_api_server(&self, notices: &Notices) -> Result<(), InterruptionError> {
        let Agent { host, config, .. } = &*self.agent;
        if api_server_end::ensure(host, config, notices).map_err(InterruptionError::ApiServer)? {
            tracing::warn!("the API server is told to end, as the instance ends");
        }
        Ok(())
    }

    /// The hook that holds the instance's end, if it is one that ends.
    fn hook(&self, notices: &Notices) -> Option<String> {
        let ends = notices.target_state.as_deref() == Some("Terminated");
        self.agent.config.lifecycle_hooks.terminating.clone().filter(|_| ends)
    }

    /// The end that comes first. Without a hook the group waits for nobody, and the machine is on its way down.
    fn ending(&self, notices: &Notices, held: bool) -> Option<Ending> {
        let spot = notices.spot.as_ref().map(|SpotNotice { action, time }| Ending {
            why: format!("EC2 takes this Spot instance ({action}) at {time:.0}"),
            end: *time - MARGIN,
        });
        let scaled_in = held.then(|| {
            let end = self.since() + LONGEST;
            Ending { why: format!("its group ends this instance, and waits until {end:.0}"), end }
        });
        spot.into_iter().chain(scaled_in).min_by_key(|ending| ending.end)
    }

    /// Since when the group ends the instance. Where it can't be kept, an agent that is started again begins anew.
    fn since(&self) -> Timestamp {
        let path: PathBuf = self.agent.host.path(root::RUN).join(SINCE);
        let kept = file::read(&path).ok().flatten().and_then(|text| String::from_utf8(text).ok());
        kept.and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| {
            let now = Timestamp::now();
            let _ = file::ensure(&path, now.to_string(), file::PUBLIC);
            now
        })
    }

    /// Tells the hook, when that is due, that it is worked on; returns when it was.
    async fn tell_hook(&self, hook: &str) -> Result<Option<Instant>, AwsError> {
        if self.heard.is_some_and(|heard| heard.elapsed() < HEARTBEAT) {
            return Ok(None);
        }
        let now = Instant::now();
        match tokio::time::timeout(ANSWER, self.lifecycle.heartbeat(hook)).await {
            Ok(outcome) => outcome.map(|()| Some(now)),
            // The next round asks again.
            Err(_) => Ok(None),
        }
    }

    async fn look_at_pods(&self, ending: &Ending) -> Result<(Client, Left), InterruptionError> {
        let round = async {
            let client = match &self.client {
                Some(client) => client.clone(),
                None => self.connect().await?,
            };
            let node = &self.agent.identity.id;
            if !self.cordoned {
                drain::cordon(&client, node).await?;
            }
            let left = drain::round(&client, node, ending.end).await?;
            Ok((client, left))
        };
        match tokio::time::timeout(drain::ROUND, round).await {
            Ok(outcome) => outcome.map_err(InterruptionError::Drain),
            Err(_) => Err(InterruptionError::Silent),
        }
    }

    async fn connect(&self) -> Result<Client, ApiError> {
        let master = self.agent.config.control_plane.is_some();
        let kubeconfig = if master { ADMIN_KUBECONFIG } else { NODE_KUBECONFIG };
        // A budget's refusal is answered with a time to wait, which the client would wait out by itself.
        api::connect_without_retries(&self.agent.host, kubeconfig).await
    }

    /// Reports how a round went. Returns whether there is nothing more to be done before the end.
    fn take_in(
        &mut self,
        ending: &Ending,
        outcome: Result<(Client, Left), InterruptionError>,
    ) -> (bool, Result<(), InterruptionError>) {
        let time_is_up = Timestamp::now() >= ending.end;
        let (state, empty, outcome) = match outcome {
            Ok((client, left)) => {
                self.client = Some(client);
                if !std::mem::replace(&mut self.cordoned, true) {
                    tracing::warn!(why = ending.why, "the node is cordoned and drained");
                }
                (progress(&left), left.pods == 0, Ok(()))
            }
            Err(error) => {
                // Another connection reads another certificate.
                self.client = None;
                (format!("not drained: {}", chain(&error)), false, Err(error))
            }
        };
        self.agent.reporter.draining(&format!("{}: {state}", ending.why));
        (empty || time_is_up, outcome)
    }

    /// Has the group go on. The metadata say that the instance ends as soon as its load balancers drain it, and only after
    /// that the group waits at its hook (Auto Scaling User Guide, "How lifecycle hooks work"): a hook that doesn't wait is told
    /// again with every look.
    async fn complete(&mut self, hook: Option<&str>) -> Result<(), InterruptionError> {
        if let Some(hook) = hook
            && !self.completed
        {
            self.drains = true;
            self.completed = self.lifecycle.complete(hook).await.map_err(InterruptionError::Hook)?;
            if self.completed {
                tracing::info!(hook, "the lifecycle hook is completed");
            }
            self.drains = false;
        }
        Ok(())
    }
}

/// How far a drain is.
fn progress(left: &Left) -> String {
    let state = match left.pods {
        0 => "drained".to_owned(),
        1 => "draining: 1 pod left".to_owned(),
        pods => format!("draining: {pods} pods left"),
    };
    let refused = left.refused.iter().take(NAMED);
    std::iter::once(&state).chain(refused).map(String::as_str).collect::<Vec<_>>().join("; ")
}

/// What an operator wants to know of, and nothing follows from.
fn told(notices: &Notices) -> Vec<String> {
    let rebalance = notices.rebalance.map(|since| {
        format!("EC2 recommends to replace this Spot instance, which is at a higher risk, since {since:.0}")
    });
    let scheduled = notices
        .scheduled
        .iter()
        .map(|event| format!("EC2 has scheduled {} not before {}", event.code, event.not_before));
    rebalance.into_iter().chain(scheduled).collect()
}

#[cfg(test)]
mod tests;
