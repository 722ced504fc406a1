//! Updating and deleting a cluster, on the emulated region.

mod api_name;
mod calls;
mod controllers;
mod drift;
mod existing;
mod gateway_endpoint;
mod pruning;
mod removed_subnets;
mod replacement;
mod volumes;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Mutex;

use localcloud::process::Process;
use localcloud::region::Region;
use serde_json::{Value, json};
use windlass::apply::{self, Event, Run, Summary};
use windlass::assets::addons;
use windlass::assets::user_data::StateLocation;
use windlass::aws::tags::{self, Owner};
use windlass::aws::{Clients, facts};
use windlass::cloud::state_object::{Content, StateObject};
use windlass::cloud::{self, Context, Departures, Identities, Kind, Observed};
use windlass::model::{self, Desired, Inputs, Keys};
use windlass::plan::Plan;
use windlass::spec::cluster::{self, Cluster, InstanceGroup, Instances};
use windlass::spec::{CreateOptions, create};
use windlass::state::Store;
use windlass_bootstrap::config::Role;
use windlass_bootstrap::keyset::Secret;

use crate::support::region::machine_image;

const NAME: &str = "demo.example.com";
const UID: &str = "0123456789abcdef0123456789abcdef";

/// A region with an image, and what is wanted in it.
struct World {
    region: Region,
    _process: Process,
    clients: Clients,
    store: Store,
    departures: Departures,
    cluster: Cluster,
    owner: Owner,
    run: &'static str,
}

/// What one update did.
struct Outcome {
    plan: Plan,
    summary: Summary,
    events: Vec<String>,
}

impl World {
    async fn new() -> Self {
        let (region, process) = Region::start("us-east-1").await.unwrap();
        let clients = Clients::for_endpoint("us-east-1", &format!("http://{}", region.address())).await;
        let world = Self {
            region,
            _process: process,
            clients,
            store: Store::memory(),
            departures: Departures::default(),
            cluster: specification(),
            owner: Owner::new(NAME, UID),
            run: "test",
        };
        world.register_image().await;
        world
    }

    async fn register_image(&self) {
        let image = machine_image(&self.cluster.kubernetes_version);
        self.region.post("images", &image).await.unwrap();
    }

    /// Forgets everything, but for the image.
    async fn reset(&mut self) {
        self.region.post("reset", &json!({})).await.unwrap();
        self.store = Store::memory();
        self.register_image().await;
    }

    async fn desired(&self) -> Desired {
        self.desired_of(&self.cluster).await
    }

    async fn desired_of(&self, cluster: &Cluster) -> Desired {
        let facts = facts::gather(cluster, &self.clients).await.unwrap();
        let state = StateLocation {
            url: "s3://clusters".to_owned(),
            region: "us-east-1".to_owned(),
            owner: "123456789012".to_owned(),
            kms_key: None,
        };
        let addons = addons::render(cluster).unwrap();
        let keys = keys();
        let inputs = Inputs {
            cluster,
            uid: UID,
            facts: &facts,
            state: &state,
            keys: &keys,
            addons: &addons,
            additional_objects: &[],
        };
        model::build(&inputs).unwrap()
    }

    async fn observe(&self) -> Observed {
        let ids = Identities::default();
        cloud::observe(&self.context(&self.clients, &ids)).await.unwrap()
    }

