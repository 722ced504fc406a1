//! The life of a cluster, from the first command to the last: what `make demo` shows and the local cloud's test checks.
//!
//! It drives `windlass` and `kubectl` as an operator would, from the Internet's namespace, and looks at the region and
//! the machines only to check what they say. Each stage is timed.

mod addons;
mod api_servers;
mod backups;
mod balanced;
mod bastion;
pub mod by_hand;
mod events;
mod interruption;
mod lost_volumes;
pub mod outage;
mod own_network;
mod private;
mod private_names;
mod requests;
mod restored;
mod smallest;
mod stopped;
mod three_masters;
mod warm_pool;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use serde_json::{Value, json};

pub use api_servers::run as run_api_servers;
pub use interruption::run as run_interrupted;
pub use lost_volumes::run as run_lost_volumes;
pub use own_network::{NetworkPlugin, run as run_with_own_network};
pub use private::run as run_private;
pub use private_names::run as run_with_private_names;
pub use restored::run as run_restored;
pub use smallest::{ForgedRequest, run as run_smallest};
pub use three_masters::run as run_three_masters;
pub use warm_pool::run as run_with_warm_pool;

use crate::LocalCloud;
use crate::world::InstanceState;

/// How long anything that is waited for may take, at most. Far above what is measured: a stage that takes longer is
/// broken, not slow.
const PATIENCE: Duration = Duration::from_mins(5);

/// How often something is looked at for which there is nothing to watch.
const GLANCE: Duration = Duration::from_millis(300);

const CLUSTER: &str = "demo.example.com";
const STATE: &str = "s3://windlass-demo-state";
const WORKLOAD: &str = include_str!("scenario/workload.yaml");

/// What the scenario drives.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `windlass` binary.
    pub windlass: PathBuf,
    /// The `kubectl` binary.
    pub kubectl: PathBuf,
    /// A folder for the kubeconfig and other files of the operator; must exist.
    pub folder: PathBuf,
}

/// How long each stage took, in order, and what was measured beside it.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// Name and seconds of each stage.
    pub stages: Vec<Stage>,
    /// Other measurements, in seconds: `agentStartToKubelet`, `masterAgentStartToKubeletOwn`,
    /// `nodeAgentStartToKubeletOwn` (beside what others take: AWS and the API), `instanceStartToReady`,
    /// `masterKilledToApi`.
    pub measured: BTreeMap<String, f64>,
    /// AWS calls by command: `updateFirst`, `updateNoOp`.
    pub calls: BTreeMap<String, usize>,
}

/// One stage.
#[derive(Clone, Debug, Serialize)]
pub struct Stage {
    /// What was done.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
}

impl fmt::Display for Timings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter)?;
        for Stage { name, seconds } in &self.stages {
            writeln!(formatter, "{seconds:>8.1} s  {name}")?;
        }
        let all: f64 = self.stages.iter().map(|stage| stage.seconds).sum();
        writeln!(formatter, "{all:>8.1} s  all stages")?;
        for (name, seconds) in &self.measured {
            writeln!(formatter, "{seconds:>8.1} s  measured: {name}")?;
        }
        for (name, calls) in &self.calls {
            writeln!(formatter, "{calls:>8}    AWS calls: {name}")?;
        }
        Ok(())
    }
}

/// The `kubectl` among the Kubernetes binaries, which are built or fetched if they aren't there.
pub fn kubectl() -> Result<PathBuf> {
    let build = concat!(env!("CARGO_MANIFEST_DIR"), "/../kubernetes/build");
    let output = Command::new(build)
        .stderr(Stdio::inherit())
        .output()
        .context("could not run tests/kubernetes/build")?;
    ensure!(output.status.success(), "tests/kubernetes/build ended with {}", output.status);
    Ok(Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("kubectl"))
}

