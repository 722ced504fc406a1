//! Working while holding a cluster's lease.

use std::future::Future;

use super::context::Context;
use super::interrupt::interrupted;
use super::output;
use crate::state::{ClusterState, Holder, Lease, Specification, StateError, lease};

/// Takes the cluster's lease, does the work, and gives the lease back, whatever came of the work. `command` is what others
/// are told that the holder runs, such as `update cluster`. A change of the specification that somebody began and didn't
/// end is finished first; a cluster that is being deleted is refused.
///
/// The work ends when the lease is lost. When the user asks to stop, it is dropped between two writes, every one of which
/// leaves the state whole; while it applies a plan ([`super::interrupt::Interrupt::applying`]), it comes to an end by
/// itself. In either case it writes nothing more.
pub(crate) async fn holding<T>(
    context: &Context,
    state: &ClusterState,
    command: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    // A command's whole work is large.
    let work = Box::pin(work);
    let whole = async {
        if let Some(journal) = state.finish_change().await? {
            output::say(&format!("Finished a change of the specification: {}.", journal.describe()));
        }
        work.await
    };
    holding_unfinished(context, state, command, whole).await
}

/// What a command does that found nothing to write: it finishes what a killed one has left, and clears its lease away.
pub(crate) async fn leave_nothing(
    context: &Context,
    state: &ClusterState,
    command: &str,
    read: &Specification,
) -> anyhow::Result<()> {
    if read.unfinished.is_none() {
        return Ok(lease::clear_away(state).await?);
    }
    Box::pin(holding(context, state, command, async { Ok(()) })).await
}

/// The same as [`holding`], for what deals with an unfinished change or deletion itself.
pub(crate) async fn holding_unfinished<T>(
    context: &Context,
    state: &ClusterState,
    command: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let work = Box::pin(work);
    // Before the lease, so that no lock is left in what a newer windlass has made.
    state.check_writer(context.allow_downgrade()).await?;
    let marked_work = async {
        state.mark_writer().await?;
        work.await
    };
    leased(context, state, command, marked_work).await
}

/// The same for what brings back the marker of the state's format: that it is damaged or lost is no reason to refuse. One
/// that can be read, and says that a newer windlass wrote, is.
pub(crate) async fn holding_unmarked<T>(
    context: &Context,
    state: &ClusterState,
    command: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    match state.check_writer(context.allow_downgrade()).await {
        Ok(()) | Err(StateError::Damaged(_)) => leased(context, state, command, work).await,
        Err(error) => Err(error.into()),
    }
}

async fn leased<T>(
    context: &Context,
    state: &ClusterState,
    command: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let work = Box::pin(work);
    let _stopping = context.interrupt.stopping();
    state.store().stop_when(context.interrupt.asked());
    context.interrupt.check()?;
    let lease = Lease::acquire(state, Holder::this_process(command)).await?;
    let done = tokio::select! {
        biased;
        () = context.interrupt.requested_and_nothing_applied() => Err(interrupted().into()),
        lost = lease.lost() => Err(lost.into()),
        done = work => done,
    };
    // What failed because the lease was lost is told as that.
    let done = match (done, lease.loss()) {
        (Err(_), Some(lost)) => Err(lost.into()),
        (done, _) => done,
    };
    if let Err(error) = lease.release().await {
        // The work is what the user asked for; the lease lapses by itself.
        output::say(&format!("warning: could not release the lock: {error}"));
    }
    done
}
