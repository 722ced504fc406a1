//! Updating and deleting a cluster, on the emulated region, by the operations that commands call: [`SettledUpdate`],
//! [`PreparedDeletion`], [`planning::observe`], each under the lease where a command holds it. The state is in a bucket of
//! the region, as every cluster's is.
//!
//! Three things are done below the operations:
//!
//! - What is killed here is a future, and the process that holds the lease lives on, so that nobody could take the lease
//!   over: [`World::update_killed_after`] applies without it. Processes that are killed are in `kills.rs`.
//! - [`World::carry_out`] carries out plans that no operation makes: of resources that no specification asks for, and those
//!   that an update refuses, because what etcd has written or the API's address would be lost.
//! - A few tests measure or refuse one part of an operation by itself (`calls.rs`).

mod api_name;
mod calls;
mod controllers;
mod drift;
mod existing;
mod existing_security_groups;
mod external_load_balancers;
mod faults;
mod gateway_endpoint;
mod group_settings;
mod image_parameters;
mod interface_endpoints;
mod interruption;
mod ipv6;
mod killed;
mod killed_again_and_again;
mod load_balancer;
mod parts;
mod private_zone;
mod pruning;
mod refused;
mod removed_subnets;
mod replacement;
mod skew;
mod volumes;
mod workload_identity;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{LazyLock, Mutex};
use std::time::SystemTime;

use localcloud::process::Owned;
use localcloud::region::Region;
use serde_json::{Value, json};
use windlass::apply::{self, Event, Run, Summary};
use windlass::aws::facts::FactsError;
use windlass::aws::{Clients, tags};
use windlass::cloud::{Context, Departures, Identities, Kind, Observed, Strangers};
use windlass::model::Desired;
use windlass::ops::deletion::{self, PreparedDeletion};
use windlass::ops::lease_guard::Listen;
use windlass::ops::planning::{self, PlanningInput};
use windlass::ops::{LeaseGuard, Located, OperationError, SettledUpdate, Stop};
use windlass::pki::keyset;
use windlass::plan::Plan;
use windlass::spec::v1alpha2::{self, InstanceGroupRole, Object as _};
use windlass::spec::{CreateOptions, Documents, create};
use windlass::state::bucket::create_bucket;
use windlass::state::{ClusterState, Condition, Journal, LeaseError, StateError, Store};
use windlass_bootstrap::keys;

use crate::support::region::machine_image;

const NAME: &str = "demo.example.com";
const REGION: &str = "us-east-1";
const BUCKET: &str = "clusters";

/// A region with an image, and a cluster's state in it.
struct World {
    region: Region,
    _process: Owned,
    clients: Clients,
    state: ClusterState,
    /// What the user wants, which needn't be written into the state to be applied.
    documents: Documents,
}

/// What one update or deletion did.
struct Outcome {
    plan: Plan,
    summary: Summary,
    events: Vec<String>,
}

/// Nobody hears of what the lease guard does besides; a lease that isn't given back fails the test.
#[derive(Debug)]
struct Unheard;

impl Listen for Unheard {
    fn finished_change(&self, _: &Journal) {}

    fn not_released(&self, error: &LeaseError) {
        panic!("{error}");
    }
}

impl World {
    async fn new() -> Self {
        Self::of(specification()).await
    }

    async fn of(documents: Documents) -> Self {
        let (region, process) = Region::fork(REGION).await.unwrap();
        let clients = Clients::for_endpoint(REGION, &format!("http://{}", region.address())).await;
        let state = new_state(&region, &clients, &documents).await;
        Self { region, _process: process, clients, state, documents }
    }

    /// Forgets everything, but for the image and what the user wants.
    async fn reset(&mut self) {
        self.region.post("reset", &json!({})).await.unwrap();
        self.state = new_state(&self.region, &self.clients, &self.documents).await;
    }

    /// The cluster's place, and which resources are its own.
    async fn located(&self) -> Located {
        Box::pin(Located::find(&self.state, REGION)).await.unwrap()
    }

    /// The cluster's uid, as the first update makes it.
    async fn uid(&self) -> String {
        let mut located = self.located().await;
        located.settle(&self.state).await.unwrap();
        located.uid().unwrap().to_owned()
    }

    async fn observe(&self) -> Observed {
        let located = self.located().await;
        Box::pin(planning::observe(&located, &self.state, Strangers::Refuse)).await.unwrap()
    }

    /// What `update cluster` shows without `--yes`.
    async fn plan(&self) -> Plan {
        self.try_plan().await.unwrap()
    }

