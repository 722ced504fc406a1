//! One cluster's part of the state, typed.
//!
//! What a command reads is a [`Specification`]: documents with the version that each was read at. What it writes names
//! that version, so that a write planned from an older one is refused.

use std::collections::BTreeMap;
use std::fmt;

use futures::stream::{self, StreamExt, TryStreamExt};
use jiff::SignedDuration;

use super::damage::{MISSING, was_deleted};
use super::error::StateError;
use super::journal::{Journal, Write};
use super::layout;
use super::object::{Condition, Object, Version, is_key};
use super::specification::{self, Specification};
use super::store::Store;
use super::store_error::StoreError;
use crate::aws::Clients;
use crate::spec::problem::Problems;
use crate::spec::v1alpha2::Cluster;
use crate::spec::yaml::{self, Source};
use crate::spec::{Document, DocumentName, Documents};

/// How many objects are looked at at once.
const READS: usize = 32;

/// How many are written at once: as many steps as a plan carries out at once.
pub(super) const WRITES: usize = 16;

/// One cluster's part of a store.
#[derive(Clone, Debug)]
pub struct ClusterState {
    store: Store,
    name: String,
}

impl ClusterState {
    /// The part of a cluster of that name, which need not be there.
    pub fn new(store: Store, name: impl Into<String>) -> Self {
        Self { store, name: name.into() }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens the store at an address to work on one cluster of it: as [`Store::open`] and then [`Self::look`], in one
    /// round of calls less.
    pub async fn open(url: &str, clients: &Clients, name: String) -> Result<Self, StoreError> {
        let (prefix, volatile) = (layout::cluster_prefix(&name), layout::short_lived(&name));
        Ok(Self::new(Store::open_looking(url, clients, &prefix, &volatile).await?, name))
    }

    /// Lists all that there is of the cluster, once: until the next look, that answers what is asked for
    /// ([`Store::look`]). Whoever begins to work on a cluster looks, and whoever has taken its lease looks again.
    pub async fn look(&self) -> Result<(), StateError> {
        let looked =
            self.store.look(&layout::cluster_prefix(&self.name), &layout::short_lived(&self.name)).await;
        looked.map_err(self.failed())
    }

    /// Looks, unless somebody has already.
    pub async fn look_once(&self) -> Result<(), StateError> {
        if self.store.has_looked(&layout::cluster_prefix(&self.name)) { Ok(()) } else { self.look().await }
    }

    /// Reads what the user wants. Fails when there is no such cluster, and with the version to bring back where one of
    /// the documents is damaged.
    pub async fn read(&self) -> Result<Specification, StateError> {
        match Box::pin(self.read_documents()).await {
            Err(error) => Err(self.explain(error).await),
            read => read,
        }
    }

    async fn read_documents(&self) -> Result<Specification, StateError> {
        let [groups, credentials, objects] = self.prefixes();
        let fixed = [layout::format(&self.name), layout::cluster(&self.name), layout::journal(&self.name)];
        let listed = futures::future::try_join3(
            self.store.list(&groups),
            self.store.list(&credentials),
            self.store.list(&objects),
        );
        let (groups, credentials, objects) = listed.await.map_err(self.failed())?;
        let (fixed, groups, credentials, objects) = futures::future::join4(
            self.store.get_all(&fixed),
            self.documents(groups),
            self.documents(credentials),
            self.documents(objects),
        )
        .await;
        let mut fixed = fixed.map_err(self.failed())?;
        let (journal, cluster) = (fixed.pop().flatten(), fixed.pop().flatten());
        self.check_format(fixed.pop().flatten().as_ref())?;
        let Some(cluster) = cluster else { return Err(self.missing().await?) };
        let mut there: BTreeMap<String, Object> =
            [groups?, credentials?, objects?].concat().into_iter().collect();
        there.insert(layout::cluster(&self.name), cluster);
        let journal = journal.map(|found| self.parse_journal(&found)).transpose()?;
        self.show_written(&mut there, journal.as_ref().map(Journal::writes).unwrap_or_default());
        let (mut documents, mut versions) = (Documents::<Vec<Cluster>>::default(), BTreeMap::new());
        for (key, object) in &there {
            let found = parse(&self.name, key, object)?;
            versions.extend(found.names().into_iter().map(|name| (name, object.version.clone())));
            documents.extend(found);
        }
        let Some(documents) = documents.whole() else { return Err(self.missing().await?) };
        Ok(Specification { documents, versions, unfinished: journal.map(Box::new) })
    }

    /// Shows documents as they will be when a change is done. What isn't written yet has no version.
    fn show_written(&self, there: &mut BTreeMap<String, Object>, writes: &[Write]) {
        let is_document = |key: &str| {
            key == layout::cluster(&self.name) || self.prefixes().iter().any(|prefix| key.starts_with(prefix))
        };
        for Write { key, after, .. } in writes.iter().filter(|write| is_document(&write.key)) {
            match after {
                Some(text) => {
                    let (bytes, version) = (text.clone().into_bytes(), Version("not written yet".to_owned()));
                    there.insert(key.clone(), Object { bytes: bytes.into(), version });
                }
                None => drop(there.remove(key)),
            }
        }
    }

    /// The cluster's region where the specification as a whole can't be read: what the `Cluster` says, else what the
    /// last revision said that can be read.
    pub async fn region_amid_damage(&self) -> Result<Option<String>, StateError> {
        let key = layout::cluster(&self.name);
        let found = self.store.get(&key).await.map_err(self.failed())?;
        let cluster = found.and_then(|found| parse(&self.name, &key, &found).ok()?.cluster.pop());
        if let Some(region) = cluster.as_ref().and_then(specification::region) {
            return Ok(Some(region));
        }
        let (revisions, _) = self.history().await?;
        Ok(revisions.iter().rev().find_map(|revision| specification::region(&revision.documents.cluster)))
    }

    /// Fails when a new cluster can't be written here: there is one already, or kops's, or one whose `cluster.yaml` was
    /// lost.
    pub async fn check_free(&self) -> Result<(), StateError> {
        let prefix = layout::cluster_prefix(&self.name);
        let children = self.store.children(&prefix).await.map_err(self.failed())?;
        if children.iter().any(|name| name == layout::CLUSTER_FILE) {
            return Err(StateError::Exists { cluster: self.name.clone(), store: self.store.url() });
        }
        if layout::is_of_kops(children.iter().map(String::as_str)) {
            return Err(self.of_kops());
        }
        let marker = self.store.get(&layout::format(&self.name)).await.map_err(self.failed())?;
        self.explained(self.check_format(marker.as_ref())).await?;
        if self.has_lost_its_cluster(&children).await? {
            return Err(self.lost(&layout::cluster(&self.name)).await);
        }
        Ok(())
    }

    /// Whether there was a cluster to which something was applied, though there is none any more, from what is directly
    /// below its prefix. A deletion leaves nothing of the kind: all traces of an update go before the `Cluster`, and of
    /// that no version stays.
    async fn has_lost_its_cluster(&self, children: &[String]) -> Result<bool, StateError> {
        let is_there = |name: &str| children.iter().any(|child| child == name);
        // Whoever applies a specification writes a revision first.
        if is_there("applied") || is_there("revisions/") {
            return Ok(true);
        }
        let identity = layout::identity(&self.name);
        if !self.was_lost(&layout::cluster(&self.name)).await? {
            return Ok(false);
        }
        let was_applied = is_there(layout::IDENTITY_FILE)
            || children.iter().any(|name| layout::is_trace_of_an_update(name));
        Ok(was_applied
            || self.was_lost(&identity).await?
            || self.was_lost(&layout::applied(&self.name)).await?)
    }

    /// Writes a new cluster. The `Cluster` itself is written last: until then there is none, and what an interrupted
    /// attempt has left is written over.
    pub async fn create(&self, documents: &Documents) -> Result<(), StateError> {
        self.check_free().await?;
        self.mark_format().await?;
        let cluster = Document::Cluster(&documents.cluster);
        let beside = documents.iter().filter(|document| *document != cluster);
        let wanted: Vec<(String, String)> = beside
            .map(|document| (layout::document(&self.name, &document.name()), document.to_yaml()))
            .collect();
        self.forget_all_but(&wanted).await?;
        let writes = wanted.into_iter().map(|(key, text)| self.overwrite(key, text));
        stream::iter(writes.collect::<Vec<_>>()).buffer_unordered(WRITES).try_collect::<()>().await?;
        let bytes = cluster.to_yaml().into_bytes();
        match self.store.put(&layout::cluster(&self.name), bytes, Condition::Absent).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_changed() => {
                Err(StateError::Exists { cluster: self.name.clone(), store: self.store.url() })
            }
            Err(error) => Err(self.failed()(error)),
        }
    }

