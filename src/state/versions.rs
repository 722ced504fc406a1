//! The versions that a bucket keeps of an object: which there are, and the bytes of one of them.
//!
//! What is written over or deleted is still there, as an earlier version. That is the way out of damage: see
//! [`super::damage`].

use jiff::Timestamp;

/// A version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The store's name for it.
    pub id: String,
    /// When it was written.
    pub time: Timestamp,
    /// How many bytes it has; `None` where it says that the object was deleted.
    pub size: Option<u64>,
}

impl ObjectVersion {
    /// Whether it says that the object was deleted (S3's "delete marker").
    pub fn is_deletion(&self) -> bool {
        self.size.is_none()
    }

    /// When it was written, for people.
    pub fn written(&self) -> String {
        self.time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    }
}
