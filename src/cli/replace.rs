//! `windlass replace -f`: clusters and instance groups become what a file says.

use clap::Args as ClapArgs;

use super::context::Context;
use super::create;
use super::diagnostic::{Exit, Refusal};
use super::files::{self, Files, cluster_of, say_of_each};
use super::output;
use crate::ops::Running;
use crate::spec::v1alpha2::Cluster;
use crate::spec::{Documents, PlacedDocuments};
use crate::state::{ClusterState, StateError};

/// `windlass replace -f`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
    /// Create what isn't there
    #[arg(long)]
    force: bool,
}

/// Runs `windlass replace -f`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    if args.files.filenames.is_empty() {
        return Err(Refusal::new("replace what?").hint("name a file with -f").into());
    }
    let placed = args.files.read()?;
    let name = cluster_of(context, &placed.documents)?;
    let state = ClusterState::new(context.store().await?, name);
    let read = match context.read(&state).await {
        Err(error)
            if args.force
                && !placed.documents.cluster.is_empty()
                && matches!(error.downcast_ref(), Some(StateError::Missing { .. })) =>
        {
            return create(context, &state, &placed).await;
        }
        read => read?,
    };
    if !args.force {
        check_known(&placed.documents, &read.documents)?;
    }
    let change = files::change_of(&placed)?;
    let checked = change.check(&read.documents, &Running::of(&state).await?);
    checked.map_err(|problems| placed.locate(problems))?;
    if change.is_nothing_new_in(&read.documents) {
        context.lease_guard(&state, "replace").leave_nothing(&read).await?;
        output::say("Nothing to replace: the state says the same already.");
        return Ok(Exit::Done);
    }
    change.write(&context.lease_guard(&state, "replace"), &read).await?;
    say_of_each("Replaced", &change.written);
    Ok(Exit::Done)
}

async fn create(context: &Context, state: &ClusterState, placed: &PlacedDocuments) -> anyhow::Result<Exit> {
    let documents = create::file::whole(placed)?;
    create::cluster::write(context, state, &documents).await?;
    say_of_each("Created", &documents);
    Ok(Exit::Done)
}

fn check_known(documents: &Documents<Vec<Cluster>>, there: &Documents) -> Result<(), Refusal> {
    match documents.names().difference(&there.names()).next() {
        None => Ok(()),
        Some(unknown) => Err(Refusal::new(format!("there is no {unknown} to replace"))
            .hint("create it with --force, or with `windlass create -f`")),
    }
}
