//! A private cluster with three masters and a bastion: etcd is one cluster of three, and the API outlives any of them.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::bastion::BASTION;
use super::{
    CLUSTER, GLANCE, Life, Options, PATIENCE, Timings, enforce_permissions, inventory, nobody_was_denied,
    nothing_left,
};
use crate::LocalCloud;

/// Lives the life of a cluster with three masters, in a cloud that is up and empty; `say` is told of every stage.
pub async fn run(cloud: &LocalCloud, options: &Options, say: impl Fn(&str)) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    let empty = inventory(cloud).await?;
    enforce_permissions(cloud).await?;

    life.stage("create cluster --control-plane-count 3 --bastion", Life::create_three_masters).await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("validate cluster: green", Life::validate).await?;
    life.stage("each etcd has a leader and two peers", Life::etcd_is_one).await?;
    life.stage("every machine but the bastion knows all masters", Life::masters_are_known).await?;
    life.stage("update cluster: nothing to do", Life::update_again).await?;
    life.stage("a ConfigMap is written", Life::write).await?;
    for _ in 0..3 {
        life.stage("a master is killed, and the API answers", Life::lose_a_master).await?;
        life.stage("validate cluster: green again", Life::validate).await?;
        life.stage("each etcd has a leader and two peers again", Life::etcd_is_one).await?;
    }
    life.stage("a master is replaced by its group, and no request fails", Life::replace_a_master).await?;
    life.stage("validate cluster: green once more", Life::validate).await?;
    nobody_was_denied(cloud).await?;
    life.stage("delete cluster", Life::delete).await?;

    nothing_left(cloud, &empty).await?;
    Ok(life.timings)
}

impl Life<'_> {
    async fn create_three_masters(&mut self) -> Result<()> {
        let zones = ["--zones", "us-east-1a,us-east-1b,us-east-1c", "--control-plane-count", "3"];
        let network = ["--topology", "private", "--bastion", "--networking", "flannel", "--node-count", "1"];
        self.create_from(&[zones.as_slice(), &network].concat()).await
    }

    /// The running masters, each with its address.
    pub(super) async fn masters(&self) -> Result<Vec<(String, String)>> {
        let members = self.members().await?.into_iter();
        Ok(members.filter(|(_, master, _)| *master).map(|(id, _, address)| (id, address)).collect())
    }

    /// What a command prints on a machine.
    pub(super) async fn on(&self, machine: &str, program: &str, arguments: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::from(self.cloud.instance_command(machine, program)?);
        let output = command.args(arguments).output().await?;
        ensure!(
            output.status.success(),
            "{program} on {machine}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    pub(super) async fn etcd_is_one(&mut self) -> Result<()> {
        self.wait("three masters' etcd has a leader and two peers each", async |life| {
            let masters = life.masters().await?;
            for (master, _) in &masters {
                let metrics =
                    life.on(master, "curl", &["--silent", "--fail", "http://127.0.0.1:2381/metrics"]).await?;
                let peers = metrics.lines().filter(|line| line.starts_with("etcd_network_active_peers{"));
                let peers = peers.filter(|line| line.ends_with(" 1")).count();
                if !metrics.contains("etcd_server_has_leader 1") || peers != 2 {
                    return Ok(false);
                }
            }
            Ok(masters.len() == 3)
        })
        .await
    }

    async fn masters_are_known(&mut self) -> Result<()> {
        let world = self.cloud.region().world_now().await?;
        let bastions = world.instances.iter().filter(|instance| instance.tags.contains_key(BASTION)).count();
        ensure!(bastions == 1 && world.instances.len() == 5, "{} machines", world.instances.len());
        let name = format!(" api.internal.{CLUSTER}");
        for instance in &world.instances {
            let hosts = self.on(&instance.id, "cat", &["/etc/hosts"]).await?;
            let known = hosts.lines().filter(|line| line.ends_with(&name)).count();
            let expected = if instance.tags.contains_key(BASTION) { 0 } else { 3 };
            ensure!(known == expected, "{} knows {known} masters:\n{hosts}", instance.id);
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<()> {
        let written = "--from-literal=written=before-the-loss";
        self.kubectl(&["create", "configmap", "kept", written]).await.map(drop)
    }

    /// The master that has run for longest.
    async fn oldest_master(&self) -> Result<String> {
        let world = self.cloud.region().world_now().await?;
        let masters = self.masters().await?;
        let launched = |id: &str| world.instances.iter().position(|instance| instance.id == id);
        let (master, _) = masters.iter().min_by_key(|(id, _)| launched(id)).context("there is no master")?;
        Ok(master.clone())
    }

    /// Kills a master, and asks the API all the while until another machine is in its place.
    async fn lose_a_master(&mut self) -> Result<()> {
        let master = self.oldest_master().await?;
        self.cloud.kill(&master)?;
        self.ask_until_replaced(&master, "masterKilled").await.map(drop)
    }

    /// Auto Scaling ends a master: it leaves the load balancer before it stops answering, so that no request fails.
    async fn replace_a_master(&mut self) -> Result<()> {
        let master = self.oldest_master().await?;
        let end = json!({"InstanceId": master, "ShouldDecrementDesiredCapacity": false});
        self.aws("autoscaling", "terminate_instance_in_auto_scaling_group", &end).await?;
        let failed = self.ask_until_replaced(&master, "masterReplaced").await?;
        ensure!(failed == 0, "{failed} requests failed while {master} was replaced in order");
        Ok(())
    }

    /// Asks the API, each time by a connection of its own from outside, until another machine is in a master's place. Returns
    /// how many requests failed.
    async fn ask_until_replaced(&mut self, master: &str, measured: &str) -> Result<u32> {
        let (begun, mut longest) = (Instant::now(), 0.0_f64);
        let (mut asked, mut failed, mut last) = (0_u32, 0_u32, Instant::now());
        loop {
            let get = ["get", "configmap", "kept", "-o=jsonpath={.data.written}", "--request-timeout=2s"];
            asked += 1;
            match self.kubectl(&get).await {
                Ok(data) => {
                    ensure!(data == "before-the-loss", "the ConfigMap came back as {data:?}");
                    longest = longest.max(last.elapsed().as_secs_f64());
                    last = Instant::now();
                    let masters = self.masters().await?;
                    if masters.len() == 3 && masters.iter().all(|(id, _)| id != master) {
                        break;
                    }
                }
                Err(error) => {
                    (self.say)(&format!("a request failed: {error:#}"));
                    failed += 1;
                }
            }
            ensure!(begun.elapsed() < PATIENCE, "{failed} of {asked} requests failed after {master} went");
            tokio::time::sleep(GLANCE).await;
        }
        (self.say)(&format!("{failed} of {asked} requests failed; the longest pause was {longest:.1} s"));
        let mut keep = |what: &str, value: f64| {
            let known = self.timings.measured.entry(format!("{measured}{what}")).or_default();
            *known = known.max(value);
        };
        keep("LongestPause", longest);
        keep("Asked", f64::from(asked));
        keep("Failed", f64::from(failed));
        Ok(failed)
    }
}
