//! A cluster in private subnets: its machines have no public addresses, go out through NAT gateways, and are reached by
//! the API's load balancer alone.

use std::net::Ipv4Addr;

use anyhow::{Context as _, Result, ensure};

use super::{
    CLUSTER, Life, Options, Timings, enforce_permissions, inventory, nobody_was_denied, nothing_left,
};
use crate::LocalCloud;
use crate::network::{ENDPOINT, ENDPOINT_PORT, S3_ENDPOINT};
use crate::world::{Instance, TargetHealth};

/// Lives the life of a cluster of the private topology, in a cloud that is up and empty; `say` is told of every stage.
pub async fn run(cloud: &LocalCloud, options: &Options, say: impl Fn(&str)) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    let empty = inventory(cloud).await?;
    enforce_permissions(cloud).await?;

    life.stage("create cluster --topology private, with a public load balancer", Life::create_private)
        .await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("validate cluster: green", Life::validate).await?;
    life.stage("its machines go out through NAT gateways, and nothing comes in", Life::is_private).await?;
    life.stage("the API answers by its load balancer", Life::api_is_balanced).await?;
    life.stage("update cluster: nothing to do", Life::update_again).await?;
    life.stage("a Deployment with a Service answers through the nodes", Life::deploy).await?;
    life.stage("kill the master", Life::kill_master).await?;
    life.stage("the API is back behind its load balancer, with its data", Life::api_back).await?;
    life.stage("validate cluster: green again", Life::validate).await?;
    life.stage("the load balancer leads to the new master alone", Life::api_is_balanced).await?;
    life.stage("the Service still answers", Life::service_answers).await?;
    nobody_was_denied(cloud).await?;
    life.stage("delete cluster", Life::delete).await?;

    nothing_left(cloud, &empty).await?;
    Ok(life.timings)
}

impl Life<'_> {
    async fn create_private(&mut self) -> Result<()> {
        self.create_with("flannel", &["--topology", "private", "--api-loadbalancer-type", "public"]).await
    }

    async fn instances(&self) -> Result<Vec<Instance>> {
        Ok(self.cloud.region().world_now().await?.instances)
    }

    /// No machine has a public address or is reached by its private one; each reaches AWS, S3 too.
    async fn is_private(&mut self) -> Result<()> {
        let instances = self.instances().await?;
        ensure!(instances.len() == 3, "expected a master and two nodes, found {}", instances.len());
        for instance in &instances {
            let public = &instance.public_ips;
            ensure!(public.is_empty(), "{} has public addresses: {public:?}", instance.id);
            for endpoint in [ENDPOINT, S3_ENDPOINT] {
                self.answers(&instance.id, &format!("http://{endpoint}:{ENDPOINT_PORT}/_region/health"))
                    .await?;
            }
            for port in ["443", "10250"] {
                let reached = self.reaches(instance.private_ip, port).await?;
                ensure!(!reached, "{} is reached from outside at port {port}", instance.private_ip);
            }
        }
        Ok(())
    }

    /// Whether the operator gets a connection to an address.
    async fn reaches(&self, address: Ipv4Addr, port: &str) -> Result<bool> {
        let script = format!("exec 3<>/dev/tcp/{address}/{port}");
        let output = self.run("timeout".as_ref(), &["1", "bash", "-c", &script]).await?;
        Ok(output.status.success())
    }

    /// The kubeconfig names the load balancer, and its one healthy target is the master.
    async fn api_is_balanced(&mut self) -> Result<()> {
        let world = self.cloud.region().world_now().await?;
        let balancer = world.load_balancers.first().context("there is no load balancer")?;
        let view = ["config", "view", "--minify", "-o=jsonpath={.clusters[0].cluster.server}"];
        let server = self.kubectl(&view).await?;
        ensure!(
            server == format!("https://{}", balancer.dns_name),
            "kubectl talks to {server} for {CLUSTER}"
        );
        let master = self.master().await?;
        self.wait("the master is the load balancer's one target", async |life| {
            let world = life.cloud.region().world_now().await?;
            let targets = world.target_groups.iter().flat_map(|group| &group.targets);
            let healthy = targets.filter(|target| target.health == TargetHealth::Healthy);
            Ok(healthy.map(|target| target.id.clone()).collect::<Vec<_>>() == [master.clone()])
        })
        .await
    }
}
