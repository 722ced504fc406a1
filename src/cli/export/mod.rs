//! `windlass export`: credentials.

pub(in crate::cli) mod kubeconfig;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass export`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a cluster into the kubeconfig
    #[command(visible_alias = "kubecfg")]
    Kubeconfig(kubeconfig::Args),
}

/// Runs `windlass export`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Kubeconfig(args) => kubeconfig::run(context, args).await,
    }
}
