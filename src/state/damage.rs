//! Damage: an object of the state that is missing or can't be read, and which of its versions to bring back.
//!
//! The bucket keeps what was written over or deleted. Whoever finds an object damaged asks [`ClusterState::damage`] for
//! the newest version of it that is sound, and names it; [`ClusterState::restore`] brings it back.

use std::fmt;

use windlass_bootstrap::keys;

use super::cluster_state::ClusterState;
use super::error::StateError;
use super::format;
use super::layout;
use super::object::{Condition, Object};
pub use super::object_kind::fault;
use super::revision;
use super::secrets::SecretsError;
use super::store::Store;
use super::store_error::StoreError;
use super::versions::ObjectVersion;
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
    pub recovery: Recovery,
}

/// What can be done about damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
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
        let Self { key, store, fault, recovery } = self;
        write!(f, "`{store}/{key}`: {fault}")?;
        match recovery {
            Recovery::Version(version) => {
                write!(f, "; its version {} of {} is sound", version.id, version.written())
            }
            Recovery::NoneSound(0) => f.write_str("; the bucket has no version of it"),
            Recovery::NoneSound(1) => f.write_str("; its only version isn't sound either"),
            Recovery::NoneSound(count) => write!(f, "; none of its {count} versions is sound"),
            Recovery::NoVersions => f.write_str("; this store keeps no versions"),
            Recovery::Unseen(why) => write!(f, "; its versions can't be seen: {why}"),
        }
    }
}

impl Damage {
    /// What to type next.
    pub fn hint(&self) -> String {
        let Self { key, store, fault, recovery } = self;
        if format::is_newer(fault) {
            return format!(
                "use the windlass that wrote {key}, or a newer one: an older version of it lacks what that one wrote"
            );
        }
        match recovery {
            Recovery::Version(version) if fault == MISSING => format!(
                "see whether more is lost: windlass state rebuild {} --state {store}; or bring back only this: windlass \
                 toolbox restore-object {key} --version-id {} --state {store} --yes",
                key.split('/').next().unwrap_or_default(),
                version.id
            ),
            Recovery::Version(version) => format!(
                "bring it back: windlass toolbox restore-object {key} --version-id {} --state {store} --yes",
                version.id
            ),
            Recovery::NoneSound(0) | Recovery::NoVersions => self.last_resort(),
            Recovery::NoneSound(_) if is_journal(key) => self.last_resort(),
            Recovery::NoneSound(_) => format!(
                "look at its versions: windlass toolbox restore-object {key} --state {store}; if it is somebody else's, \
                 delete it"
            ),
            Recovery::Unseen(_) => format!(
                "with the permissions s3:ListBucketVersions and s3:GetObjectVersion: windlass toolbox restore-object \
                 {key} --state {store}"
            ),
        }
    }
}

impl Damage {
    /// What to do where no version of the object can be brought back.
    pub fn last_resort(&self) -> String {
        let Self { key, store, .. } = self;
        if !is_journal(key) {
            return format!(
                "bring {store}/{key} back from a copy of your own: nothing else can be put in its place"
            );
        }
        let cluster = key.split('/').next().unwrap_or_default();
        let delete = match store.strip_prefix("file://") {
            Some(folder) => format!("rm {folder}/{key}"),
            None => format!("aws s3 rm {store}/{key}"),
        };
        format!(
            "it said what somebody began to change and didn't end, or that the cluster is being deleted. Delete it: \
             {delete}; then look at the specification, of which a part may be written: windlass get all --name {cluster} \
             --state {store} -o yaml"
        )
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
        let recovery = match Box::pin(self.sound_version(key)).await {
            Ok(recovery) => recovery,
            Err(error) => Recovery::Unseen(plain(&error)),
        };
        Damage { key: key.to_owned(), store: self.store().url(), fault: fault.into(), recovery }
    }

    /// An object that isn't there, as its newest version was that is sound; nothing where there is none.
    pub(super) async fn last_version(&self, key: &str) -> Result<Option<Object>, StoreError> {
        match self.sound_version(key).await? {
            Recovery::Version(version) => self.store().get_version(key, &version.id).await,
            Recovery::NoneSound(_) | Recovery::NoVersions | Recovery::Unseen(_) => Ok(None),
        }
    }

    /// The newest version of an object that is sound.
    async fn sound_version(&self, key: &str) -> Result<Recovery, StoreError> {
        let Some(versions) = self.store().versions(key).await? else { return Ok(Recovery::NoVersions) };
        let written = || ways_back(key, &versions);
        for version in written().take(LOOKS) {
            if let Some(object) = self.store().get_version(key, &version.id).await?
                && self.fault(key, &object.bytes).await?.is_none()
            {
                return Ok(Recovery::Version(version.clone()));
            }
        }
        Ok(Recovery::NoneSound(written().count()))
    }

