//! Restoring a cluster from a backup, which masters do when the state orders it ([`windlass_bootstrap::restore`]).
//!
//! All that can be known is checked before anything is stopped: the backup is fetched and compared with what it should be. Then
//! the order is written, etcd's volumes that are gone are made anew (which an update never does), and the order goes on from
//! phase to phase, each time when all masters have answered. Who is killed in between goes on from the order that is there.

pub mod chosen;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use windlass_bootstrap::backup::{self, Backup, Proof};
use windlass_bootstrap::config::CONFIG_VERSION;
use windlass_bootstrap::keys;
use windlass_bootstrap::restore::{Order, Phase, Source};

use self::chosen::{Refused, Wanted, check_description, check_snapshot};
use super::planning::observe;
use super::sleep::Machines;
use super::{Located, OperationError, SettledUpdate, Stop};
use crate::apply::Event;
use crate::apply::Summary;
use crate::cloud::fleet::State;
use crate::cloud::volume::Volume;
use crate::cloud::{Kind, ResourceId, Strangers};
use crate::spec::Documents;
use crate::spec::cluster::Cluster;
use crate::state::backups::ListedBackup;
use crate::state::object::Version;
use crate::state::restores::Answers;
use crate::state::{ClusterState, Holder};

/// How long masters may take to stop: they ask every ten seconds, and pods have half a minute to end.
const STOP_LIMIT: Duration = Duration::from_mins(10);
/// How long they may take to restore: machines that are gone are launched and boot meanwhile.
const RESTORE_LIMIT: Duration = Duration::from_mins(25);
/// How often it is looked for answers.
const PAUSE: Duration = Duration::from_secs(2);

/// Hears of what is done, in a line each.
pub type Listen<'a> = &'a dyn Fn(&str);

/// A backup that was found.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Where it is.
    pub listed: ListedBackup,
    /// What it is.
    pub backup: Backup,
    /// Whether it could be restored when somebody tried.
    pub proof: Option<Proof>,
    /// Newer ones that are known to be bad, and were passed over.
    pub passed_over: Vec<ListedBackup>,
}

/// Finds the backup that is wanted. One that is known to be bad is taken only where it is asked for by its name.
///
/// # Errors
///
/// Fails where there is none, and with what the state said.
pub async fn choose(state: &ClusterState, wanted: Wanted) -> Result<Chosen, OperationError> {
    let all = state.backups().await?;
    let mut passed_over = Vec::new();
    for listed in wanted.candidates(&all) {
        let (Some(backup), proof) = state.backup(listed).await? else { continue };
        let is_bad = proof.as_ref().is_some_and(|proof| proof.failure.is_some());
        if is_bad && !matches!(wanted, Wanted::Id(_)) {
            passed_over.push(listed.clone());
            continue;
        }
        return Ok(Chosen { listed: listed.clone(), backup, proof, passed_over });
    }
    Err(Refused::None { cluster: state.name().to_owned(), wanted }.into())
}

impl Chosen {
    /// Checks all of it: what it says of itself, and every byte.
    ///
    /// # Errors
    ///
    /// Fails where it can't be restored into this cluster, and with what the state said.
    pub async fn check(&self, state: &ClusterState, cluster: &Cluster) -> Result<(), OperationError> {
        check_description(&self.listed, &self.backup, cluster)?;
        let id = self.listed.id;
        for (etcd, snapshot) in &self.backup.etcd {
            let key = self.key(state.name(), etcd);
            let Some(found) = state.store().get(&key).await? else {
                return Err(Refused::Lost { id, key }.into());
            };
            let checked = check_snapshot(snapshot, &found.bytes);
            // It may be large, and nobody reads it again.
            state.store().forget();
            checked.map_err(|why| Refused::Damaged { id, key, why })?;
        }
        Ok(())
    }

