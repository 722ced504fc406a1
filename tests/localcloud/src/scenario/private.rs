//! A cluster in private subnets, with all that such clusters have before them: NAT gateways by which its machines go out, a
//! bastion by which operators come in, an API for the VPC alone, and a load balancer that brings clients to a group of spot
//! instances.

use anyhow::{Context as _, Result, ensure};

use super::interruption::GROUP;
use super::{
    CLUSTER, Life, Options, STATE, Timings, enforce_permissions, inventory, nobody_was_denied, nothing_left,
};
use crate::LocalCloud;
use crate::network::{ENDPOINT, ENDPOINT_PORT, S3_ENDPOINT};
use crate::world::{Instance, TargetHealth};

/// Lives the life of a cluster of the private topology, in a cloud that is up and empty; `say` is told of every stage.
pub async fn run(cloud: &LocalCloud, options: &Options, say: impl Fn(&str)) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    let empty = inventory(cloud).await?;
    enforce_permissions(cloud).await?;

    life.stage("create cluster --topology private --bastion, with an internal API", Life::create_private)
        .await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("the bastion is the way in by SSH, and there is no other", Life::is_jumped_through).await?;
    let mut tunnel = None;
    life.stage("the API has no public address, and a tunnel through the bastion leads to it", async |life| {
        tunnel = Some(life.open_tunnel().await?);
        Ok(())
    })
    .await?;
    life.stage("validate cluster: green", Life::validate).await?;
    life.stage("kubectl gets through the tunnel, too", Life::api_answers_at_the_tunnel_s_end).await?;
    life.stage("its machines go out through NAT gateways, and nothing comes in", Life::is_private).await?;
    life.stage("the API answers by its load balancer", Life::api_is_balanced).await?;
    life.stage("update cluster: nothing to do", Life::update_again).await?;
    life.stage("a Deployment with a Service answers through the nodes", Life::deploy).await?;
    life.stage("a load balancer leads clients to the nodes, one after the other", Life::balance).await?;
    life.stage("a node that hangs gets no clients until it answers again", Life::hangs).await?;
    life.stage("kill the master", Life::kill_master).await?;
    life.stage("the API is back behind its load balancer, with its data", Life::api_back).await?;
    life.stage("validate cluster: green again", Life::validate).await?;
    life.stage("the load balancer leads to the new master alone", Life::api_is_balanced).await?;
    life.stage("the Service still answers", Life::service_answers).await?;
    life.stage("two pods run on one node, under a disruption budget", Life::deploy_on_one_node).await?;
    life.stage("EC2 takes that spot instance, after its pods have moved", Life::is_interrupted).await?;
    life.stage("clients come to the instance in its place", Life::goes_round).await?;
    life.stage("the group is scaled in, after clients have got their answers", Life::is_drained).await?;
    life.stage("validate cluster: green once more", Life::validate).await?;
    nobody_was_denied(cloud).await?;
    life.stage("the clients' load balancer goes", Life::unbalance).await?;
    life.stage("delete cluster", Life::delete).await?;
    drop(tunnel);

    nothing_left(cloud, &empty).await?;
    Ok(life.timings)
}

impl Life<'_> {
    /// One group of two spot instances, one in each zone, with node ports for everybody whom a load balancer brings.
    async fn create_private(&mut self) -> Result<()> {
        let bastion = self.bastion_flags().await?;
        let bastion: Vec<&str> = bastion.iter().map(String::as_str).collect();
        let private = ["--topology", "private", "--api-loadbalancer-type", "internal"];
        let settings = [
            "--set",
            "spec.nodeTerminationHandler.enabled=true",
            "--set",
            "spec.nodePortAccess=192.0.2.0/24,172.20.0.0/16",
        ];
        self.create_with("flannel", &[private.as_slice(), &bastion, &settings].concat()).await?;
        let sizes = ["--set", "spec.minSize=2", "--set", "spec.maxSize=2", "--set", "spec.maxPrice=0.05"];
        let zones = ["--set", "spec.subnets=us-east-1a,us-east-1b"];
        self.edit_nodes(&[sizes.as_slice(), &zones].concat()).await?;
        let other =
            ["delete", "instancegroup", "nodes-us-east-1b", "--name", CLUSTER, "--state", STATE, "--yes"];
        self.windlass(&other).await.map(drop)
    }

    async fn instances(&self) -> Result<Vec<Instance>> {
        Ok(self.cloud.region().world_now().await?.instances)
    }

    /// No machine has a public address or is reached by its private one; each reaches AWS, S3 too.
    async fn is_private(&mut self) -> Result<()> {
        let instances = self.instances().await?;
        ensure!(
            instances.len() == 4,
            "expected a master, two nodes and a bastion, found {}",
            instances.len()
        );
        let of_group = instances.iter().filter(|one| one.lifecycle.as_deref() == Some("spot"));
        ensure!(of_group.count() == 2, "{GROUP} has other instances than two spot instances");
        for instance in &instances {
            let public = &instance.public_ips;
            ensure!(public.is_empty(), "{} has public addresses: {public:?}", instance.id);
            for endpoint in [ENDPOINT, S3_ENDPOINT] {
                self.answers(&instance.id, &format!("http://{endpoint}:{ENDPOINT_PORT}/_region/health"))
                    .await?;
            }
            for port in ["22", "443", "10250"] {
                let reached = self.reaches(instance.private_ip, port).await?;
                ensure!(!reached, "{} is reached from outside at port {port}", instance.private_ip);
            }
        }
        Ok(())
    }

    /// The kubeconfig names the load balancer, and its one healthy target is the master.
    async fn api_is_balanced(&mut self) -> Result<()> {
        let balancer = self.balancer_of(443).await?;
        let view = ["config", "view", "--minify", "-o=jsonpath={.clusters[0].cluster.server}"];
        let server = self.kubectl(&view).await?;
        ensure!(
            server == format!("https://{}", balancer.dns_name),
            "kubectl talks to {server} for {CLUSTER}"
        );
        let master = self.master().await?;
        let group = balancer.listeners.first().context("it listens for nothing")?.target_group.clone();
        self.wait("the master is the load balancer's one target", async |life| {
            Ok(life.targets_being(&group, TargetHealth::Healthy).await? == [master.clone()])
        })
        .await
    }
}
