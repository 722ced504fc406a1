//! The lease: one operator at a time works on a cluster.
//!
//! It is an object that is written only where none is, renewed while its holder works, and deleted at the end. Another
//! operator takes it over only when its holder is certainly gone, or has not renewed it for so long that no clock can be
//! that wrong. Because a lease is only advice (its holder may be asleep while it is taken over), every write of the state
//! also names the version it was planned from.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::rand;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::cluster_state::ClusterState;
use super::holder::Holder;
use super::layout;
use super::store::{Condition, Store, StoreError, Version};

/// How long a lease is good for, and how often it is renewed.
#[derive(Clone, Copy, Debug)]
struct Terms {
    lifetime: Duration,
    renewal: Duration,
}

/// Three renewals fit into a lease's lifetime.
const TERMS: Terms = Terms { lifetime: Duration::from_mins(1), renewal: Duration::from_secs(20) };

/// How far the clocks of two operators may be apart.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(2);

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

/// Why there is no lease.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// Somebody else has it.
    #[error("the cluster `{cluster}` is locked: {}", record.describe())]
    Held {
        /// The cluster's name.
        cluster: String,
        /// What the lease says.
        record: Box<LeaseRecord>,
    },
    /// It was taken away, or could not be renewed, while its holder worked.
    #[error("the lock of the cluster `{cluster}` was lost: {reason}")]
    Lost {
        /// The cluster's name.
        cluster: String,
        /// How.
        reason: String,
    },
    /// What is there can't be read.
    #[error("the lock `{key}` can't be read: {reason}")]
    Malformed {
        /// Its key.
        key: String,
        /// Why.
        reason: String,
    },
    /// The operating system gave no random bytes.
    #[error("could not get random bytes from the operating system")]
    Random,
    /// The store said no.
    #[error("could not lock the cluster `{cluster}`")]
    Store {
        /// The cluster's name.
        cluster: String,
        /// What it said.
        #[source]
        source: StoreError,
    },
}

impl LeaseError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Held { cluster, record } => Some(format!(
                "wait until they are done; if they are gone, the lock lapses at {}, or take it away: windlass unlock \
                 {cluster} --force",
                seconds(record.expires + CLOCK_SKEW)
            )),
            Self::Lost { .. } => Some("run the command again: it goes on from where it stopped".to_owned()),
            Self::Malformed { .. } => {
                Some("a newer windlass may have written it; or delete the object".to_owned())
            }
            Self::Random | Self::Store { .. } => None,
        }
    }
}

/// A lease that is held, and renewed until it is released or dropped.
#[derive(Debug)]
pub struct Lease {
    state: ClusterState,
    id: String,
    lost: watch::Receiver<Option<String>>,
    renewer: JoinHandle<()>,
}

impl Lease {
    /// Takes the lease of a cluster. Fails with [`LeaseError::Held`] when somebody has it.
    pub async fn acquire(state: &ClusterState, holder: Holder) -> Result<Self, LeaseError> {
        Self::acquire_for(state, holder, TERMS).await
    }

    async fn acquire_for(state: &ClusterState, holder: Holder, terms: Terms) -> Result<Self, LeaseError> {
        let key = layout::lock(state.name());
        let now = Timestamp::now();
        let record =
            LeaseRecord { version: FORMAT, id: nonce()?, holder, since: now, expires: now + terms.lifetime };
        let condition = match read(state).await? {
            None => Condition::Absent,
            Some((held, version)) if held.is_over(now) => {
                tracing::info!("taking over a lock that was left: {}", held.describe());
                Condition::Unchanged(version)
            }
            Some((held, _)) => return Err(held_by(state, held)),
        };
        match state.store().put(&key, bytes(&record, &key)?, condition).await {
            Ok(version) => Ok(Self::keep(state.clone(), record, version, terms)),
            Err(error) if error.is_changed() => Err(match read(state).await? {
                Some((held, _)) => held_by(state, held),
                None => LeaseError::Lost {
                    cluster: state.name().to_owned(),
                    reason: "somebody else had it just now".to_owned(),
                },
            }),
            Err(source) => Err(LeaseError::Store { cluster: state.name().to_owned(), source }),
        }
    }

