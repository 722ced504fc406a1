//! What a resource is called: its kind and its name.

use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;

use serde::{Serialize, Serializer};

use super::kinds::Kind;
use super::resource_kind::ResourceKind;

/// A resource's identity within a cluster: `subnet/us-east-1a.demo.example.com`. It is known before the resource
/// exists; AWS's own id is not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    /// What it is.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: String,
}

impl ResourceId {
    /// An identity.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }

    /// What the resource that AWS calls by this id is called once another one is made in its place.
    #[must_use]
    pub fn set_aside(&self, aws_id: &str) -> Self {
        Self::new(self.kind, format!("{} (replaced {aws_id})", self.name))
    }
}

impl From<&ResourceId> for String {
    fn from(id: &ResourceId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.kind, self.name)
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A reference from one resource to another of a known kind, by name. References are what a plan's order is made of.
///
/// What is referred to is the cluster's, or exists already without it ([`super::existing`]); then the name is AWS's id. What is observed may refer to something that isn't the cluster's; the reference then holds AWS's id, which no name
/// of ours equals, so that the difference shows.
pub struct Reference<T> {
    name: String,
    exists_without_cluster: bool,
    kind: PhantomData<fn() -> T>,
}

impl<T: ResourceKind> Reference<T> {
    /// Refers to the resource of this name.
    pub fn to(name: impl Into<String>) -> Self {
        Self { name: name.into(), exists_without_cluster: false, kind: PhantomData }
    }

    /// Refers to what AWS calls by this id and isn't the cluster's.
    pub fn existing(aws_id: impl Into<String>) -> Self {
        Self { name: aws_id.into(), exists_without_cluster: true, kind: PhantomData }
    }

    /// The resource's name, or AWS's id of what isn't the cluster's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The identity of what is referred to.
    pub fn id(&self) -> ResourceId {
        let kind = if self.exists_without_cluster { Kind::Existing } else { T::KIND };
        ResourceId::new(kind, &self.name)
    }
}

impl<T: ResourceKind> From<&Reference<T>> for ResourceId {
    fn from(reference: &Reference<T>) -> Self {
        reference.id()
    }
}

impl<T> Clone for Reference<T> {
    fn clone(&self) -> Self {
        let Self { name, exists_without_cluster, kind } = self;
        Self { name: name.clone(), exists_without_cluster: *exists_without_cluster, kind: *kind }
    }
}

impl<T> fmt::Debug for Reference<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(formatter)
    }
}

impl<T> fmt::Display for Reference<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.name)
    }
}

impl<T> PartialEq for Reference<T> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<T> Eq for Reference<T> {}

impl<T> PartialOrd for Reference<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Reference<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.name.cmp(&other.name)
    }
}
