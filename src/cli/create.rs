//! `windlass create`: a cluster or a group from flags, or anything from files.

use clap::{Args as ClapArgs, Subcommand};

use super::context::Context;
use super::diagnostic::Exit;
use super::{create_cluster, create_file, create_instance_group, create_secret, create_ssh_public_key};

/// `windlass create`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(flatten)]
    file: create_file::Args,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a new cluster's specification to the state
    Cluster(Box<create_cluster::Args>),
    /// Add an instance group to a cluster's specification
    #[command(name = "instancegroup", visible_aliases = ["instancegroups", "ig"])]
    InstanceGroup(create_instance_group::Args),
    /// Give a cluster a secret
    Secret(create_secret::Args),
    /// Add the SSH key with which one may log in to instances
    #[command(name = "sshpublickey")]
    SshPublicKey(create_ssh_public_key::Args),
}

/// Runs `windlass create`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        Some(What::Cluster(cluster)) => Box::pin(create_cluster::run(context, *cluster)).await,
        Some(What::InstanceGroup(args)) => create_instance_group::run(context, args).await,
        Some(What::Secret(args)) => create_secret::run(context, args).await,
        Some(What::SshPublicKey(args)) => create_ssh_public_key::run(context, args).await,
        None => create_file::run(context, args.file).await,
    }
}
