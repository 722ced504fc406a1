//! A cluster with its names in a private hosted zone: inside of its VPC they lead to the API, and nowhere else to anything.

use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    CLUSTER, Life, Options, STATE, Timings, enforce_permissions, inventory, nobody_was_denied, nothing_left,
};
use crate::LocalCloud;

const ZONE: &str = "example.com";

/// Lives the life of a cluster with private names, in a cloud that is up and empty; `say` is told of every stage.
pub async fn run(cloud: &LocalCloud, options: &Options, say: impl Fn(&str)) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    life.stage("somebody has a private hosted zone, for a VPC of their own", Life::make_private_zone).await?;
    let before = inventory(cloud).await?;
    enforce_permissions(cloud).await?;

    life.stage("create cluster --dns private, with an internal load balancer", Life::create_private_names)
        .await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("validate cluster, from inside: green", Life::validate_inside).await?;
    life.stage("the API's names lead to it inside of the VPC", Life::names_are_inside).await?;
    life.stage("they lead nowhere from outside", Life::names_are_nowhere_else).await?;
    life.stage("update cluster: nothing to do", Life::update_again).await?;
    nobody_was_denied(cloud).await?;
    life.stage("delete cluster", Life::delete).await?;

    nothing_left(cloud, &before).await?;
    Ok(life.timings)
}

impl Life<'_> {
    async fn make_private_zone(&mut self) -> Result<()> {
        let made = self.aws("ec2", "create_vpc", &json!({"CidrBlock": "10.9.0.0/16"})).await?;
        let vpc = json!({"VPCRegion": "us-east-1", "VPCId": made["Vpc"]["VpcId"]});
        let private = json!({"PrivateZone": true});
        let zone = json!({"Name": ZONE, "CallerReference": "one", "VPC": vpc, "HostedZoneConfig": private});
        self.aws("route53", "create_hosted_zone", &zone).await.map(drop)
    }

    async fn create_private_names(&mut self) -> Result<()> {
        let flags = ["--zones", "us-east-1a", "--networking", "flannel", "--node-count", "1"];
        let access = ["--api-loadbalancer-type", "internal", "--dns", "private", "--dns-zone", ZONE];
        self.create_from(&[flags.as_slice(), &access].concat()).await
    }

    /// What the operator asks for leads to the load balancer's nodes; what instances ask for, to the address that the master
    /// keeps.
    async fn names_are_inside(&mut self) -> Result<()> {
        let (node, world) = (self.nodes().await?.remove(0).0, self.cloud.region().world_now().await?);
        let balancer = world.load_balancers.first().context("there is no load balancer")?;
        let public: Vec<String> = balancer.nodes.iter().map(|node| node.private_ip.to_string()).collect();
        let kept = world.instances.iter().flat_map(|instance| &instance.secondary_private_ips);
        let internal: Vec<String> = kept.map(ToString::to_string).collect();
        for (name, expected) in names().iter().zip([public, internal]) {
            let said = self.on(&node, "getent", &["ahostsv4", name]).await?;
            let mut found: Vec<&str> =
                said.lines().filter_map(|line| line.split_whitespace().next()).collect();
            found.sort_unstable();
            found.dedup();
            ensure!(found == expected, "{name} leads to {found:?} on {node}, not to {expected:?}");
        }
        Ok(())
    }

    /// As the operator would do from a machine of the VPC.
    async fn validate_inside(&mut self) -> Result<()> {
        self.wait("the cluster has a node", async |life| Ok(life.nodes().await?.len() == 1)).await?;
        let node = self.nodes().await?.remove(0).0;
        let validate = ["validate", "cluster", "--name", CLUSTER, "--state", STATE];
        let patient = ["--wait", "5m", "--interval", "1s"];
        let windlass = self.options.windlass.display().to_string();
        let output = self.inside(&node, &windlass, &[validate.as_slice(), &patient].concat()).await?;
        let said = String::from_utf8_lossy(&output.stdout);
        (self.say)(&said);
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "validate ended with {}:\n{said}{error}", output.status);
        let kubectl = self.options.kubectl.display().to_string();
        let output = self.inside(&node, &kubectl, &["get", "nodes", "--output=json"]).await?;
        let nodes: Value = serde_json::from_slice(&output.stdout)?;
        let count = nodes["items"].as_array().map_or(0, Vec::len);
        ensure!(count == 2, "expected a master and a node: {nodes}");
        Ok(())
    }

    async fn inside(&self, instance: &str, program: &str, arguments: &[&str]) -> Result<Output> {
        let command = self.cloud.inside_command(instance, program)?;
        let mut command = tokio::process::Command::from(command);
        command.args(arguments).env("KUBECONFIG", self.options.folder.join("kubeconfig"));
        command.output().await.with_context(|| format!("could not run {program}"))
    }

    async fn names_are_nowhere_else(&mut self) -> Result<()> {
        for name in names() {
            let output = self.run("getent".as_ref(), &["ahostsv4", &name]).await?;
            let found = String::from_utf8_lossy(&output.stdout);
            ensure!(!output.status.success(), "{name} leads to {found} outside of the VPC");
        }
        Ok(())
    }
}

/// What the operator asks for, and what instances do.
fn names() -> [String; 2] {
    [format!("api.{CLUSTER}"), format!("api.internal.{CLUSTER}")]
}
