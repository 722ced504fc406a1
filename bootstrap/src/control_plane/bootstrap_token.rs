//! The short-lived token with which nodes ask for their first certificate: a Secret in the cluster, and its copy in the
//! state, which nodes may read. All it allows is to ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as SecretObject;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use crate::agent::Agent;
use crate::aws::state::{StateError, StateStore};
use crate::background::every::{Every, every};
use crate::contract::bootstrap_token::BootstrapToken;
use crate::contract::config::{self, CONFIG_VERSION};
use crate::contract::keys;
use crate::contract::keyset::Secret;
use crate::kubernetes::api;
use crate::kubernetes::api::ApiError;
use crate::progress::retry::{Class, Classed, chain};
use crate::progress::step::{Done, Step, StepError};

/// How long a token works.
pub const LIFETIME: Duration = Duration::from_hours(1);
/// Makes sure that there is a token.
pub const STEP: Step = Step::until_done("ensure_bootstrap_token").outside();

/// Renews the token. It is looked at several times before another one is needed.
pub const TASK: Every = every("renew_bootstrap_token", Duration::from_mins(5));
/// How often a new one is made: a node that reads one has at least half an hour for it.
pub const RENEWAL: Duration = Duration::from_mins(30);

const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The machine has no randomness.
    #[error("the machine has no randomness for a bootstrap token")]
    Random,
    /// The cluster's half.
    #[error("the bootstrap token can't be put into the cluster")]
    Api(#[source] ApiError),
    /// The state's half.
    #[error("the bootstrap token can't be put into the state")]
    State(#[source] StateError),
    /// It can't be serialised.
    #[error("the bootstrap token is not JSON")]
    Format(#[source] serde_json::Error),
}

impl TokenError {
    /// Whether the state, which holds the nodes' copy, didn't answer.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::State(error) if error.is_outage())
    }
}

impl Classed for TokenError {
    fn class(&self) -> Class {
        match self {
            Self::State(error) => error.class(),
            Self::Api(error) => error.class(),
            Self::Random | Self::Format(_) => Class::Passing,
        }
    }
}

/// The step. New nodes wait for the token; this master doesn't. While the state is away that is reported, and tried again
/// after the boot. Returns whether the token is there.
pub async fn run(agent: &Agent, client: &Client) -> Result<bool, StepError> {
    let Agent { reporter, store, config, .. } = agent;
    let make = async || match ensure(client, store, &config.cluster).await {
        Ok(changed) => Ok(Done { value: true, changed }),
        Err(error) if error.is_outage() => {
            reporter.task(TASK.name(), Some(&chain(&error)));
            Ok(Done::unchanged(false))
        }
        Err(error) => Err(error),
    };
    STEP.run(reporter, make).await
}

/// What can go wrong when it is renewed.
#[derive(Debug, thiserror::Error)]
enum RenewalError {
    #[error("no connection to the API")]
    Connect(#[source] ApiError),
    #[error("the bootstrap token could not be renewed")]
    Token(#[source] TokenError),
}

/// The task. It begins at once, unless the boot has just made sure that the token is there.
pub async fn renew(agent: Arc<Agent>, is_there: bool) {
    let Agent { host, reporter, store, config, .. } = &*agent;
    let work = || async {
        let client = api::connect_as_admin(host).await.map_err(RenewalError::Connect)?;
        ensure(&client, store, &config.cluster).await.map(drop).map_err(RenewalError::Token)
    };
    let task = if is_there { TASK } else { TASK.at_once() };
    task.run(reporter, work).await;
}

/// Makes a new token unless the state's is good for another half hour and the cluster knows it. Returns whether it did.
pub async fn ensure(client: &Client, store: &StateStore, cluster: &str) -> Result<bool, TokenError> {
    let now = Timestamp::now();
    let secrets: Api<SecretObject> = Api::namespaced(client.clone(), "kube-system");
    if let Some(token) = read(store, cluster).await?
        && is_fresh(&token, now)
        && let Some((id, _)) = token.token.expose().split_once('.')
    {
        let known = secrets.get_metadata_opt(&secret_name(id)).await;
        let known =
            known.map_err(|source| TokenError::Api(ApiError::request("show the bootstrap token", source)))?;
        if known.is_some() {
            return Ok(false);
        }
    }
    let (id, secret) = (random(6)?, random(16)?);
    let expires = now + jiff::SignedDuration::from_secs(LIFETIME.as_secs().cast_signed());
    // The cluster first: a node that reads the state's copy can use it at once.
    let object = secret_object(&id, &secret, expires);
    let created = secrets.create(&PostParams::default(), &object).await;
    created.map_err(|source| TokenError::Api(ApiError::request("take the bootstrap token", source)))?;
    let token = BootstrapToken {
        version: CONFIG_VERSION.to_owned(),
        token: Secret::new(format!("{}.{}", id.as_str(), secret.as_str())),
        expires,
    };
    let bytes = serde_json::to_vec_pretty(&token).map_err(TokenError::Format)?;
    store.put(&keys::bootstrap_token(cluster), bytes).await.map_err(TokenError::State)?;
    tracing::info!(id = id.as_str(), %expires, "made a bootstrap token");
    Ok(true)
}

/// What the state holds now. Something that isn't a token, or is of another major version, is replaced like an old one.
async fn read(store: &StateStore, cluster: &str) -> Result<Option<BootstrapToken>, TokenError> {
    match store.get(&keys::bootstrap_token(cluster)).await {
        Ok(bytes) => Ok(bytes.and_then(|bytes| config::read(&bytes).ok())),
        Err(StateError::Hidden { .. }) => Ok(None),
        Err(error) => Err(TokenError::State(error)),
    }
}

fn is_fresh(token: &BootstrapToken, now: Timestamp) -> bool {
    token.expires.duration_since(now).as_secs() > RENEWAL.as_secs().cast_signed()
}

fn secret_name(id: &str) -> String {
    format!("bootstrap-token-{id}")
}

/// The Secret's form is Kubernetes' own (reference/access-authn-authz/bootstrap-tokens).
fn secret_object(id: &str, secret: &str, expires: Timestamp) -> SecretObject {
    let expires = Timestamp::from_second(expires.as_second()).unwrap_or(expires);
    let data = [
        ("token-id", id.to_owned()),
        ("token-secret", secret.to_owned()),
        ("expiration", expires.to_string()),
        ("usage-bootstrap-authentication", "true".to_owned()),
        ("description", "Lets new nodes ask for a certificate. Made by windlass-bootstrap.".to_owned()),
    ];
    let data: BTreeMap<String, ByteString> =
        data.into_iter().map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect();
    SecretObject {
        metadata: ObjectMeta {
            name: Some(secret_name(id)),
            namespace: Some("kube-system".to_owned()),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), "windlass".to_owned())].into()),
            ..ObjectMeta::default()
        },
        type_: Some("bootstrap.kubernetes.io/token".to_owned()),
        data: Some(data),
        ..SecretObject::default()
    }
}

