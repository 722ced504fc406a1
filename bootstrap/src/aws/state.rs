//! The state store as an instance sees it: objects by key, and three verbs.

use std::io;
use std::path::{Path, PathBuf};

use aws_config::SdkConfig;
use aws_lc_rs::digest::{SHA256, digest};
use aws_sdk_s3::primitives::ByteStream;
use fs_err as fs;

use crate::aws::bucket_owner;
use crate::aws::{self, Access, AwsError};
use crate::contract::config::BootConfig;
use crate::contract::keys;
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};

/// What can go wrong with the state store.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store's address is neither `s3://<bucket>[/<prefix>]` nor `file://<absolute path>`.
    #[error("the state store `{0}` is neither s3://<bucket>/<prefix> nor file://<absolute path>")]
    Address(String),
    /// An object that has to be there isn't.
    #[error("the state has no {0}")]
    Missing(String),
    /// The store doesn't show the object: it isn't there, or this role may not know whether it is.
    #[error("the state does not show {key} to this instance's role")]
    Hidden {
        /// The object's key.
        key: String,
        /// What S3 answered.
        #[source]
        source: Box<AwsError>,
    },
    /// The bytes are not those that the digest names.
    #[error(
        "{key} has the SHA-256 {found} instead of {expected}: somebody has overwritten it, and \
         `windlass update cluster --yes` writes it again"
    )]
    Digest {
        /// The object's key.
        key: String,
        /// What the configuration names.
        expected: String,
        /// What was read.
        found: String,
    },
    /// S3 refused or didn't answer.
    #[error("the state store's bucket can't be used")]
    Aws(#[source] Box<AwsError>),
    /// Reading an object's body.
    #[error("{key} could not be read to its end")]
    Body {
        /// The object's key.
        key: String,
        /// The SDK's words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A `file://` store.
    #[error("the state store's folder can't be used")]
    File(#[source] FileError),
}

impl Classed for StateError {
    fn class(&self) -> Class {
        match self {
            Self::Address(_) | Self::Digest { .. } => Class::Permanent,
            Self::Aws(error) => error.class(),
            Self::Missing(_) | Self::Hidden { .. } | Self::Body { .. } | Self::File(_) => Class::Passing,
        }
    }
}

impl StateError {
    /// Whether the store didn't answer, in contrast to a store that says no: then what was read from it before may
    /// still be used.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Aws(error) => error.is_outage(),
            Self::Body { .. } | Self::File(_) => true,
            _ => false,
        }
    }
}

/// A state store.
#[derive(Clone, Debug)]
pub enum StateStore {
    /// A bucket, and a prefix that is empty or ends with a slash.
    S3 {
        /// The client, in the bucket's region.
        client: aws_sdk_s3::Client,
        /// The bucket's name.
        bucket: String,
        /// What stands before every key.
        prefix: String,
    },
    /// A folder, for trying things out and for tests.
    Folder(PathBuf),
}

impl StateStore {
    /// Opens the store of a boot configuration. Every request names the bucket's owner, where the configuration does.
    pub async fn open(boot: &BootConfig, access: &Access) -> Result<Self, StateError> {
        let address = &boot.state_store;
        if let Some(path) = address.strip_prefix("file://").filter(|path| path.starts_with('/')) {
            return Ok(Self::Folder(PathBuf::from(path)));
        }
        let bucket = parse_s3(address).ok_or_else(|| StateError::Address(address.to_owned()))?;
        Ok(Self::in_bucket(
            bucket,
            boot.state_store_owner.as_deref(),
            &aws::dual_stack_configuration(&boot.region, access).await,
        ))
    }

    /// A store in a bucket, which is named with the prefix.
    fn in_bucket((bucket, prefix): (String, String), owner: Option<&str>, sdk: &SdkConfig) -> Self {
        let client = aws_sdk_s3::Client::new(sdk);
        let client = owner.map_or_else(|| client.clone(), |owner| bucket_owner::owned_by(owner, &client));
        Self::S3 { client, bucket, prefix }
    }

