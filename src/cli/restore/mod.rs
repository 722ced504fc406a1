//! `windlass restore`: what a backup holds takes the place of what there is.

mod cluster;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass restore`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show what restoring etcd from a backup would do, and do it with --yes
    Cluster(cluster::Args),
}

/// Runs `windlass restore`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Cluster(args) => Box::pin(cluster::run(context, args)).await,
    }
}
