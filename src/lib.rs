//! Windlass bootstraps and operates self-managed Kubernetes clusters on AWS.
//!
//! ```text
//! cluster.yaml ─ spec ─ model ─┐
//!                              ├─ plan ─ show · save · confirm ─ apply ─ events ─ summary
//! AWS ───────── observe ───────┘
//! ```
//!
//! The modules, lowest first; each may use only what stands above it in this list (`tests/it/layers.rs` holds the
//! code to it):
//!
//! | module | responsibility |
//! |---|---|
//! | [`spec`] | what users write: v1alpha2 types, YAML with line and column, defaults in one pure pass, one pass that resolves it and tells all problems |
//! | [`pki`] | keysets, authorities, leaf certificates, kubeconfig |
//! | [`aws`] | the thin edge of the SDK: clients, one retry policy, error classes, tags |
//! | [`state`] | the state store: every key in one file, conditional writes, lease, revisions |
//! | [`cloud`] | one file per kind of AWS object we own: fields, references, read, create, update, delete, and what plans must know of it |
//! | [`assets`] | what instances read: node configuration, add-on manifests, user data |
//! | [`model`] | pure: specification + facts → the set of desired resources |
//! | [`plan`] | pure: desired × observed → an ordered, serialisable plan |
//! | [`apply`] | the only code that changes AWS |
//! | [`kube`] | nodes and pods through the Kubernetes API |
//! | [`health`] | `validate cluster`: named checks |
//! | [`ops`] | operations: load, prepare, hold the lease, apply, record; what commands and everything else call |
//! | [`cli`] | the command line: a folder per verb, a file per command |
//!
//! The agent that runs on every instance is the package `windlass-bootstrap`; it owns the documents it reads
//! (`windlass_bootstrap::config`), and this crate fills them in.

pub mod apply;
pub mod assets;
pub mod aws;
pub mod cli;
pub mod cloud;
pub mod health;
pub mod kube;
pub mod model;
pub mod ops;
pub mod pki;
pub mod plan;
pub mod spec;
pub mod state;
