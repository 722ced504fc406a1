//! Nodes and pods through the Kubernetes API.
//!
//! - [`client`]: a connection, with time-outs, whose errors say which address was asked.
//! - [`endpoint`]: what EC2 says of where a cluster's API is reached.
//! - [`view`]: what windlass looks at of a node and of a pod, and nothing else.

pub mod client;
pub mod endpoint;
pub mod view;

pub use client::{Error, Kubernetes, Listed, kubeconfig};
pub use view::{Node, PersistentVolume, Pod, Ready};
