//! `windlass restore cluster`: finds a backup, checks it, shows what would be lost, and with `--yes` restores it.

use std::time::{Duration, Instant};

use clap::Args as ClapArgs;
use jiff::Timestamp;
use windlass_bootstrap::restore::{Order, Phase};

use crate::apply::Event;
use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::output;
use crate::cli::update::cluster::incomplete;
use crate::cli::validate;
use crate::ops::restore::chosen::Wanted;
use crate::ops::restore::{Chosen, Restore, choose};
use crate::ops::sleep::Machines;
use crate::ops::{Located, OperationError};
use crate::spec::quantity;
use crate::state::ClusterState;

/// What others are told that is being done.
const COMMAND: &str = "restore cluster";

/// How long the cluster may take to become healthy once etcd is restored.
const HEALTHY: Duration = Duration::from_mins(15);

/// `windlass restore cluster`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// The backup: `latest`, one that `get backups` lists, or a time such as 2026-11-23T14:05 (UTC) for the newest until then
    #[arg(long, value_name = "BACKUP")]
    backup: Option<Wanted>,
    /// Restore it; without it, it is only checked
    #[arg(short, long)]
    yes: bool,
    /// Give up a restore that was begun, as long as no data was restored: masters go on with what they have
    #[arg(long, conflicts_with_all = ["backup", "yes"])]
    give_up: bool,
}

/// Runs `windlass restore cluster`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let begun = Instant::now();
    let name = context.explicit_cluster_name(args.cluster.as_deref())?;
    let state = ClusterState::new(context.store().await?, name);
    let documents = context.read(&state).await?.documents;
    let cluster = crate::state::specification::resolve(&documents)?;
    if !state.was_begun().await? {
        let refusal = Refusal::new(format!("nothing of `{}` has been applied yet", state.name()));
        return Err(refusal.hint("`windlass update cluster --yes` makes it").into());
    }
    let located = Located::find(&state, &cluster.region).await?;
    let restore = Restore::of(&state, &located, &cluster);
    if args.give_up {
        return give_up(context, &state, &restore).await;
    }
    refuse_stopped(&state, &located).await?;
    let under_way = under_way(&state, args.backup).await?;
    let chosen = match &under_way {
        Some(_) => None,
        None => Some(choose(&state, args.backup.unwrap_or_default()).await?),
    };
    if let Some(chosen) = &chosen {
        Box::pin(chosen.check(&state, &cluster)).await?;
    }
    let lost = restore.lost_volumes().await?;
    show(&state, chosen.as_ref(), under_way.as_ref(), &lost)?;
    let (name, flags) = (state.name(), context.flags_to_repeat());
    if !args.yes {
        // What was shown is what is restored, and not a newer one.
        let id = chosen.as_ref().map(|chosen| format!(" --backup {}", chosen.listed.id)).unwrap_or_default();
        output::say(&format!(
            "Nothing was stopped. To restore it: windlass restore cluster {name}{id}{flags} --yes"
        ));
        return Ok(Exit::Done);
    }
    let work = async {
        let ordered = restore.order(chosen.as_ref(), COMMAND).await?;
        if !restore.lost_volumes().await?.is_empty() {
            let listen = |event: Event<'_>| {
                if let Event::Done { step, .. } = event {
                    output::say(&format!("  {} {}", step.action.verb(), step.resource));
                }
            };
            let summary =
                Box::pin(restore.remake_volumes(&ordered, &documents, context.stop(), &listen)).await?;
            if !summary.is_complete() {
                return Err(incomplete(context, &state, COMMAND, &summary));
            }
        }
        Ok(Box::pin(restore.carry_out(ordered, &output::say)).await?)
    };
    let order: Order = context.lease_guard(&state, COMMAND).holding(work).await?;
    let healthy = validate::cluster::Args::waiting(name.to_owned(), HEALTHY);
    let exit = Box::pin(validate::cluster::run(context, healthy)).await?;
    output::say(&format!(
        "Restored {name} from the backup {} in {}.",
        order.backup,
        humantime::format_duration(Duration::from_secs(begun.elapsed().as_secs()))
    ));
    Ok(exit)
}

