//! An update: prepared so that it can be applied, applied, and recorded.

use super::planning::{PlanningInput, PreparedUpdate, ensured, run_id};
use super::{OperationError, Stop};
use crate::apply::{self, Event, Run, Summary};
use crate::cloud::{self, Departures, Identities};
use crate::plan::Part;
use crate::spec::Documents;
use crate::state::{ClusterState, Secrets};

/// An update that can be applied: the state says where and who the cluster is, and has its keys. One whose plan was only
/// to be shown may have neither.
pub struct SettledUpdate {
    /// What it was made from.
    pub input: PlanningInput,
    /// The cluster's keys.
    pub secrets: Secrets,
    /// What shall be, and the steps.
    pub prepared: PreparedUpdate,
}

impl SettledUpdate {
    /// Looks, decides, and writes into the state what a plan must know before it is applied and a new cluster doesn't have
    /// yet: its identity and its keys. What can't be planned leaves neither behind. Needs the lease.
    ///
    /// # Errors
    ///
    /// As [`PlanningInput::gather_with_keys`] and [`PlanningInput::decide`]; where the cluster is being restored; and where the state can't be written.
    pub async fn prepare(state: &ClusterState, documents: &Documents) -> Result<Self, OperationError> {
        Self::prepare_part(state, documents, Part::default()).await
    }

    /// The same for a part of what the user wants.
    ///
    /// # Errors
    ///
    /// As [`Self::prepare`]; and where the part can't be made without the rest.
    pub async fn prepare_part(
        state: &ClusterState,
        documents: &Documents,
        part: Part,
    ) -> Result<Self, OperationError> {
        if let Some((order, _)) = state.restore_order().await?.filter(|(order, _)| order.is_under_way()) {
            let (cluster, backup) = (state.name().to_owned(), order.backup);
            return Err(OperationError::Restoring { cluster, backup });
        }
        Self::settle(state, documents, part, 0).await
    }

    /// The same for the restore of a generation: volumes of etcd that are gone are made anew, blank.
    ///
    /// # Errors
    ///
    /// As [`Self::prepare`].
    pub async fn prepare_with_new_volumes(
        state: &ClusterState,
        documents: &Documents,
        restore: u64,
    ) -> Result<Self, OperationError> {
        Self::settle(state, documents, Part::default(), restore).await
    }

    async fn settle(
        state: &ClusterState,
        documents: &Documents,
        part: Part,
        restore: u64,
    ) -> Result<Self, OperationError> {
        let (mut input, secrets) = PlanningInput::gather_with_keys(state, documents).await?;
        input.part = part;
        input.restore = restore;
        input.decide(state, secrets.as_ref()).await?;
        input.located.settle(state).await?;
        let secrets = ensured(state).await?;
        let prepared = input.decide(state, Some(&secrets)).await?;
        Ok(Self { input, secrets, prepared })
    }

    /// Records the revision, carries out the plan, and marks the revision as applied; where there is nothing to do, a
    /// revision that was begun counts as applied. Of a part, the revision is recorded as one, and what was applied before stays
    /// what is applied: the next update of the whole does the rest, and is recorded even where nothing is left to do. Needs the
    /// lease.
    ///
    /// A summary that [isn't complete](Summary::is_complete) leaves the revision unmarked: the next update goes on.
    ///
    /// # Errors
    ///
    /// Fails where the revision can't be recorded or marked; what AWS refused is in the summary.
    pub async fn apply(
        &self,
        state: &ClusterState,
        stop: &Stop,
        listen: &dyn Fn(Event<'_>),
    ) -> Result<Summary, OperationError> {
        let Self { input, prepared, .. } = self;
        let is_whole = input.part.is_whole();
        if prepared.plan.is_empty() {
            if is_whole && let Some(begun) = state.unfinished(&input.documents).await? {
                let revision = match begun.partial {
                    Some(_) => state.record(&input.documents, prepared.intent(input)?).await?,
                    None => begun.number,
                };
                state.mark_applied(revision).await?;
            }
            return Ok(Summary::default());
        }
        let revision = state.record(&input.documents, prepared.intent(input)?).await?;
        let summary = self.carry_out(state, stop, listen).await;
        if !summary.is_complete() || !is_whole {
            return Ok(summary);
        }
        state.mark_applied(revision).await?;
        // Only tidying up: the next run does it as well.
        if let Err(error) = state.prune().await {
            tracing::info!("earlier versions of what is written again and again were not deleted: {error}");
        }
        Ok(summary)
    }

    async fn carry_out(&self, state: &ClusterState, stop: &Stop, listen: &dyn Fn(Event<'_>)) -> Summary {
        let Self { input, prepared: PreparedUpdate { plan, desired }, .. } = self;
        let clients = input.located.clients.changing_once();
        let (ids, owner) = (Identities::new(&input.observed), input.located.owner(state));
        let (departures, run_id) = (Departures::default(), run_id());
        let cloud = cloud::Context {
            run: &run_id,
            restore: input.restore,
            ..cloud::Context::new(&clients, state.store(), &owner, &ids, &departures)
        };
        let run = Run { plan, desired, observed: &input.observed, context: cloud };
        let applying = stop.applying();
        apply::run(run, applying.stop_requested(), listen).await
    }
}
