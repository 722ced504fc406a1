//! The lease: one operator at a time works on a cluster.
//!
//! It is an object that is written only where none is, renewed while its holder works, and deleted at the end. Another
//! operator takes it over only when its holder is certainly gone, or has not renewed it for so long that no clock can be
//! that wrong.
//!
//! # What the lease guarantees, and what the ETags do
//!
//! - **Of two holders, one writes.** A holder's write below the cluster starts only after a look at both its clocks and
//!   at the lease itself (`fence`): one whose lease has lapsed, was taken over, or was taken away with `unlock --force`
//!   starts no further write. As long as the operators' clocks are at most `CLOCK_SKEW` apart and nobody uses force, no
//!   write starts while the lease is somebody else's.
//! - **Of two holders, one changes AWS.** The same is asked before each step, each retry and each call that changes
//!   something in AWS: the clocks always, the lease itself when nobody has looked at it for some seconds. A machine that
//!   slept longer than its lease wakes up with a plan that it doesn't go on with.
//! - **What the lease can't do** is to call back a request that is under way: a write that started in time may take
//!   effect after the lease has changed hands, and so may one of a holder whose clock is more wrong than that.
//! - **No update is lost**, then as ever: every write names the version of the object that it was planned from, and the
//!   store refuses it when another one is there. Nothing of that depends on a clock or on the lease. (What no condition
//!   can tell from the present is an absence from an earlier one: a creation that the network keeps back while a second
//!   copy of it is carried out, and what that wrote deleted, may still be carried out too.)
//!
//! `simulation` tries both on thousands of interleavings of operators, on a network that loses, repeats and delays.

mod error;

use std::fmt::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use futures::future::{BoxFuture, Either, select};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::error::LeaseError;
use super::clock::{Clock, SystemClock};
use super::cluster_state::ClusterState;
use super::fence::{HeldLease, TAKEN_AWAY, Until};
use super::format::newer;
use super::holder::Holder;
use super::layout;
use super::object::{Condition, Version};
use super::store_error::StoreError;

/// How long a lease is good for, and how often it is renewed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    lifetime: Duration,
    renewal: Duration,
}

/// Three renewals fit into a lease's lifetime.
pub(super) const TERMS: Terms = Terms { lifetime: Duration::from_mins(1), renewal: Duration::from_secs(20) };

/// How far the clocks of two operators may be apart.
pub(super) const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(2);

/// The object's version of format.
const FORMAT: u32 = 1;

/// What the lease says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseRecord {
    /// Of this format.
    version: u32,
    /// Different for every lease, so that nobody mistakes another's for their own.
    id: String,
    /// Who holds it.
    #[serde(flatten)]
    pub holder: Holder,
    /// Since when.
    pub since: Timestamp,
    /// Until when, unless it is renewed.
    pub expires: Timestamp,
}

impl LeaseRecord {
    /// Who holds it, with which command, since when.
    pub fn describe(&self) -> String {
        let Holder { user, host, command, process: _ } = &self.holder;
        format!("{user} on {host} runs `windlass {command}` since {}", seconds(self.since))
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.holder.is_gone() || now.duration_since(self.expires) > CLOCK_SKEW
    }
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// A lease that is held, and renewed until it is released or dropped. Until then, what is written through the store
/// that it was acquired with (and its clones) is written under it.
#[derive(Debug)]
pub struct Lease {
    state: ClusterState,
    held: Arc<HeldLease>,
    lost: watch::Receiver<Option<String>>,
    renewer: Option<JoinHandle<()>>,
}

impl Lease {
    /// Takes the lease of a cluster. Fails with [`LeaseError::Held`] when somebody has it.
    pub async fn acquire(state: &ClusterState, holder: Holder) -> Result<Self, LeaseError> {
        Self::acquire_for(state, holder, TERMS).await
    }

    async fn acquire_for(state: &ClusterState, holder: Holder, terms: Terms) -> Result<Self, LeaseError> {
        let (mut lease, renewal) = Self::take(state, holder, Arc::new(SystemClock), terms).await?;
        lease.renewer = Some(tokio::spawn(renewal));
        Ok(lease)
    }

