//! `windlass update cluster`: plans, shows, and applies.

use clap::Args as ClapArgs;

use super::context::Context;
use super::diagnostic::{Exit, Refusal};

/// `windlass update cluster`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
}

impl Args {
    /// What `create cluster --yes` goes on with.
    pub(super) fn apply(cluster: String) -> Self {
        Self { cluster: Some(cluster) }
    }
}

/// Runs `windlass update cluster`.
#[expect(clippy::unused_async, reason = "every command is run the same way")]
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let _ = (context, args);
    Err(Refusal::new("`windlass update cluster` is not built into this version of windlass").into())
}
