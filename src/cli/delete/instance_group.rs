//! `windlass delete instancegroup`: takes a group out of the specification.

use clap::Args as ClapArgs;

use super::file;
use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;
use crate::ops::SpecificationChange;
use crate::spec::DocumentName;
use crate::state::StateError;

/// `windlass delete instancegroup`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The group's name
    group: String,
    /// Delete it; without it what would be deleted is only listed
    #[arg(short, long)]
    yes: bool,
}

/// Runs `windlass delete instancegroup`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state(None).await?;
    let read = context.read(&state).await?;
    let name = DocumentName::InstanceGroup(args.group.clone());
    if !read.documents.names().contains(&name) {
        let cluster = state.name().to_owned();
        return Err(StateError::NoInstanceGroup { cluster, name: args.group }.into());
    }
    let change = SpecificationChange::removing([name]);
    file::delete(context, &state, &read, &change, args.yes).await
}
