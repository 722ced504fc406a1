//! The contract with the CLI, which is the agent's public interface: the documents that the CLI writes and an instance
//! reads, or the other way round, and the keys, tags and names by which the two find each other's things.
//!
//! Values only: nothing here reads or writes anything, and it uses no other room.

pub mod auto_scaling;
pub mod backup;
pub mod bootstrap_token;
pub mod components;
pub mod config;
pub mod docker_config;
pub mod egress_proxy;
pub mod endpoint;
pub mod etcd_upkeep;
pub mod image_source;
pub mod ipv6;
pub mod keys;
pub mod keyset;
pub mod node_groups;
pub mod node_labels;
pub mod rbac;
pub mod report;
pub mod restore;
pub mod tags;
pub mod user_data;
