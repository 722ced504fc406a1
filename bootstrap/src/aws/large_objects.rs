//! Objects of the state that are too large for memory, from files and into files; and which objects there are.

use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use tokio::io::AsyncWriteExt as _;

use crate::aws::AwsError;
use crate::aws::state::{StateError, StateStore};
use crate::host::file::FileError;

/// How long a whole transfer may take: 1 GB at some 10 Mbit/s.
const TRANSFER: Duration = Duration::from_mins(15);

impl StateStore {
    /// Writes a file's content as an object, unless there is one already. Returns whether it was written. S3 takes at most 5 GiB
    /// in one request (API_PutObject), more than what etcd's largest database compresses to.
    pub async fn put_file_if_absent(&self, key: &str, file: &Path) -> Result<bool, StateError> {
        match self {
            Self::S3 { client, bucket, prefix } => {
                Box::pin(put_s3(client, bucket, &format!("{prefix}{key}"), file)).await
            }
            Self::Folder(_) => {
                let bytes = tokio::fs::read(file).await;
                let read = |source| StateError::File(FileError::Read { path: file.to_owned(), source });
                self.put_if_absent(key, bytes.map_err(read)?).await
            }
        }
    }

    /// Reads an object into a file, which is made anew and is its owner's alone. Fails where there is no such object.
    pub async fn get_into_file(&self, key: &str, file: &Path) -> Result<(), StateError> {
        let write = |source| StateError::File(FileError::Write { path: file.to_owned(), source });
        let mut options = tokio::fs::OpenOptions::new();
        let made = options.write(true).create(true).truncate(true).mode(0o600).open(file).await;
        let mut made = made.map_err(write)?;
        match self {
            Self::S3 { client, bucket, prefix } => {
                let mut body = Box::pin(body_of(client, bucket, &format!("{prefix}{key}"))).await?;
                while let Some(bytes) = body.next().await {
                    let failed =
                        |error| StateError::Body { key: key.to_owned(), source: Box::new(error) as Box<_> };
                    made.write_all(&bytes.map_err(failed)?).await.map_err(write)?;
                }
            }
            Self::Folder(_) => made.write_all(&self.require(key).await?).await.map_err(write)?,
        }
        made.sync_all().await.map_err(write)
    }

    /// The keys that begin so, of a thousand at most: for beginnings that few have.
    pub async fn keys(&self, beginning: &str) -> Result<Vec<String>, StateError> {
        match self {
            Self::S3 { client, bucket, prefix } => {
                let whole = format!("{prefix}{beginning}");
                let call = client.list_objects_v2().bucket(bucket).prefix(&whole).send();
                let listed = Box::pin(call).await.map_err(|error| {
                    let target = format!("s3://{bucket}/{whole}");
                    StateError::Aws(Box::new(AwsError::new("ListObjectsV2", target, error)))
                })?;
                let keys =
                    listed.contents().iter().filter_map(|object| object.key()?.strip_prefix(prefix.as_str()));
                Ok(keys.map(str::to_owned).collect())
            }
            Self::Folder(folder) => {
                let mut keys = Vec::new();
                files_below(folder, "", &mut keys);
                keys.retain(|key| key.starts_with(beginning));
                Ok(keys)
            }
        }
    }
}

/// All files of a folder, by their paths in it.
fn files_below(folder: &Path, within: &str, keys: &mut Vec<String>) {
    let Ok(entries) = std::fs::read_dir(folder.join(within)) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if within.is_empty() { name } else { format!("{within}/{name}") };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(folder, &path, keys),
            _ => keys.push(path),
        }
    }
}

async fn put_s3(client: &Client, bucket: &str, key: &str, file: &Path) -> Result<bool, StateError> {
    let body = ByteStream::from_path(file).await;
    let body = body.map_err(|error| StateError::Body { key: key.to_owned(), source: Box::new(error) })?;
    let put = client.put_object().bucket(bucket).key(key).if_none_match("*").body(body);
    // The time that the agent gives a request is for small ones.
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(TRANSFER).operation_timeout(TRANSFER);
    let settings = aws_sdk_s3::config::Builder::new().timeout_config(timeouts.build());
    let Err(error) = put.customize().config_override(settings).send().await else { return Ok(true) };
    let error = AwsError::new("PutObject", format!("s3://{bucket}/{key}"), error);
    match error.code() {
        Some("PreconditionFailed") => Ok(false),
        _ => Err(StateError::Aws(Box::new(error))),
    }
}

async fn body_of(client: &Client, bucket: &str, key: &str) -> Result<ByteStream, StateError> {
    match client.get_object().bucket(bucket).key(key).send().await {
        Ok(object) => Ok(object.body),
        Err(error) => {
            let error = Box::new(AwsError::new("GetObject", format!("s3://{bucket}/{key}"), error));
            Err(match error.code() {
                Some("NoSuchKey") => StateError::Missing(key.to_owned()),
                _ => StateError::Aws(error),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_becomes_an_object_once_and_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::Folder(folder.path().join("state"));
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::write(&one, "first").unwrap();
        assert!(store.put_file_if_absent("backups/a/2026-11/x", &one).await.unwrap());
        std::fs::write(&one, "second").unwrap();
        assert!(!store.put_file_if_absent("backups/a/2026-11/x", &one).await.unwrap());
        store.get_into_file("backups/a/2026-11/x", &two).await.unwrap();
        assert_eq!(std::fs::read_to_string(&two).unwrap(), "first");
        assert_eq!(store.keys("backups/a/2026-").await.unwrap(), ["backups/a/2026-11/x"]);
        assert!(store.keys("backups/a/2027-").await.unwrap().is_empty());
        let missing = store.get_into_file("backups/a/none", &two).await.unwrap_err();
        assert!(matches!(missing, StateError::Missing(_)), "{missing}");
    }
}
