//! Stopping all machines of a cluster, and starting them again: volumes and addresses are kept, and what costs by the hour
//! doesn't run.
//!
//! Each group is marked as stopped before the first of its instances is ([`Stopped`]), so that Auto Scaling neither replaces
//! them nor launches others, every other command knows why, and who is killed in between can go on. Nodes stop before
//! masters, and masters start before nodes: pods end while there is an API that hears of it. What is in a group's mark is
//! resumed when its instances run again, and nothing else.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;

use super::{Located, OperationError};
use crate::aws::retry::Patience;
use crate::cloud::auto_scaling_group::stopped::Stopped;
use crate::cloud::fleet::{self, Fleet, Instance, State};
use crate::cloud::{self, CloudError, Departures, Identities, Strangers};
use crate::state::ClusterState;

/// How long instances may take. EC2 gives one that hangs while it shuts down up to a quarter of an hour.
const LIMIT: Duration = Duration::from_mins(20);

/// How many groups are changed at once: Auto Scaling lets few such calls through in a second.
const GROUPS: usize = 4;

/// Hears of what is done, in a line each.
pub type Listen<'a> = &'a dyn Fn(&str);

/// What stopping a cluster does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToStop {
    /// The groups that are marked as stopped.
    pub groups: Vec<String>,
    /// The instances that are stopped.
    pub stopped: Vec<Instance>,
    /// The instances that are ended, because EC2 can't stop them; starting launches others.
    pub ended: Vec<Instance>,
}

