//! Keeps the databases of etcd's members small: defragments them, and clears the alarm of one that became full.
//!
//! A database's file never shrinks by itself: what is deleted leaves room in it that is used again. Where much of a file
//! is such room, its member is defragmented, which writes the file anew, and in which that member answers nothing. So
//!
//! - the master whose member leads does it, for all members, as it alone knows the leader for sure, and asks again
//!   whether it leads before each;
//! - one member in a round, and none while another is missing, is behind, or learns: the others must have the majority;
//! - the leader last, when no other needs it any more;
//! - a member at most once an hour.
//!
//! A file that has become as large as the quota raises the alarm NOSPACE, and all members refuse writes until it is disarmed by
//! hand. Every master puts alarms into its report. The CLI orders to clear them ([`crate::contract::etcd_upkeep`]): then
//! the leader's master compacts the history, defragments all members, and disarms the alarm if that has made room. Where it hasn't,
//! disarming would only raise it anew, and the report says what to do.

mod members;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etcd_client::Client;
use jiff::Timestamp;

use self::members::{Looked, Member};
pub use self::members::{Reach, UpkeepError};
use crate::agent::Agent;
use crate::background::every::{Every, every};
use crate::contract::config::{ControlPlaneConfig, EtcdConfig};
use crate::contract::etcd_upkeep::{AlarmKind, EtcdAlarm, Order};
use crate::contract::keys;
use crate::control_plane::etcd_client::{EtcdClientError, connect};

/// The task.
pub const TASK: Every = every("keep_etcd_in_shape", Duration::from_secs(30));

/// How often one member is defragmented at most.
const PAUSE: Duration = Duration::from_hours(1);

/// A smaller file isn't worth it: it is written anew within a second, and costs nobody anything.
const SMALL: u64 = 256 << 20;

/// Looks after the etcd clusters of this master.
pub async fn keep(agent: Arc<Agent>, control_plane: ControlPlaneConfig) {
    let mut rounds = TASK.rounds(&agent.reporter);
    let mut keepers: Vec<Keeper> = control_plane.etcd_clusters().cloned().map(Keeper::of).collect();
    loop {
        rounds.next().await;
        let mut failed = None;
        for keeper in &mut keepers {
            if let Err(error) = keeper.round(agent.as_ref()).await {
                failed = Some(error);
            }
        }
        // One that can't be asked has the alarms that it had.
        agent.reporter.etcd_alarms(keepers.iter().flat_map(|keeper| keeper.alarms.clone()).collect());
        rounds.tell(failed.map_or(Ok(()), Err));
    }
}

impl Reach for Agent {
    async fn connect(&self, etcd: &EtcdConfig, address: Ipv4Addr) -> Result<Client, EtcdClientError> {
        connect(&self.host, etcd, &[address]).await
    }

    async fn order(&self) -> Result<Option<Order>, UpkeepError> {
        let key = keys::etcd_upkeep(&self.config.cluster);
        let Some(bytes) = self.store.find(&key).await.map_err(UpkeepError::State)? else { return Ok(None) };
        Order::read(&bytes).map(Some).map_err(UpkeepError::Order)
    }
}

/// Who looks after one etcd cluster.
#[derive(Debug)]
pub struct Keeper {
    etcd: EtcdConfig,
    /// The alarms that were seen last.
    pub alarms: Vec<EtcdAlarm>,
    /// When each member was defragmented.
    defragmented: BTreeMap<u64, Instant>,
    /// The last order that was carried out, and what came of it.
    done: Option<(Timestamp, Option<String>)>,
}

impl Keeper {
    /// Looks after this one.
    pub fn of(etcd: EtcdConfig) -> Self {
        Self { etcd, alarms: Vec::new(), defragmented: BTreeMap::new(), done: None }
    }

    /// Looks, and does what is due.
    pub async fn round(&mut self, reach: &impl Reach) -> Result<(), UpkeepError> {
        let etcd = self.etcd.clone();
        let mut own = reach.connect(&etcd, Ipv4Addr::LOCALHOST).await?;
        let looked = Looked::at(&mut own, &etcd).await?;
        self.note_alarms(&looked);
        if !looked.leads() {
            return Ok(());
        }
        if self.alarms.iter().any(|alarm| alarm.kind == AlarmKind::NoSpace) {
            let order = reach.order().await?.filter(|order| order.holds(Timestamp::now()));
            let is_new = |order: &Order| self.done.as_ref().is_none_or(|(done, _)| *done != order.ordered);
            if let Some(order) = order.filter(is_new) {
                tracing::warn!(etcd = etcd.name, by = order.by, "the alarm of etcd is to be cleared");
                let note = self.clear(reach, &mut own).await?;
                self.done = Some((order.ordered, note));
                let looked = Looked::at(&mut own, &etcd).await?;
                self.note_alarms(&looked);
                return Ok(());
            }
        }
        let members = Member::all(reach, &etcd, &looked).await?;
        let now = Instant::now();
        let rests = |member: &Member| {
            self.defragmented.get(&member.id).is_some_and(|last| now.duration_since(*last) < PAUSE)
        };
        let due = next(&members, looked.leader, |member| !rests(member) && is_worth_it(member));
        if let Some(member) = due {
            self.defragmented.insert(member.id, now);
            member.defragment(reach, &etcd).await?;
        }
        Ok(())
    }

