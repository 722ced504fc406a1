//! Named checks over a snapshot. Pure.

use std::collections::BTreeSet;

use serde::Serialize;
use windlass_bootstrap::config::Role;
use windlass_bootstrap::report::{self, BootState, FailingTask, Status};

use super::snapshot::{Group, Instance, KubernetesView, Snapshot, Unanswered, harmless};
use crate::kube::{Node, Pod, Ready};
use crate::spec::cluster::{Cluster, InstanceGroup};
use crate::spec::quantity;
use crate::state::Damage;

/// The static pods of every master besides etcd's; the kubelet names their mirrors `<pod>-<node>`.
const CONTROL_PLANE: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// How long an instance may run before it must have reported that its boot has begun. The agent is the last step of
/// the boot, which takes less than a minute.
const SILENCE: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// How long an instance may be silent that has reported that it reports: three reports, and a minute for a write that is
/// tried again.
const SILENCE_AFTERWARDS: jiff::SignedDuration =
    jiff::SignedDuration::from_secs(3 * report::HEARTBEAT.as_secs().cast_signed() + 60);

/// What fails shorter than this is not told: it is tried again meanwhile.
const PASSING: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// Where the agent says what it does.
const JOURNAL: &str = "on the instance, `systemctl status windlass-bootstrap` and `journalctl -u windlass-bootstrap` tell \
                       it in full";

/// Reasons of a container that waiting alone doesn't heal.
const BROKEN: [&str; 6] = [
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
];

/// What a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// The Kubernetes API.
    #[serde(rename = "API")]
    Api,
    /// An instance group and its Auto Scaling group.
    InstanceGroup,
    /// An instance that has not become a node.
    Machine,
    /// A node.
    Node,
    /// A pod.
    Pod,
    /// A key, or another secret that the state holds.
    Secret,
}

impl Kind {
    /// As tables and data show it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::InstanceGroup => "InstanceGroup",
            Self::Machine => "Machine",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::Secret => "Secret",
        }
    }
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Not yet, and it is expected to come by itself.
    Wait {
        /// What is waited for.
        why: String,
    },
    /// Wrong.
    Fail {
        /// What.
        why: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// A named check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is about.
    pub kind: Kind,
    /// The name of what it is about.
    pub name: String,
    /// The instance group that it belongs to, if any.
    pub instance_group: Option<String>,
    /// How it went.
    pub outcome: Outcome,
}

/// A node, as `validate` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeLine {
    /// Its name.
    pub name: String,
    /// Its availability zone.
    pub zone: String,
    /// `control-plane` or `node`.
    pub role: &'static str,
    /// Its host name.
    pub hostname: String,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
}

/// All checks, in the order: API, groups, machines, nodes, pods, secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
    /// The nodes, by name.
    pub nodes: Vec<NodeLine>,
}

impl Report {
    /// Whether every check passes.
    pub fn is_healthy(&self) -> bool {
        !self.checks.is_empty() && self.problems().next().is_none()
    }

    /// The checks that don't pass.
    pub fn problems(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.outcome != Outcome::Pass)
    }

    /// The same without the problems of nodes (not masters), if there are at most `limit` of them.
    #[must_use]
    pub fn tolerating(mut self, limit: usize, cluster: &Cluster) -> Self {
        let is_node = |check: &Check| {
            matches!(check.kind, Kind::Node | Kind::Machine)
                && check.outcome != Outcome::Pass
                && check.instance_group.as_deref().is_some_and(|name| role(cluster, name) == Some(Role::Node))
        };
        let unready: BTreeSet<String> =
            self.checks.iter().filter(|check| is_node(check)).map(|check| check.name.clone()).collect();
        if unready.len() <= limit {
            self.checks.retain(|check| !is_node(check));
        }
        self
    }
}

/// Checks a snapshot against what the specification wants.
pub fn evaluate(cluster: &Cluster, snapshot: &Snapshot) -> Report {
    let mut checks = vec![api(cluster, snapshot)];
    checks.extend(snapshot.damaged_secrets.iter().map(secret));
    for wanted in &cluster.instance_groups {
        let group = snapshot.cloud.groups.iter().find(|group| group.instance_group == wanted.name);
        checks.push(size(wanted, group, snapshot));
        for instance in group.into_iter().flat_map(|group| staying(group, snapshot)) {
            checks.push(machine(wanted, instance, snapshot));
        }
    }
    let mut nodes = Vec::new();
    if let Ok(view) = &snapshot.kubernetes {
        for node in &view.nodes {
            checks.extend(node_checks(cluster, snapshot, view, node));
            nodes.push(line(cluster, snapshot, node));
        }
        checks.extend(view.pods.iter().filter_map(|pod| self::pod(view, pod)));
    }
    checks.iter_mut().for_each(make_harmless);
    checks.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    Report { checks, nodes }
}

