//! `windlass start cluster`: shows which machines were stopped, and with `--yes` starts them.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;
use crate::cli::output;
use crate::cli::stop::cluster::locate;
use crate::cloud::fleet::Instance;
use crate::ops::sleep::{Machines, ToStart};
use crate::state::ClusterState;

/// What others are told that is being done.
const COMMAND: &str = "start cluster";

/// `windlass start cluster`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Start them; without it they are only listed
    #[arg(short, long)]
    yes: bool,
}

/// Runs `windlass start cluster`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let name = context.explicit_cluster_name(args.cluster.as_deref())?;
    let state = ClusterState::new(context.store().await?, name);
    let located = locate(context, &state).await?;
    let machines = Machines::of(&state, &located);
    let to_start = ToStart::of(&machines.look().await?);
    let (name, flags) = (state.name(), context.flags_to_repeat());
    if to_start.is_empty() {
        output::say(&format!("The cluster {name} isn't stopped."));
        return Ok(Exit::Done);
    }
    list(&to_start)?;
    if !args.yes {
        output::say(&format!("Nothing was started. To start it: windlass start cluster {name}{flags} --yes"));
        return Ok(Exit::Done);
    }
    let work = async { machines.start(&output::say).await };
    context.lease_guard(&state, COMMAND).holding(work).await?;
    output::say(&format!(
        "Started the machines of {name}. To see when they are ready: windlass validate cluster {name}{flags} --wait 10m"
    ));
    Ok(Exit::Done)
}

fn list(to_start: &ToStart) -> anyhow::Result<()> {
    for Instance { id, group, .. } in &to_start.started {
        output::print_line(&format!("start {id} ({group})"))?;
    }
    for (group, stopped) in &to_start.groups {
        output::print_line(&format!("resume the processes of {group}, stopped since {}", stopped.since()))?;
    }
    Ok(())
}
