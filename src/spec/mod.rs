//! What users write.
//!
//! - [`v1alpha2`]: the wire types: kops's `Cluster`, `InstanceGroup` and `SSHCredential`, as written, every field
//!   optional that may be left out.
//! - `yaml`: the only user of serde_yaml: documents in, values with line and column out.
//! - `default`: every default, in one pure pass over the wire types.
//! - `check`: every rule, all problems at once, each with its field path.
//! - [`cluster`]: the complete specification, which everything downstream reads: no `Option` that only means "not
//!   said".

pub mod cluster;
pub mod v1alpha2;