/// Lives a cluster's whole life in a cloud that is up and empty; `say` is told of every stage.
pub async fn run(cloud: &LocalCloud, options: &Options, say: impl Fn(&str)) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    let empty = inventory(cloud).await?;
    enforce_permissions(cloud).await?;

    life.stage(
        "create cluster, with a metrics server and an etcd cluster for events",
        Life::create_with_metrics,
    )
    .await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("validate cluster: green", Life::validate).await?;
    life.stage("kubectl top nodes answers for every machine", Life::top_nodes).await?;
    life.stage("etcd is backed up, and the backup proven", Life::is_backed_up).await?;
    nobody_was_denied(cloud).await?;
    life.stage("update cluster: nothing to do", Life::update_again).await?;
    life.stage("a Deployment with a Service answers through the nodes", Life::deploy).await?;
    life.stage("events are in an etcd cluster of their own", Life::events_are_apart).await?;
    life.stage("the specification asks for no metrics server any more", Life::drop_metrics).await?;
    life.stage("kill the master", Life::kill_master).await?;
    life.stage("the API is back at its address, with its data", Life::api_back).await?;
    life.stage("the events are kept, too", Life::events_are_kept).await?;
    life.stage("validate cluster: green again", Life::validate).await?;
    life.stage("the metrics server is gone", Life::metrics_are_gone).await?;
    life.stage("the Service still answers", Life::service_answers).await?;
    life.stage("stop cluster: every machine stops, and stays", Life::stop).await?;
    life.stage("start cluster: green again", Life::start).await?;
    life.stage("the Service answers, as nothing was lost", Life::service_answers).await?;
    nobody_was_denied(cloud).await?;
    life.stage("delete cluster", Life::delete).await?;

    nothing_left(cloud, &empty).await?;
    Ok(life.timings)
}

/// From here on every request must be signed rightly, and allowed by the policies of whoever makes it: an instance that
/// asks for what its role doesn't allow is denied, as on AWS.
async fn enforce_permissions(cloud: &LocalCloud) -> Result<()> {
    cloud.region().post("authentication", &json!({"enforce": true})).await?;
    Ok(())
}

/// Fails when somebody was denied what they asked for: a role lacks a permission that is used. That an object is absent
/// is told as "denied" to those who may not list the bucket, and is no denial.
async fn nobody_was_denied(cloud: &LocalCloud) -> Result<()> {
    let journal: Vec<Value> = cloud.region().get("journal").await?;
    let denied = journal.iter().filter(|call| call["status"] == 403 && call["absent"] != true);
    let denied: Vec<String> = denied.map(Value::to_string).collect();
    ensure!(denied.is_empty(), "requests were denied:\n{}", denied.join("\n"));
    Ok(())
}

/// Fails when the region holds anything that it did not hold before.
async fn nothing_left(cloud: &LocalCloud, empty: &Value) -> Result<()> {
    let left = inventory(cloud).await?;
    ensure!(left == *empty, "delete cluster left something behind:\n{}", difference(empty, &left));
    Ok(())
}

async fn inventory(cloud: &LocalCloud) -> Result<Value> {
    cloud.region().get("inventory").await.context("could not list what the region holds")
}

/// What differs between two inventories, a line each.
fn difference(before: &Value, after: &Value) -> String {
    let empty = serde_json::Map::new();
    let before = before.as_object().unwrap_or(&empty);
    after
        .as_object()
        .unwrap_or(&empty)
        .iter()
        .filter(|(kind, ids)| before.get(*kind) != Some(ids))
        .map(|(kind, ids)| format!("{kind}: {ids}"))
        .collect::<Vec<_>>()
        .join("\n")
}

struct Life<'a> {
    cloud: &'a LocalCloud,
    options: &'a Options,
    say: &'a dyn Fn(&str),
    timings: Timings,
    killed: Option<Instant>,
    /// The uid of an event.
    event: Option<String>,
}

