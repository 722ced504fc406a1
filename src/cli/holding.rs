//! Working while holding a cluster's lease.

use std::future::Future;

use super::context::Context;
use super::diagnostic::{Exit, Refusal};
use super::output;
use crate::state::{ClusterState, Holder, Lease};

/// How work ends when the user asks to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnInterrupt {
    /// It is dropped between two writes: every one of them leaves the state whole.
    Drop,
    /// It watches [`super::interrupt::Stopping`] itself and comes to an end.
    Wait,
}

/// Takes the cluster's lease, does the work, and gives the lease back, whatever came of the work. The work ends when
/// the lease is lost. `command` is what others are told that the holder runs, such as `update cluster`.
pub(crate) async fn holding<T>(
    context: &Context,
    state: &ClusterState,
    command: &str,
    on_interrupt: OnInterrupt,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    // A command's whole work is large.
    let work = Box::pin(work);
    let stopping = context.interrupt.stopping();
    // Before the lease, so that no lock is left in what a newer windlass has made.
    state.check_writer(context.allow_downgrade()).await?;
    let lease = Lease::acquire(state, Holder::this_process(command)).await?;
    let interrupted = async {
        match on_interrupt {
            OnInterrupt::Drop => stopping.requested().await,
            OnInterrupt::Wait => std::future::pending().await,
        }
    };
    let marked_work = async {
        state.mark_writer().await?;
        work.await
    };
    let done = tokio::select! {
        done = marked_work => done,
        lost = lease.lost() => Err(lost.into()),
        () = interrupted => Err(Refusal::new("interrupted").exit(Exit::Interrupted).into()),
    };
    if let Err(error) = lease.release().await {
        // The work is what the user asked for; the lease lapses by itself.
        output::say(&format!("warning: could not release the lock: {error}"));
    }
    done
}
