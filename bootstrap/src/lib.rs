//! The on-boot agent of windlass: turns a bare instance into a Kubernetes master or node.
//!
//! `/etc/rc.local` starts `windlass-bootstrap.service` as the last step of the boot; the agent reads its
//! configuration from IMDS and the state, and goes through a list of idempotent `ensure_*` steps.
//!
//! The library is also what the CLI fills in: [`config`], [`keyset`], [`keys`], [`tags`] and [`report`] are the
//! contract between the two.

pub mod addons;
pub mod address;
pub mod api;
pub mod approve;
pub mod aws;
pub mod boot;
pub mod bootstrap_token;
pub mod certificates;
pub mod cni;
pub mod command;
pub mod config;
pub mod ec2;
pub mod etcd;
pub mod file;
pub mod filesystem;
pub mod host;
pub mod image;
pub mod instance;
pub mod join;
pub mod keep;
pub mod kernel;
pub mod keys;
pub mod keyset;
pub mod kubelet;
pub mod manifests;
pub mod nodes;
pub mod notify;
pub mod proxy;
pub mod report;
pub mod reporter;
pub mod retry;
pub mod root;
pub mod secrets;
pub mod state;
pub mod step;
pub mod tags;
pub mod volume;

#[cfg(test)]
mod testing;
