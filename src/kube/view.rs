//! What windlass looks at of a node and of a pod. Pure: the API's objects in, plain values out.

use k8s_openapi::api::core::v1;

/// A static pod's mirror carries this annotation.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// The label that the master's agent puts on masters.
const CONTROL_PLANE: &str = "node-role.kubernetes.io/control-plane";

/// What PersistentVolumes on EBS name as their driver.
const EBS_CSI_DRIVER: &str = "ebs.csi.aws.com";

/// Whether something is ready, and the reason and message of whoever says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ready {
    /// It is.
    Yes,
    /// It says itself that it isn't.
    No(String),
    /// Nobody has heard of it lately.
    Unknown(String),
}

/// A PersistentVolume on EBS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersistentVolume {
    /// The EBS volume's id.
    pub volume: String,
    /// Whether the volume shall go when nobody claims it any more: the reclaim policy `Delete`.
    pub is_reclaimed: bool,
}

impl PersistentVolume {
    /// Reads what matters of a PersistentVolume; nothing where it isn't on EBS.
    pub fn new(volume: &v1::PersistentVolume) -> Option<Self> {
        let spec = volume.spec.as_ref()?;
        let csi = spec.csi.as_ref().filter(|csi| csi.driver == EBS_CSI_DRIVER).map(|csi| &csi.volume_handle);
        let in_tree = spec.aws_elastic_block_store.as_ref().map(|ebs| &ebs.volume_id);
        // In-tree volumes are written as `aws://<zone>/vol-…`, too.
        let id = csi.or(in_tree)?.rsplit('/').next()?.to_owned();
        let is_reclaimed = spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete");
        Some(Self { volume: id, is_reclaimed })
    }
}

/// A Kubernetes node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The instance's id.
    pub name: String,
    /// The EC2 instance it says it runs on.
    pub instance: Option<String>,
    /// Its `Ready` condition.
    pub ready: Ready,
    /// Whether it is a master.
    pub control_plane: bool,
    /// Its availability zone.
    pub zone: Option<String>,
    /// Its host name address, else its name.
    pub hostname: String,
    /// Its internal address.
    pub internal_address: Option<String>,
}

impl Node {
    /// Reads what matters of a node.
    pub fn new(node: &v1::Node) -> Self {
        let name = node.metadata.name.clone().unwrap_or_default();
        let labels = node.metadata.labels.as_ref();
        let address = |kind: &str| {
            let addresses = node.status.as_ref()?.addresses.as_ref()?;
            addresses.iter().find(|address| address.type_ == kind).map(|address| address.address.clone())
        };
        Self {
            instance: instance(node, &name),
            ready: node_ready(node),
            control_plane: labels.is_some_and(|labels| labels.contains_key(CONTROL_PLANE)),
            zone: labels.and_then(|labels| labels.get("topology.kubernetes.io/zone")).cloned(),
            hostname: address("Hostname").unwrap_or_else(|| name.clone()),
            internal_address: address("InternalIP"),
            name,
        }
    }
}

/// The provider id is `aws:///<zone>/<instance id>`; the name is the instance's id, alone or as a host name.
fn instance(node: &v1::Node, name: &str) -> Option<String> {
    let provider = node.spec.as_ref().and_then(|spec| spec.provider_id.as_deref());
    let last = provider
        .and_then(|provider| provider.strip_prefix("aws://"))
        .and_then(|rest| rest.rsplit('/').next());
    let named = name.split('.').next();
    last.into_iter().chain(named).find(|id| id.starts_with("i-")).map(str::to_owned)
}

fn node_ready(node: &v1::Node) -> Ready {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let Some(condition) = conditions.iter().find(|condition| condition.type_ == "Ready") else {
        return Ready::Unknown("its kubelet has not reported yet".to_owned());
    };
    let why = why(condition.reason.as_deref(), condition.message.as_deref());
    match condition.status.as_str() {
        "True" => Ready::Yes,
        "False" => Ready::No(why),
        _ => Ready::Unknown(why),
    }
}

/// Why a container doesn't run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The container's name.
    pub container: String,
    /// Such as `CrashLoopBackOff`, `ImagePullBackOff`, `ContainerCreating`.
    pub reason: String,
    /// What the kubelet says about it.
    pub message: String,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Unique within the namespace.
    pub name: String,
    /// The node it is bound to.
    pub node: Option<String>,
    /// `Pending`, `Running`, `Succeeded`, `Failed`, `Unknown`.
    pub phase: String,
    /// Whether all its containers are ready.
    pub ready: bool,
    /// Whether it mirrors a static pod.
    pub mirror: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Its priority class.
    pub priority_class: String,
    /// Why it isn't bound to a node, if it isn't.
    pub unschedulable: Option<String>,
    /// Containers that don't run.
    pub waiting: Vec<Waiting>,
}

