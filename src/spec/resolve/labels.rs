//! Tags, and the labels and taints of Nodes.

use std::collections::{BTreeMap, BTreeSet};

use windlass_bootstrap::tags::INSTANCE_GROUP;

use super::{Report, Resolved, all, text};
use crate::spec::cluster::Taint;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{InstanceGroup, InstanceGroupRole, InstanceGroupSpec, Object};
use crate::spec::yaml::join;

/// Tags that are windlass's own, or that controllers give a meaning.
const RESERVED_LABELS: [&str; 6] = [
    "kubernetes.io/cluster/",
    "k8s.io/role/",
    "k8s.io/cluster-autoscaler/node-template/",
    "kops.k8s.io/",
    "windlass.dev/",
    "aws:",
];

/// Tags for resources of AWS. A tag that is refused is reported and returned all the same.
pub(super) fn cloud_labels(
    labels: Option<&BTreeMap<String, String>>,
    report: &mut Report<'_>,
) -> BTreeMap<String, String> {
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
    labels.cloned().unwrap_or_default()
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

/// kops's label with the group's name, which stands in every group that kops wrote.
pub(in crate::spec) const GROUP_LABEL: &str = "kops.k8s.io/instancegroup";

/// The labels as written, and the group's name in windlass's own label. kops's label for it is one that a kubelet may
/// not set: the master's agent gives it to every Node.
pub(super) fn node_labels(
    group: &InstanceGroup,
    report: &mut Report<'_>,
) -> Resolved<BTreeMap<String, String>> {
    let labels = group.spec.node_labels.iter().flatten();
    let labels = all(labels.map(|(key, value)| node_label(key, value, report)))?;
    let mut labels: BTreeMap<String, String> = labels.into_iter().flatten().collect();
    labels.insert(INSTANCE_GROUP.to_owned(), group.name().to_owned());
    Ok(labels)
}

/// A label; none where it is kops's for the group.
fn node_label(key: &str, value: &str, report: &mut Report<'_>) -> Resolved<Option<(String, String)>> {
    let path = join("spec.nodeLabels", key);
    let known_key = report.read(&path, key, text::label_key);
    let known_value = report.read(&path, value, text::label_value);
    // As with kops, it has the group's name, whatever is written.
    if key == GROUP_LABEL {
        return Ok(None);
    }
    if !kubelet_may_set(key) {
        let message = format!("a kubelet may not label its Node with `{key}`");
        report.push(Problem::at(path, message).hint("use a label in a domain of your own"));
    }
    Ok(Some((known_key?, known_value?)))
}

fn kubelet_may_set(key: &str) -> bool {
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    let within = |domain: &str| prefix == domain || prefix.ends_with(&format!(".{domain}"));
    let protected = within("kubernetes.io") || within("k8s.io");
    !protected || KUBELET_LABELS.contains(&key) || KUBELET_PREFIXES.iter().any(|prefix| within(prefix))
}

/// The taints of a group's Nodes.
pub(super) struct Taints {
    pub(super) taints: Vec<Taint>,
    /// Whether they are the default of masters, which comes and goes.
    pub(super) default: bool,
}

pub(super) fn taints(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<Taints> {
    let Some(written) = &spec.taints else {
        let default = spec.role == Some(InstanceGroupRole::Master);
        let taints = match spec.role {
            Some(InstanceGroupRole::Master) => vec![no_pods(CONTROL_PLANE)],
            Some(InstanceGroupRole::ApiServer) => vec![no_pods(API_SERVER)],
            _ => Vec::new(),
        };
        return Ok(Taints { taints, default });
    };
    let mut seen = BTreeSet::new();
    let taints = written.iter().enumerate().map(|(index, taint)| {
        let path = format!("spec.taints[{index}]");
        let taint = report.read(&path, taint, text::taint)?;
        let Taint { key, effect, .. } = &taint;
        if !seen.insert((key.clone(), effect.clone())) {
            report.push(Problem::at(path, format!("there are two taints `{key}:{effect}`")));
        }
        Ok(taint)
    });
    Ok(Taints { taints: all(taints)?, default: false })
}

/// The keys of what keeps workloads off masters ([`windlass_bootstrap::config::MASTER_TAINT`]), and off API servers beside
/// them ([`windlass_bootstrap::config::API_SERVER_TAINT`]).
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";
const API_SERVER: &str = "node-role.kubernetes.io/api-server";

fn no_pods(key: &str) -> Taint {
    Taint { key: key.to_owned(), value: Some(String::new()), effect: "NoSchedule".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_taints_of_masters_and_api_servers_are_those_that_the_agent_knows() {
        assert_eq!(no_pods(CONTROL_PLANE).to_string(), windlass_bootstrap::config::MASTER_TAINT);
        assert_eq!(no_pods(API_SERVER).to_string(), windlass_bootstrap::config::API_SERVER_TAINT);
    }
}
