//! What instances read.
//!
//! - [`node_config`]: the node configuration of an instance group.
//! - [`user_data`]: the EC2 user data, which names it.
//! - [`versions`]: which version of what windlass runs, and the image reference of each component.
//! - [`egress_proxy`]: the proxy through which they reach the Internet, and what they reach without it.
//! - [`addons`]: the manifests that a master's agent applies to the cluster.
//! - [`images`]: the container images that all of these name.

pub mod addons;
pub mod egress_proxy;
pub mod images;
pub mod node_config;
#[cfg(test)]
pub(crate) mod sample;
pub mod user_data;
pub mod versions;
