//! One cluster's part of the state, typed.
//!
//! What a command reads is a [`Specification`]: documents with the version that each was read at. What it writes names
//! that version, so that a write planned from an older one is refused.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use super::format::FORMAT;
use super::identity::Place;
use super::journal::{Journal, Write};
use super::layout;
use super::store::{Condition, Object, Store, StoreError, Version};
use crate::spec::additional::{AdditionalObject, ObjectKey};
use crate::spec::create::Manifests;
use crate::spec::problem::Problems;
use crate::spec::v1alpha2::{self, Cluster, InstanceGroup, SshCredential};
use crate::spec::yaml::{self, Source};

/// Why the state of a cluster could not be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// There is no such cluster.
    #[error("there is no cluster `{cluster}` in {store}")]
    Missing {
        /// Its name.
        cluster: String,
        /// The store's address.
        store: String,
    },
    /// There is one already.
    #[error("there is a cluster `{cluster}` in {store} already")]
    Exists {
        /// Its name.
        cluster: String,
        /// The store's address.
        store: String,
    },
    /// It is kops's.
    #[error("{store}/{cluster} was written by kops, and windlass does not write into it")]
    OfKops {
        /// The cluster's name.
        cluster: String,
        /// The store's address.
        store: String,
    },
    /// A newer windlass wrote it.
    #[error(
        "the state of `{cluster}` has format {found}, written by windlass {written_by}; this one reads up to {FORMAT}"
    )]
    Newer {
        /// The cluster's name.
        cluster: String,
        /// The version found.
        found: u32,
        /// Who wrote it.
        written_by: String,
    },
    /// A newer windlass wrote it last.
    #[error("windlass {written_by} wrote the state of `{cluster}` last; this one is {}", env!("CARGO_PKG_VERSION"))]
    Downgrade {
        /// The cluster's name.
        cluster: String,
        /// Who wrote it.
        written_by: String,
    },
    /// The credentials or the specification lead to where the cluster isn't.
    #[error("the cluster `{cluster}` is in {recorded}; this is {here}")]
    Elsewhere {
        /// The cluster's name.
        cluster: String,
        /// Where it is.
        recorded: Place,
        /// Where the command would have worked.
        here: Place,
    },
    /// Something in the state can't be read.
    #[error("`{key}` in the state can't be read: {reason}")]
    Malformed {
        /// Its key.
        key: String,
        /// Why.
        reason: String,
    },
    /// It is being deleted, and wasn't to the end.
    #[error("the cluster `{cluster}` is being deleted: {began}")]
    BeingDeleted {
        /// The cluster's name.
        cluster: String,
        /// Who began, and when.
        began: String,
    },
    /// A change of several objects was begun and can't be finished.
    #[error(
        "a change of `{cluster}` is half done and can't be finished: {began}, and since then somebody else wrote `{key}`"
    )]
    Unfinishable {
        /// The cluster's name.
        cluster: String,
        /// Who began it, and when.
        began: String,
        /// The object that is in the way.
        key: String,
    },
    /// The specification in the state isn't a good one.
    #[error("the specification of `{cluster}` in the state is not good:\n{problems}")]
    Specification {
        /// The cluster's name.
        cluster: String,
        /// All that is wrong with it.
        problems: Problems,
    },
    /// The cluster has no instance group of that name.
    #[error("the cluster `{cluster}` has no instance group `{name}`")]
    NoInstanceGroup {
        /// The cluster's name.
        cluster: String,
        /// The group's name.
        name: String,
    },
    /// The cluster has no revision of that number.
    #[error("the cluster `{cluster}` has no revision {number}")]
    NoRevision {
        /// The cluster's name.
        cluster: String,
        /// The number.
        number: u64,
    },
    /// The store said no.
    #[error("could not use the state of `{cluster}`")]
    Store {
        /// The cluster's name.
        cluster: String,
        /// What it said.
        #[source]
        source: StoreError,
    },
}

