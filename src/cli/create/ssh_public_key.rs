//! `windlass create sshpublickey`: the key with which one may log in to the cluster's instances.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::{files, output};
use crate::ops::{Running, SpecificationChange};
use crate::pki::ssh;
use crate::spec::Document;
use crate::spec::create::ssh_credential;
use crate::spec::v1alpha2::{Object, SshCredential};
use crate::state::Specification;

/// `windlass create sshpublickey`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// The public key's file, in OpenSSH's form; - for standard input
    #[arg(short = 'i', long = "ssh-public-key", value_name = "FILE")]
    ssh_public_key: String,
    /// Replace the key that is there: EC2 puts one key on an instance
    #[arg(long)]
    force: bool,
}

/// Runs `windlass create sshpublickey`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let key = files::read_text(&args.ssh_public_key)?;
    let state = context.cluster_state(args.cluster.as_deref()).await?;
    let read = context.read(&state).await?;
    let credential = ssh_credential(state.name(), &key);
    let keys = &read.documents.ssh_credentials;
    if keys.iter().any(|known| is_same(known, &credential)) {
        output::say("The cluster has this SSH key already.");
        return Ok(Exit::Done);
    }
    if let Some(known) = keys.first().filter(|_| !args.force) {
        return Err(refused(known, state.name(), &context.flags_to_repeat()).into());
    }
    let name = credential.name().to_owned();
    let others = keys.iter().filter(|known| known.name() != name);
    let others = others.map(|known| Document::SshCredential(known).name());
    let change = SpecificationChange { removed: others.collect(), written: credential.into() };
    change.check(&read.documents, &Running::of(&state).await?)?;
    change.write(&context.lease_guard(&state, "create sshpublickey"), &read).await?;
    output::say(&format!("Created sshpublickey/{name}"));
    output::say(&next_step(&read, state.name(), &context.flags_to_repeat()));
    Ok(Exit::Done)
}

fn is_same(one: &SshCredential, other: &SshCredential) -> bool {
    let key = |credential: &SshCredential| credential.spec.public_key.as_deref().map(ssh::without_comment);
    key(one) == key(other)
}

fn refused(known: &SshCredential, cluster: &str, flags: &str) -> Refusal {
    let fingerprint = known.spec.public_key.as_deref().and_then(ssh::fingerprint).unwrap_or_default();
    let name = known.name();
    Refusal::new(format!(
        "`{cluster}` has an SSH key already, `{name}` ({fingerprint}), and EC2 puts one key on an instance"
    ))
    .hint(format!(
        "replace it with --force, or delete it first: windlass delete sshpublickey {name} --name {cluster}{flags} --yes"
    ))
}

fn next_step(read: &Specification, cluster: &str, flags: &str) -> String {
    if let Some(name) = read.documents.cluster.spec.ssh_key_name.as_deref() {
        return format!(
            "Instances won't get it: spec.sshKeyName is `{name}`, and that comes first. To use this key: \
             windlass edit cluster {cluster}{flags} --unset spec.sshKeyName"
        );
    }
    format!(
        "Instances that are launched from now on get it after: windlass update cluster --name {cluster}{flags} --yes\n\
         Those that run keep the key that they were launched with."
    )
}
