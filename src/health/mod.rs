//! `validate cluster`: is the cluster healthy, and if not, what is in the way and what to do about it.
//!
//! - [`snapshot`]: what was seen of AWS, the instances' reports and the Kubernetes API at one moment.
//! - [`observe`]: sees AWS's part of it.
//! - [`checks`]: pure: a snapshot in, named checks out, each of which passes, waits (for what) or fails (why, and what
//!   to do); a file for each thing that is checked.

pub mod checks;
pub mod observe;
pub mod snapshot;

pub use checks::{Check, CheckKind, NodeLine, Outcome, Report, evaluate, silent_for};
pub use observe::Observer;
pub use snapshot::{
    Authority, BackupsView, CloudView, Group, Instance, KubernetesView, Member, Snapshot, StateView,
    Unanswered,
};
