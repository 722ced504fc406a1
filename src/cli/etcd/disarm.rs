//! `windlass etcd disarm`: shows the alarms of a cluster's etcd, and with `--yes` has masters make room and clear them.

use std::collections::BTreeSet;

use clap::Args as ClapArgs;
use windlass_bootstrap::etcd_upkeep::{AlarmKind, EtcdAlarm};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;
use crate::cli::output;
use crate::health::snapshot::harmless;
use crate::ops::Located;
use crate::ops::etcd_upkeep::{Alarms, EtcdAlarms, of_no_space};
use crate::state::ClusterState;

/// What others are told that is being done.
const COMMAND: &str = "etcd disarm";

/// `windlass etcd disarm`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Compact etcd's history, defragment its members, and clear the alarm; without it, alarms are only shown
    #[arg(short, long)]
    yes: bool,
}

/// Runs `windlass etcd disarm`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let name = context.explicit_cluster_name(args.cluster.as_deref())?;
    let state = ClusterState::new(context.store().await?, name);
    let documents = context.read(&state).await?.documents;
    let cluster = crate::state::specification::resolve(&documents)?;
    let located = Located::find(&state, &cluster.region).await?;
    let etcd = EtcdAlarms::of(&state, &located);
    let before = etcd.look().await?;
    let (name, flags) = (state.name(), context.flags_to_repeat());
    for line in lines(&before) {
        output::print_line(&line)?;
    }
    if of_no_space(&before).next().is_none() {
        output::say(&format!("Masters of {name} report no alarm that could be cleared."));
        return Ok(Exit::Done);
    }
    if !args.yes {
        output::say(&format!(
            "Nothing was changed. To compact and defragment etcd, and clear the alarm: windlass etcd disarm {name}{flags} --yes"
        ));
        return Ok(Exit::Done);
    }
    let work = async {
        etcd.order(COMMAND).await?;
        output::say("Masters compact etcd, and defragment one member after the other.");
        etcd.cleared(&before).await
    };
    context.lease_guard(&state, COMMAND).holding(work).await?;
    output::say(&format!("The alarm is cleared: {name} takes writes again."));
    Ok(Exit::Done)
}

/// A line for each alarm; masters that see the same say it once.
fn lines(alarms: &Alarms) -> BTreeSet<String> {
    alarms.values().flatten().map(line).collect()
}

fn line(alarm: &EtcdAlarm) -> String {
    let EtcdAlarm { etcd, member, kind, bytes_in_use, quota, note, .. } = alarm;
    let mut line = match kind {
        AlarmKind::NoSpace => {
            format!("etcd {etcd}: NOSPACE by member {member}: {bytes_in_use} of {quota} bytes are in use")
        }
        AlarmKind::Corrupt => format!("etcd {etcd}: CORRUPT by member {member}"),
        AlarmKind::Other => format!("etcd {etcd}: an unknown alarm by member {member}"),
    };
    if let Some(note) = note {
        line.push_str("; ");
        line.push_str(note);
    }
    harmless(&line)
}
