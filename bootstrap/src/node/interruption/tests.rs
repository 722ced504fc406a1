//! What an agent does that is told of its instance's end.

use serde_json::{Value, json};

use super::*;
use crate::contract::config::LifecycleHooks;
use crate::testing::fake_api::FakeApi;
use crate::testing::fake_auto_scaling::FakeAutoScaling;
use crate::testing::fake_metadata::FakeMetadata;
use crate::testing::{agent, node_config};

const PODS: &str = "/api/v1/namespaces/default/pods";
const NODE: &str = "/api/v1/nodes/i-0123456789abcdef0";
const TARGET: &str = "autoscaling/target-lifecycle-state";

/// An agent on a node with pods of these names.
struct World {
    _folder: tempfile::TempDir,
    metadata: FakeMetadata,
    api: FakeApi,
    groups: FakeAutoScaling,
    watch: Watch,
}

impl World {
    /// The hook `drain` waits; whether the configuration names it says `hook`.
    async fn new(pods: &[&str], hook: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (metadata, api) = (FakeMetadata::start().await, FakeApi::start().await);
        let groups = FakeAutoScaling::start(&["drain"]).await;
        api.know("kubelet");
        let terminating = hook.then(|| "drain".to_owned());
        let lifecycle_hooks = LifecycleHooks { terminating, ..LifecycleHooks::default() };
        let config = crate::contract::config::NodeConfig { lifecycle_hooks, ..node_config() };
        let agent = Arc::new(agent(folder.path(), config).await);
        let kubeconfig = agent.host.path(NODE_KUBECONFIG);
        file::ensure(&kubeconfig, api.kubeconfig("kubelet"), file::PRIVATE).unwrap();
        let watch = watch_of(&agent, &metadata, &groups).await;
        let world = Self { _folder: folder, metadata, api, groups, watch };
        world.run_pods(pods);
        world
    }

    fn run_pods(&self, pods: &[&str]) {
        let pods: Vec<Value> = pods.iter().map(|name| pod(name)).collect();
        for pod in &pods {
            self.api.hold(&format!("{PODS}/{}", pod["metadata"]["name"].as_str().unwrap()), pod.clone());
        }
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods});
        self.api.hold("/api/v1/pods", list);
    }

    /// EC2 takes the instance in so many seconds.
    fn interrupt(&self, seconds: i64) {
        let time = Timestamp::now() + SignedDuration::from_secs(seconds);
        self.metadata.say("spot/instance-action", &json!({"action": "terminate", "time": time}).to_string());
    }

    fn report(&self) -> String {
        self.watch.agent.reporter.status().draining.unwrap_or_default()
    }

    fn evicted(&self) -> usize {
        self.api.held().iter().filter(|path| path.contains("/eviction/")).count()
    }

    fn cordoned(&self) -> bool {
        self.api.object(NODE).is_some_and(|node| node["spec"]["unschedulable"] == true)
    }

    /// What Auto Scaling was told, by the names of the actions.
    fn told(&self) -> Vec<String> {
        let told = self.groups.told();
        told.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    }
}

async fn watch_of(agent: &Arc<Agent>, metadata: &FakeMetadata, groups: &FakeAutoScaling) -> Watch {
    let lifecycle = groups.client(&agent.config, &agent.identity.id).await;
    Watch::new(agent.clone(), metadata.client(), lifecycle)
}

fn pod(name: &str) -> Value {
    json!({"metadata": {"name": name, "namespace": "default", "uid": name},
           "spec": {"containers": [], "terminationGracePeriodSeconds": 1}})
}

