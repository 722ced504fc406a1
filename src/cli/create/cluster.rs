//! `windlass create cluster`: from flags to a specification in the state. AWS is asked whether there are the zones, and
//! is not changed, unless `--yes` goes on to `update cluster`.

use std::time::SystemTime;

use anyhow::Context as _;
use clap::Args as ClapArgs;

use super::cluster_flags::Flags;
use super::existing_network;
use crate::aws::facts;
use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::output::{self, Format};
use crate::cli::update;
use crate::spec::cluster::Cluster;
use crate::spec::problem::Problems;
use crate::spec::v1alpha2::{InstanceGroupRole, Object};
use crate::spec::{Documents, create, to_blame};
use crate::state::address::Address;
use crate::state::bucket_encryption::KmsKey;
use crate::state::{ClusterState, StateError, bucket};

/// `windlass create cluster`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name, such as demo.example.com; or use --name
    cluster: Option<String>,
    #[command(flatten)]
    flags: Flags,
    /// Make the bucket of the state, versioned, encrypted and closed to the public, if there is none
    #[arg(long)]
    create_state_store: bool,
    /// The KMS key that the bucket of the state encrypts with, by its ARN; S3's own if left out
    #[arg(long, value_name = "ARN", requires = "create_state_store")]
    state_store_kms_key: Option<KmsKey>,
    /// Print the specification and write nothing
    #[arg(long)]
    dry_run: bool,
    /// How --dry-run prints
    #[arg(short, long, value_enum, requires = "dry_run")]
    output: Option<Format>,
    /// Go on and make it all in AWS
    #[arg(short, long, conflicts_with = "dry_run")]
    yes: bool,
}

/// Runs `windlass create cluster`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let name = context.explicit_cluster_name(args.cluster.as_deref())?;
    let known = existing_network(context, &args.flags).await?;
    let refused = args.flags.refused();
    let options = args.flags.options(name.clone(), &known)?;
    let documents = create(&options).map_err(|problems| together(&refused, problems))?;
    let completed = match documents.resolve() {
        Err(problems) => Err(together(&refused, problems)),
        Ok(cluster) if refused.0.is_empty() => Ok(cluster),
        Ok(_) => Err(refused.clone()),
    };
    let flags =
        || because_of(refused.0.iter().map(|problem| problem.path.as_str()).chain(to_blame(&options)));
    if args.dry_run {
        print(&documents, args.output.unwrap_or(Format::Yaml))?;
        if let Err(problems) = completed {
            output::say(&format!("warning: this can't be created as it is{}:\n{problems}", flags()));
        }
        return Ok(Exit::Done);
    }
    let cluster = completed.with_context(|| format!("`{name}` can't be created{}", flags()))?;
    check_zones(context, &cluster).await?;
    let region = cluster.region;
    if args.create_state_store {
        create_store(context, &region, args.state_store_kms_key.as_ref()).await?;
    }
    let state = ClusterState::new(context.store().await?, name.clone());
    write(context, &state, &documents).await?;
    context.stop().check()?;
    if args.yes {
        return update::cluster::run(context, update::cluster::Args::apply(name)).await;
    }
    output::say(&suggestions(&documents, &context.flags_to_repeat()));
    Ok(Exit::Done)
}

/// All problems at once.
fn together(refused: &Problems, problems: Problems) -> Problems {
    Problems(refused.0.iter().cloned().chain(problems.0).collect())
}

/// The flags that ask for what can't be made.
fn because_of<'a>(flags: impl Iterator<Item = &'a str>) -> String {
    let flags: Vec<&str> = flags.collect();
    if flags.is_empty() { String::new() } else { format!(", because of {}", flags.join(", ")) }
}

