//! The tags that windlass puts on what it makes, and how it finds its own again.
//!
//! Three tags name the cluster. `KubernetesCluster` and `kubernetes.io/cluster/<cluster>` are the field's: others
//! (load balancer controllers, volume provisioners) put them on what they make, and the agent looks by them.
//! [`MANAGED`] is windlass's alone: what carries it was made from the specification and may be changed or deleted
//! when the specification says so. Names are not unique (the same one may be in use in another region, or in another
//! state store), so [`UID`] says of which cluster of that name a resource is; [`Owner`] decides. [`NAME`] says which of
//! the cluster's resources it is; the `Name` that consoles show is for people, who may edit it.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use windlass_bootstrap::node_labels;
use windlass_bootstrap::tags as shared;

/// The tags of one resource.
pub type Tags = BTreeMap<String, String>;

/// `windlass.dev/cluster=<cluster>`: on what windlass makes from a specification, and on nothing else.
pub const MANAGED: &str = "windlass.dev/cluster";

/// `windlass.dev/cluster-uid=<uid>`: on what carries [`MANAGED`], and says which cluster of that name is meant.
pub const UID: &str = "windlass.dev/cluster-uid";

/// `windlass.dev/name=<name>`: the resource's name within its cluster and kind.
pub const NAME: &str = "windlass.dev/name";

/// `windlass.dev/cloud-labels=<key> <key>…`: which of a resource's tags came from `cloudLabels`, so that a label that
/// is removed from the specification is removed from AWS, and a tag that somebody else put there stays.
pub const CLOUD_LABELS: &str = "windlass.dev/cloud-labels";

/// On what names lead to (Elastic IPs of masters, load balancers): the id of the hosted zone that has them. Record sets have no tags, so that this is
/// how they are found again, whatever the specification says by then.
pub const HOSTED_ZONE: &str = "windlass.dev/hosted-zone";

/// On the same: the API's name in that hosted zone.
pub const API_NAME: &str = "windlass.dev/api-name";

/// On the same: the API's name inside of the VPC.
pub const API_INTERNAL_NAME: &str = "windlass.dev/api-internal-name";

/// On the load balancer of bastions: their name in the hosted zone.
pub const BASTION_NAME: &str = "windlass.dev/bastion-name";

/// On the masters' role: the URL of the issuer of service accounts' tokens that AWS trusts. By it the OIDC provider and the
/// roles of service accounts are found again.
pub const ISSUER: &str = "windlass.dev/issuer";

/// On the masters' role: the URL below which the issuer's discovery documents are published.
pub const DISCOVERY: &str = "windlass.dev/discovery";

/// On the masters' role: the name of the queue of events about instances. By it the queue and the rules that fill it are
/// found again.
pub const INTERRUPTION_QUEUE: &str = "windlass.dev/interruption-queue";

/// On roles of service accounts, as with kops: what service accounts they are of.
pub const SERVICE_ACCOUNT: &str = "service-account.kops.k8s.io/name";
/// And of what namespace.
pub const SERVICE_ACCOUNT_NAMESPACE: &str = "service-account.kops.k8s.io/namespace";

/// On security groups: every rule that windlass made in the group says so in its description. What carries no such
/// description in a group with this tag is somebody else's.
pub const RULES_MARKED: &str = "windlass.dev/rules-marked";

/// On route tables: the destinations of the further routes that windlass made, parted by spaces. What leads elsewhere
/// without standing here is somebody else's.
pub const ROUTES: &str = "windlass.dev/additional-routes";

/// On what exists without the cluster: the key of the tag that lists the keys of those that were added for it, as
/// [`join_keys`] writes them. It has at most 125 characters, as the longest name of a cluster has 106.
pub fn added_by(cluster: &str) -> String {
    format!("windlass.dev/added/{cluster}")
}

/// On security groups that exist without the cluster: the key of the tag that says that the cluster made rules in it.
pub fn rules_of(cluster: &str) -> String {
    format!("windlass.dev/rules/{cluster}")
}

/// On VPCs: the further ranges that windlass added, parted by spaces. One that doesn't stand here is somebody else's.
pub const RANGES: &str = "windlass.dev/additional-ranges";

/// On Auto Scaling groups: `<process> <process>…`, those that windlass suspended as the specification says. Another one that
/// is suspended, somebody else suspended.
pub const SUSPENDED: &str = "windlass.dev/suspended-processes";

/// On Auto Scaling groups: `<time> <process> <process>…`, since when `windlass stop cluster` has stopped the group, and what it
/// suspended for that.
pub const STOPPED: &str = "windlass.dev/stopped";

/// On Auto Scaling groups: `<hook> <hook>…`, the lifecycle hooks that windlass made. Another one, somebody else made.
pub const LIFECYCLE_HOOKS: &str = "windlass.dev/lifecycle-hooks";

/// On Auto Scaling groups: `<digest> <digest>…`, of the names of those load balancers of others that windlass attached as the
/// specification says. What is attached besides, somebody else attached.
pub const ATTACHED: &str = "windlass.dev/attached";

/// On VPCs: the id of the private hosted zone that windlass associated with it. Neither zones, which are their owner's, nor
/// associations have tags of the cluster's; by this one an association is found again, whatever the specification says by then.
pub const PRIVATE_ZONE: &str = "windlass.dev/private-zone";

/// On images: the Kubernetes version an image holds, without a leading `v`.
pub const IMAGE_KUBERNETES_VERSION: &str = "windlass.dev/kubernetes-version";

/// On images: the etcd version an image holds, without a leading `v`. Images without it were built by a windlass whose
/// agent refuses the documents of today.
pub const IMAGE_ETCD_VERSION: &str = "windlass.dev/etcd-version";

