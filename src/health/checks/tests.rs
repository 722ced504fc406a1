//! Tables of what is seen, and what is said about it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use windlass_bootstrap::backup::{BackupId, Proof};
use windlass_bootstrap::config::CONFIG_VERSION;
use windlass_bootstrap::report::{BootState, FailingTask, Status};

use super::machine::awaited;
use super::node::not_ready;
use super::*;
use crate::assets::sample;
use crate::health::snapshot::{
    Authority, BackupsView, CloudView, KubernetesView, Member, StateView, Unanswered,
};
use crate::kube::view::Waiting;
use crate::kube::{Node, Pod, Ready};
use crate::spec::cluster::Instances;

/// What is broken, how, and the kind, class and words of the check that has to say so.
type Defect = (&'static str, Disturbance, CheckKind, &'static str, &'static str);

type Disturbance = fn(&mut Snapshot);

const MASTER: &str = "i-0a";
const NODES: [&str; 2] = ["i-0b", "i-0c"];

#[test]
fn an_authority_is_told_of_ninety_days_before_its_end_and_after_it() {
    let told = |days: i64| {
        let mut snapshot = healthy();
        let expires = snapshot.now + SignedDuration::from_hours(24 * days) + SignedDuration::from_mins(1);
        snapshot.state.authorities = vec![Authority { name: "etcd-ca".to_owned(), expires }];
        let report = evaluate(&sample::cluster(), &snapshot);
        let check = report.checks.iter().find(|check| check.kind == CheckKind::Authority).unwrap().clone();
        assert_eq!((check.name.as_str(), check.kind.name()), ("etcd-ca", "Authority"));
        match check.outcome {
            Outcome::Pass => String::new(),
            Outcome::Fail { why, hint: Some(_) } => why,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(told(91), "");
    assert!(told(89).contains("the authority \"etcd-ca\" expires on ") && told(89).contains("in 89 days"));
    assert!(told(1).contains("in 1 day:"), "{}", told(1));
    assert!(told(-1).contains("has expired on "), "{}", told(-1));
}

#[test]
fn a_cluster_where_all_is_as_it_should_be_is_healthy() {
    let report = evaluate(&sample::cluster(), &healthy());
    assert_eq!(report.problems().collect::<Vec<_>>(), Vec::<&Check>::new());
    assert!(report.is_healthy());
    assert_eq!(
        report.nodes.iter().map(|node| (node.name.as_str(), node.role, node.status)).collect::<Vec<_>>(),
        [("i-0a", "control-plane", "True"), ("i-0b", "node", "True"), ("i-0c", "node", "True"),]
    );
}

#[test]
fn an_instance_in_a_warm_pool_is_neither_missing_nor_broken() {
    let mut snapshot = healthy();
    let group = &mut snapshot.cloud.groups[1];
    let mut warm = group.members.pop().unwrap();
    assert_eq!(warm.instance, "i-0c");
    warm.lifecycle = "Warmed:Stopped".to_owned();
    group.warm.push(warm);
    group.desired = 1;
    instance(&mut snapshot, "i-0c").state = "stopped".to_owned();
    let node = view(&mut snapshot).nodes.iter_mut().find(|node| node.name == "i-0c").unwrap();
    node.ready = Ready::Unknown("its kubelet is silent".to_owned());
    let pod = dns(&mut snapshot);
    (pod.node, pod.ready) = (Some("i-0c".to_owned()), false);
    let report = evaluate(&sample::cluster(), &snapshot);
    assert!(report.is_healthy(), "{:?}", report.problems().map(said).collect::<Vec<_>>());

    snapshot.cloud.groups[1].warm.clear();
    assert!(!evaluate(&sample::cluster(), &snapshot).is_healthy());
}

#[test]
fn a_report_without_checks_is_not_healthy() {
    assert!(!Report::default().is_healthy());
}

#[test]
fn every_defect_of_a_group_or_a_machine_is_named_and_classed() {
    let defects: [Defect; 11] = [
        ("no group", |s| drop(s.cloud.groups.pop()), CheckKind::InstanceGroup, "fail", "is missing from AWS"),
        (
            "suspended",
            |s| s.cloud.groups[1].suspended = vec!["AZRebalance".into(), "Launch".into()],
            CheckKind::InstanceGroup,
            "fail",
            "doesn't replace what dies: Launch is suspended",
        ),
        ("short", |s| s.cloud.groups[1].desired = 3, CheckKind::InstanceGroup, "wait", "2 of 3"),
        (
            "leaving",
            |s| s.cloud.groups[1].members[0].lifecycle = "Terminating:Wait".into(),
            CheckKind::InstanceGroup,
            "wait",
            "1 of 2",
        ),
        (
            "stopped",
            |s| instance(s, "i-0b").state = "stopped".into(),
            CheckKind::InstanceGroup,
            "wait",
            "1 of 2",
        ),
        (
            "not joined",
            |s| view(s).nodes.retain(|n| n.name != "i-0c"),
            CheckKind::Machine,
            "wait",
            "its boot is done, its node is not there",
        ),
        (
            "booting",
            |s| boot(s, "i-0c", BootState::Running, "ensure_kubelet", None),
            CheckKind::Machine,
            "wait",
            "it is at ensure_kubelet",
        ),
        (
            "waiting",
            |s| boot(s, MASTER, BootState::Waiting, "ensure_volume", Some("vol-1 is attached to i-9")),
            CheckKind::Machine,
            "wait",
            "ensure_volume waits: vol-1 is attached to i-9",
        ),
        (
            "failed",
            |s| boot(s, "i-0b", BootState::Failed, "ensure_image", Some("wrong version")),
            CheckKind::Machine,
            "fail",
            "ensure_image failed: wrong version",
        ),
        (
            "silent, young",
            |s| {
                forget(s, "i-0b");
                instance(s, "i-0b").launched = Some(now() - SignedDuration::from_secs(20));
            },
            CheckKind::Machine,
            "wait",
            "no boot report so far",
        ),
        (
            "silent, old",
            |s| forget(s, "i-0b"),
            CheckKind::Machine,
            "fail",
            "in the 60 minutes since its launch",
        ),
    ];
    expect_each_to_be_said(&defects);
}

#[test]
fn a_bastion_is_well_when_its_boot_is_done_though_it_becomes_no_node() {
    let mut cluster = sample::cluster();
    let Instances::Node(nodes) = cluster.instance_groups[1].instances.clone() else { panic!("no nodes") };
    cluster.instance_groups[1].instances = Instances::Bastion(nodes);
    let said = |boot: Option<BootState>| {
        let mut snapshot = healthy();
        view(&mut snapshot).nodes.retain(|node| node.name == MASTER);
        for id in NODES {
            match boot {
                None => drop(snapshot.boot.remove(id)),
                Some(state) => snapshot.boot.get_mut(id).unwrap().state = state,
            }
        }
        let report = evaluate(&cluster, &snapshot);
        let machines = report.checks.into_iter().filter(|check| check.kind == CheckKind::Machine);
        let outcomes =
            machines.filter(|check| NODES.contains(&check.name.as_str())).map(|check| check.outcome);
        outcomes.collect::<Vec<_>>()
    };
    assert_eq!(said(Some(BootState::Ready)), [Outcome::Pass, Outcome::Pass]);
    for state in [None, Some(BootState::Running), Some(BootState::Failed)] {
        let outcomes = said(state);
        assert!(outcomes.len() == 2 && !outcomes.contains(&Outcome::Pass), "{state:?}: {outcomes:?}");
    }
}

#[test]
fn a_node_with_an_api_server_beside_the_masters_must_have_its_pod_and_none_of_a_master_s_else() {
    let mut cluster = sample::cluster();
    cluster.instance_groups[1].instances = Instances::ApiServer(sample::nodes());
    let mut snapshot = healthy();
    let missing = |snapshot: &Snapshot| {
        let report = evaluate(&cluster, snapshot);
        assert_eq!(report.nodes[1].role, "apiserver");
        let problems = report.problems().map(|check| match &check.outcome {
            Outcome::Wait { why } => why.clone(),
            other => panic!("{other:?}"),
        });
        problems.collect::<Vec<_>>()
    };
    let told = |node| format!("apiserver node \"{node}\" is missing its kube-apiserver pod");
    assert_eq!(missing(&snapshot), NODES.map(told));
    let view = view(&mut snapshot);
    let masters = view.pods.iter().find(|pod| pod.name == "kube-apiserver-i-0a").unwrap().clone();
    for node in NODES {
        let name = format!("kube-apiserver-{node}");
        view.pods.push(Pod { name, node: Some(node.to_owned()), ..masters.clone() });
    }
    assert_eq!(missing(&snapshot), Vec::<String>::new());
}

#[test]
fn what_fails_after_the_boot_and_who_has_gone_silent_is_told_of_masters_and_nodes() {
    let defects: [Defect; 4] = [
        (
            "failing master",
            |s| failing(s, MASTER, 120),
            CheckKind::Machine,
            "fail",
            "on machine \"i-0a\" renew_certificates has failed since 2026-09-21T14:11:20Z: no space",
        ),
        (
            "failing node",
            |s| failing(s, "i-0b", 120),
            CheckKind::Machine,
            "fail",
            "on machine \"i-0b\" renew_",
        ),
        ("silent", |s| seen_ago(s, "i-0c", 8), CheckKind::Machine, "fail", "has not reported for 8 minutes"),
        (
            "silent while it waits",
            |s| {
                boot(s, MASTER, BootState::Waiting, "ensure_volume", Some("held"));
                seen_ago(s, MASTER, 30);
            },
            CheckKind::Machine,
            "wait",
            "ensure_volume waits: held; it last reported 30 minutes ago",
        ),
    ];
    expect_each_to_be_said(&defects);
    let harmless: [(&str, Disturbance); 3] = [
        ("what failed a moment ago", |s| failing(s, MASTER, 20)),
        ("a report between two heartbeats", |s| seen_ago(s, "i-0b", 3)),
        ("an agent that never said when it wrote", |s| s.boot.get_mut("i-0b").unwrap().last_seen = None),
    ];
    for (case, change) in harmless {
        let mut snapshot = healthy();
        change(&mut snapshot);
        let report = evaluate(&sample::cluster(), &snapshot);
        assert!(report.is_healthy(), "{case}: {:?}", report.problems().collect::<Vec<_>>());
    }
}

fn failing(snapshot: &mut Snapshot, id: &str, seconds: i64) {
    let task = FailingTask {
        name: "renew_certificates".to_owned(),
        since: now() - SignedDuration::from_secs(seconds),
        error: "no space".to_owned(),
    };
    snapshot.boot.get_mut(id).unwrap().failing.push(task);
}

fn seen_ago(snapshot: &mut Snapshot, id: &str, minutes: i64) {
    snapshot.boot.get_mut(id).unwrap().last_seen = Some(now() - SignedDuration::from_mins(minutes));
}

#[test]
fn every_defect_of_a_node_or_a_pod_is_named_and_classed() {
    let defects: [Defect; 9] = [
        (
            "not ready",
            |s| view(s).nodes[1].ready = Ready::No("KubeletNotReady: no disk".into()),
            CheckKind::Node,
            "wait",
            "of role \"node\" is not ready: no disk",
        ),
        (
            "unheard of",
            |s| view(s).nodes[0].ready = Ready::Unknown("NodeStatusUnknown: stopped posting".into()),
            CheckKind::Node,
            "fail",
            "of role \"control-plane\" is not ready: NodeStatusUnknown",
        ),
        ("lost", |s| view(s).nodes.push(node("i-0z")), CheckKind::Node, "wait", "has lost its instance"),
        (
            "no mirror",
            |s| view(s).pods.retain(|p| p.name != "etcd-main-i-0a"),
            CheckKind::Node,
            "wait",
            "is missing its etcd-main pod",
        ),
        (
            "crash",
            |s| broken(s, "CrashLoopBackOff"),
            CheckKind::Pod,
            "fail",
            "(coredns: CrashLoopBackOff: because)",
        ),
        ("creating", |s| broken(s, "ContainerCreating"), CheckKind::Pod, "wait", "is not ready (coredns)"),
        (
            "pending",
            |s| {
                let pod = dns(s);
                pod.phase = "Pending".into();
                pod.unschedulable = Some("Unschedulable: 0/3".into());
            },
            CheckKind::Pod,
            "wait",
            "is pending: Unschedulable: 0/3",
        ),
        ("failed pod", |s| dns(s).phase = "Failed".into(), CheckKind::Pod, "fail", "is in the phase Failed"),
        ("orphan", |s| dns(s).node = Some("i-gone".into()), CheckKind::Pod, "wait", "on a node that is gone"),
    ];
    expect_each_to_be_said(&defects);
}

#[test]
fn what_a_starting_kubelet_says_of_itself_is_told_in_the_reader_s_words() {
    let network = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
                   message:Network plugin returns error: cni plugin not initialized";
    let started = "container runtime status check may not have completed yet";
    for (said, told) in [
        (format!("KubeletNotReady: {network}"), "its pods have no network yet"),
        (
            format!("KubeletNotReady: [{started}, {network}, CSINode is not yet initialized]"),
            "its pods have no network yet",
        ),
        (format!("KubeletNotReady: [{started}, CSINode is not yet initialized]"), "its kubelet starts"),
        (
            "KubeletNotReady: nodes have not yet been read at least once, cannot construct node object"
                .to_owned(),
            "its kubelet starts",
        ),
        (format!("KubeletNotReady: [{started}, container runtime is down]"), "container runtime is down"),
        ("SomethingElse: a, b".to_owned(), "SomethingElse: a, b"),
        (String::new(), ""),
    ] {
        assert_eq!(not_ready(&said), told, "{said}");
    }
    let waits = awaited(&format!("the node i-0a is not Ready: {network}"));
    assert_eq!(waits, "the node i-0a is not Ready: its pods have no network yet");
    assert_eq!(awaited("flannel has not written"), "flannel has not written");
}

#[test]
fn what_a_kubelet_says_does_nothing_to_a_terminal() {
    let mut snapshot = healthy();
    view(&mut snapshot).nodes[1].ready = Ready::No("\u{1b}]0;x\u{7}not\nready".into());
    let report = evaluate(&sample::cluster(), &snapshot);
    let said: Vec<&str> = report.problems().map(said_why).collect();
    assert_eq!(said, ["node \"i-0b\" of role \"node\" is not ready:  ]0;x not ready"]);
}

#[test]
fn what_has_done_its_work_or_is_on_its_way_out_does_not_count() {
    let harmless: [(&str, Disturbance); 3] = [
        ("succeeded", |s| dns(s).phase = "Succeeded".into()),
        ("terminating", |s| {
            dns(s).terminating = true;
            dns(s).ready = false;
        }),
        ("the mirror of a lost master", |s| {
            let mut mirror = view(s).pods[0].clone();
            mirror.name = "etcd-i-gone".into();
            mirror.node = Some("i-gone".into());
            mirror.ready = false;
            view(s).pods.push(mirror);
        }),
    ];
    for (case, change) in harmless {
        let mut snapshot = healthy();
        change(&mut snapshot);
        let report = evaluate(&sample::cluster(), &snapshot);
        assert!(report.is_healthy(), "{case}: {:?}", report.problems().collect::<Vec<_>>());
    }
}

#[test]
fn an_api_that_is_down_is_waited_for_while_the_master_boots_and_fails_afterwards() {
    let mut snapshot = healthy();
    snapshot.kubernetes = Err(unanswered(true));
    let report = evaluate(&sample::cluster(), &snapshot);
    assert_eq!(said(report.problems().next().unwrap()), "API fail: no answer from https://203.0.113.7");

    boot(&mut snapshot, MASTER, BootState::Waiting, "ensure_volume", Some("held"));
    let report = evaluate(&sample::cluster(), &snapshot);
    let said: Vec<String> = report.problems().map(said).collect();
    assert_eq!(
        said,
        [
            "API wait: no answer from https://203.0.113.7 (master i-0a is still booting)",
            "Machine wait: machine \"i-0a\" has not yet joined the cluster: ensure_volume waits: held",
        ]
    );

    snapshot.kubernetes = Err(unanswered(false));
    let report = evaluate(&sample::cluster(), &snapshot);
    assert_eq!(said_class(report.problems().next().unwrap()), "fail", "a refusal doesn't pass by waiting");
}

#[test]
fn unready_nodes_are_tolerated_up_to_the_limit_and_masters_never() {
    let cluster = sample::cluster();
    let mut snapshot = healthy();
    view(&mut snapshot).nodes[1].ready = Ready::No("x".into());
    let report = evaluate(&cluster, &snapshot);
    assert!(!report.clone().tolerating(0, &cluster).is_healthy());
    assert!(report.tolerating(1, &cluster).is_healthy());
    view(&mut snapshot).nodes[0].ready = Ready::No("x".into());
    assert!(!evaluate(&cluster, &snapshot).tolerating(5, &cluster).is_healthy());
}

fn expect_each_to_be_said(defects: &[Defect]) {
    for &(case, defect, kind, class, words) in defects {
        let mut snapshot = healthy();
        defect(&mut snapshot);
        let report = evaluate(&sample::cluster(), &snapshot);
        assert!(!report.is_healthy(), "{case}");
        let said: Vec<String> = report.problems().map(said).collect();
        let expected = report
            .problems()
            .any(|check| check.kind == kind && said_class(check) == class && said_why(check).contains(words));
        assert!(expected, "{case}: no {kind:?} {class} with \"{words}\" in {said:#?}");
    }
}

/// All is well: one master, two nodes, control plane, cluster DNS.
pub(super) fn healthy() -> Snapshot {
    let cluster = sample::cluster();
    let [masters, nodes] = cluster.instance_groups.as_slice() else { panic!("two groups") };
    let ids = [MASTER, NODES[0], NODES[1]];
    let instances = ids.map(|id| {
        let group = if id == MASTER { masters } else { nodes };
        let instance = Instance {
            id: id.to_owned(),
            state: "running".to_owned(),
            instance_group: Some(group.name.clone()),
            zone: "us-east-1a".to_owned(),
            machine_type: "t3.medium".to_owned(),
            private_address: Some("172.20.32.11".to_owned()),
            public_address: None,
            launched: Some(now() - SignedDuration::from_hours(1)),
        };
        (id.to_owned(), instance)
    });
    let mut snapshot = Snapshot {
        now: now(),
        cloud_is_new: true,
        state: StateView::default(),
        backups: BackupsView {
            newest: Some(BackupId::at(now())),
            newest_proof: Some(proof(now())),
            failure: None,
        },
        cloud: CloudView {
            groups: vec![group(masters, &[MASTER]), group(nodes, &NODES)],
            instances: instances.into(),
        },
        boot: BTreeMap::new(),
        kubernetes: Ok(KubernetesView { nodes: ids.map(node).into(), pods: pods() }),
    };
    for id in ids {
        boot(&mut snapshot, id, BootState::Ready, "ensure_joined", None);
    }
    snapshot
}

/// That a backup was proven at a moment.
pub(super) fn proof(proven: Timestamp) -> Proof {
    Proof {
        version: CONFIG_VERSION.to_owned(),
        proven,
        seconds: 4.2,
        keys: [("main".to_owned(), 1200), ("events".to_owned(), 4)].into(),
        memory_peak_bytes: None,
        cpu_seconds: None,
        failure: None,
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_790_000_000).unwrap()
}

fn group(wanted: &InstanceGroup, ids: &[&str]) -> Group {
    let members = ids.iter().map(|id| Member {
        instance: (*id).to_owned(),
        lifecycle: "InService".to_owned(),
        template_version: Some("1".to_owned()),
    });
    Group {
        suspended: Vec::new(),
        stopped: None,
        warm: Vec::new(),
        name: format!("{}.demo.example.com", wanted.name),
        instance_group: wanted.name.clone(),
        desired: u32::try_from(ids.len()).unwrap(),
        template_version: Some("1".to_owned()),
        members: members.collect(),
    }
}

fn node(id: &str) -> Node {
    Node {
        name: id.to_owned(),
        instance: Some(id.to_owned()),
        ready: Ready::Yes,
        control_plane: id == MASTER,
        zone: Some("us-east-1a".to_owned()),
        hostname: id.to_owned(),
        internal_address: Some("172.20.32.11".to_owned()),
    }
}

fn pods() -> Vec<Pod> {
    let mirrors =
        ["etcd-main", "kube-apiserver", "kube-controller-manager", "kube-scheduler"].map(|component| Pod {
            namespace: "kube-system".to_owned(),
            name: format!("{component}-{MASTER}"),
            node: Some(MASTER.to_owned()),
            phase: "Running".to_owned(),
            ready: true,
            mirror: true,
            terminating: false,
            priority_class: "system-node-critical".to_owned(),
            unschedulable: None,
            waiting: Vec::new(),
        });
    let dns = Pod {
        name: "coredns-1".to_owned(),
        node: Some(NODES[0].to_owned()),
        mirror: false,
        priority_class: "system-cluster-critical".to_owned(),
        ..mirrors[0].clone()
    };
    mirrors.into_iter().chain([dns]).collect()
}

fn view(snapshot: &mut Snapshot) -> &mut KubernetesView {
    snapshot.kubernetes.as_mut().unwrap()
}

fn dns(snapshot: &mut Snapshot) -> &mut Pod {
    view(snapshot).pods.last_mut().unwrap()
}

fn instance<'a>(snapshot: &'a mut Snapshot, id: &str) -> &'a mut Instance {
    snapshot.cloud.instances.get_mut(id).unwrap()
}

fn broken(snapshot: &mut Snapshot, reason: &str) {
    let pod = dns(snapshot);
    pod.ready = false;
    let container = "coredns".to_owned();
    pod.waiting = vec![Waiting { container, reason: reason.to_owned(), message: "because".to_owned() }];
}

/// As if the instance had never said anything, and had not become a node.
fn forget(snapshot: &mut Snapshot, id: &str) {
    snapshot.boot.remove(id);
    view(snapshot).nodes.retain(|node| node.name != id);
}

fn boot(snapshot: &mut Snapshot, id: &str, state: BootState, step: &str, reason: Option<&str>) {
    if let (false, Ok(view)) = (state == BootState::Ready, &mut snapshot.kubernetes) {
        view.nodes.retain(|node| node.name != id);
    }
    let status = Status {
        version: windlass_bootstrap::config::CONFIG_VERSION.to_owned(),
        instance: id.to_owned(),
        instance_group: "g".to_owned(),
        zone: "us-east-1a".to_owned(),
        agent: "0.1.0".to_owned(),
        state,
        step: step.to_owned(),
        reason: reason.map(str::to_owned),
        since: now(),
        agent_started_after: 2.0,
        steps: Vec::new(),
        last_seen: Some(now()),
        failing: Vec::new(),
        draining: None,
        notices: Vec::new(),
        etcd_alarms: Vec::new(),
    };
    snapshot.boot.insert(id.to_owned(), status);
}

fn unanswered(may_come: bool) -> Unanswered {
    Unanswered { message: "no answer from https://203.0.113.7".to_owned(), hint: None, may_come }
}

fn said(check: &Check) -> String {
    format!("{} {}: {}", check.kind.name(), said_class(check), said_why(check))
}

fn said_class(check: &Check) -> &'static str {
    match check.outcome {
        Outcome::Pass => "pass",
        Outcome::Wait { .. } => "wait",
        Outcome::Fail { .. } => "fail",
    }
}

fn said_why(check: &Check) -> &str {
    match &check.outcome {
        Outcome::Pass => "",
        Outcome::Wait { why } | Outcome::Fail { why, .. } => why,
    }
}
