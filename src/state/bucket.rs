//! The bucket itself: whose it is, whether it can hold a state, and how one is made.
//!
//! Every call names the account that must own the bucket ([`windlass_bootstrap::bucket_owner`]), the agent's too: the user
//! data tells it which.

use std::env;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus,
    CreateBucketConfiguration, ExpirationStatus, Grant, LifecycleRule, LifecycleRuleFilter,
    NoncurrentVersionExpiration, PolicyStatus, PublicAccessBlockConfiguration, Tag, Tagging,
    VersioningConfiguration,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::operation::BuildError;
use serde_json::json;
use thiserror::Error;
use windlass_bootstrap::bucket_owner::owned_by;
use windlass_bootstrap::keys::{SHORT_LIVED_KEY, SHORT_LIVED_VALUE};

use super::bucket_encryption::{self, KmsKey};
use super::store_error::StoreError;
use crate::aws::retry::Patience;
use crate::aws::{AwsError, Class, Clients, During};

/// Names the account of the state's bucket where that isn't the account of the credentials.
const OWNER_VARIABLE: &str = "WINDLASS_STATE_STORE_ACCOUNT";

/// The tag of a bucket that windlass makes. Only while it says [`UNFINISHED`] is anything of the bucket changed.
const MADE: &str = "windlass.dev/state-store";
const UNFINISHED: &str = "unfinished";
const FINISHED: &str = "made";

/// The rule by which earlier versions of what is written again and again expire.
const RULE: &str = "windlass-earlier-versions";

/// The groups that mean everybody, and everybody with an AWS account ("Access control list overview").
const EVERYBODY: [&str; 2] = [
    "http://acs.amazonaws.com/groups/global/AllUsers",
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers",
];

/// A bucket that can't hold a state.
#[derive(Debug, Error)]
pub enum BucketError {
    /// There is none.
    #[error("there is no bucket `{bucket}`")]
    Missing {
        /// As the state store's address names it.
        bucket: String,
    },
    /// It would forget what is written over.
    #[error("the bucket `{bucket}` does not keep versions of its objects")]
    Unversioned {
        /// As the state store's address names it.
        bucket: String,
    },
    /// Its name is taken by another account.
    #[error("the bucket `{bucket}` belongs to somebody else")]
    Foreign {
        /// As the state store's address names it.
        bucket: String,
    },
    /// It belongs to another account, or the credentials may not use it: S3 answers the same.
    #[error(
        "the bucket `{bucket}` can't be used: it isn't the account {account}'s, or it is closed to these credentials"
    )]
    Refused {
        /// As the state store's address names it.
        bucket: String,
        /// Whose it should be.
        account: String,
        /// What S3 said.
        #[source]
        source: AwsError,
    },
    /// Anybody may read it, or write to it.
    #[error("the bucket `{bucket}` is open to the public: its {how} lets everybody in")]
    Public {
        /// As the state store's address names it.
        bucket: String,
        /// By what.
        how: &'static str,
    },
    /// It is there, and encrypts with another key than is asked for.
    #[error("the bucket `{bucket}` is there already and does not encrypt with {key}; it is not changed")]
    OtherKey {
        /// As the state store's address names it.
        bucket: String,
        /// The key that was asked for.
        key: String,
    },
}

impl BucketError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } => {
                "let `windlass create cluster --create-state-store` make it, with versioning, \
                                     encryption and no public access; or check the name"
                    .to_owned()
            }
            Self::Unversioned { bucket } => format!(
                "turn it on: aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration \
                 Status=Enabled"
            ),
            Self::Foreign { .. } => "choose another name: bucket names are shared by all of AWS".to_owned(),
            Self::Refused { bucket, account, .. } => format!(
                "check the bucket's name and whose credentials these are (aws sts get-caller-identity); they \
                 need the permission `s3:ListBucket`. If {bucket} is another account's than {account} on purpose, name that account: \
                 {OWNER_VARIABLE}=ACCOUNT"
            ),
            Self::Public { bucket, .. } => format!(
                "close it: aws s3api put-public-access-block --bucket {bucket} --public-access-block-configuration \
                 BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true; whatever \
                 keys were in it meanwhile may be known to others"
            ),
            Self::OtherKey { bucket, .. } => format!(
                "leave out --state-store-kms-key, or set the key yourself: aws s3api put-bucket-encryption --bucket {bucket}"
            ),
        })
    }
}

