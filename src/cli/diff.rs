//! `windlass diff`: how the specification of one revision differs from another's, or from the present one.

use clap::Args as ClapArgs;
use similar::TextDiff;

use super::context::Context;
use super::diagnostic::Exit;
use super::output;
use crate::spec::to_yaml;
use crate::spec::v1alpha2::{Cluster, InstanceGroup, SshCredential};

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
    let old = text(&old.cluster, &old.instance_groups, &old.ssh_credentials);
    let (name, new) = if let Some(number) = args.to {
        let new = state.revision(number).await?;
        (format!("revision {number}"), text(&new.cluster, &new.instance_groups, &new.ssh_credentials))
    } else {
        let (cluster, groups, credentials) = state.read().await?.documents();
        ("present specification".to_owned(), text(&cluster, &groups, &credentials))
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

fn text(cluster: &Cluster, groups: &[InstanceGroup], credentials: &[SshCredential]) -> String {
    let documents = std::iter::once(to_yaml(cluster)).chain(groups.iter().map(to_yaml));
    documents.chain(credentials.iter().map(to_yaml)).collect::<Vec<_>>().join("---\n")
}
