//! `windlass create -f`: creates what a file says: a cluster with its groups, or groups of a cluster that is there.

use clap::Args as ClapArgs;

use super::cluster;
use crate::assets::addons;
use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::files::{self, Files, cluster_of, say_of_each};
use crate::cli::output;
use crate::ops::Running;
use crate::spec::v1alpha2::Object;
use crate::spec::{Document, Documents, PlacedDocuments, Problems};
use crate::state::ClusterState;

/// `windlass create -f`.
#[derive(Debug, ClapArgs)]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
    /// Check and print, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs `windlass create -f`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    if args.files.filenames.is_empty() {
        let refusal = Refusal::new("create what?");
        return Err(refusal.hint("name a file with -f, or say `windlass create cluster --help`").into());
    }
    let placed = args.files.read()?;
    if placed.documents.cluster.is_empty() {
        return add(context, &placed, args.dry_run).await;
    }
    let documents = whole(&placed)?;
    if args.dry_run {
        output::print(&documents.to_yaml())?;
        return Ok(Exit::Done);
    }
    let name = documents.cluster.name().to_owned();
    let state = ClusterState::new(context.store().await?, name.clone());
    cluster::write(context, &state, &documents).await?;
    say_of_each("Created", &documents);
    let flags = context.flags_to_repeat();
    output::say(&format!(
        "\nTo bring this cluster to AWS: windlass update cluster --name {name}{flags} --yes"
    ));
    Ok(Exit::Done)
}

/// What files say that hold a whole cluster, checked.
pub(in crate::cli) fn whole(placed: &PlacedDocuments) -> Result<Documents, Problems> {
    let complete = placed.resolve()?;
    let documents = placed.whole()?;
    addons::check_additional(&complete, &documents.additional_objects)
        .map_err(|problems| placed.locate(problems))?;
    Ok(documents)
}

/// Adds to a cluster that is there.
async fn add(context: &Context, placed: &PlacedDocuments, dry_run: bool) -> anyhow::Result<Exit> {
    let name = cluster_of(context, &placed.documents)?;
    let state = ClusterState::new(context.store().await?, name);
    let read = context.read(&state).await?;
    let there = read.documents.by_name();
    // One that says the same was written by this very command, before it was killed.
    let is_another = |new: &Document<'_>| there.get(&new.name()).is_some_and(|known| known != new);
    if let Some(document) = placed.documents.iter().find(is_another) {
        let refusal = Refusal::new(format!("{} is there already", document.name()));
        return Err(refusal.hint("change it with `windlass replace -f`").into());
    }
    let change = files::change_of(placed)?;
    let checked = change.check(&read.documents, &Running::of(&state).await?);
    checked.map_err(|problems| placed.locate(problems))?;
    if dry_run {
        output::print(&change.written.to_yaml())?;
        return Ok(Exit::Done);
    }
    if change.is_nothing_new_in(&read.documents) {
        context.lease_guard(&state, "create -f").leave_nothing(&read).await?;
        output::say("Nothing to create: the state says the same already.");
        return Ok(Exit::Done);
    }
    change.write(&context.lease_guard(&state, "create -f"), &read).await?;
    say_of_each("Created", &change.written);
    Ok(Exit::Done)
}
