//! Network load balancers: a node in each of their subnets, which hands connections on to targets.
//!
//! A node is an [`Appliance`]: clients' packets pass the router to it, by its security groups, and again from it to the
//! target, by the target's. The node translates nothing but the destination, unless client addresses aren't preserved, and
//! the kernel remembers where a connection went: targets that come and go don't disturb what is open.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::appliance::{Appliance, Open, link_name};
use crate::world::{BalancerNode, LoadBalancer, Target, TargetGroup, TargetHealth, World};

/// The mark of connections that a node opens in its own name.
const OWN_NAME: u32 = 1;

/// The nodes of the VPC's load balancers.
pub fn nodes(world: &World, vpc: &str) -> Vec<Appliance> {
    let balancers = world.load_balancers.iter().filter(|balancer| balancer.vpc == vpc);
    let nodes = balancers.flat_map(|balancer| balancer.nodes.iter().map(move |node| (balancer, node)));
    nodes
        .map(|(balancer, node)| Appliance {
            id: node.network_interface.clone(),
            link: link_name("e", &node.network_interface),
            subnet: node.subnet.clone(),
            address: node.private_ip,
            public: node.public_ip,
            security_groups: balancer.security_groups.clone(),
            steers: true,
            ruleset: balancing(world, balancer, node),
            open: open(world, balancer, node),
        })
        .collect()
}

/// The addresses of a load balancer's name, those of one zone if `zone` is given: of the nodes that have a healthy target,
/// or of all if none has (User Guide for Network Load Balancers, "Health checks": "fails open").
pub fn addresses(world: &World, balancer: &LoadBalancer, zone: Option<&str>) -> Vec<Ipv4Addr> {
    let serves = |node: &&BalancerNode| {
        let mut groups = groups(world, balancer).map(|(_, group)| reached(group, node));
        groups.any(|targets| targets.iter().any(|target| target.health == TargetHealth::Healthy))
    };
    let in_zone = |node: &&BalancerNode| zone.is_none_or(|zone| node.zone == zone);
    let all: Vec<&BalancerNode> = balancer.nodes.iter().filter(in_zone).collect();
    let serving: Vec<&BalancerNode> = all.iter().copied().filter(serves).collect();
    let chosen = if serving.is_empty() { all } else { serving };
    chosen.into_iter().map(|node| node.public_ip.unwrap_or(node.private_ip)).collect()
}

/// The target groups that a load balancer forwards to, with the port that it listens at.
pub fn groups<'a>(
    world: &'a World,
    balancer: &'a LoadBalancer,
) -> impl Iterator<Item = (u16, &'a TargetGroup)> {
    let find = |arn: &str| world.target_groups.iter().find(|group| group.arn == arn);
    balancer.listeners.iter().filter_map(move |listener| Some((listener.port, find(&listener.target_group)?)))
}

/// The targets that a node may send to.
fn reached<'a>(group: &'a TargetGroup, node: &BalancerNode) -> Vec<&'a Target> {
    let reached =
        |target: &&Target| group.cross_zone || target.zone.as_ref().is_none_or(|zone| *zone == node.zone);
    group.targets.iter().filter(reached).collect()
}

/// The targets that get a node's new connections: the healthy ones; if there is none, those that are unhealthy or not
/// known yet.
fn served<'a>(group: &'a TargetGroup, node: &BalancerNode) -> Vec<&'a Target> {
    let reached = reached(group, node);
    let being = |wanted: &[TargetHealth]| -> Vec<&Target> {
        reached.iter().copied().filter(|target| wanted.contains(&target.health)).collect()
    };
    let healthy = being(&[TargetHealth::Healthy]);
    if healthy.is_empty() { being(&[TargetHealth::Unhealthy, TargetHealth::Initial]) } else { healthy }
}

/// The rules of a node's namespace. What it doesn't know as the packet of a connection is answered with a reset: so ends
/// what was idle for too long, or was cut.
fn balancing(world: &World, balancer: &LoadBalancer, node: &BalancerNode) -> String {
    let mut text = String::from("flush ruleset\ntable ip balance {\n");
    text.push_str("  chain in {\n    type nat hook prerouting priority dstnat; policy accept;\n");
    for (port, group) in groups(world, balancer) {
        if let Some(way) = way(group, &served(group, node)) {
            let mark =
                if group.preserve_client_ip { String::new() } else { format!("ct mark set {OWN_NAME} ") };
            let _ = writeln!(text, "    tcp dport {port} {mark}dnat to {way}");
        }
    }
    let _ = writeln!(
        text,
        "  }}
  chain out {{
    type nat hook postrouting priority srcnat; policy accept;
    ct mark {OWN_NAME} snat to {}
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    ct state invalid meta l4proto tcp reject with tcp reset
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ct state new ct status & dnat == dnat accept
    ct state invalid meta l4proto tcp reject with tcp reset
  }}
}}",
        node.private_ip
    );
    text
}

/// Where new connections go: by a hash of addresses and ports, or of the client's address alone.
fn way(group: &TargetGroup, targets: &[&Target]) -> Option<String> {
    let key = if group.sticky { "ip saddr" } else { "ip saddr . tcp sport . ip daddr . tcp dport" };
    match targets {
        [] => None,
        [only] => Some(format!("{}:{}", only.address, only.port)),
        several => {
            let numbered = several.iter().enumerate();
            let ways = numbered.map(|(number, one)| format!("{number} : {} . {}", one.address, one.port));
            let ways = ways.collect::<Vec<_>>().join(", ");
            Some(format!("jhash {key} mod {} seed 0x5eed map {{ {ways} }}", several.len()))
        }
    }
}

/// What becomes of what is open to each target. One that is unhealthy loses its connections where its group says so,
/// unless it serves all the same.
fn open(world: &World, balancer: &LoadBalancer, node: &BalancerNode) -> BTreeMap<(Ipv4Addr, u16), Open> {
    let mut open: BTreeMap<(Ipv4Addr, u16), Open> = BTreeMap::new();
    for (_, group) in groups(world, balancer) {
        let served: BTreeSet<&str> = served(group, node).iter().map(|target| target.id.as_str()).collect();
        for target in &group.targets {
            let lost = group.terminate_unhealthy && target.health == TargetHealth::Unhealthy;
            let kept = !lost || served.contains(target.id.as_str());
            let one = Open { kept, ended_with_it: group.terminate_drained };
            open.entry((target.address, target.port)).and_modify(|known| known.kept |= kept).or_insert(one);
        }
    }
    open
}
