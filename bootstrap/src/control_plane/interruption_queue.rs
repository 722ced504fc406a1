//! Drains nodes of which AWS tells by the queue that they go: what each instance's own agent does for itself, it does for
//! those whose agent is silent, and before maintenance, of which no instance is told in time.
//!
//! A master that is gone in the middle of it leaves the message in the queue, from which another one reads it a minute later;
//! a drain that is longer than that goes on in the same way. Draining twice does no harm. Messages about what isn't a Node of
//! the cluster are left to run out, after five minutes.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::agent::Agent;
use crate::aws::AwsError;
use crate::aws::lifecycle::Lifecycle;
#[cfg(doc)]
use crate::aws::queue::HIDDEN;
use crate::aws::queue::{Message, Queue};
use crate::background::every::{Every, every};
use crate::contract::auto_scaling::Group;
use crate::kubernetes::api::{self, ADMIN_KUBECONFIG, ApiError};
use crate::node::drain;

/// The task. A request waits for messages by itself.
pub const TASK: Every = every("read_interruption_queue", Duration::from_secs(1)).at_once();

/// How long one message is worked on: ten seconds less than it is hidden from other masters ([`HIDDEN`]).
const TURN: Duration = Duration::from_secs(50);
/// How long to wait between two looks at the pods.
const PAUSE: Duration = Duration::from_secs(1);
/// How long after its notice EC2 takes a spot instance (EC2 User Guide, "Spot Instance interruption notices"), less what an
/// early end needs.
const SPOT: SignedDuration = SignedDuration::from_secs(115);
/// How long Auto Scaling waits at the hook when nobody tells it to wait longer.
const HOOK: SignedDuration = SignedDuration::from_mins(5);
/// Until when a node that nothing hurries is left to its disruption budgets.
const UNHURRIED: SignedDuration = SignedDuration::from_hours(1);

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// The queue.
    #[error("AWS's events about instances can't be read")]
    Queue(#[source] AwsError),
    /// The Kubernetes API.
    #[error("the node {0} can't be drained")]
    Drain(String, #[source] ApiError),
    /// Auto Scaling.
    #[error("Auto Scaling can't be told that {0} is drained")]
    Hook(String, #[source] AwsError),
}

/// An event of EventBridge's, as much of it as is read
/// (EventBridge User Guide, "Event structure").
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(rename = "detail-type")]
    kind: String,
    time: Timestamp,
    detail: Value,
}

/// An instance that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Going {
    instance: String,
    /// By when its pods must have ended.
    end: Timestamp,
    /// The Auto Scaling group that waits, and the hook at which it does.
    hook: Option<(String, String)>,
}

/// The task, of the queue of this name.
pub async fn read(agent: Arc<Agent>, name: String) {
    let queue = Queue::open(&agent.identity.region, &agent.access, &name).await;
    TASK.run(&agent.reporter, || read_once(&agent, &queue)).await;
}

async fn read_once(agent: &Agent, queue: &Queue) -> Result<(), QueueError> {
    let messages = queue.receive().await.map_err(QueueError::Queue)?;
    let outcomes = join_all(messages.iter().map(|message| heed(agent, queue, message))).await;
    outcomes.into_iter().collect()
}

/// Drains what a message is about, and takes the message out of the queue where all of it is done.
async fn heed(agent: &Agent, queue: &Queue, message: &Message) -> Result<(), QueueError> {
    let going = going(&message.body);
    let outcomes = join_all(going.iter().map(|going| leave(agent, going))).await;
    let done = outcomes.into_iter().collect::<Result<Vec<bool>, _>>()?;
    if !done.is_empty() && done.into_iter().all(|done| done) {
        queue.forget(message).await.map_err(QueueError::Queue)?;
    }
    Ok(())
}

/// Drains the node of an instance for one turn. Returns whether nothing is left to be done; not where it is no node of this
/// cluster.
async fn leave(agent: &Agent, going: &Going) -> Result<bool, QueueError> {
    let failed = |source| QueueError::Drain(going.instance.clone(), source);
    let client = api::connect_without_retries(&agent.host, ADMIN_KUBECONFIG).await.map_err(failed)?;
    if !is_node(&client, &going.instance).await.map_err(failed)? {
        return Ok(false);
    }
    tracing::warn!(instance = going.instance, end = %going.end, "AWS takes the instance: its node is drained");
    let over = Instant::now() + TURN;
    drain::cordon(&client, &going.instance).await.map_err(failed)?;
    while drain::round(&client, &going.instance, going.end).await.map_err(failed)?.pods > 0 {
        if Instant::now() >= over {
            return Ok(false);
        }
        tokio::time::sleep(PAUSE).await;
    }
    if let Some((group, hook)) = &going.hook
        && Group::read(group, &agent.config.cluster).is_some()
    {
        let Agent { identity, access, config, .. } = agent;
        let lifecycle = Lifecycle::of(&identity.region, access, config, group, &going.instance).await;
        let told = lifecycle.complete(hook).await;
        told.map_err(|source| QueueError::Hook(going.instance.clone(), source))?;
    }
    Ok(true)
}

