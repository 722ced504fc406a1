//! The secrets that the state holds of a cluster, one by one: which there are, and since when; never what they say.

use jiff::Timestamp;
use serde::Serialize;
use windlass_bootstrap::docker_config;
use windlass_bootstrap::keys;
use windlass_bootstrap::keyset::Secret;

use super::cluster_state::ClusterState;
use super::object::{Condition, Version};
use super::secrets::SecretsError;
use crate::pki::keyset::KEYSETS;

/// A kind of secret of which a cluster has at most one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    /// The credentials with which kubelets pull images, as docker's `config.json`.
    DockerConfig,
    /// What the API server encrypts Secrets with.
    EncryptionConfig,
    /// An authority, or the key of service accounts.
    Keyset(&'static str),
}

/// A secret that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoredSecret {
    /// As `get secrets` and `create secret` call it.
    pub name: &'static str,
    /// What it is.
    pub kind: &'static str,
    /// When it was last written.
    pub since: Timestamp,
}

impl SecretKind {
    /// Every kind.
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::DockerConfig, Self::EncryptionConfig];
        all.extend(KEYSETS.map(Self::Keyset));
        all
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|kind| kind.name() == name)
    }

    /// Its name, which is kops's where kops has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::DockerConfig => "dockerconfig",
            Self::EncryptionConfig => "encryptionconfig",
            Self::Keyset(name) => name,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::DockerConfig => "DockerConfig",
            Self::EncryptionConfig => "EncryptionConfiguration",
            Self::Keyset(_) => "Keyset",
        }
    }

    /// Where it is kept.
    pub fn key(self, cluster: &str) -> String {
        match self {
            Self::DockerConfig => keys::docker_config(cluster),
            Self::EncryptionConfig => keys::encryption_configuration(cluster),
            Self::Keyset(name) => keys::keyset(cluster, name),
        }
    }
}

impl ClusterState {
    /// The secrets that are there.
    pub async fn stored_secrets(&self) -> Result<Vec<StoredSecret>, SecretsError> {
        let kinds = SecretKind::all();
        let times = kinds.iter().map(|kind| {
            let key = kind.key(self.name());
            async move { self.store().written(&key).await }
        });
        let times = futures::future::try_join_all(times).await.map_err(|source| self.unusable(source))?;
        let none = self.stored_secret(SecretKind::DockerConfig).await?.is_none();
        let held =
            kinds.into_iter().zip(times).filter(|(kind, _)| !(none && *kind == SecretKind::DockerConfig));
        let held = held.filter_map(|(kind, since)| {
            Some(StoredSecret { name: kind.name(), kind: kind.kind(), since: since? })
        });
        Ok(held.collect())
    }

    /// A secret with its version; `None` where there is none.
    pub async fn stored_secret(&self, kind: SecretKind) -> Result<Option<(Secret, Version)>, SecretsError> {
        let key = kind.key(self.name());
        let found = self.store().get(&key).await.map_err(|source| self.unusable(source))?;
        let Some(found) = found.filter(|found| !is_none(kind, &found.bytes)) else { return Ok(None) };
        if let Ok(text) = String::from_utf8(found.bytes.into_vec()) {
            return Ok(Some((Secret::new(text), found.version)));
        }
        let damages = vec![self.damage(&key, "it is not UTF-8").await];
        Err(SecretsError::Damaged { cluster: self.name().to_owned(), damages })
    }

    /// Writes a secret, if it is still the version that was read; `None` adds one.
    pub async fn put_stored_secret(
        &self,
        kind: SecretKind,
        secret: &Secret,
        read: Option<&Version>,
    ) -> Result<(), SecretsError> {
        let key = kind.key(self.name());
        let condition = match read {
            Some(read) => Condition::Unchanged(read.clone()),
            // Where there is none, an object may say so.
            None => match self.store().get(&key).await.map_err(|source| self.unusable(source))? {
                Some(found) if is_none(kind, &found.bytes) => Condition::Unchanged(found.version),
                _ => Condition::Absent,
            },
        };
        let bytes = secret.expose().as_bytes().to_vec();
        let put = self.store().put(&key, bytes, condition).await;
        put.map(drop).map_err(|source| self.unusable(source))
    }

    /// Deletes a secret, if it is still the version that was read. What nodes read says afterwards that there is none.
    pub async fn delete_stored_secret(&self, kind: SecretKind, read: &Version) -> Result<(), SecretsError> {
        if kind == SecretKind::DockerConfig {
            return self.put_stored_secret(kind, &Secret::new(docker_config::NONE), Some(read)).await;
        }
        let deleted = self.store().delete(&kind.key(self.name()), read).await;
        deleted.map_err(|source| self.unusable(source))
    }
}

/// Whether an object says that there is no such secret.
pub(super) fn is_none(kind: SecretKind, bytes: &[u8]) -> bool {
    kind == SecretKind::DockerConfig && bytes == docker_config::NONE.as_bytes()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::state::Store;

    #[tokio::test]
    async fn secrets_are_listed_by_name_and_time_and_written_only_over_what_was_read() {
        let state = ClusterState::new(Store::memory(), "demo.example.com");
        assert!(state.stored_secrets().await.unwrap().is_empty());
        state.ensure_secrets(SystemTime::now()).await.unwrap();
        let kind = SecretKind::DockerConfig;
        assert_eq!(state.stored_secret(kind).await.unwrap(), None);
        state.put_stored_secret(kind, &Secret::new("one"), None).await.unwrap();
        let names: Vec<_> = state.stored_secrets().await.unwrap().iter().map(|held| held.name).collect();
        let expected = ["dockerconfig", "encryptionconfig", "kubernetes-ca", "etcd-ca", "front-proxy-ca"];
        assert!(expected.iter().all(|name| names.contains(name)), "{names:?}");
        let lost = state.put_stored_secret(kind, &Secret::new("two"), None).await;
        assert!(lost.is_err_and(|error| !format!("{error:?}").contains("two")));
        let (held, version) = state.stored_secret(kind).await.unwrap().unwrap();
        assert_eq!(held.expose(), "one");
        state.put_stored_secret(kind, &Secret::new("two"), Some(&version)).await.unwrap();
        state.delete_stored_secret(kind, &version).await.unwrap_err();
        let (_, version) = state.stored_secret(kind).await.unwrap().unwrap();
        state.delete_stored_secret(kind, &version).await.unwrap();
        assert_eq!(state.stored_secret(kind).await.unwrap(), None);
        assert!(state.stored_secrets().await.unwrap().iter().all(|held| held.name != "dockerconfig"));
        let said = state.store().get(&kind.key("demo.example.com")).await.unwrap().unwrap();
        assert_eq!(said.bytes, docker_config::NONE.as_bytes(), "nodes are told that there is none");
        state.put_stored_secret(kind, &Secret::new("three"), None).await.unwrap();
        assert_eq!(state.stored_secret(kind).await.unwrap().unwrap().0.expose(), "three");
    }
}