#[tokio::test]
async fn without_a_notice_nothing_is_done_and_what_is_only_told_is_reported() {
    let mut world = World::new(&["web"], true).await;
    world.metadata.say(TARGET, "InService");
    world.metadata.say("events/recommendations/rebalance", r#"{"noticeTime": "2026-11-21T01:00:00Z"}"#);
    world.watch.round().await.unwrap();
    assert!(!world.cordoned() && world.evicted() == 0 && world.told().is_empty() && !world.watch.drains);
    let notices = world.watch.agent.reporter.status().notices;
    assert!(notices[0].contains("since 2026-11-21T01:00:00Z"), "{notices:?}");
}

#[tokio::test]
async fn a_spot_instance_is_cordoned_and_drained_and_says_how_far_it_is() {
    let mut world = World::new(&["a", "b"], false).await;
    world.interrupt(120);
    world.watch.round().await.unwrap();
    assert!(world.cordoned() && world.watch.drains);
    assert_eq!(world.evicted(), 2);
    assert!(world.report().contains("(terminate)"), "{}", world.report());
    assert!(world.report().ends_with("draining: 2 pods left"), "{}", world.report());
    world.run_pods(&[]);
    world.watch.round().await.unwrap();
    assert!(world.report().ends_with(": drained"), "{}", world.report());
    assert!(!world.watch.drains && world.told().is_empty(), "no hook waits for it");
}

#[tokio::test]
async fn a_budget_is_honoured_until_shortly_before_the_end_and_named_meanwhile() {
    let mut world = World::new(&["web"], false).await;
    let cause =
        json!({"reason": "DisruptionBudget", "message": "The disruption budget web needs 2 healthy pods"});
    world.api.refuse_below(Some((&format!("{PODS}/web/eviction"), 429, json!({"causes": [cause]}))));
    world.interrupt(120);
    world.watch.round().await.unwrap();
    let report = world.report();
    assert!(
        report.ends_with("1 pod left; default/web: The disruption budget web needs 2 healthy pods"),
        "{report}"
    );
    assert!(world.api.object(&format!("{PODS}/web")).is_some());
    // Five seconds are kept back of the notice's time, and ten to end in.
    world.interrupt(14);
    world.watch.round().await.unwrap();
    assert!(world.api.object(&format!("{PODS}/web")).is_none(), "it is deleted");
}

#[tokio::test]
async fn a_hook_hears_that_its_work_goes_on_and_waits_no_more_once_the_node_is_drained() {
    let mut world = World::new(&["web"], true).await;
    world.metadata.say(TARGET, "Terminated");
    for _ in 0..2 {
        world.watch.round().await.unwrap();
    }
    assert_eq!(world.told(), ["RecordLifecycleActionHeartbeat"], "one in fifteen seconds");
    assert!(world.cordoned() && world.report().contains("its group ends this instance"));
    world.run_pods(&[]);
    for _ in 0..2 {
        world.watch.round().await.unwrap();
    }
    assert_eq!(world.told(), ["RecordLifecycleActionHeartbeat", "CompleteLifecycleAction"], "once");
    assert_eq!(world.groups.told()[1], "CompleteLifecycleAction nodes.demo drain i-0123456789abcdef0");
    assert!(!world.watch.drains);
}

#[tokio::test]
async fn a_hook_that_waits_only_after_load_balancers_have_drained_the_instance_is_completed_then() {
    let mut world = World::new(&[], true).await;
    world.groups.wait_no_more("drain");
    world.metadata.say(TARGET, "Terminated");
    for _ in 0..2 {
        world.watch.round().await.unwrap();
    }
    let asked = ["RecordLifecycleActionHeartbeat", "CompleteLifecycleAction", "CompleteLifecycleAction"];
    assert_eq!(world.told(), asked);
    assert!(!world.watch.completed && !world.watch.drains, "it asks again, and is in no hurry");
    world.groups.wait_for("drain");
    for _ in 0..2 {
        world.watch.round().await.unwrap();
    }
    assert_eq!(world.told()[3..], ["CompleteLifecycleAction"], "the one that was heard is the last");
    assert!(world.watch.completed);
}

#[tokio::test]
async fn an_agent_that_is_started_again_goes_on_with_the_drain_and_its_time() {
    let mut world = World::new(&["web"], true).await;
    world.metadata.say(TARGET, "Terminated");
    world.watch.round().await.unwrap();
    let since = world.watch.since();
    world.watch = watch_of(&world.watch.agent, &world.metadata, &world.groups).await;
    assert_eq!(world.watch.since(), since);
    world.run_pods(&[]);
    world.watch.round().await.unwrap();
    assert_eq!(world.told().last().unwrap(), "CompleteLifecycleAction");
    // Once more after that: the hook waits no more, which is nobody's fault.
    world.watch = watch_of(&world.watch.agent, &world.metadata, &world.groups).await;
    world.watch.round().await.unwrap();
    assert!(!world.watch.drains);
}

#[tokio::test]
async fn a_hook_is_completed_when_time_is_up_though_the_api_is_away() {
    let mut world = World::new(&["web"], true).await;
    world.api.break_below(Some("/api"));
    world.metadata.say(TARGET, "Terminated");
    let error = world.watch.round().await.unwrap_err();
    assert!(chain(&error).contains("cordon"), "{}", chain(&error));
    assert!(world.report().contains("not drained"), "{}", world.report());
    assert!(!world.told().contains(&"CompleteLifecycleAction".to_owned()));
    let long_ago = Timestamp::now() - LONGEST;
    let since = world.watch.agent.host.path(root::RUN).join(SINCE);
    file::ensure(&since, long_ago.to_string(), file::PUBLIC).unwrap();
    world.watch.round().await.unwrap_err();
    assert_eq!(world.told().last().unwrap(), "CompleteLifecycleAction");
}

#[tokio::test]
async fn without_a_hook_of_ours_nobody_is_told_that_an_instance_ends() {
    let mut world = World::new(&["web"], false).await;
    world.metadata.say(TARGET, "Terminated");
    world.watch.round().await.unwrap();
    assert!(!world.cordoned() && world.told().is_empty());
}

#[tokio::test]
async fn a_spot_notice_in_a_drain_for_a_hook_brings_the_end_nearer() {
    let world = World::new(&[], true).await;
    world.metadata.say(TARGET, "Terminated");
    let time = Timestamp::now() + SignedDuration::from_secs(100);
    let spot = Some(SpotNotice { action: "terminate".into(), time });
    let notices = Notices { spot, ..Notices::default() };
    assert_eq!(world.watch.ending(&notices, true).unwrap().end, time - MARGIN);
    let without = Notices::default();
    assert!(world.watch.ending(&without, true).unwrap().end > time);
    assert_eq!(world.watch.ending(&without, false), None);
}
