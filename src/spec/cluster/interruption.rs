//! What is done about instances that are going.

use serde::Serialize;
use windlass_bootstrap::config::LifecycleHooks;

use super::{Cluster, InstanceGroup};

/// What is done about instances that are going.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Interruption {
    /// Whether masters read AWS's events about instances from a queue.
    pub queue: bool,
}

/// The hook of a warm pool, as kops calls it.
const OF_WARM_POOL: &str = "kops-warmpool";

impl Cluster {
    /// Whether masters read AWS's events about instances from a queue.
    pub fn has_interruption_queue(&self) -> bool {
        self.interruption.is_some_and(|interruption| interruption.queue)
    }

    /// The names of the lifecycle hooks of a group. Masters and bastions have none: nothing moves away from a bastion, and a
    /// master that is ended has nowhere to move its etcd to, so that waiting would only put off its successor.
    pub fn lifecycle_hooks(&self, group: &InstanceGroup) -> LifecycleHooks {
        let is_drained = self.interruption.is_some() && group.nodes().is_some();
        let waits = group.warm_pool.as_ref().is_some_and(|pool| pool.first_boot_seconds.is_some());
        LifecycleHooks {
            terminating: is_drained.then(|| format!("{}-NTHLifecycleHook", group.name)),
            launching: waits.then(|| OF_WARM_POOL.to_owned()),
        }
    }
}
