//! The on-boot agent of windlass: turns a bare instance into a Kubernetes master or node.
//!
//! `/etc/rc.local` starts `windlass-bootstrap.service` as the last step of the boot; the agent reads its
//! configuration from IMDS and the state, and goes through a list of idempotent `ensure_*` steps.
//!
//! [`boot`] is that list, and what goes on after it; a step's name, its limit and its work are in the file of its concern.
//! The concerns lie in rooms, lowest first; each may use only what stands above it in this list, and no two files use each
//! other (`tests/it/layers.rs` holds the code to it):
//!
//! | room | what it is for |
//! |---|---|
//! | [`contract`] | the documents, keys, tags and names that the CLI and an instance share |
//! | [`progress`] | steps, their limits and errors, the report and who hears of it |
//! | [`background`] | what goes on after the boot: how it is repeated, and what follows from an error |
//! | [`host`] | the machine: files, programs, size |
//! | [`aws`] | EC2, the state store, IMDS: who this instance is and what it shall be; the report's way to the state |
//! | [`agent`] | what every step and every task works with |
//! | [`storage`] | a master's volume, the file system on it, the marker of its etcd |
//! | [`address`] | a master's stable private address and Elastic IP; EC2's check of packets |
//! | [`kubernetes`] | rendered files, connections to the API |
//! | [`secrets`] | keys and certificates, which are on tmpfs only |
//! | [`node`] | what every instance has: image, kernel, containerd, kubelet, kube-proxy, pod network; how a node joins |
//! | [`control_plane`] | what only masters do: static pods, and through the API what the cluster needs; an API server beside them |
//! | [`boot`] | the boot |
//!
//! The [`contract`] is the crate's public interface: the CLI uses it by the names below. The rooms are public only for the
//! agent's program and for tests.

pub mod address;
pub mod agent;
pub mod aws;
pub mod background;
pub mod boot;
pub mod contract;
pub mod control_plane;
pub mod host;
pub mod kubernetes;
pub mod node;
pub mod progress;
pub mod secrets;
pub mod storage;

#[cfg(test)]
mod testing;

// The bucket's owner is named by both sides in the same way.
pub use aws::bucket_owner;
pub use contract::{
    auto_scaling, backup, bootstrap_token, components, config, docker_config, egress_proxy, endpoint,
    etcd_upkeep, image_source, ipv6, keys, keyset, node_groups, node_labels, rbac, report, restore, tags,
    user_data,
};
