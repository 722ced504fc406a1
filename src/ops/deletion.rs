//! What there is of a cluster, and its end: everything in AWS, what controllers made too, and then the state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::planning::{observe, run_id};
use super::{Located, OperationError, RunningCluster, Stop, one_line};
use crate::apply::{self, Event, Run, Summary};
use crate::aws::Clients;
use crate::cloud::by_controllers::{PersistentVolume as Volume, ReclaimMarks};
use crate::cloud::{self, Departures, Identities, Observed, Resource, ResourceId, Strangers, namesakes};
use crate::kube::PersistentVolume;
use crate::model::Desired;
use crate::plan::{Plan, Step};
use crate::state::identity::Whereabouts;
use crate::state::{ClusterState, StateError};

/// How long AWS may go on showing what is deleted.
const FADING: Duration = Duration::from_mins(1);

/// Where the cluster is; nowhere, when nothing of it was ever made. A specification that can't be read must not keep a
/// cluster alive, so it is only asked for the region where nothing else knows that.
pub async fn locate(state: &ClusterState) -> Result<Option<Located>, OperationError> {
    let whereabouts = state.whereabouts().await?;
    let read = state.read().await;
    let region = match (&whereabouts, read) {
        // The `Cluster` goes after all that is in AWS: what is left is in the state.
        (_, Err(StateError::Missing { .. })) if state.is_a_remnant().await? => {
            whereabouts.place().map(|place| place.region.clone())
        }
        (
            _,
            Err(StateError::Damaged(_) | StateError::Malformed { .. } | StateError::Specification { .. }),
        ) if whereabouts.place().is_some() || whereabouts == Whereabouts::Nowhere => {
            whereabouts.place().map(|place| place.region.clone())
        }
        (_, Err(error @ (StateError::Damaged(_) | StateError::Malformed { .. }))) => {
            Some(state.region_amid_damage().await?.ok_or(error)?)
        }
        (Whereabouts::Nowhere, read) => read.map(|_| None)?,
        (_, read) => match whereabouts.place() {
            Some(place) => read.map(|_| Some(place.region.clone()))?,
            None => Some(read?.region()?),
        },
    };
    let Some(region) = region else { return Ok(None) };
    Ok(Some(Located::compare(state, &region, whereabouts).await?))
}

/// How a cluster ends.
#[derive(Debug)]
pub struct PreparedDeletion {
    /// What there is.
    pub observed: Observed,
    /// What is written down before the masters go.
    pub reclaim_marks: Desired,
    /// The steps.
    pub plan: Plan,
    /// Why it isn't known which volumes of PersistentVolumes may go.
    pub unasked: Option<String>,
    /// What shows that another cluster has this name, so that it isn't known whose volumes of PersistentVolumes are.
    pub other: Option<ResourceId>,
}

impl PreparedDeletion {
    /// Looks what there is, what controllers made too, and which volumes of PersistentVolumes go. Changes nothing.
    ///
    /// # Errors
    ///
    /// Fails with what the state or AWS said. That the Kubernetes API can't be asked is no error: volumes are kept then.
    pub async fn look(
        state: &ClusterState,
        located: Option<&Located>,
        all_volumes: bool,
    ) -> Result<Self, OperationError> {
        let Some(located) = located else {
            let (observed, reclaim_marks) = (Observed::default(), Desired::default());
            return Ok(Self { observed, reclaim_marks, plan: Plan::default(), unasked: None, other: None });
        };
        let mut observed = observe(located, state, Strangers::Ignore).await?;
        let (ids, departures, owner) = (Identities::default(), Departures::default(), located.owner(state));
        let cluster = state.name();
        let cloud = cloud::Context {
            strangers: Strangers::Ignore,
            ..cloud::Context::new(&located.clients, state.store(), &owner, &ids, &departures)
        };
        let looked = cloud::observe_for_deletion(&cloud, &mut observed).await;
        looked.map_err(OperationError::look(format!("what controllers made in `{cluster}`")))?;
        let undecided = volumes(&mut observed).any(|(_, volume)| !volume.goes_with_cluster);
        let (mut reclaim_marks, mut unasked, mut other) = (Desired::default(), None, None);
        if volumes(&mut observed).next().is_some() {
            let looked = namesakes::find_other_cluster(&cloud).await;
            other = looked.map_err(OperationError::look(format!("another cluster called `{cluster}`")))?;
        }
        if other.is_some() {
            volumes(&mut observed).for_each(|(_, volume)| volume.goes_with_cluster = false);
        } else if all_volumes {
            volumes(&mut observed).for_each(|(_, volume)| volume.goes_with_cluster = true);
        } else if undecided {
            match ask(state, &located.clients).await {
                Ok(answer) => reclaim_marks = decide(&mut observed, &answer, cluster),
                Err(why) => unasked = Some(why),
            }
        }
        let plan = Plan::deletion(&reclaim_marks, &observed);
        Ok(Self { observed, reclaim_marks, plan, unasked, other })
    }
}

