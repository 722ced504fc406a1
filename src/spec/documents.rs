//! The documents of a cluster, as users write them and the state keeps them.
//!
//! Whatever reads, holds, compares, changes, keeps or shows a specification does so with [`Documents`], and where it goes
//! through them one by one, with [`Document`] and [`DocumentName`]: a kind of document that is new here is new everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::slice;

use serde::{Deserialize, Serialize};

use super::additional::{AdditionalObject, ObjectKey, masked_pair};
use super::v1alpha2::{Cluster, InstanceGroup, Object, SshCredential};
use super::yaml::write as yaml;

/// The documents of a cluster. `C` says how many `Cluster`s are among them: one where they are whole, one or none where
/// they change others (`Option<Cluster>`), any number in files (`Vec<Cluster>`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Documents<C = Cluster> {
    /// The `Cluster`, or as many of them as `C` says.
    pub cluster: C,
    /// Its instance groups.
    pub instance_groups: Vec<InstanceGroup>,
    /// Its SSH keys.
    pub ssh_credentials: Vec<SshCredential>,
    /// The Kubernetes objects that are applied to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_objects: Vec<AdditionalObject>,
}

impl Documents<Vec<Cluster>> {
    /// These and others.
    pub fn extend(&mut self, others: Self) {
        let Self { cluster, instance_groups, ssh_credentials, additional_objects } = others;
        self.cluster.extend(cluster);
        self.instance_groups.extend(instance_groups);
        self.ssh_credentials.extend(ssh_credentials);
        self.additional_objects.extend(additional_objects);
    }

    /// The same, where there is exactly one cluster among them.
    pub fn whole(self) -> Option<Documents> {
        let Self { cluster, instance_groups, ssh_credentials, additional_objects } = self;
        let [cluster] = <[Cluster; 1]>::try_from(cluster).ok()?;
        Some(Documents { cluster, instance_groups, ssh_credentials, additional_objects })
    }

    /// The same, where there is at most one cluster among them.
    pub fn of_one_cluster(self) -> Option<Documents<Option<Cluster>>> {
        let Self { mut cluster, instance_groups, ssh_credentials, additional_objects } = self;
        let first = cluster.pop();
        let written = Documents { cluster: first, instance_groups, ssh_credentials, additional_objects };
        cluster.is_empty().then_some(written)
    }
}

/// How many `Cluster`s there may be among documents.
pub trait Clusters {
    /// Those that there are.
    fn clusters(&self) -> &[Cluster];
}

impl Clusters for Cluster {
    fn clusters(&self) -> &[Cluster] {
        slice::from_ref(self)
    }
}

impl Clusters for Option<Cluster> {
    fn clusters(&self) -> &[Cluster] {
        self.as_slice()
    }
}

impl Clusters for Vec<Cluster> {
    fn clusters(&self) -> &[Cluster] {
        self
    }
}

/// One of the documents.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Document<'a> {
    /// A cluster.
    Cluster(&'a Cluster),
    /// An instance group.
    InstanceGroup(&'a InstanceGroup),
    /// An SSH key.
    SshCredential(&'a SshCredential),
    /// A Kubernetes object.
    AdditionalObject(&'a AdditionalObject),
}

impl Document<'_> {
    /// What tells it from the others of a cluster.
    pub fn name(&self) -> DocumentName {
        match self {
            Self::Cluster(cluster) => DocumentName::Cluster(cluster.name().to_owned()),
            Self::InstanceGroup(group) => DocumentName::InstanceGroup(group.name().to_owned()),
            Self::SshCredential(credential) => DocumentName::SshCredential(credential.name().to_owned()),
            Self::AdditionalObject(object) => DocumentName::AdditionalObject(object.key().clone()),
        }
    }

    /// It as YAML.
    pub fn to_yaml(&self) -> String {
        match self {
            Self::Cluster(cluster) => yaml::to_yaml(cluster),
            Self::InstanceGroup(group) => yaml::to_yaml(group),
            Self::SshCredential(credential) => yaml::to_yaml(credential),
            Self::AdditionalObject(object) => object.to_yaml(),
        }
    }
}

/// What tells a document from the others of a cluster. It is shown as `InstanceGroup nodes`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentName {
    /// A cluster's.
    Cluster(String),
    /// An instance group's.
    InstanceGroup(String),
    /// An SSH key's.
    SshCredential(String),
    /// A Kubernetes object's.
    AdditionalObject(ObjectKey),
}

impl fmt::Display for DocumentName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(name) => write!(formatter, "{} {name}", Cluster::KIND),
            Self::InstanceGroup(name) => write!(formatter, "{} {name}", InstanceGroup::KIND),
            Self::SshCredential(name) => write!(formatter, "{} {name}", SshCredential::KIND),
            Self::AdditionalObject(key) => key.fmt(formatter),
        }
    }
}

