//! Instance groups.

use std::collections::{BTreeMap, BTreeSet};

use super::etcd::VolumeFields;
use super::{Report, text};
use crate::spec::problem::{Problem, Problems};
use crate::spec::v1alpha2::{
    Cluster, InstanceGroup, InstanceGroupRole, InstanceGroupSpec, KubeletSpec, Object, SubnetType,
};
use crate::spec::yaml::join;

pub(super) fn check_all(cluster: &Cluster, groups: &[InstanceGroup], problems: &mut Problems) {
    let subnets: Subnets<'_> = cluster
        .spec
        .subnets
        .iter()
        .flatten()
        .filter_map(|it| Some((it.name.as_deref()?, it.r#type)))
        .collect();
    for group in groups {
        let mut report = Report::of(group, problems);
        identity(cluster, group, &mut report);
        sizes(&group.spec, &mut report);
        machine(&group.spec, &mut report);
        max_pods(group.spec.kubelet.as_ref(), &mut report);
        placement(&group.spec, &subnets, &mut report);
        root_volume(&group.spec, &mut report);
        node_labels(group, &mut report);
        taints(&group.spec, &mut report);
        super::cluster::cloud_labels(group.spec.cloud_labels.as_ref(), &mut report);
    }
}

fn identity(cluster: &Cluster, group: &InstanceGroup, report: &mut Report<'_>) {
    const PATH: &str = "metadata.name";
    if group.name().is_empty() {
        report.missing(PATH, "a group is called by a DNS label, such as `nodes`");
    } else {
        report.read(PATH, Some(group.name()), text::dns_label);
    }
    super::access::belongs(cluster, &group.metadata, "the group", report);
    if group.spec.role.is_none() {
        report.missing("spec.role", "write `Master` or `Node`");
    }
}

/// The most instances of one group: the most Nodes that Kubernetes supports in a cluster.
pub(in crate::spec) const MOST_INSTANCES: u32 = 5000;

fn sizes(spec: &InstanceGroupSpec, report: &mut Report<'_>) {
    let (Some(min), Some(max)) = (spec.min_size, spec.max_size) else { return };
    if spec.role == Some(InstanceGroupRole::Master) && (min, max) != (1, 1) {
        let path = if max == 1 { "spec.minSize" } else { "spec.maxSize" };
        let message = format!("a group of masters has one instance, not {min} to {max}");
        let hint = "set minSize and maxSize to 1: several masters are several groups";
        return report.push(Problem::at(path, message).hint(hint));
    }
    if min > max {
        report.push(Problem::at("spec.minSize", format!("{min} is more than maxSize ({max})")));
    }
    if max > MOST_INSTANCES {
        let message = format!("{max} instances are more than a cluster can have ({MOST_INSTANCES})");
        report.push(Problem::at("spec.maxSize", message));
    }
}

fn machine(spec: &InstanceGroupSpec, report: &mut Report<'_>) {
    report.read("spec.machineType", spec.machine_type.as_deref(), text::machine_type);
    report.read("spec.image", spec.image.as_deref(), text::image);
    let limit = spec.instance_metadata.as_ref().and_then(|metadata| metadata.http_put_response_hop_limit);
    if let Some(limit) = limit.filter(|limit| !(1..=64).contains(limit)) {
        let path = "spec.instanceMetadata.httpPutResponseHopLimit";
        report.push(Problem::at(path, format!("{limit} is not from 1 to 64")));
    }
}

/// How many pods a Node can have: it has a /24 of pods' addresses, of which some are the plug-in's.
pub(super) const MOST_PODS: u32 = 250;

pub(super) fn max_pods(kubelet: Option<&KubeletSpec>, report: &mut Report<'_>) {
    let limit = kubelet.and_then(|kubelet| kubelet.max_pods);
    if let Some(limit) = limit.filter(|limit| !(1..=MOST_PODS).contains(limit)) {
        let message = format!("a Node can't have {limit} pods");
        let hint = format!("from 1 to {MOST_PODS}: its range of pods' addresses is a /24");
        report.push(Problem::at("spec.kubelet.maxPods", message).hint(hint));
    }
}

/// The cluster's subnets by name, and what they are.
type Subnets<'a> = BTreeMap<&'a str, Option<SubnetType>>;

fn placement(spec: &InstanceGroupSpec, known: &Subnets<'_>, report: &mut Report<'_>) {
    const PATH: &str = "spec.subnets";
    let subnets = spec.subnets.as_deref().unwrap_or_default();
    if subnets.is_empty() {
        return report.missing(PATH, "name the subnets that the group spans");
    }
    let mut seen = BTreeSet::new();
    for (index, subnet) in subnets.iter().enumerate() {
        let path = format!("{PATH}[{index}]");
        if !known.contains_key(subnet.as_str()) {
            let hint = format!("there are: {}", known.keys().copied().collect::<Vec<_>>().join(", "));
            report.push(Problem::at(path, format!("the cluster has no subnet `{subnet}`")).hint(hint));
        } else if !seen.insert(subnet) {
            report.push(Problem::at(path, format!("`{subnet}` stands here twice")));
        }
    }
    if spec.role == Some(InstanceGroupRole::Master) && subnets.len() > 1 {
        let message = "a master stays in one subnet: its volume and its address are there";
        report.push(Problem::at(format!("{PATH}[1]"), message).hint("keep one subnet"));
    }
    let public = |name: &String| known.get(name.as_str()) == Some(&Some(SubnetType::Public));
    if spec.associate_public_ip == Some(false) && subnets.iter().any(public) {
        let message = "instances in a public subnet reach nothing without a public address";
        report.push(Problem::at("spec.associatePublicIp", message).hint("leave it out"));
    }
}

fn root_volume(spec: &InstanceGroupSpec, report: &mut Report<'_>) {
    let volume = VolumeFields {
        size: ("rootVolumeSize", spec.root_volume_size),
        kind: ("rootVolumeType", spec.root_volume_type.as_deref()),
        iops: ("rootVolumeIops", spec.root_volume_iops),
        throughput: ("rootVolumeThroughput", spec.root_volume_throughput),
        encrypted: spec.root_volume_encryption,
        key: ("rootVolumeEncryptionKey", spec.root_volume_encryption_key.as_deref()),
    };
    volume.check("spec", report);
}

/// Labels of Kubernetes's own that a kubelet may set on its Node; others in `kubernetes.io` and `k8s.io` it may not.
const KUBELET_LABELS: [&str; 10] = [
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/zone",
];
const KUBELET_PREFIXES: [&str; 2] = ["kubelet.kubernetes.io", "node.kubernetes.io"];

fn node_labels(group: &InstanceGroup, report: &mut Report<'_>) {
    for (key, value) in group.spec.node_labels.iter().flatten() {
        let path = join("spec.nodeLabels", key);
        report.read(&path, Some(key), text::label_key);
        report.read(&path, Some(value), text::label_value);
        if key == GROUP_LABEL {
            if value != group.name() {
                let message = format!("the group is called `{}`, and not `{value}`", group.name());
                let hint = format!("write `{}`, or leave the label out", group.name());
                report.push(Problem::at(path, message).hint(hint));
            }
        } else if !kubelet_may_set(key) {
            let message = format!("a kubelet may not label its Node with `{key}`");
            report.push(Problem::at(path, message).hint("use a label in a domain of your own"));
        }
    }
}

/// kops's label with the group's name, which stands in every group that kops wrote.
pub(in crate::spec) const GROUP_LABEL: &str = "kops.k8s.io/instancegroup";

fn kubelet_may_set(key: &str) -> bool {
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    let within = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    let protected = within("kubernetes.io") || within("k8s.io");
    !protected || KUBELET_LABELS.contains(&key) || KUBELET_PREFIXES.iter().any(|prefix| within(prefix))
}

fn taints(spec: &InstanceGroupSpec, report: &mut Report<'_>) {
    let mut seen = BTreeSet::new();
    for (index, taint) in spec.taints.iter().flatten().enumerate() {
        let path = format!("spec.taints[{index}]");
        let Some(pair) = report.read(&path, Some(taint.as_str()), |_| text::taint(taint)) else { continue };
        if !seen.insert(pair) {
            report.push(Problem::at(path, format!("there are two taints `{}:{}`", pair.0, pair.1)));
        }
    }
}
