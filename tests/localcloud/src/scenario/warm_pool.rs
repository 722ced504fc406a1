//! A group of nodes with a warm pool: an instance boots into it, is made ready, and is stopped; it serves when the group is
//! scaled out, sooner than one that is launched then.

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    CLUSTER, GLANCE, Life, Options, PATIENCE, STATE, Timings, enforce_permissions, inventory,
    nobody_was_denied, nothing_left,
};
use crate::LocalCloud;
use crate::world::{Instance, InstanceState};

const GROUP: &str = "nodes-us-east-1a";

/// A pool of one instance, whose first boot is waited for.
const POOL: [&str; 8] = [
    "--set",
    "spec.maxSize=3",
    "--set",
    "spec.warmPool.minSize=1",
    "--set",
    "spec.warmPool.maxSize=2",
    "--set",
    "spec.warmPool.enableLifecycleHook=true",
];

/// Lives the life of a cluster with a warm pool, in a cloud that is up and empty; `say` is told of every stage.
pub async fn run(cloud: &LocalCloud, options: &Options, say: impl Fn(&str)) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    let empty = inventory(cloud).await?;
    enforce_permissions(cloud).await?;

    life.stage("create cluster with a warm pool", Life::create_with_pool).await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("validate cluster: green", Life::validate).await?;
    life.stage("an instance has booted into the pool, and is stopped", Life::is_prepared).await?;
    life.stage("validate cluster: green without it, as it is no Node", Life::pool_is_no_part).await?;
    life.stage("the group is scaled out: the instance is started, and joins", Life::is_taken_out).await?;
    life.stage("another one is made ready in its place", Life::is_prepared).await?;
    life.stage("validate cluster: green again", Life::validate).await?;
    life.stage("the pool goes with the specification, and its instance", Life::pool_goes).await?;
    life.stage("the group is scaled out: an instance is launched, and joins", Life::is_launched).await?;
    life.stage("validate cluster: green once more", Life::validate).await?;
    life.stage("the pool comes back, for a group that is there", Life::pool_comes_back).await?;
    nobody_was_denied(cloud).await?;
    life.stage("delete cluster, with its pool", Life::delete).await?;

    nothing_left(cloud, &empty).await?;
    Ok(life.timings)
}

