//! Follows the cluster's groups of nodes, of which masters read in the state.

use crate::aws::state::{StateError, StateStore};
use crate::contract::config::{self, DocumentError};
use crate::contract::keys;
use crate::contract::node_groups::NodeGroups;
use crate::progress::retry::{Class, Classed};

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

/// Reads the groups of nodes; `None` where no update has written them yet.
pub async fn fetch(store: &StateStore, cluster: &str) -> Result<Option<NodeGroups>, NodeGroupsError> {
    let key = keys::node_groups(cluster);
    let Some(bytes) = store.find(&key).await.map_err(NodeGroupsError::Read)? else { return Ok(None) };
    config::read(&bytes).map(Some).map_err(|source| NodeGroupsError::Format(key, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::node_groups::Size;
    use crate::progress::retry::chain;

    fn groups(sizes: &[(&str, u32, u32)]) -> NodeGroups {
        NodeGroups::new(
            sizes.iter().map(|(name, min, max)| ((*name).to_owned(), Size { min: *min, max: *max })),
        )
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
