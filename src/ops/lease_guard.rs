//! Working while holding a cluster's lease.

use std::future::Future;

use super::{OperationError, Stop};
use crate::state::{ClusterState, Holder, Journal, Lease, LeaseError, Specification, StateError, lease};

/// Takes a cluster's lease for one command, and gives it back.
#[derive(Clone, Copy, Debug)]
pub struct LeaseGuard<'a> {
    /// The state of the cluster.
    pub state: &'a ClusterState,
    /// What others are told that the holder runs, such as `update cluster`.
    pub command: &'a str,
    /// Whether this windlass may write what a newer one wrote last.
    pub allow_downgrade: bool,
    /// Whether the user has asked to stop.
    pub stop: &'a Stop,
    /// Hears of what is done besides the work.
    pub listen: &'a dyn Listen,
}

/// Hears of what the guard does besides the work.
pub trait Listen: std::fmt::Debug {
    /// A change of the specification that somebody began, and didn't end, was finished.
    fn finished_change(&self, journal: &Journal);
    /// The lease could not be given back. The work is done all the same, and the lease lapses by itself.
    fn not_released(&self, error: &LeaseError);
}

impl LeaseGuard<'_> {
    /// Takes the lease, does the work, and gives the lease back, whatever came of the work. A change of the specification
    /// that somebody began and didn't end is finished first; a cluster that is being deleted is refused.
    ///
    /// The work ends when the lease is lost. When the user asks to stop, it is dropped between two writes, every one of
    /// which leaves the state whole; while it applies a plan ([`Stop::applying`]), it comes to an end by itself. In either
    /// case it writes nothing more.
    ///
    /// # Errors
    ///
    /// Fails with what the work failed with; where the lease was lost, with that.
    pub async fn holding<T, E: From<OperationError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        // A command's whole work is large.
        let work = Box::pin(work);
        let whole = async {
            if let Some(journal) = self.state.finish_change().await.map_err(OperationError::from)? {
                self.listen.finished_change(&journal);
            }
            work.await
        };
        self.holding_unfinished(whole).await
    }

    /// What a command does that found nothing to write: it finishes what a killed one has left, and clears its lease away.
    ///
    /// # Errors
    ///
    /// Fails with what the state said.
    pub async fn leave_nothing(&self, read: &Specification) -> Result<(), OperationError> {
        if read.unfinished.is_none() {
            return Ok(lease::clear_away(self.state).await?);
        }
        Box::pin(self.holding(async { Ok(()) })).await
    }

    /// The same as [`Self::holding`], for what deals with an unfinished change or deletion itself.
    ///
    /// # Errors
    ///
    /// As [`Self::holding`].
    pub async fn holding_unfinished<T, E: From<OperationError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let work = Box::pin(work);
        // Before the lease, so that no lock is left in what a newer windlass has made.
        self.state.check_writer(self.allow_downgrade).await.map_err(OperationError::from)?;
        let marked_work = async {
            self.state.mark_writer().await.map_err(OperationError::from)?;
            work.await
        };
        self.leased(marked_work).await
    }

    /// The same for what brings back the marker of the state's format: that it is damaged or lost is no reason to refuse.
    /// One that can be read, and says that a newer windlass wrote, is.
    ///
    /// # Errors
    ///
    /// As [`Self::holding`].
    pub async fn holding_unmarked<T, E: From<OperationError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match self.state.check_writer(self.allow_downgrade).await {
            Ok(()) | Err(StateError::Damaged(_)) => self.leased(work).await,
            Err(error) => Err(OperationError::from(error).into()),
        }
    }

    async fn leased<T, E: From<OperationError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let work = Box::pin(work);
        let _stopping = self.stop.stopping();
        self.state.store().stop_when(self.stop.asked());
        self.stop.check()?;
        let lease = Lease::acquire(self.state, Holder::this_process(self.command));
        let lease = match lease.await {
            Ok(lease) => lease,
            // One that isn't taken because the user has asked to stop is told as that.
            Err(error) => return Err(self.stop.check().err().unwrap_or(error.into()).into()),
        };
        let work = async {
            self.state.look().await.map_err(OperationError::from)?;
            work.await
        };
        let done = tokio::select! {
            biased;
            () = self.stop.requested_and_nothing_applied() => Err(OperationError::Interrupted.into()),
            lost = lease.lost() => Err(OperationError::from(lost).into()),
            done = work => done,
        };
        // What failed because the lease was lost is told as that.
        let done = match (done, lease.loss()) {
            (Err(_), Some(lost)) => Err(OperationError::from(lost).into()),
            (done, _) => done,
        };
        if let Err(error) = lease.release().await {
            self.listen.not_released(&error);
        }
        done
    }
}
