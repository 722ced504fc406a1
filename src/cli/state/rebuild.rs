//! `windlass state rebuild`: shows what a cluster's state has lost, and with `--yes` puts it back.

use clap::Args as ClapArgs;
use jiff::Timestamp;

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;
use crate::cli::output::{self, Table};
use crate::ops::restore::chosen::moment;
use crate::state::ClusterState;
use crate::state::rebuild::Losses;

/// What others are told that is being done.
const COMMAND: &str = "state rebuild";

/// How many objects are named that stay deleted.
const NAMED: usize = 10;

/// `windlass state rebuild`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Put back what was there at this time, such as 2026-11-23T14:05 (UTC); if left out, when the loss began
    #[arg(long, value_name = "TIME", value_parser = time)]
    as_of: Option<Timestamp>,
    /// Put it back; without it, it is only shown
    #[arg(short, long)]
    yes: bool,
}

fn time(text: &str) -> Result<Timestamp, String> {
    moment(text)
        .ok_or_else(|| "it is no time such as 2026-11-23T14:05 (in UTC, unless it says otherwise)".to_owned())
}

/// Runs `windlass state rebuild`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let name = context.explicit_cluster_name(args.cluster.as_deref())?;
    let state = ClusterState::new(context.store().await?, name);
    let (name, flags) = (state.name(), context.flags_to_repeat());
    if !args.yes {
        let losses = Box::pin(state.losses(args.as_of)).await?;
        show(name, &losses)?;
        if !losses.lost.is_empty() {
            let as_of = args.as_of.map(|time| format!(" --as-of {time}")).unwrap_or_default();
            output::say(&format!(
                "Nothing was written. To put it back: windlass state rebuild {name}{as_of}{flags} --yes"
            ));
        }
        return Ok(Exit::Done);
    }
    let work = async {
        // Under the lease once more: somebody may have put it back meanwhile.
        let losses = Box::pin(state.losses(args.as_of)).await?;
        show(name, &losses)?;
        state.put_back(&losses).await?;
        Ok::<_, anyhow::Error>(losses.lost.len())
    };
    // The marker of the format may be among what was lost.
    let count = context.lease_guard(&state, COMMAND).holding_unmarked(work).await?;
    if count > 0 {
        output::say(&format!(
            "Put back {count} objects of {name}. See that nothing is left to do: windlass update cluster {name}{flags}"
        ));
    }
    Ok(Exit::Done)
}

fn show(cluster: &str, losses: &Losses) -> anyhow::Result<()> {
    if losses.lost.is_empty() {
        output::print_line(&format!("Nothing of the state of {cluster} is lost."))?;
    } else {
        let mut table = Table::new(["OBJECT", "WRITTEN", "VERSION", "WHY"]).in_order();
        for lost in losses.lost.iter().filter(|lost| !lost.is_of_backup()) {
            let why = lost.fault.lines().next().unwrap_or_default().to_owned();
            table.row([lost.key.clone(), lost.version.written(), lost.version.id.clone(), why]);
        }
        output::print(&table.render())?;
    }
    let backups = losses.lost.iter().filter(|lost| lost.is_of_backup()).count();
    if backups > 0 {
        output::print_line(&format!("and {backups} files of backups of etcd"))?;
    }
    if let (Some(since), false) = (losses.since, losses.lost.is_empty()) {
        output::say(&format!("As it was at {}.", written(since)));
    }
    for (key, time) in losses.left.iter().take(NAMED) {
        output::say(&format!(
            "{key} was deleted at {} and stays deleted; to have it back, name an earlier time with --as-of.",
            written(*time)
        ));
    }
    Ok(())
}

fn written(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
