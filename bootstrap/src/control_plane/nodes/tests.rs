use std::net::Ipv4Addr;

use super::*;
use crate::contract::auto_scaling::Group;
use crate::testing::fake_api::FakeApi;
use crate::testing::fake_ec2::FakeEc2;

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
        network_interface: None,
        prefixes: Vec::new(),
        private_names: BTreeSet::new(),
        devices: BTreeSet::new(),
        source_dest_check: true,
    }
}

fn actions(nodes: &BTreeMap<String, NodeFacts>, instances: &[Instance]) -> Vec<(String, Action)> {
    decide(nodes, instances, &place(), &BTreeSet::new())
}

fn taint(key: &str, effect: &str) -> Taint {
    Taint { key: key.into(), effect: effect.into(), ..Taint::default() }
}

fn place() -> Place {
    Place { region: "us-east-1".into(), has_prefixes: false }
}

fn own() -> Own {
    Own { name: NODE.into(), place: place(), default_taint: true, labels: BTreeSet::new() }
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
    assert_eq!(decide(&down, &[], &place(), &missing), [(NODE.to_owned(), Action::Remove)]);
    assert!(decide(&one(NODE, node(true, [].into())), &[], &place(), &missing).is_empty(), "it answers");
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
    assert!(!is_unwell(&labelled[NODE], &place()) && is_unwell(&new[NODE], &place()));
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
    assert!(seen.due(&BTreeMap::new(), &place(), now).is_empty(), "nothing is listed yet");
    assert_eq!(seen.due(&nodes, &place(), now).len(), 2, "at first about all");
    assert!(seen.due(&nodes, &place(), now).is_empty());
    now += UNWELL;
    assert_eq!(seen.due(&nodes, &place(), now).into_keys().collect::<Vec<_>>(), [OTHER]);
    nodes.insert("i-00000000000000003".into(), NodeFacts::default());
    let new = seen.due(&nodes, &place(), now).into_keys().collect::<Vec<_>>();
    assert_eq!(new, ["i-00000000000000003"], "new ones at once");
    now += ROUTINE;
    assert_eq!(seen.due(&nodes, &place(), now).len(), 3);
}

const PREFIX: &str = "2001:db8:0:1:b00::/80";

#[test]
fn in_an_ipv6_cluster_a_node_s_pods_have_the_first_prefix_of_its_instance_and_keep_it() {
    let in_ipv6 = Place { has_prefixes: true, ..place() };
    let prefix: Ipv6Net = PREFIX.parse().unwrap();
    let mut instance = instance(NODE, "running", "nodes", Role::Node);
    instance.prefixes = vec![prefix, "2001:db8:0:1:c00::/80".parse().unwrap()];
    let new = one(NODE, node(true, labels(Role::Node, "nodes")));
    let decided = |nodes: &BTreeMap<String, NodeFacts>, place: &Place| {
        decide(nodes, std::slice::from_ref(&instance), place, &BTreeSet::new())
    };
    assert_eq!(decided(&new, &in_ipv6), [(NODE.to_owned(), Action::PodRange(prefix))]);
    assert!(is_unwell(&new[NODE], &in_ipv6), "EC2 is asked until it has one");
    assert_eq!(decided(&new, &place()), [], "elsewhere kube-controller-manager hands them out");
    let ranged = one(NODE, NodeFacts { has_pod_range: true, ..new[NODE].clone() });
    assert_eq!(decided(&ranged, &in_ipv6), [], "one that is set stays");
    assert!(!is_unwell(&ranged[NODE], &in_ipv6));
}

#[test]
fn one_master_alone_has_prefixes_delegated() {
    let master = |name: &str, ready| one(name, node(ready, labels(Role::ControlPlane, "a")));
    let leading = |first: bool, second: bool| {
        let mut nodes = master(NODE, first);
        nodes.extend(master(OTHER, second));
        nodes.extend(one("i-00000000000000000", node(true, labels(Role::Node, "nodes"))));
        [NODE, OTHER].map(|name| leads(&Own { name: name.into(), ..own() }, &nodes))
    };
    assert_eq!(leading(true, true), [true, false]);
    assert_eq!(leading(false, true), [false, true], "the other one may be gone");
    assert_eq!(leading(false, false), [true, false], "without addresses of pods none is Ready");
    assert!(leads(&own(), &BTreeMap::new()));
}

