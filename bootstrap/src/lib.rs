//! The on-boot agent of windlass: turns a bare instance into a Kubernetes master or node.
//!
//! `/etc/rc.local` starts `windlass-bootstrap.service` as the last step of the boot; the agent reads its
//! configuration from IMDS and the state, and goes through a list of idempotent `ensure_*` steps.

pub mod address;
pub mod aws;
pub mod boot;
pub mod contract;
pub mod control_plane;
pub mod host;
pub mod keep;
pub mod kubernetes;
pub mod node;
pub mod progress;
pub mod secrets;
pub mod storage;

#[cfg(test)]
mod testing;

pub use aws::bucket_owner;
pub use contract::{
    auto_scaling, bootstrap_token, config, docker_config, keys, keyset, node_groups, node_labels, rbac,
    report, tags,
};
