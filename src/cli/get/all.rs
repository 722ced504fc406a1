//! `windlass get all`: everything that the specification of a cluster consists of.

use clap::Args as ClapArgs;

use super::clusters;
use super::instance_groups;
use crate::cli::context::Context;
use crate::cli::diagnostic::Exit;
use crate::cli::output::{self, Format, Table};
use crate::spec::AdditionalObject;
use crate::spec::v1alpha2::{Object, SshCredential};
use crate::state::Specification;

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
    let read = context.read(&state).await?;
    match args.output {
        Format::Table => output::print(&tables(&read))?,
        Format::Yaml => output::print(&read.to_yaml())?,
        Format::Json => output::print_json(&values(&read)?)?,
    }
    Ok(Exit::Done)
}

/// The documents, the cluster first.
fn values(read: &Specification) -> anyhow::Result<Vec<serde_json::Value>> {
    let (cluster, groups, credentials) = read.documents();
    let mut values = vec![serde_json::to_value(&cluster)?];
    for group in &groups {
        values.push(serde_json::to_value(group)?);
    }
    for credential in &credentials {
        values.push(serde_json::to_value(credential)?);
    }
    values.extend(read.objects().iter().map(AdditionalObject::value).cloned());
    Ok(values)
}

/// A table for each kind of document that there is.
fn tables(read: &Specification) -> String {
    let (cluster, groups, credentials) = read.documents();
    let mut tables = vec![
        format!("Cluster\n{}", clusters::table(std::slice::from_ref(&cluster)).render()),
        format!("Instance Groups\n{}", instance_groups::table(&cluster, &groups).render()),
    ];
    if !credentials.is_empty() {
        tables.push(format!("SSH Credentials\n{}", ssh_credentials(&credentials).render()));
    }
    let objects = read.objects();
    if !objects.is_empty() {
        tables.push(format!("Additional Objects\n{}", additional_objects(&objects).render()));
    }
    tables.join("\n")
}

fn ssh_credentials(credentials: &[SshCredential]) -> Table<2> {
    let mut table = Table::new(["NAME", "KIND"]);
    for credential in credentials {
        let key = credential.spec.public_key.as_deref().unwrap_or_default();
        let kind = key.split_whitespace().next().unwrap_or_default();
        table.row([credential.name().to_owned(), kind.to_owned()]);
    }
    table
}

fn additional_objects(objects: &[AdditionalObject]) -> Table<3> {
    let mut table = Table::new(["KIND", "NAMESPACE", "NAME"]);
    for object in objects {
        let key = object.key();
        let namespace = key.namespace.clone().unwrap_or_default();
        table.row([key.id().kind, namespace, key.name.clone()]);
    }
    table
}