#[test]
fn a_prefix_is_asked_for_where_a_running_instance_s_node_waits_for_one() {
    let in_ipv6 = Place { has_prefixes: true, ..place() };
    let nodes = one(NODE, node(true, labels(Role::Node, "nodes")));
    let running = Instance {
        network_interface: Some("eni-7".into()),
        ..instance(NODE, "running", "nodes", Role::Node)
    };
    let lacking = |instance: &Instance, nodes, place: &Place| {
        let found = lacking_prefixes(nodes, std::slice::from_ref(instance), place);
        found.into_iter().map(|(node, interface)| format!("{node} {interface}")).collect::<Vec<_>>()
    };
    assert_eq!(lacking(&running, &nodes, &in_ipv6), [format!("{NODE} eni-7")]);
    assert!(lacking(&running, &nodes, &place()).is_empty(), "not in this cluster");
    let ranged = one(NODE, NodeFacts { has_pod_range: true, ..NodeFacts::default() });
    assert!(lacking(&running, &ranged, &in_ipv6).is_empty());
    let has = Instance { prefixes: vec![PREFIX.parse().unwrap()], ..running.clone() };
    assert!(lacking(&has, &nodes, &in_ipv6).is_empty());
    let ending = Instance { state: "shutting-down".into(), ..running };
    assert!(lacking(&ending, &nodes, &in_ipv6).is_empty());
}

#[tokio::test]
async fn the_prefix_that_ec2_shows_first_of_an_instance_is_written_into_its_node() {
    const TOKEN: &str = "abcdef.0123456789abcdef";
    let (ec2, api) = (FakeEc2::start(Ipv4Addr::LOCALHOST).await, FakeApi::start().await);
    api.know(TOKEN);
    let prefixes = ["2001:db8:0:1:c00::/80", PREFIX].map(str::to_owned);
    ec2.change(|held| held.prefixes = Some(prefixes));
    let found = ec2.client().await.instance(NODE).await.unwrap().unwrap();
    assert_eq!(found.prefixes[0].to_string(), PREFIX, "the primary interface's");
    let controller = NodeController {
        client: api.client(TOKEN).await,
        ec2: ec2.client().await,
        own: Own { place: Place { has_prefixes: true, ..place() }, ..own() },
        groups: watch::channel(None).1,
    };
    let nodes = one(NODE, NodeFacts { uid: Some("7".to_owned()), ..node(true, labels(Role::Node, "nodes")) });
    let all: Api<Node> = Api::all(controller.client.clone());
    controller.look(&all, &nodes, &mut Seen::default()).await.unwrap();
    let written = api.object(&format!("/api/v1/nodes/{NODE}")).unwrap();
    assert_eq!(written["spec"], json!({"podCIDR": PREFIX, "podCIDRs": [PREFIX]}));
    assert_eq!(written["metadata"]["uid"], "7", "of another Node of that name nothing is written");
}

#[tokio::test]
async fn an_instance_that_has_no_prefix_gets_one_which_is_written_into_its_node() {
    const TOKEN: &str = "abcdef.0123456789abcdef";
    let (ec2, api) = (FakeEc2::start(Ipv4Addr::LOCALHOST).await, FakeApi::start().await);
    api.know(TOKEN);
    let controller = NodeController {
        client: api.client(TOKEN).await,
        ec2: ec2.client().await,
        own: Own { place: Place { has_prefixes: true, ..place() }, ..own() },
        groups: watch::channel(None).1,
    };
    let nodes = one(NODE, node(true, labels(Role::Node, "nodes")));
    let all: Api<Node> = Api::all(controller.client.clone());
    let (mut seen, path) = (Seen::default(), format!("/api/v1/nodes/{NODE}"));
    // EC2 has none to give.
    let error = controller.look(&all, &nodes, &mut seen).await.unwrap_err();
    assert!(error.to_string().contains(NODE) && api.object(&path).is_none(), "{error}");
    ec2.change(|held| held.free_prefix = Some(PREFIX.to_owned()));
    controller.look(&all, &nodes, &mut Seen::default()).await.unwrap();
    assert_eq!(api.object(&path).unwrap()["spec"]["podCIDRs"], json!([PREFIX]));
    assert_eq!(ec2.held().free_prefix, None, "it was asked for once");
}