/// Kubelets and containers have their say in what a check says.
fn make_harmless(check: &mut Check) {
    if let Outcome::Wait { why } | Outcome::Fail { why, .. } = &mut check.outcome {
        *why = harmless(why);
    }
}

fn role(cluster: &Cluster, instance_group: &str) -> Option<Role> {
    cluster.instance_groups.iter().find(|group| group.name == instance_group).map(|group| group.role)
}

/// The instances of a group that are there to stay.
fn staying<'a>(group: &'a Group, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Instance> {
    let members = group.members.iter().filter(|member| !member.is_leaving());
    members
        .filter_map(|member| snapshot.cloud.instances.get(&member.instance))
        .filter(|instance| matches!(instance.state.as_str(), "pending" | "running"))
}

/// What machines are made with, and can't be read any more, shows only when the next one boots.
fn secret(damage: &Damage) -> Check {
    let outcome = Outcome::Fail { why: damage.to_string(), hint: Some(damage.hint()) };
    let name = damage.key.rsplit('/').next().unwrap_or_default().trim_end_matches(".json").to_owned();
    Check { kind: Kind::Secret, name, instance_group: None, outcome }
}

fn api(cluster: &Cluster, snapshot: &Snapshot) -> Check {
    let name = format!("api.{}", cluster.name);
    let outcome = match &snapshot.kubernetes {
        Ok(_) => Outcome::Pass,
        Err(unanswered) => api_down(cluster, snapshot, unanswered),
    };
    Check { kind: Kind::Api, name, instance_group: None, outcome }
}

/// While a master boots, its API is not expected to answer.
fn api_down(cluster: &Cluster, snapshot: &Snapshot, unanswered: &Unanswered) -> Outcome {
    let masters = snapshot
        .cloud
        .groups
        .iter()
        .filter(|group| role(cluster, &group.instance_group) == Some(Role::ControlPlane));
    let instances: Vec<&Instance> = masters.flat_map(|group| staying(group, snapshot)).collect();
    let booted = instances.iter().any(|instance| {
        snapshot.boot.get(&instance.id).is_some_and(|status| status.state == BootState::Ready)
    });
    if unanswered.may_come && !booted {
        let masters = match instances.as_slice() {
            [] => "there is no master yet".to_owned(),
            instances => {
                let ids: Vec<&str> = instances.iter().map(|instance| instance.id.as_str()).collect();
                format!("master {} is still booting", ids.join(", "))
            }
        };
        return Outcome::Wait { why: format!("{} ({masters})", unanswered.message) };
    }
    Outcome::Fail { why: unanswered.message.clone(), hint: unanswered.hint.clone() }
}

fn size(wanted: &InstanceGroup, group: Option<&Group>, snapshot: &Snapshot) -> Check {
    let name = &wanted.name;
    let outcome = match group {
        None => Outcome::Fail {
            why: format!("instance group \"{name}\" is missing from AWS"),
            hint: Some("`windlass update cluster` shows what is missing, and makes it with --yes".to_owned()),
        },
        Some(group) => {
            let there = staying(group, snapshot).count();
            if there < group.desired as usize {
                let desired = group.desired;
                let why =
                    format!("instance group \"{name}\" does not have enough instances: {there} of {desired}");
                Outcome::Wait { why }
            } else {
                Outcome::Pass
            }
        }
    };
    // Who waits for an instance that never comes must know why.
    let outcome = group.and_then(|group| suspended(name, group)).unwrap_or(outcome);
    Check { kind: Kind::InstanceGroup, name: name.clone(), instance_group: Some(name.clone()), outcome }
}

/// What keeps a group as large and as alive as it shall be; the other processes of Auto Scaling may rest.
const ESSENTIAL: [&str; 4] = ["HealthCheck", "Launch", "ReplaceUnhealthy", "Terminate"];