/// An old cluster whose plans don't say where it is may be elsewhere when nothing of it is found: its keys stay.
fn check_known_place(located: &Located, state: &ClusterState) -> Result<(), OperationError> {
    if located.whereabouts().place().is_some() {
        return Ok(());
    }
    Err(OperationError::UnknownPlace {
        cluster: state.name().to_owned(),
        place: located.place().clone(),
        store: state.store().url(),
    })
}

/// Looks again before the keys go: what was deleted may be seen for a moment longer, and anything else is a reason to
/// keep them.
async fn see_that_all_is_gone(
    located: &Located,
    state: &ClusterState,
    deleted: &Observed,
) -> Result<(), OperationError> {
    let aws_ids: BTreeSet<&str> = deleted.0.values().map(|found| found.identity.id.as_str()).collect();
    let deadline = Instant::now() + FADING;
    loop {
        let found = observe(located, state, Strangers::Ignore).await?;
        let left = Plan::deletion(&Desired::default(), &found);
        if left.is_empty() {
            return Ok(());
        }
        let fades = |step: &Step| {
            found.0.get(&step.resource).is_some_and(|found| aws_ids.contains(found.identity.id.as_str()))
        };
        if Instant::now() > deadline || !left.steps.iter().all(fades) {
            let left: Vec<String> = left.steps.iter().map(|step| step.resource.to_string()).collect();
            return Err(OperationError::NotGone { cluster: state.name().to_owned(), left });
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Deletes what was prepared, looks that it is gone, and then deletes the state: as long as anything is left, the state says
/// that there is a cluster, and that `command` has begun to delete it. Needs the lease
/// ([`LeaseGuard::holding_unfinished`](super::LeaseGuard::holding_unfinished)).
///
/// A summary that [isn't complete](Summary::is_complete) leaves the state: the next deletion goes on.
///
/// # Errors
///
/// Fails where it isn't known where an old cluster is, where something is left, and where the state can't be written; what
/// AWS refused is in the summary.
pub async fn carry_out(
    state: &ClusterState,
    located: Option<&Located>,
    prepared: &PreparedDeletion,
    command: &str,
    stop: &Stop,
    listen: &dyn Fn(Event<'_>),
) -> Result<Summary, OperationError> {
    let mut summary = Summary::default();
    if let (Some(located), true) = (located, prepared.plan.is_empty()) {
        check_known_place(located, state)?;
    }
    state.begin_deletion(command).await?;
    if let (Some(located), false) = (located, prepared.plan.is_empty()) {
        summary = apply(state, located, prepared, stop, listen).await;
        if !summary.is_complete() {
            return Ok(summary);
        }
        see_that_all_is_gone(located, state, &prepared.observed).await?;
    }
    state.purge().await?;
    Ok(summary)
}

/// Deletes what is in AWS.
async fn apply(
    state: &ClusterState,
    located: &Located,
    prepared: &PreparedDeletion,
    stop: &Stop,
    listen: &dyn Fn(Event<'_>),
) -> Summary {
    let clients = located.clients.changing_once();
    let PreparedDeletion { plan, reclaim_marks: desired, observed, .. } = prepared;
    let (ids, owner) = (Identities::new(observed), located.owner(state));
    let (departures, run_id) = (Departures::default(), run_id());
    let cloud = cloud::Context {
        strangers: Strangers::Ignore,
        run: &run_id,
        ..cloud::Context::new(&clients, state.store(), &owner, &ids, &departures)
    };
    let run = Run { plan, desired, observed, context: cloud };
    let applying = stop.applying();
    apply::run(run, applying.stop_requested(), listen).await
}

/// The volumes of PersistentVolumes, with AWS's ids.
fn volumes(observed: &mut Observed) -> impl Iterator<Item = (String, &mut Volume)> {
    observed.0.values_mut().filter_map(|found| match &mut found.resource {
        Resource::PersistentVolume(volume) => Some((found.identity.id.clone(), volume)),
        _ => None,
    })
}

/// Asks the Kubernetes API what PersistentVolumes there are. Fails with why it can't be asked, in one line.
async fn ask(state: &ClusterState, clients: &Clients) -> Result<Vec<PersistentVolume>, String> {
    let asked = async {
        let running = RunningCluster::of(state, clients).await?;
        Ok::<_, OperationError>(match running.connect().await? {
            Ok(api) => Ok(api.persistent_volumes().await?),
            Err(unanswered) => Err(unanswered.message),
        })
    };
    asked.await.unwrap_or_else(|error| Err(one_line(&error)))
}

/// A volume goes where its PersistentVolume says so. One that has none is kept: that is what `Retain` leaves behind.
/// Returns what is to be written down of it.
fn decide(observed: &mut Observed, answer: &[PersistentVolume], cluster: &str) -> Desired {
    let reclaimed = |id: &str| answer.iter().any(|volume| volume.volume == id && volume.is_reclaimed);
    let mut going = BTreeMap::new();
    for (id, volume) in volumes(observed) {
        volume.goes_with_cluster |= reclaimed(&id);
        if volume.goes_with_cluster {
            going.insert(id, volume.name.clone());
        }
    }
    let mut reclaim_marks = Desired::default();
    if !going.is_empty() {
        let marks = Resource::ReclaimMarks(ReclaimMarks { name: cluster.to_owned(), volumes: going });
        reclaim_marks.0.insert(marks.id(), marks);
    }
    reclaim_marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::{Identity, Kind, ObservedResource};

    const CLUSTER: &str = "demo.example.com";

    fn volume(id: &str, marked: bool) -> ObservedResource {
        let mut volume = Volume::new(id, Vec::new());
        volume.goes_with_cluster = marked;
        ObservedResource::new(id, Resource::PersistentVolume(volume), Identity::new(id))
    }

    #[test]
    fn a_volume_goes_where_its_persistent_volume_says_so_and_that_is_written_down_before_the_masters_go() {
        let mut observed = Observed::default();
        let found = vec![
            volume("vol-1", false),
            volume("vol-2", false),
            volume("vol-3", false),
            volume("vol-4", true),
        ];
        observed.extend(Kind::PersistentVolume, found);
        let answer = |id: &str, is_reclaimed| PersistentVolume { volume: id.to_owned(), is_reclaimed };
        let marks = decide(&mut observed, &[answer("vol-1", true), answer("vol-2", false)], CLUSTER);
        let plan = Plan::deletion(&marks, &observed);
        let steps: Vec<String> =
            plan.steps.iter().map(|step| format!("{} {}", step.action.verb(), step.resource)).collect();
        assert_eq!(
            steps,
            [
                "update reclaim-marks/demo.example.com",
                "delete persistent-volume/vol-1",
                "delete persistent-volume/vol-4"
            ]
        );
        let kept: Vec<String> = plan.kept.iter().map(ToString::to_string).collect();
        assert_eq!(kept, ["persistent-volume/vol-2", "persistent-volume/vol-3"]);
    }
}
