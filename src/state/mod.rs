//! The state: what is kept of a cluster outside AWS's own resources, in a versioned bucket.
//!
//! - [`layout`]: every key, in one file.
//! - [`store`]: conditional reads and writes, over S3 ([`s3`]), a folder ([`file`]), or memory ([`memory`]).
//!
//! There is no unconditional write. A writer says what it believes is there, and is refused when it isn't.

pub mod file;
pub mod layout;
pub mod memory;
pub mod s3;
pub mod store;

pub use store::{Condition, Object, Store, StoreError, Version};
