//! What instances read.
//!
//! - [`versions`]: which version of what windlass runs, and the image reference of each component.
//! - [`addons`]: the manifests that a master's agent applies to the cluster.

pub mod addons;
#[cfg(test)]
pub(crate) mod sample;
pub mod versions;