impl StateError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { store, .. } => {
                format!("see which there are: windlass get clusters --state {store}")
            }
            Self::Exists { cluster, .. } => format!(
                "change it with `windlass edit cluster {cluster}` or `windlass replace -f FILE`, or choose another name"
            ),
            Self::OfKops { .. } => {
                "choose another prefix: --state s3://BUCKET/PREFIX; the specification can be brought \
                                    over with `kops get all -o yaml` and `windlass create -f`"
                    .to_owned()
            }
            Self::Newer { written_by, .. } => format!("use windlass {written_by} or newer"),
            Self::Downgrade { written_by, .. } => format!(
                "use windlass {written_by} or newer; or, if the older one shall go on from here, add \
                 --allow-windlass-downgrade"
            ),
            Self::BeingDeleted { cluster, .. } => format!(
                "finish it: windlass delete cluster {cluster} --yes; or give it up and keep what is left: windlass unlock \
                 {cluster} --undelete"
            ),
            Self::Unfinishable { cluster, key, .. } => format!(
                "bring back the version of `{key}` that was there before (the bucket keeps versions) and run any command \
                 that changes the cluster; or delete `{}`, which says what was to be written, and look at the \
                 specification: windlass get all --name {cluster} -o yaml",
                layout::journal(cluster)
            ),
            Self::Elsewhere { recorded, here, .. } if recorded.account != here.account => format!(
                "nothing was asked or changed there. Use credentials of account {}: set AWS_PROFILE; `aws sts \
                 get-caller-identity` shows whose are in use",
                recorded.account
            ),
            Self::Elsewhere { cluster, recorded, .. } => format!(
                "nothing was asked or changed there. A cluster can't move: name zones of {} again with `windlass edit \
                 cluster {cluster}`, or make a cluster of another name",
                recorded.region
            ),
            Self::Specification { cluster, .. } => format!("mend it: windlass edit cluster {cluster}"),
            Self::NoInstanceGroup { cluster, .. } => {
                format!("see which there are: windlass get instancegroups --name {cluster}")
            }
            Self::NoRevision { cluster, .. } => {
                format!("see which there are: windlass history {cluster}")
            }
            Self::Malformed { .. } | Self::Store { .. } => return None,
        })
    }
}

/// A document of the state, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<T> {
    /// What it says.
    pub value: T,
    /// Which version of it was read.
    pub version: Version,
}

/// What a user wants, as it was read from the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Specification {
    /// The cluster.
    pub cluster: Stored<Cluster>,
    /// Its groups, by name.
    pub instance_groups: Vec<Stored<InstanceGroup>>,
    /// Its SSH keys, by name.
    pub ssh_credentials: Vec<Stored<SshCredential>>,
    /// Its additional objects, by key.
    pub additional_objects: Vec<Stored<AdditionalObject>>,
    /// What somebody began to write of it and didn't end. The documents are as they will be when it is done.
    pub unfinished: Option<Box<Journal>>,
}

fn values<T: Clone>(stored: &[Stored<T>]) -> Vec<T> {
    stored.iter().map(|stored| stored.value.clone()).collect()
}

impl Specification {
    /// The documents, without their versions.
    pub fn documents(&self) -> (Cluster, Vec<InstanceGroup>, Vec<SshCredential>) {
        (self.cluster.value.clone(), values(&self.instance_groups), values(&self.ssh_credentials))
    }

    /// The additional objects, without their versions.
    pub fn objects(&self) -> Vec<AdditionalObject> {
        values(&self.additional_objects)
    }

    /// All of it as YAML documents, the cluster first: what `create -f` takes.
    pub fn to_yaml(&self) -> String {
        self.to_yaml_with(&self.objects())
    }

    /// The same with these additional objects in the place of its own, whose secrets are not for everybody.
    pub fn to_yaml_with(&self, objects: &[AdditionalObject]) -> String {
        let (cluster, groups, credentials) = self.documents();
        documents_to_yaml(&cluster, &groups, &credentials, objects)
    }

    /// Whether another one says the same, whichever versions it was read at.
    pub fn says_what(&self, other: &Self) -> bool {
        self.documents() == other.documents() && self.objects() == other.objects()
    }

