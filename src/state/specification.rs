//! What a user wants, as it was read from the state: documents, and the version that each was read at.

use std::collections::BTreeMap;

use super::error::StateError;
use super::journal::Journal;
use super::object::Version;
use crate::spec::v1alpha2::{Cluster, Object};
use crate::spec::{self, DocumentName, Documents};

/// What a user wants, as it was read from the state.
#[derive(Clone, Debug, PartialEq)]
pub struct Specification {
    /// What it says.
    pub documents: Documents,
    /// Which version of each document was read.
    pub versions: BTreeMap<DocumentName, Version>,
    /// What somebody began to write of it and didn't end. The documents are as they will be when it is done.
    pub unfinished: Option<Box<Journal>>,
}

impl Specification {
    /// The region, also of a specification of which an interrupted deletion has left only the cluster.
    pub fn region(&self) -> Result<String, StateError> {
        region(&self.documents.cluster).map_or_else(|| Ok(self.resolve()?.region), Ok)
    }

    /// The complete specification, checked.
    pub fn resolve(&self) -> Result<spec::cluster::Cluster, StateError> {
        resolve(&self.documents)
    }
}

/// The complete specification of a cluster of the state, checked.
pub fn resolve(documents: &Documents) -> Result<spec::cluster::Cluster, StateError> {
    documents.resolve().map_err(|problems| StateError::Specification {
        cluster: documents.cluster.name().to_owned(),
        problems,
    })
}

/// The region that a cluster's subnets are in, where they say so.
pub(super) fn region(cluster: &Cluster) -> Option<String> {
    let mut subnets = cluster.spec.subnets.iter().flatten();
    let region = subnets.find_map(|subnet| spec::subnets::region(subnet.zone.as_deref()?));
    region.map(str::to_owned)
}
