//! `windlass delete cluster`: lists what there is, and with `--yes` deletes it, and then the state.

use clap::Args as ClapArgs;

use super::context::Context;
use super::diagnostic::Exit;
use super::holding::{OnInterrupt, holding};
use super::progress::Progress;
use super::{output, update, wish};
use crate::apply::{self, Run};
use crate::aws::Clients;
use crate::cloud::{self, Identities, Observed};
use crate::model::Desired;
use crate::pki::kubeconfig;
use crate::plan::Plan;
use crate::state::{ClusterState, StateError};

/// `windlass delete cluster`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Delete it all; without it what would be deleted is only listed
    #[arg(short, long)]
    yes: bool,
    /// The region, where the specification can't be read any more
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
}

impl Args {
    /// What `delete -f` goes on with.
    pub(super) fn of(cluster: String, yes: bool) -> Self {
        Self { cluster: Some(cluster), yes, region: None }
    }
}

/// Runs `windlass delete cluster`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let name = context.explicit_cluster_name(args.cluster.as_deref())?;
    let state = ClusterState::new(context.store().await?, name);
    let clients = clients(context, &args, &state).await?;
    if !args.yes {
        let plan = Plan::deletion(&wish::observe(&clients, &state).await?);
        list(&plan)?;
        let repeat = context.flags_to_repeat();
        output::say(&format!(
            "Nothing was deleted. To delete all of it, the data of etcd and the state {}/{} too: windlass delete cluster \
             {}{repeat} --yes",
            state.store().url(),
            state.name(),
            state.name()
        ));
        return Ok(Exit::Done);
    }
    let work = delete(context, &state, &clients);
    holding(context, &state, "delete cluster", OnInterrupt::Wait, work).await
}

/// Clients of the cluster's region. A specification that can't be read must not keep a cluster alive.
async fn clients(context: &Context, args: &Args, state: &ClusterState) -> anyhow::Result<Clients> {
    if let Some(region) = &args.region {
        return Ok(context.clients(Some(region)).await);
    }
    match state.read().await {
        // The `Cluster` goes after all that is in AWS: what is left is in the state.
        Err(StateError::Missing { .. }) if state.is_a_remnant().await? => {
            output::say(&format!("There is no cluster {state} any more, but parts of its state."));
            Ok(context.clients(None).await)
        }
        read => Ok(context.clients(Some(&read?.region()?)).await),
    }
}

/// Deletes what is in AWS, then the state: as long as anything is left, the state says that there is a cluster.
async fn delete(context: &Context, state: &ClusterState, clients: &Clients) -> anyhow::Result<Exit> {
    let observed = wish::observe(clients, state).await?;
    let plan = Plan::deletion(&observed);
    list(&plan)?;
    if !plan.is_empty() {
        apply_all(context, state, clients, &plan, &observed).await?;
    }
    state.purge().await?;
    output::say(&format!("Deleted the state {}/{}.", state.store().url(), state.name()));
    if let Ok(path) = kubeconfig::default_path()
        && kubeconfig::remove(&path, state.name())?
    {
        output::say(&format!("Removed {} from {}.", state.name(), path.display()));
    }
    output::say(&format!("Deleted cluster: {}", state.name()));
    Ok(Exit::Done)
}

async fn apply_all(
    context: &Context,
    state: &ClusterState,
    clients: &Clients,
    plan: &Plan,
    observed: &Observed,
) -> anyhow::Result<()> {
    let stopping = context.interrupt.stopping();
    let clients = clients.without_retries();
    let ids = Identities::new(observed);
    let cloud = cloud::Context {
        clients: &clients,
        store: state.store(),
        cluster: state.name(),
        ids: &ids,
        run: &wish::run_id(),
    };
    let desired = Desired::default();
    let progress = Progress::new(plan);
    let run = Run { plan, desired: &desired, observed, context: cloud };
    let summary = apply::run(run, stopping.requested(), &|event| progress.show(&event)).await;
    progress.finish();
    if summary.is_complete() { Ok(()) } else { Err(update::incomplete(context, state, &summary)) }
}

fn list(plan: &Plan) -> anyhow::Result<()> {
    if plan.is_empty() {
        return output::print_line("There is nothing of the cluster in AWS.");
    }
    output::print(&plan.to_string())
}