    fn key(&self, cluster: &str, etcd: &str) -> String {
        let file = backup::snapshot(etcd, &self.backup.etcd[etcd].sha256);
        keys::backup(cluster, self.listed.class, self.listed.id, &file)
    }

    /// The order to restore it.
    pub fn order(&self, cluster: &Cluster, generation: u64, command: &str) -> Order {
        let holder = Holder::this_process(command);
        let source = |etcd: &crate::spec::cluster::EtcdCluster| {
            let members = etcd.members.iter().map(|member| (member.name.clone(), member.private_address));
            let source = Source {
                key: self.key(&cluster.name, &etcd.name),
                snapshot: self.backup.etcd[&etcd.name].clone(),
                members: members.collect(),
            };
            (etcd.name.clone(), source)
        };
        Order {
            version: CONFIG_VERSION.to_owned(),
            cluster: cluster.name.clone(),
            generation,
            backup: self.listed.id,
            class: self.listed.class,
            phase: Phase::Stop,
            etcd: cluster.etcd.iter().map(source).collect(),
            ordered: Timestamp::now(),
            by: format!("{}@{}", holder.user, holder.host),
        }
    }
}

/// A restore of a cluster.
#[derive(Debug)]
pub struct Restore<'a> {
    state: &'a ClusterState,
    located: &'a Located,
    cluster: &'a Cluster,
}

impl<'a> Restore<'a> {
    /// A restore of this cluster.
    pub fn of(state: &'a ClusterState, located: &'a Located, cluster: &'a Cluster) -> Self {
        Self { state, located, cluster }
    }

    /// The volumes of etcd that aren't there, by name.
    ///
    /// # Errors
    ///
    /// Fails with what AWS said.
    pub async fn lost_volumes(&self) -> Result<Vec<String>, OperationError> {
        let observed = observe(self.located, self.state, Strangers::Ignore).await?;
        let members = self.cluster.etcd.iter().flat_map(|etcd| {
            etcd.members.iter().map(|it| Volume::name_of(&it.name, &etcd.name, &self.cluster.name))
        });
        Ok(members.filter(|name| !observed.0.contains_key(&ResourceId::new(Kind::Volume, name))).collect())
    }

    /// Orders the restore of a backup, or goes on with the one that is under way. Needs the lease.
    ///
    /// # Errors
    ///
    /// Fails where another one is under way, and with what the state said.
    pub async fn order(&self, chosen: Option<&Chosen>, command: &str) -> Result<Ordered, OperationError> {
        let last = self.state.restore_order().await?;
        match (last, chosen) {
            (Some((order, version)), chosen) if order.is_under_way() => {
                if chosen.is_some_and(|chosen| chosen.listed.id != order.backup) {
                    let (cluster, id) = (self.cluster.name.clone(), order.backup);
                    return Err(Refused::UnderWay { cluster, id }.into());
                }
                Ok(Ordered { order, version })
            }
            (last, Some(chosen)) => {
                let generation = last.as_ref().map_or(0, |(last, _)| last.generation) + 1;
                let order = chosen.order(self.cluster, generation, command);
                let read = last.as_ref().map(|(_, version)| version);
                let version = self.state.write_restore_order(&order, read).await?;
                Ok(Ordered { order, version })
            }
            (_, None) => {
                let cluster = self.cluster.name.clone();
                Err(Refused::None { cluster, wanted: Wanted::Latest }.into())
            }
        }
    }