    /// Whether it is what a new cluster of these manifests would be.
    pub fn says(&self, manifests: &Manifests) -> bool {
        let (cluster, groups, credentials) = self.documents();
        let Manifests { cluster: wanted, instance_groups, ssh_credential, additional_objects } = manifests;
        let in_order = |groups: &[InstanceGroup]| {
            let mut groups = groups.to_vec();
            groups.sort_by(|one, other| v1alpha2::Object::name(one).cmp(v1alpha2::Object::name(other)));
            groups
        };
        cluster == *wanted
            && in_order(&groups) == in_order(instance_groups)
            && credentials.iter().eq(ssh_credential)
            && self.additional_objects.len() == additional_objects.len()
            && additional_objects
                .iter()
                .all(|wanted| self.additional_objects.iter().any(|it| it.value == *wanted))
    }

    /// The region, also of a specification of which an interrupted deletion has left only the cluster.
    pub fn region(&self) -> Result<String, StateError> {
        let mut subnets = self.cluster.value.spec.subnets.iter().flatten();
        let region = subnets.find_map(|subnet| crate::spec::subnets::region(subnet.zone.as_deref()?));
        region.map_or_else(|| Ok(self.complete()?.region), |region| Ok(region.to_owned()))
    }

    /// The complete specification, checked.
    pub fn complete(&self) -> Result<crate::spec::cluster::Cluster, StateError> {
        let (cluster, groups, credentials) = self.documents();
        crate::spec::complete(&cluster, &groups, &credentials).map_err(|problems| StateError::Specification {
            cluster: v1alpha2::Object::name(&self.cluster.value).to_owned(),
            problems,
        })
    }
}