/// Asks AWS whether there are the zones of a cluster that will be made there. A state in a folder is for trying things
/// out, without AWS.
async fn check_zones(context: &Context, cluster: &Cluster) -> anyhow::Result<()> {
    let Address::S3 { .. } = Address::parse(&context.state_url()?)? else { return Ok(()) };
    let refused = || format!("`{}` can't be created", cluster.name);
    facts::check_region(&cluster.region, &context.clients(None).await?).await.with_context(refused)?;
    facts::check_zones(cluster, &context.clients(Some(&cluster.region)).await?).await.with_context(refused)
}

/// Looks up the VPC and the subnets that the flags name; AWS is not asked where they name none.
async fn existing_network(
    context: &Context,
    flags: &Flags,
) -> anyhow::Result<existing_network::ExistingParts> {
    let (vpc, subnets) = (flags.existing_vpc(), flags.existing_subnets());
    if vpc.is_none() && subnets.is_empty() {
        return Ok(existing_network::ExistingParts::default());
    }
    let clients = context.clients(flags.region().as_deref()).await?;
    existing_network::look_up(&clients, vpc, subnets).await
}

/// Writes a new cluster and its keys, while holding its lease.
pub(in crate::cli) async fn write(
    context: &Context,
    state: &ClusterState,
    documents: &Documents,
) -> anyhow::Result<()> {
    state.look().await?;
    // Before the lease, so that no lock is left in what isn't ours.
    is_written(state, documents).await?;
    context
        .lease_guard(state, "create cluster")
        .holding(async {
            let written = is_written(state, documents).await?;
            state.ensure_secrets(SystemTime::now()).await?;
            if !written {
                state.create(documents).await?;
            }
            Ok(())
        })
        .await
}

/// Whether the same command has written all this already, and was killed after that. Fails when there is another
/// cluster of that name.
async fn is_written(state: &ClusterState, documents: &Documents) -> Result<bool, StateError> {
    match state.check_free().await {
        Ok(()) => Ok(false),
        Err(StateError::Exists { .. }) if state.read().await?.documents.say_what(documents) => Ok(true),
        Err(error) => Err(error),
    }
}

fn print(documents: &Documents, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Yaml => output::print(&documents.to_yaml()),
        Format::Json => output::print_json(&documents.iter().collect::<Vec<_>>()),
        Format::Table => {
            Err(Refusal::new("a dry run prints YAML or JSON").hint("use -o yaml or -o json").into())
        }
    }
}

async fn create_store(context: &Context, region: &str, key: Option<&KmsKey>) -> anyhow::Result<()> {
    let url = context.state_url()?;
    let Address::S3 { bucket: name, .. } = Address::parse(&url)? else { return Ok(()) };
    let clients = context.clients(Some(region)).await?;
    let created = bucket::create_bucket(&clients, &name, key).await;
    if created.with_context(|| format!("could not make the state store {url}"))? {
        output::say(&format!(
            "Made the bucket {name} in {region}: versioned, encrypted, closed to the public."
        ));
    }
    Ok(())
}

/// What to do next.
fn suggestions(documents: &Documents, flags: &str) -> String {
    let cluster = documents.cluster.name();
    let first = |role| {
        let group = documents.instance_groups.iter().find(|group| group.spec.role == Some(role));
        group.map(|group| format!("windlass edit ig --name {cluster}{flags} {}", group.name()))
    };
    let mut lines = vec![
        "Cluster configuration has been created.".to_owned(),
        String::new(),
        "Suggestions:".to_owned(),
        format!(" * list clusters with: windlass get clusters{flags}"),
        format!(" * edit this cluster with: windlass edit cluster {cluster}{flags}"),
    ];
    lines.extend(
        first(InstanceGroupRole::Node).map(|line| format!(" * edit your node instance group: {line}")),
    );
    lines.extend(
        first(InstanceGroupRole::Master)
            .map(|line| format!(" * edit your control-plane instance group: {line}")),
    );
    lines.push(String::new());
    lines
        .push(format!("Finally bring it to AWS with: windlass update cluster --name {cluster}{flags} --yes"));
    lines.join("\n")
}
