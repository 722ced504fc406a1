//! `windlass unlock`: shows who holds a cluster's lock, and takes it away with `--force`.

use clap::Args as ClapArgs;

use super::context::Context;
use super::diagnostic::{Exit, Refusal};
use super::output;
use crate::state::{ClusterState, lease};

/// `windlass unlock`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Take it away; whoever holds it stops at its next write
    #[arg(long)]
    force: bool,
}

/// Runs `windlass unlock`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let name = context.explicit_cluster_name(args.cluster.as_deref())?;
    let state = ClusterState::new(context.store().await?, name);
    let holder = if args.force { lease::take_away(&state).await? } else { lease::current(&state).await? };
    let Some(holder) = holder else {
        output::say(&format!("The cluster {} is not locked.", state.name()));
        return Ok(Exit::Done);
    };
    let holder = holder.describe();
    if args.force {
        output::say(&format!("Took the lock of {} away from {holder}.", state.name()));
        return Ok(Exit::Done);
    }
    let refusal = Refusal::new(format!("the cluster `{}` is locked: {holder}", state.name()));
    Err(refusal
        .hint("make sure that they are gone, then take it away with --force")
        .exit(Exit::Locked)
        .into())
}