/// A cluster's documents, separated by `---`.
pub(super) fn documents_to_yaml(
    cluster: &Cluster,
    groups: &[InstanceGroup],
    credentials: &[SshCredential],
    objects: &[AdditionalObject],
) -> String {
    let documents = std::iter::once(yaml::to_yaml(cluster)).chain(groups.iter().map(yaml::to_yaml));
    let documents = documents.chain(credentials.iter().map(yaml::to_yaml));
    documents.chain(objects.iter().map(AdditionalObject::to_yaml)).collect::<Vec<_>>().join("---\n")
}

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

    /// Reads what the user wants. Fails when there is no such cluster.
    pub async fn read(&self) -> Result<Specification, StateError> {
        let [groups, credentials, objects] = self.prefixes();
        let fixed = [layout::format(&self.name), layout::cluster(&self.name), layout::journal(&self.name)];
        let read = futures::future::try_join4(
            self.store.get_all(&fixed),
            self.store.list(&groups),
            self.store.list(&credentials),
            self.store.list(&objects),
        );
        let (mut fixed, groups, credentials, objects) = read.await.map_err(self.failed())?;
        let (journal, cluster) = (fixed.pop().flatten(), fixed.pop().flatten());
        self.check_format(fixed.pop().flatten().as_ref())?;
        let Some(cluster) = cluster else { return Err(self.missing().await?) };
        let (groups, credentials, objects) = futures::future::try_join3(
            self.documents(groups),
            self.documents(credentials),
            self.documents(objects),
        )
        .await?;
        let journal = journal.map(|found| self.parse_journal(&found)).transpose()?;
        let writes = journal.as_ref().map(Journal::writes).unwrap_or_default();
        let cluster = vec![(layout::cluster(&self.name), cluster)];
        let Some((_, cluster)) = written(cluster, writes, &layout::cluster(&self.name)).pop() else {
            return Err(self.missing().await?);
        };
        let [groups_prefix, credentials_prefix, objects_prefix] = self.prefixes();
        let groups = written(groups, writes, &groups_prefix);
        let credentials = written(credentials, writes, &credentials_prefix);
        let objects = written(objects, writes, &objects_prefix);
        Ok(Specification {
            unfinished: journal.map(Box::new),
            cluster: self.parse(&layout::cluster(&self.name), &cluster, |found| found.clusters)?,
            instance_groups: self.parse_all(&groups, |found| found.instance_groups)?,
            ssh_credentials: self.parse_all(&credentials, |found| found.ssh_credentials)?,
            additional_objects: self.parse_all(&objects, |found| found.additional_objects)?,
        })
    }

    /// Fails when a new cluster can't be written here: there is one already, or kops's.
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
        self.check_format(marker.as_ref())
    }

    /// Writes a new cluster. The `Cluster` itself is written last: until then there is none, and what an interrupted
    /// attempt has left is written over.
    pub async fn create(&self, manifests: &Manifests) -> Result<(), StateError> {
        self.check_free().await?;
        let Manifests { cluster, instance_groups, ssh_credential, additional_objects } = manifests;
        self.mark_format().await?;
        let mut wanted = Vec::new();
        for group in instance_groups {
            wanted.push((
                layout::instance_group(&self.name, v1alpha2::Object::name(group)),
                yaml::to_yaml(group),
            ));
        }
        if let Some(credential) = ssh_credential {
            let name = v1alpha2::Object::name(credential);
            wanted.push((layout::ssh_credential(&self.name, name), yaml::to_yaml(credential)));
        }
        for object in additional_objects {
            let key = layout::additional_object(&self.name, object.key());
            wanted.push((key, object.to_yaml()));
        }
        self.forget_all_but(&wanted).await?;
        for (key, text) in wanted {
            let found = self.store.get(&key).await.map_err(self.failed())?;
            let condition = found.map_or(Condition::Absent, |found| Condition::Unchanged(found.version));
            self.store.put(&key, text.into_bytes(), condition).await.map_err(self.failed())?;
        }
        let bytes = yaml::to_yaml(cluster).into_bytes();
        match self.store.put(&layout::cluster(&self.name), bytes, Condition::Absent).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_changed() => {
                Err(StateError::Exists { cluster: self.name.clone(), store: self.store.url() })
            }
            Err(error) => Err(self.failed()(error)),
        }
    }

    /// Replaces the cluster, if it is still the version that was read.
    pub async fn put_cluster(&self, cluster: &Cluster, read: &Version) -> Result<Version, StateError> {
        let condition = Condition::Unchanged(read.clone());
        self.put(&layout::cluster(&self.name), yaml::to_yaml(cluster), condition).await
    }

    /// Replaces an instance group, if it is still the version that was read; `None` adds one.
    pub async fn put_instance_group(
        &self,
        group: &InstanceGroup,
        read: Option<&Version>,
    ) -> Result<Version, StateError> {
        let condition = read.map_or(Condition::Absent, |read| Condition::Unchanged(read.clone()));
        let key = layout::instance_group(&self.name, v1alpha2::Object::name(group));
        self.put(&key, yaml::to_yaml(group), condition).await
    }

    /// Replaces an SSH key, if it is still the version that was read; `None` adds one.
    pub async fn put_ssh_credential(
        &self,
        credential: &SshCredential,
        read: Option<&Version>,
    ) -> Result<Version, StateError> {
        let condition = read.map_or(Condition::Absent, |read| Condition::Unchanged(read.clone()));
        let key = layout::ssh_credential(&self.name, v1alpha2::Object::name(credential));
        self.put(&key, yaml::to_yaml(credential), condition).await
    }

    /// Deletes an instance group, if it is still the version that was read.
    pub async fn delete_instance_group(&self, name: &str, read: &Version) -> Result<(), StateError> {
        self.store.delete(&layout::instance_group(&self.name, name), read).await.map_err(self.failed())
    }

    /// Deletes an SSH key, if it is still the version that was read.
    pub async fn delete_ssh_credential(&self, name: &str, read: &Version) -> Result<(), StateError> {
        self.store.delete(&layout::ssh_credential(&self.name, name), read).await.map_err(self.failed())
    }

    /// Replaces an additional object, if it is still the version that was read; `None` adds one.
    pub async fn put_additional_object(
        &self,
        object: &AdditionalObject,
        read: Option<&Version>,
    ) -> Result<Version, StateError> {
        let condition = read.map_or(Condition::Absent, |read| Condition::Unchanged(read.clone()));
        self.put(&layout::additional_object(&self.name, object.key()), object.to_yaml(), condition).await
    }

    /// Deletes an additional object, if it is still the version that was read.
    pub async fn delete_additional_object(&self, key: &ObjectKey, read: &Version) -> Result<(), StateError> {
        self.store.delete(&layout::additional_object(&self.name, key), read).await.map_err(self.failed())
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

    /// Whether there is no cluster, and yet something of one: what an interrupted run has left.
    pub async fn is_a_remnant(&self) -> Result<bool, StateError> {
        let children = self.store.children(&layout::cluster_prefix(&self.name)).await;
        let children = children.map_err(self.failed())?;
        let names = || children.iter().map(String::as_str);
        Ok(!children.is_empty()
            && !names().any(|name| name == layout::CLUSTER_FILE)
            && !layout::is_of_kops(names()))
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
        Ok(StateError::Missing { cluster: self.name.clone(), store: self.store.url() })
    }

    fn of_kops(&self) -> StateError {
        StateError::OfKops { cluster: self.name.clone(), store: self.store.url() }
    }

    async fn documents(&self, keys: Vec<String>) -> Result<Vec<(String, Object)>, StateError> {
        let objects = self.store.get_all(&keys).await.map_err(self.failed())?;
        // One that was deleted since it was listed isn't there any more.
        Ok(keys.into_iter().zip(objects).filter_map(|(key, object)| Some((key, object?))).collect())
    }

    fn parse_all<T>(
        &self,
        documents: &[(String, Object)],
        pick: impl Fn(yaml::Documents) -> Vec<T>,
    ) -> Result<Vec<Stored<T>>, StateError> {
        documents.iter().map(|(key, object)| self.parse(key, object, &pick)).collect()
    }

    fn parse<T>(
        &self,
        key: &str,
        object: &Object,
        pick: impl Fn(yaml::Documents) -> Vec<T>,
    ) -> Result<Stored<T>, StateError> {
        let wrong = |problems: Problems| StateError::Malformed {
            key: format!("{}/{key}", self.store.url()),
            reason: format!("\n{problems}"),
        };
        let source = Source::from_bytes(key, object.bytes.clone()).map_err(wrong)?;
        let mut found = pick(yaml::read(vec![source]).map_err(wrong)?);
        match (found.pop(), found.is_empty()) {
            (Some(value), true) => Ok(Stored { value, version: object.version.clone() }),
            _ => Err(StateError::Malformed {
                key: format!("{}/{key}", self.store.url()),
                reason: "it does not hold exactly the one document that its name says".to_owned(),
            }),
        }
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

/// Documents below a prefix as they will be when a change is done. What isn't written yet has no version.
fn written(documents: Vec<(String, Object)>, writes: &[Write], prefix: &str) -> Vec<(String, Object)> {
    let mut documents: BTreeMap<String, Object> = documents.into_iter().collect();
    for write in writes.iter().filter(|write| write.key.starts_with(prefix)) {
        match &write.after {
            Some(text) => {
                let (bytes, version) = (text.clone().into_bytes(), Version("not written yet".to_owned()));
                documents.insert(write.key.clone(), Object { bytes, version });
            }
            None => drop(documents.remove(&write.key)),
        }
    }
    documents.into_iter().collect()
}

/// The names of the clusters of a store. One call for each thousand names at the top and one for each of them: what is
/// in the clusters is not listed.
pub async fn clusters(store: &Store) -> Result<Vec<String>, StoreError> {
    let names: Vec<String> = store
        .children("")
        .await?
        .iter()
        .filter_map(|name| name.strip_suffix('/'))
        .map(str::to_owned)
        .collect();
    let keys: Vec<String> = names.iter().map(|name| layout::cluster(name)).collect();
    let found = store.get_all(&keys).await?;
    Ok(names.into_iter().zip(found).filter(|(_, found)| found.is_some()).map(|(name, _)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{CreateOptions, create};

    fn manifests() -> Manifests {
        let options = CreateOptions {
            name: "demo.example.com".to_owned(),
            zones: vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()],
            ..CreateOptions::default()
        };
        create(&options).unwrap()
    }

    fn state() -> ClusterState {
        ClusterState::new(Store::memory(), "demo.example.com")
    }

    #[tokio::test]
    async fn what_is_created_is_read_back_with_its_versions() {
        let (state, manifests) = (state(), manifests());
        state.create(&manifests).await.unwrap();
        let read = state.read().await.unwrap();
        assert_eq!(read.cluster.value, manifests.cluster);
        assert_eq!(read.instance_groups.len(), manifests.instance_groups.len());
        assert!(read.instance_groups.iter().all(|group| manifests.instance_groups.contains(&group.value)));
        assert_eq!(clusters(state.store()).await.unwrap(), ["demo.example.com"]);
        read.complete().unwrap();
    }

    #[tokio::test]
    async fn a_cluster_is_not_created_twice() {
        let (state, manifests) = (state(), manifests());
        state.create(&manifests).await.unwrap();
        let error = state.create(&manifests).await.unwrap_err();
        assert!(matches!(error, StateError::Exists { .. }), "{error}");
    }

    #[tokio::test]
    async fn what_an_interrupted_creation_left_is_written_over() {
        let (state, manifests) = (state(), manifests());
        let name = "demo.example.com";
        for (key, text) in [
            (layout::instance_group(name, "nodes-us-east-1a"), "half"),
            (layout::instance_group(name, "unwanted"), "half"),
        ] {
            state.store().put(&key, text.into(), Condition::Absent).await.unwrap();
        }
        let error = state.read().await.unwrap_err();
        assert!(matches!(error, StateError::Missing { .. }), "{error}");
        state.create(&manifests).await.unwrap();
        assert_eq!(state.read().await.unwrap().instance_groups.len(), manifests.instance_groups.len());
    }

    #[tokio::test]
    async fn a_prefix_that_kops_wrote_is_refused() {
        for key in ["config", "cluster-completed.spec", "kops-version.txt", "instancegroup/nodes"] {
            let state = state();
            let key = format!("demo.example.com/{key}");
            state.store().put(&key, b"x".to_vec(), Condition::Absent).await.unwrap();
            let error = state.create(&manifests()).await.unwrap_err();
            assert!(matches!(error, StateError::OfKops { .. }), "{key}: {error}");
            let error = state.read().await.unwrap_err();
            assert!(matches!(error, StateError::OfKops { .. }), "{key}: {error}");
            assert_eq!(state.store().list("").await.unwrap(), [key]);
        }
    }

    #[tokio::test]
    async fn a_state_of_a_newer_windlass_is_refused() {
        let state = state();
        let marker = r#"{"version": 2, "writtenBy": "9.1.0"}"#;
        let key = layout::format("demo.example.com");
        state.store().put(&key, marker.into(), Condition::Absent).await.unwrap();
        for error in [state.read().await.unwrap_err(), state.create(&manifests()).await.unwrap_err()] {
            assert!(matches!(error, StateError::Newer { found: 2, .. }), "{error}");
            assert_eq!(error.hint().as_deref(), Some("use windlass 9.1.0 or newer"));
        }
    }

    #[tokio::test]
    async fn a_write_from_an_older_version_is_refused() {
        let state = state();
        state.create(&manifests()).await.unwrap();
        let read = state.read().await.unwrap();
        let mut first = read.cluster.value.clone();
        first.spec.kubernetes_version = Some("1.36.2".to_owned());
        state.put_cluster(&first, &read.cluster.version).await.unwrap();
        let mut second = read.cluster.value.clone();
        second.spec.channel = Some("alpha".to_owned());
        let error = state.put_cluster(&second, &read.cluster.version).await.unwrap_err();
        assert!(matches!(&error, StateError::Store { source, .. } if source.is_changed()), "{error}");
        assert_eq!(state.read().await.unwrap().cluster.value, first);
    }

    #[tokio::test]
    async fn a_purged_cluster_leaves_its_neighbours() {
        let state = state();
        state.create(&manifests()).await.unwrap();
        let neighbour = "demo.example.com.au/cluster.yaml";
        state.store().put(neighbour, b"x".to_vec(), Condition::Absent).await.unwrap();
        state.purge().await.unwrap();
        assert_eq!(state.store().list("").await.unwrap(), [neighbour]);
    }
}
