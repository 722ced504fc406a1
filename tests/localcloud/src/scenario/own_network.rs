//! A cluster with `cni: {}`: machines join and wait for a network, and are Ready as soon as the operator brings one.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{CLUSTER, GLANCE, Life, Options, PATIENCE, STATE, Timings, inventory, nothing_left};
use crate::LocalCloud;

/// How many machines the cluster has: the master and two nodes.
const MACHINES: usize = 3;

/// What is written beside the specification.
const OBJECTS: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: brought}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: brought, namespace: brought}
data: {word: WORD}
";

/// On a master: the stable private address and the kubelet go.
const TAKE_AWAY: &str = r#"
set -e
interface=$(ip -4 route show default | awk '{ print $5; exit }')
address=$(ip -4 -o address show dev "$interface" | awk '$4 ~ /\/32$/ { print $4; exit }')
test -n "$address"
ip address del "$address" dev "$interface"
systemctl stop kubelet.service
"#;

/// Succeeds once both are there again.
const IS_BACK: &str = r#"
interface=$(ip -4 route show default | awk '{ print $5; exit }')
ip -4 -o address show dev "$interface" | grep -q '/32 ' && systemctl is-active --quiet kubelet.service
"#;

/// What an operator brings.
#[derive(Clone, Copy, Debug)]
pub struct NetworkPlugin<'a> {
    /// What is applied to the cluster, as YAML documents.
    pub manifest: &'a str,
    /// A shell script that configures one machine, as root. It fails while it can't yet.
    pub configure: &'a str,
}

/// Lives the life of a cluster that brings its own network, in a cloud that is up and empty; `say` is told of every
/// stage.
pub async fn run(
    cloud: &LocalCloud,
    options: &Options,
    plugin: NetworkPlugin<'_>,
    say: impl Fn(&str),
) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    let empty = inventory(cloud).await?;

    life.stage("create cluster", async |life| life.create("cni").await).await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("machines join, and wait for a network", Life::machines_wait_for_a_network).await?;
    life.stage("validate cluster: not yet", Life::validate_says_what_is_missing).await?;
    life.stage("bring a network", async |life| life.bring(plugin).await).await?;
    life.stage("validate cluster: green", Life::validate).await?;
    life.stage("additional objects reach the cluster", Life::add_objects).await?;
    life.stage("what is taken away from a master comes back", Life::take_away).await?;
    life.stage("agents start again while the state is away", Life::restart_agents_without_the_state).await?;
    life.stage("update cluster: nothing to do", Life::update_again).await?;
    life.stage("a Deployment with a Service answers through the nodes", Life::deploy).await?;
    life.stage("delete cluster", Life::delete).await?;

    nothing_left(cloud, &empty).await?;
    Ok(life.timings)
}

