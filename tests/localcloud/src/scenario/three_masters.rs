//! A private cluster with three masters and a bastion: etcd is one cluster of three, and the API outlives any of them.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use super::bastion::BASTION;
use super::requests::{Counted, Requests};
use super::{
    CLUSTER, Life, Options, Timings, enforce_permissions, inventory, nobody_was_denied, nothing_left,
};
use crate::LocalCloud;

/// Where a master's etcd tells of itself.
const METRICS: &str = "http://127.0.0.1:2381/metrics";

/// How long a client may wait for an answer after a master's death, in seconds: until the load balancer has found out, by two
/// checks five seconds apart that may take four, with a new try after that.
const LONGEST: f64 = 20.0;

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
    life.stage("the machine of etcd's leader is killed, and the API answers", Life::lose_the_leader).await?;
    life.stage("each etcd has a leader and two peers again", Life::etcd_is_one).await?;
    for _ in 0..2 {
        life.stage("a master is killed, and the API answers", Life::lose_a_master).await?;
        life.stage("each etcd has a leader and two peers again", Life::etcd_is_one).await?;
    }
    life.stage("a master is replaced by its group, and no request fails", Life::replace_a_master).await?;
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
                let metrics = life.on(master, "curl", &["--silent", "--fail", METRICS]).await?;
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

    /// The master whose etcd leads the others.
    async fn leader(&self) -> Result<String> {
        for (master, _) in self.masters().await? {
            let metrics = self.on(&master, "curl", &["--silent", "--fail", METRICS]).await?;
            if metrics.lines().any(|line| line == "etcd_server_is_leader 1") {
                return Ok(master);
            }
        }
        bail!("etcd has no leader")
    }

    async fn lose_the_leader(&mut self) -> Result<()> {
        let leader = self.leader().await?;
        self.lose(&leader).await
    }

    async fn lose_a_master(&mut self) -> Result<()> {
        let master = self.oldest_master().await?;
        self.lose(&master).await
    }

    /// Kills a master. Clients wait no longer than it takes to find out that it is dead.
    async fn lose(&mut self, master: &str) -> Result<()> {
        let requests = Requests::begin(self).await?;
        self.cloud.kill(master)?;
        for (client, counted) in self.until_replaced(master, requests, "masterKilled").await? {
            ensure!(counted.pause < LONGEST, "{client} waited for {:.1} s", counted.pause);
        }
        Ok(())
    }

    /// Auto Scaling ends a master: it leaves the load balancer before it stops answering, so that no request fails.
    async fn replace_a_master(&mut self) -> Result<()> {
        let master = self.oldest_master().await?;
        let requests = Requests::begin(self).await?;
        let end = json!({"InstanceId": master, "ShouldDecrementDesiredCapacity": false});
        self.aws("autoscaling", "terminate_instance_in_auto_scaling_group", &end).await?;
        for (client, counted) in self.until_replaced(&master, requests, "masterReplaced").await? {
            ensure!(counted.failed == 0, "{client}: {} of {} requests failed", counted.failed, counted.asked);
        }
        Ok(())
    }

    /// Waits until another machine is in a master's place, and all is well; returns what clients counted meanwhile.
    async fn until_replaced(
        &mut self,
        master: &str,
        requests: Requests,
        measured: &str,
    ) -> Result<Vec<(&'static str, Counted)>> {
        self.wait("another machine is in the master's place", async |life| {
            let masters = life.masters().await?;
            Ok(masters.len() == 3 && masters.iter().all(|(id, _)| id != master))
        })
        .await?;
        self.validate().await?;
        let all = requests.end().await?;
        for (client, Counted { asked, failed, pause }) in &all {
            (self.say)(&format!(
                "{client}: {failed} of {asked} requests failed; the longest pause was {pause:.1} s"
            ));
            let mut keep = |what: &str, value: f64| {
                let known = self.timings.measured.entry(format!("{measured}{client}{what}")).or_default();
                *known = known.max(value);
            };
            keep("LongestPause", *pause);
            keep("Asked", f64::from(*asked));
            keep("Failed", f64::from(*failed));
        }
        let get = ["get", "configmap", "kept", "-o=jsonpath={.data.written}"];
        let data = self.kubectl(&get).await?;
        ensure!(data == "before-the-loss", "the ConfigMap came back as {data:?}");
        Ok(all)
    }
}
