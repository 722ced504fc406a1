//! How whoever waits for an operation asks it to stop.

use std::sync::Arc;

use tokio::sync::watch;

use super::OperationError;
use crate::state::StopAsked;

/// Says whether, and how often, the user has asked to stop; and knows what is under way that ends by itself when asked.
#[derive(Clone, Debug)]
pub struct Stop {
    requests: watch::Receiver<u32>,
    tidying: watch::Sender<usize>,
    applying: watch::Sender<usize>,
}

impl Stop {
    /// Of whatever counts the requests.
    pub fn new(requests: watch::Receiver<u32>) -> Self {
        Self { requests, tidying: watch::Sender::new(0), applying: watch::Sender::new(0) }
    }

    /// Nobody asks.
    pub fn never() -> Self {
        Self::new(watch::Sender::new(0).subscribe())
    }

    /// Fails once the user has asked to stop: nothing new is begun then.
    pub fn check(&self) -> Result<(), OperationError> {
        if *self.requests.borrow() > 0 { Err(OperationError::Interrupted) } else { Ok(()) }
    }

    /// Says whether the user has asked to stop, for whoever writes.
    pub fn asked(&self) -> StopAsked {
        let requests = self.requests.clone();
        Arc::new(move || *requests.borrow() > 0)
    }

    /// How often the user has asked.
    pub fn requests(&self) -> watch::Receiver<u32> {
        self.requests.clone()
    }

    /// How many operations are under way that end by themselves when asked.
    pub fn tidying(&self) -> watch::Receiver<usize> {
        self.tidying.subscribe()
    }

    /// Ends when the user has asked to stop and no plan is being applied, which comes to an end by itself.
    pub async fn requested_and_nothing_applied(&self) {
        self.stopping().requested().await;
        let mut applying = self.applying.subscribe();
        if applying.wait_for(|count| *count == 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Announces that a plan is being applied: the calls under way are waited for, and no others are made. Until this is
    /// dropped.
    pub fn applying(&self) -> Applying {
        self.applying.send_modify(|count| *count += 1);
        Applying { stopping: self.stopping(), applying: self.applying.clone() }
    }

    /// Announces that the caller stops by itself when asked to. Requests are its own business until this is dropped.
    pub fn stopping(&self) -> Stopping {
        self.tidying.send_modify(|count| *count += 1);
        Stopping { requests: self.requests.clone(), tidying: self.tidying.clone() }
    }
}

/// Held by an operation that stops by itself when it is asked to.
#[derive(Debug)]
pub struct Stopping {
    requests: watch::Receiver<u32>,
    tidying: watch::Sender<usize>,
}

impl Stopping {
    /// Ends when the user has asked to stop.
    pub async fn requested(&self) {
        let mut requests = self.requests.clone();
        if requests.wait_for(|count| *count > 0).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Stopping {
    fn drop(&mut self) {
        self.tidying.send_modify(|count| *count -= 1);
    }
}

/// Held while a plan is being applied.
#[derive(Debug)]
pub struct Applying {
    stopping: Stopping,
    applying: watch::Sender<usize>,
}

impl Applying {
    /// Ends when the user has asked to stop.
    pub async fn stop_requested(&self) {
        self.stopping.requested().await;
    }
}

impl Drop for Applying {
    fn drop(&mut self) {
        self.applying.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_is_being_applied_is_waited_for() {
        let requests = watch::Sender::new(0);
        let stop = Stop::new(requests.subscribe());
        let applying = stop.applying();
        let ended = stop.requested_and_nothing_applied();
        tokio::pin!(ended);
        requests.send_replace(1);
        assert!(ended.as_mut().now_or_never().is_none());
        assert!(applying.stop_requested().now_or_never().is_some());
        assert!(stop.check().is_err() && stop.asked()());
        drop(applying);
        assert!(ended.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn where_nobody_can_ask_nothing_ever_stops() {
        let stop = Stop::never();
        assert!(stop.check().is_ok() && !stop.asked()());
        assert!(stop.requested_and_nothing_applied().now_or_never().is_none());
    }
}
