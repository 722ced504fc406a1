//! Applies a prepared update: records the revision, carries out the plan, and marks the revision as applied.

use super::planning::{PlanningInput, PreparedUpdate, run_id};
use super::{OperationError, Stop};
use crate::apply::{self, Event, Run, Summary};
use crate::cloud::{self, Departures, Identities};
use crate::state::ClusterState;

/// Applies what was prepared; where there is nothing to do, a revision that was begun counts as applied. Needs the lease.
///
/// A summary that [isn't complete](Summary::is_complete) leaves the revision unmarked: the next update goes on.
///
/// # Errors
///
/// Fails where the revision can't be recorded or marked; what AWS refused is in the summary.
pub async fn apply(
    state: &ClusterState,
    input: &PlanningInput,
    prepared: &PreparedUpdate,
    stop: &Stop,
    listen: &dyn Fn(Event<'_>),
) -> Result<Summary, OperationError> {
    if prepared.plan.is_empty() {
        if let Some(revision) = state.unfinished(&input.documents).await? {
            state.mark_applied(revision).await?;
        }
        return Ok(Summary::default());
    }
    let revision = state.record(&input.documents, prepared.intent(input)?).await?;
    let clients = input.located.clients.without_retries();
    let (ids, owner) = (Identities::new(&input.observed), input.located.owner(state));
    let (departures, run_id) = (Departures::default(), run_id());
    let cloud = cloud::Context {
        run: &run_id,
        ..cloud::Context::new(&clients, state.store(), &owner, &ids, &departures)
    };
    let PreparedUpdate { plan, desired } = prepared;
    let run = Run { plan, desired, observed: &input.observed, context: cloud };
    let applying = stop.applying();
    let summary = apply::run(run, applying.stop_requested(), listen).await;
    drop(applying);
    if !summary.is_complete() {
        return Ok(summary);
    }
    state.mark_applied(revision).await?;
    // Only tidying up: the next run does it as well.
    if let Err(error) = state.prune().await {
        tracing::info!("earlier versions of what is written again and again were not deleted: {error}");
    }
    Ok(summary)
}
