//! `windlass diff`: how the specification of one revision differs from another's, or from the present one; alone, how
//! what is applied differs from the present one.

use clap::Args as ClapArgs;
use similar::TextDiff;

use super::context::Context;
use super::diagnostic::{Exit, Refusal};
use super::output;
use crate::state::ClusterState;

/// `windlass diff`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The older revision, as `windlass history` counts them; the one that is applied if left out
    from: Option<u64>,
    /// The newer revision; the present specification if left out
    to: Option<u64>,
    /// Exit with 2 when they differ
    #[arg(long)]
    detailed_exitcode: bool,
}

/// Runs `windlass diff`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state(None).await?;
    let (from, number) = if let Some(number) = args.from {
        (format!("revision {number}"), number)
    } else {
        let number = applied(context, &state).await?;
        (format!("revision {number}, applied"), number)
    };
    let old = state.revision(number).await?;
    if args.from.is_none()
        && let Some(begun) = state.begun().await?
        && let Some(part) = begun.partial
    {
        output::say(&format!("Of revision {} only {part} was applied since.", begun.number));
    }
    let (name, new) = match args.to {
        Some(number) => (format!("revision {number}"), state.revision(number).await?.documents),
        None => ("present specification".to_owned(), context.read(&state).await?.documents),
    };
    let (old, new) = old.documents.masked_yaml_beside(&new);
    if old == new {
        output::say("They say the same.");
        return Ok(Exit::Done);
    }
    let diff = TextDiff::from_lines(&old, &new);
    output::print(&diff.unified_diff().header(&from, &name).to_string())?;
    Ok(if args.detailed_exitcode { Exit::Pending } else { Exit::Done })
}

/// The number of the revision that AWS was last brought to.
async fn applied(context: &Context, state: &ClusterState) -> anyhow::Result<u64> {
    state.applied().await?.ok_or_else(|| {
        let refusal = Refusal::new(format!("nothing of `{}` has been applied yet", state.name()));
        let repeat = context.flags_to_repeat();
        let hint = format!("`windlass update cluster {}{repeat}` shows what would be made", state.name());
        refusal.hint(hint).into()
    })
}