    async fn try_plan(&self) -> Result<Plan, OperationError> {
        let planning = async {
            // A command of its own knows nothing of the state yet.
            self.state.look().await?;
            let (mut input, secrets) = PlanningInput::gather_with_keys(&self.state, &self.documents).await?;
            Ok(input.decide(&self.state, secrets.as_ref()).await?.plan)
        };
        // Futures of operations are large, and those of tests hold several.
        Box::pin(planning).await
    }

    /// Why what the user wants can't be made on AWS.
    async fn refusal(&self) -> FactsError {
        match self.try_plan().await {
            Err(OperationError::NotOnAws(error)) => error,
            Err(error) => panic!("another refusal: {error:?}"),
            Ok(plan) => panic!("it can be made:\n{plan}"),
        }
    }

    /// What `update cluster --yes` does.
    async fn update(&self) -> Outcome {
        let stop = Stop::never();
        let guard = self.guard("update cluster", &stop);
        Box::pin(guard.holding(Box::pin(self.update_under_lease()))).await.unwrap()
    }

    async fn update_under_lease(&self) -> Result<Outcome, OperationError> {
        let update = self.prepare().await?;
        self.apply(update).await
    }

    /// All of an update but its application.
    async fn prepare(&self) -> Result<SettledUpdate, OperationError> {
        Box::pin(SettledUpdate::prepare(&self.state, &self.documents)).await
    }

    async fn apply(&self, update: SettledUpdate) -> Result<Outcome, OperationError> {
        let (stop, waits) = (Stop::never(), Waits::default());
        let summary = Box::pin(update.apply(&self.state, &stop, &|event| waits.note(&event))).await?;
        Ok(Outcome { plan: update.prepared.plan, summary, events: waits.noted() })
    }

    /// What `delete cluster --yes` does.
    async fn delete(&self) -> Outcome {
        self.try_delete().await.unwrap()
    }

    async fn try_delete(&self) -> Result<Outcome, OperationError> {
        // Before the lease, which would be something of a cluster that isn't there.
        self.state.store().forget();
        Box::pin(deletion::locate(&self.state)).await?;
        let stop = Stop::never();
        let work = async {
            let located = Box::pin(deletion::locate(&self.state)).await?;
            let looking = PreparedDeletion::look(&self.state, located.as_ref(), false);
            let prepared = Box::pin(looking).await?;
            self.delete_prepared(located.as_ref(), prepared).await
        };
        let guard = self.guard("delete cluster", &stop);
        Box::pin(guard.holding_unfinished(Box::pin(work))).await
    }

    async fn delete_prepared(
        &self,
        located: Option<&Located>,
        prepared: PreparedDeletion,
    ) -> Result<Outcome, OperationError> {
        let (stop, waits) = (Stop::never(), Waits::default());
        let listen = |event: Event<'_>| waits.note(&event);
        let deleting = deletion::carry_out(&self.state, located, &prepared, "delete cluster", &stop, &listen);
        let summary = Box::pin(deleting).await?;
        Ok(Outcome { plan: prepared.plan, summary, events: waits.noted() })
    }

