//! `windlass explain`: what a field of the specification means.

use clap::Args as ClapArgs;

use super::diagnostic::Exit;
use super::output;
use crate::spec::explain::{explain, json_schema};

/// `windlass explain`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// A kind or a field, such as cluster, cluster.spec.api or instancegroup.spec.role
    #[arg(required_unless_present = "json_schema")]
    field: Option<String>,
    /// Print the JSON schema of the whole specification instead, for editors
    #[arg(long, conflicts_with = "field")]
    json_schema: bool,
}

/// Runs `windlass explain`.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.field {
        Some(field) => output::print(&explain(field)?)?,
        None => output::print_json(&json_schema())?,
    }
    Ok(Exit::Done)
}
