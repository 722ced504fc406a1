//! EC2 user data: what an instance knows before it knows anything.

use windlass_bootstrap::config::{BootConfig, CONFIG_VERSION};
use windlass_bootstrap::user_data;

use super::egress_proxy::egress_proxy;
use crate::spec::cluster::{Cluster, InstanceGroup, UserDataPart};

/// Where a cluster's state is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateLocation {
    /// `s3://<bucket>` or `s3://<bucket>/<prefix>`, without a trailing slash.
    pub url: String,
    /// The bucket's region.
    pub region: String,
    /// The account that owns the bucket.
    pub owner: String,
    /// The ARN of the KMS key that the bucket encrypts with, where instances need the permission to use it.
    pub kms_key: Option<String>,
}

impl StateLocation {
    /// The bucket and the prefix, which is empty or ends in a slash; nothing where instances can't read the store.
    pub fn bucket_and_prefix(&self) -> Option<(&str, String)> {
        let rest = self.url.strip_prefix("s3://")?;
        Some(match rest.split_once('/') {
            Some((bucket, prefix)) => (bucket, format!("{}/", prefix.trim_end_matches('/'))),
            None => (rest, String::new()),
        })
    }
}

/// The user data of a group's instances: JSON, on lines, so that a plan shows what changes in it; beside it whatever the
/// specification has for cloud-init.
pub fn user_data(
    cluster: &Cluster,
    group: &InstanceGroup,
    state: &StateLocation,
    node_config_sha256: &str,
) -> String {
    let boot = BootConfig {
        version: CONFIG_VERSION.to_owned(),
        cluster: cluster.name.clone(),
        instance_group: group.name.clone(),
        state_store: state.url.clone(),
        region: state.region.clone(),
        state_store_owner: Some(state.owner.clone()),
        egress_proxy: egress_proxy(cluster),
        node_config_sha256: node_config_sha256.to_owned(),
    };
    // A struct of strings always becomes JSON.
    let boot = serde_json::to_string_pretty(&boot).unwrap_or_default();
    let others: Vec<_> = group.user_data.iter().map(UserDataPart::as_part).collect();
    user_data::write(&boot, &others)
}
