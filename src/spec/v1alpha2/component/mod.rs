//! Settings of Kubernetes's components.

mod api_server;
mod containerd;
mod controllers;
mod kubelet;

pub use api_server::*;
pub use containerd::*;
pub use controllers::*;
pub use kubelet::*;