fn suspended(name: &str, group: &Group) -> Option<Outcome> {
    let processes: Vec<&str> =
        group.suspended.iter().map(String::as_str).filter(|process| ESSENTIAL.contains(process)).collect();
    (!processes.is_empty()).then(|| Outcome::Fail {
        why: format!(
            "instance group \"{name}\" doesn't replace what dies: {} suspended on AWS",
            match processes.as_slice() {
                [one] => format!("{one} is"),
                several => format!("{} are", several.join(", ")),
            }
        ),
        hint: Some(format!(
            "aws autoscaling resume-processes --auto-scaling-group-name {} --scaling-processes {}",
            group.name,
            processes.join(" ")
        )),
    })
}

fn machine(wanted: &InstanceGroup, instance: &Instance, snapshot: &Snapshot) -> Check {
    let boot = snapshot.boot.get(&instance.id);
    let joined = match &snapshot.kubernetes {
        Ok(view) => view.node_of(&instance.id).is_some(),
        // Nobody knows; then the boot's own word counts.
        Err(_) => boot.is_some_and(|status| status.state == BootState::Ready),
    };
    let outcome = match boot {
        Some(status) => reported(instance, status, joined, snapshot.now),
        None if joined => Outcome::Pass,
        None => silent(instance, snapshot),
    };
    Check {
        kind: Kind::Machine,
        name: instance.id.clone(),
        instance_group: Some(wanted.name.clone()),
        outcome,
    }
}

/// What an instance says about itself, and whether it still says anything.
fn reported(instance: &Instance, status: &Status, joined: bool, now: jiff::Timestamp) -> Outcome {
    match (silent_for(status, now), booting(instance, status, joined)) {
        (Some(silence), Outcome::Pass) => gone_silent(instance, silence),
        (Some(silence), Outcome::Wait { why }) => Outcome::Wait {
            why: format!("{why}; it last reported {} ago", quantity(silence.as_mins(), "minute")),
        },
        (None, Outcome::Pass) => keeping(instance, status, now),
        (_, outcome) => outcome,
    }
}

/// For how long an instance has been silent that should have reported by now. Agents that don't say when they wrote
/// their report write none once they are ready.
pub fn silent_for(status: &Status, now: jiff::Timestamp) -> Option<jiff::SignedDuration> {
    let silence = now.duration_since(status.last_seen?);
    (silence > SILENCE_AFTERWARDS).then_some(silence)
}

fn gone_silent(instance: &Instance, silence: jiff::SignedDuration) -> Outcome {
    let id = &instance.id;
    Outcome::Fail {
        why: format!(
            "machine \"{id}\" has not reported for {}: its agent has stopped, or can't reach the state",
            quantity(silence.as_mins(), "minute")
        ),
        hint: Some(JOURNAL.to_owned()),
    }
}

/// What goes on after the boot, and fails for longer than a request that was refused once.
fn keeping(instance: &Instance, status: &Status, now: jiff::Timestamp) -> Outcome {
    let lasting = |task: &&FailingTask| now.duration_since(task.since) >= PASSING;
    let failing: Vec<String> = status
        .failing
        .iter()
        .filter(lasting)
        .map(|task| format!("{} has failed since {:.0}: {}", task.name, task.since, task.error))
        .collect();
    if failing.is_empty() {
        return Outcome::Pass;
    }
    let why = format!("on machine \"{}\" {}", instance.id, failing.join("; "));
    Outcome::Fail { why, hint: Some(JOURNAL.to_owned()) }
}

fn booting(instance: &Instance, status: &Status, joined: bool) -> Outcome {
    let id = &instance.id;
    let subject = if joined {
        format!("the boot of machine \"{id}\" is not done")
    } else {
        format!("machine \"{id}\" has not yet joined the cluster")
    };
    let step = &status.step;
    let reason = status.reason.as_deref().unwrap_or("no reason given");
    match status.state {
        BootState::Ready if joined => Outcome::Pass,
        BootState::Ready => {
            Outcome::Wait { why: format!("{subject}: its boot is done, its node is not there yet") }
        }
        BootState::Running => Outcome::Wait { why: format!("{subject}: it is at {step}") },
        BootState::Waiting => Outcome::Wait { why: format!("{subject}: {step} waits: {}", awaited(reason)) },
        BootState::Failed => Outcome::Fail {
            why: format!("{subject}: {step} failed: {reason}"),
            hint: Some(format!(
                "on the instance, `journalctl -u windlass-bootstrap` tells it in full; from outside, `aws ec2 \
                 get-console-output --latest --instance-id {id}`"
            )),
        },
    }
}