impl Life<'_> {
    /// Waits until every machine is a node whose only trouble is that there is no network.
    async fn machines_wait_for_a_network(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let said = self.kubectl(&["get", "nodes", "-o", "json", "--request-timeout=2s"]).await;
            let waiting = match &said {
                Ok(nodes) => serde_json::from_str(nodes).map(|nodes: Value| waiting_for_a_network(&nodes))?,
                Err(_) => 0,
            };
            if waiting == MACHINES {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{waiting} of {MACHINES} machines wait for a network: {said:?}");
            tokio::time::sleep(GLANCE).await;
        }
    }

    async fn validate_says_what_is_missing(&mut self) -> Result<()> {
        let arguments = ["validate", "cluster", "--name", CLUSTER, "--state", STATE, "-o", "json"];
        let output = self.run(&self.options.windlass, &arguments).await?;
        ensure!(output.status.code() == Some(2), "a cluster without a network was validated: {output:?}");
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(report.contains("its pods have no network yet"), "no word of the network: {report}");
        Ok(())
    }

    async fn bring(&mut self, plugin: NetworkPlugin<'_>) -> Result<()> {
        let manifest = self.options.folder.join("network.yaml");
        fs_err::write(&manifest, plugin.manifest)?;
        self.kubectl(&["apply", "--filename", &manifest.display().to_string()]).await?;
        let members = self.members().await?;
        ensure!(members.len() == MACHINES, "expected {MACHINES} machines, found {members:?}");
        for (machine, _, _) in &members {
            self.configure(machine, plugin.configure).await?;
        }
        Ok(())
    }

    /// Writes an object beside the specification, changes it, and waits each time until the cluster has it.
    async fn add_objects(&mut self) -> Result<()> {
        for (command, word) in [("create", "first"), ("replace", "second")] {
            let file = self.options.folder.join("objects.yaml");
            fs_err::write(&file, OBJECTS.replace("WORD", word))?;
            let file = file.display().to_string();
            self.windlass(&[command, "-f", &file, "--name", CLUSTER, "--state", STATE]).await?;
            self.windlass(&["update", "cluster", "--name", CLUSTER, "--state", STATE, "--yes"]).await?;
            self.object_says(word).await?;
        }
        Ok(())
    }

    /// Takes a master's stable address and its kubelet away, waits until its agent has brought both back, and for a
    /// younger report of every machine.
    async fn take_away(&mut self) -> Result<()> {
        let master = self.master().await?;
        self.configure(&master, TAKE_AWAY).await?;
        let before = self.last_reports().await?;
        self.configure(&master, IS_BACK).await?;
        let until = Instant::now() + PATIENCE;
        loop {
            let now = self.last_reports().await?;
            let goes_on =
                |(machine, seen): (&String, &String)| before.get(machine).is_some_and(|known| known != seen);
            if now.len() == MACHINES && now.iter().all(goes_on) {
                return Ok(());
            }
            ensure!(Instant::now() < until, "not every machine goes on reporting: {before:?}, {now:?}");
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// When each machine last reported.
    async fn last_reports(&self) -> Result<BTreeMap<String, String>> {
        let said =
            self.windlass(&["get", "instances", "--name", CLUSTER, "--state", STATE, "-o", "json"]).await?;
        let instances: Value = serde_json::from_str(&said)?;
        let seen = |instance: &Value| {
            Some((instance["id"].as_str()?.to_owned(), instance["boot"]["lastSeen"].as_str()?.to_owned()))
        };
        Ok(instances.as_array().into_iter().flatten().filter_map(seen).collect())
    }

    /// Every machine's agent, the master's too, is done again while S3 is away.
    async fn restart_agents_without_the_state(&mut self) -> Result<()> {
        let (master, nodes) = (self.master().await?, self.nodes().await?);
        let outage = serde_json::json!([{"service": "s3", "code": "ServiceUnavailable", "times": null}]);
        let region = self.cloud.region();
        region.post("faults", &outage).await?;
        for (node, _) in &nodes {
            self.configure(node, "systemctl restart windlass-bootstrap.service").await?;
        }
        self.configure(&master, "systemctl restart --no-block windlass-bootstrap.service").await?;
        // The new agent says this, and systemd calls it active once it has said that it is ready.
        let done_again = "journalctl -u windlass-bootstrap -o cat --since -5m | grep -q 'read before' \
                          && systemctl is-active --quiet windlass-bootstrap.service \
                          && systemctl show -p StatusText windlass-bootstrap.service | grep -q renew_bootstrap_token";
        self.configure(&master, done_again).await?;
        region.delete("faults").await?;
        let has_token =
            "! systemctl show -p StatusText windlass-bootstrap.service | grep -q renew_bootstrap_token";
        self.configure(&master, has_token).await
    }

    async fn object_says(&self, word: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let arguments = ["get", "configmap", "brought", "-n", "brought", "-o", "jsonpath={.data.word}"];
        loop {
            let said = self.kubectl(&arguments).await;
            if said.as_deref().is_ok_and(|said| said == word) {
                return Ok(());
            }
            ensure!(Instant::now() < until, "the additional object doesn't say {word}: {said:?}");
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Runs a script on a machine until it succeeds.
    async fn configure(&self, machine: &str, script: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut command = tokio::process::Command::from(self.cloud.instance_command(machine, "sh")?);
            let output = command.args(["-c", script]).stdin(Stdio::null()).output().await;
            let output = output.with_context(|| format!("could not run a script on {machine}"))?;
            if output.status.success() {
                return Ok(());
            }
            ensure!(
                Instant::now() < until,
                "{machine} could not be configured: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            tokio::time::sleep(GLANCE).await;
        }
    }
}

/// How many nodes say that they are not ready because no network plug-in is configured.
fn waiting_for_a_network(nodes: &Value) -> usize {
    let waits = |condition: &Value| {
        condition["type"] == "Ready"
            && condition["status"] == "False"
            && condition["message"]
                .as_str()
                .is_some_and(|message| message.contains("cni plugin not initialized"))
    };
    let nodes = nodes["items"].as_array().into_iter().flatten();
    nodes
        .filter(|node| node["status"]["conditions"].as_array().is_some_and(|all| all.iter().any(waits)))
        .count()
}