impl Life<'_> {
    async fn stage(&mut self, name: &str, act: impl AsyncFnOnce(&mut Self) -> Result<()>) -> Result<()> {
        (self.say)(&format!("{name} …"));
        let started = Instant::now();
        act(self).await.with_context(|| format!("stage `{name}` failed"))?;
        let seconds = started.elapsed().as_secs_f64();
        (self.say)(&format!("{name}: {seconds:.1} s"));
        self.timings.stages.push(Stage { name: name.to_owned(), seconds });
        Ok(())
    }

    async fn create(&mut self, networking: &str) -> Result<()> {
        self.create_with(networking, &[]).await
    }

    async fn create_with(&mut self, networking: &str, more: &[&str]) -> Result<()> {
        let usual = ["--zones", "us-east-1a,us-east-1b", "--node-count", "2", "--networking", networking];
        self.create_from(&[usual.as_slice(), more].concat()).await
    }

    /// Creates the cluster with these flags.
    async fn create_from(&mut self, flags: &[&str]) -> Result<()> {
        let arguments = ["create", "cluster", "--name", CLUSTER, "--state", STATE, "--create-state-store"];
        let version = self.kubernetes_version().context("no image says which Kubernetes it holds")?;
        let version = ["--kubernetes-version", &version];
        self.windlass(&[arguments.as_slice(), &version, flags].concat()).await.map(drop)
    }

    /// The version of Kubernetes in the machines' image, which its name says: `windlass-<Kubernetes>-debian-…`.
    fn kubernetes_version(&self) -> Option<String> {
        let status = self.cloud.status();
        let status = status.borrow();
        let name = status.images.keys().find_map(|name| name.strip_prefix("windlass-"))?;
        name.split('-').next().map(str::to_owned)
    }

    async fn update(&mut self) -> Result<()> {
        self.cloud.region().delete("journal").await?;
        self.windlass(&["update", "cluster", "--name", CLUSTER, "--state", STATE, "--yes", "--admin"])
            .await?;
        let calls: Value = self.cloud.region().get("journal").await?;
        self.timings.calls.insert("updateFirst".into(), operator_calls(&calls).count());
        Ok(())
    }

    async fn update_again(&mut self) -> Result<()> {
        self.cloud.region().delete("journal").await?;
        self.windlass(&[
            "update",
            "cluster",
            "--name",
            CLUSTER,
            "--state",
            STATE,
            "--yes",
            "--create-kube-config=false",
        ])
        .await?;
        let journal: Value = self.cloud.region().get("journal").await?;
        self.timings.calls.insert("updateNoOp".into(), operator_calls(&journal).count());
        let changing: Vec<String> =
            operator_calls(&journal).filter(|call| call["mutating"] == true).map(Value::to_string).collect();
        ensure!(changing.is_empty(), "the second update changed something:\n{}", changing.join("\n"));
        Ok(())
    }

    async fn validate(&mut self) -> Result<()> {
        let said = self
            .windlass(&[
                "validate",
                "cluster",
                "--name",
                CLUSTER,
                "--state",
                STATE,
                "--wait",
                "5m",
                "--interval",
                "1s",
            ])
            .await?;
        (self.say)(&said);
        Ok(())
    }

    async fn deploy(&mut self) -> Result<()> {
        let manifest = self.options.folder.join("workload.yaml");
        fs_err::write(&manifest, WORKLOAD)?;
        self.kubectl(&["apply", "--filename", &manifest.display().to_string()]).await?;
        self.kubectl(&["create", "configmap", "kept", "--from-literal=written=before-the-loss"]).await?;
        self.kubectl(&["rollout", "status", "deployment/hello", "--timeout=180s"]).await?;
        self.service_answers().await
    }

    /// Asks the Service by its cluster address, and by its port on every node, from every node.
    async fn service_answers(&mut self) -> Result<()> {
        let service: Value =
            serde_json::from_str(&self.kubectl(&["get", "service", "hello", "-o", "json"]).await?)?;
        let address = service["spec"]["clusterIP"].as_str().context("the Service has no address")?.to_owned();
        let port =
            service["spec"]["ports"][0]["nodePort"].as_u64().context("the Service has no node port")?;
        let nodes = self.nodes().await?;
        ensure!(nodes.len() == 2, "expected two nodes, found {}", nodes.len());
        for (node, _) in &nodes {
            let mut urls = vec![format!("http://{address}/hostname")];
            urls.extend(nodes.iter().map(|(_, private)| format!("http://{private}:{port}/hostname")));
            for url in urls {
                self.answers(node, &url).await?;
            }
        }
        Ok(())
    }

    /// Waits until a URL answers from a node.
    async fn answers(&self, node: &str, url: &str) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut command = tokio::process::Command::from(self.cloud.instance_command(node, "curl")?);
            command.args(["--silent", "--show-error", "--fail", "--max-time", "2", url]);
            let output = command.output().await?;
            if output.status.success() {
                return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            ensure!(
                Instant::now() < until,
                "{url} didn't answer from {node}: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
            tokio::time::sleep(GLANCE).await;
        }
    }

    async fn kill_master(&mut self) -> Result<()> {
        let master = self.master().await?;
        self.master_is(&master, true).await?;
        self.measure_boots().await?;
        self.killed = Some(Instant::now());
        self.cloud.kill(&master)?;
        // Only from here on is what answers at the API's address the replacement.
        let until = Instant::now() + PATIENCE;
        while self.members().await?.iter().any(|(id, _, _)| *id == master) {
            ensure!(Instant::now() < until, "{master} was killed, and still runs");
            tokio::time::sleep(GLANCE).await;
        }
        (self.say)(&format!("{master} is dead"));
        Ok(())
    }

    async fn api_back(&mut self) -> Result<()> {
        let killed = self.killed.context("no master was killed")?;
        let until = killed + PATIENCE;
        loop {
            let kept = self.kubectl(&[
                "get",
                "configmap",
                "kept",
                "-o",
                "jsonpath={.data.written}",
                "--request-timeout=2s",
            ]);
            match kept.await {
                Ok(data) => {
                    ensure!(data == "before-the-loss", "the ConfigMap came back as {data:?}");
                    break;
                }
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => tokio::time::sleep(GLANCE).await,
            }
        }
        self.timings.measured.insert("masterKilledToApi".into(), killed.elapsed().as_secs_f64());
        Ok(())
    }

    async fn delete(&mut self) -> Result<()> {
        self.windlass(&["delete", "cluster", "--name", CLUSTER, "--state", STATE, "--yes"]).await?;
        Ok(())
    }

    /// Takes the times of the boots from what the instances reported.
    async fn measure_boots(&mut self) -> Result<()> {
        let said =
            self.windlass(&["get", "instances", "--name", CLUSTER, "--state", STATE, "-o", "json"]).await?;
        let instances: Value = serde_json::from_str(&said).context("get instances -o json is not JSON")?;
        self.timings.measured.extend(boot_times(&instances));
        Ok(())
    }

    /// The workers, as (instance id, private address).
    async fn nodes(&self) -> Result<Vec<(String, String)>> {
        Ok(self
            .members()
            .await?
            .into_iter()
            .filter(|(_, master, _)| !master)
            .map(|(id, _, ip)| (id, ip))
            .collect())
    }

    async fn master(&self) -> Result<String> {
        let mut masters: Vec<String> =
            self.members().await?.into_iter().filter(|(_, master, _)| *master).map(|(id, _, _)| id).collect();
        match (masters.pop(), masters.is_empty()) {
            (Some(master), true) => Ok(master),
            _ => bail!("expected exactly one running master"),
        }
    }

    async fn apply(&self) -> Result<()> {
        self.windlass(&["update", "cluster", "--name", CLUSTER, "--state", STATE, "--yes"]).await.map(drop)
    }

    async fn wait(&self, what: &str, mut is_so: impl AsyncFnMut(&Self) -> Result<bool>) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let found = is_so(self).await;
            if matches!(found, Ok(true)) {
                return Ok(());
            }
            ensure!(Instant::now() < until, "waited in vain until {what}: {found:?}");
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The running instances of the cluster that are Nodes: (id, whether it is a master, private address).
    async fn members(&self) -> Result<Vec<(String, bool, String)>> {
        let world = self.cloud.region().world_now().await?;
        Ok(world
            .instances
            .into_iter()
            .filter(|instance| instance.state == InstanceState::Running)
            .filter(|instance| !instance.tags.contains_key(bastion::BASTION))
            .map(|instance| {
                let master = instance.tags.contains_key("k8s.io/role/control-plane");
                (instance.id, master, instance.private_ip.to_string())
            })
            .collect())
    }

    async fn windlass(&self, arguments: &[&str]) -> Result<String> {
        self.operator(&self.options.windlass, arguments).await
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.operator(&self.options.kubectl, arguments).await
    }

    /// Runs a command as the operator.
    async fn run(&self, program: &Path, arguments: &[&str]) -> Result<Output> {
        let mut command =
            tokio::process::Command::from(self.cloud.operator_command(&program.display().to_string()));
        command.args(arguments).env("KUBECONFIG", self.options.folder.join("kubeconfig"));
        command.output().await.with_context(|| format!("could not run {}", program.display()))
    }

    /// Runs a command as the operator, and returns what it printed.
    async fn operator(&self, program: &Path, arguments: &[&str]) -> Result<String> {
        let output = self.run(program, arguments).await?;
        ensure!(
            output.status.success(),
            "`{} {}` ended with {}:\n{}{}",
            program.display(),
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// The calls of the journal that the operator made.
fn operator_calls(journal: &Value) -> impl Iterator<Item = &Value> {
    journal.as_array().into_iter().flatten().filter(|call| call["principal"] == "operator")
}

/// The slowest boot's times: from the agent's start to the kubelet's, in all and without the waits for others, and from
/// the kernel's start to a Ready agent.
fn boot_times(instances: &Value) -> BTreeMap<String, f64> {
    let mut slowest = BTreeMap::new();
    for boot in instances.as_array().into_iter().flatten().map(|instance| &instance["boot"]) {
        let started = boot["agentStartedAfter"].as_f64().unwrap_or(0.0);
        for step in boot["steps"].as_array().into_iter().flatten() {
            let end = step["startedAfter"].as_f64().unwrap_or(0.0) + step["seconds"].as_f64().unwrap_or(0.0);
            let mut longest = |name: &str, seconds: f64| {
                let entry = slowest.entry(name.to_owned()).or_insert(seconds);
                *entry = entry.max(seconds);
            };
            longest("instanceStartToReady", end);
            if step["name"] == "ensure_kubelet" {
                longest("agentStartToKubelet", end - started);
                longest(&format!("{}AgentStartToKubeletOwn", role(boot)), own_time(boot, started, end));
            }
        }
    }
    slowest
}

fn role(boot: &Value) -> &'static str {
    let steps = boot["steps"].as_array();
    let has_etcd = steps.into_iter().flatten().any(|step| step["name"] == "ensure_etcd_start");
    if has_etcd { "master" } else { "node" }
}

/// How much of a span the agent itself needed: all but the time in which every step that is under way waits for others.
fn own_time(boot: &Value, from: f64, to: f64) -> f64 {
    let steps: Vec<(f64, f64, bool)> = boot["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| {
            let start = step["startedAfter"].as_f64().unwrap_or(0.0);
            (start, start + step["seconds"].as_f64().unwrap_or(0.0), step["outside"] == true)
        })
        .collect();
    let mut edges: Vec<f64> =
        steps.iter().flat_map(|(start, end, _)| [*start, *end]).chain([from, to]).collect();
    edges.retain(|edge| (from..=to).contains(edge));
    edges.sort_by(f64::total_cmp);
    let is_own = |at: f64| {
        let mut under_way = steps.iter().filter(|(start, end, _)| *start <= at && at < *end).peekable();
        under_way.peek().is_none() || under_way.any(|(_, _, outside)| !outside)
    };
    let spans = edges.iter().zip(edges.iter().skip(1));
    spans.filter(|(start, end)| is_own(f64::midpoint(**start, **end))).map(|(start, end)| end - start).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_agent_s_own_time_is_what_is_not_spent_waiting_for_others() {
        let step = |name: &str, start: f64, seconds: f64, outside: bool| json!({"name": name, "startedAfter": start, "seconds": seconds, "outside": outside});
        let boot = json!({"agentStartedAfter": 10.0, "steps": [
            step("ensure_identity", 10.1, 0.2, true),
            step("ensure_kernel", 10.3, 0.1, false),
            step("ensure_kubelet_certificate", 10.3, 5.0, true),
            step("ensure_kubelet", 15.3, 0.3, false),
            step("ensure_node_ready", 15.6, 4.0, true),
        ]});
        let times = boot_times(&json!([{"boot": boot}]));
        let expect = |name: &str, seconds: f64| {
            assert!((times[name] - seconds).abs() < 0.001, "{name}: {times:?}");
        };
        expect("agentStartToKubelet", 5.6);
        // A tenth before the first step, a tenth for the kernel, three tenths for the kubelet.
        expect("nodeAgentStartToKubeletOwn", 0.5);
        expect("instanceStartToReady", 19.6);
    }
}
