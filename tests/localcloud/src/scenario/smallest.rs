//! The smallest cluster: one machine, which runs the pods too. Then it grows by a group of nodes, and shrinks again,
//! and its master stays the same all the while.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{CLUSTER, Life, Options, STATE, Timings, inventory, nothing_left};
use crate::LocalCloud;

/// The group that comes and goes.
const GROUP: &str = "more";

/// The key and the label that masters with nodes have.
const TAINT: &str = "node-role.kubernetes.io/control-plane";
const NO_LOAD_BALANCERS: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// A kubelet's request for a certificate, for a name that isn't one instance's: `system:node:i-0*`, PEM in base64.
#[derive(Clone, Copy, Debug)]
pub struct ForgedRequest<'a>(pub &'a str);

/// Lives the life of a cluster of one machine, in a cloud that is up and empty; `say` is told of every stage.
pub async fn run(
    cloud: &LocalCloud,
    options: &Options,
    forged: ForgedRequest<'_>,
    say: impl Fn(&str),
) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    let empty = inventory(cloud).await?;

    life.stage("create cluster --node-count 0", Life::create_smallest).await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("validate cluster: green", Life::validate).await?;
    let master = life.master().await?;
    life.stage("the master runs pods", Life::master_runs_pods).await?;
    life.stage("a denied request stays denied", async |life| life.denied_stays_denied(&master, forged).await)
        .await?;
    life.stage("add a group of nodes", async |life| life.add_group(&master).await).await?;
    life.stage("the group of nodes grows", async |life| life.scale_group(&master).await).await?;
    life.stage("the last group of nodes goes", async |life| life.remove_group(&master).await).await?;
    life.stage("delete cluster", Life::delete).await?;

    nothing_left(cloud, &empty).await?;
    Ok(life.timings)
}