    fn context<'a>(&'a self, clients: &'a Clients, ids: &'a Identities) -> Context<'a> {
        let all = Context::new(clients, &self.store, &self.owner, ids, &self.departures);
        Context { run: self.run, ..all }
    }

    async fn update(&self) -> Outcome {
        let desired = self.desired().await;
        let observed = self.observe().await;
        let plan = Plan::update(&desired, &observed).unwrap();
        self.apply(plan, &desired, &observed).await
    }

    /// AWS's id of the first resource of a kind whose name begins so.
    async fn id(&self, kind: Kind, name: &str) -> String {
        let observed = self.observe().await;
        let mut all = observed.0.iter();
        let found = all.find(|(id, _)| id.kind == kind && id.name.starts_with(name));
        found.unwrap_or_else(|| panic!("there is no {kind}/{name}…")).1.identity.id.clone()
    }

    async fn delete(&self) -> Outcome {
        let mut observed = self.observe().await;
        cloud::observe_for_deletion(&self.context(&self.clients, &Identities::default()), &mut observed)
            .await
            .unwrap();
        let plan = Plan::deletion(&Desired::default(), &observed);
        self.apply(plan, &Desired::default(), &observed).await
    }

    /// What would be wanted if there were no masters; only for looking at the plan.
    async fn desired_without_masters(&self) -> Desired {
        let mut desired = self.desired_of(&specification()).await;
        desired.0.retain(|id, _| {
            id.kind != Kind::Volume && id.kind != Kind::AddressReservation && !id.name.contains(".masters.")
        });
        desired
    }

    /// An update that ends, with whatever is under way, as soon as so many changing calls have been answered.
    async fn update_killed_after(&self, calls: usize) {
        self.forget_journal().await;
        let killer = async {
            while self.journal(true).await.len() < calls {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = killer => {}
            _ = self.update() => {}
        }
    }

    async fn apply(&self, plan: Plan, desired: &Desired, observed: &Observed) -> Outcome {
        let clients = self.clients.without_retries();
        let ids = Identities::new(observed);
        let context = self.context(&clients, &ids);
        let events = Mutex::new(Vec::new());
        let listen = |event: Event<'_>| {
            if let Event::Waiting { step, error, .. } = event {
                events.lock().unwrap().push(format!("{}: {error}", step.resource));
            }
        };
        let run = Run { plan: &plan, desired, observed, context };
        let summary = apply::run(run, pending(), &listen).await;
        Outcome { plan, summary, events: events.into_inner().unwrap() }
    }

    /// What was asked of AWS, as `service:action`.
    async fn journal(&self, only_changes: bool) -> Vec<String> {
        let entries = self.region.journal().await.unwrap();
        let changes = entries.iter().filter(|entry| !only_changes || entry["mutating"] == true);
        changes.map(|entry| format!("{}:{}", entry["service"], entry["action"]).replace('"', "")).collect()
    }

    async fn forget_journal(&self) {
        self.region.forget_journal().await.unwrap();
    }
}

impl Outcome {
    fn succeeded(self) -> Self {
        assert!(self.summary.is_complete(), "{:#?}\n{:#?}", self.summary, self.events);
        self
    }
}

fn specification() -> Cluster {
    let options = CreateOptions {
        name: NAME.to_owned(),
        zones: vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()],
        node_count: Some(2),
        ssh_public_key: Some(
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIBiiE2GyAdsj0f9vQsSYwdJCjSJIbl5DGMLmQIGKnF7 me".to_owned(),
        ),
        ssh_access: vec!["203.0.113.0/24".to_owned(), "pl-0123456789abcdef0".to_owned()],
        cloud_labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        ..CreateOptions::default()
    };
    create(&options).unwrap().resolve().unwrap()
}

fn keys() -> Keys {
    let object = StateObject {
        name: windlass_bootstrap::keys::keyset(NAME, "kubernetes-ca"),
        describes: "the keyset kubernetes-ca".to_owned(),
        names: [].into(),
        content: Some(Content::Secret { keys: vec!["1".to_owned()], text: Secret::new("secret") }),
    };
    Keys { kubernetes_ca: "certificate".to_owned(), objects: vec![object] }
}

/// What is left of the cluster in the region.
async fn leftovers(world: &World) -> Vec<String> {
    let now: Value = world.region.get("world").await.unwrap();
    let mut left: Vec<String> = ["vpcs", "subnets", "securityGroups", "volumes"]
        .iter()
        .flat_map(|kind| now[kind].as_array().unwrap().iter().map(|thing| thing["id"].to_string()))
        .collect();
    let instances = now["instances"].as_array().unwrap().iter();
    left.extend(
        instances
            .filter(|instance| instance["state"] != "terminated")
            .map(|instance| instance["id"].to_string()),
    );
    left.extend(
        world
            .observe()
            .await
            .0
            .into_keys()
            .filter(|id| !matches!(id.kind, Kind::StateObject | Kind::NodeGroups))
            .map(|id| id.to_string()),
    );
    left
}

/// How much there is of everything.
async fn counts(world: &World) -> BTreeMap<String, usize> {
    let inventory: BTreeMap<String, Vec<String>> = world.region.get("inventory").await.unwrap();
    inventory.into_iter().map(|(kind, ids)| (kind, ids.len())).collect()
}

