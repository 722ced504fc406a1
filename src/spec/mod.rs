//! What users write.
//!
//! - [`v1alpha2`]: the wire types: kops's `Cluster`, `InstanceGroup` and `SSHCredential`, as written, every field
//!   optional.
//! - [`yaml`]: the only user of serde_yaml: documents in, values with line and column out.
//! - `default`: every default, in one pure pass over the wire types.
//! - `check`: every rule, all problems at once, each with its field path.
//! - [`cluster`]: the complete specification, which everything downstream reads: no `Option` that only means "not
//!   said".

pub mod additional;
mod check;
pub mod cluster;
mod complete;
pub mod create;
pub mod default;
pub mod explain;
pub mod path;
pub mod problem;
mod quantity;
pub mod set;
pub mod shape;
pub mod subnets;
pub mod support;
pub mod template;
pub mod upgrade;
pub mod v1alpha2;
pub mod versions;
pub mod yaml;

pub use additional::{AdditionalObject, ObjectKey};
pub use check::check_change;
pub use complete::complete;
pub use create::{CreateOptions, Manifests, create};
pub use problem::{Location, ObjectId, Problem, Problems};
pub use quantity::quantity;
pub use yaml::{Documents, Source, read, to_yaml};

#[cfg(test)]
mod tests;