impl DocumentName {
    /// The key of a Kubernetes object.
    pub fn object(&self) -> Option<&ObjectKey> {
        match self {
            Self::AdditionalObject(key) => Some(key),
            Self::Cluster(_) | Self::InstanceGroup(_) | Self::SshCredential(_) => None,
        }
    }

    /// It as kubectl takes names: `instancegroup/nodes`.
    pub fn resource(&self) -> String {
        match self {
            Self::Cluster(name) => format!("cluster/{name}"),
            Self::InstanceGroup(name) => format!("instancegroup/{name}"),
            Self::SshCredential(name) => format!("sshcredential/{name}"),
            Self::AdditionalObject(key) => key.resource(),
        }
    }
}

impl<C: Clusters> Documents<C> {
    /// All, the cluster first.
    pub fn iter(&self) -> impl Iterator<Item = Document<'_>> {
        let clusters = self.cluster.clusters().iter().map(Document::Cluster);
        let groups = self.instance_groups.iter().map(Document::InstanceGroup);
        let credentials = self.ssh_credentials.iter().map(Document::SshCredential);
        let objects = self.additional_objects.iter().map(Document::AdditionalObject);
        clusters.chain(groups).chain(credentials).chain(objects)
    }

    /// All, in the order of their names.
    pub fn by_name(&self) -> BTreeMap<DocumentName, Document<'_>> {
        self.iter().map(|document| (document.name(), document)).collect()
    }

    /// Their names.
    pub fn names(&self) -> BTreeSet<DocumentName> {
        self.iter().map(|document| document.name()).collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Whether others say the same, in whatever order.
    pub fn say_what(&self, others: &Self) -> bool {
        self.by_name() == others.by_name()
    }

    /// All of them as one YAML file, the cluster first: what `create -f` takes.
    pub fn to_yaml(&self) -> String {
        self.iter().map(|document| document.to_yaml()).collect::<Vec<_>>().join("---\n")
    }
}

impl Documents {
    /// Without these, and with others in the place of those of the same name, or beside them. By name, as they are read
    /// from the state.
    #[must_use]
    pub fn changed(&self, removed: &BTreeSet<DocumentName>, written: &Documents<Option<Cluster>>) -> Self {
        let replaced = written.names();
        let stays = |document: Document<'_>| {
            let name = document.name();
            !removed.contains(&name) && !replaced.contains(&name)
        };
        let Self { cluster, instance_groups, ssh_credentials, additional_objects } = self;
        Self {
            cluster: written.cluster.as_ref().unwrap_or(cluster).clone(),
            instance_groups: over(instance_groups, &written.instance_groups, stays, Document::InstanceGroup),
            ssh_credentials: over(ssh_credentials, &written.ssh_credentials, stays, Document::SshCredential),
            additional_objects: over(
                additional_objects,
                &written.additional_objects,
                stays,
                Document::AdditionalObject,
            ),
        }
    }

    /// With stars for what is secret in the additional objects, for showing them.
    #[must_use]
    pub fn masked(mut self) -> Self {
        self.additional_objects =
            self.additional_objects.iter().map(|object| object.masked(None, "")).collect();
        self
    }

    /// These and later ones as YAML, for showing them side by side: of secrets only whether they changed.
    pub fn masked_yaml_beside(&self, later: &Self) -> (String, String) {
        let (before, after) = masked_pair(&self.additional_objects, &later.additional_objects);
        let (mut old, mut new) = (self.clone(), later.clone());
        (old.additional_objects, new.additional_objects) = (before, after);
        (old.to_yaml(), new.to_yaml())
    }
}

