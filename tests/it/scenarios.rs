//! Scenarios: a specification in, and out of it everything that it decides, as files that people read: the first
//! plan, the policies, the node configurations, the user data. `SNAPSHOTS=overwrite` writes them anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use snapbox::{Assert, Data};
use windlass::assets::addons;
use windlass::assets::user_data::StateLocation;
use windlass::aws::facts::{Facts, Image};
use windlass::aws::hosted_zone::HostedZone;
use windlass::cloud::state_object::{Content, StateObject};
use windlass::cloud::{Observed, Resource};
use windlass::model::{self, Desired, Inputs, Keys};
use windlass::plan::Plan;
use windlass::spec::{self, Source, cluster::Cluster};
use windlass_bootstrap::keyset::Secret;

const SECRET: &str = "-----BEGIN PRIVATE KEY-----\nthis is a secret\n-----END PRIVATE KEY-----";

#[test]
fn a_specification_decides_everything_that_is_made() {
    for scenario in scenarios() {
        let desired = desired(&scenario);
        let plan = Plan::update(&desired, &Observed::default()).unwrap();
        matches(&scenario.join("plan.txt"), &plan.to_string());
        for (path, text) in documents(&desired) {
            matches(&scenario.join(path), &text);
        }
    }
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
    let cluster = documents.complete().unwrap();
    let facts = facts(&cluster);
    let kms_key = std::fs::read_to_string(scenario.join("kms-key")).ok().map(|key| key.trim().to_owned());
    let (url, region) = ("s3://clusters/teams/a".to_owned(), "eu-central-1".to_owned());
    let state = StateLocation { url, region, kms_key };
    let addons = addons::render(&cluster).unwrap();
    let keys = keys(&cluster);
    model::build(&Inputs {
        cluster: &cluster,
        facts: &facts,
        state: &state,
        keys: &keys,
        addons: &addons,
        additional_objects: &[],
    })
    .unwrap()
}

fn facts(cluster: &Cluster) -> Facts {
    let image = Image {
        id: "ami-0123456789abcdef0".to_owned(),
        name: "windlass".to_owned(),
        root_device: "/dev/xvda".to_owned(),
    };
    Facts {
        account: "123456789012".to_owned(),
        partition: "aws".to_owned(),
        region: cluster.region.clone(),
        images: cluster.instance_groups.iter().map(|group| (group.name.clone(), image.clone())).collect(),
        hosted_zone: cluster
            .api
            .dns
            .as_ref()
            .map(|_| HostedZone { id: "Z0123456789ABCDEFGHIJ".to_owned(), name: "example.com".to_owned() }),
    }
}

fn keys(cluster: &Cluster) -> Keys {
    let object = StateObject {
        name: windlass_bootstrap::keys::keyset(&cluster.name, "kubernetes-ca"),
        describes: "the keyset kubernetes-ca".to_owned(),
        names: [].into(),
        content: Some(Content::Secret { keys: vec!["1".to_owned()], text: Secret::new(SECRET) }),
    };
    Keys { kubernetes_ca: "-----BEGIN CERTIFICATE-----\n…\n".to_owned(), objects: vec![object] }
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
            Resource::StateObject(object) => {
                let Some(Content::Open(text)) = &object.content else { continue };
                if let Some(group) = object.describes.strip_prefix("the node configuration of ") {
                    files.insert(format!("node-configurations/{group}.json"), format!("{text}\n"));
                }
            }
            Resource::LaunchTemplate(template) => {
                let user_data = serde_json::from_str::<serde_json::Value>(&template.user_data).unwrap();
                files.insert(format!("user-data/{}.json", template.name), format!("{user_data:#}\n"));
            }
            _ => {}
        }
    }
    files
}

fn matches(file: &Path, actual: &str) {
    Assert::new().action_env("SNAPSHOTS").eq(actual, Data::read_from(file, None));
}
