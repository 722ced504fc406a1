//! What every instance needs to be a Node, master or not: the image, the kernel, containerd and the kubelet, kube-proxy, the
//! pod network; and how a node joins and stays a member.
//!
//! It knows nothing of [`control_plane`](crate::control_plane).

pub mod client_certificate;
mod ecr;
pub mod image;
pub mod join;
pub mod kernel;
pub mod kubelet;
pub mod membership;
pub mod pod_network;
pub mod proxy;
pub mod registry_credentials;
