//! A store in an S3 bucket.
//!
//! Conditional writes are S3's own: `If-None-Match: *` and `If-Match: <ETag>`; `requests` makes of them what
//! a store does.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::head_bucket::HeadBucketError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLocationConstraint, BucketVersioningStatus, CreateBucketConfiguration, Delete, ObjectIdentifier,
    PublicAccessBlockConfiguration, VersioningConfiguration,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use serde_json::json;
use thiserror::Error;

use super::bucket_encryption::{self, KmsKey};
use super::fence::{Fence, Pass};
use super::layout;
use super::requests::{Answer, Requests};
use super::store::{Condition, Object, StoreError, Version};
use crate::aws::retry::Patience;
use crate::aws::{AwsError, Class, Clients, During};

/// How many versions one DeleteObjects takes.
const DELETE_BATCH: usize = 1000;

/// A bucket and a prefix in it.
#[derive(Clone, Debug)]
pub struct S3Store {
    /// Whose writes pass the fence, each attempt of the SDK's anew.
    client: Client,
    /// For locks, which are also given back when nothing else is written any more.
    lock_client: Client,
    bucket: String,
    prefix: String,
    region: String,
}

/// A bucket that can't hold a state.
#[derive(Debug, Error)]
pub enum BucketError {
    /// There is none.
    #[error("there is no bucket `{bucket}`")]
    Missing {
        /// Its name.
        bucket: String,
    },
    /// It would forget what is written over.
    #[error("the bucket `{bucket}` does not keep versions of its objects")]
    Unversioned {
        /// Its name.
        bucket: String,
    },
    /// Its name is taken by another account.
    #[error("the bucket `{bucket}` belongs to somebody else")]
    Foreign {
        /// Its name.
        bucket: String,
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
        })
    }
}

impl S3Store {
    pub(super) async fn open(
        clients: &Clients,
        bucket: String,
        prefix: String,
        fence: &Fence,
    ) -> Result<Self, StoreError> {
        let region = match region_of(clients, &bucket).await {
            Ok(Some(region)) => region,
            Ok(None) => return Err(BucketError::Missing { bucket }.into()),
            Err(source) => {
                return Err(StoreError::Aws { act: "open", key: format!("s3://{bucket}"), source });
            }
        };
        let clients = clients.in_region(&region);
        let client = clients.gated(Arc::new(Pass::all(fence))).s3;
        let store = Self { client, lock_client: clients.s3, bucket, prefix, region };
        if store.is_versioned().await? {
            return Ok(store);
        }
        Err(BucketError::Unversioned { bucket: store.bucket }.into())
    }

    /// The bucket's name.
    pub fn name(&self) -> &str {
        &self.bucket
    }

    /// What every key starts with, without a trailing slash; empty when the store is the whole bucket.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The bucket's region.
    pub fn region(&self) -> &str {
        &self.region
    }

    pub(super) fn url(&self) -> String {
        match self.prefix.as_str() {
            "" => format!("s3://{}", self.bucket),
            prefix => format!("s3://{}/{prefix}", self.bucket),
        }
    }

    /// The client that writes a key.
    fn writer(&self, key: &str) -> &Client {
        if layout::is_lock(key) { &self.lock_client } else { &self.client }
    }

    fn key(&self, key: &str) -> String {
        match self.prefix.as_str() {
            "" => key.to_owned(),
            prefix => format!("{prefix}/{key}"),
        }
    }

