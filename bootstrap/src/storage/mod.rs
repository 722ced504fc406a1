//! What holds a master's data: its EBS volume, the file system on it, and the marker that says that etcd was begun on it.
//!
//! It uses the machine ([`host`](crate::host)) and AWS ([`aws`](crate::aws)), and knows nothing of Kubernetes.

pub mod etcd_data;
pub mod etcd_marker;
pub mod filesystem;
pub mod mounts;
pub mod restore_order;
pub mod volume;
