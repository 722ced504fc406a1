//! Keeps the cluster's Nodes true to EC2: removes those whose instance is gone, and labels the others with their role,
//! which the kubelet itself may not.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;

use crate::api::{ApiError, ready_condition};
use crate::aws::AwsError;
use crate::config::Role;
use crate::ec2::{Ec2, Instance};

/// How often Nodes are looked at.
const INTERVAL: Duration = Duration::from_secs(5);
/// How often EC2 is asked even if every Node looks well.
const ROUTINE: Duration = Duration::from_mins(5);

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// Kubernetes.
    #[error("the nodes can't be kept true to EC2")]
    Api(#[source] ApiError),
    /// EC2.
    #[error("the nodes' instances can't be looked up")]
    Aws(#[source] AwsError),
}

/// What matters of a Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFacts {
    /// Its name, an instance id.
    pub name: String,
    /// Whether it is Ready.
    pub ready: bool,
    /// The roles it is labelled with.
    pub roles: BTreeSet<String>,
}

/// What is to be done about a Node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Its instance is gone.
    Remove,
    /// It lacks the label of its role.
    Label(Role),
}

/// Decides. `missing_before` are the Nodes whose instance EC2 didn't show last time either: one look may lag behind.
pub fn decide(
    nodes: &[NodeFacts],
    instances: &[Instance],
    roles: &BTreeMap<String, Role>,
    missing_before: &BTreeSet<String>,
) -> Vec<(String, Action)> {
    let instances: BTreeMap<&str, &Instance> =
        instances.iter().map(|instance| (instance.id.as_str(), instance)).collect();
    let mut actions = Vec::new();
    // Names that aren't instance ids are not ours.
    for node in nodes.iter().filter(|node| node.name.starts_with("i-")) {
        match instances.get(node.name.as_str()) {
            Some(instance) if instance.state == "terminated" => {
                actions.push((node.name.clone(), Action::Remove));
            }
            None if !node.ready && missing_before.contains(&node.name) => {
                actions.push((node.name.clone(), Action::Remove));
            }
            None => {}
            Some(instance) => {
                let role = instance.instance_group.as_ref().and_then(|group| roles.get(group)).copied();
                if let Some(role) = role.filter(|role| !node.roles.contains(label(*role))) {
                    actions.push((node.name.clone(), Action::Label(role)));
                }
            }
        }
    }
    actions
}

/// The label of a role.
fn label(role: Role) -> &'static str {
    match role {
        Role::ControlPlane => "node-role.kubernetes.io/control-plane",
        Role::Node => "node-role.kubernetes.io/node",
    }
}

/// Keeps at it for as long as the connection lasts.
#[derive(Clone)]
pub struct NodeKeeper {
    /// Kubernetes.
    pub client: Client,
    /// EC2.
    pub ec2: Ec2,
    /// Instance groups and their roles.
    pub roles: BTreeMap<String, Role>,
}

impl NodeKeeper {
    /// Looks at the Nodes every few seconds, and asks EC2 when one of them isn't well. Ends with the first error; the
    /// caller begins again.
    pub async fn run(&self) -> Result<(), NodesError> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let mut missing = BTreeSet::new();
        let mut asked = None::<tokio::time::Instant>;
        let mut tick = tokio::time::interval(INTERVAL);
        loop {
            tick.tick().await;
            let found = nodes.list(&ListParams::default()).await;
            let found =
                found.map_err(|error| NodesError::Api(ApiError::request("list the nodes", error)))?.items;
            let facts: Vec<NodeFacts> = found.iter().map(node_facts).collect();
            let due = asked.is_none_or(|asked| asked.elapsed() >= ROUTINE);
            if !due && facts.iter().all(|node| node.ready && !node.roles.is_empty()) {
                continue;
            }
            asked = Some(tokio::time::Instant::now());
            let instances = self.ec2.instances().await.map_err(NodesError::Aws)?;
            for (name, action) in decide(&facts, &instances, &self.roles, &missing) {
                let node = found.iter().find(|node| node.metadata.name.as_ref() == Some(&name));
                self.act(&nodes, &name, node, action).await?;
            }
            let known: BTreeSet<&str> = instances.iter().map(|instance| instance.id.as_str()).collect();
            missing = facts
                .into_iter()
                .map(|node| node.name)
                .filter(|name| !known.contains(name.as_str()))
                .collect();
        }
    }

    async fn act(
        &self,
        nodes: &Api<Node>,
        name: &str,
        node: Option<&Node>,
        action: Action,
    ) -> Result<(), NodesError> {
        let result = match action {
            Action::Remove => self.remove(nodes, name, node).await,
            Action::Label(role) => {
                tracing::info!(node = name, label = label(role), "labelled");
                let patch = json!({"metadata": {"labels": {label(role): ""}}});
                nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
            }
        };
        match result {
            // It is gone, or another one by now.
            Err(kube::Error::Api(error)) if error.code == 404 || error.code == 409 => Ok(()),
            result => result.map_err(|error| {
                NodesError::Api(ApiError::request(format!("change the node {name}"), error))
            }),
        }
    }

    /// Removes a Node, and then its pods: nobody is left to say that they have ended, and Kubernetes would take most of
    /// a minute to give them up. No instance runs them any more, so nothing can run twice.
    async fn remove(&self, nodes: &Api<Node>, name: &str, node: Option<&Node>) -> Result<(), kube::Error> {
        tracing::info!(node = name, "removed: its instance is gone");
        let uid = node.and_then(|node| node.metadata.uid.clone());
        let exactly = Preconditions { uid, resource_version: None };
        let params = DeleteParams { preconditions: Some(exactly), ..DeleteParams::default() };
        nodes.delete(name, &params).await?;
        let on_node = ListParams::default().fields(&format!("spec.nodeName={name}"));
        for pod in Api::<Pod>::all(self.client.clone()).list(&on_node).await?.items {
            let (Some(namespace), Some(pod)) = (pod.metadata.namespace, pod.metadata.name) else { continue };
            let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
            match pods.delete(&pod, &DeleteParams::default().grace_period(0)).await {
                Err(kube::Error::Api(error)) if error.code == 404 => {}
                deleted => drop(deleted?),
            }
        }
        Ok(())
    }
}