impl Pod {
    /// Reads what matters of a pod.
    pub fn new(pod: &v1::Pod) -> Self {
        let spec = pod.spec.as_ref();
        let status = pod.status.as_ref();
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            node: spec.and_then(|spec| spec.node_name.clone()),
            phase: status.and_then(|status| status.phase.clone()).unwrap_or_else(|| "Unknown".to_owned()),
            ready: condition(pod, "Ready").is_some_and(|condition| condition.status == "True"),
            mirror: pod
                .metadata
                .annotations
                .as_ref()
                .is_some_and(|annotations| annotations.contains_key(MIRROR)),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            priority_class: spec.and_then(|spec| spec.priority_class_name.clone()).unwrap_or_default(),
            unschedulable: condition(pod, "PodScheduled")
                .filter(|condition| condition.status == "False")
                .map(|condition| why(condition.reason.as_deref(), condition.message.as_deref())),
            waiting: status.map(waiting).unwrap_or_default(),
        }
    }

    /// Whether the cluster can't do without it.
    pub fn is_critical(&self) -> bool {
        matches!(self.priority_class.as_str(), "system-cluster-critical" | "system-node-critical")
    }
}

fn condition<'a>(pod: &'a v1::Pod, kind: &str) -> Option<&'a v1::PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == kind)
}

fn waiting(status: &v1::PodStatus) -> Vec<Waiting> {
    let initial = status.init_container_statuses.iter().flatten();
    let containers = initial.chain(status.container_statuses.iter().flatten());
    containers
        .filter_map(|container| {
            let waiting = container.state.as_ref()?.waiting.as_ref()?;
            Some(Waiting {
                container: container.name.clone(),
                reason: waiting.reason.clone().unwrap_or_default(),
                message: waiting.message.clone().unwrap_or_default(),
            })
        })
        .collect()
}

fn why(reason: Option<&str>, message: Option<&str>) -> String {
    match (reason.unwrap_or_default(), message.unwrap_or_default()) {
        ("", message) => message.to_owned(),
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_persistent_volume_on_ebs_is_known_by_its_volume_s_id_and_its_reclaim_policy() {
        let read = |spec: serde_json::Value| {
            let volume = serde_json::json!({"metadata": {"name": "pv"}, "spec": spec});
            PersistentVolume::new(&serde_json::from_value(volume).unwrap())
                .map(|volume| (volume.volume, volume.is_reclaimed))
        };
        let csi = |driver: &str| serde_json::json!({"driver": driver, "volumeHandle": "vol-1"});
        let delete = "Delete";
        let ebs = serde_json::json!({"csi": csi("ebs.csi.aws.com"), "persistentVolumeReclaimPolicy": delete});
        assert_eq!(read(ebs), Some(("vol-1".to_owned(), true)));
        let kept =
            serde_json::json!({"csi": csi("ebs.csi.aws.com"), "persistentVolumeReclaimPolicy": "Retain"});
        assert_eq!(read(kept), Some(("vol-1".to_owned(), false)));
        let in_tree = serde_json::json!({"awsElasticBlockStore": {"volumeID": "aws://us-east-1a/vol-2"}});
        assert_eq!(read(in_tree), Some(("vol-2".to_owned(), false)));
        assert_eq!(read(serde_json::json!({"csi": csi("nfs.csi.k8s.io")})), None);
    }

    #[test]
    fn a_node_is_of_the_instance_that_its_provider_id_names() {
        let named = |name: &str, provider: Value| {
            node(&json!({"metadata": {"name": name}, "spec": {"providerID": provider}})).instance
        };
        assert_eq!(named("other", json!("aws:///us-east-1a/i-0abc")), Some("i-0abc".to_owned()));
        assert_eq!(named("i-0def", Value::Null), Some("i-0def".to_owned()));
        assert_eq!(named("i-0def.us-east-1.compute.internal", Value::Null), Some("i-0def".to_owned()));
        assert_eq!(named("ip-172-20-32-5", json!("gce://project/zone/i-1")), None);
    }

    #[test]
    fn a_node_without_a_condition_is_not_known_to_be_ready() {
        assert!(matches!(node(&json!({"metadata": {"name": "i-1"}})).ready, Ready::Unknown(_)));
        let with = |status: &str| {
            node(&json!({"metadata": {"name": "i-1"}, "status": {"conditions": [
                {"type": "Ready", "status": status, "reason": "KubeletNotReady", "message": "no network"}]}}))
            .ready
        };
        assert_eq!(with("True"), Ready::Yes);
        assert_eq!(with("False"), Ready::No("KubeletNotReady: no network".to_owned()));
        assert_eq!(with("Unknown"), Ready::Unknown("KubeletNotReady: no network".to_owned()));
    }

    #[test]
    fn a_pod_tells_why_its_containers_wait() {
        let pod = pod(&json!({
            "metadata": {"name": "p", "namespace": "kube-system", "annotations": {MIRROR: "x"}},
            "spec": {"containers": [], "nodeName": "i-1", "priorityClassName": "system-node-critical"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{"name": "c", "ready": false, "restartCount": 3, "image": "", "imageID": "",
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}}}]}}));
        assert!(pod.mirror && pod.is_critical() && !pod.ready && !pod.terminating);
        assert_eq!(pod.waiting[0].reason, "CrashLoopBackOff");
    }

    #[test]
    fn a_pod_that_fits_nowhere_says_so() {
        let pod = pod(
            &json!({"metadata": {"name": "p"}, "spec": {"containers": []}, "status": {"phase": "Pending",
            "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                            "message": "0/1 nodes are available"}]}}),
        );
        assert_eq!(pod.unschedulable.as_deref(), Some("Unschedulable: 0/1 nodes are available"));
    }

    fn node(value: &Value) -> Node {
        Node::new(&serde_json::from_value(value.clone()).unwrap())
    }

    fn pod(value: &Value) -> Pod {
        Pod::new(&serde_json::from_value(value.clone()).unwrap())
    }
}