    /// Replaces a document, if it is still the version that was read; `None` adds one.
    pub async fn put_document(
        &self,
        document: Document<'_>,
        read: Option<&Version>,
    ) -> Result<Version, StateError> {
        let condition = read.map_or(Condition::Absent, |read| Condition::Unchanged(read.clone()));
        self.put(&layout::document(&self.name, &document.name()), document.to_yaml(), condition).await
    }

    /// Deletes a document, if it is still the version that was read.
    pub async fn delete_document(&self, name: &DocumentName, read: &Version) -> Result<(), StateError> {
        self.store.delete(&layout::document(&self.name, name), read).await.map_err(self.failed())
    }

    /// Deletes everything of the cluster, with every earlier version. Who it is and the `Cluster` go after all else: what
    /// an interrupted attempt leaves is seen as a cluster, and is deleted like one. The tombstone and the lease go last.
    pub async fn purge(&self) -> Result<(), StateError> {
        let last = [
            layout::identity(&self.name),
            layout::cluster(&self.name),
            layout::journal(&self.name),
            layout::lock(&self.name),
        ];
        self.store.purge(&layout::cluster_prefix(&self.name), &last).await.map_err(self.failed())
    }

    /// Deletes versions, older than a day, of what is written again and again, where no rule of the bucket does.
    pub async fn prune(&self) -> Result<usize, StateError> {
        let prefixes = layout::short_lived(&self.name);
        self.store.prune(&prefixes, SignedDuration::from_hours(24)).await.map_err(self.failed())
    }

