//! `windlass get instancegroups`.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::output::{self, Format, Table};
use crate::spec::v1alpha2::{Cluster, InstanceGroup, InstanceGroupRole, Object};
use crate::spec::{Documents, default};
use crate::state::StateError;

/// `windlass get instancegroups`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The names of the groups; all if left out
    groups: Vec<String>,
    /// Show the groups with every default filled in
    #[arg(long)]
    full: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs `windlass get instancegroups`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state(None).await?;
    let Documents { cluster, instance_groups: mut groups, .. } = context.read(&state).await?.documents;
    if args.full {
        groups = default::fill(&cluster, &groups).1;
    }
    for name in &args.groups {
        if !groups.iter().any(|group| group.name() == name) {
            let cluster = state.name().to_owned();
            return Err(StateError::NoInstanceGroup { cluster, name: name.clone() }.into());
        }
    }
    groups.retain(|group| args.groups.is_empty() || args.groups.iter().any(|name| name == group.name()));
    if groups.is_empty() {
        return Err(Refusal::new(format!("no InstanceGroup objects found in {state}")).into());
    }
    match args.output {
        Format::Table => output::print(&table(&cluster, &groups).render())?,
        format => output::print_documents(&groups, format)?,
    }
    Ok(Exit::Done)
}

/// The table that kops prints.
pub(in crate::cli) fn table(cluster: &Cluster, groups: &[InstanceGroup]) -> Table<6> {
    let mut table = Table::new(["NAME", "ROLE", "MACHINETYPE", "MIN", "MAX", "ZONES"]);
    let (cluster, groups) = default::fill(cluster, groups);
    let subnets = cluster.spec.subnets.unwrap_or_default();
    for group in &groups {
        let names = group.spec.subnets.as_deref().unwrap_or_default();
        let zone = |name: &String| {
            let subnet = subnets.iter().find(|subnet| subnet.name.as_ref() == Some(name));
            subnet.and_then(|subnet| subnet.zone.clone()).unwrap_or_else(|| name.clone())
        };
        let mut zones: Vec<String> = names.iter().map(zone).collect();
        zones.sort();
        zones.dedup();
        let size = |size: Option<u32>| size.map(|size| size.to_string()).unwrap_or_default();
        table.row([
            group.name().to_owned(),
            role(group.spec.role).to_owned(),
            group.spec.machine_type.clone().unwrap_or_default(),
            size(group.spec.min_size),
            size(group.spec.max_size),
            zones.join(","),
        ]);
    }
    table
}

/// A role as kops's tables call it.
fn role(role: Option<InstanceGroupRole>) -> &'static str {
    match role {
        Some(InstanceGroupRole::Master) => "ControlPlane",
        Some(InstanceGroupRole::Node) => "Node",
        Some(InstanceGroupRole::Bastion) => "Bastion",
        Some(InstanceGroupRole::ApiServer) => "APIServer",
        None => "",
    }
}
