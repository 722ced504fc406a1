//! The cluster as a whole: its name, its versions, its labels.

use std::collections::{BTreeMap, BTreeSet};

use super::{Report, text};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{Cluster, InstanceGroup, InstanceGroupRole, Object};
use crate::spec::versions::{KUBERNETES_MINORS, Version};
use crate::spec::yaml::join;

pub(super) fn check(cluster: &Cluster, groups: &[InstanceGroup], report: &mut Report<'_>) {
    name(cluster.name(), report);
    kubernetes_version(cluster, report);
    cloud_labels(cluster.spec.cloud_labels.as_ref(), report);
    super::instance_group::max_pods(cluster.spec.kubelet.as_ref(), report);
    certificate_life(cluster, report);
    group_names(groups, report);
    // Without nodes, masters run the pods.
    if !groups.iter().any(|group| group.spec.role == Some(InstanceGroupRole::Master)) {
        let message = "the cluster has no instance group for its control plane";
        let hint = "add an InstanceGroup with `role: Master`";
        report.push(Problem::at("metadata.name", message).hint(hint));
    }
}

/// The longest name that still leaves room for the names of AWS resources that contain it: an IAM role is called
/// `masters.<name>` and may have 64 characters.
const LONGEST_NAME: usize = 56;

fn name(name: &str, report: &mut Report<'_>) {
    const PATH: &str = "metadata.name";
    if name.is_empty() {
        return report.missing(PATH, "a cluster is called by a DNS name, such as `demo.example.com`");
    }
    let named = report.read(PATH, Some(name), text::dns_name).is_some();
    if named && !name.contains('.') {
        let hint = format!("a cluster is called by a DNS name with a dot, such as `{name}.example.com`");
        report.push(Problem::at(PATH, format!("`{name}` has no dot")).hint(hint));
    }
    if name.len() > LONGEST_NAME {
        let message = format!("the name has {} characters, and {LONGEST_NAME} is the most", name.len());
        report.push(Problem::at(PATH, message).hint("AWS limits the names that are made from it"));
    }
}

fn kubernetes_version(cluster: &Cluster, report: &mut Report<'_>) {
    const PATH: &str = "spec.kubernetesVersion";
    let text = cluster.spec.kubernetes_version.as_deref().unwrap_or_default();
    let Some(version) = Version::parse(text) else {
        let message = format!("`{text}` is not a Kubernetes version");
        return report.push(Problem::at(PATH, message).hint("write all three numbers, such as `1.36.3`"));
    };
    if version.major != 1 || !KUBERNETES_MINORS.contains(&version.minor) {
        let (first, last) = (KUBERNETES_MINORS.start(), KUBERNETES_MINORS.end());
        let message = format!("Kubernetes {version} is not supported");
        report.push(Problem::at(PATH, message).hint(format!("windlass runs 1.{first} to 1.{last}")));
    }
}

/// The shortest life of a kubelet's certificate that leaves it the time to renew it.
const SHORTEST_CERTIFICATE: u64 = 60;

fn certificate_life(cluster: &Cluster, report: &mut Report<'_>) {
    const PATH: &str = "spec.kubeControllerManager.experimentalClusterSigningDuration";
    let manager = cluster.spec.kube_controller_manager.as_ref();
    let Some(duration) = manager.and_then(|manager| manager.experimental_cluster_signing_duration.as_ref())
    else {
        return;
    };
    let text = &duration.0;
    let hint = "write a duration such as `168h`; a kubelet renews its certificate itself, unless it can't for that long";
    match text::seconds(text) {
        Some(seconds) if seconds >= SHORTEST_CERTIFICATE => {}
        Some(_) => report.push(Problem::at(PATH, format!("`{text}` is less than a minute")).hint(hint)),
        None => report.push(Problem::at(PATH, format!("`{text}` is not a duration")).hint(hint)),
    }
}

/// Tags that are windlass's own, or that controllers give a meaning.
const RESERVED_LABELS: [&str; 6] = [
    "kubernetes.io/cluster/",
    "k8s.io/role/",
    "k8s.io/cluster-autoscaler/node-template/",
    "kops.k8s.io/",
    "windlass.dev/",
    "aws:",
];

pub(super) fn cloud_labels(labels: Option<&BTreeMap<String, String>>, report: &mut Report<'_>) {
    for (key, value) in labels.into_iter().flatten() {
        let path = join("spec.cloudLabels", key);
        let own = key == "Name" || key == "KubernetesCluster";
        if own || RESERVED_LABELS.iter().any(|prefix| key.starts_with(prefix)) {
            let message = format!("the tag `{key}` is reserved");
            report.push(Problem::at(&path, message).hint("choose a name of your own"));
        }
        if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
            let message = "a tag has 1 to 128 characters, and its value at most 256";
            report.push(Problem::at(&path, message));
        }
    }
}

/// Names of groups meet in the names of their AWS resources.
fn group_names(groups: &[InstanceGroup], report: &mut Report<'_>) {
    let mut names = BTreeSet::new();
    for group in groups {
        if !names.insert(group.name()) {
            let message = format!("two instance groups are called `{}`", group.name());
            report.push(Problem::at("metadata.name", message).hint("rename one of them"));
        }
    }
}