    /// Takes the lease; whoever does must run its renewal.
    pub(super) async fn take(
        state: &ClusterState,
        holder: Holder,
        clock: Arc<dyn Clock>,
        terms: Terms,
    ) -> Result<(Self, BoxFuture<'static, ()>), LeaseError> {
        let key = layout::lock(state.name());
        let until = good_until(&*clock, terms);
        let now = clock.now();
        let record = LeaseRecord { version: FORMAT, id: nonce()?, holder, since: now, expires: until.time };
        let version = match state.store().put(&key, bytes(&record, &key)?, Condition::Absent).await {
            Ok(version) => version,
            Err(error) if error.is_changed() => take_over(state, &record, now).await?,
            Err(error) => written_after_all(state, &record, error).await?,
        };
        let held = Arc::new(HeldLease::new(key, record.id.clone(), clock, until));
        state.store().fence().put_up(layout::cluster_prefix(state.name()), held.clone());
        let renewal = renew(state.clone(), held.clone(), record, version, terms);
        let lost = held.listen();
        Ok((Self { state: state.clone(), held, lost, renewer: None }, Box::pin(renewal)))
    }

    /// Different for every lease.
    #[cfg(test)]
    pub(super) fn id(&self) -> &str {
        &self.held.id
    }

    /// Ends when the lease is lost, with how. Whoever holds it must stop then.
    pub async fn lost(&self) -> LeaseError {
        let mut lost = self.lost.clone();
        let reason = match lost.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "its renewal ended".to_owned(),
        };
        LeaseError::Lost { cluster: self.state.name().to_owned(), reason }
    }

    /// How the lease was lost, if it was. It may have lapsed without anybody having noticed yet.
    pub fn loss(&self) -> Option<LeaseError> {
        let reason = self.held.reason()?;
        Some(LeaseError::Lost { cluster: self.state.name().to_owned(), reason })
    }