/// Masters that are stopped restore nothing.
async fn refuse_stopped(state: &ClusterState, located: &Located) -> anyhow::Result<()> {
    let fleet = Machines::of(state, located).look().await?;
    let Some(stopped) = fleet.groups.iter().find_map(|group| group.stopped.as_ref()) else { return Ok(()) };
    let refusal = Refusal::new(format!("`{}` is stopped since {}", state.name(), stopped.since));
    Err(refusal.hint(format!("start it first: windlass start cluster {} --yes", state.name())).into())
}

/// The order that is under way, which must be of the backup that is asked for.
async fn under_way(state: &ClusterState, wanted: Option<Wanted>) -> anyhow::Result<Option<Order>> {
    let Some((order, _)) = state.restore_order().await? else { return Ok(None) };
    if !order.is_under_way() {
        return Ok(None);
    }
    match wanted {
        None => Ok(Some(order)),
        Some(Wanted::Id(id)) if id == order.backup => Ok(Some(order)),
        Some(_) => {
            let refused = crate::ops::restore::chosen::Refused::UnderWay {
                cluster: state.name().to_owned(),
                id: order.backup,
            };
            Err(OperationError::from(refused).into())
        }
    }
}

async fn give_up(context: &Context, state: &ClusterState, restore: &Restore<'_>) -> anyhow::Result<Exit> {
    let work = async { restore.give_up().await };
    match context.lease_guard(state, COMMAND).holding(work).await? {
        Some(order) => output::say(&format!(
            "Gave up the restore of {} from the backup {}: masters start with what they have.",
            state.name(),
            order.backup
        )),
        None => output::say(&format!("No restore of {} is under way.", state.name())),
    }
    Ok(Exit::Done)
}

/// Shows what is going to be done.
fn show(
    state: &ClusterState,
    chosen: Option<&Chosen>,
    under_way: Option<&Order>,
    lost: &[String],
) -> anyhow::Result<()> {
    if let Some(order) = under_way {
        let phase = if order.phase == Phase::Stop { "masters stop" } else { "masters restore etcd" };
        output::print_line(&format!(
            "go on with the restore of {} from the backup {}, which {} ordered at {}: {phase}",
            state.name(),
            order.backup,
            order.by,
            order.ordered
        ))?;
    }
    for line in chosen.iter().flat_map(|chosen| lines(state.name(), chosen, Timestamp::now())) {
        output::print_line(&line)?;
    }
    for volume in lost {
        output::print_line(&format!("make the volume {volume} anew, which is gone"))?;
    }
    if let Some(warning) = chosen.and_then(warning) {
        output::say(&format!("warning: {warning}"));
    }
    Ok(())
}

fn lines(cluster: &str, chosen: &Chosen, now: Timestamp) -> Vec<String> {
    let Chosen { listed, backup, passed_over, .. } = chosen;
    let mut lines: Vec<String> = passed_over
        .iter()
        .map(|bad| format!("pass over the backup {}, which can't be restored", bad.id))
        .collect();
    let minutes = now.duration_since(backup.taken).as_secs().max(0).cast_unsigned().div_ceil(60);
    lines.push(format!(
        "restore {cluster} from the backup {}: what was written in the {} since then is lost",
        listed.id,
        quantity(usize::try_from(minutes).unwrap_or(usize::MAX), "minute")
    ));
    lines.extend(backup.etcd.iter().map(|(etcd, snapshot)| {
        format!(
            "restore etcd {etcd}: {} at revision {}",
            quantity(keys(snapshot.keys), "key"),
            snapshot.revision
        )
    }));
    lines.push("stop the API until etcd is restored; pods go on meanwhile".to_owned());
    lines
}

fn keys(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// What is to be known of a backup that nobody has restored before, or not well.
fn warning(chosen: &Chosen) -> Option<String> {
    let id = chosen.listed.id;
    match &chosen.proof {
        None => Some(format!("nobody has tried yet whether the backup {id} can be restored")),
        Some(proof) => proof
            .failure
            .as_ref()
            .map(|why| format!("the backup {id} could not be restored when it was tried: {why}")),
    }
}
