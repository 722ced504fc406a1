//! Rules of the bucket by which backups go when they are old: S3 does it, so that nobody needs the right to delete them.
//!
//! A bucket has one list of rules, which is written as a whole and knows no condition (API_PutBucketLifecycleConfiguration).
//! So the rules of others are written again as they were, and what was written is read again. Who writes an older list after
//! that takes rules away all the same: the next update of the cluster that they are of sees that they are missing.

use std::collections::BTreeMap;

use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    NoncurrentVersionExpiration,
};

use super::object::digest;
use super::s3::S3Store;
use super::store_error::StoreError;
use crate::aws::{AwsError, During};

/// What the ids of such rules begin with.
const ID: &str = "windlass backups";

/// How often rules are written that somebody else's write took away again.
const ATTEMPTS: usize = 5;

/// For how many days what is below some prefixes is kept, by prefix below the store's address.
pub type Expiries = BTreeMap<String, u32>;

impl S3Store {
    /// The rules below a prefix.
    pub async fn expiries(&self, below: &str) -> Result<Expiries, StoreError> {
        let whole = self.key(below);
        let rules = self.rules(below).await?;
        let ours = rules.iter().filter(|rule| is_ours(rule, &whole));
        let days = |rule: &LifecycleRule| {
            let is_enabled = *rule.status() == ExpirationStatus::Enabled;
            let days = rule.expiration().and_then(LifecycleExpiration::days).filter(|_| is_enabled);
            u32::try_from(days.unwrap_or_default()).unwrap_or_default()
        };
        let keys = ours.filter_map(|rule| Some((prefix_of(rule)?.strip_prefix(&whole)?, days(rule))));
        Ok(keys.map(|(rest, days)| (format!("{below}{rest}"), days)).collect())
    }

    /// Makes the rules below a prefix be these, and leaves all others.
    pub async fn set_expiries(&self, below: &str, wanted: &Expiries) -> Result<(), StoreError> {
        let whole = self.key(below);
        for _ in 0..ATTEMPTS {
            let mut rules = self.rules(below).await?;
            rules.retain(|rule| !is_ours(rule, &whole));
            for (prefix, days) in wanted {
                rules.push(self.rule(prefix, *days).map_err(|error| self.failed("expire", below)(error))?);
            }
            self.write_rules(below, rules).await?;
            if self.expiries(below).await? == *wanted {
                return Ok(());
            }
        }
        let message = "somebody else writes the rules of the bucket again and again";
        Err(self.failed("expire", below)(AwsError::unexpected(
            "s3",
            "PutBucketLifecycleConfiguration",
            self.place(below),
            message,
        )))
    }

    async fn rules(&self, below: &str) -> Result<Vec<LifecycleRule>, StoreError> {
        let call = self.client().get_bucket_lifecycle_configuration().bucket(self.bucket_name());
        match call.send().await.during("s3", "GetBucketLifecycleConfiguration", self.place(below)) {
            Ok(answer) => Ok(answer.rules.unwrap_or_default()),
            Err(error) if error.code.as_deref() == Some("NoSuchLifecycleConfiguration") => Ok(Vec::new()),
            Err(error) => Err(self.failed("read the rules about", below)(error)),
        }
    }

    async fn write_rules(&self, below: &str, rules: Vec<LifecycleRule>) -> Result<(), StoreError> {
        let (client, failed) = (self.client(), self.failed("expire", below));
        if rules.is_empty() {
            let call = client.delete_bucket_lifecycle().bucket(self.bucket_name()).send().await;
            return call.during("s3", "DeleteBucketLifecycle", self.place(below)).map(drop).map_err(failed);
        }
        let operation = "PutBucketLifecycleConfiguration";
        let wrong = |error: aws_sdk_s3::error::BuildError| {
            AwsError::unexpected("s3", operation, self.place(below), error.to_string())
        };
        let configuration = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build();
        let configuration = match configuration.map_err(wrong) {
            Ok(configuration) => configuration,
            Err(error) => return Err(failed(error)),
        };
        let call = client.put_bucket_lifecycle_configuration().bucket(self.bucket_name());
        let call = call.lifecycle_configuration(configuration).send().await;
        call.during("s3", operation, self.place(below)).map(drop).map_err(failed)
    }

    fn rule(&self, prefix: &str, days: u32) -> Result<LifecycleRule, AwsError> {
        let whole = self.key(prefix);
        let wrong = |error: aws_sdk_s3::error::BuildError| {
            let operation = "PutBucketLifecycleConfiguration";
            AwsError::unexpected("s3", operation, self.place(prefix), error.to_string())
        };
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        LifecycleRule::builder()
            // An id has at most 255 characters, a prefix may have more.
            .id(format!("{ID} {}", &digest(whole.as_bytes())[..16]))
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix(whole).build())
            .expiration(LifecycleExpiration::builder().days(days).build())
            // In a bucket with versions, what expires is still there as an earlier version.
            .noncurrent_version_expiration(NoncurrentVersionExpiration::builder().noncurrent_days(1).build())
            .build()
            .map_err(wrong)
    }
}

/// Whether a rule is windlass's, about something below a prefix of the bucket's keys.
fn is_ours(rule: &LifecycleRule, below: &str) -> bool {
    rule.id().is_some_and(|id| id.starts_with(ID)) && prefix_of(rule).is_some_and(|it| it.starts_with(below))
}

fn prefix_of(rule: &LifecycleRule) -> Option<&str> {
    rule.filter().and_then(LifecycleRuleFilter::prefix)
}
