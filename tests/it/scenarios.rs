//! Scenarios: a specification in, and out of it everything that it decides, as files that people read: the first
//! plan, the policies, the node configurations, the user data. `SNAPSHOTS=overwrite` writes them anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use snapbox::{Assert, Data};
use windlass::cloud::by_controllers::{
    ClassicLoadBalancer, ControllersSecurityGroup, LoadBalancer, NetworkInterface, PersistentVolume,
    ReclaimMarks, TargetGroup,
};
use windlass::cloud::existing::Existing;
use windlass::cloud::service_account_role::ServiceAccountRole;
use windlass::cloud::state_object::Content;
use windlass::cloud::{Identity, Kind, Observed, ObservedResource, Resource, ResourceId};
use windlass::model::Desired;
use windlass::plan::Plan;
use windlass::spec::{self, Source};

use crate::support::desired::desired_of;

#[test]
fn a_specification_decides_everything_that_is_made() {
    for scenario in scenarios() {
        let desired = desired(&scenario);
        let plan = Plan::update(&desired, &without_cluster(&desired)).unwrap();
        matches(&scenario.join("plan.txt"), &plan.to_string());
        for (path, text) in documents(&desired) {
            matches(&scenario.join(path), &text);
        }
    }
}

/// IAM's quota for a role's own policies together, without white space, and EC2's for user data before it is encoded.
const POLICIES: usize = 10_240;
const USER_DATA: usize = 16 * 1024;

#[test]
fn every_name_and_every_document_is_as_long_as_aws_allows_at_most() {
    let name = "a-cluster-with-a-name-that-is-as-long-as-a-name-of-one-can-be.of-a-platform-team.production.eu.example.com";
    assert!(name.len() == 106, "{}", name.len());
    let group = "g".repeat(63);
    let several_etcd = include_str!("../scenarios/several-etcd/cluster.yaml");
    let several_etcd =
        several_etcd.replace("several-etcd.example.com", name).replace("nodes-us-east-1a", &group);
    let balancer = include_str!("../scenarios/load-balancer/cluster.yaml");
    let balancer = balancer.replace("load-balancer.example.com", name);
    let interruption = include_str!("../scenarios/interruption/cluster.yaml");
    let interruption =
        interruption.replace("interruption.example.com", name).replace("nodes-us-east-1a", &group);
    let longest = [several_etcd, balancer, interruption].map(|text| {
        let documents = spec::read(vec![Source { name: "cluster.yaml".to_owned(), text }]).unwrap();
        desired_of(&documents.resolve().unwrap(), None)
    });
    let all: Vec<Desired> = scenarios().iter().map(|scenario| desired(scenario)).chain(longest).collect();
    for (id, resource) in all.iter().flat_map(|desired| &desired.0) {
        let limit = match resource {
            Resource::Role(role) => {
                let policy = serde_json::to_string(&role.policy).unwrap();
                assert!(policy.len() <= POLICIES, "{id}: {}", policy.len());
                64
            }
            Resource::LaunchTemplate(template) => {
                assert!(template.user_data.len() <= USER_DATA, "{id}");
                128
            }
            Resource::InstanceProfile(_) => 128,
            Resource::Queue(_) => 80,
            Resource::EventRule(rule) => {
                assert!(rule.pattern.len() <= 2048, "{id}: {}", rule.pattern);
                64
            }
            Resource::StateObject(_) => 1024,
            Resource::NetworkLoadBalancer(_) | Resource::LoadBalancerTargetGroup(_) => 32,
            _ => 255,
        };
        assert!(id.name.len() <= limit, "{id} has {} characters", id.name.len());
        for (key, value) in resource.clone().tags_mut().cloned().unwrap_or_default() {
            assert!(key.len() <= 128 && value.len() <= 256, "{id}: {key}={value}");
        }
    }
}

