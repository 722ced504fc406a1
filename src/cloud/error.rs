//! What can go wrong with one resource.

use std::time::Duration;

use thiserror::Error;

use super::blockers::Blocker;
use super::reference::ResourceId;
use crate::aws::retry::WaitError;
use crate::aws::{AwsError, Class, tags};
use crate::state::StoreError;

/// A failure of one act on one resource.
#[derive(Debug, Error)]
pub enum CloudError {
    /// AWS said no, or nothing.
    #[error("{0}")]
    Aws(#[from] AwsError),
    /// A resource that this one needs isn't there.
    #[error("`{0}` isn't there yet")]
    Missing(ResourceId),
    /// Something that was just made can't be seen yet.
    #[error("`{resource}` was made as {aws_id}, and AWS doesn't show it yet")]
    Unseen {
        /// The resource.
        resource: ResourceId,
        /// What AWS calls it.
        aws_id: String,
    },
    /// An answer of AWS lacks something that it must have.
    #[error("AWS's answer about `{resource}` lacks {field}")]
    Answer {
        /// What was asked about.
        resource: ResourceId,
        /// What is missing.
        field: &'static str,
    },
    /// Something that must be ours alone has the name and isn't ours.
    #[error("`{resource}` exists and isn't this cluster's: its tag `{tag}` is {}", found.as_deref().unwrap_or("absent"))]
    Foreign {
        /// The resource.
        resource: ResourceId,
        /// The tag that makes a resource ours.
        tag: &'static str,
        /// What the tag says.
        found: Option<String>,
    },
    /// Something has the name and lacks the tag that would make it ours.
    #[error(
        "`{resource}` exists as {aws_id}, and its tag `{}` {}, so that it isn't known as this cluster's",
        tags::MANAGED,
        found.as_ref().map_or("is gone".to_owned(), |found| format!("says `{found}`"))
    )]
    Unmarked {
        /// The resource.
        resource: ResourceId,
        /// AWS's id of what is there.
        aws_id: String,
        /// What the tag says.
        found: Option<String>,
        /// What to type to give it its mark back.
        command: String,
    },
    /// Another cluster that has the same name has the resource.
    #[error(
        "`{resource}` belongs to another cluster of the same name: its tag `{}` is {}, and this cluster's uid is {}",
        tags::UID,
        uid.as_deref().unwrap_or("absent"),
        ours.as_deref().unwrap_or("not made yet")
    )]
    Namesake {
        /// The resource.
        resource: ResourceId,
        /// The other one's uid; absent of a cluster that was made before there were uids.
        uid: Option<String>,
        /// This one's, where it has been made.
        ours: Option<String>,
        /// Where the resource has no uid at all, and this cluster has: what to type if somebody removed it.
        command: Option<String>,
    },
    /// A name in a hosted zone is somebody else's.
    #[error("`{resource}` exists and isn't this cluster's: {}", found.join(", "))]
    ForeignRecords {
        /// The record set.
        resource: ResourceId,
        /// What is there, such as `A 192.0.2.1`.
        found: Vec<String>,
    },
    /// A document that everybody must be able to read was written, and can't be read.
    #[error("`{resource}` was written, and whoever has no credentials can't read it")]
    Unreadable {
        /// The document.
        resource: ResourceId,
        /// The bucket that it is in.
        bucket: String,
    },
    /// Something else is in the way of a deletion.
    #[error("{said}; in the way: {}", by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Blocked {
        /// What AWS said.
        said: AwsError,
        /// What is in the way.
        by: Vec<Blocker>,
    },
    /// Waiting for AWS ended without what was waited for.
    #[error("{0}")]
    Wait(#[from] WaitError),
    /// The state could not be read or written.
    #[error("{0}")]
    Store(#[from] StoreError),
}

/// What to do with a step that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// Look what is there, then do what is left, for so long: the call may have been carried out.
    RetryFor(Duration),
    /// Give up: trying again changes nothing.
    GiveUp,
}

/// How long something that was just made may stay invisible: IAM takes up to half a minute, EC2 some seconds.
const VISIBILITY: Duration = Duration::from_mins(2);

/// How long something that "exists already" may take to show up as ours. What isn't ours never does.
const ADOPTION: Duration = Duration::from_secs(20);

/// How long something that is being deleted may hold what it uses.
const RELEASE: Duration = Duration::from_mins(20);

/// How long to wait for what nothing says is going: somebody may be at it.
const STRANGERS: Duration = Duration::from_mins(2);

/// How long throttling, 5xx and silence are sat out.
const WEATHER: Duration = Duration::from_mins(10);

