//! An instance of its group's warm pool: it is made ready for what it is going to be, and waits, stopped or running, until it
//! is taken into service (Auto Scaling User Guide, "Warm pools", "Use lifecycle hooks with a warm pool"). Until then it
//! doesn't join, so that nobody waits for a Node that isn't there. What its pods need is in the machine image.

use std::time::Duration;

use aws_config::imds::client::Client;

use crate::agent::Agent;
use crate::aws::AwsError;
use crate::aws::identity::{self, IdentityError};
use crate::aws::lifecycle::Lifecycle;
use crate::aws::notice;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Waits until the instance is taken into service, for weeks if need be.
pub const STEP: Step = Step::until_done("wait_for_service").poll(Duration::from_secs(5)).outside();

/// Tells the group that the instance serves.
pub const SERVING: Step = Step::new("complete_launch", Duration::from_mins(5)).outside();

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
    let (metadata, lifecycle) = (identity::metadata_client(), lifecycle(agent).await);
    let mut told = None;
    let attempt = async || wait(agent, &metadata, &lifecycle, hook, &mut told).await;
    agent.on_machine(STEP, attempt).await.map(drop)
}

/// The step of an instance whose Node is Ready.
pub async fn serve(agent: &Agent) -> Result<(), StepError> {
    let Some(hook) = &agent.config.lifecycle_hooks.launching else { return Ok(()) };
    let lifecycle = lifecycle(agent).await;
    let attempt = async || lifecycle.complete(hook).await.map(Done::unchanged).map_err(WarmPoolError::Hook);
    agent.on_machine(SERVING, attempt).await.map(drop)
}

async fn lifecycle(agent: &Agent) -> Lifecycle {
    Lifecycle::open(&agent.identity.region, &agent.config, &agent.identity.id).await
}

/// Done once the instance shall serve. `told` is the state for which its hook has been told that it is ready.
async fn wait(
    agent: &Agent,
    metadata: &Client,
    lifecycle: &Lifecycle,
    hook: &str,
    told: &mut Option<String>,
) -> Result<Done<()>, WarmPoolError> {
    let state = notice::target_state(metadata).await.map_err(WarmPoolError::Look)?;
    let Some(state) = state.filter(|state| state.starts_with(WARMED)) else { return Ok(Done::unchanged(())) };
    let terminating = agent.config.lifecycle_hooks.terminating.as_deref();
    let waits = if state == ENDING { terminating } else { Some(hook) };
    if let Some(hook) = waits.filter(|_| told.as_ref() != Some(&state)) {
        lifecycle.complete(hook).await.map_err(WarmPoolError::Hook)?;
        *told = Some(state.clone());
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
    async fn an_instance_of_no_group_is_in_no_warm_pool() {
        let folder = tempfile::tempdir().unwrap();
        let (metadata, groups) = (FakeMetadata::start().await, FakeAutoScaling::start(&[]).await);
        let agent = testing::agent(folder.path(), node_config()).await;
        let lifecycle = groups.client(&agent.config, "i-1").await;
        wait(&agent, &metadata.client(), &lifecycle, "boot", &mut None).await.unwrap();
        assert!(groups.told().is_empty());
    }
}
