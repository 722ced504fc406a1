//! `windlass delete cluster`: lists what there is, and with `--yes` deletes it, and then the state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args as ClapArgs;
use tokio::time::sleep;

use crate::apply::{self, Run};
use crate::aws::Clients;
use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::holding::holding_unfinished;
use crate::cli::live::Live;
use crate::cli::located::Located;
use crate::cli::progress::Progress;
use crate::cli::{output, update, wish};
use crate::cloud::by_controllers::{PersistentVolume as Volume, ReclaimMarks};
use crate::cloud::{
    self, Departures, Identities, Observed, Resource, ResourceId, Sought, Strangers, namesakes,
};
use crate::kube::PersistentVolume;
use crate::model::Desired;
use crate::pki::kubeconfig;
use crate::plan::{Plan, Step};
use crate::state::identity::Whereabouts;
use crate::state::{ClusterState, StateError};

/// How long AWS may go on showing what is deleted.
const FADING: Duration = Duration::from_mins(1);

/// `windlass delete cluster`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Delete it all; without it what would be deleted is only listed
    #[arg(short, long)]
    yes: bool,
    /// Delete the volumes of all PersistentVolumes, of those with the reclaim policy `Retain`, too
    #[arg(long)]
    delete_volumes: bool,
}

impl Args {
    /// What `delete -f` goes on with.
    pub(in crate::cli) fn of(cluster: String, yes: bool) -> Self {
        Self { cluster: Some(cluster), yes, delete_volumes: false }
    }
}

/// Runs `windlass delete cluster`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let name = context.explicit_cluster_name(args.cluster.as_deref())?;
    let state = ClusterState::new(context.store().await?, name);
    let located = locate(context, &state).await?;
    if state.is_a_remnant().await? {
        output::say(&format!("There is no cluster {state} any more, but parts of its state."));
    }
    if !args.yes {
        End::look(&state, located.as_ref(), args.delete_volumes).await?.list()?;
        let repeat = context.flags_to_repeat();
        let volumes = if args.delete_volumes { " --delete-volumes" } else { "" };
        output::say(&format!(
            "Nothing was deleted. To delete all of it, the data of etcd and the state {}/{} too: windlass delete cluster \
             {}{repeat}{volumes} --yes",
            state.store().url(),
            state.name(),
            state.name()
        ));
        return Ok(Exit::Done);
    }
    let work = delete(context, &args, &state);
    holding_unfinished(context, &state, "delete cluster", work).await
}

/// Where the cluster is; nowhere, when nothing of it was ever made. A specification that can't be read must not keep a
/// cluster alive, so it is only asked for the region where nothing else knows that.
async fn locate(context: &Context, state: &ClusterState) -> anyhow::Result<Option<Located>> {
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
    Ok(Some(Located::compare(context, state, &region, whereabouts).await?))
}

/// Deletes what is in AWS, then the state: as long as anything is left, the state says that there is a cluster.
async fn delete(context: &Context, args: &Args, state: &ClusterState) -> anyhow::Result<Exit> {
    // Again, now that nobody else can apply anything: what was nowhere may be somewhere by now.
    let located = locate(context, state).await?;
    let end = End::look(state, located.as_ref(), args.delete_volumes).await?;
    end.list()?;
    if let (Some(located), true) = (&located, end.plan.is_empty()) {
        check_known_place(located, state)?;
    }
    state.begin_deletion("delete cluster").await?;
    if let (Some(located), false) = (&located, end.plan.is_empty()) {
        apply_all(context, state, located, &end).await?;
        see_that_all_is_gone(located, state, &end.observed).await?;
    }
    state.purge().await?;
    output::say(&format!("Deleted the state {}/{}.", state.store().url(), state.name()));
    if let Ok(path) = kubeconfig::default_path()
        && kubeconfig::remove(&path, state.name())?
    {
        output::say(&format!("Removed {} from {}.", state.name(), path.display()));
    }
    output::say(&format!("Deleted cluster: {}", state.name()));
    Ok(Exit::Done)
}

