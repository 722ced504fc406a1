//! `windlass create cluster`: writes a new cluster's specification.

use clap::Args as ClapArgs;

use super::context::Context;
use super::diagnostic::{Exit, Refusal};

/// `windlass create cluster`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
}

/// Runs `windlass create cluster`.
#[expect(clippy::unused_async, reason = "every command is run the same way")]
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let _ = (context, args);
    Err(Refusal::new("`windlass create cluster` is not built into this version of windlass").into())
}
