//! `windlass get clusters`.

use clap::Args as ClapArgs;
use futures::stream::{self, StreamExt};

use crate::cli::context::Context;
use crate::cli::diagnostic::{self, Exit, Refusal};
use crate::cli::output::{self, Format, Table};
use crate::spec::v1alpha2::{Cluster, Object};
use crate::spec::{Documents, default};
use crate::state::{ClusterState, Specification, StateError, cluster_state};

/// How many clusters are read at once.
const READS: usize = 16;

/// `windlass get clusters`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The names of the clusters; all if left out
    clusters: Vec<String>,
    /// Show the specification with every default filled in
    #[arg(long)]
    full: bool,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs `windlass get clusters`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let store = context.store().await?;
    let mut names = args.clusters;
    if names.is_empty() {
        names.extend(context.name_flag());
    }
    if names.is_empty() {
        names = cluster_state::clusters(&store).await?;
    }
    if names.is_empty() {
        return Err(Refusal::new(format!("no clusters found in {}", store.url()))
            .hint("make one: windlass create cluster --help")
            .into());
    }
    let states: Vec<_> = names.into_iter().map(|name| ClusterState::new(store.clone(), name)).collect();
    let reads: Vec<_> = states.iter().map(|state| Box::pin(context.read(state))).collect();
    let found: Vec<anyhow::Result<Specification>> = stream::iter(reads).buffered(READS).collect().await;
    let (mut clusters, mut errors) = (Vec::new(), Vec::new());
    for found in found {
        match found {
            Ok(found) => clusters.push(cluster(&found, args.full)),
            // What keeps one cluster from being read keeps all of them.
            Err(error) if error.chain().any(is_of_the_store) => return Err(error),
            Err(error) => errors.push(error),
        }
    }
    if !clusters.is_empty() {
        match args.output {
            Format::Table => output::print(&table(&clusters).render())?,
            format => output::print_documents(&clusters, format)?,
        }
    }
    // The others are listed; each that can't be is told of, and how to mend it.
    let exits = errors.iter().map(diagnostic::report);
    Ok(exits.fold(Exit::Done, |_, exit| exit))
}

/// Whether it is the store that can't be used, and not one cluster's part of it.
fn is_of_the_store(cause: &(dyn std::error::Error + 'static)) -> bool {
    matches!(cause.downcast_ref(), Some(StateError::Store { .. }))
}

fn cluster(found: &Specification, full: bool) -> Cluster {
    let Documents { cluster, instance_groups, .. } = &found.documents;
    if full { default::fill(cluster, instance_groups).0 } else { cluster.clone() }
}

/// The table that kops prints.
pub(in crate::cli) fn table(clusters: &[Cluster]) -> Table<3> {
    let mut table = Table::new(["NAME", "CLOUD", "ZONES"]);
    for cluster in clusters {
        let subnets = cluster.spec.subnets.as_deref().unwrap_or_default();
        let mut zones: Vec<&str> = subnets.iter().filter_map(|subnet| subnet.zone.as_deref()).collect();
        zones.sort_unstable();
        zones.dedup();
        let cloud = cluster.spec.cloud_provider.as_deref().unwrap_or("aws");
        table.row([cluster.name().to_owned(), cloud.to_owned(), zones.join(",")]);
    }
    table
}
