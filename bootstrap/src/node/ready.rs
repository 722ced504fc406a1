//! Waits until this instance's Node is Ready.

use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::runtime::wait::await_condition;

use crate::agent::Agent;
use crate::host::Host;
use crate::kubernetes::api::{self, ADMIN_KUBECONFIG, ApiError, NODE_KUBECONFIG, ready_condition};
use crate::progress::step::{Done, Step, StepError};

/// Waits for the Node.
pub const STEP: Step = Step::new("ensure_node_ready", Duration::from_mins(30)).outside();

/// How long a Node is watched before the report tells anew what is missing.
const WATCH: Duration = Duration::from_secs(5);

/// The step: a master sees its Node as the administrator, a node as its kubelet.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let is_master = agent.config.control_plane.is_some();
    let kubeconfig = if is_master { ADMIN_KUBECONFIG } else { NODE_KUBECONFIG };
    let mut node = NodeWatch::new(&agent.host, kubeconfig, &agent.identity.id);
    STEP.run(&agent.reporter, async || node.ready().await.map(Done::unchanged)).await
}

/// Waits for this instance's Node.
struct NodeWatch {
    host: Host,
    kubeconfig: &'static str,
    nodes: Option<Api<Node>>,
    name: String,
    told: bool,
}

impl NodeWatch {
    /// The Node of this name, as the user of a kubeconfig sees it.
    fn new(host: &Host, kubeconfig: &'static str, name: &str) -> Self {
        Self { host: host.clone(), kubeconfig, nodes: None, name: name.to_owned(), told: false }
    }

    /// Whether it is Ready; else why not. The first time that is told at once, later the Node is watched for a while.
    ///
    /// After an error it connects anew: a connection keeps the certificate that it was made with, which may have expired
    /// while it was waited.
    async fn ready(&mut self) -> Result<(), ApiError> {
        let nodes = match self.nodes.take() {
            Some(nodes) => nodes,
            None => Api::all(api::connect(&self.host, self.kubeconfig).await?),
        };
        let outcome = self.look(&nodes).await;
        if matches!(outcome, Ok(()) | Err(ApiError::NodeNotReady(_))) {
            self.nodes = Some(nodes);
        }
        outcome
    }

    async fn look(&mut self, nodes: &Api<Node>) -> Result<(), ApiError> {
        let name = &self.name;
        let failed = |source| ApiError::request(format!("show the node {name}"), source);
        if std::mem::replace(&mut self.told, true) {
            let ready = await_condition(nodes.clone(), name, |node: Option<&Node>| {
                node.and_then(ready_condition).is_some_and(|(ready, _)| ready)
            });
            if let Ok(Err(error)) = tokio::time::timeout(WATCH, ready).await {
                return Err(ApiError::Watch(name.clone(), Box::new(error)));
            }
        }
        let node = nodes.get_opt(name).await.map_err(failed)?;
        let Some(node) = node else {
            return Err(ApiError::NodeNotReady(format!(
                "the kubelet has not registered the node {name} yet"
            )));
        };
        match ready_condition(&node) {
            Some((true, _)) => Ok(()),
            Some((false, reason)) => {
                Err(ApiError::NodeNotReady(format!("the node {name} is not Ready: {reason}")))
            }
            None => {
                Err(ApiError::NodeNotReady(format!("the node {name} has not said whether it is Ready yet")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::file;
    use crate::progress::retry::chain;
    use crate::testing::fake_api::FakeApi;

    #[tokio::test]
    async fn a_node_is_watched_with_the_certificate_of_today_and_not_with_the_one_that_has_expired() {
        let folder = tempfile::tempdir().unwrap();
        let (host, api) = (Host::folder(folder.path()), FakeApi::start().await);
        let ready = serde_json::json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let node = serde_json::json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "i-0a"}, "status": ready,
        });
        api.hold("/api/v1/nodes/i-0a", node);
        let renew = |credential: &str| {
            let kubeconfig = api.kubeconfig(credential);
            file::ensure(&host.path(NODE_KUBECONFIG), kubeconfig, file::PRIVATE).unwrap();
        };
        let mut watch = NodeWatch::new(&host, NODE_KUBECONFIG, "i-0a");
        api.know("new");
        renew("expired");
        let refused = watch.ready().await.unwrap_err();
        assert!(chain(&refused).contains("Unauthorized"), "{}", chain(&refused));
        renew("new");
        // The first time that is told at once; from then on the Node is watched.
        watch.told = false;
        watch.ready().await.unwrap();
    }
}
