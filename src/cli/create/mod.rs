//! `windlass create`: a cluster or a group from flags, or anything from files.

pub(in crate::cli) mod cluster;
mod cluster_flags;
mod existing_network;
pub(in crate::cli) mod file;
mod instance_group;
mod secret;
mod ssh_public_key;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass create`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(flatten)]
    file: file::Args,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a new cluster's specification to the state
    Cluster(Box<cluster::Args>),
    /// Add an instance group to a cluster's specification
    #[command(name = "instancegroup", visible_aliases = ["instancegroups", "ig"])]
    InstanceGroup(instance_group::Args),
    /// Give a cluster a secret
    Secret(secret::Args),
    /// Add the SSH key with which one may log in to instances
    #[command(name = "sshpublickey")]
    SshPublicKey(ssh_public_key::Args),
}

/// Runs `windlass create`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        Some(What::Cluster(cluster)) => Box::pin(cluster::run(context, *cluster)).await,
        Some(What::InstanceGroup(args)) => instance_group::run(context, args).await,
        Some(What::Secret(args)) => secret::run(context, args).await,
        Some(What::SshPublicKey(args)) => ssh_public_key::run(context, args).await,
        None => file::run(context, args.file).await,
    }
}