    fn note_alarms(&mut self, looked: &Looked) {
        let note = self.done.as_ref().and_then(|(_, note)| note.clone());
        let alarm = |(member, kind): &(u64, AlarmKind)| EtcdAlarm {
            etcd: self.etcd.name.clone(),
            member: looked.name_of(*member),
            kind: *kind,
            bytes: looked.size.bytes,
            bytes_in_use: looked.size.in_use,
            quota: looked.size.quota,
            note: note.clone().filter(|_| *kind == AlarmKind::NoSpace),
        };
        self.alarms = looked.alarms.iter().map(alarm).collect();
    }

    /// Compacts, defragments all members, and disarms. Returns why the alarm stays, where it does.
    async fn clear(&mut self, reach: &impl Reach, own: &mut Client) -> Result<Option<String>, UpkeepError> {
        let etcd = &self.etcd;
        members::compact(own, etcd).await?;
        let mut left: Vec<u64> = Vec::new();
        loop {
            // All of them again each time: one may be gone by now, or another may lead.
            let looked = Looked::at(own, etcd).await?;
            if !looked.leads() {
                return Err(UpkeepError::LeaderChanged(etcd.name.clone()));
            }
            let members = Member::all(reach, etcd, &looked).await?;
            let Some(member) = next(&members, looked.leader, |member| !left.contains(&member.id)) else {
                break;
            };
            member.defragment(reach, etcd).await?;
            self.defragmented.insert(member.id, Instant::now());
            left.push(member.id);
        }
        let looked = Looked::at(own, etcd).await?;
        let members = Member::all(reach, etcd, &looked).await?;
        if let Some(full) = members.iter().find(|member| member.size.is_full()) {
            return Ok(Some(format!(
                "after it was compacted and defragmented, {} of {} bytes are still in use: delete objects that nobody needs, \
                 which etcd still lets through, or make volumeSize of its members larger, update the cluster and replace the \
                 masters; then order it again",
                full.size.in_use, full.size.quota
            )));
        }
        members::disarm(own, etcd, &looked).await?;
        tracing::warn!(etcd = etcd.name, "the alarm of etcd was cleared");
        Ok(None)
    }
}

/// Which member is next, of those that are due: the leader after all others.
fn next(members: &[Member], leader: u64, is_due: impl Fn(&Member) -> bool) -> Option<&Member> {
    members.iter().filter(|member| is_due(member)).min_by_key(|member| (member.id == leader, member.id))
}

/// Whether so much of a file is free that it is worth it: half of a large one, or a tenth of one that is nearly full.
fn is_worth_it(member: &Member) -> bool {
    let size = &member.size;
    let free = size.bytes.saturating_sub(size.in_use);
    let is_half_empty = size.bytes >= SMALL && free * 2 >= size.bytes;
    let is_nearly_full = size.quota > 0 && size.bytes * 10 >= size.quota * 8;
    is_half_empty || (is_nearly_full && free * 10 >= size.bytes)
}

#[cfg(test)]
mod tests {
    use super::members::Size;
    use super::*;

    const MIB: u64 = 1 << 20;

    fn member(id: u64, bytes: u64, in_use: u64) -> Member {
        let size = Size { bytes: bytes * MIB, in_use: in_use * MIB, quota: 2048 * MIB };
        Member { id, address: Ipv4Addr::LOCALHOST, size }
    }

    #[test]
    fn files_are_written_anew_where_half_is_free_or_where_they_are_nearly_full() {
        let table = [
            (100, 1, false),
            (256, 200, false),
            (256, 128, true),
            (1000, 501, false),
            (1700, 1600, false),
            (1700, 1500, true),
        ];
        for (bytes, in_use, expected) in table {
            assert_eq!(is_worth_it(&member(1, bytes, in_use)), expected, "{in_use} of {bytes}");
        }
    }

    #[test]
    fn the_leader_is_the_last() {
        let members = [member(1, 1, 1), member(2, 1, 1), member(3, 1, 1)];
        let mut done = Vec::new();
        while let Some(member) = next(&members, 1, |member| !done.contains(&member.id)) {
            done.push(member.id);
        }
        assert_eq!(done, [2, 3, 1]);
    }
}
