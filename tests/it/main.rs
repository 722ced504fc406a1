//! Integration tests: one binary, because each links the AWS SDK again.
//!
//! Tests that need something of the machine are `#[ignore]`d and live in modules called `with_root`, `with_region` and
//! `with_local_cloud`; `tests/run` runs them where the machine has what they need, and otherwise prints each by name
//! as skipped.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod calls;
mod cli;
mod commands;
mod damage;
mod deletion;
mod documents;
mod etcd_disarm;
mod groups_of_nodes;
mod hints;
mod identity;
mod kills;
mod kubeconfig;
mod layers;
mod locked;
mod memory;
mod objects;
mod older;
mod operate;
mod parts;
mod permissions;
mod rebuild;
mod restores;
mod rollback;
mod scenarios;
mod shapes;
mod sleep;
mod state;
mod stops;
mod support;
mod unwell;
mod update;
mod with_local_cloud;