fn node_facts(node: &Node) -> NodeFacts {
    let labels = node.metadata.labels.iter().flat_map(BTreeMap::keys);
    NodeFacts {
        name: node.metadata.name.clone().unwrap_or_default(),
        ready: ready_condition(node).is_some_and(|(ready, _)| ready),
        roles: labels.filter(|label| label.starts_with("node-role.kubernetes.io/")).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, ready: bool, roles: &[&str]) -> NodeFacts {
        NodeFacts { name: name.into(), ready, roles: roles.iter().map(|role| (*role).to_owned()).collect() }
    }

    fn instance(id: &str, state: &str, group: &str) -> Instance {
        Instance {
            id: id.into(),
            state: state.into(),
            launched: jiff::Timestamp::UNIX_EPOCH,
            instance_group: Some(group.into()),
            private_addresses: BTreeSet::new(),
            private_names: BTreeSet::new(),
            devices: BTreeSet::new(),
            source_dest_check: true,
        }
    }

    fn roles() -> BTreeMap<String, Role> {
        [("masters".to_owned(), Role::ControlPlane), ("nodes".to_owned(), Role::Node)].into()
    }

    #[test]
    fn a_node_goes_when_its_instance_is_terminated() {
        let nodes = [node("i-1", true, &[label(Role::Node)]), node("i-2", false, &[label(Role::Node)])];
        let instances = [instance("i-1", "terminated", "nodes"), instance("i-2", "shutting-down", "nodes")];
        let actions = decide(&nodes, &instances, &roles(), &BTreeSet::new());
        assert_eq!(actions, [("i-1".to_owned(), Action::Remove)]);
    }

    #[test]
    fn an_instance_that_ec2_does_not_show_has_to_be_missing_twice_and_its_node_down() {
        let missing = BTreeSet::from(["i-1".to_owned()]);
        let down = [node("i-1", false, &[])];
        assert!(decide(&down, &[], &roles(), &BTreeSet::new()).is_empty());
        assert_eq!(decide(&down, &[], &roles(), &missing), [("i-1".to_owned(), Action::Remove)]);
        assert!(decide(&[node("i-1", true, &[])], &[], &roles(), &missing).is_empty(), "it answers");
    }

    #[test]
    fn nodes_of_other_making_are_left_alone() {
        let missing = BTreeSet::from(["virtual-kubelet".to_owned()]);
        assert!(decide(&[node("virtual-kubelet", false, &[])], &[], &roles(), &missing).is_empty());
    }

    #[test]
    fn a_node_is_labelled_with_its_groups_role_once() {
        let nodes =
            [node("i-1", false, &[]), node("i-2", true, &[label(Role::Node)]), node("i-3", true, &[])];
        let instances = [
            instance("i-1", "running", "masters"),
            instance("i-2", "running", "nodes"),
            instance("i-3", "running", "unknown"),
        ];
        let actions = decide(&nodes, &instances, &roles(), &BTreeSet::new());
        assert_eq!(actions, [("i-1".to_owned(), Action::Label(Role::ControlPlane))]);
    }
}