/// The account that must own the state's bucket: the one that the user names, else the credentials' own.
async fn owner(clients: &Clients) -> Result<String, AwsError> {
    if let Some(account) = env::var(OWNER_VARIABLE).ok().filter(|account| !account.is_empty()) {
        if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(account);
        }
        let message = "it is not the number of an account: twelve digits";
        return Err(AwsError::unexpected("s3", "HeadBucket", OWNER_VARIABLE, message));
    }
    Ok(clients.caller().await?.account)
}

fn not_opened(bucket: &str) -> impl FnOnce(AwsError) -> StoreError {
    move |source| StoreError::Aws { act: "open", key: format!("s3://{bucket}"), source }
}

/// Finds a bucket's region, and fails where it isn't there or isn't the expected account's. Returns the account, and
/// clients in the bucket's region.
pub(super) async fn find(clients: &Clients, bucket: &str) -> Result<(String, Clients), StoreError> {
    let account = owner(clients).await.map_err(not_opened(bucket))?;
    let Some(region) = region_of(clients, &account, bucket).await? else {
        return Err(BucketError::Missing { bucket: bucket.to_owned() }.into());
    };
    let clients = clients.in_region(&region);
    Ok((account, clients))
}

/// Fails where a bucket keeps no versions, or is open to the public. The client says whose it must be.
pub(super) async fn check(client: &Client, bucket: &str) -> Result<(), StoreError> {
    let (versioned, public) = futures::future::try_join(is_versioned(client, bucket), public(client, bucket))
        .await
        .map_err(not_opened(bucket))?;
    if !versioned {
        return Err(BucketError::Unversioned { bucket: bucket.to_owned() }.into());
    }
    if let Some(how) = public {
        return Err(BucketError::Public { bucket: bucket.to_owned(), how }.into());
    }
    Ok(())
}

async fn is_versioned(client: &Client, bucket: &str) -> Result<bool, AwsError> {
    let answer = client.get_bucket_versioning().bucket(bucket).send().await;
    let answer = answer.during("s3", "GetBucketVersioning", bucket)?;
    Ok(answer.status() == Some(&BucketVersioningStatus::Enabled))
}

/// By what a bucket is open to the public, if it is. Whoever may not look isn't kept from working: it is said.
async fn public(client: &Client, bucket: &str) -> Result<Option<&'static str>, AwsError> {
    let policy = async {
        let answer = client.get_bucket_policy_status().bucket(bucket).send().await;
        match answer.during("s3", "GetBucketPolicyStatus", bucket) {
            Ok(answer) => Ok(answer.policy_status().and_then(PolicyStatus::is_public).unwrap_or_default()),
            Err(error) if error.code.as_deref() == Some("NoSuchBucketPolicy") => Ok(false),
            Err(error) => unseen(error).map(|()| false),
        }
    };
    let acl = async {
        let answer = client.get_bucket_acl().bucket(bucket).send().await;
        match answer.during("s3", "GetBucketAcl", bucket) {
            Ok(answer) => Ok(answer.grants().iter().any(is_for_everybody)),
            Err(error) => unseen(error).map(|()| false),
        }
    };
    let (policy, acl) = futures::future::try_join(policy, acl).await?;
    if !policy && !acl {
        return Ok(None);
    }
    let block = client.get_public_access_block().bucket(bucket).send().await;
    let block = block.during("s3", "GetBucketPublicAccessBlock", bucket).ok();
    let block = block.as_ref().and_then(|answer| answer.public_access_block_configuration());
    let policy_is_void =
        block.and_then(PublicAccessBlockConfiguration::restrict_public_buckets).unwrap_or_default();
    let acl_is_void = block.and_then(PublicAccessBlockConfiguration::ignore_public_acls).unwrap_or_default();
    Ok(match (policy && !policy_is_void, acl && !acl_is_void) {
        (true, _) => Some("policy"),
        (false, true) => Some("access control list"),
        (false, false) => None,
    })
}

fn unseen(error: AwsError) -> Result<(), AwsError> {
    if error.class != Class::Denied {
        return Err(error);
    }
    tracing::info!("whether the state's bucket is open to the public can't be seen: {error}");
    Ok(())
}

fn is_for_everybody(grant: &Grant) -> bool {
    let group = grant.grantee().and_then(|grantee| grantee.uri());
    group.is_some_and(|group| EVERYBODY.contains(&group))
}

