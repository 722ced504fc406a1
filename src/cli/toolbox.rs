//! `windlass toolbox`: what helps around the other commands.

use clap::{Args as ClapArgs, Subcommand};

use super::context::Context;
use super::diagnostic::Exit;
use super::{toolbox_restore_object, toolbox_template};

/// `windlass toolbox`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a specification from templates and values
    Template(toolbox_template::Args),
    /// List the versions of an object of the state, and bring one of them back
    RestoreObject(toolbox_restore_object::Args),
}

/// Runs `windlass toolbox`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::Template(args) => toolbox_template::run(context, &args),
        What::RestoreObject(args) => Box::pin(toolbox_restore_object::run(context, args)).await,
    }
}
