//! `windlass toolbox`: what helps around the other commands.

mod restore_object;
mod template;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass toolbox`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a specification from templates and values
    Template(template::Args),
    /// List the versions of an object of the state, and bring one of them back
    RestoreObject(restore_object::Args),
}

/// Runs `windlass toolbox`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Template(args) => template::run(context, &args),
        What::RestoreObject(args) => Box::pin(restore_object::run(context, args)).await,
    }
}
