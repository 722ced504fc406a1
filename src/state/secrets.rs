//! The keys of a cluster: made once, by whoever comes first, and only read after that.

use std::time::SystemTime;

use thiserror::Error;
use windlass_bootstrap::config::CONFIG_VERSION;
use windlass_bootstrap::keys;
use windlass_bootstrap::keyset::{Keyset, Secret};

use super::cluster_state::ClusterState;
use super::store::{Condition, StoreError};
use crate::pki::keyset::{self, ETCD_CA, FRONT_PROXY_CA, KUBERNETES_CA, SERVICE_ACCOUNT};
use crate::pki::{PkiError, encryption};

/// Every key of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    /// Signs what the API server and its clients show each other.
    pub kubernetes_ca: Keyset,
    /// Signs what etcd and its clients show each other.
    pub etcd_ca: Keyset,
    /// Signs what the API server shows to aggregated API servers.
    pub front_proxy_ca: Keyset,
    /// Signs service-account tokens.
    pub service_account: Keyset,
    /// The API server's `EncryptionConfiguration`, as JSON.
    pub encryption_configuration: Secret,
}

/// Why the keys could not be read or made.
#[derive(Debug, Error)]
pub enum SecretsError {
    /// There is none.
    #[error("the state of `{cluster}` has no `{name}`")]
    Missing {
        /// The cluster's name.
        cluster: String,
        /// The keyset's name.
        name: String,
    },
    /// What is there can't be read; its content isn't shown.
    #[error("`{key}` in the state is not a keyset of version {CONFIG_VERSION}")]
    Malformed {
        /// Its key.
        key: String,
    },
    /// A new one could not be made.
    #[error("could not make the keys of `{cluster}`")]
    Pki {
        /// The cluster's name.
        cluster: String,
        /// Why.
        #[source]
        source: PkiError,
    },
    /// The store said no.
    #[error("could not use the keys of `{cluster}`")]
    Store {
        /// The cluster's name.
        cluster: String,
        /// What it said.
        #[source]
        source: StoreError,
    },
}

impl SecretsError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some(
                "`windlass update cluster --yes` makes what is missing before a cluster is first applied"
                    .into(),
            ),
            Self::Malformed { .. } => {
                Some("bring back an earlier version of the object: the bucket keeps versions".into())
            }
            Self::Pki { .. } | Self::Store { .. } => None,
        }
    }
}

impl ClusterState {
    /// The keys of the cluster. Fails with the name of the first that is missing.
    pub async fn secrets(&self) -> Result<Secrets, SecretsError> {
        let cluster = self.name();
        let names = [KUBERNETES_CA, ETCD_CA, FRONT_PROXY_CA, SERVICE_ACCOUNT];
        let mut wanted: Vec<String> = names.iter().map(|name| keys::keyset(cluster, name)).collect();
        wanted.push(keys::encryption_configuration(cluster));
        let found = self.store().get_all(&wanted).await.map_err(|source| self.unusable(source))?;
        let mut found = wanted.iter().zip(found);
        let mut next = |name: &str| {
            let missing = || SecretsError::Missing { cluster: cluster.to_owned(), name: name.to_owned() };
            let (key, object) = found.next().ok_or_else(missing)?;
            Ok::<_, SecretsError>((key, object.ok_or_else(missing)?.bytes))
        };
        let mut keyset = |name: &str| {
            let (key, bytes) = next(name)?;
            parse(key, name, &bytes)
        };
        let (kubernetes_ca, etcd_ca) = (keyset(KUBERNETES_CA)?, keyset(ETCD_CA)?);
        let (front_proxy_ca, service_account) = (keyset(FRONT_PROXY_CA)?, keyset(SERVICE_ACCOUNT)?);
        let (key, bytes) = next("encryption configuration")?;
        let malformed = |_| SecretsError::Malformed { key: key.clone() };
        let encryption_configuration = Secret::new(String::from_utf8(bytes).map_err(malformed)?);
        Ok(Secrets { kubernetes_ca, etcd_ca, front_proxy_ca, service_account, encryption_configuration })
    }

