//! What every instance needs to be a Node, master or not: the image, no swap, the kernel, containerd and the kubelet, kube-proxy, the
//! pod network; how a node joins and stays a member; and how it is drained before its end.
//!
//! It may use every room above it, and knows nothing of what only masters do.

pub mod api_name;
pub mod api_server_end;
pub mod api_version;
pub mod client_certificate;
pub mod containerd;
pub mod drain;
pub mod ecr;
pub mod egress_proxy;
pub mod files;
pub mod image;
pub mod image_names;
pub mod interruption;
pub mod join;
pub mod kernel;
pub mod kernel_parameters;
pub mod kubelet;
pub mod look;
pub mod membership;
pub mod pod_network;
pub mod proxy;
pub mod ready;
pub mod registry_credentials;
pub mod swap;
pub mod units;
pub mod warm_pool;
