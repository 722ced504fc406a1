//! Where objects are kept, and the conditions under which they are written.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::SignedDuration;

use super::address::Address;
use super::fence::{Fence, HeldLease, Pass, StopAsked};
use super::file::FileStore;
use super::layout;
use super::listing::Listing;
use super::memory::MemoryStore;
use super::object::{Bytes, Condition, Object, Version, is_key};
use super::requests::{self, Requests};
use super::s3::S3Store;
#[cfg(test)]
use super::simulation::Network;
use super::snapshot::{Answer, Snapshot};
use super::store_error::StoreError;
use super::versions::ObjectVersion;
use crate::aws::{Clients, Permit};

/// How many reads are under way at once. S3 answers thousands a second; this only bounds memory and sockets.
const READS: usize = 32;

/// A state store, as one operator uses it. Cloning is cheap, and a clone is the same operator's: what one writes while
/// it holds a [`super::Lease`] is not written any more once that is lost.
///
/// The SDK's futures are large, so they are boxed here, once, and not in everything that waits for one.
#[derive(Clone, Debug)]
pub struct Store {
    backend: Arc<Backend>,
    fence: Fence,
    snapshot: Snapshot,
}

#[derive(Debug)]
enum Backend {
    S3(S3Store),
    File(FileStore),
    Memory(MemoryStore),
    #[cfg(test)]
    Simulated(Network),
}

impl Store {
    /// Opens the store at an address. A bucket must be there, must keep versions, and may not be open to the public.
    pub async fn open(url: &str, clients: &Clients) -> Result<Self, StoreError> {
        let store = Self::find(url, clients).await?;
        store.check().await?;
        Ok(store)
    }

    /// The same, and [looks](Store::look) below a prefix meanwhile. Where only the look fails, nobody has looked.
    pub async fn open_looking(
        url: &str,
        clients: &Clients,
        prefix: &str,
        volatile: &[String],
    ) -> Result<Self, StoreError> {
        let store = Self::find(url, clients).await?;
        let (checked, _) = futures::join!(store.check(), store.look(prefix, volatile));
        checked?;
        Ok(store)
    }

    async fn check(&self) -> Result<(), StoreError> {
        match &*self.backend {
            Backend::S3(store) => Box::pin(store.check()).await,
            _ => Ok(()),
        }
    }

    async fn find(url: &str, clients: &Clients) -> Result<Self, StoreError> {
        let fence = Fence::default();
        let backend = match Address::parse(url)? {
            Address::S3 { bucket, prefix } => {
                Backend::S3(Box::pin(S3Store::find(clients, bucket, prefix, &fence)).await?)
            }
            Address::File(folder) => Backend::File(FileStore::new(folder)),
        };
        Ok(Self { backend: Arc::new(backend), fence, snapshot: Snapshot::default() })
    }

    fn of(backend: Backend) -> Self {
        Self { backend: Arc::new(backend), fence: Fence::default(), snapshot: Snapshot::default() }
    }

    /// Another operator's door to the same objects, who knows nothing yet.
    #[cfg(test)]
    pub(super) fn without_snapshot(&self) -> Self {
        Self { snapshot: Snapshot::default(), ..self.clone() }
    }

    /// A bucket behind a network, where everything goes wrong that can.
    #[cfg(test)]
    pub(super) fn simulated(network: Network) -> Self {
        Self::of(Backend::Simulated(network))
    }

    /// What keeps a holder who has lost its lease from writing.
    pub(super) fn fence(&self) -> &Fence {
        &self.fence
    }

    /// A store in a folder.
    pub fn file(folder: impl Into<std::path::PathBuf>) -> Self {
        Self::of(Backend::File(FileStore::new(folder.into())))
    }

    /// A store that is gone when it is dropped.
    pub fn memory() -> Self {
        Self::of(Backend::Memory(MemoryStore::default()))
    }

    /// The address, without a trailing slash.
    pub fn url(&self) -> String {
        match &*self.backend {
            Backend::S3(store) => store.url(),
            Backend::File(store) => store.url(),
            Backend::Memory(_) => "memory://".to_owned(),
            #[cfg(test)]
            Backend::Simulated(_) => "simulated://".to_owned(),
        }
    }

    /// The bucket's region and name, and the prefix in it, when it is a bucket. Only that can be read by instances.
    pub fn bucket(&self) -> Option<&S3Store> {
        match &*self.backend {
            Backend::S3(store) => Some(store),
            Backend::File(_) | Backend::Memory(_) => None,
            #[cfg(test)]
            Backend::Simulated(_) => None,
        }
    }

