//! Conditional writes, made of an object store's single requests.
//!
//! S3 answers 412 when a condition doesn't hold, and 409 when another write of the same key is under way, which says
//! nothing and is tried again (S3 User Guide, "Conditional writes").

use std::future::Future;

use zeroize::Zeroizing;

use super::object::{Condition, Object, Version};

use super::store_error::StoreError;

/// How often a write is tried while another of the same key is under way.
const CONFLICTS: u32 = 8;

/// What came of one conditional request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    /// It was done.
    Done(T),
    /// 409: another one of the same key is under way.
    Busy,
    /// 412: the condition doesn't hold; or 404, as what it names is gone.
    Refused,
}

/// What an object store is asked. Whatever carries a request may send it more than once.
pub(super) trait Requests: Send + Sync {
    /// Reads an object.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Object>, StoreError>> + Send;

    /// Writes an object under a condition.
    fn try_put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        condition: &Condition,
    ) -> impl Future<Output = Result<Answer<Version>, StoreError>> + Send;

    /// Deletes an object of this version.
    fn try_delete(
        &self,
        key: &str,
        version: &Version,
    ) -> impl Future<Output = Result<Answer<()>, StoreError>> + Send;

    /// Waits before a request is made again, for the so-manieth time.
    fn pause(&self, conflicts: u32) -> impl Future<Output = ()> + Send;
}

/// Writes an object if what is there is what the writer believes. After a refusal it looks: the request may have been
/// sent twice, and the first may have written before its reply was lost.
pub(super) async fn put(
    store: &impl Requests,
    key: &str,
    bytes: Vec<u8>,
    condition: &Condition,
) -> Result<Version, StoreError> {
    let bytes = Zeroizing::new(bytes);
    for conflicts in 1..=CONFLICTS {
        match store.try_put(key, bytes.to_vec(), condition).await? {
            Answer::Done(version) => return Ok(version),
            Answer::Busy => store.pause(conflicts).await,
            Answer::Refused => break,
        }
    }
    match store.get(key).await? {
        Some(found) if found.bytes == *bytes => Ok(found.version),
        _ => Err(StoreError::Changed { key: key.to_owned() }),
    }
}

/// Deletes an object if it is what the caller read. One that is gone is fine, whoever deleted it.
pub(super) async fn delete(store: &impl Requests, key: &str, version: &Version) -> Result<(), StoreError> {
    for conflicts in 1..=CONFLICTS {
        match store.try_delete(key, version).await? {
            Answer::Done(()) => return Ok(()),
            Answer::Busy => store.pause(conflicts).await,
            Answer::Refused => break,
        }
    }
    match store.get(key).await? {
        None => Ok(()),
        Some(_) => Err(StoreError::Changed { key: key.to_owned() }),
    }
}