    /// Whether there is no cluster, and yet something of one: what an interrupted run has left.
    pub async fn is_a_remnant(&self) -> Result<bool, StateError> {
        let children = self.store.children(&layout::cluster_prefix(&self.name)).await;
        let children = children.map_err(self.failed())?;
        let names = || children.iter().map(String::as_str);
        Ok(!children.is_empty()
            && !names().any(|name| name == layout::CLUSTER_FILE)
            && !layout::is_of_kops(names()))
    }

    /// Writes over what an interrupted attempt has left.
    async fn overwrite(&self, key: String, text: String) -> Result<(), StateError> {
        let found = self.store.get(&key).await.map_err(self.failed())?;
        let condition = found.map_or(Condition::Absent, |found| Condition::Unchanged(found.version));
        self.put(&key, text, condition).await.map(drop)
    }

    async fn put(&self, key: &str, text: String, condition: Condition) -> Result<Version, StateError> {
        self.store.put(key, text.into_bytes(), condition).await.map_err(self.failed())
    }

    /// Where the documents are that stand beside the `Cluster`.
    fn prefixes(&self) -> [String; 3] {
        [
            layout::instance_groups_prefix(&self.name),
            layout::ssh_credentials_prefix(&self.name),
            layout::additional_objects_prefix(&self.name),
        ]
    }

    /// What an interrupted attempt has left, and this one doesn't want.
    async fn forget_all_but(&self, wanted: &[(String, String)]) -> Result<(), StateError> {
        for prefix in self.prefixes() {
            for key in self.store.list(&prefix).await.map_err(self.failed())? {
                if wanted.iter().any(|(wanted, _)| *wanted == key) {
                    continue;
                }
                if let Some(object) = self.store.get(&key).await.map_err(self.failed())? {
                    self.store.delete(&key, &object.version).await.map_err(self.failed())?;
                }
            }
        }
        Ok(())
    }