/// Random characters of a token. Bytes beyond the last whole multiple of the alphabet are thrown away, so that no
/// character is likelier than another.
fn random(length: usize) -> Result<zeroize::Zeroizing<String>, TokenError> {
    let generator = SystemRandom::new();
    let mut text = zeroize::Zeroizing::new(String::with_capacity(length));
    while text.len() < length {
        let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
        generator.fill(bytes.as_mut()).map_err(|_| TokenError::Random)?;
        let usable = bytes.iter().filter(|byte| usize::from(**byte) < 256 / ALPHABET.len() * ALPHABET.len());
        for byte in usable.take(length - text.len()) {
            text.push(char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_form_that_kubernetes_asks_for() {
        let (id, secret) = (random(6).unwrap(), random(16).unwrap());
        for (text, length) in [(&id, 6), (&secret, 16)] {
            assert_eq!(text.len(), length);
            assert!(text.bytes().all(|byte| ALPHABET.contains(&byte)), "{}", text.as_str());
        }
        assert_ne!(*random(16).unwrap(), *secret);
        let object = secret_object("abcdef", "0123456789abcdef", "2026-11-21T03:00:00.5Z".parse().unwrap());
        assert_eq!(object.metadata.name.as_deref(), Some("bootstrap-token-abcdef"));
        let data = object.data.unwrap();
        assert_eq!(
            data["expiration"].0, b"2026-11-21T03:00:00Z",
            "to the second, as the token cleaner reads it"
        );
    }

    #[tokio::test]
    async fn a_newer_masters_token_is_as_good_as_an_own_one() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::Folder(folder.path().to_owned());
        let token = r#"{"version":"windlass/v1.4","token":"abcdef.0123456789abcdef",
            "expires":"2026-11-21T03:00:00Z","more":1}"#;
        for (version, is_read) in [("windlass/v1.4", true), ("windlass/v2", false)] {
            let token = token.replace("windlass/v1.4", version);
            store.put(&keys::bootstrap_token("demo"), token.into_bytes()).await.unwrap();
            let found = read(&store, "demo").await.unwrap();
            let now = "2026-11-21T02:00:00Z".parse().unwrap();
            assert_eq!(found.is_some_and(|token| is_fresh(&token, now)), is_read, "{version}");
        }
    }

    #[test]
    fn a_token_is_renewed_at_half_its_life() {
        let now: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
        let token = |expires: &str| BootstrapToken {
            version: CONFIG_VERSION.into(),
            token: Secret::new("abcdef.0123456789abcdef"),
            expires: expires.parse().unwrap(),
        };
        assert!(is_fresh(&token("2026-11-21T03:00:00Z"), now));
        assert!(!is_fresh(&token("2026-11-21T02:30:00Z"), now));
        assert!(!is_fresh(&token("2026-11-21T01:00:00Z"), now));
    }
}
