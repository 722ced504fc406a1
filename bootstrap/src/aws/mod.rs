//! The thin edge of the AWS SDK: one configuration, and errors that say what was asked, of which thing, and what AWS
//! answered. Beside it what is reached through AWS: EC2, the state store, and who this instance is.
//!
//! It uses the machine ([`host`](crate::host)), [`progress`](crate::progress) and the [`contract`](crate::contract).

pub mod bucket_owner;
pub mod ec2;
pub mod identity;
pub mod node_config;
pub mod publisher;
pub mod state;

use std::error::Error;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::operation::RequestId;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::progress::retry::{Class, Classed};

/// What AWS answered, or why it couldn't be asked.
#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// AWS refused.
    #[error("{action} of {target} failed: {message} ({code}, request {request})")]
    Refused {
        /// The API action.
        action: &'static str,
        /// The thing it was about.
        target: String,
        /// AWS's error code.
        code: String,
        /// AWS's words.
        message: String,
        /// AWS's request id.
        request: String,
    },
    /// No answer: no connection, no credentials, a time-out.
    #[error("{action} of {target} got no answer")]
    NoAnswer {
        /// The API action.
        action: &'static str,
        /// The thing it was about.
        target: String,
        /// The SDK's words.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl AwsError {
    /// Keeps what matters of an SDK error.
    pub fn new<E, R>(action: &'static str, target: impl Into<String>, error: SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let target = target.into();
        match error.as_service_error().map(ProvideErrorMetadata::meta) {
            Some(meta) => Self::Refused {
                action,
                target,
                code: meta.code().unwrap_or("unknown").to_owned(),
                message: meta.message().unwrap_or("no message").to_owned(),
                request: meta.request_id().unwrap_or("unknown").to_owned(),
            },
            None => Self::NoAnswer { action, target, source: Box::new(error) },
        }
    }

    /// AWS's error code, if AWS answered.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::NoAnswer { .. } => None,
        }
    }

    /// Whether the service is down or out of reach: no answer, or one that says so itself (S3's and EC2's lists of
    /// error codes: 500 and 503).
    pub fn is_outage(&self) -> bool {
        const CODES: [&str; 5] =
            ["InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable", "SlowDown"];
        self.code().is_none_or(|code| CODES.contains(&code))
    }
}

impl Classed for AwsError {
    /// Denials count as passing: an instance profile takes some seconds to arrive, and the step's own limit ends the
    /// tries.
    fn class(&self) -> Class {
        match self.code() {
            Some(code) if is_permanent(code) => Class::Permanent,
            _ => Class::Passing,
        }
    }
}

/// Codes that trying again can't change. `…NotFound` is not among them: reads in EC2 lag behind writes.
fn is_permanent(code: &str) -> bool {
    [
        "InvalidParameter",
        "MissingParameter",
        "ValidationError",
        "UnsupportedOperation",
        "AttachmentLimitExceeded",
    ]
    .iter()
    .any(|permanent| code.starts_with(permanent))
}

/// The SDK's configuration for a region: standard retries, and time limits that fit a boot.
pub async fn configuration(region: &str) -> SdkConfig {
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .retry_config(RetryConfig::standard().with_max_attempts(4).with_max_backoff(Duration::from_secs(5)))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(3))
                .operation_attempt_timeout(Duration::from_secs(10))
                .operation_timeout(Duration::from_secs(45))
                .build(),
        )
        .load()
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> AwsError {
        AwsError::Refused {
            action: "AttachVolume",
            target: "vol-1".into(),
            code: code.into(),
            message: "no".into(),
            request: "r-1".into(),
        }
    }

    #[test]
    fn throttling_denials_and_stale_reads_are_tried_again() {
        for code in
            ["RequestLimitExceeded", "UnauthorizedOperation", "InvalidVolume.NotFound", "IncorrectState"]
        {
            assert_eq!(refused(code).class(), Class::Passing, "{code}");
        }
        for code in ["InvalidParameterValue", "AttachmentLimitExceeded"] {
            assert_eq!(refused(code).class(), Class::Permanent, "{code}");
        }
    }

    #[test]
    fn a_service_that_says_no_is_not_down() {
        assert!(refused("ServiceUnavailable").is_outage() && refused("InternalError").is_outage());
        assert!(!refused("AccessDenied").is_outage() && !refused("NoSuchBucket").is_outage());
    }

    #[test]
    fn an_error_names_the_thing_and_the_request() {
        assert_eq!(refused("Denied").to_string(), "AttachVolume of vol-1 failed: no (Denied, request r-1)");
    }
}
