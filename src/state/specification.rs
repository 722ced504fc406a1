//! What a user wants, as it was read from the state: documents with the version that each was read at.

use super::error::StateError;
use super::journal::Journal;
use super::object::Version;
use crate::spec::additional::AdditionalObject;
use crate::spec::create::Manifests;
use crate::spec::v1alpha2::{self, Cluster, InstanceGroup, SshCredential};
use crate::spec::yaml;

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
        region(&self.cluster.value).map_or_else(|| Ok(self.complete()?.region), Ok)
    }

    /// The complete specification, checked.
    pub fn complete(&self) -> Result<crate::spec::cluster::Cluster, StateError> {
        let (cluster, groups, credentials) = self.documents();
        crate::spec::resolve(&cluster, &groups, &credentials).map_err(|problems| StateError::Specification {
            cluster: v1alpha2::Object::name(&self.cluster.value).to_owned(),
            problems,
        })
    }
}

/// The region that a cluster's subnets are in, where they say so.
pub(super) fn region(cluster: &Cluster) -> Option<String> {
    let mut subnets = cluster.spec.subnets.iter().flatten();
    let region = subnets.find_map(|subnet| crate::spec::subnets::region(subnet.zone.as_deref()?));
    region.map(str::to_owned)
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
