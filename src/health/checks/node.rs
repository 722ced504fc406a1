//! Whether each node is ready, and each master and each API server beside the masters has its static pods.

use windlass_bootstrap::config::Role;

use super::{Check, CheckKind, NodeLine, Outcome, role};
use crate::health::snapshot::{KubernetesView, Snapshot};
use crate::kube::{Node, Ready};
use crate::spec::cluster::Cluster;

/// As tables and data show what it is about.
pub(super) const NAME: &str = "Node";

/// The static pods of every master besides etcd's; the kubelet names their mirrors `<pod>-<node>`.
const CONTROL_PLANE: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// The checks of each node.
pub(super) fn check(cluster: &Cluster, snapshot: &Snapshot) -> Vec<Check> {
    let Ok(view) = &snapshot.kubernetes else { return Vec::new() };
    view.nodes.iter().flat_map(|node| node_checks(cluster, snapshot, view, node)).collect()
}

/// The nodes, as `validate` lists them, by name.
pub(super) fn lines(cluster: &Cluster, snapshot: &Snapshot) -> Vec<NodeLine> {
    let nodes = snapshot.kubernetes.as_ref().map(|view| view.nodes.as_slice()).unwrap_or_default();
    let mut lines: Vec<NodeLine> = nodes.iter().map(|node| line(cluster, snapshot, node)).collect();
    lines.sort_by(|one, other| one.name.cmp(&other.name));
    lines
}

fn node_checks(cluster: &Cluster, snapshot: &Snapshot, view: &KubernetesView, node: &Node) -> Vec<Check> {
    let instance = node.instance.as_ref().and_then(|id| snapshot.cloud.instances.get(id));
    // A stopped instance has a Node that isn't ready, or none.
    if instance.is_some_and(|instance| snapshot.cloud.is_warm(&instance.id)) {
        return Vec::new();
    }
    let group = instance.and_then(|instance| instance.instance_group.clone());
    let role = role_of(cluster, snapshot, node);
    let check =
        |outcome| Check { kind: CheckKind::Node, name: node.name.clone(), instance_group: group.clone(), outcome };
    if node.instance.is_some() && instance.is_none() {
        let why = format!("node \"{}\" has lost its instance, and has not been removed yet", node.name);
        return vec![check(Outcome::Wait { why })];
    }
    let mut checks = vec![check(readiness(node, role))];
    let missing = static_pods(cluster, role).into_iter().filter(|pod| !has_pod(view, node, pod));
    checks.extend(missing.map(|pod| {
        let why = format!("{} node \"{}\" is missing its {pod} pod", role_name(role), node.name);
        // The kubelet tells the API of its static pods only some time after it has started them.
        check(Outcome::Wait { why })
    }));
    checks
}

/// The names of the static pods that a Node of a role must have. A master has one for each etcd cluster.
fn static_pods(cluster: &Cluster, role: Role) -> Vec<String> {
    match role {
        Role::ControlPlane => {
            let etcd = cluster.etcd.iter().map(|etcd| format!("etcd-{}", etcd.name));
            etcd.chain(CONTROL_PLANE.map(str::to_owned)).collect()
        }
        Role::ApiServer => vec!["kube-apiserver".to_owned()],
        Role::Node | Role::Bastion => Vec::new(),
    }
}

fn role_of(cluster: &Cluster, snapshot: &Snapshot, node: &Node) -> Role {
    let instance = node.instance.as_ref().and_then(|id| snapshot.cloud.instances.get(id));
    let group = instance.and_then(|instance| instance.instance_group.as_deref());
    if node.control_plane {
        return Role::ControlPlane;
    }
    group.and_then(|group| role(cluster, group)).unwrap_or(Role::Node)
}

fn readiness(node: &Node, role: Role) -> Outcome {
    let subject = format!("node \"{}\" of role \"{}\" is not ready", node.name, role_name(role));
    match &node.ready {
        Ready::Yes => Outcome::Pass,
        Ready::No(why) => Outcome::Wait { why: format!("{subject}: {}", not_ready(why)) },
        Ready::Unknown(why) => Outcome::Fail {
            why: format!("{subject}: {why}"),
            hint: Some(format!("`kubectl describe node {}` shows since when, and its events", node.name)),
        },
    }
}

/// What a kubelet says of itself while it starts, by some words of it, and what that means for who waits.
const STARTING: [(&str, &str); 8] = [
    ("network not ready", NO_NETWORK),
    ("cni plugin not initialized", NO_NETWORK),
    ("CSINode", "its kubelet starts"),
    ("runtime status check may not have completed", "its kubelet starts"),
    ("pleg has yet to be successful", "its kubelet starts"),
    ("nodes have not yet been read", "its kubelet starts"),
    ("cannot construct node object", "its kubelet starts"),
    ("node is shutting down", "it shuts down"),
];
const NO_NETWORK: &str = "its pods have no network yet";

/// A kubelet's list of its own conditions in the reader's words. What isn't known to pass is told as it is.
pub(super) fn not_ready(why: &str) -> String {
    let list = why.strip_prefix("KubeletNotReady: ").unwrap_or(why);
    let list = list.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(list);
    let (known, others): (Vec<_>, Vec<_>) = list
        .split(", ")
        .map(|part| (part, STARTING.iter().find(|(words, _)| part.contains(words))))
        .partition(|(_, known)| known.is_some());
    let first = STARTING.iter().find(|row| known.iter().any(|(_, known)| *known == Some(*row)));
    match first {
        Some((_, meaning)) if others.is_empty() => (*meaning).to_owned(),
        _ if others.is_empty() => why.to_owned(),
        _ => others.iter().map(|(part, _)| *part).collect::<Vec<_>>().join(", "),
    }
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::ControlPlane => "control-plane",
        Role::Node => "node",
        Role::Bastion => "bastion",
        Role::ApiServer => "apiserver",
    }
}

fn has_pod(view: &KubernetesView, node: &Node, component: &str) -> bool {
    let name = format!("{component}-{}", node.name);
    view.pods
        .iter()
        .any(|pod| pod.mirror && pod.name == name && pod.node.as_deref() == Some(node.name.as_str()))
}

fn line(cluster: &Cluster, snapshot: &Snapshot, node: &Node) -> NodeLine {
    NodeLine {
        name: node.name.clone(),
        zone: node.zone.clone().unwrap_or_default(),
        role: role_name(role_of(cluster, snapshot, node)),
        hostname: node.hostname.clone(),
        status: match node.ready {
            Ready::Yes => "True",
            Ready::No(_) => "False",
            Ready::Unknown(_) => "Unknown",
        },
    }
}
