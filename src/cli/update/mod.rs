//! `windlass update`: AWS becomes what the specification says.

pub(in crate::cli) mod cluster;
mod part;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass update`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what would change in AWS, and change it with --yes
    Cluster(cluster::Args),
}

/// Runs `windlass update`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Cluster(args) => cluster::run(context, args).await,
    }
}
