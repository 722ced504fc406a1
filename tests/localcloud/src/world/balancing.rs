//! Load balancers, their targets, and the names that lead to them.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// A network load balancer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancer {
    /// Its ARN.
    pub arn: String,
    /// The VPC's id.
    pub vpc: String,
    /// The name that its addresses have.
    pub dns_name: String,
    /// Its security groups' ids; without any, nothing is held back.
    #[serde(default)]
    pub security_groups: Vec<String>,
    /// What it has in each of its subnets.
    pub nodes: Vec<BalancerNode>,
    /// What it listens for.
    #[serde(default)]
    pub listeners: Vec<Listener>,
}

/// A load balancer's network interface in a subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BalancerNode {
    /// The network interface's id.
    pub network_interface: String,
    /// The subnet's id.
    pub subnet: String,
    /// The availability zone.
    pub zone: String,
    /// Its private address.
    pub private_ip: Ipv4Addr,
    /// Its public address; an internal load balancer has none.
    #[serde(default)]
    pub public_ip: Option<Ipv4Addr>,
}

/// A listener for TCP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// The port.
    pub port: u16,
    /// The ARN of the target group that it forwards to.
    pub target_group: String,
}

/// A target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetGroup {
    /// Its ARN.
    pub arn: String,
    /// Whether targets see who connects, and not the load balancer.
    pub preserve_client_ip: bool,
    /// Whether a client's connections all go to the same target.
    #[serde(default)]
    pub sticky: bool,
    /// Whether targets of all zones serve each node.
    #[serde(default)]
    pub cross_zone: bool,
    /// Whether the connections of a target end when it has drained.
    #[serde(default)]
    pub terminate_drained: bool,
    /// Whether the connections of a target end when it becomes unhealthy.
    #[serde(default)]
    pub terminate_unhealthy: bool,
    /// How its targets are checked.
    pub health_check: HealthCheck,
    /// Its targets.
    #[serde(default)]
    pub targets: Vec<Target>,
}

/// How targets are checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthCheck {
    /// `TCP`, `HTTP` or `HTTPS`.
    pub protocol: String,
    /// A port other than the target's own.
    #[serde(default)]
    pub port: Option<u16>,
    /// What is asked for over HTTP.
    #[serde(default)]
    pub path: Option<String>,
    /// The statuses that are a success, such as `200-399` or `200,202`.
    #[serde(default)]
    pub matcher: Option<String>,
    /// Seconds from one check to the next.
    pub interval: f64,
    /// Seconds that a check may take.
    pub timeout: f64,
    /// How many successes in a row make a target healthy.
    pub healthy_threshold: u32,
    /// How many failures in a row make it unhealthy.
    pub unhealthy_threshold: u32,
}

// No region gives seconds that aren't a number.
impl Eq for HealthCheck {}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The id of an instance, or an address.
    pub id: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its port.
    pub port: u16,
    /// Its zone; none if it is of all zones.
    #[serde(default)]
    pub zone: Option<String>,
    /// How it is.
    pub health: TargetHealth,
}

/// The states of targets, as DescribeTargetHealth tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetHealth {
    /// Not known yet.
    Initial,
    /// Served.
    Healthy,
    /// Not served, unless none is healthy.
    Unhealthy,
    /// Deregistered: what is open goes on, nothing new comes.
    Draining,
    /// Not served, nor checked.
    Unused,
}

/// A hosted zone of Route 53.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Zone {
    /// Its name, with a dot at the end.
    pub name: String,
    /// The VPCs that know a private zone, by id; none for a public one.
    #[serde(default)]
    pub vpcs: Option<Vec<String>>,
    /// Its records.
    #[serde(default)]
    pub records: Vec<Record>,
}

/// A record of a hosted zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its name, with a dot at the end.
    pub name: String,
    /// `A`, `CNAME`, ….
    #[serde(rename = "type")]
    pub kind: String,
    /// Its values.
    #[serde(default)]
    pub values: Vec<String>,
    /// The name that it is an alias of.
    #[serde(default)]
    pub alias: Option<String>,
}
