//! Brings the pods of a node that is going to end to others: no new ones come, and those that are there are evicted, which
//! honours PodDisruptionBudgets. What no budget lets go is deleted when its time to end in peace would not fit any more.
//!
//! Nodes do it with the kubelet's own certificate: the node authorizer permits a kubelet to change its own Node, and to read,
//! evict and delete the pods that are bound to it, and the admission plugin NodeRestriction keeps it to those (Kubernetes,
//! "Using Node Authorization"). The API takes lists of a node's own pods alone, so they are asked for by the node's name.

use std::time::Duration;

use futures::future::try_join_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::Status;
use kube::{Api, Client};

use crate::kubernetes::api::ApiError;

/// The annotation of what stands in the API for a static pod, which only the kubelet's files can end.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// What a pod has to end in that doesn't say (Kubernetes, `PodSpec`).
const GRACE: i64 = 30;
/// How long before the end a pod is deleted that no budget lets go: its own grace, but so long at least and at most. At
/// least, because its node tells the API of it afterwards; at most, because a budget is worth more than a long grace.
const LAST: (i64, i64) = (10, 60);

/// What is still on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// How many pods, of those that shall go.
    pub pods: usize,
    /// Which of them were not evicted, and why.
    pub refused: Vec<String>,
}

/// From now on no pod is scheduled to a node.
pub async fn cordon(client: &Client, node: &str) -> Result<(), ApiError> {
    let patch = Patch::Merge(serde_json::json!({"spec": {"unschedulable": true}}));
    let cordoned = Api::<Node>::all(client.clone()).patch(node, &PatchParams::default(), &patch).await;
    cordoned.map(drop).map_err(|source| ApiError::request(format!("cordon the node {node}"), source))
}

/// One look at the pods of a node that ends at this time: those that shall go are evicted, or deleted where their time is
/// up. Nothing is waited for.
pub async fn round(client: &Client, node: &str, end: Timestamp) -> Result<Left, ApiError> {
    let failed = |source| ApiError::request(format!("list the pods of the node {node}"), source);
    let on_node = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let pods = Api::<Pod>::all(client.clone()).list(&on_node).await.map_err(failed)?;
    let now = Timestamp::now();
    let left = end.duration_since(now).as_secs();
    let going = pods.items.iter().filter(|pod| shall_go(pod));
    let outcomes = try_join_all(going.map(|pod| send_away(client, pod, left))).await?;
    let mut there = Left::default();
    for outcome in outcomes {
        match outcome {
            Outcome::Gone => {}
            Outcome::Ending => there.pods += 1,
            Outcome::Refused(why) => {
                there.pods += 1;
                there.refused.push(why);
            }
        }
    }
    Ok(there)
}

/// What became of a pod in a round.
#[derive(Debug)]
enum Outcome {
    Gone,
    Ending,
    Refused(String),
}

/// Static pods end with the kubelet, a DaemonSet's pods would be made again on the same node, and those that have ended
/// don't run.
fn shall_go(pod: &Pod) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    let mirror = annotations.is_some_and(|annotations| annotations.contains_key(MIRROR));
    let mut owners = pod.metadata.owner_references.iter().flatten();
    let of_daemon_set = owners.any(|owner| owner.controller == Some(true) && owner.kind == "DaemonSet");
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !mirror && !of_daemon_set && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// `left` is how many seconds there are until the end.
async fn send_away(client: &Client, pod: &Pod, left: i64) -> Result<Outcome, ApiError> {
    if pod.metadata.deletion_timestamp.is_some() {
        return Ok(Outcome::Ending);
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let grace = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(GRACE);
    let uid = pod.metadata.uid.clone();
    let how = DeleteParams {
        grace_period_seconds: grace_that_fits(grace, left),
        // Another pod may have its name by then.
        preconditions: uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None }),
        ..DeleteParams::default()
    };
    let asked = if left <= grace.clamp(LAST.0, LAST.1) {
        pods.delete(name, &how).await.map(drop)
    } else {
        evict(&pods, namespace, name, &how).await
    };
    match asked {
        Ok(()) => Ok(Outcome::Ending),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Outcome::Gone),
        Err(kube::Error::Api(status)) => {
            Ok(Outcome::Refused(format!("{namespace}/{name}: {}", why(&status))))
        }
        Err(source) => Err(ApiError::request(format!("evict the pod {namespace}/{name}"), source)),
    }
}

/// Evicts a pod. The client's own call for it (kube 5.0) writes `delete_options`, of which the API knows nothing, so that the
/// grace would be lost.
async fn evict(pods: &Api<Pod>, namespace: &str, name: &str, how: &DeleteParams) -> kube::Result<()> {
    let eviction = serde_json::json!({
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": how,
    });
    let params = PostParams::default();
    pods.create_subresource::<_, Status>("eviction", name, &params, &eviction).await.map(drop)
}

/// Another grace than the pod's own, where that doesn't fit. Never none: that would take the pod out of the API while it
/// runs.
fn grace_that_fits(grace: i64, left: i64) -> Option<u32> {
    (grace > left).then(|| u32::try_from(left.max(1)).unwrap_or(u32::MAX))
}

