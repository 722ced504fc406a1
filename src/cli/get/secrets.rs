//! `windlass get secrets`: which there are, and since when; never what they say. What is damaged is named, and fails it.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::diagnostic::{self, Exit, Refusal};
use crate::cli::output::{self, Format, Table};
use crate::state::stored_secrets::SecretKind;

/// `windlass get secrets`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The names of the secrets; all if left out
    secrets: Vec<String>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Runs `windlass get secrets`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state(None).await?;
    Box::pin(state.read()).await?;
    let mut held = state.stored_secrets().await?;
    let damages = state.damaged_secrets().await?;
    // One that is lost was there: it is told of as damage.
    let is_damaged = |name: &str| {
        let key = SecretKind::named(name).map(|kind| kind.key(state.name()));
        key.is_some_and(|key| damages.iter().any(|damage| damage.key == key))
    };
    let is_held = |name: &str| held.iter().any(|secret| secret.name == name);
    if let Some(name) = args.secrets.iter().find(|name| !is_held(name) && !is_damaged(name)) {
        let refusal = Refusal::new(format!("the cluster `{}` has no secret `{name}`", state.name()));
        diagnostic::report_damages(damages);
        return Err(refusal
            .hint(format!("see which there are: windlass get secrets --name {}", state.name()))
            .into());
    }
    held.retain(|secret| args.secrets.is_empty() || args.secrets.iter().any(|name| name == secret.name));
    match args.output {
        Format::Table => {
            let mut table = Table::new(["NAME", "KIND", "SINCE"]);
            for secret in &held {
                let since = secret.since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
                table.row([secret.name.to_owned(), secret.kind.to_owned(), since]);
            }
            output::print(&table.render())?;
        }
        format => output::print_documents(&held, format)?,
    }
    Ok(diagnostic::report_damages(damages))
}
