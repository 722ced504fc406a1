use super::*;
use crate::contract::auto_scaling::Group;

const NODE: &str = "i-00000000000000001";
const OTHER: &str = "i-00000000000000002";

fn labels(role: Role, group: &str) -> BTreeMap<String, String> {
    [
        (ZONE, "us-east-1a"),
        (REGION, "us-east-1"),
        (MACHINE_TYPE, "t3.medium"),
        (GROUP, group),
        (role_label(role), ""),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn node(ready: bool, labels: BTreeMap<String, String>) -> NodeFacts {
    NodeFacts { ready, labels, ..NodeFacts::default() }
}

fn one(name: &str, node: NodeFacts) -> BTreeMap<String, NodeFacts> {
    [(name.to_owned(), node)].into()
}

fn instance(id: &str, state: &str, group: &str, role: Role) -> Instance {
    Instance {
        id: id.into(),
        state: state.into(),
        launched: jiff::Timestamp::UNIX_EPOCH,
        group: Some(Group { name: group.into(), role }),
        zone: "us-east-1a".into(),
        machine_type: "t3.medium".into(),
        private_addresses: BTreeSet::new(),
        private_names: BTreeSet::new(),
        devices: BTreeSet::new(),
        source_dest_check: true,
    }
}

fn actions(nodes: &BTreeMap<String, NodeFacts>, instances: &[Instance]) -> Vec<(String, Action)> {
    decide(nodes, instances, "us-east-1", &BTreeSet::new())
}

fn taint(key: &str, effect: &str) -> Taint {
    Taint { key: key.into(), effect: effect.into(), ..Taint::default() }
}

fn own() -> Own {
    Own { name: NODE.into(), region: "us-east-1".into(), default_taint: true, labels: BTreeSet::new() }
}

#[test]
fn a_node_goes_when_its_instance_is_terminated() {
    let mut nodes = one(NODE, node(true, labels(Role::Node, "nodes")));
    nodes.extend(one(OTHER, node(false, labels(Role::Node, "nodes"))));
    let instances = [
        instance(NODE, "terminated", "nodes", Role::Node),
        instance(OTHER, "shutting-down", "nodes", Role::Node),
    ];
    assert_eq!(actions(&nodes, &instances), [(NODE.to_owned(), Action::Remove)]);
}

#[test]
fn an_instance_that_ec2_does_not_show_has_to_be_missing_twice_and_its_node_down() {
    let missing = BTreeSet::from([NODE.to_owned()]);
    let down = one(NODE, NodeFacts::default());
    assert!(actions(&down, &[]).is_empty());
    assert_eq!(decide(&down, &[], "us-east-1", &missing), [(NODE.to_owned(), Action::Remove)]);
    assert!(decide(&one(NODE, node(true, [].into())), &[], "us-east-1", &missing).is_empty(), "it answers");
}

#[test]
fn nodes_of_other_making_are_left_alone() {
    let mut nodes = BTreeMap::new();
    for name in ["virtual-kubelet", "i-*", "i-1", NODE] {
        let mut node = Node::default();
        node.metadata.name = Some(name.to_owned());
        take(watcher::Event::Apply(node), &mut nodes, &mut None);
    }
    assert_eq!(nodes.keys().collect::<Vec<_>>(), [NODE]);
}

#[test]
fn a_node_is_labelled_with_what_ec2_knows_once() {
    let instances = [instance(NODE, "running", "a", Role::ControlPlane)];
    let new = one(NODE, node(false, [].into()));
    let [(_, Action::Label(set))] = &actions(&new, &instances)[..] else { panic!() };
    let set: BTreeMap<String, String> =
        set.iter().map(|(key, value)| ((*key).to_owned(), value.clone().unwrap())).collect();
    assert_eq!(set, labels(Role::ControlPlane, "a"));
    let labelled = one(NODE, node(true, set));
    assert!(actions(&labelled, &instances).is_empty());
    assert!(!is_unwell(&labelled[NODE]) && is_unwell(&new[NODE]));
}

#[test]
fn a_zone_that_the_specification_names_stays_and_a_group_that_nobody_else_may_name_does_not() {
    let instances = [instance(NODE, "running", "a", Role::Node)];
    let mut given = labels(Role::Node, "another");
    given.insert(ZONE.into(), "rack-7".into());
    let action = Action::Label([(GROUP, Some("a".to_owned()))].into());
    assert_eq!(actions(&one(NODE, node(true, given)), &instances), [(NODE.to_owned(), action)]);
}

#[test]
fn an_instance_in_no_group_of_the_cluster_gets_no_role() {
    let mut instance = instance(NODE, "running", "a", Role::Node);
    instance.group = None;
    let [(_, Action::Label(set))] = &actions(&one(NODE, node(true, [].into())), &[instance])[..] else {
        panic!()
    };
    assert_eq!(set.keys().copied().collect::<Vec<_>>(), [MACHINE_TYPE, REGION, ZONE]);
}

#[test]
fn a_master_is_tainted_while_there_are_groups_of_nodes_and_runs_pods_while_there_are_none() {
    let not_ready = taint("node.kubernetes.io/not-ready", "NoSchedule");
    let default = taint(CONTROL_PLANE, "NoSchedule");
    let mut node = NodeFacts { taints: vec![not_ready.clone()], ..NodeFacts::default() };
    let label = |value: Option<&str>| Action::Label([(NO_LOAD_BALANCERS, value.map(str::to_owned))].into());
    assert!(decide_own(&own(), &node, None).is_empty(), "unknown changes nothing");
    assert!(decide_own(&own(), &node, Some(false)).is_empty());
    assert_eq!(
        decide_own(&own(), &node, Some(true)),
        [Action::Taint(vec![not_ready.clone(), default.clone()]), label(Some(""))]
    );
    node.taints.push(default);
    node.labels.insert(NO_LOAD_BALANCERS.into(), String::new());
    assert!(decide_own(&own(), &node, None).is_empty(), "unknown changes nothing");
    assert!(decide_own(&own(), &node, Some(true)).is_empty());
    assert_eq!(decide_own(&own(), &node, Some(false)), [Action::Taint(vec![not_ready]), label(None)]);
}

#[test]
fn taints_and_labels_that_the_specification_names_are_left_alone() {
    let named = Own { default_taint: false, labels: BTreeSet::from([NO_LOAD_BALANCERS.to_owned()]), ..own() };
    let bare = NodeFacts::default();
    assert!(decide_own(&named, &bare, Some(true)).is_empty());
    let tainted = NodeFacts { taints: vec![taint(CONTROL_PLANE, "NoSchedule")], ..NodeFacts::default() };
    assert!(decide_own(&named, &tainted, Some(false)).is_empty());
}

#[test]
fn ec2_is_asked_about_those_that_are_not_well_and_now_and_then_about_all() {
    let mut nodes = one(NODE, node(true, labels(Role::Node, "nodes")));
    nodes.extend(one(OTHER, node(false, labels(Role::Node, "nodes"))));
    let mut seen = Seen::default();
    let mut now = Instant::now();
    assert!(seen.due(&BTreeMap::new(), now).is_empty(), "nothing is listed yet");
    assert_eq!(seen.due(&nodes, now).len(), 2, "at first about all");
    assert!(seen.due(&nodes, now).is_empty());
    now += UNWELL;
    assert_eq!(seen.due(&nodes, now).into_keys().collect::<Vec<_>>(), [OTHER]);
    nodes.insert("i-00000000000000003".into(), NodeFacts::default());
    let new = seen.due(&nodes, now).into_keys().collect::<Vec<_>>();
    assert_eq!(new, ["i-00000000000000003"], "new ones at once");
    now += ROUTINE;
    assert_eq!(seen.due(&nodes, now).len(), 3);
}
