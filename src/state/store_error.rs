//! Why a store did not do what it was asked to.

use std::io;

use thiserror::Error;

use super::bucket::BucketError;
use crate::aws::{AwsError, Class};

/// Why the store did not do what it was asked to.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The object isn't what the writer believed: somebody else wrote it meanwhile.
    #[error("`{key}` has been changed by somebody else meanwhile")]
    Changed {
        /// The object's key.
        key: String,
    },
    /// The writer worked under a lease and has lost it, so nothing was written.
    #[error("the lock `{key}` was lost: {reason}")]
    LeaseLost {
        /// The lease's key.
        key: String,
        /// How.
        reason: String,
    },
    /// The user has asked to stop, so nothing was written.
    #[error("interrupted: `{key}` was not changed")]
    Stopped {
        /// The object's key, or the prefix of what would have been changed.
        key: String,
    },
    /// S3 said no.
    #[error("could not {act} `{key}`")]
    Aws {
        /// Such as `read`.
        act: &'static str,
        /// The object's key, or the bucket's address.
        key: String,
        /// What it said.
        #[source]
        source: AwsError,
    },
    /// The file system said no.
    #[error("could not {act} `{key}`")]
    File {
        /// Such as `read`.
        act: &'static str,
        /// The file's path.
        key: String,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// A key that can't be a path.
    #[error("`{key}` can't be the name of an object")]
    Key {
        /// The path that was asked for.
        key: String,
    },
    /// The address isn't one of a store.
    #[error("`{url}` is not the address of a state store: {reason}")]
    Url {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The bucket can't hold a state.
    #[error("{0}")]
    Bucket(#[from] BucketError),
}

impl StoreError {
    /// Whether a conditional write lost against another writer.
    pub fn is_changed(&self) -> bool {
        matches!(self, Self::Changed { .. })
    }

    /// Whether the credentials may not do it.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Aws { source, .. } if source.class == Class::Denied)
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Changed { .. } => Some(
                "look at what changed (`windlass get`, `windlass update cluster`) and run the command again"
                    .into(),
            ),
            Self::LeaseLost { .. } => Some("run the command again: it goes on from where it stopped".into()),
            Self::Url { .. } => Some("write s3://BUCKET, s3://BUCKET/PREFIX or file:///FOLDER".into()),
            Self::Bucket(error) => error.hint(),
            Self::Stopped { .. } | Self::Aws { .. } | Self::File { .. } | Self::Key { .. } => None,
        }
    }
}