/// Injects one fault.
async fn inject(world: &World, fault: &Value) {
    world.region.clear_faults().await.unwrap();
    world.region.inject(&json!([fault])).await.unwrap();
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn an_update_makes_the_cluster_and_a_second_one_has_nothing_to_do() {
        let world = World::new().await;
        world.update().await.succeeded();
        world.forget_journal().await;
        let second = world.update().await.succeeded();
        assert!(second.plan.is_empty(), "the second plan:\n{}", second.plan);
        assert_eq!(world.journal(true).await, Vec::<String>::new());
        let unimplemented: Value = world.region.get("unimplemented").await.unwrap();
        assert_eq!(unimplemented, json!([]));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn the_number_of_reads_does_not_grow_with_the_instance_groups() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let reads = async |world: &World| {
            world.forget_journal().await;
            world.observe().await;
            world.journal(false).await.len()
        };
        let before = reads(&world).await;
        let template = world.cluster.instance_groups.last().unwrap().clone();
        for number in 0..5 {
            let name = format!("more-{number}");
            world.cluster.instance_groups.push(InstanceGroup { name, ..template.clone() });
        }
        let outcome = world.update().await.succeeded();
        assert!(outcome.plan.steps.len() > 10, "{}", outcome.plan);
        assert_eq!(reads(&world).await, before);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_changed_field_is_the_only_change_and_a_new_template_version_is_the_group_s() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let group =
            world.cluster.instance_groups.iter_mut().find(|group| group.role() == Role::Node).unwrap();
        let Instances::Node(nodes) = &mut group.instances else { panic!("no nodes") };
        nodes.max_size += 1;
        let outcome = world.update().await.succeeded();
        let changed: Vec<_> = outcome.plan.steps.iter().map(|step| step.resource.kind).collect();
        assert_eq!(changed, [Kind::NodeGroups, Kind::AutoScalingGroup], "{}", outcome.plan);

        let group =
            world.cluster.instance_groups.iter_mut().find(|group| group.role() == Role::Node).unwrap();
        group.machine_type = "t3.large".to_owned();
        let outcome = world.update().await.succeeded();
        let changed: Vec<_> = outcome.plan.steps.iter().map(|step| step.resource.kind).collect();
        assert_eq!(changed, [Kind::LaunchTemplate, Kind::AutoScalingGroup], "{}", outcome.plan);
        assert!(world.update().await.plan.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_removed_label_and_a_removed_group_go_and_the_volume_of_a_removed_master_stays() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        world.cluster.cloud_labels.clear();
        let removed = world.cluster.instance_groups.pop().unwrap();
        assert_eq!(removed.role(), Role::Node);
        let outcome = world.update().await.succeeded();
        assert!(outcome.plan.to_string().contains(&format!("- auto-scaling-group/{}.{NAME}", removed.name)));
        assert!(world.update().await.plan.is_empty());

        let desired = world.desired_without_masters().await;
        let plan = Plan::update(&desired, &world.observe().await).unwrap();
        assert_eq!(plan.kept.len(), 1, "{plan}");
        assert!(plan.steps.iter().all(|step| step.resource.kind != Kind::Volume), "{plan}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_deletion_leaves_nothing_behind() {
        let world = World::new().await;
        world.update().await.succeeded();
        assert!(!leftovers(&world).await.is_empty());
        world.delete().await.succeeded();
        assert_eq!(leftovers(&world).await, Vec::<String>::new());
        assert!(world.delete().await.plan.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn throttling_and_lost_replies_of_every_kind_of_call_end_in_one_cluster() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let mut actions = world.journal(true).await;
        actions.sort();
        actions.dedup();
        assert!(actions.len() > 15, "{actions:?}");
        let expected = world.region.get::<Value>("world").await.unwrap()["vpcs"].as_array().unwrap().len();
        for action in actions {
            let (service, name) = action.split_once(':').unwrap();
            for after in [false, true] {
                world.reset().await;
                let fault = json!({
                    "service": service, "action": format!("^{name}$"), "code": "ServiceUnavailable", "status": 503,
                    "times": 1, "rate": 1.0, "latencyMs": 0, "after": after,
                });
                inject(&world, &fault).await;
                let outcome = world.update().await.succeeded();
                assert!(!outcome.events.is_empty(), "{action} was not hit");
                let again = world.update().await;
                assert!(again.plan.is_empty(), "{action}, lost reply: {after}:\n{}", again.plan);
                let vpcs =
                    world.region.get::<Value>("world").await.unwrap()["vpcs"].as_array().unwrap().len();
                assert_eq!(vpcs, expected, "{action}, lost reply: {after}");
            }
        }
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_is_seen_only_after_a_while_is_made_once() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let expected = counts(&world).await;
        world.reset().await;
        let unseen =
            json!({"action": "Create.*|AllocateAddress|ImportKeyPair", "unseenMs": 3000, "times": null});
        inject(&world, &unseen).await;
        let outcome = world.update().await.succeeded();
        assert!(!outcome.events.is_empty(), "nothing was unseen");
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert_eq!(counts(&world).await, expected);
        let again = world.update().await;
        assert!(again.plan.is_empty(), "{}", again.plan);
        world.region.clear_faults().await.unwrap();
        world.delete().await.succeeded();
        assert_eq!(leftovers(&world).await, Vec::<String>::new());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_a_lost_reply_has_made_and_is_seen_only_after_a_while_is_made_once() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let expected = counts(&world).await;
        world.reset().await;
        let action = "CreateVpc|CreateInternetGateway|CreateSubnet|CreateSubnetCidrReservation|CreateSecurityGroup|\
                      AllocateAddress|ImportKeyPair|CreateVolume|CreateRouteTable|CreateLaunchTemplate";
        let lost = json!({
            "action": action, "code": "ServiceUnavailable", "status": 503, "after": true, "unseenMs": 2000,
            "times": 10,
        });
        inject(&world, &lost).await;
        let outcome = world.update().await.succeeded();
        assert!(!outcome.events.is_empty(), "no reply was lost");
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert_eq!(counts(&world).await, expected);
        assert!(world.update().await.plan.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_volume_that_a_killed_run_made_and_nobody_sees_yet_is_not_made_again_by_the_next_run() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let expected = counts(&world).await;
        world.reset().await;
        inject(&world, &json!({"action": "CreateVolume", "unseenMs": 6000, "times": null})).await;
        world.forget_journal().await;
        let killer = async {
            while !world.journal(true).await.contains(&"ec2:CreateVolume".to_owned()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = killer => {}
            _ = world.update() => panic!("it was done before it was killed"),
        }
        world.run = "another";
        world.update().await.succeeded();
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        assert_eq!(counts(&world).await, expected);
        let again = world.update().await;
        assert!(again.plan.is_empty(), "{}", again.plan);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_reservation_is_known_by_its_range_and_description_and_somebody_else_s_is_left_alone() {
        let world = World::new().await;
        world.update().await.succeeded();
        let reservation =
            world.observe().await.0.into_iter().find(|(id, _)| id.kind == Kind::AddressReservation);
        let (_, reservation) = reservation.unwrap();
        let subnets = world.clients.ec2.describe_subnets().send().await.unwrap();
        let subnet =
            subnets.subnets().iter().find(|it| it.availability_zone() == Some("us-east-1a")).unwrap();
        let range: ipnet::Ipv4Net = subnet.cidr_block().unwrap().parse().unwrap();
        let call = world.clients.ec2.create_subnet_cidr_reservation().subnet_id(subnet.subnet_id().unwrap());
        let call = call.cidr(format!("{}/32", std::net::Ipv4Addr::from(u32::from(range.network()) + 99)));
        let explicit = aws_sdk_ec2::types::SubnetCidrReservationType::Explicit;
        call.reservation_type(explicit).description("by hand").send().await.unwrap();
        let again = world.update().await.succeeded();
        assert!(again.plan.is_empty(), "{}", again.plan);
        let call = world.clients.ec2.delete_subnet_cidr_reservation();
        call.subnet_cidr_reservation_id(&reservation.identity.id).send().await.unwrap();
        let mended = world.update().await.succeeded();
        let changed: Vec<_> = mended.plan.steps.iter().map(|step| step.resource.kind).collect();
        assert_eq!(changed, [Kind::AddressReservation], "{}", mended.plan);
        assert!(world.update().await.plan.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn an_address_that_is_not_wanted_any_more_is_kept() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        world.cluster.api.elastic_ip = false;
        let outcome = world.update().await.succeeded();
        assert_eq!(outcome.plan.kept.iter().map(|id| id.kind).collect::<Vec<_>>(), [Kind::ElasticIp]);
        let addresses = world.clients.ec2.describe_addresses().send().await.unwrap();
        assert_eq!(addresses.addresses().len(), 1);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn killed_at_any_changing_call_the_next_run_ends_in_the_same_place() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let calls = world.journal(true).await.len();
        assert!(calls > 30);
        for kill_after in 0..calls {
            world.reset().await;
            world.update_killed_after(kill_after).await;
            world.update().await.succeeded();
            let again = world.update().await;
            assert!(again.plan.is_empty(), "killed after {kill_after} calls:\n{}", again.plan);
        }
        world.delete().await.succeeded();
        assert_eq!(leftovers(&world).await, Vec::<String>::new());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn an_impossible_zone_and_a_wrong_image_are_clear_errors() {
        let mut world = World::new().await;
        let mut cluster = world.cluster.clone();
        cluster.subnets[1].zone = "us-east-1z".to_owned();
        let error = facts::gather(&cluster, &world.clients).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`us-east-1z` is not an availability zone of us-east-1 that can be used"
        );
        assert!(error.hint().unwrap().contains("us-east-1a"), "{:?}", error.hint());

        world.cluster.kubernetes_version = "1.35.1".to_owned();
        world.cluster.instance_groups.iter_mut().for_each(|group| group.image = "self/windlass-*".to_owned());
        let error = facts::gather(&world.cluster, &world.clients).await.unwrap_err();
        assert!(
            error.to_string().contains("holds Kubernetes 1.36.3, the specification says Kubernetes 1.35.1"),
            "{error}"
        );
        assert!(error.hint().is_some());
        assert_eq!(world.journal(true).await.len(), 0);
    }
}
