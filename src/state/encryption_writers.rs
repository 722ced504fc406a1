//! What etcd's data may be encrypted with: every key that ever wrote, until it is recorded that all was written again.
//!
//! Kubernetes encrypts an object when it is written, and reads it with the key that its bytes name. A key therefore is
//! needed until the last object that it wrote was written again, however long ago another key came first
//! (Kubernetes, "Encrypting Confidential Data at Rest"). The record holds names and digests, and no key. Where there is
//! none yet, the versions that the bucket keeps of the configuration say which keys came first.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_bootstrap::keys;

use super::cluster_state::ClusterState;
use super::damage::Recovery;
use super::format::newer;
use super::layout;
use super::object::{Condition, Version};
use super::secrets::SecretsError;
use super::store_error::StoreError;
use crate::pki::encryption_configuration::{EncryptionConfiguration, Writer};

/// The version of the record's format.
const FORMAT: u32 = 1;

/// How many versions of the configuration are read where nothing is recorded yet.
const LOOKS: usize = 100;

/// What is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    version: u32,
    /// What may have written what is in etcd.
    writers: Vec<Writer>,
    /// When an operator last said that everything was written again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reencrypted: Option<Timestamp>,
}

/// What may have written what is in etcd, as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writers {
    /// Each once.
    pub all: Vec<Writer>,
    reencrypted: Option<Timestamp>,
    read: Option<Version>,
}

impl Writers {
    /// Adds those that a configuration makes write.
    pub fn add(&mut self, configuration: &EncryptionConfiguration) {
        for writer in configuration.writers() {
            if !self.all.contains(&writer) {
                self.all.push(writer);
            }
        }
    }

    /// Everything in etcd was written with this configuration: no other key is needed.
    pub fn all_written_with(&mut self, configuration: &EncryptionConfiguration) {
        self.all = configuration.writers();
        self.reencrypted = Some(Timestamp::now());
    }
}

impl ClusterState {
    /// What may have written what is in etcd: what is recorded, else what the versions of the configuration tell. What
    /// writes today need not be among it. Nothing where the cluster was never applied.
    pub async fn encryption_writers(&self) -> Result<Writers, SecretsError> {
        let key = layout::encryption_writers(self.name());
        let failed = |source| self.unusable(source);
        if !self.has_been_applied().await.map_err(failed)? {
            return Ok(Writers::default());
        }
        let Some(found) = self.store().get(&key).await.map_err(failed)? else {
            return self.writers_of_versions().await.map_err(failed);
        };
        let fault = match parse(&found.bytes) {
            Ok(Record { version: _, writers, reencrypted }) => {
                return Ok(Writers { all: writers, reencrypted, read: Some(found.version) });
            }
            Err(fault) => fault,
        };
        let damage = Box::pin(self.damage(&key, fault)).await;
        if let Recovery::NoneSound(_) = damage.recovery {
            // Nothing can bring the record back; every key that ever came first is more than it said.
            let writers = self.writers_of_versions().await.map_err(failed)?;
            return Ok(Writers { read: Some(found.version), ..writers });
        }
        Err(SecretsError::Damaged { cluster: self.name().to_owned(), damages: vec![damage] })
    }

    async fn writers_of_versions(&self) -> Result<Writers, StoreError> {
        let mut writers = Writers::default();
        let key = keys::encryption_configuration(self.name());
        let versions = self.store().versions(&key).await?.unwrap_or_default();
        for version in versions.iter().filter(|version| !version.is_deletion()).take(LOOKS) {
            let found = self.store().get_version(&key, &version.id).await?;
            let text = found.and_then(|found| String::from_utf8(found.bytes.into_vec()).ok());
            let text = text.map(zeroize::Zeroizing::new);
            // What no API server could read has written nothing.
            if let Some(Ok(configuration)) = text.map(|text| EncryptionConfiguration::parse(&text)) {
                writers.add(&configuration);
            }
        }
        Ok(writers)
    }

