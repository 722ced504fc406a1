//! The state: what is kept of a cluster outside AWS's own resources, in a versioned bucket.
//!
//! - [`layout`]: every key, in one file.
//! - [`bucket`]: whose the bucket is, and whether it can hold a state.
//! - [`store`]: conditional reads and writes of [objects](object), over S3 ([`s3`]), a folder ([`mod@file`]), or memory
//!   ([`memory`]); [`address`]: where it is; [`store_error`]: why it did not do something.
//! - [`cluster_state`]: one cluster's part of it, typed; [`specification`]: what a user wants, as it was read;
//!   [`mod@format`]: which windlass may write it.
//! - [`secrets`]: its keys; [`stored_secrets`]: its secrets, one by one; [`encryption_writers`]: which keys etcd's data
//!   needs.
//! - [`identity`]: in which account and region it is, and its uid.
//! - [`revision`]: what was applied; [`journal`]: what is being changed in several writes.
//! - [`listing`]: what a list says of an object; `snapshot`: what was last listed, which answers most reads;
//!   [`versions`]: what a bucket keeps of an object; [`object_kind`]: which kinds of objects there are, and what reads
//!   each; [`damage`]: what is wrong with one, and which version to bring back; [`rebuild`]: the same for the whole
//!   state, where it is lost.
//! - [`expiry`]: rules of the bucket by which old backups go.
//! - [`lease`]: one operator at a time; [`holder`]: who that is.
//!
//! There is no unconditional write. A writer says what it believes is there, and is refused when it isn't. What the
//! lease adds to that, and what it doesn't, stands in [`lease`].

pub mod address;
pub mod backups;
pub mod bucket;
pub mod bucket_encryption;
mod clock;
pub mod cluster_state;
pub mod damage;
pub mod encryption_writers;
pub mod error;
mod etcd_upkeep;
pub mod expiry;
mod fence;
pub mod file;
pub mod format;
pub mod holder;
pub mod identity;
pub mod journal;
pub mod layout;
pub mod lease;
pub mod listing;
pub mod memory;
pub mod object;
pub mod object_kind;
mod read_ahead;
pub mod rebuild;
mod requests;
pub mod restores;
pub mod revision;
pub mod s3;
pub mod secrets;
#[cfg(test)]
mod simulation;
mod snapshot;
pub mod specification;
pub mod store;
pub mod store_error;
pub mod stored_secrets;
pub mod versions;

pub use cluster_state::ClusterState;
pub use damage::{Damage, Recovery};
pub use error::StateError;
pub use fence::StopAsked;
pub use holder::Holder;
pub use journal::{Journal, Write};
pub use lease::{Lease, LeaseError, LeaseRecord};
pub use listing::{Fingerprint, Listing};
pub use object::{Condition, Object, Version};
pub use secrets::{Secrets, SecretsError};
pub use specification::Specification;
pub use store::Store;
pub use store_error::StoreError;
