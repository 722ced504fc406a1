//! `windlass get clusters`: lists the clusters of a state.

use clap::Args as ClapArgs;

use super::context::Context;
use super::diagnostic::{Exit, Refusal};

/// `windlass get clusters`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
}

/// Runs `windlass get clusters`.
#[expect(clippy::unused_async, reason = "every command is run the same way")]
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let _ = (context, args);
    Err(Refusal::new("`windlass get clusters` is not built into this version of windlass").into())
}
