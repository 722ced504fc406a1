//! A store in memory, for tests, and for what is never to be kept.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::listing::{Fingerprint, Listing};
use super::object::{Condition, Object, Version};
use super::store_error::StoreError;
use super::versions::ObjectVersion;

/// Objects by key, with all their versions, named by the count of writes at which each was written.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    writes: u64,
    objects: BTreeMap<String, Object>,
    /// Oldest first; a deletion has no object.
    versions: BTreeMap<String, Vec<(ObjectVersion, Option<Object>)>>,
}

impl Contents {
    /// Makes an object what is given, and returns the version's name.
    fn write(&mut self, key: &str, bytes: Option<Vec<u8>>) -> Version {
        self.writes += 1;
        let id = self.writes.to_string();
        let size = bytes.as_ref().map(|bytes| bytes.len() as u64);
        let version = ObjectVersion { id: id.clone(), time: Timestamp::now(), size };
        let object = bytes.map(|bytes| Object { bytes: bytes.into(), version: Version(id.clone()) });
        match object.clone() {
            Some(object) => self.objects.insert(key.to_owned(), object),
            None => self.objects.remove(key),
        };
        self.versions.entry(key.to_owned()).or_default().push((version, object));
        Version(id)
    }
}

impl MemoryStore {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &str) -> Option<Object> {
        self.contents().objects.get(key).cloned()
    }

    /// What is below a prefix, sorted.
    pub(super) fn listing(&self, prefix: &str) -> Vec<Listing> {
        let contents = self.contents();
        let below = contents.objects.iter().filter(|(key, _)| key.starts_with(prefix));
        let listings = below.map(|(key, object)| {
            let (size, etag) = (object.bytes.len() as u64, object.version.0.clone());
            Listing { key: key.clone(), fingerprint: Some(Fingerprint { size, etag }) }
        });
        listings.collect()
    }

    pub(super) fn written_at(&self, key: &str) -> Option<Timestamp> {
        let contents = self.contents();
        contents
            .versions
            .get(key)?
            .last()
            .filter(|(_, object)| object.is_some())
            .map(|(version, _)| version.time)
    }

    /// The versions of an object, newest first.
    pub(super) fn versions(&self, key: &str) -> Vec<ObjectVersion> {
        let contents = self.contents();
        contents.versions.get(key).into_iter().flatten().rev().map(|(version, _)| version.clone()).collect()
    }

    /// The versions of all objects below some prefixes, each newest first.
    pub(super) fn all_versions(&self, prefixes: &[String]) -> BTreeMap<String, Vec<ObjectVersion>> {
        let contents = self.contents();
        let below = contents.versions.iter().filter(|(key, _)| prefixes.iter().any(|it| key.starts_with(it)));
        below
            .map(|(key, all)| (key.clone(), all.iter().rev().map(|(version, _)| version.clone()).collect()))
            .collect()
    }

    pub(super) fn get_version(&self, key: &str, id: &str) -> Option<Object> {
        let contents = self.contents();
        contents.versions.get(key)?.iter().find(|(version, _)| version.id == id)?.1.clone()
    }

    /// Makes an object what a version of it was, where nothing is there.
    pub(super) fn copy_version(&self, key: &str, id: &str) {
        let Some(then) = self.get_version(key, id) else { return };
        let mut contents = self.contents();
        if !contents.objects.contains_key(key) {
            contents.write(key, Some(then.bytes.into_vec()));
        }
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
        Ok(contents.write(key, Some(bytes)))
    }

    pub(super) fn delete(&self, key: &str, version: &Version) -> Result<(), StoreError> {
        let mut contents = self.contents();
        match contents.objects.get(key) {
            Some(found) if found.version != *version => Err(StoreError::Changed { key: key.to_owned() }),
            None => Ok(()),
            Some(_) => {
                contents.write(key, None);
                Ok(())
            }
        }
    }

    pub(super) fn list(&self, prefix: &str) -> Vec<String> {
        self.contents().objects.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
    }

    pub(super) fn purge(&self, prefix: &str) {
        let mut contents = self.contents();
        contents.objects.retain(|key, _| !key.starts_with(prefix));
        contents.versions.retain(|key, _| !key.starts_with(prefix));
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
