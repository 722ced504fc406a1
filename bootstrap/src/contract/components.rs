//! What the specification says of the components of Kubernetes beyond windlass's own settings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The components that can be told something, by the names of their programs.
pub type Components = BTreeMap<String, ComponentSettings>;

/// kube-apiserver.
pub const API_SERVER: &str = "kube-apiserver";
/// kube-controller-manager.
pub const CONTROLLER_MANAGER: &str = "kube-controller-manager";
/// kube-scheduler.
pub const SCHEDULER: &str = "kube-scheduler";
/// The kubelet.
pub const KUBELET: &str = "kubelet";
/// kube-proxy.
pub const PROXY: &str = "kube-proxy";
/// containerd.
pub const CONTAINERD: &str = "containerd";

/// What a component is told. Whoever writes it holds its fields against what windlass sets itself; the agent refuses what
/// would give a flag twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentSettings {
    /// Flags by name, without dashes. They stand in the place of windlass's own defaults.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub flags: BTreeMap<String, String>,
    /// Fields of its configuration file, which go into what windlass writes there.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub configuration: Map<String, Value>,
    /// What its pod asks the scheduler for, by resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, String>,
    /// What its pod gets at most, by resource.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
    /// The environment of its container.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Files of the machine that its pod reads.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub files: BTreeSet<String>,
    /// Folders of the machine that its pod writes into.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub folders: BTreeSet<String>,
}

impl ComponentSettings {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A field of the configuration file.
    pub fn field(&self, path: &[&str]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(self.configuration.get(*first)?, |value, name| value.get(name))
    }
}

/// Puts settings into a configuration: objects are merged, anything else is replaced.
pub fn merge(into: &mut Value, settings: &Map<String, Value>) {
    for (name, value) in settings {
        match (&mut into[name.as_str()], value) {
            (there @ Value::Object(_), Value::Object(settings)) => merge(there, settings),
            (there, value) => *there = value.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_merged_field_by_field_and_lists_are_replaced() {
        let mut there = serde_json::json!({"a": {"b": 1, "c": [1, 2]}, "d": true});
        let settings = serde_json::json!({"a": {"c": [3], "e": {"f": 4}}, "g": 5});
        merge(&mut there, settings.as_object().unwrap());
        assert_eq!(there, serde_json::json!({"a": {"b": 1, "c": [3], "e": {"f": 4}}, "d": true, "g": 5}));
    }
}
