//! Clearing the alarms of a cluster's etcd, which masters do when the state orders it ([`windlass_bootstrap::etcd_upkeep`]).
//!
//! What masters report is all that is known here: their etcd is reached by nobody else. So the alarms are those of their reports,
//! and what came of an order is in them, too.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use windlass_bootstrap::config::CONFIG_VERSION;
use windlass_bootstrap::etcd_upkeep::{AlarmKind, EtcdAlarm, Order};

use super::sleep::Machines;
use super::{Located, OperationError};
use crate::health::observe;
use crate::state::{ClusterState, Holder};

/// How long masters may take: a large etcd is compacted and defragmented in minutes, one member after the other.
const LIMIT: Duration = Duration::from_mins(15);
/// How often it is looked for what they report.
const PAUSE: Duration = Duration::from_secs(3);

/// The alarms that masters report, each by the instance that reports it.
pub type Alarms = BTreeMap<String, Vec<EtcdAlarm>>;

/// The alarms of a cluster's etcd.
#[derive(Debug)]
pub struct EtcdAlarms<'a> {
    state: &'a ClusterState,
    located: &'a Located,
}

impl<'a> EtcdAlarms<'a> {
    /// Those of this cluster.
    pub fn of(state: &'a ClusterState, located: &'a Located) -> Self {
        Self { state, located }
    }

    /// What masters report now.
    ///
    /// # Errors
    ///
    /// Fails with what AWS or the state said.
    pub async fn look(&self) -> Result<Alarms, OperationError> {
        let fleet = Machines::of(self.state, self.located).look().await?;
        let masters = fleet.instances.into_iter().filter(|instance| instance.is_master);
        let masters: Vec<String> = masters.map(|instance| instance.id).collect();
        self.reported(&masters).await
    }

    async fn reported(&self, masters: &[String]) -> Result<Alarms, OperationError> {
        self.state.store().forget();
        let reports = observe::reports(self.state.store(), self.state.name(), masters).await?;
        let alarms = reports.into_iter().map(|(instance, status)| (instance, status.etcd_alarms));
        Ok(alarms.filter(|(_, alarms)| !alarms.is_empty()).collect())
    }

    /// Orders to clear them. Needs the lease.
    ///
    /// # Errors
    ///
    /// Fails with what the state said.
    pub async fn order(&self, command: &str) -> Result<Order, OperationError> {
        let holder = Holder::this_process(command);
        let order = Order {
            version: CONFIG_VERSION.to_owned(),
            cluster: self.state.name().to_owned(),
            ordered: Timestamp::now(),
            by: format!("{}@{}", holder.user, holder.host),
        };
        self.state.order_etcd_upkeep(&order).await?;
        Ok(order)
    }

    /// Waits until none is left that says that there is no room. `before` is what was reported before the order.
    ///
    /// # Errors
    ///
    /// Fails where there is no room for what is in use, where masters don't clear it, and with what the state said.
    pub async fn cleared(&self, before: &Alarms) -> Result<(), OperationError> {
        let (begun, masters): (_, Vec<String>) = (Instant::now(), before.keys().cloned().collect());
        loop {
            let now = self.reported(&masters).await?;
            let left: Vec<&EtcdAlarm> = of_no_space(&now).collect();
            if left.is_empty() {
                return Ok(());
            }
            // What an earlier order came to stands there until this one is done.
            let known: Vec<&EtcdAlarm> = of_no_space(before).collect();
            let is_new = |alarm: &&&EtcdAlarm| {
                alarm.note.is_some() && known.iter().all(|before| before.note != alarm.note)
            };
            let told = left.iter().find(is_new);
            if let Some(EtcdAlarm { etcd, note: Some(note), .. }) = told {
                return Err(self.failure(format!("etcd {etcd}: {note}")));
            }
            if begun.elapsed() > LIMIT {
                let told = left.iter().find_map(|alarm| alarm.note.clone());
                return Err(self.failure(told.unwrap_or_else(|| {
                    format!("masters have not cleared it within {} s", LIMIT.as_secs())
                })));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn failure(&self, why: String) -> OperationError {
        OperationError::AlarmStays { cluster: self.state.name().to_owned(), why }
    }
}

/// The alarms that an order clears.
pub fn of_no_space(alarms: &Alarms) -> impl Iterator<Item = &EtcdAlarm> {
    alarms.values().flatten().filter(|alarm| alarm.kind == AlarmKind::NoSpace)
}
