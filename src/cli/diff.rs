//! `windlass diff`: how the specification of one revision differs from another's, or from the present one.

use clap::Args as ClapArgs;
use similar::TextDiff;

use super::context::Context;
use super::diagnostic::Exit;
use super::output;

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
    let old = old.to_yaml();
    let (name, new) = if let Some(number) = args.to {
        let new = state.revision(number).await?;
        (format!("revision {number}"), new.to_yaml())
    } else {
        ("present specification".to_owned(), state.read().await?.to_yaml())
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
