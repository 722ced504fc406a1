//! Warm pools.

use serde::Serialize;

/// Instances that have booted once and are stopped until their group needs them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WarmPool {
    /// Fewest instances in the pool.
    pub min_size: u32,
    /// Most instances in the pool and the group together; the group's own maximum when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u32>,
    /// How long Auto Scaling waits at most for an instance's first boot to be through; it doesn't when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_boot_seconds: Option<u32>,
}