    /// Makes the keys that are missing. Two operators who do this at the same time end with the same keys: whoever
    /// writes second reads the other's.
    pub async fn ensure_secrets(&self, now: SystemTime) -> Result<Secrets, SecretsError> {
        let cluster = self.name();
        let failed = |source| SecretsError::Pki { cluster: cluster.to_owned(), source };
        for name in keyset::KEYSETS {
            let key = keys::keyset(cluster, name);
            self.ensure_secret(&key, || {
                let keyset = keyset::generate(name, now).map_err(failed)?;
                serde_json::to_vec(&keyset).map_err(|_| SecretsError::Malformed { key: key.clone() })
            })
            .await?;
        }
        self.ensure_secret(&keys::encryption_configuration(cluster), || {
            Ok(encryption::generate().map_err(failed)?.expose().as_bytes().to_vec())
        })
        .await?;
        self.secrets().await
    }

    async fn ensure_secret(
        &self,
        key: &str,
        make: impl FnOnce() -> Result<Vec<u8>, SecretsError>,
    ) -> Result<(), SecretsError> {
        if self.store().get(key).await.map_err(|source| self.unusable(source))?.is_some() {
            return Ok(());
        }
        match self.store().put(key, make()?, Condition::Absent).await {
            Err(source) if !source.is_changed() => Err(self.unusable(source)),
            _ => Ok(()),
        }
    }

    pub(super) fn unusable(&self, source: StoreError) -> SecretsError {
        SecretsError::Store { cluster: self.name().to_owned(), source }
    }
}

fn parse(key: &str, name: &str, bytes: &[u8]) -> Result<Keyset, SecretsError> {
    let malformed = || SecretsError::Malformed { key: key.to_owned() };
    let keyset: Keyset = serde_json::from_slice(bytes).map_err(|_| malformed())?;
    let whole = keyset.version == CONFIG_VERSION && keyset.name == name && keyset.primary().is_some();
    if whole { Ok(keyset) } else { Err(malformed()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Store;

    fn state(store: &Store) -> ClusterState {
        ClusterState::new(store.clone(), "demo.example.com")
    }

    #[tokio::test]
    async fn only_what_is_missing_is_made() {
        let store = Store::memory();
        let first = state(&store).ensure_secrets(SystemTime::now()).await.unwrap();
        let key = keys::keyset("demo.example.com", ETCD_CA);
        let lost = store.get(&key).await.unwrap().unwrap();
        store.delete(&key, &lost.version).await.unwrap();
        let error = state(&store).secrets().await.unwrap_err();
        assert_eq!(error.to_string(), "the state of `demo.example.com` has no `etcd-ca`");
        let second = state(&store).ensure_secrets(SystemTime::now()).await.unwrap();
        assert_ne!(second.etcd_ca, first.etcd_ca);
        assert_eq!(Secrets { etcd_ca: first.etcd_ca.clone(), ..second }, first);
    }

    #[tokio::test]
    async fn operators_who_race_end_with_the_same_keys() {
        let store = Store::memory();
        let operators: Vec<_> = (0..4)
            .map(|_| {
                let state = state(&store);
                tokio::spawn(async move { state.ensure_secrets(SystemTime::now()).await.unwrap() })
            })
            .collect();
        let mut found = Vec::new();
        for operator in operators {
            found.push(operator.await.unwrap());
        }
        assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[tokio::test]
    async fn a_broken_keyset_is_named_and_not_shown() {
        let store = Store::memory();
        state(&store).ensure_secrets(SystemTime::now()).await.unwrap();
        let key = keys::keyset("demo.example.com", ETCD_CA);
        let found = store.get(&key).await.unwrap().unwrap();
        let broken = b"{\"private\":\"s3cret\"}".to_vec();
        store.put(&key, broken, Condition::Unchanged(found.version)).await.unwrap();
        let error = state(&store).secrets().await.unwrap_err();
        assert!(error.to_string().contains(&key), "{error}");
        assert!(!format!("{error:?} {error}").contains("s3cret"));
    }
}