    /// Reads an object; `None` where there is none.
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        match self {
            Self::S3 { client, bucket, prefix } => {
                // Boxed: the SDK's futures are large, and many are awaited side by side.
                Box::pin(get_s3(client, bucket, &format!("{prefix}{key}"))).await
            }
            Self::Folder(folder) => file::read(&folder.join(key)).map_err(StateError::File),
        }
    }

    /// Reads an object of which it must be certain whether it is there. S3 answers "denied" for one that isn't to whoever
    /// may not list the whole bucket; then listing the one key tells, which a role may be allowed by its prefix.
    pub async fn find(&self, key: &str) -> Result<Option<Vec<u8>>, StateError> {
        match (self.get(key).await, self) {
            (Err(hidden @ StateError::Hidden { .. }), Self::S3 { client, bucket, prefix }) => {
                if Box::pin(is_listed(client, bucket, &format!("{prefix}{key}"))).await? {
                    return Err(hidden);
                }
                Ok(None)
            }
            (found, _) => found,
        }
    }

    /// Reads an object that has to be there.
    pub async fn require(&self, key: &str) -> Result<Vec<u8>, StateError> {
        self.get(key).await?.ok_or_else(|| StateError::Missing(key.to_owned()))
    }

    /// Reads an object that has to be there and to have this lower-case hexadecimal SHA-256.
    pub async fn require_digest(&self, key: &str, expected: &str) -> Result<Vec<u8>, StateError> {
        let bytes = self.require(key).await?;
        let found = sha256(&bytes);
        if found != expected {
            return Err(StateError::Digest { key: key.to_owned(), expected: expected.to_owned(), found });
        }
        Ok(bytes)
    }

    /// Writes an object that belongs to this writer alone, such as an instance's own status. It is written again and
    /// again, and its tag lets earlier versions expire.
    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), StateError> {
        match self {
            Self::S3 { client, bucket, prefix } => {
                let key = format!("{prefix}{key}");
                Box::pin(put_s3(client, bucket, &key, bytes)).await
            }
            Self::Folder(folder) => {
                file::ensure(&folder.join(key), bytes, file::PRIVATE).map(drop).map_err(StateError::File)
            }
        }
    }

    /// Writes an object unless there is one already. Returns whether it was written.
    pub async fn put_if_absent(&self, key: &str, bytes: Vec<u8>) -> Result<bool, StateError> {
        match self {
            Self::S3 { client, bucket, prefix } => {
                Box::pin(put_s3_if_absent(client, bucket, &format!("{prefix}{key}"), bytes)).await
            }
            Self::Folder(folder) => put_file_if_absent(&folder.join(key), &bytes).map_err(StateError::File),
        }
    }
}

/// The lower-case hexadecimal SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    digest(&SHA256, bytes).as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn parse_s3(address: &str) -> Option<(String, String)> {
    let rest = address.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_matches('/');
    let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
    (!bucket.is_empty()).then(|| (bucket.to_owned(), prefix))
}

async fn get_s3(client: &aws_sdk_s3::Client, bucket: &str, key: &str) -> Result<Option<Vec<u8>>, StateError> {
    let object = match client.get_object().bucket(bucket).key(key).send().await {
        Ok(object) => object,
        Err(error) => {
            let error = Box::new(AwsError::new("GetObject", format!("s3://{bucket}/{key}"), error));
            return match error.code() {
                Some("NoSuchKey") => Ok(None),
                // Without the right to list the bucket, S3 answers so for an object that doesn't exist, too.
                Some("AccessDenied") => Err(StateError::Hidden { key: key.to_owned(), source: error }),
                _ => Err(StateError::Aws(error)),
            };
        }
    };
    let body = object.body.collect().await;
    let body = body.map_err(|error| StateError::Body { key: key.to_owned(), source: Box::new(error) })?;
    Ok(Some(body.into_bytes().to_vec()))
}

