//! `windlass unlock`: shows who holds a cluster's lock, and takes it away with `--force`; gives up a deletion that was
//! begun with `--undelete`.

use clap::Args as ClapArgs;

use super::context::Context;
use super::diagnostic::{Exit, Refusal};
use super::output;
use crate::ops::OperationError;
use crate::state::ClusterState;
use crate::state::lease::{self, TakenAway};

/// `windlass unlock`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Take it away; whoever holds it stops at its next write
    #[arg(long)]
    force: bool,
    /// Give up a deletion of the cluster that was begun, and keep what is left of it
    #[arg(long, conflicts_with = "force")]
    undelete: bool,
}

/// Runs `windlass unlock`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let name = context.explicit_cluster_name(args.cluster.as_deref())?;
    let state = ClusterState::new(context.store().await?, name);
    if args.undelete {
        return undelete(context, &state).await;
    }
    if args.force {
        output::say(&match lease::take_away(&state).await? {
            None => not_locked(&state),
            Some(TakenAway::From(holder)) => {
                format!("Took the lock of {} away from {}.", state.name(), holder.describe())
            }
            Some(TakenAway::Unreadable(fault)) => {
                format!("Took the lock of {} away, which could not be read: {fault}", state.name())
            }
        });
        return Ok(Exit::Done);
    }
    let Some(holder) = lease::current(&state).await? else {
        output::say(&not_locked(&state));
        return Ok(Exit::Done);
    };
    let holder = holder.describe();
    let refusal = Refusal::new(format!("the cluster `{}` is locked: {holder}", state.name()));
    Err(refusal
        .hint("make sure that they are gone, then take it away with --force")
        .exit(Exit::Locked)
        .into())
}

fn not_locked(state: &ClusterState) -> String {
    format!("The cluster {} is not locked.", state.name())
}

/// Takes the tombstone away that keeps every other command from changing the cluster.
async fn undelete(context: &Context, state: &ClusterState) -> anyhow::Result<Exit> {
    let name = state.name();
    let is_deleted = state.journal().await?.is_some_and(|journal| journal.is_deletion());
    if !is_deleted {
        output::say(&format!("The cluster {name} is not being deleted."));
        return Ok(Exit::Done);
    }
    let work = async { Ok::<_, OperationError>(state.give_up_deletion().await?) };
    let given_up = context.lease_guard(state, "unlock --undelete").holding_unfinished(work).await?;
    let began = given_up.map(|journal| format!(": {}", journal.describe())).unwrap_or_default();
    let flags = context.flags_to_repeat();
    output::say(&format!("Gave up the deletion of {name}{began}."));
    output::say(&format!(
        "What was deleted stays so. To see what would be made again: windlass update cluster {name}{flags}"
    ));
    Ok(Exit::Done)
}
