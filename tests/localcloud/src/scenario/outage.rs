//! Kubelets' certificates that expire while the control plane is away, or while their machine is off: every Node comes
//! back by itself, with its machine.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{GLANCE, Life, Options, PATIENCE, Timings, inventory, nothing_left};
use crate::LocalCloud;
use crate::world::InstanceState;

/// How long a certificate holds here.
const CERTIFICATE: Duration = Duration::from_mins(2);
/// After so long no certificate holds that was issued before.
const OUTAGE: Duration = Duration::from_secs(CERTIFICATE.as_secs() + 15);
/// What would replace a machine that is stopped (Auto Scaling User Guide, "Suspend and resume processes").
const REPLACING: [&str; 2] = ["HealthCheck", "ReplaceUnhealthy"];

/// Lives the life of a cluster with certificates of two minutes, in a cloud that is up and empty; `say` is told of every
/// stage.
pub async fn run(cloud: &LocalCloud, options: &Options, say: impl Fn(&str)) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    let empty = inventory(cloud).await?;
    let duration =
        format!("spec.kubeControllerManager.experimentalClusterSigningDuration={}s", CERTIFICATE.as_secs());

    life.stage("create cluster", async |life| life.create_with("flannel", &["--set", &duration]).await)
        .await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("validate cluster: green", Life::validate).await?;
    life.stage("suspend what replaces stopped machines", async |life| {
        life.of_every_group("suspend_processes").await
    })
    .await?;
    let master = life.master().await?;
    let nodes: Vec<String> = life.nodes().await?.into_iter().map(|(id, _)| id).collect();
    let [first, second] = nodes.as_slice() else { anyhow::bail!("expected two nodes, found {nodes:?}") };

    life.stage("stop the master until every certificate has expired", async |life| {
        life.ec2("stop_instances", &[&master]).await?;
        tokio::time::sleep(OUTAGE).await;
        life.ec2("start_instances", &[&master]).await
    })
    .await?;
    life.stage("every Node returns by itself", Life::everybody_returns).await?;

    life.stage("again, with a node stopped and the other one rebooted meanwhile", async |life| {
        life.ec2("stop_instances", &[&master, first]).await?;
        tokio::time::sleep(OUTAGE).await;
        life.ec2("reboot_instances", &[second]).await?;
        life.ec2("start_instances", &[first]).await?;
        life.ec2("start_instances", &[&master]).await
    })
    .await?;
    life.stage("every Node returns by itself, after reboot, stop and start", Life::everybody_returns).await?;

    life.stage(
        "close the API's port until every certificate has expired, and reboot the master",
        async |life| {
            life.close_api(&master).await?;
            tokio::time::sleep(OUTAGE).await;
            ensure!(life.ready_nodes().await.is_err(), "the API answered all the time");
            life.ec2("reboot_instances", &[&master]).await
        },
    )
    .await?;
    life.stage("every Node returns by itself, after the reboot of the master", Life::everybody_returns)
        .await?;
    life.stage("resume what replaces stopped machines", async |life| {
        life.of_every_group("resume_processes").await
    })
    .await?;
    life.stage("validate cluster: green again", Life::validate).await?;
    let now: Vec<String> = life.members().await?.into_iter().map(|(id, _, _)| id).collect();
    ensure!(
        now.len() == 3 && [&master, first, second].iter().all(|id| now.contains(id)),
        "replaced: {now:?}"
    );
    life.stage("delete cluster", Life::delete).await?;

    nothing_left(cloud, &empty).await?;
    Ok(life.timings)
}

