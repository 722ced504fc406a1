//! The fence between an operator who may not change a cluster any more and the cluster: its state, and AWS.
//!
//! A store is one operator's door to the state; its clones are the same operator's. While the operator holds a cluster's
//! lease, every write below that cluster first looks at both clocks and at the lease itself, and doesn't start when the
//! lease may have lapsed or is somebody else's. Changes of AWS pass the same fence: whoever makes several looks at the
//! lease before each ([`super::Store::confirm`]), and each call of it at the clocks ([`super::Store::permit`]).
//!
//! Once the user has asked to stop, nothing passes either, but the lock itself, which is given back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch;

use super::clock::Clock;
use super::object::Object;
use super::store_error::StoreError;
use crate::aws::{Permit, Withheld};

/// How long after its last confirmation a lease is taken for the holder's own without another look at it: short enough
/// that `unlock --force` is noticed within a few steps, and long enough that a run of a hundred steps looks a few times.
const CONFIRMED_FOR: Duration = Duration::from_secs(5);

/// Whether the user has asked to stop.
pub type StopAsked = Arc<dyn Fn() -> bool + Send + Sync>;

/// The leases under which an operator works, by the prefix of their clusters.
#[derive(Clone, Default)]
pub(super) struct Fence {
    leases: Arc<Mutex<BTreeMap<String, Arc<HeldLease>>>>,
    stop_asked: Arc<OnceLock<StopAsked>>,
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fence").field("leases", &self.leases).finish_non_exhaustive()
    }
}

impl Fence {
    fn leases(&self) -> MutexGuard<'_, BTreeMap<String, Arc<HeldLease>>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, what is written below a prefix is written under a lease.
    pub(super) fn put_up(&self, prefix: String, held: Arc<HeldLease>) {
        self.leases().insert(prefix, held);
    }

    /// Not any more, unless it is another lease by now.
    pub(super) fn take_down(&self, prefix: &str, held: &Arc<HeldLease>) {
        let mut leases = self.leases();
        if leases.get(prefix).is_some_and(|known| Arc::ptr_eq(known, held)) {
            leases.remove(prefix);
        }
    }

    /// The lease under which a key, or a prefix, is written.
    pub(super) fn lease_on(&self, key: &str) -> Option<Arc<HeldLease>> {
        let leases = self.leases();
        leases.iter().find(|(prefix, _)| key.starts_with(prefix.as_str())).map(|(_, held)| held.clone())
    }

    /// From now on, nothing passes once this says so. Only the first one counts: there is one user.
    pub(super) fn stop_when(&self, asked: StopAsked) {
        let _ = self.stop_asked.set(asked);
    }

    /// Fails when the user has asked to stop. `key` is what would have been written.
    pub(super) fn check_stop(&self, key: &str) -> Result<(), StoreError> {
        match self.stop_asked.get() {
            Some(asked) if asked() => Err(StoreError::Stopped { key: key.to_owned() }),
            _ => Ok(()),
        }
    }
}

/// What the calls of AWS's clients ask that change a cluster.
#[derive(Debug)]
pub(super) struct Pass {
    fence: Fence,
    prefix: String,
}

impl Pass {
    /// For changes of one cluster.
    pub(super) fn below(fence: &Fence, prefix: String) -> Self {
        Self { fence: fence.clone(), prefix }
    }

    /// For changes of whatever cluster is worked on.
    pub(super) fn all(fence: &Fence) -> Self {
        Self::below(fence, String::new())
    }
}

fn withheld(error: StoreError) -> Withheld {
    match error {
        StoreError::Stopped { .. } => Withheld::Interrupted,
        lost => Withheld::LeaseLost(lost.to_string()),
    }
}

impl Permit for Pass {
    fn check(&self) -> Result<(), Withheld> {
        self.fence.check_stop(&self.prefix).map_err(withheld)?;
        let leases = self.fence.leases();
        let mut concerned = leases.iter().filter(|(prefix, _)| prefix.starts_with(&self.prefix));
        concerned.try_for_each(|(_, held)| held.check_time()).map_err(withheld)
    }
}

/// What the calls ask that write locks. A lock that is held is renewed, and given back, whatever happens; once the user
/// has asked to stop, none is taken.
#[derive(Debug)]
pub(super) struct LockPass(pub(super) Fence);

impl Permit for LockPass {
    fn check(&self) -> Result<(), Withheld> {
        if !self.0.leases().is_empty() {
            return Ok(());
        }
        self.0.check_stop("lock").map_err(withheld)
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
pub(super) struct HeldLease {
    /// The key of the lease.
    pub(super) lock: String,
    /// What the lease must say.
    pub(super) id: String,
    pub(super) clock: Arc<dyn Clock>,
    until: Mutex<Until>,
    /// When it was last seen to be the holder's own.
    confirmed: Mutex<Duration>,
    /// When the last look at it was sent that saw it to be the holder's own; locked while one is under way.
    pub(super) last_look: tokio::sync::Mutex<Option<Duration>>,
    lost: watch::Sender<Option<String>>,
}

/// The part of a lease that says whose it is.
#[derive(Deserialize)]
struct Owner {
    id: String,
}

impl HeldLease {
    pub(super) fn new(lock: String, id: String, clock: Arc<dyn Clock>, until: Until) -> Self {
        let confirmed = Mutex::new(clock.elapsed());
        let (until, last_look) = (Mutex::new(until), tokio::sync::Mutex::default());
        Self { lock, id, clock, until, confirmed, last_look, lost: watch::Sender::new(None) }
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

    /// It was renewed, by a request that was sent at a moment.
    pub(super) fn extend(&self, until: Until, sent: Duration) {
        self.confirm(sent);
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    /// Whether nobody has looked at the lease for a while.
    pub(super) fn is_to_be_confirmed(&self) -> bool {
        let confirmed = *self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        self.clock.elapsed().saturating_sub(confirmed) > CONFIRMED_FOR
    }

    fn confirm(&self, looked: Duration) {
        let mut confirmed = self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        *confirmed = looked.max(*confirmed);
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

    /// Why the lease is lost, once it is.
    pub(super) fn reason(&self) -> Option<String> {
        self.lost.borrow().clone()
    }

    /// Fails when the lease, as it was read by a request sent at a moment, isn't the holder's.
    pub(super) fn check_owner(&self, found: Option<&Object>, sent: Duration) -> Result<(), StoreError> {
        let owner = found.and_then(|found| serde_json::from_slice::<Owner>(&found.bytes).ok());
        if owner.is_none_or(|owner| owner.id != self.id) {
            self.lose(TAKEN_AWAY);
        } else {
            self.confirm(sent);
        }
        self.check_time()
    }
}

/// How a lease is lost that is somebody else's, or nobody's.
pub(super) const TAKEN_AWAY: &str = "somebody took it away";