    /// Records what may have written what is in etcd, if nobody else has meanwhile. Does nothing where the cluster was
    /// never applied: then nothing is in etcd.
    pub async fn record_encryption_writers(&self, writers: &Writers) -> Result<(), SecretsError> {
        let key = layout::encryption_writers(self.name());
        let failed = |source| self.unusable(source);
        if !self.has_been_applied().await.map_err(failed)? {
            return Ok(());
        }
        let Writers { all, reencrypted, read } = writers.clone();
        let record = Record { version: FORMAT, writers: all, reencrypted };
        let bytes =
            serde_json::to_vec_pretty(&record).map_err(|_| SecretsError::Unwritable { key: key.clone() })?;
        let condition = read.map_or(Condition::Absent, Condition::Unchanged);
        self.store().put(&key, bytes, condition).await.map(drop).map_err(failed)
    }
}

fn parse(bytes: &[u8]) -> Result<Record, String> {
    let malformed = || format!("it is no record of encryption keys of version {FORMAT}");
    let record: Record = serde_json::from_slice(bytes).map_err(|_| malformed())?;
    if record.version <= FORMAT { Ok(record) } else { Err(newer(record.version)) }
}

/// What is wrong with the bytes of the record.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    parse(bytes).map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use serde_json::{Value, json};

    use super::*;
    use crate::state::Store;
    use crate::state::stored_secrets::SecretKind;
    use crate::state::versions::ObjectVersion;

    const CLUSTER: &str = "demo.example.com";

    fn configuration(keys: &[(&str, &str)]) -> EncryptionConfiguration {
        let keys: Vec<Value> =
            keys.iter().map(|(name, secret)| json!({"name": name, "secret": secret})).collect();
        let text = json!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": [{"secretbox": {"keys": keys}}, {"identity": {}}]}],
        });
        EncryptionConfiguration::parse(&text.to_string()).unwrap()
    }

    const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const NEW: &str = "//////////////////////////////////////////8=";

    async fn state() -> ClusterState {
        let state = ClusterState::new(Store::memory(), CLUSTER);
        state.ensure_secrets(SystemTime::now()).await.unwrap();
        state
    }

    async fn replace(state: &ClusterState, next: &EncryptionConfiguration) {
        let kind = SecretKind::EncryptionConfig;
        let (_, version) = state.stored_secret(kind).await.unwrap().unwrap();
        state.put_stored_secret(kind, next.json(), Some(&version)).await.unwrap();
    }

    #[tokio::test]
    async fn a_key_that_came_first_once_is_known_from_the_versions_and_then_from_the_record() {
        let state = state().await;
        assert_eq!(state.encryption_writers().await.unwrap(), Writers::default(), "nothing is in etcd");
        state.store().put(&layout::applied(CLUSTER), b"{}".to_vec(), Condition::Absent).await.unwrap();
        let names = |writers: &Writers| {
            let mut names: Vec<String> = writers.all.iter().map(|writer| writer.key.clone()).collect();
            names.sort();
            names
        };
        replace(&state, &configuration(&[("old", OLD)])).await;
        replace(&state, &configuration(&[("new", NEW), ("old", OLD)])).await;
        let mut writers = state.encryption_writers().await.unwrap();
        assert_eq!(names(&writers), ["key1", "new", "old"]);
        let next = configuration(&[("new", NEW)]);
        assert_eq!(next.can_not_read_of(&writers.all).len(), 2);
        state.record_encryption_writers(&writers).await.unwrap();
        let record = state.store().get(&layout::encryption_writers(CLUSTER)).await.unwrap().unwrap();
        let text = String::from_utf8(record.bytes.into_vec()).unwrap();
        assert!(!text.contains(OLD) && !text.contains(NEW), "{text}");
        writers = state.encryption_writers().await.unwrap();
        assert_eq!(names(&writers), ["key1", "new", "old"]);
        writers.all_written_with(&next);
        state.record_encryption_writers(&writers).await.unwrap();
        let writers = state.encryption_writers().await.unwrap();
        assert_eq!(names(&writers), ["new"]);
        assert!(next.can_not_read_of(&writers.all).is_empty());
        let never_read = Writers::default();
        state.record_encryption_writers(&never_read).await.unwrap_err();
    }

    /// A cluster to which something was applied, whose configuration was replaced by these, one after the other; all
    /// of etcd was written again with the last. Returns the version of the first of them.
    async fn reencrypted(first: &[(&str, &str)], last: &[(&str, &str)]) -> (ClusterState, ObjectVersion) {
        let state = state().await;
        state.store().put(&layout::applied(CLUSTER), b"{}".to_vec(), Condition::Absent).await.unwrap();
        let key = keys::encryption_configuration(CLUSTER);
        replace(&state, &configuration(first)).await;
        let old = state.store().versions(&key).await.unwrap().unwrap()[0].clone();
        replace(&state, &configuration(last)).await;
        let mut writers = state.encryption_writers().await.unwrap();
        writers.all_written_with(&configuration(last));
        state.record_encryption_writers(&writers).await.unwrap();
        (state, old)
    }

    #[tokio::test]
    async fn an_earlier_configuration_that_is_brought_back_counts_as_one_that_writes() {
        let next = [("new", NEW)];
        let (state, old) = reencrypted(&[("old", OLD), ("new", NEW)], &next).await;
        state.restore(&keys::encryption_configuration(CLUSTER), &old).await.unwrap();
        let writers = state.encryption_writers().await.unwrap();
        assert!(!configuration(&next).can_not_read_of(&writers.all).is_empty(), "{writers:?}");
    }

    #[tokio::test]
    async fn an_earlier_configuration_without_a_key_that_wrote_since_is_not_brought_back() {
        let (state, old) = reencrypted(&[("old", OLD)], &[("new", NEW)]).await;
        let key = keys::encryption_configuration(CLUSTER);
        for recorded in [true, false] {
            if !recorded {
                let record = layout::encryption_writers(CLUSTER);
                let found = state.store().get(&record).await.unwrap().unwrap();
                state.store().delete(&record, &found.version).await.unwrap();
            }
            let before = state.store().get(&key).await.unwrap().unwrap();
            let error = state.restore(&key, &old).await.unwrap_err();
            let text = format!("{error} {}", error.hint().unwrap());
            for words in ["could not be read any more", "`new`", "windlass create secret encryptionconfig"] {
                assert!(text.contains(words), "{words}: {text}");
            }
            assert!(!text.contains(NEW) && !text.contains(OLD), "{text}");
            assert_eq!(state.store().get(&key).await.unwrap().unwrap(), before);
        }
    }

    #[tokio::test]
    async fn a_damaged_record_is_brought_back_first_and_where_nothing_can_do_that_it_blocks_nothing() {
        for has_sound_version in [true, false] {
            let state = state().await;
            state.store().put(&layout::applied(CLUSTER), b"{}".to_vec(), Condition::Absent).await.unwrap();
            let (key, record) =
                (keys::encryption_configuration(CLUSTER), layout::encryption_writers(CLUSTER));
            let good = state.store().versions(&key).await.unwrap().unwrap()[0].clone();
            if has_sound_version {
                let writers = state.encryption_writers().await.unwrap();
                state.record_encryption_writers(&writers).await.unwrap();
            }
            for spoilt in [&key, &record] {
                let found = state.store().get(spoilt).await.unwrap();
                let condition = found.map_or(Condition::Absent, |it| Condition::Unchanged(it.version));
                state.store().put(spoilt, b"{}".to_vec(), condition).await.unwrap();
            }
            let restored = state.restore(&key, &good).await;
            if has_sound_version {
                let error = restored.unwrap_err();
                let hint = error.hint().unwrap();
                assert!(hint.contains(&format!("restore-object {record} --version-id ")), "{error}: {hint}");
                let versions = state.store().versions(&record).await.unwrap().unwrap();
                state.restore(&record, &versions[1]).await.unwrap();
                state.restore(&key, &good).await.unwrap();
            } else {
                restored.unwrap();
            }
            let writers = state.encryption_writers().await.unwrap();
            assert!(writers.read.is_some() && !writers.all.is_empty(), "{writers:?}");
        }
    }
}
