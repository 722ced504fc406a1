//! What a store tells of an object where it only lists it.

use std::fmt::Write as _;

use md5::{Digest, Md5};

/// An object as a listing tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The object's path below the store's address.
    pub key: String,
    /// What tells its bytes from others; absent where the store lists only names.
    pub fingerprint: Option<Fingerprint>,
}

/// What a bucket's list says of an object's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// How many they are.
    pub size: u64,
    /// S3's ETag, in its quotation marks.
    pub etag: String,
}

impl Fingerprint {
    /// Whether the object certainly holds these bytes. An ETag is their MD5 where S3 encrypts with its own keys, or not at
    /// all; with SSE-KMS, for what was uploaded in parts, and in other stores it may be anything (S3 API Reference,
    /// "Object"): then only reading the object tells.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        let md5 = Md5::digest(bytes).iter().fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        self.size == bytes.len() as u64 && self.etag.trim_matches('"').eq_ignore_ascii_case(&md5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_that_is_the_md5_of_the_bytes_tells_what_is_in_an_object_and_no_other_does() {
        let fingerprint = |size, etag: &str| Fingerprint { size, etag: etag.to_owned() };
        // RFC 1321, A.5.
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        assert!(fingerprint(3, &format!("\"{md5}\"")).is_of(b"abc"));
        assert!(!fingerprint(4, &format!("\"{md5}\"")).is_of(b"abc"));
        assert!(!fingerprint(3, &format!("\"{md5}\"")).is_of(b"abd"));
        assert!(!fingerprint(3, &format!("\"{md5}-1\"")).is_of(b"abc"), "uploaded in parts");
    }
}
