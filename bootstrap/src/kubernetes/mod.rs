//! What every other room says to Kubernetes with: rendered files (static pods, kubeconfigs), and connections to the API.

pub mod api;
pub mod manifests;
