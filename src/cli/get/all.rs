//! `windlass get all`: everything that the specification of a cluster consists of.

use clap::Args as ClapArgs;

use super::clusters;
use super::instance_groups;
use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;
use crate::cli::output::{self, Format, Table};
use crate::spec::v1alpha2::{Object, SshCredential};
use crate::spec::{AdditionalObject, Documents};

/// `windlass get all`.
#[derive(Debug, ClapArgs)]
#[group(skip)]
pub(crate) struct Args {
    /// How to print; -o yaml is what `windlass create -f` takes, and shows what is in Secrets
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs `windlass get all`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state(None).await?;
    let documents = context.read(&state).await?.documents;
    match args.output {
        Format::Table => output::print(&tables(&documents))?,
        Format::Yaml => output::print(&documents.to_yaml())?,
        Format::Json => output::print_json(&documents.iter().collect::<Vec<_>>())?,
    }
    Ok(Exit::Done)
}

/// A table for each kind of document that there is.
fn tables(documents: &Documents) -> String {
    let Documents { cluster, instance_groups, ssh_credentials, additional_objects } = documents;
    let mut tables = vec![
        format!("Cluster\n{}", clusters::table(std::slice::from_ref(cluster)).render()),
        format!("Instance Groups\n{}", instance_groups::table(cluster, instance_groups).render()),
    ];
    if !ssh_credentials.is_empty() {
        tables.push(format!("SSH Credentials\n{}", table_of_keys(ssh_credentials).render()));
    }
    if !additional_objects.is_empty() {
        tables.push(format!("Additional Objects\n{}", table_of_objects(additional_objects).render()));
    }
    tables.join("\n")
}

fn table_of_keys(credentials: &[SshCredential]) -> Table<2> {
    let mut table = Table::new(["NAME", "KIND"]);
    for credential in credentials {
        let key = credential.spec.public_key.as_deref().unwrap_or_default();
        let kind = key.split_whitespace().next().unwrap_or_default();
        table.row([credential.name().to_owned(), kind.to_owned()]);
    }
    table
}

fn table_of_objects(objects: &[AdditionalObject]) -> Table<3> {
    let mut table = Table::new(["KIND", "NAMESPACE", "NAME"]);
    for object in objects {
        let key = object.key();
        let namespace = key.namespace.clone().unwrap_or_default();
        table.row([key.id().kind, namespace, key.name.clone()]);
    }
    table
}
