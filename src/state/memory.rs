//! A store in memory, for tests, and for what is never to be kept.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::store::{Condition, Object, StoreError, Version};

/// Objects by key, with the count of writes at which each was written.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    writes: u64,
    objects: BTreeMap<String, Object>,
    times: BTreeMap<String, jiff::Timestamp>,
}

impl MemoryStore {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &str) -> Option<Object> {
        self.contents().objects.get(key).cloned()
    }

    pub(super) fn written_at(&self, key: &str) -> Option<jiff::Timestamp> {
        let contents = self.contents();
        contents.objects.get(key).and_then(|_| contents.times.get(key).copied())
    }

    pub(super) fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        condition: &Condition,
    ) -> Result<Version, StoreError> {
        let mut contents = self.contents();
        let found = contents.objects.get(key);
        if let Some(found) = found.filter(|found| found.bytes == bytes) {
            return Ok(found.version.clone());
        }
        if !holds(condition, found) {
            return Err(StoreError::Changed { key: key.to_owned() });
        }
        contents.writes += 1;
        let version = Version(contents.writes.to_string());
        contents.times.insert(key.to_owned(), jiff::Timestamp::now());
        contents.objects.insert(key.to_owned(), Object { bytes, version: version.clone() });
        Ok(version)
    }

    pub(super) fn delete(&self, key: &str, version: &Version) -> Result<(), StoreError> {
        let mut contents = self.contents();
        match contents.objects.get(key) {
            Some(found) if found.version != *version => Err(StoreError::Changed { key: key.to_owned() }),
            _ => {
                contents.objects.remove(key);
                Ok(())
            }
        }
    }

    pub(super) fn list(&self, prefix: &str) -> Vec<String> {
        self.contents().objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub(super) fn purge(&self, prefix: &str) {
        self.contents().objects.retain(|key, _| !key.starts_with(prefix));
    }
}

/// Whether what is there is what a writer believes.
pub(super) fn holds(condition: &Condition, found: Option<&Object>) -> bool {
    match (condition, found) {
        (Condition::Absent, None) => true,
        (Condition::Unchanged(version), Some(found)) => *version == found.version,
        (Condition::Absent, Some(_)) | (Condition::Unchanged(_), None) => false,
    }
}