    /// A key of the bucket as a key of the store.
    fn strip<'a>(&self, key: &'a str) -> &'a str {
        match self.prefix.as_str() {
            "" => key,
            prefix => key.strip_prefix(prefix).and_then(|key| key.strip_prefix('/')).unwrap_or(key),
        }
    }

    fn place(&self, key: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.key(key))
    }

    fn failed(&self, act: &'static str, key: &str) -> impl FnOnce(AwsError) -> StoreError {
        let key = self.place(key);
        move |source| StoreError::Aws { act, key, source }
    }

    /// The key that the bucket encrypts with, where instances need the permission to use it.
    pub async fn kms_key(&self) -> Result<Option<KmsKey>, StoreError> {
        bucket_encryption::read(&self.client, &self.bucket).await.map_err(self.failed("look at", ""))
    }

    async fn is_versioned(&self) -> Result<bool, StoreError> {
        let answer = self.client.get_bucket_versioning().bucket(&self.bucket).send().await;
        let answer =
            answer.during("s3", "GetBucketVersioning", &self.bucket).map_err(self.failed("look at", ""))?;
        Ok(answer.status() == Some(&BucketVersioningStatus::Enabled))
    }

    pub(super) async fn written_at(&self, key: &str) -> Result<Option<jiff::Timestamp>, StoreError> {
        let answer = self.client.head_object().bucket(&self.bucket).key(self.key(key)).send().await;
        let answer = match answer.during("s3", "HeadObject", self.place(key)) {
            Ok(answer) => answer,
            // An answer to HEAD has no body, so S3's usual code isn't in it.
            Err(error) if is_missing_key(&error) || error.code.as_deref() == Some("NotFound") => {
                return Ok(None);
            }
            Err(error) => return Err(self.failed("look at", key)(error)),
        };
        let seconds = answer.last_modified().map(aws_smithy_types::DateTime::secs);
        Ok(seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok()))
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.key(prefix));
        let mut pages = request.into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page
                .during("s3", "ListObjectsV2", self.place(prefix))
                .map_err(self.failed("list", prefix))?;
            keys.extend(
                page.contents()
                    .iter()
                    .filter_map(|object| object.key())
                    .map(|key| self.strip(key).to_owned()),
            );
        }
        keys.sort();
        Ok(keys)
    }

    pub(super) async fn children(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let below = self.key(prefix);
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&below).delimiter("/");
        let mut pages = request.into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page
                .during("s3", "ListObjectsV2", self.place(prefix))
                .map_err(self.failed("list", prefix))?;
            let folders = page.common_prefixes().iter().filter_map(|folder| folder.prefix());
            let objects = page.contents().iter().filter_map(|object| object.key());
            names.extend(
                folders.chain(objects).filter_map(|name| name.strip_prefix(&below)).map(str::to_owned),
            );
        }
        names.sort();
        Ok(names)
    }

    /// Every version and delete marker below a prefix, in the order and the batches in which they are deleted.
    pub(super) async fn doomed(
        &self,
        prefix: &str,
        last: &[String],
    ) -> Result<Vec<Vec<ObjectIdentifier>>, StoreError> {
        let mut doomed = self.versions(prefix).await.map_err(self.failed("list", prefix))?;
        // What one DeleteObjects deletes has no order.
        let turn = |object: &ObjectIdentifier| last.iter().position(|key| self.key(key) == object.key());
        doomed.sort_by_key(turn);
        let turns = doomed.chunk_by(|one, other| turn(one) == turn(other));
        Ok(turns.flat_map(|same_turn| same_turn.chunks(DELETE_BATCH)).map(<[_]>::to_vec).collect())
    }

    /// Every version and delete marker below a prefix.
    async fn versions(&self, prefix: &str) -> Result<Vec<ObjectIdentifier>, AwsError> {
        let mut found = Vec::new();
        let mut next: Option<(Option<String>, Option<String>)> = Some((None, None));
        // The SDK has no paginator for this one.
        while let Some((key, version)) = next {
            let request = self.client.list_object_versions().bucket(&self.bucket).prefix(self.key(prefix));
            let request = request.set_key_marker(key).set_version_id_marker(version);
            let page = request.send().await.during("s3", "ListObjectVersions", self.place(prefix))?;
            let versions = page.versions().iter().map(|version| (version.key(), version.version_id()));
            let markers = page.delete_markers().iter().map(|marker| (marker.key(), marker.version_id()));
            for (key, version) in versions.chain(markers) {
                let object = ObjectIdentifier::builder().set_key(key.map(str::to_owned));
                let object = object.set_version_id(version.map(str::to_owned)).build();
                found.push(object.map_err(|error| {
                    AwsError::unexpected("s3", "ListObjectVersions", self.place(prefix), error.to_string())
                })?);
            }
            next = page.is_truncated().unwrap_or_default().then(|| {
                (page.next_key_marker().map(str::to_owned), page.next_version_id_marker().map(str::to_owned))
            });
        }
        Ok(found)
    }

    /// DeleteObjects answers 200 also when it could not delete some, which it then lists.
    pub(super) async fn delete_batch(
        &self,
        prefix: &str,
        batch: &[ObjectIdentifier],
    ) -> Result<(), StoreError> {
        let delete = Delete::builder().set_objects(Some(batch.to_vec())).quiet(true).build();
        let delete = delete.map_err(|error| self.unexpected("DeleteObjects", prefix, &error.to_string()))?;
        let answer = self.client.delete_objects().bucket(&self.bucket).delete(delete).send().await;
        let answer = answer
            .during("s3", "DeleteObjects", self.place(prefix))
            .map_err(self.failed("delete", prefix))?;
        match answer.errors().first() {
            None => Ok(()),
            Some(error) => {
                let message = format!(
                    "{}: {} ({} of {} are left)",
                    error.key().unwrap_or_default(),
                    error.message().or(error.code()).unwrap_or("no reason given"),
                    answer.errors().len(),
                    batch.len()
                );
                Err(self.unexpected("DeleteObjects", prefix, &message))
            }
        }
    }

    fn unexpected(&self, operation: &'static str, key: &str, message: &str) -> StoreError {
        self.failed("delete", key)(AwsError::unexpected("s3", operation, self.place(key), message))
    }
}