    /// Makes the volumes anew that are gone, with all else that the specification asks for. Needs the lease, and the order:
    /// until a master knows that a blank volume is to be restored, it doesn't touch it.
    ///
    /// # Errors
    ///
    /// As an update.
    pub async fn remake_volumes(
        &self,
        ordered: &Ordered,
        documents: &Documents,
        stop: &Stop,
        listen: &dyn Fn(Event<'_>),
    ) -> Result<Summary, OperationError> {
        let update = Box::pin(SettledUpdate::prepare_with_new_volumes(
            self.state,
            documents,
            ordered.order.generation,
        ))
        .await?;
        Box::pin(update.apply(self.state, stop, listen)).await
    }

    /// Goes on with an order until all members are restored. Needs the lease.
    ///
    /// # Errors
    ///
    /// Fails where masters don't answer, and with what the state or AWS said.
    pub async fn carry_out(&self, mut ordered: Ordered, listen: Listen<'_>) -> Result<Order, OperationError> {
        if ordered.order.phase == Phase::Stop {
            self.wait("stop", STOP_LIMIT, &ordered, listen, async |answers| {
                Ok(self.running_masters().await?.difference(&answers.stopped).cloned().collect())
            })
            .await?;
            ordered = self.go_on(ordered, Phase::Restore).await?;
            listen("  all masters have stopped: they restore etcd");
        }
        if ordered.order.phase == Phase::Restore {
            let members = ordered.order.etcd.iter().flat_map(|(etcd, source)| {
                source.members.keys().map(|member| (etcd.clone(), member.clone()))
            });
            let members: BTreeSet<(String, String)> = members.collect();
            self.wait("restore", RESTORE_LIMIT, &ordered, listen, async |answers| {
                let left = members.difference(&answers.restored);
                Ok(left.map(|(etcd, member)| format!("member {member} of etcd {etcd}")).collect())
            })
            .await?;
            ordered = self.go_on(ordered, Phase::Done).await?;
            listen("  all members of etcd are restored: masters start");
        }
        Ok(ordered.order)
    }

    /// Gives up a restore for which nothing has been restored yet: masters go on with what they have. Needs the lease.
    ///
    /// # Errors
    ///
    /// Fails where masters may have restored data, and with what the state said.
    pub async fn give_up(&self) -> Result<Option<Order>, OperationError> {
        let Some((order, version)) = self.state.restore_order().await? else { return Ok(None) };
        match order.phase {
            Phase::Stop => Ok(Some(self.go_on(Ordered { order, version }, Phase::Abandoned).await?.order)),
            Phase::Restore => {
                Err(Refused::TooLate { cluster: self.cluster.name.clone(), id: order.backup }.into())
            }
            Phase::Done | Phase::Abandoned => Ok(None),
        }
    }

    async fn go_on(&self, ordered: Ordered, phase: Phase) -> Result<Ordered, OperationError> {
        let order = Order { phase, ..ordered.order };
        let version = self.state.write_restore_order(&order, Some(&ordered.version)).await?;
        Ok(Ordered { order, version })
    }

    async fn running_masters(&self) -> Result<BTreeSet<String>, OperationError> {
        let fleet = Machines::of(self.state, self.located).look().await?;
        let running = fleet.instances.into_iter();
        let running = running.filter(|instance| instance.is_master && instance.state == State::Running);
        Ok(running.map(|instance| instance.id).collect())
    }

    /// Waits until nobody is left.
    async fn wait(
        &self,
        what: &'static str,
        limit: Duration,
        ordered: &Ordered,
        listen: Listen<'_>,
        left: impl AsyncFn(&Answers) -> Result<Vec<String>, OperationError>,
    ) -> Result<(), OperationError> {
        let (begun, mut said) = (Instant::now(), Vec::new());
        loop {
            let answers = self.state.restore_answers(ordered.order.generation).await?;
            let left = left(&answers).await?;
            if left.is_empty() {
                return Ok(());
            }
            if left != said {
                listen(&format!(
                    "{:>5}s  waiting for {} to {what}",
                    begun.elapsed().as_secs(),
                    left.join(", ")
                ));
                said.clone_from(&left);
            }
            if begun.elapsed() > limit {
                return Err(OperationError::NotRestored {
                    cluster: self.cluster.name.clone(),
                    what,
                    left,
                    limit,
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// An order in the state.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// What it says.
    pub order: Order,
    version: Version,
}
