//! What a denied call is answered with: a permission that IAM knows.

use std::path::Path;

use windlass::aws::{AwsError, Class};

/// The services' prefixes in policies.
const SERVICES: [&str; 9] =
    ["autoscaling", "ec2", "elasticloadbalancing", "iam", "kms", "route53", "s3", "ssm", "sts"];

/// Permissions of S3 (Service Authorization Reference, "Actions defined by Amazon S3"), as far as a state store needs
/// them. Those of all other services are called like their operations.
const OF_S3: [&str; 26] = [
    "CreateBucket",
    "DeleteObject",
    "DeleteObjectVersion",
    "GetBucketAcl",
    "GetBucketLocation",
    "GetBucketPolicy",
    "GetBucketPolicyStatus",
    "GetBucketPublicAccessBlock",
    "GetBucketTagging",
    "GetBucketVersioning",
    "GetEncryptionConfiguration",
    "GetLifecycleConfiguration",
    "GetObject",
    "GetObjectTagging",
    "GetObjectVersion",
    "ListAllMyBuckets",
    "ListBucket",
    "ListBucketVersions",
    "PutBucketPolicy",
    "PutBucketPublicAccessBlock",
    "PutBucketTagging",
    "PutBucketVersioning",
    "PutEncryptionConfiguration",
    "PutLifecycleConfiguration",
    "PutObject",
    "PutObjectTagging",
];

#[test]
fn every_call_that_is_denied_is_answered_with_a_permission_that_exists() {
    let calls = calls();
    assert!(calls.len() > 80, "only {} calls were found in the sources", calls.len());
    for settled in ["CreateBucket", "PutPublicAccessBlock", "PutBucketVersioning", "PutBucketEncryption"] {
        assert!(calls.contains(&("s3".to_owned(), settled.to_owned())), "{settled} is not among the calls");
    }
    for (service, operation) in calls {
        let mut error = AwsError::unexpected(service.leak(), operation.leak(), "it", "no");
        error.class = Class::Denied;
        let hint = error.hint().unwrap();
        let permission = hint.split('`').nth(1).unwrap();
        let (prefix, action) = permission.split_once(':').unwrap();
        assert!(SERVICES.contains(&prefix), "{permission}");
        assert!(prefix != "s3" || OF_S3.contains(&action), "there is no permission {permission}");
    }
}

/// The calls that the sources name, as `service` and `operation`: two texts after each other, of which the first is a
/// service's prefix; and of what S3 is asked of a new bucket, the first text after `settled(`.
fn calls() -> Vec<(String, String)> {
    let mut calls = Vec::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = std::fs::read_to_string(file).unwrap();
        let tested = text.find("#[cfg(test)]").unwrap_or(text.len());
        let settled = text[..tested].split(" settled(").skip(1).filter_map(|call| call.split('"').nth(1));
        calls.extend(settled.map(|operation| ("s3".to_owned(), operation.to_owned())));
        let words: Vec<&str> = text[..tested].split('"').collect();
        for found in words.windows(3) {
            let is_operation = found[2].starts_with(|first: char| first.is_ascii_uppercase())
                && found[2].chars().all(char::is_alphanumeric);
            if SERVICES.contains(&found[0]) && found[1].trim() == "," && is_operation {
                calls.push((found[0].to_owned(), found[2].to_owned()));
            }
        }
    }
    calls
}

fn sources(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}
