//! What other rooms say to Kubernetes with: rendered files (static pods, kubeconfigs), and connections to the API.
//!
//! It uses the [`agent`](crate::agent) and what stands above that, and knows nothing of what is rendered or asked.

pub mod api;
pub mod authentication;
pub mod manifests;
pub mod settings;