/// The region of a bucket, or `None` when there is no such bucket. HeadBucket names the region in a header of every
/// answer, refusals and redirections included.
async fn region_of(clients: &Clients, account: &str, bucket: &str) -> Result<Option<String>, StoreError> {
    let client = owned_by(account, &clients.s3);
    match client.head_bucket().bucket(bucket).send().await {
        Ok(answer) => Ok(Some(answer.bucket_region().unwrap_or(&clients.region).to_owned())),
        Err(error) => {
            if let Some(region) = region_in(&error) {
                return Ok(Some(region));
            }
            let source = AwsError::new("s3", "HeadBucket", bucket, &error);
            match source.class {
                Class::NotFound => Ok(None),
                Class::Denied => {
                    let (bucket, account) = (bucket.to_owned(), account.to_owned());
                    Err(BucketError::Refused { bucket, account, source }.into())
                }
                _ => Err(StoreError::Aws { act: "open", key: format!("s3://{bucket}"), source }),
            }
        }
    }
}

fn region_in(error: &SdkError<HeadBucketError, HttpResponse>) -> Option<String> {
    let response = error.raw_response()?;
    // 403 would name the region too, but says that the bucket can't be used.
    if !matches!(response.status().as_u16(), 301 | 400) {
        return None;
    }
    response.headers().get("x-amz-bucket-region").map(str::to_owned)
}

/// Makes a bucket fit for a state: versioned, encrypted, closed to the public, and to anything but TLS. One that is
/// there already is left as it is, whoever made it, unless it says itself that its making was interrupted. Returns
/// whether it was made.
pub async fn create_bucket(
    clients: &Clients,
    bucket: &str,
    key: Option<&KmsKey>,
) -> Result<bool, StoreError> {
    let failed = |source| StoreError::Aws { act: "create", key: format!("s3://{bucket}"), source };
    let account = owner(clients).await.map_err(failed)?;
    let region = if let Some(region) = region_of(clients, &account, bucket).await? {
        let client = owned_by(&account, &clients.in_region(&region).s3);
        if !is_unfinished(&client, bucket).await.map_err(failed)? {
            return check_key(&client, bucket, key).await.map(|()| false);
        }
        region
    } else {
        create(clients, bucket).await?;
        clients.region.clone()
    };
    let clients = clients.in_region(&region);
    let client = owned_by(&account, &clients.s3);
    secure(&client, &clients, bucket).await.map_err(failed)?;
    bucket_encryption::write(&client, bucket, key).await.map_err(failed)?;
    expire_versions(&client, bucket).await.map_err(failed)?;
    tag(&client, bucket, FINISHED).await.map_err(failed)?;
    Ok(true)
}

/// Fails where a bucket that is there encrypts with another key than is asked for.
async fn check_key(client: &Client, bucket: &str, key: Option<&KmsKey>) -> Result<(), StoreError> {
    let Some(key) = key else { return Ok(()) };
    let known = bucket_encryption::read(client, bucket).await;
    let known =
        known.map_err(|source| StoreError::Aws { act: "look at", key: format!("s3://{bucket}"), source })?;
    if known.as_ref() == Some(key) {
        return Ok(());
    }
    Err(BucketError::OtherKey { bucket: bucket.to_owned(), key: key.to_string() }.into())
}

/// Makes the bucket, with a tag that says that the rest is still to be done: with one call, so that whatever comes in
/// between, the next run knows what it may go on with.
async fn create(clients: &Clients, bucket: &str) -> Result<(), StoreError> {
    let failed = |source| StoreError::Aws { act: "create", key: format!("s3://{bucket}"), source };
    let tag = made_tag(UNFINISHED).map_err(|error| failed(unbuildable("CreateBucket", bucket, &error)))?;
    let configuration = CreateBucketConfiguration::builder().tags(tag);
    // S3 wants the region named everywhere but in us-east-1, where it must not be.
    let configuration = match clients.region.as_str() {
        "us-east-1" => configuration,
        region => configuration.location_constraint(BucketLocationConstraint::from(region)),
    };
    let request = clients.s3.create_bucket().bucket(bucket);
    let request = request.create_bucket_configuration(configuration.build());
    match settled(|| request.clone().send(), "CreateBucket", bucket).await {
        Ok(_) => Ok(()),
        Err(error) if error.code.as_deref() == Some("BucketAlreadyOwnedByYou") => Ok(()),
        Err(error) if error.code.as_deref() == Some("BucketAlreadyExists") => {
            Err(BucketError::Foreign { bucket: bucket.to_owned() }.into())
        }
        Err(source) => Err(failed(source)),
    }
}

fn unbuildable(operation: &'static str, bucket: &str, error: &BuildError) -> AwsError {
    AwsError::unexpected("s3", operation, bucket, error.to_string())
}

fn made_tag(value: &str) -> Result<Tag, BuildError> {
    Tag::builder().key(MADE).value(value).build()
}

