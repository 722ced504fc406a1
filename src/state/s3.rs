//! A store in an S3 bucket.
//!
//! Conditional writes are S3's own: `If-None-Match: *` and `If-Match: <ETag>`; `requests` makes of them what
//! a store does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::operation::list_object_versions::ListObjectVersionsOutput;
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, Object as ListedObject, ObjectIdentifier, TaggingDirective};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::sync::OnceCell;
use windlass_bootstrap::bucket_owner::owned_by;
use windlass_bootstrap::keys;
use zeroize::Zeroizing;

use super::bucket_encryption::{self, KmsKey};
use super::fence::{Fence, LockPass, Pass};
use super::listing::{Fingerprint, Listing};
use super::object::{Condition, Object, Version};
use super::requests::{Answer, Requests};
use super::store_error::StoreError;
use super::versions::ObjectVersion;
use super::{bucket, layout};
use crate::aws::{AwsError, Class, Clients, During};

/// How many versions one DeleteObjects takes.
const DELETE_BATCH: usize = 1000;

/// What is escaped in the name of an object that is copied (API_CopyObject, "x-amz-copy-source").
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How many pages of up to a thousand versions are read to prune what is below one prefix.
const PRUNED_PAGES: usize = 50;

/// A bucket and a prefix in it.
#[derive(Clone, Debug)]
pub struct S3Store {
    clients: Box<Clients>,
    /// Whose writes pass the fence, each attempt of the SDK's anew.
    client: Client,
    /// For locks, which are also renewed and given back when nothing else is written any more.
    lock_client: Client,
    bucket: String,
    prefix: String,
    region: String,
    owner: String,
    /// Whether the credentials may tag what they write, as far as is known.
    tags: Arc<AtomicBool>,
    /// What the bucket encrypts with, once somebody has asked.
    kms_key: Arc<OnceCell<Option<KmsKey>>>,
}

impl S3Store {
    /// Finds a bucket. Before anything of it is used it has to be [checked](Self::check).
    pub(super) async fn find(
        clients: &Clients,
        bucket: String,
        prefix: String,
        fence: &Fence,
    ) -> Result<Self, StoreError> {
        let (account, clients) = bucket::find(clients, &bucket).await?;
        let client = owned_by(&account, &clients.gated(Arc::new(Pass::all(fence))).s3);
        let lock_client = owned_by(&account, &clients.gated(Arc::new(LockPass(fence.clone()))).s3);
        let tags = Arc::new(AtomicBool::new(true));
        let region = clients.region.clone();
        Ok(Self {
            clients: Box::new(clients),
            client,
            lock_client,
            bucket,
            prefix,
            region,
            owner: account,
            tags,
            kms_key: Arc::default(),
        })
    }

