//! An etcd whose database is full: what masters say of it, and what the CLI orders.
//!
//! ```text
//! <cluster>/control-plane/etcd-upkeep.json    [`Order`]; written by the CLI only, in the place of the one before
//! ```
//!
//! Masters read it only while there is an alarm to clear, and answer in their reports
//! ([`Status::etcd_alarms`](super::report::Status::etcd_alarms)): the alarm is gone, or its note says why it can't be cleared.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::config::{self, DocumentError};

/// For how long an order holds. One of last week must not clear an alarm that nobody has seen yet.
pub const HOLDS: SignedDuration = SignedDuration::from_mins(30);

/// That the alarms of a cluster's etcd shall be cleared: its history compacted, its members defragmented, and the alarms
/// disarmed where that has made room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// [`config::CONFIG_VERSION`].
    pub version: String,
    /// The cluster's name.
    pub cluster: String,
    /// When it was ordered; no two orders have the same time.
    pub ordered: Timestamp,
    /// By whom.
    pub by: String,
}

impl Order {
    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        config::read(bytes)
    }

    /// Whether it holds still.
    pub fn holds(&self, now: Timestamp) -> bool {
        now.duration_since(self.ordered) < HOLDS
    }
}

/// An alarm that a member of an etcd cluster has raised, and in which all members refuse what would write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EtcdAlarm {
    /// The etcd cluster, such as `main`.
    pub etcd: String,
    /// The member that has raised it: its name, or its id where it has none.
    pub member: String,
    /// What it is about.
    pub kind: AlarmKind,
    /// How large the database of this master's member is, in bytes.
    pub bytes: u64,
    /// How much of it is in use.
    pub bytes_in_use: u64,
    /// How large it may become; 0 where etcd doesn't say it.
    pub quota: u64,
    /// What came of the last order to clear it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What an alarm is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AlarmKind {
    /// The database is as large as it may become.
    NoSpace,
    /// Members don't hold the same.
    Corrupt,
    /// One that isn't known here.
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::config::CONFIG_VERSION;

    #[test]
    fn an_order_is_read_as_it_was_written_and_holds_for_half_an_hour() {
        let ordered = Timestamp::UNIX_EPOCH;
        let order = Order {
            version: CONFIG_VERSION.into(),
            cluster: "demo".into(),
            ordered,
            by: "somebody@somewhere".into(),
        };
        assert_eq!(Order::read(&serde_json::to_vec(&order).unwrap()).unwrap(), order);
        assert!(order.holds(ordered + SignedDuration::from_mins(29)));
        assert!(!order.holds(ordered + SignedDuration::from_mins(30)));
    }
}
