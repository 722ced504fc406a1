//! The cluster as a whole: its name, its versions, its labels.

use std::collections::{BTreeMap, BTreeSet};

use super::kernel_parameters::kernel_parameters;
use super::{Report, Resolved, etcd_manager, files, hooks, instance_group, labels, text};
use crate::spec::cluster::Backups;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{Cluster, ClusterSpec, Duration, InstanceGroup, InstanceGroupRole, Object};
use crate::spec::versions::{KUBERNETES_MINORS, Version};

/// What the specification says of the cluster as a whole.
pub(super) struct Whole {
    pub(super) name: String,
    pub(super) kubernetes_version: String,
    pub(super) emulated_version: Option<String>,
    pub(super) container_registry: bool,
    pub(super) certificate_seconds: Option<u64>,
    pub(super) backups: Backups,
    pub(super) cloud_labels: BTreeMap<String, String>,
}

pub(super) fn resolve(
    cluster: &Cluster,
    groups: &[InstanceGroup],
    report: &mut Report<'_>,
) -> Resolved<Whole> {
    let spec = &cluster.spec;
    let name = name(cluster.name(), report);
    let version = kubernetes_version(spec, report);
    let emulated_version = emulated_version(spec, groups, report);
    let cloud_labels = labels::cloud_labels(spec.cloud_labels.as_ref(), report);
    // Groups have their own values, or these.
    instance_group::max_pods("spec.kubelet", spec.kubelet.as_ref(), report);
    instance_group::max_pods("spec.masterKubelet", spec.master_kubelet.as_ref(), report);
    let files = files::check(spec.file_assets.as_ref(), report);
    let hooks = hooks::check(spec.hooks.as_ref(), report);
    let kernel_parameters = kernel_parameters(spec.sysctl_parameters.as_ref(), report);
    let certificate_seconds = certificate_seconds(spec, report);
    let backups = etcd_manager::backups(spec, report);
    group_names(groups, report);
    // Without nodes, masters run the pods.
    if !groups.iter().any(|group| group.spec.role == Some(InstanceGroupRole::Master)) {
        let message = "the cluster has no instance group for its control plane";
        let hint = "add an InstanceGroup with `role: Master`";
        report.push(Problem::at("metadata.name", message).hint(hint));
    }
    kernel_parameters?;
    files?;
    hooks?;
    Ok(Whole {
        name: name?,
        kubernetes_version: version?.to_string(),
        emulated_version: emulated_version?.map(|version| version.to_string()),
        container_registry: spec.iam.as_ref().and_then(|iam| iam.allow_container_registry).unwrap_or(false),
        certificate_seconds: certificate_seconds?,
        backups: backups?,
        cloud_labels,
    })
}

/// The longest name: the tag `kubernetes.io/cluster/<name>`, by which Kubernetes knows what is the cluster's, may have 128
/// characters (EC2 User Guide, "Tag your Amazon EC2 resources"). Names of AWS that contain it are cut where they have to be.
const LONGEST_NAME: usize = 106;

fn name(name: &str, report: &mut Report<'_>) -> Resolved<String> {
    const PATH: &str = "metadata.name";
    if name.is_empty() {
        return Err(report.missing(PATH, "a cluster is called by a DNS name, such as `demo.example.com`"));
    }
    let named = report.read(PATH, name, text::dns_name);
    if named.is_ok() && !name.contains('.') {
        let hint = format!("a cluster is called by a DNS name with a dot, such as `{name}.example.com`");
        report.push(Problem::at(PATH, format!("`{name}` has no dot")).hint(hint));
    }
    if name.len() > LONGEST_NAME {
        let message = format!("the name has {} characters, and {LONGEST_NAME} is the most", name.len());
        report.push(Problem::at(PATH, message).hint("AWS limits the tags that are made from it"));
    }
    named
}

