//! Why there is no lease, and what to do about it.

use thiserror::Error;

use super::{CLOCK_SKEW, LeaseRecord, seconds};
use crate::state::store_error::StoreError;

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
        /// The lock, as a key of the store.
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
            Self::Malformed { key, .. } => Some(format!(
                "if nobody works on the cluster, with a newer windlass perhaps, take it away: windlass unlock {} --force",
                key.split('/').next().unwrap_or_default()
            )),
            Self::Random | Self::Store { .. } => None,
        }
    }
}
