//! `windlass get`: lists what there is.

use clap::{Args as ClapArgs, Subcommand};

use super::context::Context;
use super::diagnostic::Exit;
use super::{
    get_all, get_clusters, get_instance_groups, get_instances, get_revision, get_secrets, get_ssh_public_keys,
};

/// `windlass get`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(flatten)]
    all: get_all::Args,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show everything that the specification of a cluster consists of
    All(get_all::Args),
    /// List clusters
    #[command(visible_alias = "cluster")]
    Clusters(get_clusters::Args),
    /// List a cluster's instance groups
    #[command(name = "instancegroups", visible_aliases = ["instancegroup", "ig"])]
    InstanceGroups(get_instance_groups::Args),
    /// List a cluster's instances, with where their boot stands
    #[command(visible_alias = "instance")]
    Instances(get_instances::Args),
    /// Show what was applied at one time: specification, plan, node configurations, add-ons
    Revision(get_revision::Args),
    /// List a cluster's secrets: which there are, never what they say
    #[command(visible_alias = "secret")]
    Secrets(get_secrets::Args),
    /// List a cluster's SSH keys, with their fingerprints
    #[command(name = "sshpublickeys", visible_aliases = ["sshpublickey", "ssh"])]
    SshPublicKeys(get_ssh_public_keys::Args),
}

/// Runs `windlass get`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let Some(what) = args.what else { return get_all::run(context, args.all).await };
    match what {
        What::All(args) => get_all::run(context, args).await,
        What::Clusters(args) => get_clusters::run(context, args).await,
        What::InstanceGroups(args) => get_instance_groups::run(context, args).await,
        What::Instances(args) => get_instances::run(context, args).await,
        What::Revision(args) => get_revision::run(context, args).await,
        What::Secrets(args) => get_secrets::run(context, args).await,
        What::SshPublicKeys(args) => get_ssh_public_keys::run(context, args).await,
    }
}
