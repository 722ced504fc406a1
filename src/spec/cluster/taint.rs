//! Taints of Nodes.

use std::fmt;

use serde::{Serialize, Serializer};

/// A taint of a Node. It is shown as it was written: `key=value:Effect`, or `key:Effect` without a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taint {
    /// Such as `example.com/gpu`.
    pub key: String,
    /// Its value, where one is written; it may be empty.
    pub value: Option<String>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl fmt::Display for Taint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, effect } = self;
        match value {
            Some(value) => write!(formatter, "{key}={value}:{effect}"),
            None => write!(formatter, "{key}:{effect}"),
        }
    }
}

impl Serialize for Taint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
