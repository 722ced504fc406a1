//! `windlass delete sshpublickey`.

use clap::Args as ClapArgs;

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::{get, output};
use crate::ops::{Running, SpecificationChange};
use crate::pki::ssh;
use crate::spec::DocumentName;
use crate::spec::v1alpha2::{Object, SshCredential};

/// `windlass delete sshpublickey`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The key's name or fingerprint; may be left out where there is only one
    key: Option<String>,
    /// Delete it; without it what would be deleted is only said
    #[arg(short, long)]
    yes: bool,
}

/// Runs `windlass delete sshpublickey`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let cluster = context.explicit_cluster_name(None)?;
    let state = context.cluster_state(Some(&cluster)).await?;
    let read = context.read(&state).await?;
    let doomed = choose(&read.documents.ssh_credentials, &cluster, args.key.as_deref())?;
    let (name, fingerprint) = (doomed.name().to_owned(), fingerprint(doomed));
    let flags = context.flags_to_repeat();
    if !args.yes {
        output::print_line(&format!("sshpublickey/{name} {fingerprint}"))?;
        output::say(&format!(
            "Nothing was deleted. To delete it: windlass delete sshpublickey {name} --name {cluster}{flags} --yes"
        ));
        return Ok(Exit::Done);
    }
    let change = SpecificationChange::removing([DocumentName::SshCredential(name.clone())]);
    change.check(&read.documents, &Running::of(&state).await?)?;
    change.write(&context.lease_guard(&state, "delete sshpublickey"), &read).await?;
    output::say(&format!("Deleted sshpublickey/{name}"));
    output::say(&format!(
        "Instances that are launched from now on are without it after: windlass update cluster --name {cluster}{flags} \
         --yes\nThose that run keep it in ~/.ssh/authorized_keys."
    ));
    Ok(Exit::Done)
}

fn choose<'a>(
    keys: &'a [SshCredential],
    cluster: &str,
    wanted: Option<&str>,
) -> Result<&'a SshCredential, Refusal> {
    let Some(wanted) = wanted else {
        return match keys {
            [only] => Ok(only),
            [] => Err(Refusal::new(format!("the cluster `{cluster}` has no SSH key"))),
            several => {
                let names: Vec<&str> = several.iter().map(Object::name).collect();
                Err(Refusal::new(format!("which SSH key? There are {}", names.join(", "))).hint("name one"))
            }
        };
    };
    let mut found = keys.iter().filter(|key| key.name() == wanted || fingerprint(key) == wanted);
    found.next().ok_or_else(|| get::ssh_public_keys::none(cluster, wanted))
}

fn fingerprint(credential: &SshCredential) -> String {
    credential.spec.public_key.as_deref().and_then(ssh::fingerprint).unwrap_or_default()
}
