//! `windlass stop`: what runs is stopped, and can be started again.

pub(in crate::cli) mod cluster;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass stop`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Stop all machines of a cluster; volumes and addresses are kept
    Cluster(cluster::Args),
}

/// Runs `windlass stop`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Cluster(args) => cluster::run(context, args).await,
    }
}
