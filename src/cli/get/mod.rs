//! `windlass get`: lists what there is.

mod all;
mod assets;
mod backups;
mod clusters;
mod instance_groups;
mod instances;
mod revision;
mod secrets;
pub(in crate::cli) mod ssh_public_keys;

use clap::{Args as ClapArgs, Subcommand};

use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;

/// `windlass get`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(flatten)]
    all: all::Args,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show everything that the specification of a cluster consists of
    All(all::Args),
    /// List the container images that a cluster runs
    Assets(assets::Args),
    /// List a cluster's backups of etcd, and whether they could be restored
    #[command(visible_alias = "backup")]
    Backups(backups::Args),
    /// List clusters
    #[command(visible_alias = "cluster")]
    Clusters(clusters::Args),
    /// List a cluster's instance groups
    #[command(name = "instancegroups", visible_aliases = ["instancegroup", "ig"])]
    InstanceGroups(instance_groups::Args),
    /// List a cluster's instances, with where their boot stands
    #[command(visible_alias = "instance")]
    Instances(instances::Args),
    /// Show what was applied at one time: specification, plan, node configurations, add-ons
    Revision(revision::Args),
    /// List a cluster's secrets: which there are, never what they say
    #[command(visible_alias = "secret")]
    Secrets(secrets::Args),
    /// List a cluster's SSH keys, with their fingerprints
    #[command(name = "sshpublickeys", visible_aliases = ["sshpublickey", "ssh"])]
    SshPublicKeys(ssh_public_keys::Args),
}

/// Runs `windlass get`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let Some(what) = args.what else { return all::run(context, args.all).await };
    match what {
        What::All(args) => all::run(context, args).await,
        What::Assets(args) => assets::run(context, args).await,
        What::Backups(args) => backups::run(context, args).await,
        What::Clusters(args) => clusters::run(context, args).await,
        What::InstanceGroups(args) => instance_groups::run(context, args).await,
        What::Instances(args) => instances::run(context, args).await,
        What::Revision(args) => revision::run(context, args).await,
        What::Secrets(args) => secrets::run(context, args).await,
        What::SshPublicKeys(args) => ssh_public_keys::run(context, args).await,
    }
}