impl Life<'_> {
    async fn create_smallest(&mut self) -> Result<()> {
        self.create_from(&["--zones", "us-east-1a", "--node-count", "0"]).await
    }

    async fn master_runs_pods(&mut self) -> Result<()> {
        let master = self.master().await?;
        self.master_is(&master, false).await?;
        self.dns_runs_on("the master", |node| node == master).await?;
        let manifest = self.options.folder.join("workload.yaml");
        fs_err::write(&manifest, super::WORKLOAD)?;
        self.kubectl(&["apply", "--filename", &manifest.display().to_string()]).await?;
        self.kubectl(&["rollout", "status", "deployment/hello", "--timeout=180s"]).await?;
        let service: Value =
            serde_json::from_str(&self.kubectl(&["get", "service", "hello", "-o", "json"]).await?)?;
        let address = service["spec"]["clusterIP"].as_str().context("the Service has no address")?;
        self.answers(&master, &format!("http://{address}/hostname")).await.map(drop)
    }

    /// Asks, with what a bootstrap token allows, for a certificate that isn't one instance's. It is denied, and neither
    /// another approval nor a restart of the agent, which looks at all requests anew, changes that.
    async fn denied_stays_denied(&mut self, master: &str, forged: ForgedRequest<'_>) -> Result<()> {
        let request = json!({
            "apiVersion": "certificates.k8s.io/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": "forged"},
            "spec": {
                "request": forged.0,
                "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                "usages": ["digital signature", "client auth"],
            },
        });
        let file = self.options.folder.join("forged.json");
        fs_err::write(&file, request.to_string())?;
        let file = file.display().to_string();
        let bearer = ["--as=system:bootstrap:abcdef", "--as-group=system:bootstrappers"];
        self.kubectl(&["create", "--filename", &file, bearer[0], bearer[1]]).await?;
        self.wait("the forged request is denied", async |life| {
            Ok(life.verdicts("forged").await? == ["Denied"])
        })
        .await?;
        let approved = self.kubectl(&["certificate", "approve", "forged"]).await;
        ensure!(approved.is_err(), "the API lets a denied request be approved: {approved:?}");

        let mut restart = tokio::process::Command::from(self.cloud.instance_command(master, "systemctl")?);
        let restarted = restart.args(["restart", "windlass-bootstrap.service"]).output().await?;
        ensure!(restarted.status.success(), "the agent could not be restarted: {restarted:?}");
        // Another one that comes later is decided, so the agent has looked at all of them.
        fs_err::write(&file, request.to_string().replace("\"forged\"", "\"forged-again\""))?;
        self.kubectl(&["create", "--filename", &file, bearer[0], bearer[1]]).await?;
        let again = async |life: &Self| Ok(life.verdicts("forged-again").await? == ["Denied"]);
        self.wait("the second forged request is denied", again).await?;
        let verdicts = self.verdicts("forged").await?;
        ensure!(verdicts == ["Denied"], "what was denied became {verdicts:?}");
        Ok(())
    }

    /// The verdicts on a request. Fails if there is a certificate.
    async fn verdicts(&self, request: &str) -> Result<Vec<String>> {
        let said = self.kubectl(&["get", "certificatesigningrequest", request, "-o", "json"]).await?;
        let said: Value = serde_json::from_str(&said)?;
        ensure!(said["status"]["certificate"].is_null(), "{request} got a certificate: {said}");
        let conditions = said["status"]["conditions"].as_array().into_iter().flatten();
        Ok(conditions.filter_map(|condition| condition["type"].as_str().map(str::to_owned)).collect())
    }

    async fn add_group(&mut self, master: &str) -> Result<()> {
        let group = json!({
            "apiVersion": "kops.k8s.io/v1alpha2",
            "kind": "InstanceGroup",
            "metadata": {"name": GROUP, "labels": {"kops.k8s.io/cluster": CLUSTER}},
            "spec": {
                "role": "Node",
                "minSize": 1,
                "maxSize": 1,
                "machineType": "t3.large",
                "subnets": ["us-east-1a"],
                "nodeLabels": {"example.com/pool": "more"},
            },
        });
        let file = self.options.folder.join("group.json");
        fs_err::write(&file, group.to_string())?;
        self.windlass(&["create", "-f", &file.display().to_string(), "--state", STATE]).await?;
        self.apply().await?;
        self.validate().await?;
        self.master_stays(master, 1).await?;
        self.nodes_say_what_they_are().await?;
        self.master_is(master, true).await?;
        self.dns_runs_on("nodes", |node| node != master).await
    }

    async fn scale_group(&mut self, master: &str) -> Result<()> {
        let sizes = ["--set", "spec.maxSize=2", "--set", "spec.minSize=2"];
        let mut arguments = vec!["edit", "instancegroup", GROUP, "--name", CLUSTER, "--state", STATE];
        arguments.extend(sizes);
        self.windlass(&arguments).await?;
        self.apply().await?;
        self.validate().await?;
        self.master_stays(master, 2).await?;
        let apart = async |life: &Self| {
            let nodes = life.dns_nodes().await?;
            Ok(nodes.len() == 2 && nodes[0] != nodes[1] && !nodes.iter().any(|node| node == master))
        };
        self.wait("cluster DNS is spread over both nodes", apart).await
    }

    async fn remove_group(&mut self, master: &str) -> Result<()> {
        self.windlass(&["delete", "instancegroup", GROUP, "--name", CLUSTER, "--state", STATE, "--yes"])
            .await?;
        self.apply().await?;
        self.master_is(master, false).await?;
        self.dns_runs_on("the master", |node| node == master).await?;
        self.validate().await?;
        self.master_stays(master, 0).await
    }

    /// The master is the one that it was, and nobody says that it should be another.
    async fn master_stays(&self, master: &str, nodes: usize) -> Result<()> {
        let said =
            self.windlass(&["get", "instances", "--name", CLUSTER, "--state", STATE, "-o", "json"]).await?;
        let instances: Vec<Value> = serde_json::from_str(&said)?;
        let found = instances.iter().find(|instance| instance["id"] == master);
        let status = found.map(|master| &master["status"]);
        ensure!(status == Some(&json!("UpToDate")), "the master is {status:?}, and not UpToDate: {said}");
        let found = self.nodes().await?.len();
        ensure!(found == nodes, "there are {found} nodes, and not {nodes}");
        Ok(())
    }

    /// Waits until the master is tainted and no load balancer's, or neither.
    pub(super) async fn master_is(&self, master: &str, with_nodes: bool) -> Result<()> {
        let what = if with_nodes { "the master is tainted" } else { "the master runs pods" };
        self.wait(what, async |life| {
            let node: Value =
                serde_json::from_str(&life.kubectl(&["get", "node", master, "-o", "json"]).await?)?;
            let mut taints = node["spec"]["taints"].as_array().into_iter().flatten();
            let tainted = taints.any(|taint| taint["key"] == TAINT && taint["effect"] == "NoSchedule");
            let labelled = node["metadata"]["labels"].get(NO_LOAD_BALANCERS).is_some();
            Ok(tainted == with_nodes && labelled == with_nodes)
        })
        .await
    }

    /// Every node has the labels by which pods, autoscalers and people tell nodes apart.
    async fn nodes_say_what_they_are(&self) -> Result<()> {
        for (node, _) in self.nodes().await? {
            let labels = ["get", "node", node.as_str(), "-o", "jsonpath={.metadata.labels}"];
            let wanted = [
                ("topology.kubernetes.io/zone", "us-east-1a"),
                ("topology.kubernetes.io/region", "us-east-1"),
                ("node.kubernetes.io/instance-type", "t3.large"),
                ("node-role.kubernetes.io/node", ""),
                ("kops.k8s.io/instancegroup", GROUP),
                ("example.com/pool", "more"),
            ];
            self.wait("the node is labelled", async |life| {
                let found: Value = serde_json::from_str(&life.kubectl(&labels).await?)?;
                Ok(wanted.iter().all(|(key, value)| found[key] == *value))
            })
            .await?;
        }
        Ok(())
    }

    async fn dns_runs_on(&self, where_to: &str, right: impl Fn(&str) -> bool) -> Result<()> {
        self.wait(&format!("cluster DNS runs on {where_to}"), async |life| {
            let nodes = life.dns_nodes().await?;
            Ok(nodes.len() == 2 && nodes.iter().all(|node| right(node)))
        })
        .await
    }

    /// Where cluster DNS runs: a node for each pod that is ready and stays.
    async fn dns_nodes(&self) -> Result<Vec<String>> {
        let arguments =
            ["get", "pods", "--namespace", "kube-system", "--selector", "k8s-app=kube-dns", "-o", "json"];
        let pods: Value = serde_json::from_str(&self.kubectl(&arguments).await?)?;
        let ready = |pod: &&Value| {
            let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
            pod["metadata"]["deletionTimestamp"].is_null()
                && conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
        };
        let pods = pods["items"].as_array().into_iter().flatten().filter(ready);
        Ok(pods.filter_map(|pod| pod["spec"]["nodeName"].as_str().map(str::to_owned)).collect())
    }
}