#[test]
fn a_rule_names_the_cluster_s_groups_as_long_as_they_fit_into_its_pattern_and_else_their_ending() {
    let one = include_str!("../scenarios/interruption/cluster.yaml");
    let pattern = |more: usize| {
        let group = |number| {
            format!(
                "---\napiVersion: kops.k8s.io/v1alpha2\nkind: InstanceGroup\n\
                 metadata: {{name: more-{number}, labels: {{kops.k8s.io/cluster: interruption.example.com}}}}\n\
                 spec: {{role: Node, minSize: 0, maxSize: 1, machineType: t3.medium, subnets: [us-east-1a]}}\n"
            )
        };
        let text = one.to_owned() + &(0..more).map(group).collect::<String>();
        let documents = spec::read(vec![Source { name: "cluster.yaml".to_owned(), text }]).unwrap();
        let desired = desired_of(&documents.resolve().unwrap(), None);
        let rule = desired.0.values().find_map(|resource| match resource {
            Resource::EventRule(rule) if rule.name.ends_with("ASGLifecycle") => Some(rule.pattern.clone()),
            _ => None,
        });
        let rule = rule.unwrap();
        assert!(rule.len() <= 2048, "{rule}");
        serde_json::from_str::<serde_json::Value>(&rule).unwrap()["detail"]["AutoScalingGroupName"].clone()
    };
    let names = pattern(40);
    assert_eq!(names.as_array().unwrap().len(), 42, "nodes alone: {names}");
    assert!(names.as_array().unwrap().contains(&"more-39.interruption.example.com".into()));
    assert_eq!(pattern(80), serde_json::json!([{"suffix": ".interruption.example.com"}]));
}

#[test]
fn the_end_of_a_cluster_takes_everything_in_an_order_that_aws_accepts() {
    for scenario in scenarios() {
        let desired = desired(&scenario);
        let observed = as_made(&desired);
        let plan = Plan::deletion(&reclaim_marks(), &observed);
        let after = plan.steps.iter().map(|step| {
            let after: Vec<String> = step.after.iter().map(ToString::to_string).collect();
            format!("{} {}\n    after {}\n", step.action.verb(), step.resource, after.join(", "))
        });
        matches(&scenario.join("deletion.txt"), &plan.to_string());
        matches(&scenario.join("deletion-order.txt"), &after.collect::<Vec<_>>().concat());
        assert!(!plan.to_string().contains("this is a secret"));
        // What everything else is in goes last, and nothing of it before what uses it; what exists without the cluster stays.
        let has_vpc = desired.0.keys().any(|id| id.kind == Kind::Vpc);
        assert_eq!(plan.steps.last().unwrap().resource.kind == Kind::Vpc, has_vpc, "{}", scenario.display());
    }
}

/// What is found before anything is made: what exists already, without tags.
fn without_cluster(desired: &Desired) -> Observed {
    let mut observed = Observed::default();
    for resource in desired.0.values() {
        if let Resource::Existing(Existing { name, .. }) = resource {
            let found = Existing { name: name.clone(), tags: BTreeMap::new() };
            observed
                .extend(Kind::Existing, vec![ObservedResource::new(name, found.into(), Identity::new(name))]);
        }
    }
    observed
}

/// A cluster as it is found when all of it was made, with what controllers made in it.
fn as_made(desired: &Desired) -> Observed {
    let mut observed = Observed::default();
    let found = |resource: &Resource| {
        let id = resource.id();
        ObservedResource::new(&id.name, resource.clone(), Identity::new(format!("id of {id}")))
    };
    for resource in desired.0.values() {
        observed.extend(resource.kind(), vec![found(resource)]);
    }
    let first = |kind: Kind| desired.0.keys().find(|id| id.kind == kind).cloned();
    // In a network of somebody else's they are just there.
    let existing = || ResourceId::new(Kind::Existing, "vpc-0123456789abcdef0");
    let vpc = first(Kind::Vpc).unwrap_or_else(existing);
    let subnet = first(Kind::Subnet).unwrap_or_else(existing);
    let place = || vec![subnet.clone(), vpc.clone()];
    let with = |used: &[&ResourceId]| place().into_iter().chain(used.iter().copied().cloned()).collect();
    let group = ControllersSecurityGroup::new(
        "k8s-elb-a (sg-1)",
        vec![vpc.clone(), first(Kind::SecurityGroup).unwrap()],
    );
    let targets = TargetGroup::new("k8s-web", vec![vpc.clone()]);
    let (group, targets) = (Resource::from(group), Resource::from(targets));
    let mut kept = PersistentVolume::new("vol-2 (claim default/data)", Vec::new());
    kept.goes_with_cluster = false;
    let made: [Resource; 7] = [
        LoadBalancer::new("k8s-web", with(&[&targets.id(), &group.id()])).into(),
        ClassicLoadBalancer::new("a0123456789abcdef", with(&[&group.id()])).into(),
        NetworkInterface::new("eni-1", place()).into(),
        PersistentVolume::new("vol-1 (claim default/cache)", Vec::new()).into(),
        kept.into(),
        group,
        targets,
    ];
    for resource in &made {
        observed.extend(resource.kind(), vec![found(resource)]);
    }
    observed
}

