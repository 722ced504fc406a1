//! Follows the cluster's groups of nodes, of which masters read in the state.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::agent::Agent;
use crate::aws::state::{StateError, StateStore};
use crate::background::lasting::ANEW;
use crate::contract::config::{self, DocumentError};
use crate::contract::keys;
use crate::contract::node_groups::NodeGroups;
use crate::control_plane::dns;
use crate::kubernetes::api::{self, ApiError};
use crate::progress::retry::{Class, Classed};

/// The name of the task.
pub const TASK: &str = "follow_node_groups";
/// How often the groups of nodes are looked at.
const PERIOD: Duration = Duration::from_secs(20);
/// How often it is looked, while the boot is under way, whether cluster DNS is there: it is spread before nodes come.
const SOON: Duration = Duration::from_secs(1);

/// What can go wrong when the groups are followed.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    #[error("the groups of nodes can't be followed")]
    NodeGroups(#[source] NodeGroupsError),
    #[error("no connection to the API")]
    Connect(#[source] ApiError),
    #[error("cluster DNS can't be spread over the nodes")]
    Dns(#[source] ApiError),
}

/// The task: tells what the groups are, and spreads cluster DNS over them.
pub async fn follow(agent: Arc<Agent>, known: watch::Sender<Option<NodeGroups>>) {
    loop {
        let pause = match agent.reporter.tell(TASK, look(&agent, &known).await) {
            Some(true) => PERIOD,
            Some(false) => SOON,
            None => ANEW,
        };
        tokio::time::sleep(pause).await;
    }
}

/// Returns whether nothing is left to be done for the groups as they are.
async fn look(agent: &Agent, known: &watch::Sender<Option<NodeGroups>>) -> Result<bool, FollowError> {
    let groups = fetch(&agent.store, &agent.config.cluster).await.map_err(FollowError::NodeGroups)?;
    let Some(groups) = groups else { return Ok(true) };
    known.send_replace(Some(groups.clone()));
    let client = api::connect_as_admin(&agent.host).await.map_err(FollowError::Connect)?;
    dns::ensure(&client, &groups).await.map_err(FollowError::Dns)
}

/// What can go wrong when they are read.
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
async fn fetch(store: &StateStore, cluster: &str) -> Result<Option<NodeGroups>, NodeGroupsError> {
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
