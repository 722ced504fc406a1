//! The keys of a cluster: made once, by whoever comes first, and only read after that.
//!
//! Machines, tokens and etcd's data are made with these very keys: once anything of the cluster was applied, a key that
//! is missing or damaged is an error that names the version of its object to bring back, and never a new key.

use std::time::SystemTime;

use futures::future::{try_join, try_join_all};
use thiserror::Error;
use windlass_bootstrap::config::{self, CONFIG_VERSION, DocumentError};
use windlass_bootstrap::keys;
use windlass_bootstrap::keyset::{Keyset, Secret};

use super::cluster_state::ClusterState;
use super::damage::{Damage, MISSING, fault};
use super::format;
use super::layout;
use super::object::Condition;
use super::store_error::StoreError;
use crate::pki::encryption_configuration::EncryptionConfiguration;
use crate::pki::keyset::{self, KEYSETS};
use crate::pki::{PkiError, encryption};

/// What the encryption configuration is called where it is missing.
const ENCRYPTION: &str = "encryption configuration";

/// How the versions of all documents of windlass's begin.
const FAMILY: &str = "windlass/v";

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
    /// There is none, and the cluster was never applied: nothing is made with it.
    #[error("the state of `{cluster}` has no `{name}`")]
    Missing {
        /// The cluster's name.
        cluster: String,
        /// The keyset's name.
        name: String,
    },
    /// Some can't be used, or are missing though machines and etcd's data were made with them.
    #[error("the keys of `{cluster}` are damaged, and it needs these very keys:{}", listed(.damages))]
    Damaged {
        /// The cluster's name.
        cluster: String,
        /// Every one.
        damages: Vec<Damage>,
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
    /// A new one could not be written as JSON.
    #[error("could not write `{key}` as JSON")]
    Unwritable {
        /// Where it was to be written, below the store's address.
        key: String,
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

/// A line for each.
fn listed(damages: &[Damage]) -> String {
    damages.iter().fold(String::new(), |text, damage| format!("{text}\n  {damage}"))
}

impl SecretsError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => Some(
                "`windlass update cluster --yes` makes what is missing before a cluster is first applied"
                    .into(),
            ),
            Self::Damaged { damages, .. } => {
                Some(damages.iter().map(Damage::hint).collect::<Vec<_>>().join("\n"))
            }
            Self::Pki { .. } | Self::Unwritable { .. } | Self::Store { .. } => None,
        }
    }
}

/// The keys as they were found.
#[derive(Default)]
struct StoredKeys {
    keysets: Vec<Keyset>,
    encryption_configuration: Option<Secret>,
    /// What isn't there: its name and its key.
    missing: Vec<(&'static str, String)>,
    /// What can't be used: its key, and what is wrong with it.
    faulty: Vec<(String, String)>,
}

impl StoredKeys {
    fn complete(self) -> Option<Secrets> {
        let [kubernetes_ca, etcd_ca, front_proxy_ca, service_account] = self.keysets.try_into().ok()?;
        let encryption_configuration = self.encryption_configuration?;
        Some(Secrets { kubernetes_ca, etcd_ca, front_proxy_ca, service_account, encryption_configuration })
    }
}

/// The keys in the state of all keysets, and then of the configuration that encrypts secrets.
pub(super) fn objects_of_keys(cluster: &str) -> Vec<String> {
    let keysets = KEYSETS.iter().map(|name| keys::keyset(cluster, name));
    keysets.chain([keys::encryption_configuration(cluster)]).collect()
}

impl ClusterState {
    /// The keys of the cluster. Fails with the name of the first that is missing where the cluster was never applied;
    /// once it was, with every one that is missing or damaged and the version of it to bring back.
    pub async fn secrets(&self) -> Result<Secrets, SecretsError> {
        let found = self.find_keys().await?;
        let damages = self.damages(&found).await?;
        if !damages.is_empty() {
            return Err(SecretsError::Damaged { cluster: self.name().to_owned(), damages });
        }
        let missing = found.missing.first().map_or(ENCRYPTION, |(name, _)| *name);
        let missing = SecretsError::Missing { cluster: self.name().to_owned(), name: missing.to_owned() };
        found.complete().ok_or(missing)
    }

    /// What is wrong with the cluster's secrets: keys that are missing though it was applied, and whatever is there and
    /// can't be used.
    pub async fn damaged_secrets(&self) -> Result<Vec<Damage>, SecretsError> {
        let mut damages = self.damages(&self.find_keys().await?).await?;
        let key = keys::docker_config(self.name());
        let found = self.store().get(&key).await.map_err(|source| self.unusable(source))?;
        if let Some(fault) = found.and_then(|found| fault(self.name(), &key, &found.bytes)) {
            damages.push(self.damage(&key, fault).await);
        }
        Ok(damages)
    }

