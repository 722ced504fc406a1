//! The on-boot agent of windlass: turns a bare instance into a Kubernetes master or node.
//!
//! `/etc/rc.local` starts `windlass-bootstrap.service` as the last step of the boot; the agent reads its
//! configuration from IMDS and the state, and goes through a list of idempotent `ensure_*` steps.
//!
//! The library is also what the CLI fills in: [`config`], [`keyset`], [`keys`], [`tags`] and [`report`] are the
//! contract between the two.

pub mod config;
pub mod join;
pub mod keys;
pub mod keyset;
pub mod report;
pub mod tags;