    /// Lists all that is below a prefix that ends in `/`. Until the next look, or a write that fails, it answers what is
    /// read and listed below the prefix, but for what is below those in `volatile`; what was read of it is read once. For
    /// whoever polls see [`Store::forget`]. A store in a folder is always asked: that costs nothing.
    pub async fn look(&self, prefix: &str, volatile: &[String]) -> Result<(), StoreError> {
        let asked = self.snapshot.asking();
        let found = match &*self.backend {
            Backend::S3(store) => Box::pin(store.listing(prefix)).await?,
            Backend::Memory(store) => store.listing(prefix),
            Backend::File(_) => return Ok(()),
            #[cfg(test)]
            Backend::Simulated(_) => return Ok(()),
        };
        self.snapshot.list(asked, prefix, volatile, found);
        Ok(())
    }

    /// Whether somebody has [looked](Store::look) at this prefix, and nothing was forgotten since.
    pub fn has_looked(&self, prefix: &str) -> bool {
        self.snapshot.has_listed(prefix)
    }

    /// From now on, everything is read anew, until the next look.
    pub fn forget(&self) {
        self.snapshot.forget();
    }

    /// Reads an object; `None` when there is none. Where somebody [looked](Store::look), as it was then.
    pub async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        check(key)?;
        if let Answer::Known(object) = self.snapshot.object(key) {
            return Ok(object);
        }
        let asked = self.snapshot.asking();
        let found = self.ask(key).await?;
        self.snapshot.read(asked, key, found.as_ref());
        Ok(found)
    }

    async fn ask(&self, key: &str) -> Result<Option<Object>, StoreError> {
        match &*self.backend {
            Backend::S3(store) => Box::pin(store.get(key)).await,
            Backend::File(store) => store.get(key).await,
            Backend::Memory(store) => Ok(store.get(key)),
            #[cfg(test)]
            Backend::Simulated(store) => store.get(key).await,
        }
    }

    /// Reads several objects at once; the answers are in the order of the keys.
    pub async fn get_all(&self, keys: &[String]) -> Result<Vec<Option<Object>>, StoreError> {
        // Boxed, because the compiler can't see that a borrowing closure works for every key.
        let reads: Vec<_> = keys.iter().map(|key| Box::pin(self.get(key))).collect();
        stream::iter(reads).buffered(READS).try_collect().await
    }

    /// When an object was last written; `None` when there is none.
    pub async fn written(&self, key: &str) -> Result<Option<jiff::Timestamp>, StoreError> {
        check(key)?;
        match &*self.backend {
            Backend::S3(store) => Box::pin(store.written_at(key)).await,
            Backend::File(store) => store.written_at(key).await,
            Backend::Memory(store) => Ok(store.written_at(key)),
            // No simulation asks for the time.
            #[cfg(test)]
            Backend::Simulated(store) => Ok(store.get(key).await?.map(|_| jiff::Timestamp::UNIX_EPOCH)),
        }
    }

    /// The versions of an object, deletions among them, newest first; of very many the newest thousand. `None` where
    /// the store keeps no versions.
    pub async fn versions(&self, key: &str) -> Result<Option<Vec<ObjectVersion>>, StoreError> {
        check(key)?;
        if let Some(known) = self.snapshot.versions_of_gone(key) {
            return Ok(Some(known));
        }
        let asked = self.snapshot.asking();
        let versions = match &*self.backend {
            Backend::S3(store) => Box::pin(store.versions_of(key)).await?,
            Backend::Memory(store) => store.versions(key),
            Backend::File(_) => return Ok(None),
            #[cfg(test)]
            Backend::Simulated(_) => return Ok(None),
        };
        self.snapshot.keeps(asked, key, &versions);
        Ok(Some(versions))
    }

    /// The versions of all objects below some prefixes, by key, each newest first; asked anew. `None` where the store keeps
    /// no versions.
    pub async fn all_versions(
        &self,
        prefixes: &[String],
    ) -> Result<Option<BTreeMap<String, Vec<ObjectVersion>>>, StoreError> {
        match &*self.backend {
            Backend::S3(store) => {
                let lists = prefixes.iter().map(|prefix| Box::pin(store.all_versions(prefix)));
                let lists = futures::future::try_join_all(lists).await?;
                Ok(Some(lists.into_iter().flatten().collect()))
            }
            Backend::Memory(store) => Ok(Some(store.all_versions(prefixes))),
            Backend::File(_) => Ok(None),
            #[cfg(test)]
            Backend::Simulated(_) => Ok(None),
        }
    }

    /// Reads one version of an object; `None` where there is none, or it says that the object was deleted.
    pub async fn get_version(&self, key: &str, id: &str) -> Result<Option<Object>, StoreError> {
        check(key)?;
        match &*self.backend {
            Backend::S3(store) => Box::pin(store.get_version(key, id)).await,
            Backend::File(_) => Ok(None),
            Backend::Memory(store) => Ok(store.get_version(key, id)),
            #[cfg(test)]
            Backend::Simulated(_) => Ok(None),
        }
    }

    /// Makes an object what a version of it was, without reading it; does nothing where something is there.
    pub async fn copy_version(&self, key: &str, id: &str) -> Result<(), StoreError> {
        check(key)?;
        self.admit(key).await?;
        self.snapshot.forget();
        match &*self.backend {
            Backend::S3(store) => Box::pin(store.copy_version(key, id)).await,
            Backend::Memory(store) => {
                store.copy_version(key, id);
                Ok(())
            }
            // These keep no versions.
            Backend::File(_) => Ok(()),
            #[cfg(test)]
            Backend::Simulated(_) => Ok(()),
        }
    }

    /// Writes an object if what is there is what the writer believes. Fails with [`StoreError::Changed`] when it isn't,
    /// and with [`StoreError::LeaseLost`] when the writer's lease is lost. Finding exactly these bytes counts as having
    /// written them: the reply to an earlier attempt may have been lost. Whoever must know that it was them, and nobody
    /// else who wanted the same, writes something that nobody else writes.
    pub async fn put(&self, key: &str, bytes: Vec<u8>, condition: Condition) -> Result<Version, StoreError> {
        check(key)?;
        self.admit(key).await?;
        let kept = Bytes::from(bytes.clone());
        let written = match &*self.backend {
            Backend::S3(store) => Box::pin(requests::put(store, key, bytes, &condition)).await,
            Backend::File(store) => store.put(key, bytes, condition).await,
            Backend::Memory(store) => store.put(key, bytes, &condition),
            #[cfg(test)]
            Backend::Simulated(store) => requests::put(store, key, bytes, &condition).await,
        };
        match &written {
            Ok(version) => self.snapshot.wrote(key, Some(&Object { bytes: kept, version: version.clone() })),
            Err(_) => self.snapshot.forget(),
        }
        written
    }

    /// Lets a writer pass who holds no lease, or still holds it, unless the user has asked to stop. The lock itself is
    /// always given back.
    async fn admit(&self, key: &str) -> Result<(), StoreError> {
        #[cfg(test)]
        if let Backend::Simulated(network) = &*self.backend {
            network.asks_to_write(key);
        }
        let held = self.fence.lease_on(key);
        if held.as_ref().is_some_and(|held| held.lock == key) {
            return Ok(());
        }
        self.fence.check_stop(key)?;
        let Some(held) = held else { return Ok(()) };
        self.look_at_lease(&held).await
    }

    /// Looks at the lease. Those who ask side by side share a look that was sent after each of them asked.
    async fn look_at_lease(&self, held: &HeldLease) -> Result<(), StoreError> {
        held.check_time()?;
        let asked = held.clock.elapsed();
        let mut last_look = held.last_look.lock().await;
        if last_look.is_some_and(|sent| sent > asked) {
            return held.check_time();
        }
        let sent = held.clock.elapsed();
        let found = self.ask(&held.lock).await?;
        held.check_owner(found.as_ref(), sent)?;
        *last_look = Some(sent);
        Ok(())
    }

    /// What whoever changes a cluster outside the state asks before each step: fails with [`StoreError::Stopped`] when
    /// the user has asked to stop, and with [`StoreError::LeaseLost`] when the lease under which the cluster is changed
    /// was lost. It looks at the clocks, and when nobody has for some seconds, at the lease itself.
    pub async fn confirm(&self, cluster: &str) -> Result<(), StoreError> {
        let prefix = layout::cluster_prefix(cluster);
        self.fence.check_stop(&prefix)?;
        match self.fence.lease_on(&prefix) {
            Some(held) if held.is_to_be_confirmed() => self.look_at_lease(&held).await,
            Some(held) => held.check_time(),
            None => Ok(()),
        }
    }

    /// What each call asks that changes a cluster in AWS. It looks at the clocks only: whoever makes the calls looks at
    /// the lease before each step, with [`Store::confirm`].
    pub fn permit(&self, cluster: &str) -> Arc<dyn Permit> {
        Arc::new(Pass::below(&self.fence, layout::cluster_prefix(cluster)))
    }

    /// From now on, nothing more is written once the user has asked to stop, except that locks are given back.
    pub fn stop_when(&self, asked: StopAsked) {
        self.fence.stop_when(asked);
    }

    /// Deletes an object if it is what the caller read. Fails with [`StoreError::Changed`] when it isn't; one that is
    /// gone already is fine.
    pub async fn delete(&self, key: &str, version: &Version) -> Result<(), StoreError> {
        check(key)?;
        self.admit(key).await?;
        let deleted = match &*self.backend {
            Backend::S3(store) => Box::pin(requests::delete(store, key, version)).await,
            Backend::File(store) => store.delete(key, version.clone()).await,
            Backend::Memory(store) => store.delete(key, version),
            #[cfg(test)]
            Backend::Simulated(store) => requests::delete(store, key, version).await,
        };
        match &deleted {
            Ok(()) => self.snapshot.wrote(key, None),
            Err(_) => self.snapshot.forget(),
        }
        deleted
    }

    /// The keys that start with a prefix, sorted.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        if let Some(known) = self.snapshot.listing(prefix) {
            return Ok(known.into_iter().map(|listing| listing.key).collect());
        }
        match &*self.backend {
            Backend::S3(store) => Box::pin(store.list(prefix)).await,
            Backend::File(store) => store.list(prefix).await,
            Backend::Memory(store) => Ok(store.list(prefix)),
            #[cfg(test)]
            Backend::Simulated(store) => store.list(prefix).await,
        }
    }

    /// The same with what the store tells of each in the same calls.
    pub async fn listing(&self, prefix: &str) -> Result<Vec<Listing>, StoreError> {
        if let Some(known) = self.snapshot.listing(prefix) {
            return Ok(known);
        }
        if let Backend::S3(store) = &*self.backend {
            return Box::pin(store.listing(prefix)).await;
        }
        let keys = self.list(prefix).await?;
        Ok(keys.into_iter().map(|key| Listing { key, fingerprint: None }).collect())
    }

    /// The names directly below a prefix (which is empty, or ends in `/`): objects, and folders with a trailing `/`.
    /// It costs one call per thousand of them, however much is below.
    pub async fn children(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        if let Some(known) = self.snapshot.listing(prefix) {
            let keys: Vec<String> = known.into_iter().map(|listing| listing.key).collect();
            return Ok(children_of(&keys, prefix));
        }
        match &*self.backend {
            Backend::S3(store) => Box::pin(store.children(prefix)).await,
            Backend::File(store) => Ok(children_of(&store.list(prefix).await?, prefix)),
            Backend::Memory(store) => Ok(children_of(&store.list(prefix), prefix)),
            #[cfg(test)]
            Backend::Simulated(store) => Ok(children_of(&store.list(prefix).await?, prefix)),
        }
    }

    /// Deletes earlier versions, older than an age, of some objects, or of all below some prefixes: bounded work, and
    /// none where a rule of the bucket does it, or the store keeps no versions. Returns how many.
    pub async fn prune(&self, prefixes: &[String], age: SignedDuration) -> Result<usize, StoreError> {
        match &*self.backend {
            Backend::S3(store) => Box::pin(store.prune(prefixes, age)).await,
            Backend::File(_) | Backend::Memory(_) => Ok(0),
            #[cfg(test)]
            Backend::Simulated(_) => Ok(0),
        }
    }

    /// Deletes everything below a prefix that ends in `/`, with every earlier version: what is left of a deleted
    /// cluster would be its private keys. The keys in `last` go after all others, in that order.
    pub async fn purge(&self, prefix: &str, last: &[String]) -> Result<(), StoreError> {
        self.admit(prefix).await?;
        self.snapshot.forget();
        match &*self.backend {
            Backend::S3(store) => {
                for batch in Box::pin(store.doomed(prefix, last)).await? {
                    self.admit(prefix).await?;
                    Box::pin(store.delete_batch(prefix, &batch)).await?;
                }
                Ok(())
            }
            Backend::File(store) => store.purge(prefix, last).await,
            Backend::Memory(store) => {
                store.purge(prefix);
                Ok(())
            }
            #[cfg(test)]
            Backend::Simulated(_) => Err(StoreError::Key { key: prefix.to_owned() }),
        }
    }
}

/// What [`Store::children`] gives, from all keys.
fn children_of(keys: &[String], prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = keys
        .iter()
        .filter_map(|key| key.strip_prefix(prefix))
        .map(|rest| rest.split_inclusive('/').next().unwrap_or_default().to_owned())
        .collect();
    names.dedup();
    names
}

fn check(key: &str) -> Result<(), StoreError> {
    if is_key(key) { Ok(()) } else { Err(StoreError::Key { key: key.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_can_not_leave_the_store() {
        let store = Store::memory();
        for key in ["", "/x", "x/", "a//b", "../x", "a/../b", "a/./b"] {
            let error = store.put(key, Vec::new(), Condition::Absent).await.unwrap_err();
            assert!(matches!(error, StoreError::Key { .. }), "{key:?}: {error}");
        }
    }
}
