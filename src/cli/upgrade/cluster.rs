//! `windlass upgrade cluster`: shows what another Kubernetes version changes in the specification, and with `--yes`
//! writes it. AWS is brought there by `update cluster`.

use clap::Args as ClapArgs;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::output::{self, Table};
use crate::cli::update::cluster::Format;
use crate::ops::{Running, SpecificationChange};
use crate::spec::Documents;
use crate::spec::problem::Problem;
use crate::spec::upgrade::{self, Upgrade, Way};

/// `windlass upgrade cluster`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// The version to go to, such as 1.36.3; the newest that windlass knows if left out
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<String>,
    /// Have masters run the new version and act as the old one, until `upgrade finish` or `upgrade back`; nodes stay at the old
    /// one meanwhile
    #[arg(long)]
    soak: bool,
    /// Write the changes to the state; without it they are only shown
    #[arg(short, long)]
    yes: bool,
    /// How the changes are printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// `windlass upgrade finish` and `windlass upgrade back`.
#[derive(Debug, ClapArgs)]
pub(crate) struct EndArgs {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Write the changes to the state; without it they are only shown
    #[arg(short, long)]
    yes: bool,
    /// How the changes are printed
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs `windlass upgrade cluster`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let way = if args.soak { Way::Soak } else { Way::Direct };
    let wanted = args.kubernetes_version.as_deref();
    let end = EndArgs { cluster: args.cluster, yes: args.yes, output: args.output };
    let repeat = |upgrade: &Upgrade| {
        let soak = if args.soak { " --soak" } else { "" };
        format!(" --kubernetes-version {}{soak}", upgrade.to)
    };
    change(context, end, "upgrade cluster", |documents| upgrade::propose(documents, wanted, way), repeat)
        .await
}

/// Runs `windlass upgrade finish`.
pub(super) async fn finish(context: &Context, args: EndArgs) -> anyhow::Result<Exit> {
    change(context, args, "upgrade finish", upgrade::finish, |_| String::new()).await
}

/// Runs `windlass upgrade back`.
pub(super) async fn back(context: &Context, args: EndArgs) -> anyhow::Result<Exit> {
    change(context, args, "upgrade back", upgrade::back, |_| String::new()).await
}

/// Shows what a command changes, and writes it with `--yes`. `repeat` is what its flags are besides those of all.
async fn change(
    context: &Context,
    args: EndArgs,
    command: &str,
    propose: impl FnOnce(&Documents) -> Result<Upgrade, Problem>,
    repeat: impl Fn(&Upgrade) -> String,
) -> anyhow::Result<Exit> {
    let state = context.cluster_state(args.cluster.as_deref()).await?;
    let read = context.read(&state).await?;
    let upgrade = propose(&read.documents).map_err(refusal)?;
    let change = SpecificationChange::writing(upgrade.written.clone());
    if upgrade.changes.is_empty() {
        if args.yes {
            context.lease_guard(&state, command).leave_nothing(&read).await?;
        }
        print(&upgrade, args.output)?;
        output::say(&format!("No upgrade required: the cluster runs Kubernetes {}.", upgrade.from));
        return Ok(Exit::Done);
    }
    change.check(&read.documents, &Running::of(&state).await?)?;
    print(&upgrade, args.output)?;
    for group in &upgrade.unknown_images {
        output::say(&format!(
            "warning: the image of instance group {group} is named by its id or a parameter, which doesn't say what it holds: name one of \
             Kubernetes {} with `windlass edit ig {group} --name {}`",
            upgrade.to,
            state.name()
        ));
    }
    let (name, flags) = (state.name(), context.flags_to_repeat());
    if !args.yes {
        output::say(&format!(
            "Nothing was changed. To make these changes: windlass {command} {name}{flags}{} --yes",
            repeat(&upgrade)
        ));
        return Ok(Exit::Done);
    }
    change.write(&context.lease_guard(&state, command), &read).await?;
    output::say(&format!(
        "The specification says Kubernetes {} now. To bring it to AWS: windlass update cluster {name}{flags} --yes",
        upgrade.to
    ));
    Ok(Exit::Done)
}

fn refusal(problem: Problem) -> Refusal {
    let refusal = Refusal::new(problem.headline());
    match problem.hint {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    changes: &'a [upgrade::PropertyChange],
}

fn print(upgrade: &Upgrade, format: Format) -> anyhow::Result<()> {
    match format {
        Format::Json => output::print_json(&Shown { changes: &upgrade.changes }),
        Format::Text if upgrade.changes.is_empty() => Ok(()),
        Format::Text => {
            let mut table = Table::new(["ITEM", "PROPERTY", "OLD", "NEW"]).in_order();
            for upgrade::PropertyChange { item, property, old, new } in &upgrade.changes {
                table.row([item.clone(), (*property).to_owned(), old.clone(), new.clone()]);
            }
            output::print(&table.render())
        }
    }
}