    /// One authority or signing key, whatever there is of the others; `None` where it isn't there.
    pub async fn keyset(&self, name: &'static str) -> Result<Option<Keyset>, SecretsError> {
        let key = keys::keyset(self.name(), name);
        let found = self.store().get(&key).await.map_err(|source| self.unusable(source))?;
        let Some(found) = found else { return Ok(None) };
        match parse(name, &found.bytes) {
            Ok(keyset) => Ok(Some(keyset)),
            Err(fault) => {
                let damages = vec![self.damage(&key, fault).await];
                Err(SecretsError::Damaged { cluster: self.name().to_owned(), damages })
            }
        }
    }

    async fn find_keys(&self) -> Result<StoredKeys, SecretsError> {
        let cluster = self.name();
        let wanted = objects_of_keys(cluster);
        let objects = self.store().get_all(&wanted).await.map_err(|source| self.unusable(source))?;
        let mut found = StoredKeys::default();
        let names = KEYSETS.into_iter().map(Some).chain([None]);
        for ((name, key), object) in names.zip(wanted).zip(objects) {
            let Some(object) = object else {
                found.missing.push((name.unwrap_or(ENCRYPTION), key));
                continue;
            };
            if let Some(fault) = fault(cluster, &key, &object.bytes) {
                found.faulty.push((key, fault));
            } else if let Some(name) = name {
                found.keysets.extend(parse(name, &object.bytes).ok());
            } else {
                found.encryption_configuration =
                    String::from_utf8(object.bytes.into_vec()).ok().map(Secret::new);
            }
        }
        Ok(found)
    }

    async fn damages(&self, found: &StoredKeys) -> Result<Vec<Damage>, SecretsError> {
        let mut faults = found.faulty.clone();
        if !found.missing.is_empty() && self.has_been_applied().await.map_err(|error| self.unusable(error))? {
            faults.extend(found.missing.iter().map(|(_, key)| (key.clone(), MISSING.to_owned())));
        }
        let damages = faults.into_iter().map(|(key, fault)| async move { self.damage(&key, fault).await });
        Ok(futures::future::join_all(damages).await)
    }

    /// Whether anything says that AWS was touched for this cluster: a recorded intent, even one that was interrupted, or
    /// what instances read and wrote. From then on its keys are in use.
    pub(super) async fn has_been_applied(&self) -> Result<bool, StoreError> {
        let children = self.store().children(&layout::cluster_prefix(self.name())).await?;
        Ok(children.iter().any(|name| layout::is_trace_of_an_update(name)))
    }

    /// Makes the keys that are missing, where the cluster was never applied: then nothing was made with them. Two
    /// operators who do this at the same time end with the same keys: whoever writes second reads the other's.
    pub async fn ensure_secrets(&self, now: SystemTime) -> Result<Secrets, SecretsError> {
        match self.secrets().await {
            Err(SecretsError::Missing { .. }) => {}
            found => return found,
        }
        let cluster = self.name();
        let failed = |source| SecretsError::Pki { cluster: cluster.to_owned(), source };
        let keysets = KEYSETS.map(|name| {
            let key = keys::keyset(cluster, name);
            self.ensure_secret(key.clone(), move || {
                let keyset = keyset::generate(name, now).map_err(failed)?;
                serde_json::to_vec(&keyset).map_err(|_| SecretsError::Unwritable { key })
            })
        });
        let encryption_configuration = self.ensure_secret(keys::encryption_configuration(cluster), || {
            Ok(encryption::generate().map_err(failed)?.expose().as_bytes().to_vec())
        });
        try_join(try_join_all(keysets), encryption_configuration).await?;
        self.secrets().await
    }

    async fn ensure_secret(
        &self,
        key: String,
        make: impl FnOnce() -> Result<Vec<u8>, SecretsError>,
    ) -> Result<(), SecretsError> {
        if self.store().get(&key).await.map_err(|source| self.unusable(source))?.is_some() {
            return Ok(());
        }
        match self.store().put(&key, make()?, Condition::Absent).await {
            Err(source) if !source.is_changed() => Err(self.unusable(source)),
            _ => Ok(()),
        }
    }

    pub(super) fn unusable(&self, source: StoreError) -> SecretsError {
        SecretsError::Store { cluster: self.name().to_owned(), source }
    }
}

/// The name of the keyset that is kept at a key.
pub(super) fn keyset_of(cluster: &str, key: &str) -> Option<&'static str> {
    KEYSETS.into_iter().find(|name| keys::keyset(cluster, name) == key)
}

/// What is wrong with the bytes of a keyset.
pub(super) fn check_keyset(name: &str, bytes: &[u8]) -> Result<(), String> {
    parse(name, bytes).and_then(|keyset| keyset::check(&keyset))
}

