//! `windlass create secret`: credentials for image registries, and what the API server encrypts Secrets with.
//!
//! Nothing of a secret is ever printed, and none is part of the specification, a plan or a revision.

use anyhow::Context as _;
use clap::{Args as ClapArgs, Subcommand};
use jiff::{SignedDuration, Timestamp};
use windlass_bootstrap::keys;
use windlass_bootstrap::keyset::Secret;
use zeroize::Zeroizing;

use crate::cli::context::Context;
use crate::cli::diagnostic::{Exit, Refusal};
use crate::cli::{files, output};
use crate::pki::docker_config;
use crate::pki::encryption_configuration::EncryptionConfiguration;
use crate::spec::quantity;
use crate::state::encryption_writers::Writers;
use crate::state::stored_secrets::SecretKind;
use crate::state::{ClusterState, SecretsError, Version};

/// `windlass create secret`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Give all instances credentials for image registries
    #[command(name = "dockerconfig")]
    DockerConfig(DockerConfig),
    /// Replace what the API server encrypts Secrets with
    #[command(name = "encryptionconfig")]
    EncryptionConfig(EncryptionConfig),
    #[command(external_subcommand)]
    Other(Vec<String>),
}

#[derive(Debug, ClapArgs)]
struct DockerConfig {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// A file in the form of docker's config.json; - for standard input
    #[arg(short, long, value_name = "FILE")]
    filename: String,
    /// Replace the one that is there
    #[arg(long)]
    force: bool,
}

#[derive(Debug, ClapArgs)]
struct EncryptionConfig {
    /// The cluster's name; or use --name
    cluster: Option<String>,
    /// An EncryptionConfiguration in YAML or JSON; - for standard input
    #[arg(short, long, value_name = "FILE")]
    filename: String,
    /// Put today's keys behind those of the file, so that what is encrypted with them can be read
    #[arg(long)]
    keep_old_keys: bool,
    /// Say that everything in etcd was written again with today's configuration, so that all other keys may go
    #[arg(long)]
    all_reencrypted: bool,
    /// Replace it even if what is encrypted today can't be read any more
    #[arg(long)]
    force: bool,
}

/// How long it takes until every master writes with a new configuration: they look for it once an hour.
const UNTIL_MASTERS_FOLLOW: SignedDuration = SignedDuration::from_mins(65);

/// Runs `windlass create secret`.
pub(super) async fn run(context: &Context, args: Args) -> anyhow::Result<Exit> {
    match args.what {
        What::DockerConfig(args) => docker_config(context, args).await,
        What::EncryptionConfig(args) => encryption_config(context, args).await,
        What::Other(words) => Err(refused(words.first().map(String::as_str).unwrap_or_default()).into()),
    }
}

/// What kops has, and windlass has not, is refused by name.
fn refused(kind: &str) -> Refusal {
    let message = |what: &str| Refusal::new(format!("`{kind}` is {what}"));
    match kind {
        "ciliumpassword" | "cilium" => {
            message("for Cilium's IPsec, and windlass doesn't support Cilium yet").hint("see docs/kops.md")
        }
        "weavepassword" | "weave" => message("for Weave, which is no longer maintained")
            .hint("the network plug-ins are flannel, and your own (`cni: {}`)"),
        "sshpublickey" => {
            message("a command of its own").hint("write `windlass create sshpublickey -i FILE`")
        }
        "keypair" | "ca" => message("no secret that is given: windlass makes a cluster's authorities itself")
            .hint("see them: windlass get secrets"),
        _ => Refusal::new(format!("there is no secret of the kind `{kind}`"))
            .hint("there are dockerconfig and encryptionconfig"),
    }
}

async fn docker_config(context: &Context, args: DockerConfig) -> anyhow::Result<Exit> {
    const KIND: SecretKind = SecretKind::DockerConfig;
    let text = Zeroizing::new(files::read_text(&args.filename)?);
    let secret = docker_config::parse(&text).with_context(|| unusable(&args.filename))?;
    let state = existing(context, args.cluster.as_deref()).await?;
    let name = KIND.name();
    let guard = context.lease_guard(&state, "create secret");
    let work = guard.holding(async {
        let held = state.stored_secret(KIND).await?;
        if let Some((known, version)) = &held {
            if *known == secret {
                return Ok(false);
            }
            if !args.force {
                let refusal = Refusal::new(format!("`{}` has a secret `{name}` already", state.name()));
                return Err(refusal.hint("replace it with --force").into());
            }
            return put(&state, KIND, &secret, Some(version)).await;
        }
        put(&state, KIND, &secret, None).await
    });
    if !Box::pin(work).await? {
        output::say(&format!("The cluster has this secret/{name} already."));
        return Ok(Exit::Done);
    }
    output::say(&format!(
        "Created secret/{name}\nInstances of an image that knows of it take it when they boot, and within minutes while \
         they run; kubelets use it for every pod of theirs."
    ));
    Ok(Exit::Done)
}