impl Requests for S3Store {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let answer = self.client.get_object().bucket(&self.bucket).key(self.key(key)).send().await;
        let answer = match answer.during("s3", "GetObject", self.place(key)) {
            Ok(answer) => answer,
            Err(error) if is_missing_key(&error) => return Ok(None),
            Err(error) => return Err(self.failed("read", key)(error)),
        };
        let version =
            version(answer.e_tag(), "GetObject", &self.place(key)).map_err(self.failed("read", key))?;
        let bytes = answer.body.collect().await.map_err(|error| {
            let mut cause = AwsError::unexpected("s3", "GetObject", self.place(key), error.to_string());
            cause.class = Class::Network;
            self.failed("read", key)(cause)
        })?;
        Ok(Some(Object { bytes: bytes.to_vec(), version }))
    }

    async fn try_put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        condition: &Condition,
    ) -> Result<Answer<Version>, StoreError> {
        let put = self.writer(key).put_object().bucket(&self.bucket).key(self.key(key));
        let put = match condition {
            Condition::Absent => put.if_none_match("*"),
            Condition::Unchanged(version) => put.if_match(&version.0),
        };
        let answer = put.body(ByteStream::from(bytes)).send().await;
        match answer.during("s3", "PutObject", self.place(key)) {
            Ok(answer) => version(answer.e_tag(), "PutObject", &self.place(key))
                .map(Answer::Done)
                .map_err(self.failed("write", key)),
            Err(error) => refusal(&error).ok_or_else(|| self.failed("write", key)(error)),
        }
    }

    async fn try_delete(&self, key: &str, version: &Version) -> Result<Answer<()>, StoreError> {
        let delete = self.writer(key).delete_object().bucket(&self.bucket).key(self.key(key));
        let delete = delete.if_match(&version.0);
        match delete.send().await.during("s3", "DeleteObject", self.place(key)) {
            Ok(_) => Ok(Answer::Done(())),
            Err(error) => refusal(&error).ok_or_else(|| self.failed("delete", key)(error)),
        }
    }

    async fn pause(&self, conflicts: u32) {
        tokio::time::sleep(Duration::from_millis(50) * conflicts).await;
    }
}

/// What an error says about a condition. S3 answers 404 to If-Match on a key that is gone.
fn refusal<T>(error: &AwsError) -> Option<Answer<T>> {
    match error.class {
        Class::Conflict => Some(Answer::Busy),
        Class::PreconditionFailed => Some(Answer::Refused),
        _ => is_missing_key(error).then_some(Answer::Refused),
    }
}

/// A missing bucket is no missing key.
fn is_missing_key(error: &AwsError) -> bool {
    error.is_not_found() && error.code.as_deref() != Some("NoSuchBucket")
}

fn version(etag: Option<&str>, operation: &'static str, place: &str) -> Result<Version, AwsError> {
    let etag = etag.ok_or_else(|| AwsError::unexpected("s3", operation, place, "the answer has no ETag"))?;
    Ok(Version(etag.to_owned()))
}

/// The region of a bucket, or `None` when there is no such bucket. HeadBucket names the region in a header of every
/// answer, refusals and redirections included.
async fn region_of(clients: &Clients, bucket: &str) -> Result<Option<String>, AwsError> {
    match clients.s3.head_bucket().bucket(bucket).send().await {
        Ok(answer) => Ok(Some(answer.bucket_region().unwrap_or(&clients.region).to_owned())),
        Err(error) => {
            if let Some(region) = region_in(&error) {
                return Ok(Some(region));
            }
            let error = AwsError::new("s3", "HeadBucket", bucket, &error);
            if error.is_not_found() { Ok(None) } else { Err(error) }
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
/// there already, and ours, is brought to the same. Returns whether it was made.
pub async fn create_bucket(
    clients: &Clients,
    bucket: &str,
    key: Option<&KmsKey>,
) -> Result<bool, StoreError> {
    let failed = |source| StoreError::Aws { act: "create", key: format!("s3://{bucket}"), source };
    let created = match region_of(clients, bucket).await.map_err(failed)? {
        Some(_) => false,
        None => create(clients, bucket).await?,
    };
    let region = region_of(clients, bucket).await.map_err(failed)?.unwrap_or_else(|| clients.region.clone());
    let clients = clients.in_region(&region);
    secure(&clients, bucket).await.map_err(failed)?;
    // A bucket that was there keeps the encryption that it has, unless another is asked for.
    if created || key.is_some() {
        bucket_encryption::write(&clients.s3, bucket, key).await.map_err(failed)?;
    }
    Ok(created)
}

async fn create(clients: &Clients, bucket: &str) -> Result<bool, StoreError> {
    let request = clients.s3.create_bucket().bucket(bucket);
    // S3 wants the region named everywhere but in us-east-1, where it must not be.
    let request = match clients.region.as_str() {
        "us-east-1" => request,
        region => {
            let location = BucketLocationConstraint::from(region);
            let place = CreateBucketConfiguration::builder().location_constraint(location).build();
            request.create_bucket_configuration(place)
        }
    };
    match settled(|| request.clone().send(), "CreateBucket", bucket).await {
        Ok(_) => Ok(true),
        Err(error) if error.code.as_deref() == Some("BucketAlreadyOwnedByYou") => Ok(false),
        Err(error) if error.code.as_deref() == Some("BucketAlreadyExists") => {
            Err(BucketError::Foreign { bucket: bucket.to_owned() }.into())
        }
        Err(source) => Err(StoreError::Aws { act: "create", key: format!("s3://{bucket}"), source }),
    }
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

async fn secure(clients: &Clients, bucket: &str) -> Result<(), AwsError> {
    let s3 = &clients.s3;
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