impl CloudError {
    /// What to do about it, where there is something to type or to look at.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Aws(error)
            | Self::Store(StoreError::Aws { source: error, .. })
            | Self::Wait(WaitError::Look { source: error, .. }) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Unmarked { command, .. } => Some(format!(
                "if somebody removed its tags, put them back and run the same command again: {command}"
            )),
            Self::Namesake { resource, command: Some(command), .. } => Some(format!(
                "if it is this cluster's, and somebody removed the tag, put it back: {command}; else another cluster in \
                 another region or another state store has the name, which is unique among {}s in an account: give \
                 this one another",
                resource.kind
            )),
            Self::Namesake { resource, command: None, .. } => Some(format!(
                "names of {}s are unique in an account: the other cluster is in another region or another state store; \
                 look there with `windlass get clusters`, and give this one another name",
                resource.kind
            )),
            Self::Foreign { resource, .. } => resource.kind.foreign_hint().map(str::to_owned),
            Self::Unreadable { bucket, .. } => Some(format!(
                "let everybody read it, with a policy of the bucket that allows `s3:GetObject` to `*`, and see that nothing \
                 blocks it: aws s3api get-public-access-block --bucket {bucket}, and the same of the account: aws s3control \
                 get-public-access-block; then run the same command again"
            )),
            Self::Blocked { .. } => {
                Some("take out of the way what is named, and run the same command again".to_owned())
            }
            _ => None,
        }
    }

    /// Whether nothing failed: the user has asked to stop, or the lease was lost, so the next call was not made.
    pub fn is_withheld(&self) -> bool {
        match self {
            Self::Aws(error) => matches!(error.class, Class::Interrupted | Class::LeaseLost),
            Self::Wait(WaitError::Look { source, .. }) | Self::Store(StoreError::Aws { source, .. }) => {
                matches!(source.class, Class::Interrupted | Class::LeaseLost)
            }
            Self::Store(error) => {
                matches!(error, StoreError::Stopped { .. } | StoreError::LeaseLost { .. })
            }
            _ => false,
        }
    }

    /// Whether AWS was too busy for the call, or didn't answer it.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Aws(error) | Self::Store(StoreError::Aws { source: error, .. })
            if matches!(error.class, Class::Throttled | Class::Unavailable | Class::Network))
    }

    /// Whether the thing isn't there (any more).
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Aws(error) if error.is_not_found())
    }

    /// Whether AWS was asked for too much at once.
    pub fn is_throttled(&self) -> bool {
        let Self::Aws(error) = self else { return false };
        error.class == Class::Throttled
    }

    /// What to do about it. Besides what AWS itself calls transient there is what passes by itself: something that
    /// was just made and isn't visible everywhere yet (`NotFound`), something made by a call whose reply was lost
    /// (`AlreadyExists`), and something that is still in use by what is just being deleted (`Dependency`).
    pub fn retry_decision(&self) -> RetryDecision {
        match self {
            Self::Aws(error) => match error.class {
                Class::NotFound => RetryDecision::RetryFor(VISIBILITY),
                Class::AlreadyExists => RetryDecision::RetryFor(ADOPTION),
                Class::Dependency => RetryDecision::RetryFor(RELEASE),
                _ if error.is_transient() => RetryDecision::RetryFor(WEATHER),
                _ if is_profile_propagation(error) => RetryDecision::RetryFor(VISIBILITY),
                _ => RetryDecision::GiveUp,
            },
            Self::Blocked { by, .. } if by.iter().any(|blocker| blocker.may_go) => {
                RetryDecision::RetryFor(RELEASE)
            }
            Self::Blocked { .. } => RetryDecision::RetryFor(STRANGERS),
            Self::Unseen { .. } => RetryDecision::RetryFor(VISIBILITY),
            Self::Store(StoreError::Aws { source, .. }) if source.is_transient() => {
                RetryDecision::RetryFor(WEATHER)
            }
            Self::Missing(_)
            | Self::Answer { .. }
            | Self::Foreign { .. }
            | Self::Unmarked { .. }
            | Self::Namesake { .. }
            | Self::ForeignRecords { .. }
            | Self::Unreadable { .. }
            | Self::Wait(_)
            | Self::Store(_) => RetryDecision::GiveUp,
        }
    }
}

/// IAM tells EC2 and Auto Scaling of a new role or instance profile only after some seconds; until then they call the
/// profile invalid, in words that differ from call to call.
fn is_profile_propagation(error: &AwsError) -> bool {
    let words = error.message.to_ascii_lowercase();
    error.class == Class::Invalid
        && (words.contains("instance profile") || words.contains("iaminstanceprofile"))
}

/// Of a call that deletes one thing: that it isn't there (any more) is what was wanted.
pub(super) fn gone<T>(outcome: Result<T, AwsError>) -> Result<(), CloudError> {
    match outcome {
        Err(error) if error.is_not_found() => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

/// Takes a field that AWS always gives.
pub(super) fn field<T>(
    value: Option<T>,
    resource: &ResourceId,
    field: &'static str,
) -> Result<T, CloudError> {
    value.ok_or_else(|| CloudError::Answer { resource: resource.clone(), field })
}