    fn guard<'a>(&'a self, command: &'a str, stop: &'a Stop) -> LeaseGuard<'a> {
        LeaseGuard { state: &self.state, command, allow_downgrade: false, stop, listen: &Unheard }
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
            _ = Box::pin(self.update_under_lease()) => {}
        }
    }

    /// Carries out a plan that no operation makes.
    async fn carry_out(&self, plan: Plan, desired: &Desired, observed: &Observed) -> Outcome {
        let located = self.located().await;
        let clients = located.clients.changing_once();
        let (ids, owner) = (Identities::new(observed), located.owner(&self.state));
        let (departures, run) = (Departures::default(), planning::run_id());
        let context =
            Context { run: &run, ..Context::new(&clients, self.state.store(), &owner, &ids, &departures) };
        let waits = Waits::default();
        let run = Run { plan: &plan, desired, observed, context };
        let summary = Box::pin(apply::run(run, pending(), &|event| waits.note(&event))).await;
        Outcome { plan, summary, events: waits.noted() }
    }

    /// AWS's id of the first resource of a kind whose name begins so.
    async fn id(&self, kind: Kind, name: &str) -> String {
        let observed = self.observe().await;
        let mut all = observed.0.iter();
        let found = all.find(|(id, _)| id.kind == kind && id.name.starts_with(name));
        found.unwrap_or_else(|| panic!("there is no {kind}/{name}…")).1.identity.id.clone()
    }

    /// The first group of nodes.
    fn nodes(&mut self) -> &mut v1alpha2::InstanceGroup {
        let is_of_nodes = |group: &&mut v1alpha2::InstanceGroup| is_of_nodes(group);
        self.documents.instance_groups.iter_mut().find(is_of_nodes).unwrap()
    }

    /// So many groups more, like the last one.
    fn add_groups(&mut self, count: usize) {
        let template = self.documents.instance_groups.last().unwrap().clone();
        for number in 0..count {
            let mut group = template.clone();
            group.metadata.name = Some(format!("more-{number}"));
            // The group's name is among them.
            group.spec.node_labels = None;
            self.documents.instance_groups.push(group);
        }
    }

    /// What was asked of AWS, but for the state's bucket, as `service:action`.
    async fn journal(&self, only_changes: bool) -> Vec<String> {
        let entries = self.region.journal().await.unwrap();
        let entries = entries.iter().filter(|entry| entry["service"] != "s3");
        let changes = entries.filter(|entry| !only_changes || entry["mutating"] == true);
        changes.map(|entry| format!("{}:{}", entry["service"], entry["action"]).replace('"', "")).collect()
    }

    /// Updates once more, and sees that nothing is planned, no changing call is made, and the region was asked for nothing
    /// that it doesn't implement.
    async fn has_nothing_to_do(&self) {
        self.forget_journal().await;
        let second = self.update().await.succeeded();
        assert!(second.plan.is_empty(), "the second plan:\n{}", second.plan);
        assert_eq!(self.journal(true).await, Vec::<String>::new());
        let unimplemented: Value = self.region.get("unimplemented").await.unwrap();
        assert_eq!(unimplemented, json!([]));
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

/// What a run waits for.
#[derive(Default)]
struct Waits(Mutex<Vec<String>>);

impl Waits {
    fn note(&self, event: &Event<'_>) {
        if let Event::Waiting { step, error, .. } = event {
            self.0.lock().unwrap().push(format!("{}: {error}", step.resource));
        }
    }

    fn noted(self) -> Vec<String> {
        self.0.into_inner().unwrap()
    }
}

/// The only RSA key of a cluster. The same for all clusters of these tests: to make one takes longer than an update does
/// in the region.
static SERVICE_ACCOUNT_KEYSET: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let keyset = keyset::generate(keyset::SERVICE_ACCOUNT, SystemTime::now()).unwrap();
    serde_json::to_vec(&keyset).unwrap()
});

/// Registers an image, and writes what the user wants into a new bucket.
async fn new_state(region: &Region, clients: &Clients, documents: &Documents) -> ClusterState {
    let version = documents.cluster.spec.kubernetes_version.as_deref().unwrap();
    region.post("images", &machine_image(version)).await.unwrap();
    Box::pin(create_bucket(clients, BUCKET, None)).await.unwrap();
    let store = Store::open(&format!("s3://{BUCKET}"), clients).await.unwrap();
    let state = ClusterState::new(store, NAME);
    Box::pin(state.create(documents)).await.unwrap();
    let key = keys::keyset(NAME, keyset::SERVICE_ACCOUNT);
    state.store().put(&key, SERVICE_ACCOUNT_KEYSET.clone(), Condition::Absent).await.unwrap();
    state
}

fn is_of_nodes(group: &v1alpha2::InstanceGroup) -> bool {
    group.spec.role == Some(InstanceGroupRole::Node)
}

fn specification() -> Documents {
    create(&options()).unwrap()
}

/// Private subnets behind NAT gateways, and the API by a load balancer.
fn private() -> Documents {
    let (topology, kind) = (Some("private".to_owned()), Some("public".to_owned()));
    create(&CreateOptions { topology, api_loadbalancer_type: kind, ..options() }).unwrap()
}

fn options() -> CreateOptions {
    CreateOptions {
        name: NAME.to_owned(),
        zones: vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()],
        node_count: Some(2),
        ssh_public_key: Some(
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIBiiE2GyAdsj0f9vQsSYwdJCjSJIbl5DGMLmQIGKnF7 me".to_owned(),
        ),
        ssh_access: vec!["203.0.113.0/24".to_owned(), "pl-0123456789abcdef0".to_owned()],
        cloud_labels: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        ..CreateOptions::default()
    }
}

/// All that there is in the region, objects of the state too, as `kind id`.
async fn leftovers(world: &World) -> Vec<String> {
    let inventory: BTreeMap<String, Vec<String>> = world.region.get("inventory").await.unwrap();
    let named = |(kind, ids): (String, Vec<String>)| ids.into_iter().map(move |id| format!("{kind} {id}"));
    inventory.into_iter().flat_map(named).collect()
}

