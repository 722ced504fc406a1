//! What groups of nodes mean for everything else: for masters nothing but an object that they follow.

use std::collections::BTreeMap;

use windlass::cloud::launch_template::LaunchTemplate;
use windlass::cloud::state_object::{Content, StateObject};
use windlass::cloud::{Kind, Resource, ResourceKind};
use windlass::model::Desired;
use windlass::spec::cluster::{Cluster, InstanceGroup, Instances, Nodes, Purchase, SpotPrice, Taint};
use windlass::spec::{CreateOptions, create};
use windlass_bootstrap::config::{NodeConfig, Role};
use windlass_bootstrap::node_groups::Size;

use crate::support::desired::desired_of;

fn demo() -> Cluster {
    let options = CreateOptions {
        name: "demo.example.com".to_owned(),
        zones: vec!["us-east-1a".to_owned()],
        ..CreateOptions::default()
    };
    create(&options).unwrap().resolve().unwrap()
}

fn taint(key: &str, value: Option<&str>, effect: &str) -> Taint {
    Taint { key: key.to_owned(), value: value.map(str::to_owned), effect: effect.to_owned() }
}

fn nodes(cluster: &mut Cluster) -> &mut InstanceGroup {
    cluster.instance_groups.iter_mut().find(|group| group.role() == Role::Node).unwrap()
}

/// How many nodes there are, and where.
fn sizes(group: &mut InstanceGroup) -> &mut Nodes {
    match &mut group.instances {
        Instances::Node(nodes) => nodes,
        Instances::ControlPlane(_) | Instances::Bastion(_) | Instances::ApiServer(_) => {
            panic!("{} is no group of nodes", group.name)
        }
    }
}

