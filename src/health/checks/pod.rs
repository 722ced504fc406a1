//! Whether each pod that the cluster needs runs.

use super::{Check, CheckKind, Outcome};
use crate::health::snapshot::{KubernetesView, Snapshot};
use crate::kube::Pod;
use crate::spec::cluster::Cluster;

/// As tables and data show what it is about.
pub(super) const NAME: &str = "Pod";

/// Reasons of a container that waiting alone doesn't heal.
const BROKEN: [&str; 6] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
];

/// A check of each pod that counts.
pub(super) fn check(_: &Cluster, snapshot: &Snapshot) -> Vec<Check> {
    let Ok(view) = &snapshot.kubernetes else { return Vec::new() };
    // What is left over on an instance that was stopped after its first boot is needed nowhere.
    let is_warm = |pod: &&Pod| {
        let node = view.nodes.iter().find(|node| Some(&node.name) == pod.node.as_ref());
        let instance = node.and_then(|node| node.instance.as_ref());
        instance.is_some_and(|instance| snapshot.cloud.is_warm(instance))
    };
    view.pods.iter().filter(|pod| !is_warm(pod)).filter_map(|pod| self::pod(view, pod)).collect()
}

/// The check of a pod that counts: not one that has done its work, is going, or mirrors what ran on a lost node.
fn pod(view: &KubernetesView, pod: &Pod) -> Option<Check> {
    let on_lost_node =
        pod.node.as_ref().is_some_and(|node| view.nodes.iter().all(|known| known.name != *node));
    if pod.phase == "Succeeded" || pod.terminating || (pod.mirror && on_lost_node) {
        return None;
    }
    let outcome = if on_lost_node {
        Outcome::Wait {
            why: format!("{} is on a node that is gone, and has not been replaced yet", subject(pod)),
        }
    } else {
        pod_outcome(pod)
    };
    Some(Check {
        kind: CheckKind::Pod,
        name: format!("{}/{}", pod.namespace, pod.name),
        instance_group: None,
        outcome,
    })
}

fn subject(pod: &Pod) -> String {
    match pod.priority_class.as_str() {
        "" => format!("pod \"{}\"", pod.name),
        class => format!("{class} pod \"{}\"", pod.name),
    }
}

fn pod_outcome(pod: &Pod) -> Outcome {
    let subject = subject(pod);
    if let Some(broken) = pod.waiting.iter().find(|waiting| BROKEN.contains(&waiting.reason.as_str())) {
        let container = &broken.container;
        return Outcome::Fail {
            why: format!("{subject} is not ready ({container}: {}: {})", broken.reason, broken.message),
            hint: Some(format!(
                "`kubectl --namespace {} logs {} --container {container} --previous` shows what it said last",
                pod.namespace, pod.name
            )),
        };
    }
    match (pod.phase.as_str(), &pod.unschedulable) {
        ("Running", _) if pod.ready => Outcome::Pass,
        ("Running", _) => {
            let containers: Vec<&str> =
                pod.waiting.iter().map(|waiting| waiting.container.as_str()).collect();
            match containers.as_slice() {
                [] => Outcome::Wait { why: format!("{subject} is not ready") },
                containers => {
                    Outcome::Wait { why: format!("{subject} is not ready ({})", containers.join(", ")) }
                }
            }
        }
        ("Pending", Some(why)) => Outcome::Wait { why: format!("{subject} is pending: {why}") },
        ("Pending", None) => Outcome::Wait { why: format!("{subject} is pending") },
        (phase, _) => Outcome::Fail {
            why: format!("{subject} is in the phase {phase}"),
            hint: Some(format!(
                "`kubectl --namespace {} describe pod {}` shows why",
                pod.namespace, pod.name
            )),
        },
    }
}