/// Whether a bucket is one whose making windlass began and didn't end.
async fn is_unfinished(client: &Client, bucket: &str) -> Result<bool, AwsError> {
    let answer = client.get_bucket_tagging().bucket(bucket).send().await;
    match answer.during("s3", "GetBucketTagging", bucket) {
        Ok(answer) => Ok(answer.tag_set().iter().any(|tag| tag.key() == MADE && tag.value() == UNFINISHED)),
        Err(error) if error.code.as_deref() == Some("NoSuchTagSet") || error.class == Class::Denied => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn tag(client: &Client, bucket: &str, value: &str) -> Result<(), AwsError> {
    let wrong = |error: BuildError| unbuildable("PutBucketTagging", bucket, &error);
    let tags = Tagging::builder().tag_set(made_tag(value).map_err(wrong)?).build().map_err(wrong)?;
    let request = client.put_bucket_tagging().bucket(bucket).tagging(tags);
    settled(|| request.clone().send(), "PutBucketTagging", bucket).await.map(drop)
}

/// How long a bucket that was just made may take to settle.
const SETTLING: Patience = Patience::of(Duration::from_mins(1));

/// Makes a call about a new bucket until S3 doesn't answer any more that another one about it is under way: its
/// `OperationAborted` comes for a while after a bucket was made, or deleted, and isn't among what the SDK repeats.
pub(super) async fn settled<T, E, W>(
    call: impl Fn() -> W,
    operation: &'static str,
    bucket: &str,
) -> Result<T, AwsError>
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    W: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let mut pauses = SETTLING.pauses();
    loop {
        let outcome = call().await.during("s3", operation, bucket);
        let is_unsettled = |error: &AwsError| error.code.as_deref() == Some("OperationAborted");
        match (outcome, pauses.next()) {
            (Err(error), Some(pause)) if is_unsettled(&error) => tokio::time::sleep(pause).await,
            (outcome, _) => return outcome,
        }
    }
}

async fn secure(s3: &Client, clients: &Clients, bucket: &str) -> Result<(), AwsError> {
    let closed = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build();
    let request = s3.put_public_access_block().bucket(bucket).public_access_block_configuration(closed);
    settled(|| request.clone().send(), "PutPublicAccessBlock", bucket).await?;
    let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let request = s3.put_bucket_versioning().bucket(bucket).versioning_configuration(versions);
    settled(|| request.clone().send(), "PutBucketVersioning", bucket).await?;
    // Where the endpoint itself isn't TLS, the policy would lock out the one who writes it.
    if !clients.endpoint_is_plain_http {
        let request = s3.put_bucket_policy().bucket(bucket).policy(tls_only(&clients.region, bucket));
        settled(|| request.clone().send(), "PutBucketPolicy", bucket).await?;
    }
    Ok(())
}

/// Has earlier versions of what carries the tag of short-lived objects expire after a day: a prefix can't say which, as
/// they stand below every cluster's name. Keys and specifications carry no such tag: their versions stay.
async fn expire_versions(client: &Client, bucket: &str) -> Result<(), AwsError> {
    let wrong = |error: BuildError| unbuildable("PutLifecycleConfiguration", bucket, &error);
    let tag = Tag::builder().key(SHORT_LIVED_KEY).value(SHORT_LIVED_VALUE).build().map_err(wrong)?;
    let rule = LifecycleRule::builder()
        .id(RULE)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().tag(tag).build())
        .noncurrent_version_expiration(NoncurrentVersionExpiration::builder().noncurrent_days(1).build())
        .build()
        .map_err(wrong)?;
    let rules = BucketLifecycleConfiguration::builder().rules(rule).build().map_err(wrong)?;
    let request = client.put_bucket_lifecycle_configuration().bucket(bucket).lifecycle_configuration(rules);
    settled(|| request.clone().send(), "PutLifecycleConfiguration", bucket).await.map(drop)
}

/// Whether the bucket has that rule. Where it can't be seen, it hasn't.
pub(super) async fn expires_versions(client: &Client, bucket: &str) -> bool {
    let answer = client.get_bucket_lifecycle_configuration().bucket(bucket).send().await;
    answer.is_ok_and(|answer| {
        answer
            .rules()
            .iter()
            .any(|rule| rule.id() == Some(RULE) && *rule.status() == ExpirationStatus::Enabled)
    })
}

/// The policy that refuses whatever doesn't come over TLS.
fn tls_only(region: &str, bucket: &str) -> String {
    let partition = match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    };
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [format!("arn:{partition}:s3:::{bucket}"), format!("arn:{partition}:s3:::{bucket}/*")],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }],
    })
    .to_string()
}
