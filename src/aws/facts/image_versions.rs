//! Which versions machine images hold.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::Filter;

use super::{etcd_version, kubernetes_version};
use crate::aws::{AwsError, Clients, During};
use crate::spec::versions::Version;

/// What an image holds, as far as it says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageVersions {
    /// Its Kubernetes.
    pub kubernetes: Option<Version>,
    /// Its etcd.
    pub etcd: Option<Version>,
}

/// What images hold, by their ids. Those that are there no more are left out: instances live longer than their images.
///
/// # Errors
///
/// Fails with what EC2 said.
pub async fn image_versions(
    clients: &Clients,
    account: &str,
    images: &BTreeSet<String>,
) -> Result<BTreeMap<String, ImageVersions>, AwsError> {
    if images.is_empty() {
        return Ok(BTreeMap::new());
    }
    // A filter, because EC2 answers a call that names an image which is gone with an error for all of them.
    let these = Filter::builder().name("image-id").set_values(Some(images.iter().cloned().collect()));
    let call = clients.ec2.describe_images().include_deprecated(true).filters(these.build());
    let found = call.into_paginator().items().send().try_collect().await;
    let found = found.during("ec2", "DescribeImages", "the images of masters")?;
    let read = |text: Option<String>| text.as_deref().and_then(Version::parse);
    let versions = found.iter().map(|image| {
        let kubernetes = read(kubernetes_version(image, account));
        let versions = ImageVersions { kubernetes, etcd: read(etcd_version(image, account)) };
        (image.image_id().unwrap_or_default().to_owned(), versions)
    });
    Ok(versions.collect())
}
