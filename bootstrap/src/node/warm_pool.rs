//! An instance of its group's warm pool: it is made ready for what it is going to be, and waits, stopped or running, until it
//! is taken into service (Auto Scaling User Guide, "Warm pools", "Use lifecycle hooks with a warm pool"). Until then it
//! doesn't join, so that nobody waits for a Node that isn't there. What its pods need is in the machine image.

use std::sync::Arc;
use std::time::Duration;

use aws_config::imds::client::Client;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::aws::AwsError;
use crate::aws::identity::IdentityError;
use crate::aws::lifecycle::Lifecycle;
use crate::aws::notice;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Waits until the instance is taken into service, for weeks if need be.
pub const STEP: Step = Step::until_done("wait_for_service").poll(Duration::from_secs(5)).outside();

/// Tells the group that the instance serves: the task's name in the report.
pub const TASK: &str = "complete_launch";

/// How soon an answer is given again that came too early, or got lost.
const AGAIN: Duration = Duration::from_secs(5);

/// For how long an answer is given again. A hook begins to wait when Auto Scaling has seen that the instance runs, which may be
/// later than the instance itself: an answer that comes before is refused, in the same words as one that comes too late, and
/// who doesn't answer in time is replaced.
const EARLY: Duration = Duration::from_mins(2);