/// An instance that has said nothing so far.
fn silent(instance: &Instance, snapshot: &Snapshot) -> Outcome {
    let id = &instance.id;
    let age = instance.launched.map(|launched| snapshot.now.duration_since(launched)).unwrap_or_default();
    if age < SILENCE {
        return Outcome::Wait {
            why: format!("machine \"{id}\" has not yet joined the cluster: no boot report so far"),
        };
    }
    Outcome::Fail {
        why: format!(
            "machine \"{id}\" has not yet joined the cluster, and has sent no boot report in the {} since its \
             launch",
            quantity(age.as_mins(), "minute")
        ),
        hint: Some(format!(
            "`aws ec2 get-console-output --latest --instance-id {id}` shows how far it came; without a word of \
             windlass-bootstrap there, the image is not windlass's"
        )),
    }
}

fn node_checks(cluster: &Cluster, snapshot: &Snapshot, view: &KubernetesView, node: &Node) -> Vec<Check> {
    let instance = node.instance.as_ref().and_then(|id| snapshot.cloud.instances.get(id));
    let group = instance.and_then(|instance| instance.instance_group.clone());
    let master = is_master(cluster, snapshot, node);
    let check =
        |outcome| Check { kind: Kind::Node, name: node.name.clone(), instance_group: group.clone(), outcome };
    if node.instance.is_some() && instance.is_none() {
        let why = format!("node \"{}\" has lost its instance, and has not been removed yet", node.name);
        return vec![check(Outcome::Wait { why })];
    }
    let mut checks = vec![check(readiness(node, master))];
    if master {
        let missing = control_plane(cluster).filter(|component| !has_pod(view, node, component));
        checks.extend(missing.map(|component| {
            let why = format!("control-plane node \"{}\" is missing its {component} pod", node.name);
            // The kubelet tells the API of its static pods only some time after it has started them.
            check(Outcome::Wait { why })
        }));
    }
    checks
}

/// The names of a master's static pods; there is one for each etcd cluster.
fn control_plane(cluster: &Cluster) -> impl Iterator<Item = String> {
    let etcd = cluster.etcd.iter().map(|etcd| format!("etcd-{}", etcd.name));
    etcd.chain(CONTROL_PLANE.map(str::to_owned))
}

fn is_master(cluster: &Cluster, snapshot: &Snapshot, node: &Node) -> bool {
    let instance = node.instance.as_ref().and_then(|id| snapshot.cloud.instances.get(id));
    let group = instance.and_then(|instance| instance.instance_group.as_deref());
    node.control_plane || group.and_then(|group| role(cluster, group)) == Some(Role::ControlPlane)
}

fn readiness(node: &Node, master: bool) -> Outcome {
    let subject = format!("node \"{}\" of role \"{}\" is not ready", node.name, role_name(master));
    match &node.ready {
        Ready::Yes => Outcome::Pass,
        Ready::No(why) => Outcome::Wait { why: format!("{subject}: {}", not_ready(why)) },
        Ready::Unknown(why) => Outcome::Fail {
            why: format!("{subject}: {why}"),
            hint: Some(format!("`kubectl describe node {}` shows since when, and its events", node.name)),
        },
    }
}

/// What a boot step waits for; where that is the kubelet, in the reader's words.
fn awaited(reason: &str) -> String {
    match reason.split_once(" is not Ready: ") {
        Some((node, why)) => format!("{node} is not Ready: {}", not_ready(why)),
        None => reason.to_owned(),
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
fn not_ready(why: &str) -> String {
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

fn role_name(master: bool) -> &'static str {
    if master { "control-plane" } else { "node" }
}

fn has_pod(view: &KubernetesView, node: &Node, component: &str) -> bool {
    let name = format!("{component}-{}", node.name);
    view.pods
        .iter()
        .any(|pod| pod.mirror && pod.name == name && pod.node.as_deref() == Some(node.name.as_str()))
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
        kind: Kind::Pod,
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

fn line(cluster: &Cluster, snapshot: &Snapshot, node: &Node) -> NodeLine {
    NodeLine {
        name: node.name.clone(),
        zone: node.zone.clone().unwrap_or_default(),
        role: role_name(is_master(cluster, snapshot, node)),
        hostname: node.hostname.clone(),
        status: match node.ready {
            Ready::Yes => "True",
            Ready::No(_) => "False",
            Ready::Unknown(_) => "Unknown",
        },
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
