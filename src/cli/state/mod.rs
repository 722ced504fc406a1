//! `windlass state`: what concerns the state store itself.

mod rebuild;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass state`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Put back what a cluster's state has lost, from the versions that the bucket keeps
    Rebuild(rebuild::Args),
}

/// Runs `windlass state`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Rebuild(args) => Box::pin(rebuild::run(context, args)).await,
    }
}
