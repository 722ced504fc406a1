//! What only masters do: etcd and the static pods, and through the API what the cluster needs of its masters. An API server
//! beside the masters is made here, too. It may use every room but the boot.

pub mod additional_objects;
pub mod addon_objects;
pub mod addons;
pub mod api_server;
pub mod api_server_pod;
pub mod approve;
pub mod backups;
pub mod bootstrap_token;
pub mod controllers;
pub mod dns;
pub mod etcd;
pub mod etcd_client;
pub mod etcd_members;
pub mod etcd_programs;
pub mod etcd_upkeep;
pub mod grants;
pub mod interruption_queue;
pub mod last_words;
pub mod look;
pub mod node_groups;
pub mod nodes;
pub mod rbac;
pub mod restore;
pub mod static_pods;