/// What is wrong with the text of an encryption configuration.
pub(super) fn check_encryption(text: &str) -> Result<(), String> {
    EncryptionConfiguration::parse(text)
        .map(drop)
        .map_err(|problems| format!("it is not a good one:\n{problems}"))
}

/// Reads a keyset. What a newer windlass of the same major version has added to it is left alone.
fn parse(name: &str, bytes: &[u8]) -> Result<Keyset, String> {
    let malformed = || format!("it is not the keyset `{name}` of version {CONFIG_VERSION}");
    let keyset: Keyset = config::read(bytes).map_err(|error| match error {
        DocumentError::Version(version) if version.starts_with(FAMILY) => format::newer(version),
        DocumentError::Version(_) | DocumentError::Format(_) => malformed(),
    })?;
    if keyset.name == name { Ok(keyset) } else { Err(malformed()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::keyset::{ETCD_CA, KUBERNETES_CA, SERVICE_ACCOUNT};
    use crate::state::{Recovery, Store};

    const CLUSTER: &str = "demo.example.com";

    fn state(store: &Store) -> ClusterState {
        ClusterState::new(store.clone(), CLUSTER)
    }

    /// A cluster with keys, to which something was applied, or began to be.
    async fn applied(trace: &str) -> (ClusterState, Secrets) {
        let state = state(&Store::memory());
        let secrets = state.ensure_secrets(SystemTime::now()).await.unwrap();
        state.store().put(trace, b"{}".to_vec(), Condition::Absent).await.unwrap();
        (state, secrets)
    }

    async fn lose(state: &ClusterState, key: &str) -> String {
        let found = state.store().get(key).await.unwrap().unwrap();
        state.store().delete(key, &found.version).await.unwrap();
        found.version.0
    }

    async fn overwrite(state: &ClusterState, key: &str, bytes: &[u8]) -> String {
        let found = state.store().get(key).await.unwrap().unwrap();
        let condition = Condition::Unchanged(found.version.clone());
        state.store().put(key, bytes.to_vec(), condition).await.unwrap();
        found.version.0
    }

    fn all_keys() -> Vec<String> {
        let mut all: Vec<String> = KEYSETS.iter().map(|name| keys::keyset(CLUSTER, name)).collect();
        all.push(keys::encryption_configuration(CLUSTER));
        all
    }

    #[tokio::test]
    async fn before_a_cluster_is_first_applied_only_what_is_missing_is_made() {
        let store = Store::memory();
        let first = state(&store).ensure_secrets(SystemTime::now()).await.unwrap();
        lose(&state(&store), &keys::keyset(CLUSTER, ETCD_CA)).await;
        let error = state(&store).secrets().await.unwrap_err();
        assert_eq!(error.to_string(), "the state of `demo.example.com` has no `etcd-ca`");
        let second = state(&store).ensure_secrets(SystemTime::now()).await.unwrap();
        assert_ne!(second.etcd_ca, first.etcd_ca);
        assert_eq!(Secrets { etcd_ca: first.etcd_ca.clone(), ..second }, first);
    }

    #[tokio::test]
    async fn a_missing_key_of_an_applied_cluster_is_never_made_anew() {
        for trace in ["applied", "revisions/00000001.json", "public/x", "status/i-1.json"] {
            let (state, _) = applied(&format!("{CLUSTER}/{trace}")).await;
            let before = state.store().list("").await.unwrap();
            // Bringing the configuration back records what wrote with it.
            let written = |mut keys: Vec<String>| {
                keys.retain(|key| *key != layout::encryption_writers(CLUSTER));
                keys
            };
            for key in all_keys() {
                let version = lose(&state, &key).await;
                for error in [
                    state.ensure_secrets(SystemTime::now()).await.unwrap_err(),
                    state.secrets().await.unwrap_err(),
                ] {
                    let SecretsError::Damaged { damages, .. } = &error else { panic!("{key}: {error}") };
                    assert_eq!((damages.len(), damages[0].key.as_str()), (1, key.as_str()), "after {trace}");
                    let words = format!("{key}`: it is not there any more; its version {version} of ");
                    assert!(error.to_string().contains(&words), "{error}");
                    let restore = format!("windlass toolbox restore-object {key} --version-id {version} ");
                    assert!(error.hint().unwrap().contains(&restore), "{:?}", error.hint());
                }
                let versions = state.store().versions(&key).await.unwrap().unwrap();
                let version = versions.iter().find(|known| known.id == version).unwrap();
                state.restore(&key, version).await.unwrap();
            }
            assert_eq!(written(state.store().list("").await.unwrap()), written(before));
        }
    }

    #[tokio::test]
    async fn what_is_brought_back_is_the_key_that_was_lost() {
        let (state, secrets) = applied(&layout::applied(CLUSTER)).await;
        for key in all_keys() {
            for bytes in [&b""[..], b"{}", b"s3cret"] {
                overwrite(&state, &key, bytes).await;
            }
            lose(&state, &key).await;
        }
        let SecretsError::Damaged { damages, .. } = state.secrets().await.unwrap_err() else { panic!() };
        assert_eq!(damages.len(), 5);
        for damage in damages {
            let Recovery::Version(version) = &damage.recovery else { panic!("{damage}") };
            state.restore(&damage.key, version).await.unwrap();
        }
        assert_eq!(state.secrets().await.unwrap(), secrets);
        assert_eq!(state.damaged_secrets().await.unwrap(), []);
    }

    #[tokio::test]
    async fn an_empty_damaged_or_exchanged_key_is_found_and_nothing_of_it_shown() {
        let other = applied("other/x").await.1;
        let stranger = serde_json::to_vec(&other.etcd_ca).unwrap();
        let mut mixed = other.kubernetes_ca.clone();
        mixed.keys[0].private = other.etcd_ca.keys[0].private.clone();
        let mixed = serde_json::to_vec(&mixed).unwrap();
        for (key, bytes, words) in [
            (keys::keyset(CLUSTER, KUBERNETES_CA), &b""[..], "it is empty"),
            (
                keys::keyset(CLUSTER, KUBERNETES_CA),
                b"{\"private\":\"s3cret\"}",
                "it is not the keyset `kubernetes-ca`",
            ),
            (keys::keyset(CLUSTER, KUBERNETES_CA), &stranger, "it is not the keyset `kubernetes-ca`"),
            (keys::keyset(CLUSTER, KUBERNETES_CA), &mixed, "don't belong together"),
            (keys::keyset(CLUSTER, SERVICE_ACCOUNT), b"\xff", "it is not the keyset `service-account`"),
            (keys::encryption_configuration(CLUSTER), b"", "it is empty"),
            (keys::encryption_configuration(CLUSTER), b"s3cret: s3cret", "apiVersion: it is not"),
            (keys::encryption_configuration(CLUSTER), b"\xff", "it is not UTF-8"),
        ] {
            let (state, _) = applied(&layout::applied(CLUSTER)).await;
            let version = overwrite(&state, &key, bytes).await;
            let error = state.secrets().await.unwrap_err();
            let text = format!("{error} {:?}", error.hint());
            assert!(text.contains(&key) && text.contains(words), "{words}: {text}");
            assert!(text.contains(&format!("--version-id {version} ")), "{text}");
            assert!(!format!("{error:?} {text}").contains("s3cret"), "{text}");
            assert_eq!(state.damaged_secrets().await.unwrap().len(), 1);
            assert!(matches!(
                state.ensure_secrets(SystemTime::now()).await,
                Err(SecretsError::Damaged { .. })
            ));
        }
    }

    #[tokio::test]
    async fn a_keyset_may_have_grown_and_one_of_a_newer_major_version_is_refused_by_name() {
        let (state, secrets) = applied(&layout::applied(CLUSTER)).await;
        let key = keys::keyset(CLUSTER, ETCD_CA);
        let text = serde_json::to_string(&secrets.etcd_ca).unwrap();
        let grown = text.replacen("windlass/v1\"", "windlass/v1.3\",\"rotated\":{\"by\":\"x\"}", 1);
        overwrite(&state, &key, grown.as_bytes()).await;
        let read = state.secrets().await.unwrap();
        assert_eq!(read.etcd_ca.keys, secrets.etcd_ca.keys);
        assert_eq!(state.keyset(ETCD_CA).await.unwrap(), Some(read.etcd_ca));
        overwrite(&state, &key, br#"{"version": "windlass/v2", "anything": "else"}"#).await;
        for error in [state.secrets().await.unwrap_err(), state.keyset(ETCD_CA).await.unwrap_err()] {
            let text = error.to_string();
            assert!(
                text.contains(&key) && text.contains("its format is windlass/v2; a newer windlass"),
                "{text}"
            );
            let hint = error.hint().unwrap();
            assert!(
                hint.starts_with("use the windlass that wrote") && !hint.contains("restore-object"),
                "{hint}"
            );
        }
        let now = state.store().get(&key).await.unwrap().unwrap();
        assert!(now.bytes.starts_with(br#"{"version": "windlass/v2""#));
    }

    #[tokio::test]
    async fn where_no_version_is_sound_that_is_said() {
        let (state, _) = applied(&layout::applied(CLUSTER)).await;
        let key = keys::docker_config(CLUSTER);
        state.store().put(&key, b"{}".to_vec(), Condition::Absent).await.unwrap();
        let damages = state.damaged_secrets().await.unwrap();
        assert_eq!(damages.len(), 1);
        assert_eq!((damages[0].key.as_str(), &damages[0].recovery), (key.as_str(), &Recovery::NoneSound(1)));
        assert!(damages[0].hint().contains("look at its versions"), "{}", damages[0].hint());
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
}