impl Life<'_> {
    async fn create_with_pool(&mut self) -> Result<()> {
        let flags = ["--zones", "us-east-1a", "--networking", "flannel", "--node-count", "1"];
        self.create_from(&flags).await?;
        self.edit_pool(&POOL).await
    }

    async fn edit_pool(&self, changes: &[&str]) -> Result<()> {
        let edit = ["edit", "instancegroup", GROUP, "--name", CLUSTER, "--state", STATE];
        self.windlass(&[edit.as_slice(), changes].concat()).await.map(drop)
    }

    /// The instances in the pool.
    async fn pool(&self) -> Result<Vec<Instance>> {
        let instances = self.cloud.region().world_now().await?.instances;
        let is_warm = |instance: &Instance| {
            instance.target_lifecycle_state.as_deref().is_some_and(|state| state.starts_with("Warmed:"))
        };
        Ok(instances.into_iter().filter(is_warm).collect())
    }

    /// Waits until there is one instance in the pool, which is stopped because its agent said that it is ready.
    async fn is_prepared(&mut self) -> Result<()> {
        self.wait("an instance of the pool is stopped", async |life| {
            let pool = life.pool().await?;
            Ok(pool.len() == 1 && pool[0].state == InstanceState::Stopped)
        })
        .await?;
        let id = self.pool().await?.remove(0).id;
        ensure!(self.completed(&id).await? == 1, "the first boot of {id} was not waited for");
        Ok(())
    }

    /// How often an instance has completed a launch.
    async fn completed(&self, instance: &str) -> Result<usize> {
        let journal: Vec<Value> = self.cloud.region().get("journal").await?;
        let is_own = |call: &&Value| {
            let principal = call["principal"].as_str().unwrap_or_default();
            call["action"] == "CompleteLifecycleAction"
                && call["status"] == 200
                && principal.ends_with(&format!("/{instance}"))
        };
        Ok(journal.iter().filter(is_own).count())
    }

    async fn pool_is_no_part(&mut self) -> Result<()> {
        self.validate().await?;
        let id = self.pool().await?.remove(0).id;
        let nodes = self.ready().await?;
        ensure!(nodes.len() == 2 && !nodes.contains(&id), "expected a master and a node, found {nodes:?}");
        let list = ["get", "instances", "--name", CLUSTER, "--state", STATE, "-o", "json"];
        let listed: Vec<Value> = serde_json::from_str(&self.windlass(&list).await?)?;
        let found = listed.iter().find(|instance| instance["id"] == id.as_str());
        let found = found.with_context(|| format!("{id} isn't listed"))?;
        let mut steps = found["boot"]["steps"].as_array().into_iter().flatten();
        let waits = steps.clone().any(|step| step["name"] == "wait_for_service");
        let joined = steps.any(|step| step["name"] == "ensure_kubelet");
        ensure!(waits && !joined, "{id} should be ready, and not more: {}", found["boot"]);
        Ok(())
    }

    /// The names of the Nodes that are Ready.
    async fn ready(&self) -> Result<BTreeSet<String>> {
        let said = self.kubectl(&["get", "nodes", "--output=json", "--request-timeout=2s"]).await?;
        let nodes: Value = serde_json::from_str(&said)?;
        let is_ready = |node: &&Value| {
            let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
            conditions.any(|it| it["type"] == "Ready" && it["status"] == "True")
        };
        let ready = nodes["items"].as_array().into_iter().flatten().filter(is_ready);
        Ok(ready.filter_map(|node| node["metadata"]["name"].as_str().map(str::to_owned)).collect())
    }

    /// Scales the group out, and waits for another Ready Node; returns which one it is. Afterwards its launch is complete.
    async fn scale_out(&mut self, to: u32, measured: &str) -> Result<String> {
        let before = self.ready().await?;
        let name = format!("{GROUP}.{CLUSTER}");
        let size = json!({"AutoScalingGroupName": name, "DesiredCapacity": to});
        self.aws("autoscaling", "set_desired_capacity", &size).await?;
        let scaled = Instant::now();
        let until = scaled + PATIENCE;
        let joined = loop {
            let now = self.ready().await?;
            if let Some(joined) = now.difference(&before).next() {
                break joined.clone();
            }
            ensure!(Instant::now() < until, "no Node came; Ready are {now:?}");
            tokio::time::sleep(GLANCE).await;
        };
        self.timings.measured.insert(measured.to_owned(), scaled.elapsed().as_secs_f64());
        self.wait("Auto Scaling has it in service", async |life| life.is_in_service(&joined).await).await?;
        Ok(joined)
    }

    async fn is_in_service(&self, instance: &str) -> Result<bool> {
        let these = json!({"InstanceIds": [instance]});
        let answer = self.aws("autoscaling", "describe_auto_scaling_instances", &these).await?;
        Ok(answer["AutoScalingInstances"][0]["LifecycleState"] == "InService")
    }

    async fn is_taken_out(&mut self) -> Result<()> {
        let warm = self.pool().await?.remove(0);
        let joined = self.scale_out(2, "scaleOutToReadyFromPool").await?;
        ensure!(joined == warm.id, "{joined} joined, and {} was ready in the pool", warm.id);
        ensure!(self.completed(&joined).await? == 2, "the launch of {joined} was not completed by its agent");
        Ok(())
    }

    async fn pool_goes(&mut self) -> Result<()> {
        self.edit_pool(&["--unset", "spec.warmPool"]).await?;
        self.apply().await?;
        self.wait("nothing is in the pool", async |life| Ok(life.pool().await?.is_empty())).await
    }

    async fn is_launched(&mut self) -> Result<()> {
        self.scale_out(3, "scaleOutToReadyLaunched").await.map(drop)
    }

    /// The hook is there before the pool is: its first instance is waited for, too.
    async fn pool_comes_back(&mut self) -> Result<()> {
        self.edit_pool(&POOL).await?;
        self.apply().await?;
        self.is_prepared().await
    }
}
