//! The restore of a whole cluster from a backup: what the CLI orders, and what masters answer.
//!
//! ```text
//! <cluster>/control-plane/restore.json                                        [`Order`]; written by the CLI only
//! <cluster>/control-plane/etcd/restores/<generation>/stopped/<instance>.json          [`Answer`] of a master
//! <cluster>/control-plane/etcd/restores/<generation>/restored/<etcd>/<member>.json    [`Answer`] for a member's data
//! ```
//!
//! There is one order, which is never deleted while the cluster lives: each restore has a [generation](Order::generation) that
//! is larger by one than the last one's, and an etcd volume holds data of one generation. What a master has to do follows
//! from these three: the order, its volume's generation, and whether its member was restored to that of the order before.
//!
//! Masters answer once, and take nothing back. "Stopped" is said of an instance: whatever takes its place doesn't start etcd
//! while the order says `stop`. "Restored" is said of a member: a volume that it loses after that lost what came after the
//! restore, too, and the old backup must not take its place.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::backup::{BackupId, Class, Snapshot};
use super::config::{self, DocumentError};

/// How far a restore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Phase {
    /// Masters end their API server and their etcd, and start neither.
    Stop,
    /// All that ran have ended: masters restore their members, and start them.
    Restore,
    /// All members were restored. One that comes later is restored all the same.
    Done,
    /// Given up before anything was restored: masters go on with what they have.
    Abandoned,
}

/// What the masters shall restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// [`config::CONFIG_VERSION`].
    pub version: String,
    /// The cluster's name.
    pub cluster: String,
    /// Larger by one than the one before; data that was never restored is of generation 0.
    pub generation: u64,
    /// The backup.
    pub backup: BackupId,
    /// Its folder.
    pub class: Class,
    /// How far it is.
    pub phase: Phase,
    /// What each etcd cluster is restored from, by name.
    pub etcd: BTreeMap<String, Source>,
    /// When it was ordered.
    pub ordered: Timestamp,
    /// By whom.
    pub by: String,
}

/// What an etcd cluster is restored from, and into which members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// The snapshot's key in the state.
    pub key: String,
    /// What it is.
    pub snapshot: Snapshot,
    /// All members with their addresses. Members that were restored from the same snapshot with the same members are one
    /// cluster; a member that isn't among them came later, and isn't restored.
    pub members: BTreeMap<String, Ipv4Addr>,
}

/// What a master has done of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// [`config::CONFIG_VERSION`].
    pub version: String,
    /// The instance.
    pub instance: String,
    /// Its group.
    pub instance_group: String,
    /// When it was done.
    pub done: Timestamp,
}

impl Order {
    /// Reads one.
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        config::read(bytes)
    }

    /// Whether masters are to do something for it.
    pub fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Stop | Phase::Restore)
    }
}

/// What a member has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Nothing: it starts with what it has.
    None,
    /// Its master's etcd and API server are ended, and it waits.
    Stop,
    /// It restores its data, before it starts.
    Restore,
}

/// Decides what a member has to do for an order. `generation` is that of the data on its volume; `restored` says whether it
/// was restored to the order's generation before, which is asked only where it matters.
pub fn duty(order: &Order, etcd: &str, member: &str, generation: u64, restored: bool) -> Duty {
    let is_meant = order.etcd.get(etcd).is_some_and(|source| source.members.contains_key(member));
    if !is_meant || generation >= order.generation || restored {
        return Duty::None;
    }
    match order.phase {
        Phase::Stop => Duty::Stop,
        Phase::Restore | Phase::Done => Duty::Restore,
        Phase::Abandoned => Duty::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::config::CONFIG_VERSION;

    fn order(phase: Phase) -> Order {
        let snapshot = Snapshot {
            member: "a".into(),
            etcd_version: "3.6.16".into(),
            etcd_cluster_id: "7f".into(),
            revision: 7,
            keys: 5,
            sha256: "0".repeat(64),
            compressed_bytes: 10,
            bytes: 20,
        };
        let source = Source {
            key: "demo/backups/etcd/daily/2026-11-23T14-00-00Z/main.gz".into(),
            snapshot,
            members: [("a".to_owned(), Ipv4Addr::new(172, 20, 32, 10))].into(),
        };
        Order {
            version: CONFIG_VERSION.into(),
            cluster: "demo".into(),
            generation: 2,
            backup: "2026-11-23T14-00-00Z".parse().unwrap(),
            class: Class::Daily,
            phase,
            etcd: [("main".to_owned(), source)].into(),
            ordered: Timestamp::UNIX_EPOCH,
            by: "somebody".into(),
        }
    }

    #[test]
    fn what_a_member_has_to_do_follows_from_the_order_its_data_and_its_answer() {
        let table = [
            // What is older than the order is restored, and waits until nothing runs any more.
            (Phase::Stop, 0, false, Duty::Stop),
            (Phase::Stop, 1, false, Duty::Stop),
            (Phase::Restore, 0, false, Duty::Restore),
            (Phase::Restore, 1, false, Duty::Restore),
            // One that comes late.
            (Phase::Done, 1, false, Duty::Restore),
            // What was restored is left alone.
            (Phase::Restore, 2, false, Duty::None),
            (Phase::Restore, 2, true, Duty::None),
            (Phase::Done, 2, true, Duty::None),
            // It was restored, and has lost its volume since.
            (Phase::Restore, 0, true, Duty::None),
            (Phase::Done, 0, true, Duty::None),
            // Given up.
            (Phase::Abandoned, 1, false, Duty::None),
            // A volume of a later restore than the order, which somebody has put back.
            (Phase::Stop, 3, false, Duty::None),
        ];
        for (phase, generation, restored, expected) in table {
            let found = duty(&order(phase), "main", "a", generation, restored);
            assert_eq!(found, expected, "{phase:?}, {generation}, {restored}");
        }
    }

    #[test]
    fn members_and_etcd_clusters_that_the_order_does_not_name_came_later() {
        let order = order(Phase::Restore);
        assert_eq!(duty(&order, "main", "b", 0, false), Duty::None);
        assert_eq!(duty(&order, "events", "a", 0, false), Duty::None);
    }

    #[test]
    fn an_order_is_read_as_it_was_written() {
        let order = order(Phase::Stop);
        let bytes = serde_json::to_vec(&order).unwrap();
        assert_eq!(Order::read(&bytes).unwrap(), order);
        assert!(order.is_under_way() && !self::order(Phase::Done).is_under_way());
    }
}
