//! `windlass replace -f`: clusters and instance groups become what a file says.

use clap::Args as ClapArgs;

use super::context::Context;
use super::create;
use super::diagnostic::{Exit, Refusal};
use super::files::{Files, cluster_of};
use super::output;
use crate::ops::{Running, SpecificationChange};
use crate::spec::v1alpha2::Object;
use crate::spec::yaml::Documents;
use crate::state::{ClusterState, Specification, StateError};

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
    let documents = args.files.read()?;
    let name = cluster_of(context, &documents)?;
    let state = ClusterState::new(context.store().await?, name);
    let read = match context.read(&state).await {
        Err(error)
            if args.force
                && !documents.clusters.is_empty()
                && matches!(error.downcast_ref(), Some(StateError::Missing { .. })) =>
        {
            return create(context, &state, documents).await;
        }
        read => read?,
    };
    check_known(&documents, &read, args.force)?;
    let change = SpecificationChange {
        additional_objects: documents.additional_objects.clone(),
        cluster: documents.clusters.first().cloned(),
        instance_groups: documents.instance_groups.clone(),
        ssh_credentials: documents.ssh_credentials.clone(),
        ..SpecificationChange::default()
    };
    change.check(&read, &Running::of(&state).await?).map_err(|problems| documents.locate(problems))?;
    if change.is_nothing_new_in(&read) {
        context.lease_guard(&state, "replace").leave_nothing(&read).await?;
        output::say("Nothing to replace: the state says the same already.");
        return Ok(Exit::Done);
    }
    change.write(&context.lease_guard(&state, "replace"), &read).await?;
    for line in change
        .cluster
        .iter()
        .map(|cluster| format!("cluster/{}", cluster.name()))
        .chain(change.instance_groups.iter().map(|group| format!("instancegroup/{}", group.name())))
        .chain(change.additional_objects.iter().map(|object| object.key().resource()))
    {
        output::say(&format!("Replaced {line}"));
    }
    Ok(Exit::Done)
}

async fn create(context: &Context, state: &ClusterState, documents: Documents) -> anyhow::Result<Exit> {
    create::cluster::write(context, state, &create::file::whole(documents)?).await?;
    output::say(&format!("Created cluster/{}", state.name()));
    Ok(Exit::Done)
}

fn check_known(documents: &Documents, read: &Specification, force: bool) -> Result<(), Refusal> {
    if force {
        return Ok(());
    }
    let unknown = documents
        .instance_groups
        .iter()
        .find(|group| !read.instance_groups.iter().any(|known| known.value.name() == group.name()));
    let unknown_object = documents
        .additional_objects
        .iter()
        .find(|object| !read.additional_objects.iter().any(|known| known.value.key() == object.key()));
    match (unknown, unknown_object) {
        (None, None) => Ok(()),
        (None, Some(object)) => Err(Refusal::new(format!("there is no {} to replace", object.key()))
            .hint("create it with --force, or with `windlass create -f`")),
        (Some(group), _) => {
            Err(Refusal::new(format!("there is no instance group `{}` to replace", group.name()))
                .hint("create it with --force, or with `windlass create -f`"))
        }
    }
}
