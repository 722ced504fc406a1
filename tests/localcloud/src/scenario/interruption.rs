//! A cluster whose nodes AWS takes: a spot instance that EC2 interrupts, and one that its group scales in. Both are drained
//! first, as a disruption budget allows.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    CLUSTER, GLANCE, Life, Options, PATIENCE, STATE, Timings, enforce_permissions, inventory,
    nobody_was_denied, nothing_left,
};
use crate::LocalCloud;

pub(super) const GROUP: &str = "nodes-us-east-1a";

/// Two pods of which one must be ready at any time.
const PATIENT: &str = include_str!("patient.yaml");

/// How long before it takes the instance EC2 tells it: as on AWS. A busy machine needs more than a minute of it.
const NOTICE_SECONDS: u64 = 120;

/// Lives the life of a cluster whose nodes are taken, in a cloud that is up and empty; `say` is told of every stage.
pub async fn run(cloud: &LocalCloud, options: &Options, say: impl Fn(&str)) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    let empty = inventory(cloud).await?;
    enforce_permissions(cloud).await?;

    life.stage("create cluster with spot instances, which are drained before they go", Life::create_spot)
        .await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("validate cluster: green", Life::validate).await?;
    life.stage("two pods run on one node, under a disruption budget", Life::deploy_on_one_node).await?;
    life.stage("EC2 takes the spot instance, after its pods have moved", Life::is_interrupted).await?;
    life.stage("validate cluster: green again", Life::validate).await?;
    life.stage("two pods run on one node again", Life::deploy_on_one_node).await?;
    life.stage(
        "EC2 takes a spot instance whose agent is dead, after a master has moved its pods",
        Life::is_taken,
    )
    .await?;
    life.stage("validate cluster: green once more", Life::validate).await?;
    life.stage("the group is scaled in, after the pods have moved", Life::is_scaled_in).await?;
    life.stage("validate cluster: green in the end", Life::validate).await?;
    nobody_was_denied(cloud).await?;
    life.stage("delete cluster", Life::delete).await?;

    nothing_left(cloud, &empty).await?;
    Ok(life.timings)
}

