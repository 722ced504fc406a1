//! `windlass export kubeconfig`: writes a cluster into the file that kubectl reads, and with `--admin` a client
//! certificate for some hours.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args as ClapArgs;
use windlass_bootstrap::endpoint::Endpoint;

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::output;
use crate::kube::endpoint;
use crate::ops::Located;
use crate::pki::client::{self, ADMINISTRATORS};
use crate::pki::kubeconfig::{self, Entry};
use crate::spec::cluster::Cluster;
use crate::spec::endpoint::ApiEndpoints;
use crate::state::{ClusterState, Holder, Secrets};

/// How long an administrator's certificate is good if nothing else is said: as with kops, a working day and a night.
pub(in crate::cli) const LIFETIME: &str = "18h";

/// The longest: what can't be revoked must not last.
const LONGEST: Duration = Duration::from_hours(24 * 30);

/// `windlass export kubeconfig`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// Make an administrator's certificate, for 18 hours or as long as said
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = LIFETIME, require_equals = true, value_parser = lifetime)]
    admin: Option<Duration>,
    /// The file; if left out, the one that kubectl would write
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Where the API is reached; if left out, at its own address
    #[arg(long, value_name = "URL", conflicts_with = "internal")]
    api_server: Option<String>,
    #[command(flatten)]
    entry: EntryFlags,
}

/// How the cluster stands in the kubeconfig.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(in crate::cli) struct EntryFlags {
    /// Reach the API by its internal name, or without a hosted zone by a master's private address
    #[arg(long)]
    internal: bool,
    /// A user that the kubeconfig has already, in place of a credential of windlass's
    #[arg(long, value_name = "USER", conflicts_with = "admin")]
    user: Option<String>,
}

impl EntryFlags {
    /// Where the API is reached, as far as AWS has what it takes.
    pub(in crate::cli) fn server(&self, endpoints: &ApiEndpoints) -> Option<String> {
        if self.internal {
            return Some(endpoints.internal.url());
        }
        endpoints.kubeconfig.as_ref().map(Endpoint::url)
    }

    /// Fails where the kubeconfig hasn't the user, before anything is done that ends with writing it.
    pub(in crate::cli) fn check(&self) -> anyhow::Result<()> {
        match &self.user {
            Some(user) => Ok(kubeconfig::check_user(&kubeconfig::default_path()?, user)?),
            None => Ok(()),
        }
    }

    /// Whether something is asked of the kubeconfig.
    pub(in crate::cli) fn ask(&self) -> bool {
        self.internal || self.user.is_some()
    }
}

/// Runs `windlass export kubeconfig`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    let state = context.cluster_state(args.cluster.as_deref()).await?;
    let cluster = context.read(&state).await?.resolve()?;
    let secrets = state.secrets().await?;
    let server = if let Some(server) = args.api_server {
        server
    } else {
        server_of(&state, &cluster, &args.entry).await?
    };
    write(args.kubeconfig, &cluster.name, server, &secrets, args.admin, &args.entry)?;
    Ok(Exit::Done)
}

/// Where the API is reached, as far as AWS has what it takes.
async fn server_of(state: &ClusterState, cluster: &Cluster, entry: &EntryFlags) -> anyhow::Result<String> {
    let clients = Located::find(state, &cluster.region).await?.clients;
    let endpoints = Box::pin(endpoint::find(&clients, cluster)).await?;
    let server = entry.server(&endpoints).ok_or_else(|| {
        Refusal::new(format!("the API of `{}` has no address yet", cluster.name))
            .hint("`windlass update cluster --yes` makes it")
    })?;
    Ok(server)
}

/// Writes a cluster into the kubeconfig and makes it the current one; with a lifetime, an administrator's certificate
/// too. Without one a credential that is there stays as it is, and that there is none is said.
pub(in crate::cli) fn write(
    path: Option<PathBuf>,
    cluster: &str,
    server: String,
    secrets: &Secrets,
    admin: Option<Duration>,
    entry: &EntryFlags,
) -> anyhow::Result<()> {
    let path = path.map_or_else(kubeconfig::default_path, Ok)?;
    let issue = |lifetime| {
        let Holder { user, host, .. } = Holder::this_process("export kubeconfig");
        let user = format!("{user}@{host}");
        client::issue(&secrets.kubernetes_ca, &user, ADMINISTRATORS, lifetime, SystemTime::now())
    };
    let entry = Entry {
        name: cluster.to_owned(),
        server,
        authorities: secrets.kubernetes_ca.bundle(),
        user: admin.map(issue).transpose()?,
        existing_user: entry.user.clone(),
    };
    kubeconfig::add(&path, &entry)?;
    output::say(&format!("Exported kubeconfig: {} now talks to {cluster} by default.", path.display()));
    if !kubeconfig::has_credential(&path, cluster) {
        output::say(&format!(
            "warning: exported without a credential; `windlass export kubeconfig {cluster} --admin` makes one"
        ));
    }
    Ok(())
}

/// `18h`, `90m`; from a minute to thirty days.
pub(in crate::cli) fn lifetime(text: &str) -> Result<Duration, String> {
    let lifetime =
        humantime::parse_duration(text).map_err(|error| format!("write one such as 18h: {error}"))?;
    if lifetime < Duration::from_mins(1) || lifetime > LONGEST {
        return Err("it must be between one minute and thirty days".to_owned());
    }
    Ok(lifetime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_some_hours_and_not_for_ever() {
        assert_eq!(lifetime("18h"), Ok(Duration::from_hours(18)));
        assert_eq!(lifetime("1h30m"), Ok(Duration::from_mins(90)));
        for wrong in ["", "x", "10s", "31days", "-1h"] {
            assert!(lifetime(wrong).is_err(), "{wrong}");
        }
    }
}