    /// Gives the lease back. One that is somebody else's by now, or gone with its cluster, is left alone.
    pub async fn release(mut self) -> Result<(), LeaseError> {
        if let Some(renewer) = &mut self.renewer {
            renewer.abort();
            // A renewal that is under way may still write; what is deleted must be what it wrote.
            let _ = renewer.await;
        }
        let failed = |source| LeaseError::Store { cluster: self.state.name().to_owned(), source };
        loop {
            match read(&self.state).await? {
                Some((record, version)) if record.id == self.held.id => {
                    match self.state.store().delete(&self.held.lock, &version).await {
                        Err(error) if error.is_changed() => {}
                        other => return other.map_err(failed),
                    }
                }
                _ => return Ok(()),
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(renewer) = &self.renewer {
            renewer.abort();
        }
        let prefix = layout::cluster_prefix(self.state.name());
        self.state.store().fence().take_down(&prefix, &self.held);
    }
}

/// Until when a lease is good that is asked for now.
fn good_until(clock: &dyn Clock, terms: Terms) -> Until {
    Until { time: clock.now() + terms.lifetime, elapsed: clock.elapsed() + terms.lifetime }
}

/// Takes the place of a lease that is there, if that is over.
async fn take_over(
    state: &ClusterState,
    record: &LeaseRecord,
    now: Timestamp,
) -> Result<Version, LeaseError> {
    let key = layout::lock(state.name());
    let condition = match read(state).await? {
        // It was given back just now.
        None => Condition::Absent,
        Some((held, version)) if held.is_over(now) => {
            tracing::info!("taking over a lock that was left: {}", held.describe());
            Condition::Unchanged(version)
        }
        Some((held, _)) => return Err(held_by(state, held)),
    };
    match state.store().put(&key, bytes(record, &key)?, condition).await {
        Ok(version) => Ok(version),
        Err(error) => written_after_all(state, record, error).await,
    }
}

/// After a write of a lease that failed: it may have been carried out, and only its reply been lost.
async fn written_after_all(
    state: &ClusterState,
    record: &LeaseRecord,
    error: StoreError,
) -> Result<Version, LeaseError> {
    let cluster = || state.name().to_owned();
    match read(state).await {
        Ok(Some((found, version))) if found.id == record.id => Ok(version),
        Ok(Some((held, _))) if error.is_changed() => Err(held_by(state, held)),
        Ok(None) if error.is_changed() => {
            Err(LeaseError::Lost { cluster: cluster(), reason: "somebody else had it just now".to_owned() })
        }
        _ => Err(LeaseError::Store { cluster: cluster(), source: error }),
    }
}

/// A lease that was taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenAway {
    /// Whose it was.
    From(Box<LeaseRecord>),
    /// It could not be read, and this was wrong with it.
    Unreadable(String),
}

/// Takes a cluster's lease away, also one that can't be read. Returns whose it was; `None` when there is none.
pub async fn take_away(state: &ClusterState) -> Result<Option<TakenAway>, LeaseError> {
    let key = layout::lock(state.name());
    let failed = |source| LeaseError::Store { cluster: state.name().to_owned(), source };
    let Some(object) = state.store().get(&key).await.map_err(failed)? else { return Ok(None) };
    state.store().delete(&key, &object.version).await.map_err(failed)?;
    Ok(Some(match parse(&object.bytes) {
        Ok(record) => TakenAway::From(Box::new(record)),
        Err(fault) => TakenAway::Unreadable(fault),
    }))
}

/// Who holds a cluster's lease, if anybody.
pub async fn current(state: &ClusterState) -> Result<Option<LeaseRecord>, LeaseError> {
    Ok(read(state).await?.map(|(record, _)| record))
}

/// Deletes a lease whose holder is certainly gone, so that a run that has nothing to do leaves none behind.
pub async fn clear_away(state: &ClusterState) -> Result<(), LeaseError> {
    let Some((record, version)) = read(state).await? else { return Ok(()) };
    if !record.holder.is_gone() {
        return Ok(());
    }
    match state.store().delete(&layout::lock(state.name()), &version).await {
        // Somebody took it over: it is in use.
        Err(error) if error.is_changed() => Ok(()),
        other => other.map_err(|source| LeaseError::Store { cluster: state.name().to_owned(), source }),
    }
}

/// Renews until the lease is lost. A renewal that fails on the way is tried again until the lease has lapsed.
async fn renew(
    state: ClusterState,
    held: Arc<HeldLease>,
    mut record: LeaseRecord,
    mut version: Version,
    terms: Terms,
) {
    let clock = held.clock.clone();
    let mut failure = None;
    loop {
        clock.sleep(terms.renewal.min(held.remaining())).await;
        let (until, sent) = (good_until(&*clock, terms), clock.elapsed());
        record.expires = until.time;
        let renewal = {
            let renewal = pin!(renew_once(&state, &record, &version));
            match select(renewal, clock.sleep(held.remaining())).await {
                Either::Left((renewal, _)) => Some(renewal),
                Either::Right(_) => None,
            }
        };
        match renewal {
            Some(Ok(Renewal::Done(renewed))) => {
                version = renewed;
                held.extend(until, sent);
            }
            Some(Ok(Renewal::TakenAway)) => return held.lose(TAKEN_AWAY),
            Some(Err(error)) => {
                tracing::warn!("could not renew the lock, trying again: {error}");
                failure = Some(error);
            }
            None => {}
        }
        if held.remaining().is_zero() {
            let why = failure.map_or("there was no answer in time".to_owned(), |error| error.to_string());
            return held.lose(&format!("it could not be renewed: {why}"));
        }
    }
}

/// How a renewal ended.
enum Renewal {
    Done(Version),
    TakenAway,
}

/// Renews once. What is found in the place of what was read may be an earlier renewal whose reply was lost.
async fn renew_once(
    state: &ClusterState,
    record: &LeaseRecord,
    version: &Version,
) -> Result<Renewal, LeaseError> {
    let key = layout::lock(state.name());
    let mut version = version.clone();
    loop {
        match state.store().put(&key, bytes(record, &key)?, Condition::Unchanged(version)).await {
            Ok(renewed) => return Ok(Renewal::Done(renewed)),
            Err(error) if error.is_changed() => match read(state).await? {
                Some((found, found_version)) if found.id == record.id => version = found_version,
                _ => return Ok(Renewal::TakenAway),
            },
            Err(source) => return Err(LeaseError::Store { cluster: state.name().to_owned(), source }),
        }
    }
}

async fn read(state: &ClusterState) -> Result<Option<(LeaseRecord, Version)>, LeaseError> {
    let key = layout::lock(state.name());
    let found = state.store().get(&key).await;
    let found = found.map_err(|source| LeaseError::Store { cluster: state.name().to_owned(), source })?;
    let Some(object) = found else { return Ok(None) };
    let record = parse(&object.bytes).map_err(|reason| LeaseError::Malformed { key, reason })?;
    Ok(Some((record, object.version)))
}

fn parse(bytes: &[u8]) -> Result<LeaseRecord, String> {
    let record: LeaseRecord = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if record.version <= FORMAT { Ok(record) } else { Err(newer(record.version)) }
}

/// What is wrong with the bytes of a lease.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    parse(bytes).map(drop)
}

fn held_by(state: &ClusterState, record: LeaseRecord) -> LeaseError {
    LeaseError::Held { cluster: state.name().to_owned(), record: Box::new(record) }
}