    /// Why there is no cluster: there is none, or it is kops's.
    async fn missing(&self) -> Result<StateError, StateError> {
        let prefix = layout::cluster_prefix(&self.name);
        let children = self.store.children(&prefix).await.map_err(self.failed())?;
        if layout::is_of_kops(children.iter().map(String::as_str)) {
            return Ok(self.of_kops());
        }
        let key = layout::cluster(&self.name);
        if self.was_lost(&key).await? || self.has_lost_its_cluster(&children).await? {
            return Ok(StateError::Malformed { key, reason: MISSING.to_owned() });
        }
        Ok(StateError::Missing { cluster: self.name.clone(), store: self.store.url() })
    }

    fn of_kops(&self) -> StateError {
        StateError::OfKops { cluster: self.name.clone(), store: self.store.url() }
    }

    /// What isn't of the form that windlass's keys have is somebody else's, and no part of the specification.
    async fn documents(&self, mut keys: Vec<String>) -> Result<Vec<(String, Object)>, StateError> {
        let prefix = layout::cluster_prefix(&self.name);
        keys.retain(|key| key.strip_prefix(&prefix).is_some_and(layout::is_specification));
        let objects = self.store.get_all(&keys).await.map_err(self.failed())?;
        // One that was deleted since it was listed isn't there any more.
        Ok(keys.into_iter().zip(objects).filter_map(|(key, object)| Some((key, object?))).collect())
    }

    pub(super) fn failed(&self) -> impl FnOnce(StoreError) -> StateError + use<> {
        let cluster = self.name.clone();
        move |source| StateError::Store { cluster, source }
    }
}

impl fmt::Display for ClusterState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.store.url(), self.name)
    }
}

/// What is wrong with the bytes of a document of a cluster's specification.
pub(super) fn check_document(cluster: &str, key: &str, bytes: &[u8]) -> Result<(), String> {
    let object = &Object { bytes: bytes.to_vec().into(), version: Version(String::new()) };
    parse(cluster, key, object).map(drop).map_err(|error| match error {
        StateError::Malformed { reason, .. } => reason,
        other => other.to_string(),
    })
}

/// Reads a document, which must be the one that its key names.
fn parse(cluster: &str, key: &str, object: &Object) -> Result<Documents<Vec<Cluster>>, StateError> {
    let malformed = |reason: String| StateError::Malformed { key: key.to_owned(), reason };
    let wrong = |problems: Problems| malformed(format!("\n{problems}"));
    let source = Source::from_bytes(key, object.bytes.to_vec()).map_err(wrong)?;
    let found = yaml::read(vec![source]).map_err(wrong)?.documents;
    let keys: Vec<String> =
        found.iter().map(|document| layout::document(cluster, &document.name())).collect();
    if keys == [key] {
        return Ok(found);
    }
    Err(malformed("it does not hold exactly the one document that its name says".to_owned()))
}

/// The names of the clusters of a store, with those whose `cluster.yaml` was deleted. One call for each thousand names at
/// the top and one for each of them, two where there is no cluster: what is in the clusters is not listed.
pub async fn clusters(store: &Store) -> Result<Vec<String>, StoreError> {
    let mut names: Vec<String> = store
        .children("")
        .await?
        .iter()
        .filter_map(|name| name.strip_suffix('/'))
        .filter(|name| is_key(name))
        .map(str::to_owned)
        .collect();
    let keys: Vec<String> = names.iter().map(|name| layout::cluster(name)).collect();
    let found = store.get_all(&keys).await?;
    let deleted = keys.iter().zip(&found).map(|(key, found)| {
        // Boxed, because the compiler can't see that a borrowing closure works for every key.
        Box::pin(async move {
            match found {
                Some(_) => Ok(false),
                None => was_deleted(store, key).await,
            }
        })
    });
    let deleted: Vec<_> = stream::iter(deleted.collect::<Vec<_>>()).buffered(READS).collect().await;
    // Whoever may not see versions is shown the clusters that are there.
    let deleted = deleted.into_iter().map(|deleted| match deleted {
        Err(error) if error.is_denied() => Ok(false),
        deleted => deleted,
    });
    let deleted = deleted.collect::<Result<Vec<bool>, StoreError>>()?;
    let mut there = found.iter().zip(deleted).map(|(found, deleted)| found.is_some() || deleted);
    names.retain(|_| there.next().unwrap_or_default());
    Ok(names)
}

#[cfg(test)]
mod tests;
