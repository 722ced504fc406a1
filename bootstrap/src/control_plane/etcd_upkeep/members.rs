//! The members of an etcd cluster, as they are seen and asked one by one.

use std::net::Ipv4Addr;
use std::time::Duration;

use etcd_client::{
    AlarmAction, AlarmOptions, AlarmType, Client, CompactionOptions, ResponseHeader, StatusResponse,
};

use crate::aws::state::StateError;
use crate::contract::config::{DocumentError, EtcdConfig};
use crate::contract::etcd_upkeep::{AlarmKind, Order};
use crate::control_plane::etcd_client::EtcdClientError;

/// How long a member may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a compaction or a defragmentation may take: of the largest database, on a slow volume.
const WORK: Duration = Duration::from_mins(5);
/// How far a member may be behind the leader, in entries: it takes those up in a moment.
const BEHIND: u64 = 1000;

/// Why etcd wasn't looked after.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    /// A member can't be reached.
    #[error(transparent)]
    Client(#[from] EtcdClientError),
    /// It said no.
    #[error("etcd {etcd} did not {what}")]
    Etcd {
        /// The etcd cluster.
        etcd: String,
        /// What was asked.
        what: &'static str,
        /// What it said.
        #[source]
        source: Box<etcd_client::Error>,
    },
    /// It said nothing.
    #[error("etcd {etcd} did not {what} within {} s", limit.as_secs())]
    Late {
        /// The etcd cluster.
        etcd: String,
        /// What was asked.
        what: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// A member is missing.
    #[error("no member of etcd {etcd} is defragmented: {why}")]
    NotAll {
        /// The etcd cluster.
        etcd: String,
        /// Which member, and what about it.
        why: String,
    },
    /// Another member leads now.
    #[error("another member of etcd {0} leads now, and its master goes on")]
    LeaderChanged(String),
    /// The state.
    #[error("the order to clear etcd's alarms can't be read")]
    State(#[source] StateError),
    /// It isn't one.
    #[error("the order to clear etcd's alarms can't be understood")]
    Order(#[source] DocumentError),
}

/// How a master reaches members of its etcd, and learns what the state orders.
pub trait Reach: Sync {
    /// Connects to the member at an address, which is 127.0.0.1 for this master's own.
    fn connect(
        &self,
        etcd: &EtcdConfig,
        address: Ipv4Addr,
    ) -> impl Future<Output = Result<Client, EtcdClientError>> + Send;

    /// The last order.
    fn order(&self) -> impl Future<Output = Result<Option<Order>, UpkeepError>> + Send;
}

/// How large a member's database is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// The file.
    pub(super) bytes: u64,
    /// What of it is in use.
    pub(super) in_use: u64,
    /// How large it may become; 0 where etcd doesn't say it, which is before 3.6.
    pub(super) quota: u64,
}

impl Size {
    fn of(status: &StatusResponse) -> Self {
        let bytes = |number: i64| u64::try_from(number).unwrap_or_default();
        Self {
            bytes: bytes(status.db_size()),
            in_use: bytes(status.raft_used_db_size()),
            quota: bytes(status.db_size_quota()),
        }
    }

    /// Whether the alarm would be raised again before long.
    pub(super) fn is_full(&self) -> bool {
        self.quota > 0 && self.bytes.saturating_mul(100) >= self.quota.saturating_mul(95)
    }
}

/// An etcd cluster, as one of its members sees it.
#[derive(Debug)]
pub(super) struct Looked {
    own: u64,
    pub(super) leader: u64,
    applied: u64,
    pub(super) size: Size,
    pub(super) alarms: Vec<(u64, AlarmKind)>,
    members: Vec<(u64, String, bool)>,
}

impl Looked {
    /// Asks a member.
    pub(super) async fn at(client: &mut Client, etcd: &EtcdConfig) -> Result<Self, UpkeepError> {
        let status = answer(etcd, "say how it is", ANSWER, client.status()).await?;
        let alarms = client.alarm(AlarmAction::Get, AlarmType::None, None);
        let alarms = answer(etcd, "list its alarms", ANSWER, alarms).await?;
        let members = answer(etcd, "list its members", ANSWER, client.member_list()).await?;
        Ok(Self {
            own: status.header().map(ResponseHeader::member_id).unwrap_or_default(),
            leader: status.leader(),
            applied: status.raft_applied_index(),
            size: Size::of(&status),
            alarms: alarms.alarms().iter().map(|it| (it.member_id(), kind(it.alarm()))).collect(),
            members: members
                .members()
                .iter()
                .map(|it| (it.id(), it.name().to_owned(), it.is_learner()))
                .collect(),
        })
    }

    /// Whether this member leads.
    pub(super) fn leads(&self) -> bool {
        self.leader != 0 && self.leader == self.own
    }

    /// The name of a member.
    pub(super) fn name_of(&self, id: u64) -> String {
        let named = self.members.iter().find(|(known, name, _)| *known == id && !name.is_empty());
        named.map_or_else(|| format!("{id:x}"), |(_, name, _)| name.clone())
    }
}

fn kind(alarm: AlarmType) -> AlarmKind {
    match alarm {
        AlarmType::Nospace => AlarmKind::NoSpace,
        AlarmType::Corrupt => AlarmKind::Corrupt,
        AlarmType::None => AlarmKind::Other,
    }
}

/// A member that answers.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) address: Ipv4Addr,
    pub(super) size: Size,
}

impl Member {
    /// All members of a cluster. Fails unless each of them is there, has caught up, and agrees who leads.
    pub(super) async fn all(
        reach: &impl Reach,
        etcd: &EtcdConfig,
        looked: &Looked,
    ) -> Result<Vec<Self>, UpkeepError> {
        let not_all = |why: String| UpkeepError::NotAll { etcd: etcd.name.clone(), why };
        if looked.members.len() != etcd.members.len() {
            let (known, wanted) = (looked.members.len(), etcd.members.len());
            return Err(not_all(format!("it has {known} members of {wanted}")));
        }
        let mut members = Vec::new();
        for (id, name, is_learner) in &looked.members {
            let Some(address) = etcd.members.get(name) else {
                return Err(not_all(format!("member {id:x} has not started yet")));
            };
            if *is_learner {
                return Err(not_all(format!("member {name} still learns what the others have")));
            }
            let address = if *name == etcd.member { Ipv4Addr::LOCALHOST } else { *address };
            let mut client = reach.connect(etcd, address).await?;
            let status = answer(etcd, "say how it is", ANSWER, client.status()).await?;
            if status.leader() != looked.leader {
                return Err(not_all(format!("member {name} follows another leader")));
            }
            if status.raft_applied_index() + BEHIND < looked.applied {
                return Err(not_all(format!("member {name} is behind")));
            }
            members.push(Self { id: *id, address, size: Size::of(&status) });
        }
        Ok(members)
    }

    /// Writes its file anew. Until that is done it answers nothing.
    pub(super) async fn defragment(&self, reach: &impl Reach, etcd: &EtcdConfig) -> Result<(), UpkeepError> {
        let begun = std::time::Instant::now();
        let mut client = reach.connect(etcd, self.address).await?;
        answer(etcd, "defragment its file", WORK, client.defragment()).await?;
        let after = answer(etcd, "say how it is", ANSWER, client.status()).await?;
        let (seconds, bytes) = (begun.elapsed().as_secs_f64(), after.db_size());
        let (etcd, before) = (&etcd.name, self.size.bytes);
        tracing::info!(etcd, member = format!("{:x}", self.id), before, bytes, seconds, "defragmented");
        Ok(())
    }
}

/// Forgets the history of an etcd cluster up to now, and waits until that has made room.
pub(super) async fn compact(client: &mut Client, etcd: &EtcdConfig) -> Result<(), UpkeepError> {
    let now = answer(etcd, "say its revision", ANSWER, client.get("windlass", None)).await?;
    let revision = now.header().map(ResponseHeader::revision).unwrap_or_default();
    let options = CompactionOptions::new().with_physical();
    match answer(etcd, "compact its history", WORK, client.compact(revision, Some(options))).await {
        // Somebody has compacted it meanwhile, perhaps the API server.
        Err(UpkeepError::Etcd { source, .. }) if source.to_string().contains("has been compacted") => Ok(()),
        compacted => compacted.map(drop),
    }
}

/// Disarms the alarms that say that there is no room.
pub(super) async fn disarm(
    client: &mut Client,
    etcd: &EtcdConfig,
    looked: &Looked,
) -> Result<(), UpkeepError> {
    for (member, _) in looked.alarms.iter().filter(|(_, kind)| *kind == AlarmKind::NoSpace) {
        let mut options = AlarmOptions::new();
        options.with_member(*member);
        let disarmed = client.alarm(AlarmAction::Deactivate, AlarmType::Nospace, Some(options));
        answer(etcd, "disarm its alarm", ANSWER, disarmed).await?;
    }
    Ok(())
}

/// What a member answers, if it does so in time.
async fn answer<T>(
    etcd: &EtcdConfig,
    what: &'static str,
    limit: Duration,
    asked: impl Future<Output = Result<T, etcd_client::Error>>,
) -> Result<T, UpkeepError> {
    let name = || etcd.name.clone();
    match tokio::time::timeout(limit, asked).await {
        Ok(Ok(answered)) => Ok(answered),
        Ok(Err(source)) => Err(UpkeepError::Etcd { etcd: name(), what, source: Box::new(source) }),
        Err(_) => Err(UpkeepError::Late { etcd: name(), what, limit }),
    }
}
