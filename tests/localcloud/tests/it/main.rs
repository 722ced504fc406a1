//! Tests of the machines: what they are told to be, and what they are.
//!
//! Those in `with_root` make network namespaces; those in `with_local_cloud` boot the machine image.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod balancer;
mod connected;
mod fixture;
mod machines;
mod names;
mod network;
mod private;
mod rendering;
mod whole;
