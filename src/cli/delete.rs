//! `windlass delete`: a cluster, an instance group, or whatever a file says.

use clap::{Args as ClapArgs, Subcommand};

use super::context::Context;
use super::diagnostic::Exit;
use super::{delete_cluster, delete_file, delete_instance_group, delete_secret, delete_ssh_public_key};

/// `windlass delete`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(flatten)]
    file: delete_file::Args,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show everything that belongs to a cluster, and delete it with --yes
    Cluster(delete_cluster::Args),
    /// Delete an instance group from the specification
    #[command(name = "instancegroup", visible_aliases = ["instancegroups", "ig"])]
    InstanceGroup(delete_instance_group::Args),
    /// Delete a secret that was given to a cluster
    #[command(visible_alias = "secrets")]
    Secret(delete_secret::Args),
    /// Delete an SSH key from a cluster
    #[command(name = "sshpublickey", visible_alias = "sshpublickeys")]
    SshPublicKey(delete_ssh_public_key::Args),
}

/// Runs `windlass delete`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        Some(What::Cluster(args)) => delete_cluster::run(context, args).await,
        Some(What::InstanceGroup(args)) => delete_instance_group::run(context, args).await,
        Some(What::Secret(args)) => delete_secret::run(context, args).await,
        Some(What::SshPublicKey(args)) => delete_ssh_public_key::run(context, args).await,
        None => delete_file::run(context, args.file).await,
    }
}
