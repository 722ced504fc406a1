//! What a state store's address says.

use super::object::is_key;
use super::store_error::StoreError;

/// Where a state store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `s3://<bucket>[/<prefix>]`.
    S3 {
        /// The bucket.
        bucket: String,
        /// Without slashes at its ends; empty when there is none.
        prefix: String,
    },
    /// `file://<absolute path>`.
    File(std::path::PathBuf),
}

impl Address {
    /// Parses `s3://…` or `file://…`.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let wrong = |reason| StoreError::Url { url: url.to_owned(), reason };
        if let Some(rest) = url.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if !is_bucket_name(bucket) {
                return Err(wrong("a bucket's name has 3 to 63 of the characters a-z, 0-9, `-` and `.`"));
            }
            let prefix = prefix.trim_end_matches('/');
            if !prefix.is_empty() && !is_key(prefix) {
                return Err(wrong("the prefix has an empty part, `.` or `..` in it"));
            }
            return Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        }
        if let Some(path) = url.strip_prefix("file://") {
            if !path.starts_with('/') {
                return Err(wrong("the path must be absolute, with three slashes"));
            }
            return Ok(Self::File(path.into()));
        }
        Err(wrong("it starts neither with s3:// nor with file://"))
    }
}

fn is_bucket_name(name: &str) -> bool {
    (3..=63).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_bucket_with_or_without_a_prefix_or_a_folder() {
        let bucket =
            |bucket: &str, prefix: &str| Address::S3 { bucket: bucket.into(), prefix: prefix.into() };
        assert_eq!(Address::parse("s3://clusters").unwrap(), bucket("clusters", ""));
        assert_eq!(Address::parse("s3://clusters/").unwrap(), bucket("clusters", ""));
        assert_eq!(Address::parse("s3://clusters/team/a/").unwrap(), bucket("clusters", "team/a"));
        assert_eq!(Address::parse("file:///tmp/x").unwrap(), Address::File("/tmp/x".into()));
    }

    #[test]
    fn a_wrong_address_says_what_is_wrong_with_it() {
        for (url, reason) in [
            ("clusters", "neither with s3://"),
            ("s3://My_Bucket", "a bucket's name"),
            ("s3://", "a bucket's name"),
            ("s3://clusters/../x", "empty part"),
            ("s3://clusters/a//b", "empty part"),
            ("file://x", "absolute"),
            ("gs://clusters", "neither with s3://"),
        ] {
            let error = Address::parse(url).unwrap_err().to_string();
            assert!(error.contains(reason), "{url}: {error}");
        }
    }
}
