//! Keeps the cluster's Nodes true to EC2: removes those whose instance is gone, and gives the others the labels that
//! say what EC2 knows. Most of them the kubelet itself may not set (KEP-279); those that it may, it does, and they are
//! mended here where they are missing.
//!
//! In an IPv6 cluster it gives each Node its pods' range, once: an IPv6 prefix that EC2 delegates to the instance's network
//! interface. EC2 launches nothing with a prefix beside an address, so that a master asks for it here. No route and no check of
//! packets stands in the way of such addresses. kube-controller-manager hands out ranges in other clusters.
//!
//! On this master's own Node it also keeps the default taint, and the label that keeps load balancers away: both are
//! there while the cluster has groups of nodes, and gone while it has none, so that the smallest cluster runs its pods
//! on its master.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use ipnet::Ipv6Net;
use k8s_openapi::api::core::v1::{Node, Pod, Taint};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use kube::runtime::watcher;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::agent::Agent;
use crate::aws::AwsError;
use crate::aws::ec2::{Ec2, Instance, is_instance_id};
use crate::background::lasting::{Lasting, lasting};
use crate::contract::config::ControlPlaneConfig;
use crate::contract::config::Role;
use crate::contract::node_groups::NodeGroups;
use crate::contract::node_labels::{CONTROL_PLANE, GROUP, MACHINE_TYPE, REGION, ZONE, role_label};
use crate::kubernetes::api;
use crate::kubernetes::api::{ApiError, ready_condition};

/// Keeps the Nodes true to EC2.
pub const TASK: Lasting = lasting("keep_nodes");

/// How often it is looked whether there is something to do; Nodes are watched, so that this asks nobody.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often EC2 is asked about a Node that isn't well.
const UNWELL: Duration = Duration::from_secs(5);
/// How often EC2 is asked about all Nodes.
const ROUTINE: Duration = Duration::from_mins(5);

/// The label that keeps load balancers of Services away.
const NO_LOAD_BALANCERS: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// Kubernetes.
    #[error("the nodes can't be kept true to EC2")]
    Api(#[source] ApiError),
    /// Watching.
    #[error("the nodes can't be watched")]
    Watch(#[source] watcher::Error),
    /// EC2.
    #[error("the nodes' instances can't be looked up")]
    Aws(#[source] AwsError),
    /// A node's pods have no addresses.
    #[error("the pods of the node {0} get no IPv6 addresses")]
    Prefix(String, #[source] AwsError),
}

/// What matters of a Node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeFacts {
    /// Whether it is Ready.
    pub ready: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Whether it is known which addresses its pods have.
    pub has_pod_range: bool,
    /// Which Node of that name it is.
    pub uid: Option<String>,
    /// Which version of it was seen.
    pub version: Option<String>,
}

/// What is to be done about a Node.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Its instance is gone.
    Remove,
    /// Labels to be set, or taken away.
    Label(BTreeMap<&'static str, Option<String>>),
    /// The taints that it shall have.
    Taint(Vec<Taint>),
    /// The range of its pods' addresses.
    PodRange(Ipv6Net),
}

/// This master.
#[derive(Clone, Debug)]
pub struct Own {
    /// Its Node's name.
    pub name: String,
    /// What is told of all Nodes.
    pub place: Place,
    /// Whether its taint is the default one; one that the specification names is left alone.
    pub default_taint: bool,
    /// Labels that the specification names, which are left alone.
    pub labels: BTreeSet<String>,
}

/// What is told of Nodes, whichever they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The region, which is that of all instances.
    pub region: String,
    /// Whether pods have addresses out of the prefix of their node's network interface.
    pub has_prefixes: bool,
}

/// Decides what follows from EC2's answer about some Nodes. `missing_before` are those whose instance EC2 didn't show
/// last time either: one look may lag behind.
pub fn decide(
    nodes: &BTreeMap<String, NodeFacts>,
    instances: &[Instance],
    place: &Place,
    missing_before: &BTreeSet<String>,
) -> Vec<(String, Action)> {
    let instances: BTreeMap<&str, &Instance> =
        instances.iter().map(|instance| (instance.id.as_str(), instance)).collect();
    let mut actions = Vec::new();
    for (name, node) in nodes {
        match instances.get(name.as_str()) {
            Some(instance) if instance.state == "terminated" => actions.push((name.clone(), Action::Remove)),
            None if !node.ready && missing_before.contains(name) => {
                actions.push((name.clone(), Action::Remove));
            }
            None => {}
            Some(instance) => {
                // What its pods wait for comes first.
                let prefix = instance.prefixes.first().filter(|_| lacks_pod_range(node, place));
                actions.extend(prefix.map(|prefix| (name.clone(), Action::PodRange(*prefix))));
                let lacking = lacking_labels(node, instance, &place.region);
                if !lacking.is_empty() {
                    actions.push((name.clone(), Action::Label(lacking)));
                }
            }
        }
    }
    actions
}

/// The labels that a Node lacks. The zone and its like are only set where there are none: a specification may name
/// others. Group and role are nobody else's to say.
fn lacking_labels(
    node: &NodeFacts,
    instance: &Instance,
    region: &str,
) -> BTreeMap<&'static str, Option<String>> {
    let placed = [(ZONE, instance.zone.as_str()), (REGION, region), (MACHINE_TYPE, &instance.machine_type)];
    let mut lacking: BTreeMap<&'static str, Option<String>> = placed
        .into_iter()
        .filter(|(key, value)| !value.is_empty() && !node.labels.contains_key(*key))
        .map(|(key, value)| (key, Some(value.to_owned())))
        .collect();
    if let Some(group) = &instance.group {
        let role = role_label(group.role);
        if !node.labels.contains_key(role) {
            lacking.insert(role, Some(String::new()));
        }
        if node.labels.get(GROUP) != Some(&group.name) {
            lacking.insert(GROUP, Some(group.name.clone()));
        }
    }
    lacking
}

