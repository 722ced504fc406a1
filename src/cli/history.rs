//! `windlass history`: what was applied, by whom, when.

use clap::Args as ClapArgs;

use super::context::Context;
use super::diagnostic::{self, Exit, Refusal};
use super::output::{self, Format, Table};
use crate::state::StateError;
use crate::state::revision::Revision;

/// `windlass history`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs `windlass history`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state(args.cluster.as_deref()).await?;
    let (mut revisions, mut damages) = state.history().await?;
    let applied = match state.applied().await {
        Err(StateError::Damaged(damage)) => {
            damages.push(*damage);
            None
        }
        applied => applied?,
    };
    if revisions.is_empty() && damages.is_empty() {
        let refusal = Refusal::new(format!("nothing of `{}` has been applied yet", state.name()));
        return Err(refusal.hint("`windlass update cluster --yes` applies it").into());
    }
    match args.output {
        Format::Table => output::print(&table(&revisions, applied).render())?,
        format => {
            revisions = revisions.into_iter().map(Revision::masked).collect();
            output::print_documents(&revisions, format)?;
        }
    }
    Ok(diagnostic::report_damages(damages))
}

/// A line for each revision, in their order.
pub(super) fn table(revisions: &[Revision], applied: Option<u64>) -> Table<6> {
    let mut table = Table::new(["REVISION", "APPLIED", "TIME", "BY", "WINDLASS", "CHANGES"]).in_order();
    for revision in revisions {
        let mark = if applied == Some(revision.number) { "*" } else { "" };
        table.row([
            revision.number.to_string(),
            mark.to_owned(),
            revision.time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            format!("{}@{}", revision.user, revision.host),
            revision.windlass.clone(),
            match &revision.partial {
                Some(part) => format!("{} (in part: {part})", revision.steps()),
                None => revision.steps().to_string(),
            },
        ]);
    }
    table
}