/// Of documents of one kind those that stay, and new ones, by name.
fn over<'a, T: Clone>(
    old: &'a [T],
    new: &'a [T],
    stays: impl Fn(Document<'a>) -> bool,
    document: fn(&'a T) -> Document<'a>,
) -> Vec<T> {
    let mut all: Vec<&T> = old.iter().filter(|old| stays(document(old))).chain(new).collect();
    all.sort_by_cached_key(|one| document(one).name());
    all.into_iter().cloned().collect()
}

impl From<Cluster> for Documents<Option<Cluster>> {
    fn from(cluster: Cluster) -> Self {
        Self { cluster: Some(cluster), ..Self::default() }
    }
}

impl From<InstanceGroup> for Documents<Option<Cluster>> {
    fn from(group: InstanceGroup) -> Self {
        Self { instance_groups: vec![group], ..Self::default() }
    }
}

impl From<SshCredential> for Documents<Option<Cluster>> {
    fn from(credential: SshCredential) -> Self {
        Self { ssh_credentials: vec![credential], ..Self::default() }
    }
}

/// All of one cluster, to be written over whatever is there.
impl From<Documents> for Documents<Option<Cluster>> {
    fn from(all: Documents) -> Self {
        let Documents { cluster, instance_groups, ssh_credentials, additional_objects } = all;
        Self { cluster: Some(cluster), instance_groups, ssh_credentials, additional_objects }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, secret: &str) -> AdditionalObject {
        let secret = json!({"password": secret});
        let object = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": secret,
        });
        AdditionalObject::new(object).unwrap()
    }

    fn documents() -> Documents {
        Documents {
            cluster: Cluster::named("demo.example.com"),
            instance_groups: ["nodes", "masters"].map(InstanceGroup::named).into(),
            ssh_credentials: vec![SshCredential::named("admin")],
            additional_objects: vec![object("web", "hunter2")],
        }
    }

    #[test]
    fn a_change_reaches_documents_of_every_kind() {
        let mut written = Documents::<Option<Cluster>>::from(documents());
        written.cluster.as_mut().unwrap().spec.channel = Some("alpha".to_owned());
        written.instance_groups[0].spec.max_size = Some(7);
        written.ssh_credentials[0].spec.public_key = Some("ssh-ed25519 A".to_owned());
        written.additional_objects[0] = object("web", "hunter3");
        let changed = documents().changed(&BTreeSet::new(), &written);
        for (name, document) in written.by_name() {
            assert_eq!(changed.by_name().get(&name), Some(&document), "{name}");
        }
        assert!(!changed.say_what(&documents()));
        // A cluster can't go; everything else can.
        let left = documents().changed(&documents().names(), &Documents::default());
        assert_eq!(left.names(), [DocumentName::Cluster("demo.example.com".to_owned())].into());
    }

    #[test]
    fn documents_say_the_same_in_any_order() {
        let mut other = documents();
        other.instance_groups.reverse();
        assert!(documents() != other && documents().say_what(&other));
    }

    #[test]
    fn side_by_side_of_secrets_only_is_shown_whether_they_changed() {
        let mut later = documents();
        later.additional_objects[0] = object("web", "hunter3");
        let (old, new) = documents().masked_yaml_beside(&later);
        assert!(old.contains("*** (before)") && new.contains("*** (after)"), "{old}{new}");
        assert!(!format!("{old}{new}{}", documents().masked().to_yaml()).contains("hunter"), "{old}{new}");
    }

    #[test]
    fn a_revision_holds_documents_by_the_names_that_they_always_had() {
        let value = serde_json::to_value(documents()).unwrap();
        let fields: Vec<&String> = value.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["additionalObjects", "cluster", "instanceGroups", "sshCredentials"]);
        let mut former = value.clone();
        former.as_object_mut().unwrap().remove("additionalObjects");
        let former: Documents = serde_json::from_value(former).unwrap();
        assert!(former.additional_objects.is_empty(), "a revision from before there were any");
    }
}
