//! `windlass create -f`: creates what a file says: a cluster with its groups, or groups of a cluster that is there.

use clap::Args as ClapArgs;

use super::cluster;
use crate::assets::addons;
use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::files::{Files, cluster_of};
use crate::cli::output;
use crate::ops::{Running, SpecificationChange};
use crate::spec::v1alpha2::Object;
use crate::spec::yaml::Documents;
use crate::spec::{AdditionalObject, Manifests, to_yaml};
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
    let documents = args.files.read()?;
    if documents.clusters.is_empty() {
        return add(context, documents, args.dry_run).await;
    }
    let manifests = whole(documents)?;
    if args.dry_run {
        output::print(&manifests.to_yaml())?;
        return Ok(Exit::Done);
    }
    let name = manifests.cluster.name().to_owned();
    let state = ClusterState::new(context.store().await?, name.clone());
    cluster::write(context, &state, &manifests).await?;
    output::say(&format!("Created cluster/{name}"));
    for group in &manifests.instance_groups {
        output::say(&format!("Created instancegroup/{}", group.name()));
    }
    for object in &manifests.additional_objects {
        output::say(&format!("Created {}", object.key().resource()));
    }
    let flags = context.flags_to_repeat();
    output::say(&format!(
        "\nTo bring this cluster to AWS: windlass update cluster --name {name}{flags} --yes"
    ));
    Ok(Exit::Done)
}

/// What documents that hold a whole cluster say, checked.
pub(in crate::cli) fn whole(documents: Documents) -> anyhow::Result<Manifests> {
    let complete = documents.complete()?;
    addons::check_additional(&complete, &documents.additional_objects)
        .map_err(|problems| documents.locate(problems))?;
    let Documents { clusters, instance_groups, ssh_credentials, additional_objects, .. } = documents;
    if ssh_credentials.len() > 1 {
        let refusal = Refusal::new("there are several SSHCredentials");
        return Err(refusal.hint("keep one: EC2 puts one key on an instance").into());
    }
    let cluster =
        clusters.into_iter().next().ok_or_else(|| Refusal::new("there is no Cluster in the files"))?;
    let ssh_credential = ssh_credentials.into_iter().next();
    Ok(Manifests { cluster, instance_groups, ssh_credential, additional_objects })
}

/// Adds to a cluster that is there.
async fn add(context: &Context, documents: Documents, dry_run: bool) -> anyhow::Result<Exit> {
    let name = cluster_of(context, &documents)?;
    let state = ClusterState::new(context.store().await?, name);
    let read = context.read(&state).await?;
    for group in &documents.instance_groups {
        // One that says the same was written by this very command, before it was killed.
        if read
            .instance_groups
            .iter()
            .any(|known| known.value.name() == group.name() && known.value != *group)
        {
            let refusal = Refusal::new(format!("there is an instance group `{}` already", group.name()));
            return Err(refusal.hint("change it with `windlass replace -f` or `windlass edit ig`").into());
        }
    }
    if let Some(object) = documents
        .additional_objects
        .iter()
        .find(|object| read.objects().iter().any(|it| it.key() == object.key() && it != *object))
    {
        let refusal = Refusal::new(format!("there is a {} already", object.key()));
        return Err(refusal.hint("change it with `windlass replace -f`").into());
    }
    let change = SpecificationChange {
        additional_objects: documents.additional_objects.clone(),
        instance_groups: documents.instance_groups.clone(),
        ssh_credentials: documents.ssh_credentials.clone(),
        ..SpecificationChange::default()
    };
    change.check(&read, &Running::of(&state).await?).map_err(|problems| documents.locate(problems))?;
    if dry_run {
        let groups = change.instance_groups.iter().map(to_yaml);
        let credentials = change.ssh_credentials.iter().map(to_yaml);
        let objects = change.additional_objects.iter().map(AdditionalObject::to_yaml);
        output::print(&groups.chain(credentials).chain(objects).collect::<Vec<_>>().join("---\n"))?;
        return Ok(Exit::Done);
    }
    if change.is_nothing_new_in(&read) {
        context.lease_guard(&state, "create -f").leave_nothing(&read).await?;
        output::say("Nothing to create: the state says the same already.");
        return Ok(Exit::Done);
    }
    change.write(&context.lease_guard(&state, "create -f"), &read).await?;
    for group in &change.instance_groups {
        output::say(&format!("Created instancegroup/{}", group.name()));
    }
    for object in &change.additional_objects {
        output::say(&format!("Created {}", object.key().resource()));
    }
    Ok(Exit::Done)
}
