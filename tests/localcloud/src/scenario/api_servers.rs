//! A cluster with an API server beside its only master: the API goes on while the master's own API server is gone.

use anyhow::{Context as _, Result, ensure};

use super::{
    CLUSTER, Life, Options, STATE, Timings, enforce_permissions, inventory, nobody_was_denied, nothing_left,
};
use crate::LocalCloud;
use crate::world::{Instance, TargetHealth};

/// The tag of API servers' group.
const API_SERVER: &str = "k8s.io/role/apiserver";

/// Where the kubelet finds the pod of the API server, and where it doesn't.
const POD: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const ASIDE: &str = "/run/kube-apiserver.yaml";

/// Lives the life of a cluster with an API server beside its master, in a cloud that is up and empty; `say` is told of every
/// stage.
pub async fn run(cloud: &LocalCloud, options: &Options, say: impl Fn(&str)) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    let empty = inventory(cloud).await?;
    enforce_permissions(cloud).await?;

    life.stage("create cluster with a load balancer, and a group of API servers", Life::create_api_servers)
        .await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("validate cluster: green", Life::validate).await?;
    life.stage("the API server beside the master is a Node with its label and taint", Life::is_labelled)
        .await?;
    life.stage("load balancer and `kubernetes` service lead to both", Life::both_are_led_to).await?;
    life.stage("update cluster: nothing to do", Life::update_again).await?;
    life.stage("without the master's API server the API goes on", Life::lives_without_the_master_s).await?;
    life.stage("validate cluster: green again", Life::validate).await?;
    nobody_was_denied(cloud).await?;
    life.stage("delete cluster", Life::delete).await?;

    nothing_left(cloud, &empty).await?;
    Ok(life.timings)
}

impl Life<'_> {
    async fn create_api_servers(&mut self) -> Result<()> {
        let flags = ["--zones", "us-east-1a", "--networking", "flannel", "--node-count", "1"];
        self.create_from(&[flags.as_slice(), &["--api-loadbalancer-type", "public"]].concat()).await?;
        let group = ["create", "instancegroup", "apiserver", "--name", CLUSTER, "--state", STATE];
        let of = ["--role", "apiserver", "--subnet", "us-east-1a", "--edit=false"];
        let sizes = ["--set", "spec.minSize=1", "--set", "spec.maxSize=1"];
        self.windlass(&[group.as_slice(), &of, &sizes].concat()).await.map(drop)
    }

    async fn api_server(&self) -> Result<Instance> {
        let world = self.cloud.region().world_now().await?;
        let mut found = world.instances.into_iter().filter(|it| it.tags.contains_key(API_SERVER));
        found.next().context("there is no API server beside the master")
    }

    async fn is_labelled(&mut self) -> Result<()> {
        let id = self.api_server().await?.id;
        let label = "node-role.kubernetes.io/api-server";
        let names = ["get", "nodes", "--selector", label, "-o=jsonpath={.items[*].metadata.name}"];
        let nodes = self.kubectl(&names).await?;
        ensure!(nodes == id, "{id} isn't the one Node with the label {label}");
        let taints = self.kubectl(&["get", "node", &id, "-o=jsonpath={.spec.taints[*].key}"]).await?;
        ensure!(taints == label, "{id} has the taints {taints:?}");
        let pods = self.on(&id, "ls", &["/etc/kubernetes/manifests"]).await?;
        let pods: Vec<&str> = pods.split_whitespace().collect();
        ensure!(pods == ["kube-apiserver.yaml", "kube-proxy.yaml"], "{id} runs {pods:?}");
        Ok(())
    }

    async fn both_are_led_to(&mut self) -> Result<()> {
        let of_api_server = self.api_server().await?;
        let mut both = [self.master().await?, of_api_server.id.clone()];
        both.sort();
        self.wait("both are healthy targets of the load balancer", async |life| {
            let world = life.cloud.region().world_now().await?;
            let targets = world.target_groups.iter().flat_map(|group| &group.targets);
            let healthy = targets.filter(|target| target.health == TargetHealth::Healthy);
            let mut healthy: Vec<String> = healthy.map(|target| target.id.clone()).collect();
            healthy.sort();
            Ok(healthy == both)
        })
        .await?;
        let slices = ["get", "endpointslice", "kubernetes", "-o=jsonpath={.endpoints[*].addresses[*]}"];
        let address = of_api_server.private_ip.to_string();
        self.wait("the `kubernetes` service leads to two API servers", async |life| {
            let addresses = life.kubectl(&slices).await?;
            let addresses: Vec<&str> = addresses.split_whitespace().collect();
            Ok(addresses.len() == 2 && addresses.contains(&address.as_str()))
        })
        .await
    }

    /// The master's etcd goes on, and nothing else of its control plane can: its own API server is taken away.
    /// Kubelets, which go to masters alone, can't ask who may read a pod's log meanwhile, so that none is read here.
    async fn lives_without_the_master_s(&mut self) -> Result<()> {
        let (master, other) = (self.master().await?, self.api_server().await?.id);
        self.on(&master, "mv", &[POD, ASIDE]).await?;
        let left = self
            .wait("the load balancer leads to the other alone", async |life| {
                let world = life.cloud.region().world_now().await?;
                let targets = world.target_groups.iter().flat_map(|group| &group.targets);
                let healthy = targets.filter(|target| target.health == TargetHealth::Healthy);
                Ok(healthy.map(|target| target.id.as_str()).collect::<Vec<_>>() == [other.as_str()])
            })
            .await;
        let lives = async {
            left?;
            self.kubectl(&["create", "configmap", "kept", "--from-literal=written=without"]).await?;
            let written = self.kubectl(&["get", "configmap", "kept", "-o=jsonpath={.data.written}"]).await?;
            ensure!(written == "without", "the ConfigMap came back as {written:?}");
            Ok(())
        };
        let outcome = lives.await;
        self.on(&master, "mv", &[ASIDE, POD]).await?;
        outcome
    }
}