async fn put_s3(
    client: &aws_sdk_s3::Client,
    bucket: &str,
    key: &str,
    bytes: Vec<u8>,
) -> Result<(), StateError> {
    let put = |bytes: Vec<u8>, tagging: Option<&str>| {
        let put = client.put_object().bucket(bucket).key(key).content_type("application/json");
        put.set_tagging(tagging.map(str::to_owned)).body(ByteStream::from(bytes)).send()
    };
    let failed = |error| Box::new(AwsError::new("PutObject", format!("s3://{bucket}/{key}"), error));
    match put(bytes.clone(), Some(keys::SHORT_LIVED_TAGGING)).await.map_err(failed) {
        Ok(_) => Ok(()),
        // The roles that an older windlass made may not tag.
        Err(error) if error.code() == Some("AccessDenied") => {
            put(bytes, None).await.map(drop).map_err(|error| StateError::Aws(failed(error)))
        }
        Err(error) => Err(StateError::Aws(error)),
    }
}

/// Whether a listing by the key as the prefix has the key.
async fn is_listed(client: &aws_sdk_s3::Client, bucket: &str, key: &str) -> Result<bool, StateError> {
    let listed = client.list_objects_v2().bucket(bucket).prefix(key).max_keys(1).send().await;
    let listed = listed.map_err(|error| {
        StateError::Aws(Box::new(AwsError::new("ListObjectsV2", format!("s3://{bucket}/{key}"), error)))
    })?;
    // Of the keys that begin with it, the key itself comes first.
    Ok(listed.contents().first().is_some_and(|object| object.key() == Some(key)))
}

async fn put_s3_if_absent(
    client: &aws_sdk_s3::Client,
    bucket: &str,
    key: &str,
    bytes: Vec<u8>,
) -> Result<bool, StateError> {
    let put = client.put_object().bucket(bucket).key(key).if_none_match("*").body(ByteStream::from(bytes));
    let Err(error) = put.send().await else { return Ok(true) };
    let error = AwsError::new("PutObject", format!("s3://{bucket}/{key}"), error);
    match error.code() {
        Some("PreconditionFailed") => Ok(false),
        _ => Err(StateError::Aws(Box::new(error))),
    }
}