    /// What is wrong with the bytes of an object, among the others of its cluster.
    pub async fn fault(&self, key: &str, bytes: &[u8]) -> Result<Option<String>, StoreError> {
        match fault(self.name(), key, bytes) {
            None if key == layout::applied(self.name()) => match revision::named_by(bytes) {
                Some(number) => self.fault_of_pointer(number).await,
                None => Ok(None),
            },
            fault => Ok(fault),
        }
    }

    /// What is wrong with the pointer to the applied revision, if there neither is nor was a revision of that number.
    pub(super) async fn fault_of_pointer(&self, number: u64) -> Result<Option<String>, StoreError> {
        let key = layout::revision(self.name(), number);
        let is_known = self.store().get(&key).await?.is_some() || was_deleted(self.store(), &key).await?;
        Ok((!is_known).then(|| format!("it names the revision {number}, and there is none of that number")))
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
        if let Some(fault) = self.fault(key, &bytes).await.map_err(self.failed())? {
            return Err(unsound(&format!("is no way back: {fault}")));
        }
        if is_journal(key) {
            let versions = self.store().versions(key).await.map_err(self.failed())?.unwrap_or_default();
            if !ways_back(key, &versions).any(|way| way.id == version.id) {
                return Err(unsound("is no way back: what it tells of was ended"));
            }
        }
        let condition = match now {
            Some(now) if now.bytes == bytes => return Ok(Restored::Same(version.clone())),
            Some(now) => Condition::Unchanged(now.version),
            None => Condition::Absent,
        };
        if key == keys::encryption_configuration(self.name()) {
            self.note_writers(version, &bytes).await?;
        }
        self.store().put(key, bytes.to_vec(), condition).await.map_err(self.failed())?;
        Ok(Restored::Written(version.clone()))
    }
}

impl ClusterState {
    /// A configuration that is about to be the present one again may write, whatever was recorded since. Fails where it
    /// lacks a key that etcd's data may be encrypted with.
    async fn note_writers(&self, version: &ObjectVersion, configuration: &[u8]) -> Result<(), StateError> {
        let key = keys::encryption_configuration(self.name());
        let failed = |error: SecretsError| match error {
            SecretsError::Store { source, .. } => self.failed()(source),
            SecretsError::Damaged { mut damages, .. } if damages.len() == 1 => {
                StateError::Damaged(Box::new(damages.remove(0)))
            }
            other => StateError::Malformed {
                key: layout::encryption_writers(self.name()),
                reason: other.to_string(),
            },
        };
        let parsed = |bytes: &[u8]| {
            std::str::from_utf8(bytes).ok().and_then(|text| EncryptionConfiguration::parse(text).ok())
        };
        let Some(configuration) = parsed(configuration) else { return Ok(()) };
        let mut writers = Box::pin(self.encryption_writers()).await.map_err(failed)?;
        if self.has_been_applied().await.map_err(self.failed())? {
            let today = self.store().get(&key).await.map_err(self.failed())?;
            if let Some(today) = today.and_then(|today| parsed(&today.bytes)) {
                writers.add(&today);
            }
            let lost = configuration.can_not_read_of(&writers.all);
            if !lost.is_empty() {
                let (cluster, version) = (self.name().to_owned(), version.id.clone());
                return Err(StateError::KeysLost { cluster, key, version, lost: lost.join("; ") });
            }
        }
        writers.add(&configuration);
        Box::pin(self.record_encryption_writers(&writers)).await.map_err(failed)
    }

    /// Whether an object that isn't there was there once. Where that may not be seen it counts as never as long as
    /// nothing was applied; once something was, that is an error: what was lost must not count as never made.
    pub(super) async fn was_lost(&self, key: &str) -> Result<bool, StateError> {
        match Box::pin(was_deleted(self.store(), key)).await {
            Err(error) if error.is_denied() && !self.has_been_applied().await.map_err(self.failed())? => {
                Ok(false)
            }
            found => found.map_err(self.failed()),
        }
    }
}

/// The versions of an object that may be brought back, newest first. A journal that was deleted tells of what was ended:
/// with it, what was done then would be done again.
fn ways_back<'v>(key: &str, versions: &'v [ObjectVersion]) -> impl Iterator<Item = &'v ObjectVersion> {
    let ended = if is_journal(key) { versions.iter().position(ObjectVersion::is_deletion) } else { None };
    versions.iter().take(ended.unwrap_or(versions.len())).filter(|version| !version.is_deletion())
}

fn is_journal(key: &str) -> bool {
    key.split_once('/').is_some_and(|(cluster, _)| key == layout::journal(cluster))
}

/// Whether an object that isn't there was there once; never where the store keeps no versions.
pub(super) async fn was_deleted(store: &Store, key: &str) -> Result<bool, StoreError> {
    Ok(store.versions(key).await?.is_some_and(|versions| !versions.is_empty()))
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
