//! `windlass update cluster`: plans, shows, and with `--yes` applies.

use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use super::part::PartFlags;
use crate::apply::{self, Event};
use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::export::kubeconfig::EntryFlags;
use crate::cli::progress::{Progress, shortfall};
use crate::cli::{export, output};
use crate::kube::endpoint;
use crate::ops::SettledUpdate;
use crate::ops::planning::{self, PlanningInput};
use crate::plan::Plan;
use crate::spec::cluster::Cluster;
use crate::spec::quantity;
use crate::state::{ClusterState, Secrets, lease};

/// How long the administrator's certificate is good for after `create cluster --yes`, as `--admin` has it.
const ADMIN_LIFETIME: Duration = Duration::from_hours(18);

/// `windlass update cluster`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Make the changes; without it they are only shown
    #[arg(short, long)]
    yes: bool,
    /// How the plan is printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Exit with 2 when there is something to change and --yes is not given
    #[arg(long)]
    detailed_exitcode: bool,
    /// With --yes, make an administrator's certificate for the kubeconfig, for 18 hours or as long as said
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = export::kubeconfig::LIFETIME,
        value_parser = export::kubeconfig::lifetime
    )]
    admin: Option<Duration>,
    /// Whether --yes writes the cluster into the kubeconfig; with --admin it does in any case
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    create_kube_config: bool,
    #[command(flatten)]
    entry: EntryFlags,
    #[command(flatten)]
    part: PartFlags,
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// As data.
    Json,
}

impl Args {
    /// What `create cluster --yes` goes on with.
    pub(in crate::cli) fn apply(cluster: String) -> Self {
        Self {
            cluster: Some(cluster),
            yes: true,
            output: Format::Text,
            detailed_exitcode: false,
            admin: Some(ADMIN_LIFETIME),
            create_kube_config: true,
            entry: EntryFlags::default(),
            part: PartFlags::default(),
        }
    }
}

impl Args {
    /// What `rollback --yes` goes on with: who may administrate stays as it is.
    pub(in crate::cli) fn of_rollback(cluster: String) -> Self {
        Self { admin: None, ..Self::apply(cluster) }
    }
}

/// Runs `windlass update cluster`.
pub(in crate::cli) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state_to_plan(args.cluster.as_deref()).await?;
    if !args.yes {
        return show(context, &args, &state).await;
    }
    args.entry.check()?;
    // A run that has nothing to do writes nothing, not even the lease; nor does one where there is no cluster.
    let read = context.read(&state).await?;
    // What was never applied has something to do, so that it need not be looked at twice.
    let may_be_done = state.has_applied(&read.documents).await?;
    if may_be_done && let Some(secrets) = planning::stored(&state).await? {
        let is_whole = read.unfinished.is_none();
        let part = args.part.part(&read.documents)?;
        let mut input = Box::pin(PlanningInput::gather(&state, &read.documents)).await?;
        input.part = part;
        let prepared = Box::pin(input.decide(&state, Some(&secrets))).await?;
        let is_settled = !input.part.is_whole() || state.unfinished(&input.documents).await?.is_none();
        if is_whole && prepared.plan.is_empty() && is_settled {
            lease::clear_away(&state).await?;
            print(&prepared.plan, args.output)?;
            return finish(context, &args, &input, &secrets, true).await;
        }
    }
    let work = apply_under_lease(context, &args, &state);
    context.lease_guard(&state, "update cluster").holding(work).await
}

/// Shows the plan.
async fn show(context: &Context, args: &Args, state: &ClusterState) -> anyhow::Result<Exit> {
    let documents = context.read(state).await?.documents;
    let part = args.part.part(&documents)?;
    let (mut input, secrets) = PlanningInput::gather_with_keys(state, &documents).await?;
    input.part = part;
    let plan = input.decide(state, secrets.as_ref()).await?.plan;
    print(&plan, args.output)?;
    if plan.is_empty() {
        return Ok(Exit::Done);
    }
    if args.output == Format::Text {
        let repeat = context.flags_to_repeat();
        output::say(&format!(
            "Nothing was changed. To make these changes: windlass update cluster {}{}{repeat} --yes",
            state.name(),
            args.part.to_repeat()
        ));
    }
    Ok(if args.detailed_exitcode { Exit::Pending } else { Exit::Done })
}

/// Applies the plan of the specification in the state. Needs the lease.
pub(in crate::cli) async fn apply_under_lease(
    context: &Context,
    args: &Args,
    state: &ClusterState,
) -> anyhow::Result<Exit> {
    let documents = context.read(state).await?.documents;
    let part = args.part.part(&documents)?;
    let update = Box::pin(SettledUpdate::prepare_part(state, &documents, part)).await?;
    let plan = &update.prepared.plan;
    print(plan, args.output)?;
    let nothing_done = plan.is_empty();
    let progress = Progress::new(plan);
    let listen = |event: Event<'_>| progress.show(&event);
    let applied = Box::pin(update.apply(state, context.stop(), &listen)).await;
    progress.finish();
    let summary = applied?;
    if !summary.is_complete() {
        return Err(incomplete(context, state, "update cluster", &summary));
    }
    if !nothing_done {
        let (steps, took) = (quantity(summary.done, "step"), summary.took.as_secs_f64());
        output::say(&format!("Done: {steps} in {took:.0} s."));
    }
    finish(context, args, &update.input, &update.secrets, nothing_done).await
}

/// What is left to do when AWS is as it should be.
async fn finish(
    context: &Context,
    args: &Args,
    input: &PlanningInput,
    secrets: &Secrets,
    nothing_done: bool,
) -> anyhow::Result<Exit> {
    let cluster: &Cluster = &input.cluster;
    if args.create_kube_config || args.admin.is_some() || args.entry.ask() {
        let endpoints = endpoint::find(&input.located.clients, cluster).await?;
        match args.entry.server(&endpoints) {
            Some(server) => {
                export::kubeconfig::write(None, &cluster.name, server, secrets, args.admin, &args.entry)?;
            }
            None => output::say("The kubeconfig was not written: the API has no address yet."),
        }
    }
    let repeat = context.flags_to_repeat();
    if !input.part.is_whole() {
        output::say(&format!(
            "Only {} was asked for. To make the rest as the specification says: windlass update cluster {}{repeat} --yes",
            input.part, cluster.name
        ));
    } else if !nothing_done {
        output::say(&format!(
            "\nThe cluster is on its way. To wait until it is there: windlass validate cluster {}{repeat} --wait 10m",
            cluster.name
        ));
    }
    Ok(Exit::Done)
}

pub(in crate::cli) fn print(plan: &Plan, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::print_json(plan),
        Format::Text => {
            output::print(&plan.to_string())?;
            if plan.is_empty() { output::print_line("Nothing to do.") } else { Ok(()) }
        }
    }
}

/// The error of a run of `command` that did not do everything. What failed was said when it happened.
pub(in crate::cli) fn incomplete(
    context: &Context,
    state: &ClusterState,
    command: &str,
    summary: &apply::Summary,
) -> anyhow::Error {
    let hint = summary.failed.iter().find_map(|failure| failure.error.hint());
    let again = format!(
        "run the same command again, it goes on from where it stopped; `windlass {command} {}{}` shows what is left",
        state.name(),
        context.flags_to_repeat()
    );
    let exit = if summary.stopped { Exit::Interrupted } else { Exit::Unreachable };
    Refusal::new(shortfall(summary)).hint(hint.unwrap_or(again)).exit(exit).into()
}