    /// Fails where the bucket keeps no versions, or is open to the public.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        bucket::check(&self.client, &self.bucket).await
    }

    /// Clients of a region, with the credentials that the bucket was opened with.
    pub fn clients_in(&self, region: &str) -> Clients {
        self.clients.in_region(region)
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

    /// The account that owns the bucket.
    pub fn owner(&self) -> &str {
        &self.owner
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

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn bucket_name(&self) -> &str {
        &self.bucket
    }

    pub(super) fn key(&self, key: &str) -> String {
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

    pub(super) fn place(&self, key: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.key(key))
    }

    pub(super) fn failed(&self, act: &'static str, key: &str) -> impl FnOnce(AwsError) -> StoreError {
        let key = self.place(key);
        move |source| StoreError::Aws { act, key, source }
    }

    /// The key that the bucket encrypts with, where instances need the permission to use it. It is asked for once.
    pub async fn kms_key(&self) -> Result<Option<KmsKey>, StoreError> {
        let asked = self.kms_key.get_or_try_init(|| bucket_encryption::read(&self.client, &self.bucket));
        asked.await.cloned().map_err(self.failed("look at", ""))
    }

    pub(super) async fn written_at(&self, key: &str) -> Result<Option<Timestamp>, StoreError> {
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
        Ok(seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()))
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.listing(prefix).await?.into_iter().map(|listing| listing.key).collect())
    }

    pub(super) async fn listing(&self, prefix: &str) -> Result<Vec<Listing>, StoreError> {
        let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(self.key(prefix));
        let mut pages = request.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page
                .during("s3", "ListObjectsV2", self.place(prefix))
                .map_err(self.failed("list", prefix))?;
            found.extend(page.contents().iter().filter_map(|object| {
                let key = self.strip(object.key()?).to_owned();
                Some(Listing { key, fingerprint: fingerprint(object) })
            }));
        }
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
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

    async fn send(
        &self,
        key: &str,
        bytes: Vec<u8>,
        condition: &Condition,
        tagging: Option<&str>,
    ) -> Result<PutObjectOutput, AwsError> {
        let put = self.writer(key).put_object().bucket(&self.bucket).key(self.key(key));
        let put = match condition {
            Condition::Absent => put.if_none_match("*"),
            Condition::Unchanged(version) => put.if_match(&version.0),
        };
        let put = put.set_tagging(tagging.map(str::to_owned)).body(wiped(bytes));
        put.send().await.during("s3", "PutObject", self.place(key))
    }

    /// The versions of one object, newest first, of which S3 lists up to a thousand at once.
    pub(super) async fn versions_of(&self, key: &str) -> Result<Vec<ObjectVersion>, StoreError> {
        let full = self.key(key);
        let request = self.client.list_object_versions().bucket(&self.bucket).prefix(&full);
        let page = request.send().await;
        // The key itself sorts before all others that begin with it.
        let page = page
            .during("s3", "ListObjectVersions", self.place(key))
            .map_err(self.failed("list the versions of", key))?;
        let mut found = by_key(&page);
        Ok(found.remove(&full).map(newest_first).unwrap_or_default())
    }

    /// The versions of all objects below a prefix, by key, each newest first.
    pub(super) async fn all_versions(
        &self,
        prefix: &str,
    ) -> Result<BTreeMap<String, Vec<ObjectVersion>>, StoreError> {
        let mut found: BTreeMap<String, Vec<(bool, ObjectVersion)>> = BTreeMap::new();
        let mut next: Option<(Option<String>, Option<String>)> = Some((None, None));
        while let Some((key, version)) = next {
            let request = self.client.list_object_versions().bucket(&self.bucket).prefix(self.key(prefix));
            let page = request.set_key_marker(key).set_version_id_marker(version).send().await;
            let page = page
                .during("s3", "ListObjectVersions", self.place(prefix))
                .map_err(self.failed("list the versions of", prefix))?;
            for (key, versions) in by_key(&page) {
                found.entry(self.strip(&key).to_owned()).or_default().extend(versions);
            }
            next = page.is_truncated().unwrap_or_default().then(|| {
                (page.next_key_marker().map(str::to_owned), page.next_version_id_marker().map(str::to_owned))
            });
        }
        Ok(found.into_iter().map(|(key, versions)| (key, newest_first(versions))).collect())
    }

    pub(super) async fn get_version(&self, key: &str, id: &str) -> Result<Option<Object>, StoreError> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.key(key)).version_id(id);
        // The call is GetObject; for a version it needs a permission of its own, which is called so.
        match request.send().await.during("s3", "GetObjectVersion", self.place(key)) {
            Ok(answer) => self.object(key, answer).await.map(Some),
            // S3 answers 405 for a delete marker, 400 for what is no version's name, 404 for a version that is gone.
            Err(error) if error.is_not_found() || error.code.as_deref() == Some("MethodNotAllowed") => {
                Ok(None)
            }
            Err(error) => Err(self.failed("read", key)(error)),
        }
    }

    /// Makes an object what a version of it was, where nothing is there: S3 copies the bytes itself.
    pub(super) async fn copy_version(&self, key: &str, id: &str) -> Result<(), StoreError> {
        let source = format!("{}/{}", self.bucket, self.key(key));
        let source = utf8_percent_encode(&source, &ESCAPED);
        let copy = self.client.copy_object().bucket(&self.bucket).key(self.key(key)).if_none_match("*");
        // Tags would take a permission more.
        let copy =
            copy.copy_source(format!("{source}?versionId={id}")).tagging_directive(TaggingDirective::Replace);
        match copy.send().await.during("s3", "CopyObject", self.place(key)) {
            Ok(_) => Ok(()),
            // What is there by now is what an attempt has written whose answer was lost, or what somebody else has.
            Err(error) if error.class == Class::PreconditionFailed => Ok(()),
            Err(error) => Err(self.failed("write", key)(error)),
        }
    }

    async fn object(&self, key: &str, answer: GetObjectOutput) -> Result<Object, StoreError> {
        let version =
            version(answer.e_tag(), "GetObject", &self.place(key)).map_err(self.failed("read", key))?;
        let bytes = answer.body.collect().await.map_err(|error| {
            let mut cause = AwsError::unexpected("s3", "GetObject", self.place(key), error.to_string());
            cause.class = Class::Network;
            self.failed("read", key)(cause)
        })?;
        Ok(Object { bytes: bytes.to_vec().into(), version })
    }

    /// Deletes earlier versions of some objects, or of all below some prefixes, that are older than an age. Of very many
    /// it reads so many pages, and another part the next time. Nothing where a rule of the bucket does it. Returns how
    /// many.
    pub(super) async fn prune(&self, prefixes: &[String], age: SignedDuration) -> Result<usize, StoreError> {
        if bucket::expires_versions(&self.client, &self.bucket).await {
            return Ok(0);
        }
        let before = Timestamp::now() - age;
        let mut pruned = 0;
        for prefix in prefixes {
            pruned += self.prune_below(prefix, before).await?;
        }
        Ok(pruned)
    }

    /// Instances write thousands of versions a day: what is young enough to stay may fill all pages that are read. So
    /// they are read from a key on that the clock chooses, and then from the first one to that.
    async fn prune_below(&self, prefix: &str, before: Timestamp) -> Result<usize, StoreError> {
        let keys = if prefix.ends_with('/') { self.list(prefix).await? } else { Vec::new() };
        let chance = usize::try_from(Timestamp::now().as_second()).unwrap_or_default();
        let start = keys.get(chance % keys.len().max(1)).map(|key| self.key(key));
        let mut old = Vec::new();
        let mut marker = (start.clone(), None);
        let mut is_second_round = start.is_none();
        for _ in 0..PRUNED_PAGES {
            let request = self.client.list_object_versions().bucket(&self.bucket).prefix(self.key(prefix));
            let request = request.set_key_marker(marker.0).set_version_id_marker(marker.1);
            let page = request.send().await.during("s3", "ListObjectVersions", self.place(prefix));
            let page = page.map_err(self.failed("list the versions of", prefix))?;
            let is_read_already =
                |key: &str| is_second_round && start.as_deref().is_some_and(|start| key > start);
            old.extend(earlier(&page, before).into_iter().filter(|object| !is_read_already(object.key())));
            let key = page.next_key_marker().filter(|_| page.is_truncated().unwrap_or_default());
            marker = match key {
                // The second round ends where the first began.
                Some(key) if is_read_already(key) => break,
                Some(key) => (Some(key.to_owned()), page.next_version_id_marker().map(str::to_owned)),
                None if is_second_round => break,
                None => {
                    is_second_round = true;
                    (None, None)
                }
            };
        }
        // Where a list begins by a key alone, S3's own words leave open whether that key is in it: it may be in both rounds.
        let mut known = BTreeSet::new();
        old.retain(|object| known.insert((object.key().to_owned(), object.version_id().map(str::to_owned))));
        // Afterwards: a page begins after a version, which must be there.
        for batch in old.chunks(DELETE_BATCH) {
            self.delete_batch(prefix, batch).await?;
        }
        Ok(old.len())
    }

    /// Every version and delete marker below a prefix, in the order and the batches in which they are deleted.
    pub(super) async fn doomed(
        &self,
        prefix: &str,
        last: &[String],
    ) -> Result<Vec<Vec<ObjectIdentifier>>, StoreError> {
        let mut doomed = self.versions(prefix).await.map_err(self.failed("list", prefix))?;
        // What one DeleteObjects deletes has no order. Of what goes last, delete markers go before what they hide: one
        // that is left alone would say that somebody has lost the object.
        let turn = |(is_marker, object): &(bool, ObjectIdentifier)| {
            let place = last.iter().position(|key| self.key(key) == object.key());
            (place, place.is_some() && !is_marker)
        };
        doomed.sort_by_key(turn);
        let turns = doomed.chunk_by(|one, other| turn(one) == turn(other));
        let batches = turns.flat_map(|same_turn| same_turn.chunks(DELETE_BATCH));
        Ok(batches.map(|batch| batch.iter().map(|(_, object)| object.clone()).collect()).collect())
    }

    /// Every version and delete marker below a prefix, and whether it is a marker.
    async fn versions(&self, prefix: &str) -> Result<Vec<(bool, ObjectIdentifier)>, AwsError> {
        let mut found = Vec::new();
        let mut next: Option<(Option<String>, Option<String>)> = Some((None, None));
        // The SDK has no paginator for this one.
        while let Some((key, version)) = next {
            let request = self.client.list_object_versions().bucket(&self.bucket).prefix(self.key(prefix));
            let request = request.set_key_marker(key).set_version_id_marker(version);
            let page = request.send().await.during("s3", "ListObjectVersions", self.place(prefix))?;
            let versions = page.versions().iter().map(|version| (false, version.key(), version.version_id()));
            let markers =
                page.delete_markers().iter().map(|marker| (true, marker.key(), marker.version_id()));
            for (is_marker, key, version) in versions.chain(markers) {
                let object = ObjectIdentifier::builder().set_key(key.map(str::to_owned));
                let object = object.set_version_id(version.map(str::to_owned)).build();
                let object = object.map_err(|error| {
                    AwsError::unexpected("s3", "ListObjectVersions", self.place(prefix), error.to_string())
                })?;
                found.push((is_marker, object));
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
                    "{}: {} ({} of {} left)",
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
        self.object(key, answer).await.map(Some)
    }

    async fn try_put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        condition: &Condition,
    ) -> Result<Answer<Version>, StoreError> {
        let answer = if layout::is_short_lived(key) && self.tags.load(Ordering::Relaxed) {
            match self.send(key, bytes.clone(), condition, Some(keys::SHORT_LIVED_TAGGING)).await {
                // Without `s3:PutObjectTagging` a lock is still a lock.
                Err(error) if error.class == Class::Denied => {
                    self.tags.store(false, Ordering::Relaxed);
                    self.send(key, bytes, condition, None).await
                }
                answer => answer,
            }
        } else {
            self.send(key, bytes, condition, None).await
        };
        match answer {
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

/// The versions on a page, by key, each with whether it is the latest.
fn by_key(page: &ListObjectVersionsOutput) -> BTreeMap<String, Vec<(bool, ObjectVersion)>> {
    let versions = page.versions().iter().map(|version| {
        let size = version.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
        (version.key(), version.is_latest(), version.version_id(), version.last_modified(), Some(size))
    });
    let markers = page
        .delete_markers()
        .iter()
        .map(|marker| (marker.key(), marker.is_latest(), marker.version_id(), marker.last_modified(), None));
    let mut found: BTreeMap<String, Vec<(bool, ObjectVersion)>> = BTreeMap::new();
    for (key, latest, id, time, size) in versions.chain(markers) {
        let time = time.and_then(|time| Timestamp::from_second(time.secs()).ok());
        if let (Some(key), Some(id), Some(time)) = (key, id, time) {
            let version = ObjectVersion { id: id.to_owned(), time, size };
            found.entry(key.to_owned()).or_default().push((latest.unwrap_or_default(), version));
        }
    }
    found
}

/// Versions of one object in order. Stable: S3 lists them newest first, and times of the same second say nothing.
fn newest_first(mut found: Vec<(bool, ObjectVersion)>) -> Vec<ObjectVersion> {
    found.sort_by_key(|(latest, version)| (!*latest, std::cmp::Reverse(version.time)));
    found.into_iter().map(|(_, version)| version).collect()
}

/// What is on a page and neither the latest of its key nor younger than a time.
fn earlier(page: &ListObjectVersionsOutput, before: Timestamp) -> Vec<ObjectIdentifier> {
    let versions = page
        .versions()
        .iter()
        .map(|version| (version.key(), version.version_id(), version.is_latest(), version.last_modified()));
    let markers = page
        .delete_markers()
        .iter()
        .map(|marker| (marker.key(), marker.version_id(), marker.is_latest(), marker.last_modified()));
    let mut old = Vec::new();
    for (key, id, latest, time) in versions.chain(markers) {
        let time = time.and_then(|time| Timestamp::from_second(time.secs()).ok());
        let is_old = latest == Some(false) && time.is_some_and(|time| time <= before);
        if let (true, Some(key), Some(id)) = (is_old, key, id) {
            old.extend(ObjectIdentifier::builder().key(key).version_id(id).build().ok());
        }
    }
    old
}

/// What a list says of an object's bytes.
fn fingerprint(object: &ListedObject) -> Option<Fingerprint> {
    let size = u64::try_from(object.size()?).ok()?;
    Some(Fingerprint { size, etag: object.e_tag()?.to_owned() })
}

/// The bytes of a request, which are wiped when the last of its attempts is over.
fn wiped(bytes: Vec<u8>) -> ByteStream {
    ByteStream::from(Bytes::from_owner(Zeroizing::new(bytes)))
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