impl Life<'_> {
    /// Asks Auto Scaling something about the processes of every group that replace machines.
    async fn of_every_group(&self, operation: &str) -> Result<()> {
        let world = self.cloud.region().world_now().await?;
        let mut groups: Vec<String> =
            world.instances.into_iter().filter_map(|instance| instance.auto_scaling_group).collect();
        groups.sort();
        groups.dedup();
        for group in groups {
            let processes = json!({"AutoScalingGroupName": group, "ScalingProcesses": REPLACING});
            self.aws("autoscaling", operation, &processes).await?;
        }
        Ok(())
    }

    /// Asks EC2 to do something to instances, and waits until those that stop have stopped.
    async fn ec2(&self, operation: &str, instances: &[&str]) -> Result<()> {
        self.aws("ec2", operation, &json!({"InstanceIds": instances})).await?;
        if operation != "stop_instances" {
            return Ok(());
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let world = self.cloud.region().world_now().await?;
            let stopped = world.instances.iter().filter(|instance| {
                instance.state == InstanceState::Stopped && instances.contains(&instance.id.as_str())
            });
            if stopped.count() == instances.len() {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{instances:?} did not stop");
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Drops what comes to the API on a master, from itself too, until it boots again.
    async fn close_api(&self, master: &str) -> Result<()> {
        let mut command = tokio::process::Command::from(self.cloud.instance_command(master, "iptables")?);
        command.args([
            "--wait",
            "--insert",
            "INPUT",
            "--protocol",
            "tcp",
            "--dport",
            "443",
            "--jump",
            "DROP",
        ]);
        let output = command.output().await?;
        ensure!(output.status.success(), "iptables: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Calls AWS as the operator would from a script of their own; returns the answer.
    pub(super) async fn aws(&self, service: &str, operation: &str, arguments: &Value) -> Result<Value> {
        // Of the variables that name a region, boto3 reads only the one that the SDKs for Rust and Go don't.
        const CALL: &str = "import boto3, json, os, sys\n\
                            client = boto3.client(sys.argv[1], region_name=os.environ['AWS_REGION'])\n\
                            answer = getattr(client, sys.argv[2])(**json.loads(sys.argv[3]))\n\
                            print(json.dumps(answer, default=str))";
        let python = crate::region::python().await?;
        let arguments = arguments.to_string();
        let said = self.operator(&python, &["-c", CALL, service, operation, &arguments]).await?;
        serde_json::from_str(&said).with_context(|| format!("the answer to {operation} is not JSON"))
    }

    /// Waits until every node is Ready, and has told the API so itself since the API is back: a Node that the API has
    /// only not missed yet is Ready, too.
    async fn everybody_returns(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let mut first: Option<BTreeMap<String, String>> = None;
        loop {
            let now = self.ready_nodes().await;
            match (&first, &now) {
                (None, Ok(now)) if now.len() == 3 => first = Some(now.clone()),
                (Some(first), Ok(now)) if now.len() == 3 && all_renewed(first, now) => return Ok(()),
                _ => {}
            }
            ensure!(Instant::now() < until, "not every node returned; at first {first:?}, now {now:?}");
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The nodes that are Ready, and when each has renewed its lease.
    async fn ready_nodes(&self) -> Result<BTreeMap<String, String>> {
        let get = |what: &'static [&'static str]| async move {
            let arguments = [["get", "-o", "json", "--request-timeout=2s"].as_slice(), what].concat();
            let said = self.kubectl(&arguments).await?;
            serde_json::from_str::<Value>(&said).context("kubectl's answer is not JSON")
        };
        let nodes = get(&["nodes"]).await?;
        let leases = get(&["leases", "--namespace=kube-node-lease"]).await?;
        let renewed = |name: &Value| {
            let lease =
                leases["items"].as_array().into_iter().flatten().find(|one| one["metadata"]["name"] == *name);
            lease.and_then(|lease| lease["spec"]["renewTime"].as_str()).unwrap_or_default().to_owned()
        };
        let is_ready = |node: &&Value| {
            let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
        };
        let ready = nodes["items"].as_array().into_iter().flatten().filter(is_ready);
        Ok(ready
            .filter_map(|node| {
                let name = &node["metadata"]["name"];
                Some((name.as_str()?.to_owned(), renewed(name)))
            })
            .collect())
    }
}

/// Whether every node has renewed its lease since.
fn all_renewed(first: &BTreeMap<String, String>, now: &BTreeMap<String, String>) -> bool {
    now.iter().all(|(node, renewed)| first.get(node).is_none_or(|before| before != renewed))
}