/// The API's words; of a budget those that name it.
fn why(status: &Status) -> String {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let of_budget = causes.filter(|cause| cause.reason == "DisruptionBudget").map(|cause| &cause.message);
    of_budget.into_iter().next().unwrap_or(&status.message).clone()
}

/// How long one round may take at most: an API that is silent must not hold up what else is due.
pub const ROUND: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::fake_api::FakeApi;

    const PODS: &str = "/api/v1/namespaces/default/pods";

    fn pod(name: &str, grace: i64) -> Value {
        json!({"metadata": {"name": name, "namespace": "default", "uid": name},
               "spec": {"containers": [], "terminationGracePeriodSeconds": grace}})
    }

    async fn api_with(pods: &[Value]) -> (FakeApi, Client) {
        let api = FakeApi::start().await;
        api.know("kubelet");
        api.hold(
            "/api/v1/pods",
            json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}),
        );
        for pod in pods {
            api.hold(&format!("{PODS}/{}", pod["metadata"]["name"].as_str().unwrap()), pod.clone());
        }
        let client = api.client("kubelet").await;
        (api, client)
    }

    fn within(seconds: i64) -> Timestamp {
        Timestamp::now() + jiff::SignedDuration::from_secs(seconds)
    }

    /// The names of the pods that were evicted, and the grace that was asked for.
    fn evicted(api: &FakeApi) -> Vec<(String, Value)> {
        let evictions = api.held().into_iter().filter(|path| path.contains("/eviction/"));
        let told = evictions.map(|path| (path.clone(), api.object(&path).unwrap()));
        told.map(|(path, told)| {
            let name = path.rsplit('/').next().unwrap().to_owned();
            (name, told["deleteOptions"]["gracePeriodSeconds"].clone())
        })
        .collect()
    }

    #[tokio::test]
    async fn static_pods_those_of_daemon_sets_and_those_that_have_ended_stay() {
        let mut mirror = pod("kube-proxy", 30);
        mirror["metadata"]["annotations"] = json!({MIRROR: "hash"});
        let mut daemon = pod("flannel", 30);
        let owner = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "flannel", "uid": "u", "controller": true});
        daemon["metadata"]["ownerReferences"] = json!([owner]);
        let mut done = pod("job", 30);
        done["status"] = json!({"phase": "Succeeded"});
        let mut ending = pod("ending", 30);
        ending["metadata"]["deletionTimestamp"] = json!("2026-11-21T01:02:03Z");
        let (api, client) = api_with(&[mirror, daemon, done, ending, pod("web", 30)]).await;
        let left = round(&client, "i-0a", within(100)).await.unwrap();
        assert_eq!(left, Left { pods: 2, refused: vec![] }, "the one that ends and the one that was evicted");
        assert_eq!(evicted(&api), [("web".to_owned(), Value::Null)], "with its own grace");
    }

    #[tokio::test]
    async fn a_pod_that_a_budget_holds_is_asked_for_again_and_deleted_only_when_its_grace_would_not_fit() {
        let (api, client) = api_with(&[pod("web", 30)]).await;
        let cause = json!({"reason": "DisruptionBudget", "message": "The disruption budget web needs 2 healthy pods"});
        api.refuse_below(Some((&format!("{PODS}/web/eviction"), 429, json!({"causes": [cause]}))));
        for _ in 0..2 {
            let left = round(&client, "i-0a", within(40)).await.unwrap();
            assert_eq!(left.refused, ["default/web: The disruption budget web needs 2 healthy pods"]);
        }
        assert!(api.held().contains(&format!("{PODS}/web")));
        let left = round(&client, "i-0a", within(29)).await.unwrap();
        assert_eq!(left, Left { pods: 1, refused: vec![] });
        assert!(!api.held().contains(&format!("{PODS}/web")), "it was deleted");
        assert_eq!(round(&client, "i-0a", within(29)).await.unwrap(), Left::default(), "it is gone");
    }

    #[tokio::test]
    async fn a_grace_longer_than_the_time_that_is_left_is_cut_to_it() {
        let (api, client) = api_with(&[pod("slow", 600), pod("quick", 5)]).await;
        round(&client, "i-0a", within(100)).await.unwrap();
        let told = evicted(&api);
        assert_eq!(told[0], ("quick".to_owned(), Value::Null));
        assert!((98..=100).contains(&told[1].1.as_i64().unwrap()), "{told:?}");
        assert_eq!(
            (grace_that_fits(30, 5), grace_that_fits(30, -5), grace_that_fits(5, 5)),
            (Some(5), Some(1), None)
        );
    }

    #[tokio::test]
    async fn a_node_is_cordoned_by_what_is_told_of_scheduling_alone() {
        let (api, client) = api_with(&[]).await;
        cordon(&client, "i-0a").await.unwrap();
        assert_eq!(api.object("/api/v1/nodes/i-0a").unwrap()["spec"], json!({"unschedulable": true}));
    }
}
