//! Why a bucket can't hold the discovery documents of service accounts, and what to do about it.

use thiserror::Error;

use crate::aws::AwsError;

/// A bucket that can't hold discovery documents.
#[derive(Debug, Error)]
pub enum DiscoveryError {
    /// kops's tests publish nothing.
    #[error("nothing can be published in `memfs://{path}`, which kops's own tests have")]
    Nowhere {
        /// As written.
        path: String,
    },
    /// There is none.
    #[error("there is no bucket `{bucket}` for the discovery documents of service accounts")]
    Missing {
        /// As written.
        bucket: String,
    },
    /// It belongs to another account, or the credentials may not use it: S3 answers the same.
    #[error(
        "the bucket `{bucket}` for the discovery documents can't be used: it isn't the account {account}'s, or it is closed \
         to these credentials"
    )]
    Refused {
        /// As written.
        bucket: String,
        /// Whose it should be.
        account: String,
        /// What S3 said.
        #[source]
        source: AwsError,
    },
    /// Nobody but the account could read them.
    #[error(
        "the bucket `{bucket}` doesn't let everybody read the discovery documents, and takes no access control lists"
    )]
    Closed {
        /// As written.
        bucket: String,
        /// What everybody should be able to read.
        objects: String,
    },
}

impl DiscoveryError {
    /// What to type next.
    pub fn hint(&self) -> String {
        match self {
            Self::Nowhere { .. } => {
                "name a bucket: `discoveryStore: s3://<bucket>/<prefix>` with `windlass edit cluster`"
                    .to_owned()
            }
            Self::Missing { bucket } => format!(
                "make it, for discovery documents alone: aws s3api create-bucket --bucket {bucket}; everybody has to be able \
                 to read it (docs/specification.md, \"Identity of workloads\"). Or check the name"
            ),
            Self::Refused { .. } => {
                "check the bucket's name and whose credentials these are (aws sts get-caller-identity); \
                                     they need the permission `s3:ListBucket`"
                    .to_owned()
            }
            Self::Closed { bucket, objects } => format!(
                "let everybody read them: aws s3api put-public-access-block --bucket {bucket} \
                 --public-access-block-configuration BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=false,\
                 RestrictPublicBuckets=false && aws s3api put-bucket-policy --bucket {bucket} --policy \
                 '{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Principal\":\"*\",\
                 \"Action\":\"s3:GetObject\",\"Resource\":\"{objects}\"}}]}}'"
            ),
        }
    }
}