impl ToStop {
    /// What is to do in a fleet.
    pub fn of(fleet: &Fleet) -> Self {
        let unmarked = fleet.groups.iter().filter(|group| needs_mark(group));
        let running = fleet.instances.iter().filter(|instance| instance.state != State::Stopped).cloned();
        let (ended, mut stopped): (_, Vec<Instance>) = running.partition(|instance| instance.is_spot);
        // As it is done.
        stopped.sort_by_key(|instance| instance.is_master);
        Self { groups: unmarked.map(|group| group.name.clone()).collect(), stopped, ended }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What starting a cluster does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToStart {
    /// The groups whose processes are resumed, with their marks.
    pub groups: Vec<(String, Stopped)>,
    /// The instances that are started: those of such groups, but for the ones that a warm pool keeps stopped.
    pub started: Vec<Instance>,
}

impl ToStart {
    /// What is to do in a fleet.
    pub fn of(fleet: &Fleet) -> Self {
        let marked =
            fleet.groups.iter().filter_map(|group| Some((group.name.clone(), group.stopped.clone()?)));
        let started = sleepers(fleet).filter(|instance| instance.state != State::Running).cloned();
        let mut started: Vec<Instance> = started.collect();
        started.sort_by_key(|instance| !instance.is_master);
        Self { groups: marked.collect(), started }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

/// Whether a group isn't marked yet, or was marked by one who was killed before it had suspended everything.
fn needs_mark(group: &fleet::Group) -> bool {
    let is_going = |stopped: &Stopped| stopped.processes.iter().any(|process| group.going.contains(process));
    group.stopped.as_ref().is_none_or(is_going)
}

/// The instances of groups that are stopped, but for those that a warm pool keeps so.
fn sleepers(fleet: &Fleet) -> impl Iterator<Item = &Instance> {
    let is_marked =
        |name: &str| fleet.groups.iter().any(|group| group.name == name && group.stopped.is_some());
    fleet.instances.iter().filter(move |instance| is_marked(&instance.group) && !instance.is_pooled)
}

/// A cluster whose machines are stopped or started.
#[derive(Debug)]
pub struct Machines<'a> {
    state: &'a ClusterState,
    located: &'a Located,
}

impl<'a> Machines<'a> {
    /// The machines of a cluster.
    pub fn of(state: &'a ClusterState, located: &'a Located) -> Self {
        Self { state, located }
    }

    /// Looks at them.
    ///
    /// # Errors
    ///
    /// Fails with what AWS said.
    pub async fn look(&self) -> Result<Fleet, OperationError> {
        let what = format!("the machines of `{}`", self.state.name());
        self.with(async |context| fleet::look(context).await).await.map_err(OperationError::look(what))
    }

    /// Stops all of them, as it is at `now`. Needs the lease. Run again, it goes on.
    ///
    /// # Errors
    ///
    /// Fails with what AWS said, and where instances don't stop.
    pub async fn stop(&self, now: Timestamp, listen: Listen<'_>) -> Result<(), OperationError> {
        let found = self.look().await?;
        let marking = found.groups.iter().filter(|group| needs_mark(group)).map(async |group| {
            let stopped =
                group.stopped.clone().unwrap_or_else(|| Stopped::now(now, &group.suspended_by_others));
            self.act(async |context| fleet::stop_group(context, group, &stopped).await).await?;
            listen(&format!("  suspended {}", group.name));
            Ok::<(), OperationError>(())
        });
        stream::iter(marking).buffer_unordered(GROUPS).try_collect::<()>().await?;
        for masters in [false, true] {
            self.settle(State::Stopped, masters, listen).await?;
        }
        Ok(())
    }

    /// Starts those that were stopped. Needs the lease. Run again, it goes on.
    ///
    /// # Errors
    ///
    /// Fails with what AWS said, and where instances don't start.
    pub async fn start(&self, listen: Listen<'_>) -> Result<(), OperationError> {
        for masters in [true, false] {
            self.settle(State::Running, masters, listen).await?;
        }
        let found = self.look().await?;
        let resuming = found.groups.iter().filter_map(|group| Some((group, group.stopped.as_ref()?)));
        let resuming = resuming.map(async |(group, stopped)| {
            self.act(async |context| fleet::start_group(context, group, stopped).await).await?;
            listen(&format!("  resumed {}", group.name));
            Ok::<(), OperationError>(())
        });
        stream::iter(resuming).buffer_unordered(GROUPS).try_collect::<()>().await
    }

    /// Brings masters, or all others, to a state, and waits until they are there. What EC2 shows as changing is waited for: an
    /// instance that is just being launched can't be stopped, nor one started that is stopping.
    async fn settle(&self, state: State, masters: bool, listen: Listen<'_>) -> Result<(), OperationError> {
        let mut asked = BTreeSet::new();
        let mut pauses = Patience::of(LIMIT).pauses();
        loop {
            let found = self.look().await?;
            let left: Vec<&Instance> = sleepers(&found)
                .filter(|instance| instance.is_master == masters && instance.state != state)
                .collect();
            if left.is_empty() {
                return Ok(());
            }
            let new: Vec<&Instance> = left
                .iter()
                .copied()
                .filter(|instance| instance.state != State::Changing && !asked.contains(&instance.id))
                .collect();
            self.ask(state, &new, listen).await?;
            asked.extend(new.iter().map(|instance| instance.id.clone()));
            let Some(pause) = pauses.next() else {
                let left = left.iter().map(|instance| instance.id.clone()).collect();
                return Err(OperationError::Unsettled {
                    cluster: self.state.name().to_owned(),
                    left,
                    limit: LIMIT,
                });
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask(
        &self,
        state: State,
        instances: &[&Instance],
        listen: Listen<'_>,
    ) -> Result<(), OperationError> {
        let ids = |is_spot: bool| -> Vec<String> {
            let those = instances.iter().filter(|instance| instance.is_spot == is_spot);
            those.map(|instance| instance.id.clone()).collect()
        };
        let all: Vec<String> = instances.iter().map(|instance| instance.id.clone()).collect();
        if state == State::Running {
            self.act(async |context| fleet::start_instances(context, &all).await).await?;
        } else {
            self.act(async |context| fleet::stop_instances(context, &ids(false)).await).await?;
            self.act(async |context| fleet::terminate_instances(context, &ids(true)).await).await?;
        }
        for instance in instances {
            let done = match (state, instance.is_spot) {
                (State::Running, _) => "started",
                (_, true) => "ended",
                (_, false) => "stopped",
            };
            listen(&format!("  {done} {} ({})", instance.id, instance.group));
        }
        Ok(())
    }

    async fn act(
        &self,
        act: impl AsyncFnOnce(&cloud::Context<'_>) -> Result<(), CloudError>,
    ) -> Result<(), OperationError> {
        let failed = |source| OperationError::Machines { cluster: self.state.name().to_owned(), source };
        self.with(act).await.map_err(failed)
    }

    /// Every changing call asks before whether the lease is held.
    async fn with<T>(
        &self,
        act: impl AsyncFnOnce(&cloud::Context<'_>) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        let clients = self.located.clients.gated(self.state.store().permit(self.state.name()));
        let (owner, ids, departures) =
            (self.located.owner(self.state), Identities::default(), Departures::default());
        let context = cloud::Context {
            strangers: Strangers::Ignore,
            ..cloud::Context::new(&clients, self.state.store(), &owner, &ids, &departures)
        };
        act(&context).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::fleet::Group;

    fn group(name: &str, stopped: Option<Stopped>, going: &[&str]) -> Group {
        Group {
            name: name.to_owned(),
            stopped,
            suspended_by_specification: BTreeSet::new(),
            suspended_by_others: BTreeSet::new(),
            going: going.iter().map(|process| (*process).to_owned()).collect(),
        }
    }

    fn instance(id: &str, group: &str, state: State) -> Instance {
        Instance {
            id: id.to_owned(),
            group: group.to_owned(),
            state,
            is_master: false,
            is_spot: false,
            is_pooled: false,
            runs_api_server: false,
            image: "ami-1".to_owned(),
        }
    }

    fn mark() -> Stopped {
        Stopped::now(Timestamp::UNIX_EPOCH, &BTreeSet::new())
    }

    #[test]
    fn spot_instances_are_ended_and_what_is_stopped_already_is_left_alone() {
        let spot = Instance { is_spot: true, ..instance("i-2", "a", State::Running) };
        let fleet = Fleet {
            groups: vec![group("a", None, &["Launch"]), group("b", Some(mark()), &[])],
            instances: vec![
                instance("i-1", "a", State::Running),
                spot.clone(),
                instance("i-3", "b", State::Stopped),
            ],
        };
        let to_stop = ToStop::of(&fleet);
        assert_eq!(to_stop.groups, ["a"]);
        assert_eq!(to_stop.stopped, [instance("i-1", "a", State::Running)]);
        assert_eq!(to_stop.ended, [spot]);
        assert!(
            ToStop::of(&Fleet { groups: vec![group("b", Some(mark()), &[])], instances: vec![] }).is_empty()
        );
    }

    #[test]
    fn a_group_that_was_marked_and_still_launches_is_suspended_when_it_is_stopped_again() {
        let fleet = Fleet { groups: vec![group("a", Some(mark()), &["Launch"])], instances: vec![] };
        assert_eq!(ToStop::of(&fleet).groups, ["a"]);
    }

    #[test]
    fn what_a_warm_pool_keeps_stopped_and_groups_that_nobody_stopped_are_not_started() {
        let pooled = Instance { is_pooled: true, ..instance("i-2", "a", State::Stopped) };
        let fleet = Fleet {
            groups: vec![group("a", Some(mark()), &[]), group("b", None, &["Launch"])],
            instances: vec![
                instance("i-1", "a", State::Stopped),
                pooled,
                instance("i-3", "b", State::Stopped),
                instance("i-4", "a", State::Running),
            ],
        };
        let to_start = ToStart::of(&fleet);
        assert_eq!(to_start.started, [instance("i-1", "a", State::Stopped)]);
        assert_eq!(to_start.groups.len(), 1);
        assert!(ToStart::of(&Fleet { groups: vec![group("b", None, &[])], ..fleet }).is_empty());
    }
}