/// Whether a Node has no range for its pods yet that it is to get here. One that it has is never changed.
fn lacks_pod_range(node: &NodeFacts, place: &Place) -> bool {
    place.has_prefixes && !node.has_pod_range
}

/// Whether this master is the one that has prefixes delegated: the first of those that are Ready. Where masters see it
/// otherwise for a moment, an instance may get a second prefix, which nobody uses.
fn leads(own: &Own, nodes: &BTreeMap<String, NodeFacts>) -> bool {
    let masters = || nodes.iter().filter(|(_, node)| node.labels.contains_key(CONTROL_PLANE));
    let first = masters().find(|(_, node)| node.ready).or_else(|| masters().next());
    first.is_none_or(|(name, _)| *name == own.name)
}

/// The Nodes that wait for a prefix that their instance doesn't have yet, and its network interface.
fn lacking_prefixes<'a>(
    asked: &BTreeMap<String, NodeFacts>,
    instances: &'a [Instance],
    place: &Place,
) -> Vec<(&'a str, &'a str)> {
    let waits = |instance: &&Instance| {
        let node = asked.get(&instance.id).is_some_and(|node| lacks_pod_range(node, place));
        node && instance.prefixes.is_empty() && instance.state == "running"
    };
    let interface =
        |instance: &'a Instance| Some((instance.id.as_str(), instance.network_interface.as_deref()?));
    instances.iter().filter(waits).filter_map(interface).collect()
}

/// Whether a Node lacks something that is always there, so that EC2 has to be asked about it.
fn is_unwell(node: &NodeFacts, place: &Place) -> bool {
    let has = |key: &str| node.labels.contains_key(key);
    let role =
        [Role::Node, Role::ControlPlane, Role::ApiServer].into_iter().any(|role| has(role_label(role)));
    !node.ready
        || lacks_pod_range(node, place)
        || !role
        || ![ZONE, REGION, MACHINE_TYPE, GROUP].into_iter().all(has)
}

/// Decides about this master's own Node. Until it is known whether the cluster has nodes, nothing changes.
pub fn decide_own(own: &Own, node: &NodeFacts, has_nodes: Option<bool>) -> Vec<Action> {
    let Some(has_nodes) = has_nodes else { return Vec::new() };
    let mut actions = Vec::new();
    let is_default = |taint: &Taint| taint.key == CONTROL_PLANE && taint.effect == "NoSchedule";
    if own.default_taint && node.taints.iter().any(is_default) != has_nodes {
        let mut taints: Vec<Taint> = node.taints.iter().filter(|taint| !is_default(taint)).cloned().collect();
        if has_nodes {
            let effect = "NoSchedule".to_owned();
            taints.push(Taint { key: CONTROL_PLANE.to_owned(), effect, ..Taint::default() });
        }
        actions.push(Action::Taint(taints));
    }
    let labelled = node.labels.contains_key(NO_LOAD_BALANCERS);
    if labelled != has_nodes && !own.labels.contains(NO_LOAD_BALANCERS) {
        actions.push(Action::Label([(NO_LOAD_BALANCERS, has_nodes.then(String::new))].into()));
    }
    actions
}