fn reclaim_marks() -> Desired {
    let volumes = BTreeMap::from([("vol-1".to_owned(), "vol-1 (claim default/cache)".to_owned())]);
    let marks = Resource::ReclaimMarks(ReclaimMarks { name: "demo.example.com".to_owned(), volumes });
    Desired(BTreeMap::from([(marks.id(), marks)]))
}

#[test]
fn the_same_specification_gives_the_same_plan() {
    for scenario in scenarios() {
        let plan = || Plan::update(&desired(&scenario), &Observed::default()).unwrap();
        assert_eq!(serde_json::to_string(&plan()).unwrap(), serde_json::to_string(&plan()).unwrap());
    }
}

#[test]
fn no_form_of_a_plan_shows_a_secret() {
    for scenario in scenarios() {
        let desired = desired(&scenario);
        let plan = Plan::update(&desired, &Observed::default()).unwrap();
        let shown = format!("{plan}{plan:?}{}{desired:?}", serde_json::to_string(&plan).unwrap());
        assert!(!shown.contains("this is a secret"));
        assert!(shown.contains("control-plane/keysets/kubernetes-ca.json"));
    }
}

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

fn desired(scenario: &Path) -> Desired {
    let file = scenario.join("cluster.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let documents = spec::read(vec![Source { name: "cluster.yaml".to_owned(), text }]).unwrap();
    let kms_key = std::fs::read_to_string(scenario.join("kms-key")).ok().map(|key| key.trim().to_owned());
    desired_of(&documents.resolve().unwrap(), kms_key)
}

/// What is too long for the plan, by file.
fn documents(desired: &Desired) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for resource in desired.0.values() {
        match resource {
            Resource::Role(role) => {
                let policy = role.policy.as_ref().unwrap();
                files.insert(format!("policies/{}.json", role.name), format!("{policy:#}\n"));
            }
            Resource::ServiceAccountRole(ServiceAccountRole { role, .. }) => {
                files.insert(format!("trust/{}.json", role.name), format!("{:#}\n", role.trust));
            }
            Resource::StateObject(object) => {
                let Some(Content::Open(text)) = &object.content else { continue };
                if let Some(group) = object.describes.strip_prefix("the node configuration of ") {
                    files.insert(format!("node-configurations/{group}.json"), format!("{text}\n"));
                }
            }
            Resource::Queue(queue) => {
                let policy = queue.policy.as_ref().unwrap();
                files.insert(format!("policies/{}.json", queue.name), format!("{policy:#}\n"));
            }
            Resource::LaunchTemplate(template) => {
                let (ending, text) = user_data(&template.user_data);
                files.insert(format!("user-data/{}.{ending}", template.name), text);
            }
            _ => {}
        }
    }
    files
}

/// User data as people read it, and the ending of its file.
fn user_data(text: &str) -> (&'static str, String) {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(boot) => ("json", format!("{boot:#}\n")),
        Err(_) => ("txt", text.to_owned()),
    }
}

fn matches(file: &Path, actual: &str) {
    Assert::new().action_env("SNAPSHOTS").eq(actual, Data::read_from(file, None));
}
