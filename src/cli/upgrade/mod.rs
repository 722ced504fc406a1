//! `windlass upgrade`: the specification of another Kubernetes version.

pub(in crate::cli) mod cluster;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass upgrade`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Upgrade a cluster's Kubernetes version
    Cluster(cluster::Args),
}

/// Runs `windlass upgrade`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Cluster(args) => cluster::run(context, args).await,
    }
}
