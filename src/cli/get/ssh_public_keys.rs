//! `windlass get sshpublickeys`.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::output::{self, Format, Table};
use crate::pki::ssh;
use crate::spec::v1alpha2::{Object, SshCredential};

/// `windlass get sshpublickeys`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The names of the keys; all if left out
    keys: Vec<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs `windlass get sshpublickeys`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state(None).await?;
    let mut credentials = context.read(&state).await?.documents.ssh_credentials;
    if let Some(name) = args.keys.iter().find(|name| !credentials.iter().any(|key| key.name() == **name)) {
        return Err(none(state.name(), name).into());
    }
    credentials.retain(|key| args.keys.is_empty() || args.keys.iter().any(|name| name == key.name()));
    if credentials.is_empty() {
        let refusal = Refusal::new(format!("no SSHCredential objects found in {state}"));
        return Err(refusal.hint("make one: windlass create sshpublickey --help").into());
    }
    match args.output {
        Format::Table => output::print(&table(&credentials).render())?,
        format => output::print_documents(&credentials, format)?,
    }
    Ok(Exit::Done)
}

/// The refusal of a name that no key has.
pub(in crate::cli) fn none(cluster: &str, name: &str) -> Refusal {
    Refusal::new(format!("the cluster `{cluster}` has no SSH key `{name}`"))
        .hint(format!("see which there are: windlass get sshpublickeys --name {cluster}"))
}

fn table(credentials: &[SshCredential]) -> Table<3> {
    let mut table = Table::new(["NAME", "TYPE", "FINGERPRINT"]);
    for credential in credentials {
        let key = credential.spec.public_key.as_deref().unwrap_or_default();
        let kind = key.split_whitespace().next().unwrap_or_default();
        let fingerprint = ssh::fingerprint(key).unwrap_or_default();
        table.row([credential.name().to_owned(), kind.to_owned(), fingerprint]);
    }
    table
}
