//! The cluster's groups of nodes, as masters follow them: a small object of the state that `update cluster` writes.
//!
//! What a master must know about groups of nodes is not in its configuration, because each change of a group would
//! then call for another master. Two things are decided by it: whether masters run pods, which they do where there are
//! no nodes, and over how many machines cluster DNS is spread. Instances don't tell either: all nodes may be on their
//! way to be replaced, and a group may be empty because an autoscaler has nothing to run.
//!
//! Who may join is decided without this object, by what EC2 says ([`crate::auto_scaling`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::{self, CONFIG_VERSION, DocumentError};
use crate::keys;
use crate::retry::{Class, Classed};
use crate::state::{StateError, StateStore};

/// The groups of nodes. Fields that this agent doesn't know are left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeGroups {
    /// [`CONFIG_VERSION`].
    pub version: String,
    /// The groups by name; masters' are not among them.
    pub groups: BTreeMap<String, Size>,
}

/// How many instances a group may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Size {
    /// The fewest.
    pub min: u32,
    /// The most.
    pub max: u32,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum NodeGroupsError {
    /// Reading.
    #[error("the groups of nodes can't be read from the state")]
    Read(#[source] StateError),
    /// It isn't one, or of another version.
    #[error("{0} does not hold the groups of nodes in a form that this agent reads")]
    Format(String, #[source] DocumentError),
}

impl Classed for NodeGroupsError {
    fn class(&self) -> Class {
        match self {
            Self::Read(error) => error.class(),
            // The next update writes it anew.
            Self::Format(..) => Class::Passing,
        }
    }
}

impl NodeGroups {
    /// The document of these groups.
    pub fn new(groups: impl IntoIterator<Item = (String, Size)>) -> Self {
        Self { version: CONFIG_VERSION.to_owned(), groups: groups.into_iter().collect() }
    }

    /// Reads the document; `None` where it isn't one, or is of another major version.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        config::read(bytes).ok()
    }

    /// Whether the cluster has nodes, or may have some at any time.
    pub fn any(&self) -> bool {
        self.groups.values().any(|size| size.max > 0)
    }

    /// How many nodes there are at least.
    pub fn least(&self) -> u32 {
        self.groups.values().fold(0, |sum, size| sum.saturating_add(size.min))
    }
}

/// Reads the groups of nodes; `None` where no update has written them yet.
pub async fn fetch(store: &StateStore, cluster: &str) -> Result<Option<NodeGroups>, NodeGroupsError> {
    let key = keys::node_groups(cluster);
    let Some(bytes) = store.find(&key).await.map_err(NodeGroupsError::Read)? else { return Ok(None) };
    config::read(&bytes).map(Some).map_err(|source| NodeGroupsError::Format(key, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::chain;

    fn groups(sizes: &[(&str, u32, u32)]) -> NodeGroups {
        NodeGroups::new(
            sizes.iter().map(|(name, min, max)| ((*name).to_owned(), Size { min: *min, max: *max })),
        )
    }

    #[test]
    fn a_cluster_has_nodes_where_a_group_may_have_some() {
        assert!(!groups(&[]).any());
        assert!(!groups(&[("a", 0, 0)]).any());
        assert!(groups(&[("a", 0, 0), ("b", 0, 3)]).any(), "an autoscaler may start one at any time");
        assert_eq!(groups(&[("a", 1, 1), ("b", 2, 3)]).least(), 3);
    }

    #[tokio::test]
    async fn what_an_older_agent_does_not_know_is_left_alone_and_another_version_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::Folder(folder.path().to_owned());
        assert_eq!(fetch(&store, "demo").await.unwrap(), None);
        let key = "demo/control-plane/node-groups.json";
        let newer = r#"{"version":"windlass/v1","groups":{"a":{"min":1,"max":2,"warm":3}},"more":true}"#;
        store.put(key, newer.as_bytes().to_vec()).await.unwrap();
        assert_eq!(fetch(&store, "demo").await.unwrap(), Some(groups(&[("a", 1, 2)])));
        let grown = newer.replace("windlass/v1", "windlass/v1.1");
        store.put(key, grown.into_bytes()).await.unwrap();
        let read = fetch(&store, "demo").await.unwrap().unwrap();
        assert_eq!(
            read.groups,
            groups(&[("a", 1, 2)]).groups,
            "a format only grows within its major version"
        );
        for broken in ["", "{}", &newer.replace("windlass/v1", "windlass/v2")] {
            store.put(key, broken.as_bytes().to_vec()).await.unwrap();
            let error = fetch(&store, "demo").await.unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
            assert!(broken.is_empty() || chain(&error).contains("version"), "{}", chain(&error));
        }
    }
}
