//! `windlass delete secret`.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::output;
use crate::state::stored_secrets::SecretKind;

/// `windlass delete secret`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The secret's name, such as dockerconfig
    secret: String,
    /// Delete it; without it what would be deleted is only said
    #[arg(short, long)]
    yes: bool,
}

/// Runs `windlass delete secret`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let cluster = context.explicit_cluster_name(None)?;
    let kind = deletable(&args.secret)?;
    let state = context.cluster_state(Some(&cluster)).await?;
    Box::pin(state.read()).await?;
    let (name, flags) = (kind.name(), context.flags_to_repeat());
    let none = || Refusal::new(format!("the cluster `{cluster}` has no secret `{name}`"));
    if !args.yes {
        state.stored_secret(kind).await?.ok_or_else(none)?;
        output::print_line(&format!("secret/{name}"))?;
        output::say(&format!(
            "Nothing was deleted. To delete it: windlass delete secret {name} --name {cluster}{flags} --yes"
        ));
        return Ok(Exit::Done);
    }
    let guard = context.lease_guard(&state, "delete secret");
    let work = guard.holding(async {
        let (_, version) = state.stored_secret(kind).await?.ok_or_else(none)?;
        Ok::<_, anyhow::Error>(state.delete_stored_secret(kind, &version).await?)
    });
    Box::pin(work).await?;
    output::say(&format!(
        "Deleted secret/{name}\nInstances forget it within minutes. The bucket keeps earlier versions, so let the registry \
         revoke what nobody shall use any more."
    ));
    Ok(Exit::Done)
}

fn deletable(name: &str) -> Result<SecretKind, Refusal> {
    match SecretKind::named(name) {
        Some(kind @ SecretKind::DockerConfig) => Ok(kind),
        Some(SecretKind::EncryptionConfig) => Err(Refusal::new(
            "without the encryption configuration nothing that it encrypts in etcd can be read",
        )
        .hint("replace it: windlass create secret encryptionconfig --help")),
        Some(SecretKind::Keyset(_)) => {
            Err(Refusal::new(format!("without the keyset `{name}` nothing in the cluster trusts anything"))
                .hint("`windlass delete cluster` deletes it with the cluster"))
        }
        None => {
            Err(Refusal::new(format!("there is no secret of the kind `{name}`"))
                .hint("there is dockerconfig"))
        }
    }
}
