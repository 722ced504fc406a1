//! The fence between a holder who has lost its lease and the state.
//!
//! A store is one operator's door to the state; its clones are the same operator's. While the operator holds a cluster's
//! lease, every write below that cluster first looks at both clocks and at the lease itself, and doesn't start when the
//! lease may have lapsed or is somebody else's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch;

use super::clock::Clock;
use super::store::{Object, StoreError};

/// The leases under which an operator works, by the prefix of their clusters.
#[derive(Clone, Debug, Default)]
pub(super) struct Fence(Arc<Mutex<BTreeMap<String, Arc<Tenure>>>>);

impl Fence {
    fn tenures(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Tenure>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, what is written below a prefix is written under a lease.
    pub(super) fn put_up(&self, prefix: String, tenure: Arc<Tenure>) {
        self.tenures().insert(prefix, tenure);
    }

    /// Not any more, unless it is another lease by now.
    pub(super) fn take_down(&self, prefix: &str, tenure: &Arc<Tenure>) {
        let mut tenures = self.tenures();
        if tenures.get(prefix).is_some_and(|known| Arc::ptr_eq(known, tenure)) {
            tenures.remove(prefix);
        }
    }

    /// The lease under which a key, or a prefix, is written.
    pub(super) fn tenure_of(&self, key: &str) -> Option<Arc<Tenure>> {
        let tenures = self.tenures();
        tenures.iter().find(|(prefix, _)| key.starts_with(prefix.as_str())).map(|(_, tenure)| tenure.clone())
    }
}

/// Until when a lease is good, by both clocks of its holder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Until {
    pub(super) time: Timestamp,
    pub(super) elapsed: Duration,
}

/// A lease as its holder knows it.
#[derive(Debug)]
pub(super) struct Tenure {
    /// The key of the lease.
    pub(super) lock: String,
    /// What the lease must say.
    pub(super) id: String,
    pub(super) clock: Arc<dyn Clock>,
    until: Mutex<Until>,
    lost: watch::Sender<Option<String>>,
}

/// The part of a lease that says whose it is.
#[derive(Deserialize)]
struct Owner {
    id: String,
}

impl Tenure {
    pub(super) fn new(lock: String, id: String, clock: Arc<dyn Clock>, until: Until) -> Self {
        Self { lock, id, clock, until: Mutex::new(until), lost: watch::Sender::new(None) }
    }

    /// Whoever waits for the lease to be lost hears it here.
    pub(super) fn listen(&self) -> watch::Receiver<Option<String>> {
        self.lost.subscribe()
    }

    pub(super) fn lose(&self, reason: &str) {
        self.lost.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert_with(|| reason.to_owned());
            first
        });
    }

    pub(super) fn extend(&self, until: Until) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// How long the lease is still good.
    pub(super) fn remaining(&self) -> Duration {
        let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        let by_day = Duration::try_from(until.time.duration_since(self.clock.now())).unwrap_or_default();
        by_day.min(until.elapsed.saturating_sub(self.clock.elapsed()))
    }

    /// Fails when the lease was lost, or has lapsed by the holder's own clocks.
    pub(super) fn check_time(&self) -> Result<(), StoreError> {
        if self.remaining().is_zero() {
            self.lose("it was not renewed in time");
        }
        match self.lost.borrow().as_ref() {
            None => Ok(()),
            Some(reason) => Err(StoreError::LeaseLost { key: self.lock.clone(), reason: reason.clone() }),
        }
    }

    /// Fails when the lease, as it was just read, isn't the holder's.
    pub(super) fn check_owner(&self, found: Option<&Object>) -> Result<(), StoreError> {
        let owner = found.and_then(|found| serde_json::from_slice::<Owner>(&found.bytes).ok());
        if owner.is_none_or(|owner| owner.id != self.id) {
            self.lose(TAKEN_AWAY);
        }
        self.check_time()
    }
}

/// How a lease is lost that is somebody else's, or nobody's.
pub(super) const TAKEN_AWAY: &str = "somebody took it away";
