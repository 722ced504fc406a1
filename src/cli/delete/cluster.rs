//! `windlass delete cluster`: lists what there is, and with `--yes` deletes it, and then the state.

use clap::Args as ClapArgs;

use crate::apply::Event;
use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;
use crate::cli::progress::Progress;
use crate::cli::{output, update};
use crate::ops::deletion::{self, PreparedDeletion};
use crate::pki::kubeconfig;
use crate::state::ClusterState;

/// What others are told that is being done.
const COMMAND: &str = "delete cluster";

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
    let located = deletion::locate(&state).await?;
    if state.is_a_remnant().await? {
        output::say(&format!("There is no cluster {state} any more, but parts of its state."));
    }
    if !args.yes {
        list(&PreparedDeletion::look(&state, located.as_ref(), args.delete_volumes).await?)?;
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
    context.lease_guard(&state, COMMAND).holding_unfinished(work).await
}

/// Deletes what is in AWS, then the state: as long as anything is left, the state says that there is a cluster.
async fn delete(context: &Context, args: &Args, state: &ClusterState) -> anyhow::Result<Exit> {
    // Again, now that nobody else can apply anything: what was nowhere may be somewhere by now.
    let located = deletion::locate(state).await?;
    let prepared = PreparedDeletion::look(state, located.as_ref(), args.delete_volumes).await?;
    list(&prepared)?;
    let progress = Progress::new(&prepared.plan);
    let listen = |event: Event<'_>| progress.show(&event);
    let deleting = deletion::carry_out(state, located.as_ref(), &prepared, COMMAND, context.stop(), &listen);
    let deleted = Box::pin(deleting).await;
    progress.finish();
    let summary = deleted?;
    if !summary.is_complete() {
        return Err(update::cluster::incomplete(context, state, COMMAND, &summary));
    }
    output::say(&format!("Deleted the state {}/{}.", state.store().url(), state.name()));
    if let Ok(path) = kubeconfig::default_path()
        && kubeconfig::remove(&path, state.name())?
    {
        output::say(&format!("Removed {} from {}.", state.name(), path.display()));
    }
    output::say(&format!("Deleted cluster: {}", state.name()));
    Ok(Exit::Done)
}

/// What there is, and what becomes of it.
fn list(prepared: &PreparedDeletion) -> anyhow::Result<()> {
    if let Some(why) = &prepared.unasked {
        output::say(&format!(
            "The Kubernetes API could not be asked for reclaim policies, so all volumes of PersistentVolumes are kept: \
             {why}"
        ));
    }
    if prepared.plan.is_empty() && prepared.plan.kept.is_empty() {
        output::print_line("There is nothing of the cluster in AWS.")?;
    }
    output::print(&prepared.plan.to_string())?;
    match &prepared.other {
        Some(other) => output::say(&format!(
            "All volumes of PersistentVolumes are kept: `{other}` belongs to another cluster of this name, and their \
             tags don't say whose they are. To delete one that is nobody's: aws ec2 delete-volume --volume-id VOLUME"
        )),
        None if !prepared.plan.kept.is_empty() => {
            output::say("To delete these volumes too: --delete-volumes");
        }
        None => {}
    }
    Ok(())
}