fn kubernetes_version(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<Version> {
    const PATH: &str = "spec.kubernetesVersion";
    let text = report.filled(PATH, spec.kubernetes_version.as_ref())?;
    supported_version(PATH, &text, report)
}

fn supported_version(path: &str, text: &str, report: &mut Report<'_>) -> Resolved<Version> {
    let Some(version) = Version::parse(text) else {
        let problem = Problem::at(path, format!("`{text}` is not a Kubernetes version"));
        return Err(report.push(problem.hint("write all three numbers, such as `1.36.3`")));
    };
    if version.major != 1 || !KUBERNETES_MINORS.contains(&version.minor) {
        let (first, last) = (KUBERNETES_MINORS.start(), KUBERNETES_MINORS.end());
        let problem = Problem::at(path, format!("Kubernetes {version} is not supported"));
        return Err(report.push(problem.hint(format!("windlass runs 1.{first} to 1.{last}"))));
    }
    Ok(version)
}

/// The version as which the control plane acts: that of before, which is one minor version older. An instance that runs an API
/// server without being a master would have a kubelet that is newer than what it acts as.
fn emulated_version(
    spec: &ClusterSpec,
    groups: &[InstanceGroup],
    report: &mut Report<'_>,
) -> Resolved<Option<Version>> {
    const PATH: &str = "spec.emulatedVersion";
    let Some(text) = &spec.emulated_version else { return Ok(None) };
    let emulated = supported_version(PATH, text, report)?;
    let own = spec.kubernetes_version.as_deref().and_then(Version::parse);
    if own.is_some_and(|own| (own.major, own.minor) != (emulated.major, emulated.minor + 1)) {
        let message = format!("`{emulated}` is not of the minor version before that of `kubernetesVersion`");
        let hint = "leave it out; `windlass upgrade cluster --soak` writes it";
        return Err(report.push(Problem::at(PATH, message).hint(hint)));
    }
    if groups.iter().any(|group| group.spec.role == Some(InstanceGroupRole::ApiServer)) {
        let message =
            "a control plane with instance groups of the role APIServer can't act as an older version";
        return Err(report.push(Problem::at(PATH, message).hint("leave it out: upgrade in one step")));
    }
    Ok(Some(emulated))
}

/// The shortest life of a kubelet's certificate that leaves it the time to renew it.
const SHORTEST_CERTIFICATE: u64 = 60;

fn certificate_seconds(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<Option<u64>> {
    const PATH: &str = "spec.kubeControllerManager";
    let Some(manager) = &spec.kube_controller_manager else { return Ok(None) };
    let former = (
        format!("{PATH}.experimentalClusterSigningDuration"),
        &manager.experimental_cluster_signing_duration,
    );
    let present = (format!("{PATH}.ClusterSigningDuration"), &manager.cluster_signing_duration);
    let read = |(path, written): (String, &Option<Duration>), report: &mut Report<'_>| {
        written.as_ref().map(|written| signing_seconds(&path, &written.0, report)).transpose()
    };
    match (read(former, report)?, read(present, report)?) {
        (Some(former), Some(present)) if former != present => {
            let message = "`experimentalClusterSigningDuration` says otherwise";
            let hint = "keep one of the two: they are the same setting";
            Err(report.push(Problem::at(format!("{PATH}.ClusterSigningDuration"), message).hint(hint)))
        }
        (former, present) => Ok(present.or(former)),
    }
}

fn signing_seconds(path: &str, text: &str, report: &mut Report<'_>) -> Resolved<u64> {
    let hint = "write a duration such as `168h`; a kubelet renews its certificate itself, unless it can't for that long";
    let problem = match text::seconds(text) {
        Some(seconds) if seconds >= SHORTEST_CERTIFICATE => return Ok(seconds),
        Some(_) => Problem::at(path, format!("`{text}` is less than a minute")),
        None => Problem::at(path, format!("`{text}` is not a duration")),
    };
    Err(report.push(problem.hint(hint)))
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
