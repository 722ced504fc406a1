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
    /// Have a control plane that acts as the version before act as what it is, and give nodes the new version
    Finish(cluster::EndArgs),
    /// Have masters run the version as which they act, as before `upgrade cluster --soak`
    Back(cluster::EndArgs),
}

/// Runs `windlass upgrade`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Cluster(args) => cluster::run(context, args).await,
        What::Finish(args) => cluster::finish(context, args).await,
        What::Back(args) => cluster::back(context, args).await,
    }
}