/// Why the task stopped.
#[derive(Debug, thiserror::Error)]
enum StoppedError {
    #[error("no connection to the API")]
    Connect(#[source] ApiError),
    #[error("keeping the nodes stopped")]
    Nodes(#[source] NodesError),
}

/// The task. `groups` are the groups of nodes, as far as they are known.
pub async fn keep(
    agent: Arc<Agent>,
    control_plane: ControlPlaneConfig,
    groups: watch::Receiver<Option<NodeGroups>>,
) {
    let Agent { host, reporter, identity, config, ec2, .. } = &*agent;
    let own = Own {
        name: identity.id.clone(),
        place: Place { region: identity.region.clone(), has_prefixes: config.network.is_ipv6() },
        default_taint: control_plane.default_taint,
        labels: config.kubelet.labels.keys().cloned().collect(),
    };
    let work = || async {
        let client = api::connect_as_admin(host).await.map_err(StoppedError::Connect)?;
        let (own, groups) = (own.clone(), groups.clone());
        let nodes = NodeController { client, ec2: ec2.clone(), own, groups };
        nodes.run().await.map_err(StoppedError::Nodes)
    };
    TASK.run(reporter, work).await;
}

/// Keeps at it for as long as the connection lasts.
#[derive(Clone)]
pub struct NodeController {
    /// Kubernetes.
    pub client: Client,
    /// EC2.
    pub ec2: Ec2,
    /// This master.
    pub own: Own,
    /// The groups of nodes, as far as they are known.
    pub groups: watch::Receiver<Option<NodeGroups>>,
}

/// What was seen of EC2 so far.
#[derive(Debug, Default)]
struct Seen {
    /// When EC2 was asked about a Node.
    asked: BTreeMap<String, Instant>,
    /// When EC2 was asked about all of them.
    routine: Option<Instant>,
    /// The Nodes whose instance EC2 didn't show.
    missing: BTreeSet<String>,
}

impl NodeController {
    /// Watches the Nodes, and asks EC2 about those that aren't well. Ends with the first error; the caller begins
    /// again.
    pub async fn run(&self) -> Result<(), NodesError> {
        let api: Api<Node> = Api::all(self.client.clone());
        let mut events = watcher(api.clone(), watcher::Config::default()).boxed();
        let (mut nodes, mut listed) = (BTreeMap::new(), None);
        let mut seen = Seen::default();
        let mut tick = tokio::time::interval(INTERVAL);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => take(event, &mut nodes, &mut listed),
                    Some(Err(error)) => return Err(NodesError::Watch(error)),
                    None => return Ok(()),
                },
                // While they are being listed, those that aren't there yet may still come.
                _ = tick.tick(), if listed.is_none() => self.look(&api, &nodes, &mut seen).await?,
            }
        }
    }

    async fn look(
        &self,
        api: &Api<Node>,
        nodes: &BTreeMap<String, NodeFacts>,
        seen: &mut Seen,
    ) -> Result<(), NodesError> {
        if let Some(node) = nodes.get(&self.own.name) {
            let has_nodes = self.groups.borrow().as_ref().map(NodeGroups::any);
            for action in decide_own(&self.own, node, has_nodes) {
                self.act(api, &self.own.name, node, action).await?;
            }
        }
        let asked = seen.due(nodes, &self.own.place, Instant::now());
        if asked.is_empty() {
            return Ok(());
        }
        let instances = self.ec2.instances_among(asked.keys().map(String::as_str)).await;
        let instances = instances.map_err(NodesError::Aws)?;
        for (name, action) in decide(&asked, &instances, &self.own.place, &seen.missing) {
            if let Some(node) = nodes.get(&name) {
                self.act(api, &name, node, action).await?;
            }
        }
        seen.note(&asked, &instances);
        if leads(&self.own, nodes) {
            self.delegate_prefixes(api, &asked, &instances).await?;
        }
        Ok(())
    }

    /// Has EC2 delegate prefixes to the instances whose Nodes wait for one. What one of them doesn't get, others do.
    async fn delegate_prefixes(
        &self,
        api: &Api<Node>,
        asked: &BTreeMap<String, NodeFacts>,
        instances: &[Instance],
    ) -> Result<(), NodesError> {
        let mut failed = None;
        for (name, interface) in lacking_prefixes(asked, instances, &self.own.place) {
            match self.ec2.delegate_prefix(interface).await {
                Ok(Some(prefix)) => self.act(api, name, &asked[name], Action::PodRange(prefix)).await?,
                // The next look finds it.
                Ok(None) => {}
                Err(error) => failed = failed.or(Some(NodesError::Prefix(name.to_owned(), error))),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn act(
        &self,
        nodes: &Api<Node>,
        name: &str,
        node: &NodeFacts,
        action: Action,
    ) -> Result<(), NodesError> {
        let patch = |patch: Value| async move {
            nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
        };
        let result = match action {
            Action::Remove => self.remove(nodes, name, node).await,
            Action::Label(labels) => {
                tracing::info!(node = name, ?labels, "labelled");
                patch(json!({"metadata": {"labels": labels}})).await
            }
            Action::Taint(taints) => {
                tracing::info!(node = name, ?taints, "tainted");
                // Others change taints too; the list is written as a whole, and only over the one that was seen.
                let seen = node.version.as_deref();
                patch(json!({"metadata": {"resourceVersion": seen}, "spec": {"taints": taints}})).await
            }
            Action::PodRange(prefix) => {
                tracing::info!(node = name, %prefix, "its pods have these addresses");
                // Where another master was faster it is the same; the API lets nobody change it.
                let spec = json!({"podCIDR": prefix, "podCIDRs": [prefix]});
                patch(json!({"metadata": {"uid": node.uid}, "spec": spec})).await
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
    async fn remove(&self, nodes: &Api<Node>, name: &str, node: &NodeFacts) -> Result<(), kube::Error> {
        tracing::info!(node = name, "removed: its instance is gone");
        let exactly = Preconditions { uid: node.uid.clone(), resource_version: None };
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

impl Seen {
    /// The Nodes about which EC2 is to be asked now.
    fn due(
        &mut self,
        nodes: &BTreeMap<String, NodeFacts>,
        place: &Place,
        now: Instant,
    ) -> BTreeMap<String, NodeFacts> {
        let routine = !nodes.is_empty() && self.routine.is_none_or(|last| now - last >= ROUTINE);
        if routine {
            self.routine = Some(now);
        }
        self.asked.retain(|name, _| nodes.contains_key(name));
        let waited = |name: &String| self.asked.get(name).is_none_or(|last| now - *last >= UNWELL);
        let due = nodes.iter().filter(|(name, node)| routine || is_unwell(node, place) && waited(name));
        let due: BTreeMap<String, NodeFacts> = due.map(|(name, node)| (name.clone(), node.clone())).collect();
        self.asked.extend(due.keys().map(|name| (name.clone(), now)));
        due
    }

    /// Remembers whom EC2 didn't show.
    fn note(&mut self, asked: &BTreeMap<String, NodeFacts>, instances: &[Instance]) {
        let known: BTreeSet<&str> = instances.iter().map(|instance| instance.id.as_str()).collect();
        for name in asked.keys() {
            if known.contains(name.as_str()) {
                self.missing.remove(name);
            } else {
                self.missing.insert(name.clone());
            }
        }
        self.missing.retain(|name| self.asked.contains_key(name));
    }
}

/// Follows the Nodes. `listed` is what has been listed so far, while they are being listed. Names that aren't instance
/// ids are not ours.
fn take(
    event: watcher::Event<Node>,
    nodes: &mut BTreeMap<String, NodeFacts>,
    listed: &mut Option<BTreeMap<String, NodeFacts>>,
) {
    let entry = |node: Node| {
        let name = node.metadata.name.clone().filter(|name| is_instance_id(name))?;
        Some((name, facts(node)))
    };
    match event {
        watcher::Event::Init => *listed = Some(BTreeMap::new()),
        watcher::Event::InitApply(node) => listed.get_or_insert_default().extend(entry(node)),
        watcher::Event::InitDone => *nodes = listed.take().unwrap_or_default(),
        watcher::Event::Apply(node) => nodes.extend(entry(node)),
        watcher::Event::Delete(node) => {
            nodes.remove(&node.metadata.name.unwrap_or_default());
        }
    }
}

fn facts(node: Node) -> NodeFacts {
    let ready = ready_condition(&node).is_some_and(|(ready, _)| ready);
    let spec = node.spec.unwrap_or_default();
    NodeFacts {
        ready,
        labels: node.metadata.labels.unwrap_or_default(),
        has_pod_range: spec.pod_cidr.is_some_and(|range| !range.is_empty())
            || spec.pod_cidrs.is_some_and(|ranges| !ranges.is_empty()),
        taints: spec.taints.unwrap_or_default(),
        uid: node.metadata.uid,
        version: node.metadata.resource_version,
    }
}

#[cfg(test)]
mod tests;
