//! The cluster's groups of nodes, as masters follow them: a small object of the state that `update cluster` writes.
//!
//! What a master must know about groups of nodes is not in its configuration, because each change of a group would
//! then call for another master. Two things are decided by it: whether masters run pods, which they do where there are
//! no nodes, and over how many machines cluster DNS is spread. Instances don't tell either: all nodes may be on their
//! way to be replaced, and a group may be empty because an autoscaler has nothing to run.
//!
//! Who may join is decided without this object, by what EC2 says ([`crate::contract::auto_scaling`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::contract::config::{self, CONFIG_VERSION};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