/// The launch template of a group.
fn template(desired: &Desired, name: &str) -> LaunchTemplate {
    let found = desired.0.values().find_map(|resource| match resource {
        Resource::LaunchTemplate(template) if template.name == name => Some(template.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no launch template {name}"))
}

fn master(desired: &Desired) -> LaunchTemplate {
    template(desired, "control-plane-us-east-1a.masters.demo.example.com")
}

/// The configuration that the instances of a group read.
fn configuration(desired: &Desired, group: &str) -> NodeConfig {
    let describes = format!("the node configuration of {group}");
    let found =
        desired.0.values().find_map(|resource| match resource {
            Resource::StateObject(StateObject {
                describes: it, content: Some(Content::Open(text)), ..
            }) if *it == describes => Some(serde_json::from_str(text).unwrap()),
            _ => None,
        });
    found.unwrap_or_else(|| panic!("no configuration of {group}"))
}

fn followed(desired: &Desired) -> BTreeMap<String, Size> {
    let mut found = desired.0.values().filter(|resource| resource.kind() == Kind::NodeGroups);
    let Some(Resource::NodeGroups(groups)) = found.next() else { panic!("nothing to follow") };
    groups.document.clone().unwrap().groups
}

#[test]
fn a_group_of_nodes_that_comes_changes_or_goes_leaves_masters_as_they_are() {
    let cluster = demo();
    let before = desired_of(&cluster, None);
    assert_eq!(followed(&before), [("nodes-us-east-1a".to_owned(), Size { min: 1, max: 1 })].into());

    let mut more = cluster.clone();
    let mut group = InstanceGroup { name: "more".to_owned(), ..nodes(&mut more).clone() };
    sizes(&mut group).max_size = 9;
    more.instance_groups.push(group);
    assert_eq!(followed(&desired_of(&more, None)).len(), 2);

    let mut changed = cluster.clone();
    sizes(nodes(&mut changed)).min_size = 0;
    nodes(&mut changed).machine_type = "m5.large".to_owned();
    nodes(&mut changed).taints = vec![taint("team", Some("a"), "NoSchedule")];
    nodes(&mut changed).node_labels.insert("team".to_owned(), "a".to_owned());

    let mut gone = cluster;
    gone.instance_groups.retain(|group| group.role() == Role::ControlPlane);
    assert!(followed(&desired_of(&gone, None)).is_empty());

    for after in [more, changed, gone] {
        let after = desired_of(&after, None);
        assert_eq!(master(&after), master(&before));
        assert_ne!(followed(&after), followed(&before));
    }
}

#[test]
fn what_a_master_reads_taints_it_by_default_and_lets_the_agent_take_that_back() {
    let mut cluster = demo();
    let config = configuration(&desired_of(&cluster, None), "control-plane-us-east-1a");
    assert_eq!(config.kubelet.taints, ["node-role.kubernetes.io/control-plane=:NoSchedule"]);
    assert!(config.control_plane.unwrap().default_taint);
    let node = configuration(&desired_of(&cluster, None), "nodes-us-east-1a");
    assert!(node.kubelet.taints.is_empty());

    let master = cluster.instance_groups.iter_mut().find(|group| group.role() == Role::ControlPlane).unwrap();
    (master.taints, master.default_taint) = (Vec::new(), false);
    let config = configuration(&desired_of(&cluster, None), "control-plane-us-east-1a");
    assert!(config.kubelet.taints.is_empty() && !config.control_plane.unwrap().default_taint);
}

#[test]
fn a_group_carries_kops_tags_for_the_labels_and_taints_of_its_nodes() {
    let mut cluster = demo();
    let group = nodes(&mut cluster);
    group.taints = vec![taint("team", Some("a"), "NoSchedule"), taint("example.com/gpu", None, "NoExecute")];
    group.node_labels.insert("example.com/pool".to_owned(), "fast".to_owned());
    let desired = desired_of(&cluster, None);
    let found = desired.0.values().find_map(|resource| match resource {
        Resource::AutoScalingGroup(group) if group.name == "nodes-us-east-1a.demo.example.com" => {
            Some(&group.tags)
        }
        _ => None,
    });
    let tags = found.unwrap();
    let prefix = "k8s.io/cluster-autoscaler/node-template";
    for (key, value) in [
        ("kops.k8s.io/instancegroup".to_owned(), "nodes-us-east-1a"),
        (format!("{prefix}/label/kops.k8s.io/instancegroup"), "nodes-us-east-1a"),
        (format!("{prefix}/label/node-role.kubernetes.io/node"), ""),
        (format!("{prefix}/label/example.com/pool"), "fast"),
        (format!("{prefix}/taint/team"), "a:NoSchedule"),
        (format!("{prefix}/taint/example.com/gpu"), ":NoExecute"),
    ] {
        assert_eq!(tags.get(&key).map(String::as_str), Some(value), "{key}: {tags:#?}");
    }
    assert!(!master(&desired).tags.keys().any(|key| key.starts_with(&format!("{prefix}/taint/"))));
}

/// What changes in a group's template when something changes in the specification of the group; nothing changes in the
/// master's.
fn changes_of_template(change: impl Fn(&mut InstanceGroup)) -> Vec<(String, Option<String>, Option<String>)> {
    let mut cluster = demo();
    let before = desired_of(&cluster, None);
    change(nodes(&mut cluster));
    let after = desired_of(&cluster, None);
    assert_eq!(master(&after), master(&before));
    let name = "nodes-us-east-1a.demo.example.com";
    let changes = template(&after, name).fields().changes_from(&template(&before, name).fields());
    changes.into_iter().map(|change| (change.field, change.from, change.to)).collect()
}

fn added(field: &str, value: &str) -> (String, Option<String>, Option<String>) {
    (field.to_owned(), None, Some(value.to_owned()))
}

#[test]
fn a_price_is_in_the_template_of_its_group() {
    let price = SpotPrice::read("0.05").unwrap();
    let changes = changes_of_template(|group| group.purchase = Purchase::Spot(price.clone()));
    assert_eq!(changes, [added("spot.maxPrice", "0.05")]);
}

#[test]
fn security_groups_and_a_profile_that_exist_are_in_the_template_of_their_group() {
    let more = changes_of_template(|group| group.additional_security_groups = ["sg-1".to_owned()].into());
    assert_eq!(more, [added("securityGroups", "sg-1")]);
    let other = changes_of_template(|group| group.instance_profile = Some("web".to_owned()));
    let own = Some("nodes.demo.example.com".to_owned());
    assert_eq!(other, [("profile".to_owned(), own, Some("web".to_owned()))]);
}

#[test]
fn a_bandwidth_to_ebs_is_in_the_template_of_its_group() {
    assert_eq!(changes_of_template(|group| group.ebs_optimized = true), [added("ebsOptimized", "true")]);
}

#[test]
fn detailed_monitoring_changes_the_template_of_its_group_and_nothing_else() {
    let mut cluster = demo();
    let before = desired_of(&cluster, None);
    nodes(&mut cluster).detailed_monitoring = true;
    let after = desired_of(&cluster, None);
    let name = "nodes-us-east-1a.demo.example.com";
    let (plain, detailed) = (template(&before, name), template(&after, name));
    let changes = detailed.fields().changes_from(&plain.fields());
    let [change] = changes.as_slice() else { panic!("{changes:#?}") };
    assert_eq!((change.field.as_str(), change.to.as_deref()), ("monitoring", Some("detailed")));
    assert_eq!(change.from, None, "a template without it says nothing of monitoring");
    assert_ne!(detailed.version_digest(), plain.version_digest(), "new instances are launched of it");
    assert_eq!(master(&after), master(&before));
}
