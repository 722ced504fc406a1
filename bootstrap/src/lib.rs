//! The on-boot agent of windlass: turns a bare instance into a Kubernetes master or node.
//!
//! `/etc/rc.local` starts `windlass-bootstrap.service` as the last step of the boot; the agent reads its
//! configuration from IMDS and the state, and goes through a list of idempotent `ensure_*` steps.
//!
//! [`boot`] is the whole boot; every other module is one of its concerns:
//!
//! | modules | concern |
//! |---|---|
//! | [`config`], [`node_groups`], [`keyset`], [`keys`], [`tags`], [`auto_scaling`], [`report`] | the contract with the CLI, which fills it in |
//! | [`boot`], [`step`], [`retry`], [`reporter`], [`notify`] | steps, their limits and errors, who hears about them |
//! | [`instance`], [`image`], [`kernel`], [`machine`] | who this is, what it was built with, how large it is |
//! | [`volume`], [`filesystem`], [`address`] | what moves with a master |
//! | [`secrets`], [`certificates`] | keys, which are on tmpfs only |
//! | [`join`], [`client_certificate`] | how a node gets the certificate of its kubelet, the first and any later one |
//! | [`etcd`], [`manifests`], [`proxy`], [`kubelet`], [`cni`] | what is written for others to run |
//! | [`api`], [`last_words`], [`rbac`], [`addons`], [`additional_objects`], [`bootstrap_token`], [`approve`], [`grants`], [`nodes`], [`membership`], [`dns`], [`keep`] | what is done through the API, and what goes on afterwards |
//! | [`state`], [`bucket_owner`], [`aws`], [`ec2`], [`host`], [`root`], [`file`](mod@file), [`command`] | the outside: AWS, and the machine |

pub mod additional_objects;
pub mod addons;
pub mod address;
pub mod api;
pub mod approve;
pub mod auto_scaling;
pub mod aws;
pub mod boot;
pub mod bootstrap_token;
pub mod bucket_owner;
pub mod certificates;
pub mod client_certificate;
pub mod cni;
pub mod command;
pub mod config;
pub mod dns;
pub mod ec2;
mod ecr;
pub mod etcd;
pub mod file;
pub mod filesystem;
pub mod grants;
pub mod host;
pub mod image;
pub mod instance;
pub mod join;
pub mod keep;
pub mod kernel;
pub mod keys;
pub mod keyset;
pub mod kubelet;
pub mod last_words;
pub mod machine;
pub mod manifests;
pub mod membership;
pub mod node_groups;
pub mod nodes;
pub mod notify;
pub mod proxy;
pub mod rbac;
pub mod registry_credentials;
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
mod fake_api;
#[cfg(test)]
mod fake_ec2;
#[cfg(test)]
mod testing;
