//! The credentials for image registries, which the state holds in the form of docker's `config.json`.

/// What the state holds where there are none. Something always stands there, because nodes may not list the bucket, and
/// S3 doesn't tell them an object that isn't there from one that they may not read.
pub const NONE: &str = r#"{"auths": {}}"#;