fn put_file_if_absent(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(failed)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    fs::write(&temporary, bytes).map_err(failed)?;
    // Unlike a rename, a link fails where there is something already.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(failed)?;
    match linked {
        Ok(()) => Ok(true),
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::Request;
    use axum::http::StatusCode;

    use super::*;

    #[test]
    fn an_address_is_a_bucket_and_a_prefix() {
        assert_eq!(parse_s3("s3://bucket"), Some(("bucket".into(), String::new())));
        assert_eq!(parse_s3("s3://bucket/a/b"), Some(("bucket".into(), "a/b/".into())));
        assert_eq!(parse_s3("s3://bucket/a/"), Some(("bucket".into(), "a/".into())));
        assert_eq!(parse_s3("s3://"), None);
        assert_eq!(parse_s3("gs://bucket"), None);
    }

    fn boot(state_store: &str, owner: Option<&str>) -> BootConfig {
        BootConfig {
            version: crate::contract::config::CONFIG_VERSION.into(),
            cluster: "demo".into(),
            instance_group: "nodes".into(),
            state_store: state_store.into(),
            region: "us-east-1".into(),
            state_store_owner: owner.map(str::to_owned),
            egress_proxy: None,
            node_config_sha256: String::new(),
        }
    }

    /// What each request named as the bucket's owner, with its method.
    type Asked = Arc<Mutex<Vec<(String, Option<String>)>>>;

    /// An S3 that denies whatever doesn't name its buckets' owner, has no object, and takes every one.
    async fn s3(owner: &'static str, asked: Asked) -> SdkConfig {
        let answer = move |request: Request| async move {
            let named = request.headers().get(bucket_owner::HEADER).map(|it| it.to_str().unwrap().to_owned());
            let refused = named.as_deref().is_some_and(|named| named != owner);
            asked.lock().unwrap().push((request.method().to_string(), named));
            match request.method().as_str() {
                _ if refused => (StatusCode::FORBIDDEN, "<Error><Code>AccessDenied</Code></Error>"),
                "PUT" => (StatusCode::OK, ""),
                _ if request.uri().query().is_some_and(|query| query.contains("list-type")) => {
                    (StatusCode::OK, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
                }
                _ => (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>"),
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await.unwrap() });
        let credentials = aws_sdk_s3::config::Credentials::new("key", "secret", None, None, "test");
        let credentials = aws_sdk_s3::config::SharedCredentialsProvider::new(credentials);
        let sdk = aws::configuration("us-east-1", &Access::default()).await.into_builder();
        sdk.endpoint_url(url).credentials_provider(credentials).build()
    }

    #[tokio::test]
    async fn every_request_names_the_account_that_must_own_the_bucket_and_none_where_it_is_not_known() {
        let asked = Asked::default();
        let sdk = s3("123456789012", asked.clone()).await;
        for owner in [Some("123456789012"), None] {
            let store = StateStore::in_bucket(("bucket".into(), String::new()), owner, &sdk);
            assert_eq!(store.get("a").await.unwrap(), None);
            store.put("a", b"one".to_vec()).await.unwrap();
            assert!(store.put_if_absent("b", b"one".to_vec()).await.unwrap());
            let StateStore::S3 { client, .. } = &store else { panic!("not S3") };
            assert!(!is_listed(client, "bucket", "a").await.unwrap());
            let asked = std::mem::take(&mut *asked.lock().unwrap());
            let methods: Vec<&str> = asked.iter().map(|(method, _)| method.as_str()).collect();
            assert_eq!(methods, ["GET", "PUT", "PUT", "GET"]);
            assert!(asked.iter().all(|(_, named)| named.as_deref() == owner), "{asked:?}");
        }
        // Somebody else has taken the bucket's name.
        let store = StateStore::in_bucket(("bucket".into(), String::new()), Some("210987654321"), &sdk);
        assert!(matches!(store.get("a").await.unwrap_err(), StateError::Hidden { .. }));
        assert!(matches!(store.put("a", b"one".to_vec()).await.unwrap_err(), StateError::Aws(_)));
    }

    #[tokio::test]
    async fn only_the_first_writer_writes() {
        let folder = tempfile::tempdir().unwrap();
        let boot = boot(&format!("file://{}", folder.path().display()), None);
        let store = StateStore::open(&boot, &Access::default()).await.unwrap();
        assert!(store.put_if_absent("a/b", b"one".to_vec()).await.unwrap());
        assert!(!store.put_if_absent("a/b", b"two".to_vec()).await.unwrap());
        assert_eq!(store.require("a/b").await.unwrap(), b"one");
        store.put("a/b", b"three".to_vec()).await.unwrap();
        assert_eq!(store.require("a/b").await.unwrap(), b"three");
    }

    #[tokio::test]
    async fn other_bytes_than_the_configuration_names_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::Folder(folder.path().to_owned());
        store.put("x", b"abc".to_vec()).await.unwrap();
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(store.require_digest("x", right).await.unwrap(), b"abc");
        let error = store.require_digest("x", &right.replace('a', "0")).await.unwrap_err();
        assert_eq!(error.class(), Class::Permanent);
        let told = error.to_string();
        assert!(
            told.starts_with("x has the SHA-256") && told.contains("`windlass update cluster --yes`"),
            "{told}"
        );
        assert!(matches!(store.require("y").await.unwrap_err(), StateError::Missing(key) if key == "y"));
    }

    #[tokio::test]
    async fn a_store_of_another_kind_is_refused() {
        let error = StateStore::open(&boot("gs://bucket", None), &Access::default()).await.unwrap_err();
        assert!(matches!(error, StateError::Address(_)));
    }
}