/// What the states of instances in a warm pool begin with.
const WARMED: &str = "Warmed:";
/// The state of one that is taken out of the warm pool to its end.
const ENDING: &str = "Warmed:Terminated";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum WarmPoolError {
    /// Asking the metadata.
    #[error("the instance can't be told whether it is in its group's warm pool")]
    Look(#[source] IdentityError),
    /// Answering the hook.
    #[error("the lifecycle hook can't be told that the instance is ready")]
    Hook(#[source] AwsError),
    /// It isn't wanted yet.
    #[error("the instance is in its group's warm pool ({0}), and joins when it is taken into service")]
    Waiting(String),
}

impl Classed for WarmPoolError {
    fn class(&self) -> Class {
        match self {
            Self::Look(error) => error.class(),
            Self::Hook(error) => error.class(),
            Self::Waiting(_) => Class::Waiting,
        }
    }
}

/// The step, of an instance that is ready but for what it joins with. Without a hook there is no warm pool.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let Some(hook) = &agent.config.lifecycle_hooks.launching else { return Ok(()) };
    let (metadata, lifecycle) = (agent.access.metadata(), lifecycle(agent).await);
    let mut told = None;
    let attempt = async || wait(agent, &metadata, &lifecycle, hook, &mut told).await;
    agent.on_machine(STEP, attempt).await.map(drop)
}

/// The task of an instance whose Node is Ready. It ends with the answer.
pub async fn serve(agent: Arc<Agent>) {
    let Some(hook) = &agent.config.lifecycle_hooks.launching else { return };
    answer(&agent, &lifecycle(&agent).await, hook, AGAIN).await;
}

/// Completes the launch; it may have been completed before the agent began anew.
async fn answer(agent: &Agent, lifecycle: &Lifecycle, hook: &str, pause: Duration) {
    let began = Instant::now();
    loop {
        let completed = lifecycle.complete(hook).await.map_err(WarmPoolError::Hook);
        match agent.reporter.tell(TASK, completed) {
            Some(true) => return,
            Some(false) if began.elapsed() > EARLY => return,
            _ => tokio::time::sleep(pause).await,
        }
    }
}

async fn lifecycle(agent: &Agent) -> Lifecycle {
    Lifecycle::open(&agent.identity.region, &agent.access, &agent.config, &agent.identity.id).await
}

/// What the hook was told of one state.
#[derive(Debug)]
struct Told {
    state: String,
    since: Instant,
    heard: bool,
}

/// Done once the instance shall serve. `told` is what its hook has been told so far.
async fn wait(
    agent: &Agent,
    metadata: &Client,
    lifecycle: &Lifecycle,
    hook: &str,
    told: &mut Option<Told>,
) -> Result<Done<()>, WarmPoolError> {
    let state = notice::target_state(metadata).await.map_err(WarmPoolError::Look)?;
    let Some(state) = state.filter(|state| state.starts_with(WARMED)) else { return Ok(Done::unchanged(())) };
    let told = match told {
        Some(told) if told.state == state => told,
        _ => told.insert(Told { state: state.clone(), since: Instant::now(), heard: false }),
    };
    let terminating = agent.config.lifecycle_hooks.terminating.as_deref();
    let waits = if state == ENDING { terminating } else { Some(hook) };
    if let Some(hook) = waits.filter(|_| !told.heard && told.since.elapsed() < EARLY) {
        told.heard = lifecycle.complete(hook).await.map_err(WarmPoolError::Hook)?;
    }
    Err(WarmPoolError::Waiting(state))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::config::{LifecycleHooks, NodeConfig};
    use crate::testing::fake_auto_scaling::FakeAutoScaling;
    use crate::testing::fake_metadata::FakeMetadata;
    use crate::testing::{self, node_config};

    const TARGET: &str = "autoscaling/target-lifecycle-state";

    #[tokio::test]
    async fn an_instance_of_a_warm_pool_says_once_that_it_is_ready_and_waits_until_it_is_taken_into_service()
    {
        let folder = tempfile::tempdir().unwrap();
        let (metadata, groups) =
            (FakeMetadata::start().await, FakeAutoScaling::start(&["boot", "drain"]).await);
        let lifecycle_hooks =
            LifecycleHooks { launching: Some("boot".into()), terminating: Some("drain".into()) };
        let agent = testing::agent(folder.path(), NodeConfig { lifecycle_hooks, ..node_config() }).await;
        let lifecycle = groups.client(&agent.config, "i-1").await;
        let (client, mut told) = (metadata.client(), None);
        let mut look = async || wait(&agent, &client, &lifecycle, "boot", &mut told).await;
        metadata.say(TARGET, "Warmed:Stopped");
        for _ in 0..2 {
            let waiting = look().await.unwrap_err();
            assert_eq!(waiting.class(), Class::Waiting);
            assert!(waiting.to_string().contains("(Warmed:Stopped)"), "{waiting}");
        }
        assert_eq!(groups.told(), ["CompleteLifecycleAction nodes.demo boot i-1"]);
        metadata.say(TARGET, "Warmed:Terminated");
        look().await.unwrap_err();
        assert_eq!(groups.told()[1..], ["CompleteLifecycleAction nodes.demo drain i-1"]);
        metadata.say(TARGET, "InService");
        look().await.unwrap();
        assert_eq!(groups.told().len(), 2, "the launch is completed when the node is Ready");
    }

    #[tokio::test]
    async fn an_answer_that_comes_before_auto_scaling_waits_for_it_is_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let (metadata, groups) = (FakeMetadata::start().await, FakeAutoScaling::start(&[]).await);
        let agent = testing::agent(folder.path(), node_config()).await;
        let lifecycle = groups.client(&agent.config, "i-1").await;
        let (client, mut told) = (metadata.client(), None);
        let mut look = async || wait(&agent, &client, &lifecycle, "boot", &mut told).await.unwrap_err();
        metadata.say(TARGET, "Warmed:Stopped");
        look().await;
        groups.wait_for("boot");
        for _ in 0..2 {
            look().await;
        }
        assert_eq!(groups.told().len(), 2, "once too early, and once");
        assert_eq!(groups.waiting(), [""; 0]);

        let answered = answer(&agent, &lifecycle, "boot", Duration::from_millis(5));
        let waits = async {
            while groups.told().len() < 5 {
                tokio::task::yield_now().await;
            }
            groups.wait_for("boot");
        };
        tokio::join!(answered, waits);
        assert_eq!(groups.waiting(), [""; 0]);
        assert_eq!(agent.reporter.status().failing, []);
    }

    #[tokio::test]
    async fn an_instance_of_no_group_is_in_no_warm_pool() {
        let folder = tempfile::tempdir().unwrap();
        let (metadata, groups) = (FakeMetadata::start().await, FakeAutoScaling::start(&[]).await);
        let agent = testing::agent(folder.path(), node_config()).await;
        let lifecycle = groups.client(&agent.config, "i-1").await;
        wait(&agent, &metadata.client(), &lifecycle, "boot", &mut None).await.unwrap();
        assert!(groups.told().is_empty());
    }
}