fn bytes(record: &LeaseRecord, key: &str) -> Result<Vec<u8>, LeaseError> {
    serde_json::to_vec_pretty(record)
        .map_err(|error| LeaseError::Malformed { key: key.to_owned(), reason: error.to_string() })
}

fn nonce() -> Result<String, LeaseError> {
    let mut random = [0_u8; 16];
    rand::fill(&mut random).map_err(|_| LeaseError::Random)?;
    Ok(random.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Store;

    const QUICK: Terms = Terms { lifetime: Duration::from_mins(1), renewal: Duration::from_millis(5) };

    fn state() -> ClusterState {
        ClusterState::new(Store::memory(), "demo.example.com")
    }

    fn holder(user: &str) -> Holder {
        Holder { user: user.to_owned(), ..Holder::this_process("update cluster") }
    }

    async fn write(state: &ClusterState, record: &LeaseRecord) {
        let key = layout::lock(state.name());
        state.store().put(&key, bytes(record, &key).unwrap(), Condition::Absent).await.unwrap();
    }

    fn left_by(holder: Holder, expired_for: SignedDuration) -> LeaseRecord {
        let expires = Timestamp::now() - expired_for;
        LeaseRecord { version: FORMAT, id: "x".to_owned(), holder, since: expires, expires }
    }

    #[tokio::test]
    async fn whoever_comes_second_is_told_who_has_it() {
        let state = state();
        let lease = Lease::acquire(&state, holder("ada")).await.unwrap();
        let error = Lease::acquire(&state, holder("bob")).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("ada on ") && text.contains("`windlass update cluster`"), "{text}");
        assert!(error.hint().unwrap().contains("windlass unlock demo.example.com --force"));
        lease.release().await.unwrap();
        Lease::acquire(&state, holder("bob")).await.unwrap();
    }

    /// A clock that a test sets; the time of day may stand still while the machine sleeps and its clock is set back.
    #[derive(Debug, Default)]
    struct Scripted(std::sync::Mutex<(SignedDuration, Duration)>);

    impl Scripted {
        fn pass(&self, of_day: SignedDuration, elapsed: Duration) {
            let mut clocks = self.0.lock().unwrap();
            *clocks = (clocks.0 + of_day, clocks.1 + elapsed);
        }
    }

    impl Clock for Scripted {
        fn now(&self) -> Timestamp {
            Timestamp::from_second(1_800_000_000).unwrap() + self.0.lock().unwrap().0
        }

        fn elapsed(&self) -> Duration {
            Duration::from_hours(1) + self.0.lock().unwrap().1
        }

        fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    /// A lease that nobody renews, by a clock of its own.
    async fn by_a_scripted_clock(state: &ClusterState) -> (Lease, Arc<Scripted>) {
        let clock = Arc::new(Scripted::default());
        let taken = Lease::take(state, holder("ada"), clock.clone(), TERMS).await;
        (taken.unwrap().0, clock)
    }

    #[tokio::test]
    async fn after_a_sleep_longer_than_the_lease_no_change_of_aws_is_permitted() {
        for of_day in [SignedDuration::ZERO, SignedDuration::from_secs(61), -SignedDuration::from_secs(60)] {
            let state = state();
            let (lease, clock) = by_a_scripted_clock(&state).await;
            let permit = state.store().permit(state.name());
            clock.pass(SignedDuration::from_secs(30), Duration::from_secs(30));
            state.store().confirm(state.name()).await.unwrap();
            permit.check().unwrap();
            assert!(lease.loss().is_none());
            clock.pass(of_day, Duration::from_secs(61));
            assert!(permit.check().unwrap_err().to_string().contains("was not renewed in time"));
            let error = state.store().confirm(state.name()).await.unwrap_err();
            assert!(matches!(error, StoreError::LeaseLost { .. }), "{error}");
            assert!(matches!(lease.loss(), Some(LeaseError::Lost { .. })));
        }
    }

    #[tokio::test]
    async fn a_lease_that_was_taken_away_is_noticed_before_the_next_change_of_aws() {
        let state = state();
        let (_lease, clock) = by_a_scripted_clock(&state).await;
        take_away(&state).await.unwrap();
        let second = SignedDuration::from_secs(6);
        clock.pass(second, second.unsigned_abs());
        let error = state.store().confirm(state.name()).await.unwrap_err();
        assert!(error.to_string().contains(TAKEN_AWAY), "{error}");
        assert!(state.store().permit(state.name()).check().is_err());
        // What holds no lease is not fenced: there is nothing to lose.
        state.store().confirm("other.example.com").await.unwrap();
    }

    #[tokio::test]
    async fn once_the_user_has_asked_to_stop_only_the_lock_is_given_back() {
        let state = state();
        let lease = Lease::acquire(&state, holder("ada")).await.unwrap();
        state.store().put("demo.example.com/x", vec![1], Condition::Absent).await.unwrap();
        let asked = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let known = Arc::clone(&asked);
        state.store().stop_when(Arc::new(move || known.load(std::sync::atomic::Ordering::SeqCst)));
        state.store().permit(state.name()).check().unwrap();
        asked.store(true, std::sync::atomic::Ordering::SeqCst);
        let found = state.store().get("demo.example.com/x").await.unwrap().unwrap();
        for refused in [
            state.store().put("demo.example.com/y", vec![1], Condition::Absent).await.map(drop),
            state.store().delete("demo.example.com/x", &found.version).await,
            state.store().purge("demo.example.com/", &[]).await,
            state.store().confirm(state.name()).await,
        ] {
            assert!(matches!(refused, Err(StoreError::Stopped { .. })), "{refused:?}");
        }
        assert!(state.store().permit(state.name()).check().is_err());
        lease.release().await.unwrap();
        assert_eq!(state.store().list("").await.unwrap(), ["demo.example.com/x"]);
    }

    #[tokio::test]
    async fn of_many_who_come_at_once_one_gets_it() {
        let state = state();
        let all = (0..16).map(|_| Lease::acquire(&state, holder("ada")));
        let got = futures::future::join_all(all).await.into_iter().flatten().count();
        assert_eq!(got, 1);
    }

    #[tokio::test]
    async fn a_lease_of_another_machine_is_taken_over_only_when_no_clock_can_be_that_wrong() {
        let elsewhere = Holder { process: None, ..holder("ada") };
        let fresh = state();
        write(&fresh, &left_by(elsewhere.clone(), CLOCK_SKEW - SignedDuration::from_secs(5))).await;
        assert!(matches!(Lease::acquire(&fresh, holder("bob")).await, Err(LeaseError::Held { .. })));
        let stale = state();
        write(&stale, &left_by(elsewhere, CLOCK_SKEW + SignedDuration::from_secs(1))).await;
        Lease::acquire(&stale, holder("bob")).await.unwrap();
    }

    #[tokio::test]
    async fn a_lease_is_renewed_while_it_is_held() {
        let state = state();
        let lease = Lease::acquire_for(&state, holder("ada"), QUICK).await.unwrap();
        let before = current(&state).await.unwrap().unwrap();
        let mut after = before.clone();
        while after.expires == before.expires {
            tokio::time::sleep(QUICK.renewal).await;
            after = current(&state).await.unwrap().unwrap();
        }
        assert_eq!((&after.id, after.since), (&before.id, before.since));
        assert!(after.expires > before.expires);
        lease.release().await.unwrap();
        assert_eq!(current(&state).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_holder_learns_that_it_was_taken_away() {
        let state = state();
        let lease = Lease::acquire_for(&state, holder("ada"), QUICK).await.unwrap();
        let Some(TakenAway::From(taken)) = take_away(&state).await.unwrap() else { panic!("no lease") };
        assert_eq!(taken.holder.user, "ada");
        let other = Lease::acquire(&state, holder("bob")).await.unwrap();
        assert!(lease.lost().await.to_string().contains("somebody took it away"));
        lease.release().await.unwrap();
        assert_eq!(current(&state).await.unwrap().unwrap().holder.user, "bob", "released another's lease");
        other.release().await.unwrap();
        assert_eq!(take_away(&state).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_lease_that_can_not_be_read_is_taken_away_by_force() {
        for text in ["", "garbage", "{}", r#"{"version": 99}"#] {
            let state = ClusterState::new(Store::memory(), "demo.example.com");
            let key = layout::lock(state.name());
            state.store().put(&key, text.into(), Condition::Absent).await.unwrap();
            let error = Lease::acquire(&state, Holder::this_process("x")).await.unwrap_err();
            let hint = error.hint().unwrap();
            assert!(hint.contains("windlass unlock demo.example.com --force"), "{hint}");
            let taken = take_away(&state).await.unwrap();
            assert!(matches!(taken, Some(TakenAway::Unreadable(_))), "{taken:?}");
            Lease::acquire(&state, Holder::this_process("x")).await.unwrap().release().await.unwrap();
        }
    }
}