    fn keep(state: ClusterState, record: LeaseRecord, version: Version, terms: Terms) -> Self {
        let (sender, lost) = watch::channel(None);
        let id = record.id.clone();
        let (store, key) = (state.store().clone(), layout::lock(state.name()));
        let renewer = tokio::spawn(async move {
            let reason = renew(&store, &key, record, version, terms).await;
            sender.send_replace(Some(reason));
        });
        Self { state, id, lost, renewer }
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

    /// Gives the lease back. One that is somebody else's by now, or gone with its cluster, is left alone.
    pub async fn release(mut self) -> Result<(), LeaseError> {
        self.renewer.abort();
        // A renewal that is under way may still write; what is deleted must be what it wrote.
        let _ = (&mut self.renewer).await;
        let failed = |source| LeaseError::Store { cluster: self.state.name().to_owned(), source };
        loop {
            match read(&self.state).await? {
                Some((record, version)) if record.id == self.id => {
                    match self.state.store().delete(&layout::lock(self.state.name()), &version).await {
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
        self.renewer.abort();
    }
}

/// Takes a cluster's lease away. Returns whose it was; `None` when there is none.
pub async fn take_away(state: &ClusterState) -> Result<Option<LeaseRecord>, LeaseError> {
    let Some((record, version)) = read(state).await? else { return Ok(None) };
    match state.store().delete(&layout::lock(state.name()), &version).await {
        Ok(()) => Ok(Some(record)),
        Err(source) => Err(LeaseError::Store { cluster: state.name().to_owned(), source }),
    }
}

/// Who holds a cluster's lease, if anybody.
pub async fn current(state: &ClusterState) -> Result<Option<LeaseRecord>, LeaseError> {
    Ok(read(state).await?.map(|(record, _)| record))
}

/// Renews until it can't; returns why. A renewal that fails on the way is tried again until the lease has expired.
async fn renew(
    store: &Store,
    key: &str,
    mut record: LeaseRecord,
    mut version: Version,
    terms: Terms,
) -> String {
    let Terms { lifetime, renewal } = terms;
    let mut good_until = Instant::now() + lifetime;
    loop {
        sleep(renewal).await;
        record.expires = Timestamp::now() + lifetime;
        let renewed_at = Instant::now();
        let bytes = match bytes(&record, key) {
            Ok(bytes) => bytes,
            Err(error) => return error.to_string(),
        };
        match store.put(key, bytes, Condition::Unchanged(version.clone())).await {
            Ok(renewed) => {
                version = renewed;
                good_until = renewed_at + lifetime;
            }
            Err(error) if error.is_changed() => return "somebody took it away".to_owned(),
            Err(error) if Instant::now() + renewal > good_until => {
                return format!("it could not be renewed: {error}");
            }
            Err(error) => tracing::warn!("could not renew the lock, trying again: {error}"),
        }
    }
}

async fn read(state: &ClusterState) -> Result<Option<(LeaseRecord, Version)>, LeaseError> {
    let key = layout::lock(state.name());
    let found = state.store().get(&key).await;
    let found = found.map_err(|source| LeaseError::Store { cluster: state.name().to_owned(), source })?;
    let Some(object) = found else { return Ok(None) };
    let malformed = |reason: String| LeaseError::Malformed { key: key.clone(), reason };
    let record: LeaseRecord =
        serde_json::from_slice(&object.bytes).map_err(|error| malformed(error.to_string()))?;
    if record.version > FORMAT {
        return Err(malformed(format!("its format is {}", record.version)));
    }
    Ok(Some((record, object.version)))
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
            sleep(QUICK.renewal).await;
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
        assert_eq!(take_away(&state).await.unwrap().unwrap().holder.user, "ada");
        let other = Lease::acquire(&state, holder("bob")).await.unwrap();
        assert!(lease.lost().await.to_string().contains("somebody took it away"));
        lease.release().await.unwrap();
        assert_eq!(current(&state).await.unwrap().unwrap().holder.user, "bob", "released another's lease");
        other.release().await.unwrap();
        assert_eq!(take_away(&state).await.unwrap(), None);
    }
}
