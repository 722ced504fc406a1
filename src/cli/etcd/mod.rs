//! `windlass etcd`: what masters' etcd needs of an operator.

mod disarm;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass etcd`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the alarms that etcd has raised, and with --yes make room and clear them
    Disarm(disarm::Args),
}

/// Runs `windlass etcd`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Disarm(args) => Box::pin(disarm::run(context, args)).await,
    }
}
