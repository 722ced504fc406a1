//! `windlass get revision`: what was applied at one time: specification, plan, node configurations, add-ons.

use std::collections::BTreeMap;

use clap::Args as ClapArgs;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;
use crate::cli::history;
use crate::cli::output::{self, Format};
use crate::state::revision::Revision;

/// `windlass get revision`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The revision, as `windlass history` counts them
    revision: u64,
    /// How to print; the table says who and when, the others everything
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// With -o yaml or json: the node configurations and add-ons too, not only their keys
    #[arg(long)]
    contents: bool,
}

/// A revision, and what the objects hold that it names.
#[derive(Debug, Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    revision: &'a Revision,
    #[serde(skip_serializing_if = "Option::is_none")]
    contents: Option<BTreeMap<String, String>>,
}

/// Runs `windlass get revision`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state(None).await?;
    let revision = state.revision(args.revision).await?;
    if args.output == Format::Table {
        let applied = state.applied().await?;
        output::print(&history::table(std::slice::from_ref(&revision), applied).render())?;
        return Ok(Exit::Done);
    }
    let contents = if args.contents { Some(state.contents(&revision).await?) } else { None };
    output::print_documents(&[Whole { revision: &revision.masked(), contents }], args.output)?;
    Ok(Exit::Done)
}
