//! `windlass diff`: how the specification of one revision differs from another's, or from the present one.

use clap::Args as ClapArgs;
use similar::TextDiff;

use super::context::Context;
use super::diagnostic::Exit;
use super::output;
use crate::spec::additional::masked_pair;

/// `windlass diff`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The older revision, as `windlass history` counts them
    from: u64,
    /// The newer revision; the present specification if left out
    to: Option<u64>,
    /// Exit with 2 when they differ
    #[arg(long)]
    detailed_exitcode: bool,
}

/// Runs `windlass diff`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state(None).await?;
    let old = state.revision(args.from).await?;
    let (name, (old, new)) = if let Some(number) = args.to {
        let new = state.revision(number).await?;
        let (before, after) = masked_pair(&old.additional_objects, &new.additional_objects);
        (format!("revision {number}"), (old.to_yaml_with(&before), new.to_yaml_with(&after)))
    } else {
        let new = state.read().await?;
        let (before, after) = masked_pair(&old.additional_objects, &new.objects());
        ("present specification".to_owned(), (old.to_yaml_with(&before), new.to_yaml_with(&after)))
    };
    if old == new {
        output::say("They say the same.");
        return Ok(Exit::Done);
    }
    let diff = TextDiff::from_lines(&old, &new);
    let from = format!("revision {}", args.from);
    output::print(&diff.unified_diff().header(&from, &name).to_string())?;
    Ok(if args.detailed_exitcode { Exit::Pending } else { Exit::Done })
}
