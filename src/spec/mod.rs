//! What users write.
//!
//! - [`v1alpha2`]: the wire types: kops's `Cluster`, `InstanceGroup` and `SSHCredential`, as written, every field
//!   optional.
//! - [`yaml`]: the only user of serde_yaml: documents in, values with line and column out.
//! - `default`: every default, in one pure pass over the wire types.
//! - `resolve`: from what is written to [`cluster`], every rule on the way: values, or all problems at once, each with
//!   its field path.
//! - `change`: what can't be changed once a cluster runs.
//! - [`cluster`]: the complete specification, which everything downstream reads: no `Option` that only means "not
//!   said".

pub mod additional;
mod change;
pub mod cluster;
pub mod create;
pub mod default;
pub mod documents;
pub mod endpoint;
pub mod explain;
pub mod non_empty;
pub mod path;
pub mod problem;
mod quantity;
mod resolve;
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
pub use change::{check_change, control_plane};
pub use create::{CreateOptions, create, to_blame};
pub use documents::{Document, DocumentName, Documents};
pub use problem::{Location, ObjectId, Problem, Problems};
pub use quantity::quantity;
pub use yaml::{PlacedDocuments, Source, read, to_yaml};

#[cfg(test)]
mod tests;
