//! `windlass delete`: a cluster, an instance group, or whatever a file says.

mod cluster;
mod file;
mod instance_group;
mod secret;
mod ssh_public_key;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass delete`.
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
    /// Show everything that belongs to a cluster, and delete it with --yes
    Cluster(cluster::Args),
    /// Delete an instance group from the specification
    #[command(name = "instancegroup", visible_aliases = ["instancegroups", "ig"])]
    InstanceGroup(instance_group::Args),
    /// Delete a secret that was given to a cluster
    #[command(visible_alias = "secrets")]
    Secret(secret::Args),
    /// Delete an SSH key from a cluster
    #[command(name = "sshpublickey", visible_alias = "sshpublickeys")]
    SshPublicKey(ssh_public_key::Args),
}

/// Runs `windlass delete`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        Some(What::Cluster(args)) => cluster::run(context, args).await,
        Some(What::InstanceGroup(args)) => instance_group::run(context, args).await,
        Some(What::Secret(args)) => secret::run(context, args).await,
        Some(What::SshPublicKey(args)) => ssh_public_key::run(context, args).await,
        None => file::run(context, args.file).await,
    }
}