impl Life<'_> {
    async fn create_spot(&mut self) -> Result<()> {
        let flags = ["--zones", "us-east-1a", "--networking", "flannel", "--node-count", "2"];
        let handler = ["--set", "spec.nodeTerminationHandler.enabled=true"];
        let queue = ["--set", "spec.nodeTerminationHandler.enableSQSTerminationDraining=true"];
        self.create_from(&[flags.as_slice(), &handler, &queue].concat()).await?;
        self.edit_nodes(&["--set", "spec.maxPrice=0.05"]).await
    }

    pub(super) async fn edit_nodes(&self, changes: &[&str]) -> Result<()> {
        let edit = ["edit", "instancegroup", GROUP, "--name", CLUSTER, "--state", STATE];
        self.windlass(&[edit.as_slice(), changes].concat()).await.map(drop)
    }

    pub(super) async fn deploy_on_one_node(&mut self) -> Result<()> {
        let manifest = self.options.folder.join("patient.yaml");
        fs_err::write(&manifest, PATIENT)?;
        let nodes = self.nodes().await?;
        let (other, _) = nodes.get(1).context("expected two nodes")?;
        self.kubectl(&["cordon", other]).await?;
        self.kubectl(&["apply", "--filename", &manifest.display().to_string()]).await?;
        self.kubectl(&["rollout", "status", "deployment/patient", "--timeout=180s"]).await?;
        self.kubectl(&["uncordon", other]).await?;
        let at = self.pods_are_ready_at().await?;
        ensure!(at == [nodes[0].0.as_str(); 2], "the pods are at {at:?}, and {other} was cordoned");
        Ok(())
    }

    /// The nodes of the pods that are ready and don't end, in order.
    async fn pods_are_ready_at(&self) -> Result<Vec<String>> {
        let pods = self.kubectl(&["get", "pods", "--selector=app=patient", "--output=json"]).await?;
        let pods: Value = serde_json::from_str(&pods)?;
        let is_ready = |pod: &&Value| {
            let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            let mut conditions = conditions.filter(|it| it["type"] == "Ready" && it["status"] == "True");
            pod["metadata"]["deletionTimestamp"].is_null() && conditions.next().is_some()
        };
        let ready = pods["items"].as_array().into_iter().flatten().filter(is_ready);
        let mut nodes: Vec<String> =
            ready.map(|pod| pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()).collect();
        nodes.sort();
        Ok(nodes)
    }

    /// Waits until both pods are ready elsewhere than on a node, which still runs then; one of them is ready all the while.
    async fn pods_leave(&self, node: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let at = self.pods_are_ready_at().await?;
            let runs = self.nodes().await?.iter().any(|(id, _)| id == node);
            ensure!(runs, "{node} is gone, and its pods are at {at:?}");
            ensure!(!at.is_empty(), "no pod is ready: the budget was not asked");
            if at.len() == 2 && at.iter().all(|it| it != node) {
                let cordoned =
                    self.kubectl(&["get", "node", node, "-o=jsonpath={.spec.unschedulable}"]).await?;
                ensure!(cordoned == "true", "the pods left {node}, which isn't cordoned");
                return Ok(());
            }
            ensure!(Instant::now() < until, "the pods are still at {at:?}");
            tokio::time::sleep(GLANCE).await;
        }
    }

    pub(super) async fn is_gone(&self, node: &str) -> Result<()> {
        self.wait(&format!("{node} is gone"), async |life| {
            Ok(life.nodes().await?.iter().all(|(id, _)| id != node))
        })
        .await
    }

    pub(super) async fn is_interrupted(&mut self) -> Result<()> {
        let node = self.pods_are_ready_at().await?.remove(0);
        self.is_interrupted_at(&node, "interruptionToDrained").await
    }

    async fn is_interrupted_at(&mut self, node: &str, measured: &str) -> Result<()> {
        let notice = json!({"action": "terminate", "seconds": NOTICE_SECONDS});
        self.cloud.region().post(&format!("instances/{node}/interruption"), &notice).await?;
        let told = Instant::now();
        self.pods_leave(node).await?;
        self.timings.measured.insert(measured.to_owned(), told.elapsed().as_secs_f64());
        self.is_gone(node).await?;
        self.wait("the group has another instance", async |life| Ok(life.nodes().await?.len() == 2)).await
    }

    /// Nobody but the master, by the queue, can have drained the node: its agent is dead.
    async fn is_taken(&mut self) -> Result<()> {
        let node = self.pods_are_ready_at().await?.remove(0);
        // Stopped besides, so that systemd doesn't start it again.
        for act in [["kill", "--signal=KILL"].as_slice(), &["stop"]] {
            self.on(&node, "systemctl", &[act, &["windlass-bootstrap"]].concat()).await?;
        }
        self.cloud.region().delete("journal").await?;
        self.is_interrupted_at(&node, "interruptionToDrainedByMaster").await?;
        let journal: Vec<Value> = self.cloud.region().get("journal").await?;
        let master = self.master().await?;
        let forgot = |call: &Value| {
            let principal = call["principal"].as_str().unwrap_or_default();
            call["action"] == "DeleteMessage" && call["status"] == 200 && principal.ends_with(&master)
        };
        ensure!(journal.iter().any(forgot), "the master took no message out of the queue");
        Ok(())
    }

    /// Which of the two goes, the group decides; on the one that stays, both pods are ready then.
    async fn is_scaled_in(&mut self) -> Result<()> {
        self.cloud.region().delete("journal").await?;
        self.scale_in().await?;
        self.has_moved_before_it_went().await
    }

    pub(super) async fn scale_in(&self) -> Result<()> {
        self.edit_nodes(&["--set", "spec.minSize=1", "--set", "spec.maxSize=1"]).await?;
        self.apply().await
    }

    /// One node is left, on which both pods are ready; the group was told to go on.
    pub(super) async fn has_moved_before_it_went(&self) -> Result<()> {
        self.wait("one node is left", async |life| Ok(life.nodes().await?.len() == 1)).await?;
        let left = self.nodes().await?.remove(0).0;
        self.wait("both pods are ready on it", async |life| {
            Ok(life.pods_are_ready_at().await? == [left.as_str(); 2])
        })
        .await?;
        let journal: Value = self.cloud.region().get("journal").await?;
        let mut calls = journal.as_array().into_iter().flatten();
        let completed =
            calls.any(|call| call["action"] == "CompleteLifecycleAction" && call["status"] == 200);
        ensure!(completed, "the group went on without being told to");
        Ok(())
    }
}
