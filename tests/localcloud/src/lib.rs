//! A region of AWS on one machine: emulated APIs, and real instances behind them.
//!
//! `README.md` beside this package's `Cargo.toml` describes both halves and how they talk. [`LocalCloud::start`]
//! is the library's entry; the `localcloud` command is the same for people.

pub mod appliance;
pub mod balancer;
pub mod cgroup;
pub mod cleanup;
mod cloud;
pub mod command;
pub mod endpoint;
pub mod firewall;
pub mod health;
pub mod image;
pub mod imds;
mod local_cloud;
pub mod machine;
pub mod metadata;
pub mod namespace;
pub mod network;
pub mod process;
pub mod region;
pub mod resolver;
pub mod scenario;
pub mod status;
pub mod volume;
pub mod world;

pub use local_cloud::{
    Error, ImageSource, LocalCloud, Options, RegionSource, cloud_name, console, default_directory,
    instance_command, kill, lock, operator_command,
};