/// On images: the newest version of node configurations that an image's agent reads, such as `windlass/v3`. One without it
/// reads `windlass/v1`.
pub const IMAGE_NODE_CONFIG: &str = "windlass.dev/node-config";

/// On images: `amd64` or `arm64`.
pub const IMAGE_ARCHITECTURE: &str = "windlass.dev/architecture";

/// On volumes of PersistentVolumes: what happens to one when its cluster is deleted, as the Kubernetes API said while it
/// lived.
pub const RECLAIM: &str = "windlass.dev/reclaim";

/// The value of [`RECLAIM`] on a volume that goes with its cluster.
pub const RECLAIM_DELETE: &str = "delete";

/// EC2's limit for a tag's value, in characters.
pub const VALUE_LIMIT: usize = 256;

/// The tags that windlass answers for, of all that a resource carries: its own, the field's, and the cloud labels.
/// What AWS, the agent or somebody else added is not ours to compare or remove.
pub fn managed(all: Tags) -> Tags {
    let labels: Vec<String> = all.get(CLOUD_LABELS).map(|keys| split_keys(keys)).unwrap_or_default();
    all.into_iter().filter(|(key, _)| is_windlass_key(key) || labels.contains(key)).collect()
}

/// The value of [`CLOUD_LABELS`] for these keys. Spaces part them, so that one inside a key is written as `=20`, and an
/// equals sign as `=3D`.
pub fn join_keys<'k>(keys: impl Iterator<Item = &'k String>) -> String {
    keys.map(|key| key.replace('=', "=3D").replace(' ', "=20")).collect::<Vec<_>>().join(" ")
}

/// The keys that such a value lists.
pub fn split_keys(value: &str) -> Vec<String> {
    value.split(' ').map(|key| key.replace("=20", " ").replace("=3D", "=")).collect()
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
        || [node_labels::GROUP, SERVICE_ACCOUNT, SERVICE_ACCOUNT_NAMESPACE].contains(&key)
        || (![shared::FORMATTED, shared::REPLACES_LOST, RULES_MARKED].contains(&key)
            && families.iter().any(|f| key.starts_with(f)))
}

/// A cluster, as the tags of its resources name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster's name.
    pub cluster: String,
    /// Its uid; absent as long as nothing was made of it with one.
    pub uid: Option<String>,
    /// Whether resources with the cluster's name and no uid are its own: clusters that were made before there were uids.
    pub unmarked_too: bool,
}

/// Whose a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// This cluster's.
    Ours,
    /// Another cluster's that has the same name.
    Namesake,
    /// Nobody's who has this name.
    Foreign,
}

impl Owner {
    /// A cluster with a uid, all of whose resources carry it.
    pub fn new(cluster: impl Into<String>, uid: impl Into<String>) -> Self {
        Self { cluster: cluster.into(), uid: Some(uid.into()), unmarked_too: false }
    }

    /// Whose a resource with these tags is.
    pub fn of(&self, tags: &Tags) -> Ownership {
        if tags.get(MANAGED) != Some(&self.cluster) {
            return Ownership::Foreign;
        }
        let ours = match tags.get(UID) {
            Some(uid) => self.uid.as_ref() == Some(uid),
            None => self.unmarked_too,
        };
        if ours { Ownership::Ours } else { Ownership::Namesake }
    }

    /// Whether a resource with these tags is this cluster's.
    pub fn owns(&self, tags: &Tags) -> bool {
        self.of(tags) == Ownership::Ours
    }
}

/// EC2's filter for what windlass made for clusters of a name: [`Owner`] says which of it is whose.
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
    managed(all_from_ec2(tags))
}

/// All tags out of EC2's form.
pub fn all_from_ec2(tags: &[Tag]) -> Tags {
    tags.iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .collect()
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
    fn a_uid_tells_clusters_of_one_name_apart_and_only_an_old_cluster_owns_what_has_none() {
        let tags = |pairs: &[(&str, &str)]| -> Tags {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let marked = tags(&[(MANAGED, "demo"), (UID, "1")]);
        let namesake = tags(&[(MANAGED, "demo"), (UID, "2")]);
        let unmarked = tags(&[(MANAGED, "demo")]);
        let new = Owner::new("demo", "1");
        let old = Owner { unmarked_too: true, ..new.clone() };
        let nowhere = Owner { uid: None, ..new.clone() };
        for (owner, ours) in
            [(&new, [true, false, false]), (&old, [true, false, true]), (&nowhere, [false, false, false])]
        {
            assert_eq!([&marked, &namesake, &unmarked].map(|tags| owner.owns(tags)), ours, "{owner:?}");
        }
        assert_eq!(new.of(&namesake), Ownership::Namesake);
        assert_eq!(new.of(&tags(&[(MANAGED, "other"), (UID, "1")])), Ownership::Foreign);
        assert_eq!(new.of(&tags(&[(UID, "1")])), Ownership::Foreign);
    }

    #[test]
    fn the_tags_of_groups_that_kops_sets_too_are_ours_to_compare() {
        let all: Tags = [(node_labels::GROUP.to_owned(), "nodes".to_owned())].into();
        assert_eq!(managed(all.clone()), all);
    }

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

    #[test]
    fn a_cloud_label_with_spaces_is_ours() {
        let labels = ["a=b", "cost center", "x=20y"].map(str::to_owned);
        let mut all: Tags = labels.iter().map(|label| (label.clone(), "1".to_owned())).collect();
        all.insert(CLOUD_LABELS.to_owned(), join_keys(labels.iter()));
        all.insert("cost".to_owned(), "somebody else's".to_owned());
        let keys: Vec<String> = managed(all).into_keys().collect();
        assert_eq!(keys, ["a=b", "cost center", CLOUD_LABELS, "x=20y"]);
    }
}
