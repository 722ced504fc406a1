//! Damage: an object of the state that is missing or can't be read, and which of its versions to bring back.
//!
//! The bucket keeps what was written over or deleted. Whoever finds an object damaged asks [`ClusterState::damage`] for
//! the newest version of it that is sound, and names it; [`ClusterState::restore`] brings it back.

use std::fmt;

use serde_json::Value;
use windlass_bootstrap::keys;

use super::cluster_state::{self, ClusterState};
use super::error::StateError;
use super::held_secrets::SecretKind;
use super::secrets::SecretsError;
use super::store::{Condition, Store, StoreError};
use super::versions::ObjectVersion;
use super::{format, held_secrets, layout, revision, secrets};
use crate::pki::docker_config;
use crate::pki::encryption_configuration::EncryptionConfiguration;

/// How many versions are read to find a sound one. An object that was written badly this often was written badly on
/// purpose.
const LOOKS: usize = 20;

/// What is wrong where an object isn't there.
pub const MISSING: &str = "it is not there any more";

/// An object that is missing or can't be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Its key in the store.
    pub key: String,
    /// The store's address.
    pub store: String,
    /// What is wrong with it, without anything of its content.
    pub fault: String,
    /// What can be done about it.
    pub remedy: Remedy,
}

/// What can be done about damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// This version is sound, and the newest that is.
    Version(ObjectVersion),
    /// The bucket has so many versions of it, and none that was looked at is sound.
    NoneSound(usize),
    /// The store keeps no versions.
    NoVersions,
    /// The versions could not be seen.
    Unseen(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, store, fault, remedy } = self;
        write!(f, "`{store}/{key}`: {fault}")?;
        match remedy {
            Remedy::Version(version) => {
                write!(f, "; its version {} of {} is sound", version.id, version.written())
            }
            Remedy::NoneSound(0) => f.write_str("; the bucket has no version of it"),
            Remedy::NoneSound(1) => f.write_str("; its only version isn't sound either"),
            Remedy::NoneSound(count) => write!(f, "; none of its {count} versions is sound"),
            Remedy::NoVersions => f.write_str("; this store keeps no versions"),
            Remedy::Unseen(why) => write!(f, "; its versions can't be seen: {why}"),
        }
    }
}

impl Damage {
    /// What to type next.
    pub fn hint(&self) -> String {
        let Self { key, store, fault: _, remedy } = self;
        match remedy {
            Remedy::Version(version) => format!(
                "bring it back: windlass toolbox restore-object {key} --version-id {} --state {store} --yes",
                version.id
            ),
            Remedy::NoneSound(0) | Remedy::NoVersions => {
                format!(
                    "bring {store}/{key} back from a copy of your own: nothing else can be put in its place"
                )
            }
            Remedy::NoneSound(_) => format!(
                "look at its versions: windlass toolbox restore-object {key} --state {store}; if it is somebody else's, \
                 delete it"
            ),
            Remedy::Unseen(_) => format!(
                "with the permissions s3:ListBucketVersions and s3:GetObjectVersion: windlass toolbox restore-object \
                 {key} --state {store}"
            ),
        }
    }
}

/// What became of bringing an object back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// This version is what is there now.
    Written(ObjectVersion),
    /// What is there says the same already.
    Same(ObjectVersion),
}

impl ClusterState {
    /// What is wrong with an object, and which version of it to bring back. Never fails: what can't be found out is
    /// part of the answer.
    pub async fn damage(&self, key: &str, fault: impl Into<String>) -> Damage {
        let remedy = match Box::pin(self.sound_version(key)).await {
            Ok(remedy) => remedy,
            Err(error) => Remedy::Unseen(plain(&error)),
        };
        Damage { key: key.to_owned(), store: self.store().url(), fault: fault.into(), remedy }
    }

    /// The newest version of an object that is sound.
    async fn sound_version(&self, key: &str) -> Result<Remedy, StoreError> {
        let Some(versions) = self.store().versions(key).await? else { return Ok(Remedy::NoVersions) };
        let written = || versions.iter().filter(|version| !version.is_deletion());
        for version in written().take(LOOKS) {
            if let Some(object) = self.store().get_version(key, &version.id).await?
                && fault(self.name(), key, &object.bytes).is_none()
            {
                return Ok(Remedy::Version(version.clone()));
            }
        }
        Ok(Remedy::NoneSound(written().count()))
    }

    /// What could be read; else its error, with the version of the object that can be.
    pub(super) async fn explained<T>(&self, result: Result<T, StateError>) -> Result<T, StateError> {
        match result {
            Err(error) => Err(self.explain(error).await),
            good => good,
        }
    }

