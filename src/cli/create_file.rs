//! `windlass create -f`: creates what a file says.

use clap::Args as ClapArgs;

use super::context::Context;
use super::diagnostic::{Exit, Refusal};

/// `windlass create -f`.
#[derive(Debug, ClapArgs)]
#[group(skip)]
pub(crate) struct Args {}

/// Runs `windlass create -f`.
#[expect(clippy::unused_async, reason = "every command is run the same way")]
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let _ = (context, args);
    Err(Refusal::new("`windlass create -f` is not built into this version of windlass").into())
}
