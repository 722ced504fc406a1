//! The key with which a bucket encrypts what is written into it.
//!
//! It is the bucket's default encryption, and nothing that a write says: so whoever writes, the CLI or an instance,
//! writes with the same key (S3 User Guide, "Setting default server-side encryption behavior").

use std::fmt;
use std::str::FromStr;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
};
use thiserror::Error;

use super::bucket::settled;
use crate::aws::{AwsError, During};

/// The ARN of a KMS key: `arn:aws:kms:<region>:<account>:key/<id>`. Aliases and bare ids are not enough: what instances
/// may decrypt with is written into policies, which know a key by its ARN only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsKey(String);

/// A text that isn't the ARN of a key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{0}` is not the ARN of a KMS key: arn:aws:kms:REGION:ACCOUNT:key/ID")]
pub struct NotAKmsKey(String);

impl FromStr for KmsKey {
    type Err = NotAKmsKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        let parts: Vec<&str> = text.split(':').collect();
        let right = match parts.as_slice() {
            ["arn", partition, "kms", region, account, key] => {
                plain(partition)
                    && plain(region)
                    && account.len() == 12
                    && account.chars().all(|c| c.is_ascii_digit())
                    && key.strip_prefix("key/").is_some_and(plain)
            }
            _ => false,
        };
        if right { Ok(Self(text.to_owned())) } else { Err(NotAKmsKey(text.to_owned())) }
    }
}

impl fmt::Display for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key that a bucket encrypts with: `None` where it is S3's own, or the account's `aws/s3`, which whoever may use the
/// bucket may use. Fails where the key isn't named by its ARN.
pub(super) async fn read(client: &Client, bucket: &str) -> Result<Option<KmsKey>, AwsError> {
    let answer = client.get_bucket_encryption().bucket(bucket).send().await;
    let answer = match answer.during("s3", "GetBucketEncryption", bucket) {
        Ok(answer) => answer,
        Err(error) if error.code.as_deref() == Some("ServerSideEncryptionConfigurationNotFoundError") => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let rules = answer.server_side_encryption_configuration().map(ServerSideEncryptionConfiguration::rules);
    let mut defaults =
        rules.unwrap_or_default().iter().filter_map(|rule| rule.apply_server_side_encryption_by_default());
    let Some(key) = defaults.find_map(ServerSideEncryptionByDefault::kms_master_key_id) else {
        return Ok(None);
    };
    let key = key.parse().map_err(|error: NotAKmsKey| {
        let message = format!("the bucket encrypts with a key that instances can't be given: {error}");
        AwsError::unexpected("s3", "GetBucketEncryption", bucket, message)
    });
    key.map(Some)
}

/// Makes a bucket encrypt with a key; with S3's own where none is given.
pub(super) async fn write(client: &Client, bucket: &str, key: Option<&KmsKey>) -> Result<(), AwsError> {
    let request = client.put_bucket_encryption().bucket(bucket);
    let request = request.server_side_encryption_configuration(configuration(bucket, key)?);
    settled(|| request.clone().send(), "PutBucketEncryption", bucket).await.map(drop)
}

fn configuration(bucket: &str, key: Option<&KmsKey>) -> Result<ServerSideEncryptionConfiguration, AwsError> {
    let wrong = |error: aws_smithy_types::error::operation::BuildError| {
        AwsError::unexpected("s3", "PutBucketEncryption", bucket, error.to_string())
    };
    let by_default = ServerSideEncryptionByDefault::builder();
    let by_default = match key {
        Some(key) => {
            by_default.sse_algorithm(ServerSideEncryption::AwsKms).kms_master_key_id(key.to_string())
        }
        None => by_default.sse_algorithm(ServerSideEncryption::Aes256),
    };
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by_default.build().map_err(wrong)?)
        // One call to KMS for many objects, instead of one for each.
        .bucket_key_enabled(key.is_some())
        .build();
    ServerSideEncryptionConfiguration::builder().rules(rule).build().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_named_by_its_arn_and_by_nothing_else() {
        let right = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        assert_eq!(right.parse::<KmsKey>().unwrap().to_string(), right);
        for wrong in [
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "alias/state",
            "arn:aws:kms:us-east-1:123456789012:alias/state",
            "arn:aws:kms:us-east-1::key/1234abcd",
            "arn:aws:kms:us-east-1:123456789012:key/",
            "arn:aws:kms:us-east-1:123456789012:key/*",
            "",
        ] {
            assert!(wrong.parse::<KmsKey>().is_err(), "{wrong}");
        }
    }
}