async fn is_node(client: &Client, name: &str) -> Result<bool, ApiError> {
    let found = Api::<Node>::all(client.clone()).get_opt(name).await;
    found
        .map(|node| node.is_some())
        .map_err(|source| ApiError::request(format!("look for the node {name}"), source))
}

/// The instances that go by what an event says; none where it says nothing of any.
fn going(event: &str) -> Vec<Going> {
    let Ok(Event { kind, time, detail }) = serde_json::from_str(event) else { return Vec::new() };
    let text = |name: &str| detail[name].as_str().unwrap_or_default().to_owned();
    let one = |instance: String, end: SignedDuration, hook: Option<(String, String)>| {
        if instance.is_empty() { Vec::new() } else { vec![Going { instance, end: time + end, hook }] }
    };
    match kind.as_str() {
        "EC2 Instance-terminate Lifecycle Action" => {
            let hook = (text("AutoScalingGroupName"), text("LifecycleHookName"));
            one(text("EC2InstanceId"), HOOK, Some(hook))
        }
        // Of the latter, what counts is that others begin its pods anew: it is going down already.
        "EC2 Spot Instance Interruption Warning" | "EC2 Instance State-change Notification" => {
            one(text("instance-id"), SPOT, None)
        }
        // Degraded hardware doesn't wait for the day that is announced.
        "AWS Health Event" => {
            let entities = detail["affectedEntities"].as_array().into_iter().flatten();
            let instances = entities.filter_map(|entity| entity["entityValue"].as_str());
            instances.flat_map(|instance| one(instance.to_owned(), UNHURRIED, None)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::testing::fake_api::FakeApi;
    use crate::testing::fake_queue::FakeQueue;
    use crate::testing::{self, master_config};

    fn event(kind: &str, detail: &Value) -> String {
        json!({"version": "0", "detail-type": kind, "time": "2026-11-23T04:00:00Z", "detail": detail})
            .to_string()
    }

    #[test]
    fn an_event_says_which_instances_go_and_by_when() {
        let at = |time: &str| format!("2026-11-23T{time}Z").parse().unwrap();
        let expected = |end: &str, hook: Option<(&str, &str)>| {
            let hook = hook.map(|(group, hook)| (group.to_owned(), hook.to_owned()));
            vec![Going { instance: "i-1".to_owned(), end: at(end), hook }]
        };
        let scale_in =
            json!({"EC2InstanceId": "i-1", "AutoScalingGroupName": "nodes.demo", "LifecycleHookName": "h"});
        for (kind, detail, going_then) in [
            (
                "EC2 Instance-terminate Lifecycle Action",
                scale_in,
                expected("04:05:00", Some(("nodes.demo", "h"))),
            ),
            (
                "EC2 Spot Instance Interruption Warning",
                json!({"instance-id": "i-1"}),
                expected("04:01:55", None),
            ),
            (
                "EC2 Instance State-change Notification",
                json!({"instance-id": "i-1"}),
                expected("04:01:55", None),
            ),
            (
                "AWS Health Event",
                json!({"affectedEntities": [{"entityValue": "i-1"}]}),
                expected("05:00:00", None),
            ),
            ("EC2 Spot Instance Interruption Warning", json!({}), Vec::new()),
            ("EC2 Instance Launch Successful", json!({"EC2InstanceId": "i-1"}), Vec::new()),
        ] {
            assert_eq!(going(&event(kind, &detail)), going_then, "{kind}");
        }
        assert_eq!(going("no event"), Vec::new());
    }

    #[tokio::test]
    async fn a_node_that_goes_is_drained_and_what_is_no_node_of_the_cluster_is_left_in_the_queue() {
        let folder = tempfile::tempdir().unwrap();
        let agent = testing::agent(folder.path(), master_config()).await;
        let api = FakeApi::start().await;
        api.know("admin");
        let kubeconfig = agent.host.path(Path::new(ADMIN_KUBECONFIG));
        fs_err::create_dir_all(kubeconfig.parent().unwrap()).unwrap();
        fs_err::write(kubeconfig, api.kubeconfig("admin")).unwrap();
        api.hold(
            "/api/v1/nodes/i-1",
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "i-1"}}),
        );
        api.hold("/api/v1/pods", json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": []}));
        let spot = |instance: &str| {
            event("EC2 Spot Instance Interruption Warning", &json!({"instance-id": instance}))
        };
        let queue = FakeQueue::start(&[spot("i-1"), spot("i-of-others"), "no event".to_owned()]).await;
        read_once(&agent, &queue.client().await).await.unwrap();
        assert_eq!(queue.left(), [spot("i-of-others"), "no event".to_owned()]);
        let cordoned = api.object("/api/v1/nodes/i-1").unwrap();
        assert_eq!(cordoned["spec"]["unschedulable"], true, "{cordoned}");
    }

    #[tokio::test]
    async fn a_queue_that_is_not_there_is_told_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let agent = testing::agent(folder.path(), master_config()).await;
        let queue = FakeQueue::start(&[]).await;
        queue.vanish();
        let error = read_once(&agent, &queue.client().await).await.unwrap_err();
        let told = crate::progress::retry::chain(&error);
        assert!(told.contains("GetQueueUrl of the queue demo-nth") && told.contains("NonExistent"), "{told}");
    }
}