async fn encryption_config(context: &Context, args: EncryptionConfig) -> anyhow::Result<Exit> {
    const KIND: SecretKind = SecretKind::EncryptionConfig;
    let text = Zeroizing::new(files::read_text(&args.filename)?);
    let wanted = EncryptionConfiguration::parse(&text).with_context(|| unusable(&args.filename))?;
    let state = existing(context, args.cluster.as_deref()).await?;
    let name = KIND.name();
    let guard = context.lease_guard(&state, "create secret");
    let work = guard.holding(async {
        // One that is lost is brought back: what it encrypted needs its keys.
        if !args.force {
            check_lost(&state).await?;
        }
        let Some((today, version)) = state.stored_secret(KIND).await? else {
            return put(&state, KIND, wanted.json(), None).await;
        };
        let mut writers = state.encryption_writers().await?;
        if args.all_reencrypted {
            check_followed(&state, args.force).await?;
            writers.all_written_with(&parsed(&today)?);
        }
        let next = succeed(&wanted, &today, &writers, &args)?;
        // First the record: a key that writes is recorded before it does.
        if let Ok(today) = EncryptionConfiguration::parse(today.expose()) {
            writers.add(&today);
        }
        writers.all.retain(|writer| next.can_not_read_of(std::slice::from_ref(writer)).is_empty());
        writers.add(&next);
        state.record_encryption_writers(&writers).await?;
        if *next.json() == today {
            return Ok(false);
        }
        put(&state, KIND, next.json(), Some(&version)).await
    });
    if !Box::pin(work).await? {
        output::say(&format!("The cluster has this secret/{name} already."));
        return Ok(Exit::Done);
    }
    output::say(&format!("Replaced secret/{name}"));
    if wanted.leaves_secrets_open() {
        output::say(
            "warning: Secrets are written to etcd as they are: no provider with a key comes first for them",
        );
    }
    output::say(
        "Masters take it within an hour, and when they boot; the API server reads it without a restart.\n\
         What is written already stays as it is until it is written again, which is safe from an hour on:\n  \
         kubectl get secrets --all-namespaces -o json | kubectl replace -f -\n\
         Keys that ever wrote stay in the configuration until --all-reencrypted says that this was done.",
    );
    Ok(Exit::Done)
}

/// Fails where the configuration of an applied cluster is missing or empty.
async fn check_lost(state: &ClusterState) -> Result<(), SecretsError> {
    let key = keys::encryption_configuration(state.name());
    match state.damaged_secrets().await? {
        damages if damages.iter().any(|damage| damage.key == key) => {
            let damages = damages.into_iter().filter(|damage| damage.key == key).collect();
            Err(SecretsError::Damaged { cluster: state.name().to_owned(), damages })
        }
        _ => Ok(()),
    }
}

/// Fails while some master may not yet write with today's configuration: what it writes then is not written again.
async fn check_followed(state: &ClusterState, force: bool) -> anyhow::Result<()> {
    let written = state.store().written(&keys::encryption_configuration(state.name())).await?;
    let age = written.map_or(SignedDuration::MAX, |written| Timestamp::now().duration_since(written));
    if force || age >= UNTIL_MASTERS_FOLLOW {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "today's configuration is {} old, and masters take a new one within an hour: what was written \
         again meanwhile may be encrypted with the earlier key",
        quantity(age.as_mins(), "minute")
    ))
    .hint(
        "wait until it is 65 minutes old; then kubectl get secrets --all-namespaces -o json | kubectl replace -f -; \
         and then this command again",
    )
    .into())
}

fn parsed(today: &Secret) -> anyhow::Result<EncryptionConfiguration> {
    EncryptionConfiguration::parse(today.expose()).map_err(|problems| {
        anyhow::Error::new(problems).context(
            "the configuration in the state can't be understood, so nobody can tell what the new one must read; \
             --force replaces it",
        )
    })
}

/// What shall be kept, if everything can be read with it that today's configuration writes, and that was ever written
/// and not again since.
fn succeed(
    wanted: &EncryptionConfiguration,
    today: &Secret,
    writers: &Writers,
    args: &EncryptionConfig,
) -> anyhow::Result<EncryptionConfiguration> {
    let today = match parsed(today) {
        Err(_) if args.force => return Ok(wanted.clone()),
        today => today?,
    };
    let next = if args.keep_old_keys { wanted.keeping_keys_of(&today)? } else { wanted.clone() };
    let mut lost = next.can_not_read(&today);
    if lost.is_empty() {
        lost = next.can_not_read_of(&writers.all);
    }
    if !lost.is_empty() && !args.force {
        let refusal = Refusal::new(format!("etcd's data could not be read any more: {}", lost.join("; ")));
        return Err(refusal
            .hint(
                "--keep-old-keys puts today's keys behind yours. An old key may go when everything was written again: \
                 an hour after the new one came first, kubectl get secrets --all-namespaces -o json | kubectl replace \
                 -f -, and the same for every other encrypted resource; then give the file without the old key and \
                 with --all-reencrypted. --force replaces the keys at once, and what they encrypt is lost",
            )
            .into());
    }
    Ok(next)
}

/// The state of a cluster that is there.
async fn existing(context: &Context, cluster: Option<&str>) -> anyhow::Result<ClusterState> {
    let state = context.cluster_state(cluster).await?;
    Box::pin(state.read()).await?;
    Ok(state)
}

async fn put(
    state: &ClusterState,
    kind: SecretKind,
    secret: &Secret,
    read: Option<&Version>,
) -> anyhow::Result<bool> {
    state.put_stored_secret(kind, secret, read).await?;
    Ok(true)
}

fn unusable(file: &str) -> String {
    format!("the secret in {file} can't be used")
}
