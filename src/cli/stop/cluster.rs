//! `windlass stop cluster`: shows which machines run, and with `--yes` stops them.

use clap::Args as ClapArgs;
use jiff::Timestamp;

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::output;
use crate::cloud::fleet::Instance;
use crate::ops::Located;
use crate::ops::sleep::{Machines, ToStop};
use crate::state::ClusterState;

/// What others are told that is being done.
const COMMAND: &str = "stop cluster";

/// `windlass stop cluster`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Stop them; without it they are only listed
    #[arg(short, long)]
    yes: bool,
}

/// Runs `windlass stop cluster`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let name = context.explicit_cluster_name(args.cluster.as_deref())?;
    let state = ClusterState::new(context.store().await?, name);
    let located = locate(context, &state).await?;
    let machines = Machines::of(&state, &located);
    let to_stop = ToStop::of(&machines.look().await?);
    let (name, flags) = (state.name(), context.flags_to_repeat());
    if to_stop.is_empty() {
        output::say(&format!(
            "Nothing of {name} runs. To start it: windlass start cluster {name}{flags} --yes"
        ));
        return Ok(Exit::Done);
    }
    list(&to_stop)?;
    if !args.yes {
        output::say(&format!(
            "Nothing was stopped. The API and all pods end with the machines; volumes and addresses are kept. To stop them: \
             windlass stop cluster {name}{flags} --yes"
        ));
        return Ok(Exit::Done);
    }
    let work = async { machines.stop(Timestamp::now(), &output::say).await };
    context.lease_guard(&state, COMMAND).holding(work).await?;
    output::say(&format!("Stopped cluster: {name}. To start it: windlass start cluster {name}{flags} --yes"));
    Ok(Exit::Done)
}

/// Where the cluster is. One that nobody has begun to make has no machines.
pub(in crate::cli) async fn locate(context: &Context, state: &ClusterState) -> anyhow::Result<Located> {
    let region = context.read(state).await?.region()?;
    if !state.was_begun().await? {
        let refusal = Refusal::new(format!("nothing of `{}` has been applied yet", state.name()));
        return Err(refusal.hint("`windlass update cluster --yes` makes it").into());
    }
    Ok(Located::find(state, &region).await?)
}

fn list(to_stop: &ToStop) -> anyhow::Result<()> {
    for group in &to_stop.groups {
        output::print_line(&format!("suspend the processes of {group}"))?;
    }
    for Instance { id, group, .. } in &to_stop.stopped {
        output::print_line(&format!("stop {id} ({group})"))?;
    }
    for Instance { id, group, .. } in &to_stop.ended {
        output::print_line(&format!(
            "end {id} ({group}): EC2 doesn't stop Spot instances; starting launches another"
        ))?;
    }
    Ok(())
}