/// How much there is of everything but objects of the state, where every attempt leaves a revision.
async fn counts(world: &World) -> BTreeMap<String, usize> {
    let inventory: BTreeMap<String, Vec<String>> = world.region.get("inventory").await.unwrap();
    let counted = inventory.into_iter().filter(|(kind, _)| kind != "objects");
    counted.map(|(kind, ids)| (kind, ids.len())).collect()
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
        world.has_nothing_to_do().await;
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
        world.add_groups(5);
        let outcome = world.update().await.succeeded();
        assert!(outcome.plan.steps.len() > 10, "{}", outcome.plan);
        assert_eq!(reads(&world).await, before);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_changed_field_is_the_only_change_and_a_new_template_version_is_the_group_s() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        world.nodes().spec.max_size = Some(7);
        let outcome = world.update().await.succeeded();
        let changed: Vec<_> = outcome.plan.steps.iter().map(|step| step.resource.kind).collect();
        assert_eq!(changed, [Kind::NodeGroups, Kind::AutoScalingGroup], "{}", outcome.plan);

        world.nodes().spec.machine_type = Some("t3.large".to_owned());
        let outcome = world.update().await.succeeded();
        let changed: Vec<_> = outcome.plan.steps.iter().map(|step| step.resource.kind).collect();
        assert_eq!(changed, [Kind::LaunchTemplate, Kind::AutoScalingGroup], "{}", outcome.plan);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_removed_label_and_a_removed_group_go_and_the_volume_of_a_removed_master_stays() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        world.documents.cluster.spec.cloud_labels = None;
        let removed = world.documents.instance_groups.pop().unwrap();
        assert!(is_of_nodes(&removed));
        let outcome = world.update().await.succeeded();
        assert!(
            outcome.plan.to_string().contains(&format!("- auto-scaling-group/{}.{NAME}", removed.name()))
        );
        assert!(world.plan().await.is_empty());

        // No specification is without masters.
        let mut desired = world.prepare().await.unwrap().prepared.desired;
        desired.0.retain(|id, _| {
            id.kind != Kind::Volume && id.kind != Kind::AddressReservation && !id.name.contains(".masters.")
        });
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
        let again = world.try_delete().await.err().unwrap();
        assert!(matches!(again, OperationError::State(StateError::Missing { .. })), "{again}");
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
        let again = world.plan().await;
        assert!(again.is_empty(), "{again}");
        let call = world.clients.ec2.delete_subnet_cidr_reservation();
        call.subnet_cidr_reservation_id(&reservation.identity.id).send().await.unwrap();
        let mended = world.update().await.succeeded();
        let changed: Vec<_> = mended.plan.steps.iter().map(|step| step.resource.kind).collect();
        assert_eq!(changed, [Kind::AddressReservation], "{}", mended.plan);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn an_address_that_is_not_wanted_any_more_is_kept() {
        let world = World::new().await;
        world.update().await.succeeded();
        // Every specification asks for one, as long as there is no other way to the API.
        let SettledUpdate { prepared, input, .. } = world.prepare().await.unwrap();
        let mut desired = prepared.desired;
        desired.0.retain(|id, _| id.kind != Kind::ElasticIp);
        let plan = Plan::update(&desired, &input.observed).unwrap();
        let outcome = world.carry_out(plan, &desired, &input.observed).await.succeeded();
        assert_eq!(outcome.plan.kept.iter().map(|id| id.kind).collect::<Vec<_>>(), [Kind::ElasticIp]);
        let addresses = world.clients.ec2.describe_addresses().send().await.unwrap();
        assert_eq!(addresses.addresses().len(), 1);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn an_impossible_zone_and_a_wrong_image_are_clear_errors() {
        let mut world = World::new().await;
        world.documents.cluster.spec.subnets.as_mut().unwrap()[1].zone = Some("us-east-1z".to_owned());
        let error = world.refusal().await;
        assert_eq!(
            error.to_string(),
            "`us-east-1z` is not an availability zone of us-east-1 that can be used"
        );
        assert!(error.hint().unwrap().contains("us-east-1a"), "{:?}", error.hint());

        world.documents = specification();
        world.documents.cluster.spec.kubernetes_version = Some("1.35.1".to_owned());
        for group in &mut world.documents.instance_groups {
            group.spec.image = Some("self/windlass-*".to_owned());
        }
        let error = world.refusal().await;
        assert!(
            error.to_string().contains("holds Kubernetes 1.36.3, the specification says Kubernetes 1.35.1"),
            "{error}"
        );
        assert!(error.hint().is_some());
        assert_eq!(world.journal(true).await.len(), 0);
    }
}
