//! `windlass start`: what was stopped runs again.

pub(in crate::cli) mod cluster;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass start`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Start the machines of a cluster that was stopped
    Cluster(cluster::Args),
}

/// Runs `windlass start`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Cluster(args) => cluster::run(context, args).await,
    }
}
