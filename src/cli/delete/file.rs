//! `windlass delete -f`: takes what a file names out of the specification; a cluster in it is deleted as a whole.

use clap::Args as ClapArgs;

use super::cluster;
use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::files::{Files, cluster_of};
use crate::cli::output;
use crate::ops::{Running, SpecificationChange};
use crate::spec::v1alpha2::{Cluster, Object};
use crate::spec::{DocumentName, Documents, ObjectKey};
use crate::state::{ClusterState, Specification, lease};

/// What others are told that is being done, and what an unfinished deletion is known by.
const COMMAND: &str = "delete -f";

/// `windlass delete -f`.
#[derive(Debug, ClapArgs)]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    files: Files,
    /// Delete it; without it what would be deleted is only listed
    #[arg(short, long)]
    yes: bool,
}

/// Runs `windlass delete -f`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    if args.files.filenames.is_empty() {
        let refusal = Refusal::new("delete what?");
        return Err(refusal.hint("name a file with -f, or say `windlass delete cluster --help`").into());
    }
    let documents = args.files.read()?.documents;
    let name = cluster_of(context, &documents)?;
    let state = ClusterState::new(context.store().await?, name);
    let read = context.read(&state).await?;
    if let Err(refusal) = check_known(&documents, &read) {
        // Of a run that was killed when all was done, only its lock may be left.
        if args.yes {
            lease::clear_away(&state).await?;
        }
        return Err(refusal.into());
    }
    if !documents.cluster.is_empty() {
        let args = cluster::Args::of(state.name().to_owned(), args.yes);
        return Box::pin(cluster::run(context, args)).await;
    }
    let change = SpecificationChange::removing(documents.names());
    delete(context, &state, &read, &change, args.yes).await
}

/// Nothing is deleted when one of the things isn't there: the file is probably about another cluster.
fn check_known(documents: &Documents<Vec<Cluster>>, read: &Specification) -> Result<(), Refusal> {
    let there = read.documents.names();
    let unknown: Vec<String> = documents.names().difference(&there).map(ToString::to_string).collect();
    // A deletion of this very kind was begun, and killed before its end: what it has deleted is what was named.
    let begun = read.unfinished.as_ref().is_some_and(|journal| journal.command == COMMAND);
    if unknown.is_empty() || begun {
        return Ok(());
    }
    let cluster = read.documents.cluster.name();
    Err(Refusal::new(format!("`{cluster}` has no {}; nothing was deleted", unknown.join(", no ")))
        .hint(format!("see what there is: windlass get all --name {cluster}")))
}

/// Lists what goes, and with `yes` takes it out of the specification, if what is left is a good one.
pub(in crate::cli) async fn delete(
    context: &Context,
    state: &ClusterState,
    read: &Specification,
    change: &SpecificationChange,
    yes: bool,
) -> anyhow::Result<Exit> {
    change.check(&read.documents, &Running::of(state).await?)?;
    let names: Vec<String> = change.removed.iter().map(DocumentName::resource).collect();
    if !yes {
        for name in &names {
            output::print_line(name)?;
        }
        output::say(
            "Nothing was deleted. To delete it from the specification, run the same command with --yes.",
        );
        return Ok(Exit::Done);
    }
    change.write(&context.lease_guard(state, COMMAND), read).await?;
    for name in &names {
        output::say(&format!("Deleted {name}"));
    }
    let again = format!("windlass update cluster --name {}{} --yes", state.name(), context.flags_to_repeat());
    if change.removed.iter().any(|name| matches!(name, DocumentName::InstanceGroup(_))) {
        output::say(&format!("\nIts machines are still there. To remove them: {again}"));
    }
    let objects: Vec<&ObjectKey> = change.removed.iter().filter_map(DocumentName::object).collect();
    if !objects.is_empty() {
        output::say(&format!("\nIt is applied no more after: {again}"));
        output::say("What has been applied stays in the cluster until it is deleted there:");
    }
    for key in objects {
        let namespace = key.namespace.as_ref().map(|it| format!(" --namespace {it}")).unwrap_or_default();
        output::say(&format!("  kubectl delete {}{namespace}", key.resource()));
    }
    Ok(Exit::Done)
}
