//! How a node gets its first certificate.

use serde::{Deserialize, Serialize};

use crate::config::{CONFIG_VERSION, NodeConfig};
use crate::file::{self, FileError};
use crate::host::Host;
use crate::keys;
use crate::keyset::Secret;
use crate::kubelet;
use crate::manifests::{self, Credentials, ManifestError};
use crate::retry::{Class, Classed};
use crate::secrets::{self, KUBERNETES_CA, SecretsError};
use crate::state::{StateError, StateStore};

/// What `<cluster>/nodes/bootstrap-token.json` holds: a Kubernetes bootstrap token, valid for an hour, rewritten by
/// the masters every half an hour. It only allows to *ask* for a certificate; every request is checked against EC2
/// before it is approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BootstrapToken {
    /// [`crate::config::CONFIG_VERSION`].
    pub version: String,
    /// `<id>.<secret>`.
    pub token: Secret,
    /// When it stops working, RFC 3339.
    pub expires: jiff::Timestamp,
}

/// What can go wrong while a node joins.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No master has written a token yet.
    #[error("no master has written a bootstrap token yet")]
    NoToken(#[source] Option<StateError>),
    /// The token is from a master that has stopped writing them.
    #[error("the bootstrap token has expired at {0}, and no master has written another one yet")]
    Expired(jiff::Timestamp),
    /// The state.
    #[error("the bootstrap token can't be read")]
    Read(#[source] StateError),
    /// What the state holds is not a token. Deliberately without the parser's words, which may quote it.
    #[error("the state's {0} is not a bootstrap token that this agent understands")]
    Format(String),
    /// tmpfs.
    #[error("there is no place for the bootstrap token")]
    Tmpfs(#[source] SecretsError),
    /// The kubeconfig.
    #[error("the bootstrap kubeconfig can't be rendered")]
    Kubeconfig(#[source] ManifestError),
    /// Its file.
    #[error("the bootstrap kubeconfig can't be written")]
    File(#[source] FileError),
    /// The kubelet asks and nobody has answered yet.
    #[error("the kubelet has no certificate yet: its request waits for a master's approval")]
    NoCertificate,
}

impl Classed for JoinError {
    fn class(&self) -> Class {
        match self {
            Self::NoToken(_) | Self::Expired(_) | Self::NoCertificate => Class::Waiting,
            Self::Read(error) => error.class(),
            Self::Tmpfs(error) => error.class(),
            Self::File(_) => Class::Passing,
            Self::Format(_) | Self::Kubeconfig(_) => Class::Permanent,
        }
    }
}

/// Whether the kubelet has a certificate of its own already, as after a reboot.
pub fn has_certificate(host: &Host) -> bool {
    host.path(kubelet::CLIENT_CERTIFICATE).exists() && host.path(kubelet::NODE_KUBECONFIG).exists()
}

/// Writes the kubeconfig with which the kubelet asks for its first certificate, unless it has one.
///
/// An existing one is replaced when there is a newer token: the kubelet gives up when its token is refused, and reads
/// the file again when systemd starts it again.
pub async fn ensure_bootstrap_kubeconfig(
    host: &Host,
    store: &StateStore,
    config: &NodeConfig,
) -> Result<bool, JoinError> {
    if has_certificate(host) {
        return Ok(false);
    }
    let token = read_token(store, &config.cluster, jiff::Timestamp::now()).await?;
    secrets::ensure_tmpfs(host).await.map_err(JoinError::Tmpfs)?;
    let server = format!("https://{}:{}", config.api.private_address, config.api.port);
    let credentials = Credentials::Token(token.token.expose());
    let text = manifests::kubeconfig(&config.cluster, &server, KUBERNETES_CA, "bootstrap", &credentials)
        .map_err(JoinError::Kubeconfig)?;
    let path = host.path(kubelet::BOOTSTRAP_KUBECONFIG);
    if let Some(folder) = path.parent() {
        file::ensure_folder(folder, 0o700).map_err(JoinError::File)?;
    }
    file::ensure(&path, text, file::PRIVATE).map_err(JoinError::File)
}

async fn read_token(
    store: &StateStore,
    cluster: &str,
    now: jiff::Timestamp,
) -> Result<BootstrapToken, JoinError> {
    let key = keys::bootstrap_token(cluster);
    let bytes = match store.get(&key).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(JoinError::NoToken(None)),
        Err(error @ StateError::Hidden { .. }) => return Err(JoinError::NoToken(Some(error))),
        Err(error) => return Err(JoinError::Read(error)),
    };
    let token: BootstrapToken = match serde_json::from_slice(&bytes) {
        Ok(token) => token,
        Err(_) => return Err(JoinError::Format(key)),
    };
    if token.version != CONFIG_VERSION {
        return Err(JoinError::Format(key));
    }
    if token.expires <= now {
        return Err(JoinError::Expired(token.expires));
    }
    Ok(token)
}

/// Waits for the kubelet's own certificate; meanwhile keeps the token fresh.
pub async fn ensure_certificate(
    host: &Host,
    store: &StateStore,
    config: &NodeConfig,
) -> Result<(), JoinError> {
    if has_certificate(host) {
        return Ok(());
    }
    ensure_bootstrap_kubeconfig(host, store, config).await?;
    Err(JoinError::NoCertificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn store_with(expires: &str) -> (tempfile::TempDir, StateStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::Folder(folder.path().to_owned());
        let token = BootstrapToken {
            version: CONFIG_VERSION.into(),
            token: Secret::new("abcdef.0123456789abcdef"),
            expires: expires.parse().unwrap(),
        };
        store.put(&keys::bootstrap_token("demo"), serde_json::to_vec(&token).unwrap()).await.unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn a_token_is_waited_for_until_there_is_one_that_holds() {
        let now = "2026-11-21T02:00:00Z".parse().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let empty = StateStore::Folder(folder.path().to_owned());
        let error = read_token(&empty, "demo", now).await.unwrap_err();
        assert!(matches!(error, JoinError::NoToken(None)) && error.class() == Class::Waiting);
        let (_folder, store) = store_with("2026-11-21T01:59:59Z").await;
        let error = read_token(&store, "demo", now).await.unwrap_err();
        assert!(matches!(error, JoinError::Expired(_)) && error.class() == Class::Waiting);
        let (_folder, store) = store_with("2026-11-21T02:30:00Z").await;
        assert_eq!(read_token(&store, "demo", now).await.unwrap().token.expose(), "abcdef.0123456789abcdef");
    }

    #[tokio::test]
    async fn a_broken_token_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::Folder(folder.path().to_owned());
        store.put(&keys::bootstrap_token("demo"), b"{\"token\": 17}".to_vec()).await.unwrap();
        let error = read_token(&store, "demo", jiff::Timestamp::now()).await.unwrap_err();
        assert_eq!(error.class(), Class::Permanent);
        assert!(!crate::retry::chain(&error).contains("17"));
    }
}