/// An old cluster whose plans don't say where it is may be elsewhere when nothing of it is found: its keys stay.
fn check_known_place(located: &Located, state: &ClusterState) -> Result<(), Refusal> {
    if located.whereabouts().place().is_some() {
        return Ok(());
    }
    let (name, place) = (state.name(), located.place());
    let refusal =
        Refusal::new(format!("nothing of `{name}` is in {place}, and its state doesn't say where it is"));
    Err(refusal.hint(format!(
        "use the credentials with which it was made; if it is really gone, remove its state by hand: aws s3 rm \
         --recursive {}/{name}/",
        state.store().url()
    )))
}

/// Looks again before the keys go: what was deleted may be seen for a moment longer, and anything else is a reason to
/// keep them.
async fn see_that_all_is_gone(
    located: &Located,
    state: &ClusterState,
    deleted: &Observed,
) -> anyhow::Result<()> {
    let aws_ids: BTreeSet<&str> = deleted.0.values().map(|found| found.identity.id.as_str()).collect();
    let deadline = Instant::now() + FADING;
    loop {
        let found = wish::observe(located, state, Strangers::Ignore).await?;
        let left = Plan::deletion(&Desired::default(), &found);
        if left.is_empty() {
            return Ok(());
        }
        let fades = |step: &Step| {
            found.0.get(&step.resource).is_some_and(|found| aws_ids.contains(found.identity.id.as_str()))
        };
        if Instant::now() > deadline || !left.steps.iter().all(fades) {
            let left: Vec<String> = left.steps.iter().map(|step| step.resource.to_string()).collect();
            let refusal = Refusal::new(format!("not all of `{}` is gone: {}", state.name(), left.join(", ")));
            let hint = "the state was kept: run the same command again";
            return Err(refusal.hint(hint).exit(Exit::Unreachable).into());
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn apply_all(
    context: &Context,
    state: &ClusterState,
    located: &Located,
    end: &End,
) -> anyhow::Result<()> {
    let clients = located.clients.without_retries();
    let (ids, owner) = (Identities::new(&end.observed), located.owner(state));
    let cloud = cloud::Context {
        clients: &clients,
        store: state.store(),
        cluster: state.name(),
        owner: &owner,
        ids: &ids,
        departures: &Departures::default(),
        sought: Sought::All,
        strangers: Strangers::Ignore,
        run: &wish::run_id(),
    };
    let progress = Progress::new(&end.plan);
    let run = Run { plan: &end.plan, desired: &end.last_wishes, observed: &end.observed, context: cloud };
    let applying = context.interrupt.applying();
    let summary = apply::run(run, applying.stop_requested(), &|event| progress.show(&event)).await;
    drop(applying);
    progress.finish();
    if summary.is_complete() {
        Ok(())
    } else {
        Err(update::cluster::incomplete(context, state, "delete cluster", &summary))
    }
}

/// How a cluster ends.
struct End {
    observed: Observed,
    /// What is written down before the masters go.
    last_wishes: Desired,
    plan: Plan,
    /// Why it isn't known which volumes of PersistentVolumes may go.
    unasked: Option<String>,
    /// What shows that another cluster has this name, so that it isn't known whose volumes of PersistentVolumes are.
    other: Option<ResourceId>,
}

impl End {
    /// Looks what there is, what controllers made too, and which volumes of PersistentVolumes go. Changes nothing.
    async fn look(
        state: &ClusterState,
        located: Option<&Located>,
        all_volumes: bool,
    ) -> anyhow::Result<Self> {
        let Some(located) = located else {
            let (observed, last_wishes) = (Observed::default(), Desired::default());
            return Ok(Self { observed, last_wishes, plan: Plan::default(), unasked: None, other: None });
        };
        let mut observed = wish::observe(located, state, Strangers::Ignore).await?;
        let (ids, departures, owner) = (Identities::default(), Departures::default(), located.owner(state));
        let cluster = state.name();
        let cloud = cloud::Context {
            clients: &located.clients,
            store: state.store(),
            cluster,
            owner: &owner,
            ids: &ids,
            departures: &departures,
            sought: Sought::All,
            strangers: Strangers::Ignore,
            run: "",
        };
        cloud::observe_for_deletion(&cloud, &mut observed)
            .await
            .with_context(|| format!("could not look for what controllers made in `{cluster}`"))?;
        let undecided = volumes(&mut observed).any(|(_, volume)| !volume.goes_with_cluster);
        let (mut last_wishes, mut unasked, mut other) = (Desired::default(), None, None);
        if volumes(&mut observed).next().is_some() {
            other = namesakes::find_other_cluster(&cloud)
                .await
                .with_context(|| format!("could not look for another cluster called `{cluster}`"))?;
        }
        if other.is_some() {
            volumes(&mut observed).for_each(|(_, volume)| volume.goes_with_cluster = false);
        } else if all_volumes {
            volumes(&mut observed).for_each(|(_, volume)| volume.goes_with_cluster = true);
        } else if undecided {
            match ask(state, &located.clients).await {
                Ok(answer) => last_wishes = decide(&mut observed, &answer, cluster),
                Err(error) => unasked = Some(format!("{error:#}")),
            }
        }
        let plan = Plan::deletion(&last_wishes, &observed);
        Ok(Self { observed, last_wishes, plan, unasked, other })
    }

    fn list(&self) -> anyhow::Result<()> {
        if let Some(why) = &self.unasked {
            output::say(&format!(
                "The Kubernetes API could not be asked for reclaim policies, so all volumes of PersistentVolumes are kept: \
                 {why}"
            ));
        }
        if self.plan.is_empty() && self.plan.kept.is_empty() {
            output::print_line("There is nothing of the cluster in AWS.")?;
        }
        output::print(&self.plan.to_string())?;
        match &self.other {
            Some(other) => output::say(&format!(
                "All volumes of PersistentVolumes are kept: `{other}` belongs to another cluster of this name, and their \
                 tags don't say whose they are. To delete one that is nobody's: aws ec2 delete-volume --volume-id VOLUME"
            )),
            None if !self.plan.kept.is_empty() => {
                output::say("To delete these volumes too: --delete-volumes");
            }
            None => {}
        }
        Ok(())
    }
}

/// The volumes of PersistentVolumes, with AWS's ids.
fn volumes(observed: &mut Observed) -> impl Iterator<Item = (String, &mut Volume)> {
    observed.0.values_mut().filter_map(|found| match &mut found.resource {
        Resource::PersistentVolume(volume) => Some((found.identity.id.clone(), volume)),
        _ => None,
    })
}

/// Asks the Kubernetes API what PersistentVolumes there are.
async fn ask(state: &ClusterState, clients: &Clients) -> anyhow::Result<Vec<PersistentVolume>> {
    let live = Live::of(state, clients).await?;
    match live.connect().await? {
        Ok(api) => Ok(api.persistent_volumes().await?),
        Err(unanswered) => Err(anyhow::anyhow!(unanswered.message)),
    }
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
    let mut last_wishes = Desired::default();
    if !going.is_empty() {
        let marks = Resource::ReclaimMarks(ReclaimMarks { name: cluster.to_owned(), volumes: going });
        last_wishes.0.insert(marks.id(), marks);
    }
    last_wishes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::{Found, Identity, Kind};

    const CLUSTER: &str = "demo.example.com";

    fn volume(id: &str, marked: bool) -> Found {
        let mut volume = Volume::new(id, Vec::new());
        volume.goes_with_cluster = marked;
        Found::new(id, Resource::PersistentVolume(volume), Identity::new(id))
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
        let wishes = decide(&mut observed, &[answer("vol-1", true), answer("vol-2", false)], CLUSTER);
        let plan = Plan::deletion(&wishes, &observed);
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
