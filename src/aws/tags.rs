//! The tags that windlass puts on what it makes, and how it finds its own again.
//!
//! Three tags name the cluster. `KubernetesCluster` and `kubernetes.io/cluster/<cluster>` are the field's: others
//! (load balancer controllers, volume provisioners) put them on what they make, and the agent looks by them.
//! [`MANAGED`] is windlass's alone: what carries it was made from the specification and may be changed or deleted
//! when the specification says so.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use windlass_bootstrap::tags as shared;

/// The tags of one resource.
pub type Tags = BTreeMap<String, String>;

/// `windlass.dev/cluster=<cluster>`: on what windlass makes from a specification, and on nothing else.
pub const MANAGED: &str = "windlass.dev/cluster";

/// `windlass.dev/cloud-labels=<key> <key>…`: which of a resource's tags came from `cloudLabels`, so that a label that
/// is removed from the specification is removed from AWS, and a tag that somebody else put there stays.
pub const CLOUD_LABELS: &str = "windlass.dev/cloud-labels";

/// On the API's Elastic IP: the id of the hosted zone that has a name for it. Record sets have no tags, so that this is
/// how they are found again, whatever the specification says by then.
pub const HOSTED_ZONE: &str = "windlass.dev/hosted-zone";

/// On the API's Elastic IP: the name that the hosted zone has for it.
pub const API_NAME: &str = "windlass.dev/api-name";

/// On images: the Kubernetes version an image holds, without a leading `v`.
pub const IMAGE_KUBERNETES_VERSION: &str = "windlass.dev/kubernetes-version";

/// On images: `amd64` or `arm64`.
pub const IMAGE_ARCHITECTURE: &str = "windlass.dev/architecture";

/// EC2's limit for a tag's value, in characters.
pub const VALUE_LIMIT: usize = 256;

/// The tags that windlass answers for, of all that a resource carries: its own, the field's, and the cloud labels.
/// What AWS, the agent or somebody else added is not ours to compare or remove.
pub fn managed(all: Tags) -> Tags {
    let labels: Vec<String> =
        all.get(CLOUD_LABELS).map(|keys| keys.split(' ').map(str::to_owned).collect()).unwrap_or_default();
    all.into_iter().filter(|(key, _)| is_windlass_key(key) || labels.contains(key)).collect()
}

fn is_windlass_key(key: &str) -> bool {
    let families = [
        "windlass.dev/",
        "kubernetes.io/cluster/",
        "kubernetes.io/role/",
        "k8s.io/role/",
        "k8s.io/cluster-autoscaler/",
    ];
    key == "Name"
        || key == shared::CLUSTER
        || (key != shared::FORMATTED && families.iter().any(|f| key.starts_with(f)))
}

/// EC2's filter for what windlass made for a cluster.
pub fn of_cluster(cluster: &str) -> Filter {
    filter(&format!("tag:{MANAGED}"), cluster)
}

/// An EC2 filter with one value.
pub fn filter(name: &str, value: &str) -> Filter {
    Filter::builder().name(name).values(value).build()
}

/// Tags in EC2's form.
pub fn to_ec2(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Tags for a creation call.
pub fn specification(kind: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(to_ec2(tags))).build()
}

/// The managed tags out of EC2's form.
pub fn from_ec2(tags: &[Tag]) -> Tags {
    managed(
        tags.iter()
            .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
            .collect(),
    )
}

/// What to set and which keys to remove for `from` to become `to`.
pub fn difference(from: &Tags, to: &Tags) -> (Tags, Vec<String>) {
    let set = to.iter().filter(|(key, value)| from.get(*key) != Some(value));
    let gone = from.keys().filter(|key| !to.contains_key(*key)).cloned().collect();
    (set.map(|(key, value)| (key.clone(), value.clone())).collect(), gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_tag_is_not_ours_and_a_cloud_label_is() {
        let all: Tags = [
            ("Name", "a"),
            ("team", "storage"),
            ("owner", "somebody"),
            ("aws:autoscaling:groupName", "g"),
            (shared::FORMATTED, "c"),
            (CLOUD_LABELS, "team"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let keys: Vec<String> = managed(all).into_keys().collect();
        assert_eq!(keys, ["Name", "team", CLOUD_LABELS]);
    }
}
