//! `windlass validate`: whether a cluster is healthy.

pub(in crate::cli) mod cluster;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass validate`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Check groups, nodes and system pods
    Cluster(cluster::Args),
}

/// Runs `windlass validate`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Cluster(args) => cluster::run(context, args).await,
    }
}