    /// The error of something in the state that can't be read, with the version of it that can.
    pub(super) async fn explain(&self, error: StateError) -> StateError {
        match error {
            StateError::Malformed { key, reason } => {
                StateError::Damaged(Box::new(Box::pin(self.damage(&key, reason)).await))
            }
            other => other,
        }
    }

    /// The error of an object that was deleted.
    pub(super) async fn lost(&self, key: &str) -> StateError {
        StateError::Damaged(Box::new(Box::pin(self.damage(key, MISSING)).await))
    }

    /// Writes a version of an object again, if nobody writes the object meanwhile. Fails where there is no such version,
    /// and where that isn't sound.
    pub async fn restore(&self, key: &str, version: &ObjectVersion) -> Result<Restored, StateError> {
        let (now, then) =
            futures::future::try_join(self.store().get(key), self.store().get_version(key, &version.id))
                .await
                .map_err(self.failed())?;
        let unsound = |reason: &str| StateError::Malformed {
            key: key.to_owned(),
            reason: format!("its version {} {reason}", version.id),
        };
        let bytes = then.ok_or_else(|| unsound("is not there"))?.bytes;
        if let Some(fault) = fault(self.name(), key, &bytes) {
            return Err(unsound(&format!("is no way back: {fault}")));
        }
        let condition = match now {
            Some(now) if now.bytes == bytes => return Ok(Restored::Same(version.clone())),
            Some(now) => Condition::Unchanged(now.version),
            None => Condition::Absent,
        };
        if key == keys::encryption_configuration(self.name()) {
            self.note_writers(&bytes).await?;
        }
        self.store().put(key, bytes.to_vec(), condition).await.map_err(self.failed())?;
        Ok(Restored::Written(version.clone()))
    }
}

impl ClusterState {
    /// A configuration that is about to be the present one again may write, whatever was recorded since.
    async fn note_writers(&self, configuration: &[u8]) -> Result<(), StateError> {
        let failed = |source: SecretsError| match source {
            SecretsError::Store { source, .. } => self.failed()(source),
            other => StateError::Malformed {
                key: layout::encryption_writers(self.name()),
                reason: other.to_string(),
            },
        };
        let text = std::str::from_utf8(configuration).unwrap_or_default();
        let Ok(configuration) = EncryptionConfiguration::parse(text) else { return Ok(()) };
        let mut writers = Box::pin(self.encryption_writers()).await.map_err(failed)?;
        writers.add(&configuration);
        Box::pin(self.record_encryption_writers(&writers)).await.map_err(failed)
    }
}

/// Whether an object that isn't there was there once. Where that can't be seen it counts as never.
pub(super) async fn was_deleted(store: &Store, key: &str) -> bool {
    matches!(Box::pin(store.versions(key)).await, Ok(Some(versions)) if !versions.is_empty())
}

/// What is wrong with an object of a cluster, if anything is; nothing of its content is in the answer, which may be
/// secret. Of what isn't known here only emptiness is wrong.
pub fn fault(cluster: &str, key: &str, bytes: &[u8]) -> Option<String> {
    if bytes.is_empty() {
        return Some("it is empty".to_owned());
    }
    let text = || std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned());
    let rest = key.strip_prefix(&layout::cluster_prefix(cluster)).unwrap_or_default();
    let checked = if let Some(name) = secrets::keyset_of(cluster, key) {
        secrets::check_keyset(name, bytes)
    } else if key == keys::encryption_configuration(cluster) {
        text().and_then(secrets::check_encryption)
    } else if key == keys::docker_config(cluster) && !held_secrets::is_none(SecretKind::DockerConfig, bytes) {
        text().and_then(|text| docker_config::parse(text).map(drop).map_err(|problems| problems.to_string()))
    } else if key == layout::format(cluster) {
        format::check(bytes)
    } else if key == layout::applied(cluster) {
        revision::check_applied(bytes)
    } else if rest.starts_with("revisions/") {
        revision::check(bytes)
    } else if rest == layout::CLUSTER_FILE || layout::is_specification(rest) {
        cluster_state::check_document(cluster, key, bytes)
    } else if std::path::Path::new(rest).extension().is_some_and(|extension| extension == "json") {
        // serde_json's own words may quote what it found.
        serde_json::from_slice::<Value>(bytes).map(drop).map_err(|_| "it is not JSON".to_owned())
    } else {
        Ok(())
    };
    checked.err()
}

/// An error with its causes, in a line.
fn plain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
