//! A VPC's packet rules as one nftables ruleset: the source/destination check, the security groups, and the
//! Internet gateway's one-to-one translation.
//!
//! Every packet between two instances, and between an instance and the Internet, is forwarded by the VPC's
//! router, on one link per instance. So the rules name links, as EC2's name network interfaces: a packet from a
//! pod's address still comes from the instance that sent it, and a group reference means that interface.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::appliance::{self, Appliance};
use crate::network::{S3_ENDPOINT, public_addresses};
use crate::world::{Instance, Permission, SecurityGroup, Vpc, World};

/// The address of the instance metadata service.
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);

/// The router's link to the Internet.
pub const GATEWAY_LINK: &str = "igw";

/// The router's link to S3, which gateway endpoints lead to.
pub const S3_LINK: &str = "s3";

/// The name of an instance's link in its VPC's router: at most 15 characters, as Linux wants it.
pub fn link_name(instance: &str) -> String {
    let id = instance.strip_prefix("i-").unwrap_or(instance);
    let start = id.len().saturating_sub(12);
    format!("i-{}", id.get(start..).unwrap_or(id))
}

/// The ruleset of the VPC's router. Loading it replaces the previous one in a single step and keeps the
/// connections that are tracked.
pub fn render(world: &World, vpc: &Vpc) -> String {
    let instances: Vec<&Instance> = world.connected(&vpc.id).collect();
    let appliances = appliance::of_vpc(world, &vpc.id);
    let mut text = String::from("flush ruleset\ntable ip vpc {\n");
    translation(&mut text, world, vpc);
    steering(&mut text, &appliances);
    input(&mut text, vpc, &instances, &appliances);
    forward(&mut text, &instances, &appliances);
    let groups: Vec<&SecurityGroup> = world.security_groups.iter().filter(|g| g.vpc == vpc.id).collect();
    for instance in &instances {
        address_chains(&mut text, instance);
        own_chains(&mut text, &instance.id, &instance.security_groups, &groups);
    }
    for appliance in appliances.iter().filter(|appliance| !appliance.security_groups.is_empty()) {
        own_chains(&mut text, &appliance.id, &appliance.security_groups, &groups);
    }
    let members = members(&instances, &appliances);
    for group in groups {
        group_chains(&mut text, group, &members);
    }
    text.push_str("}\n");
    text
}

/// The links of each security group's members.
fn members<'a>(instances: &[&'a Instance], appliances: &'a [Appliance]) -> BTreeMap<&'a str, Vec<String>> {
    let mut members: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for instance in instances {
        for group in &instance.security_groups {
            members.entry(group).or_default().push(link_name(&instance.id));
        }
    }
    for appliance in appliances {
        for group in &appliance.security_groups {
            members.entry(group).or_default().push(appliance.link.clone());
        }
    }
    members
}

/// The Internet gateway: public addresses in, private ones out, each for the other. Without a gateway nothing is
/// translated, and what isn't translated doesn't pass.
fn translation(text: &mut String, world: &World, vpc: &Vpc) {
    let mut pairs: Vec<(Ipv4Addr, Ipv4Addr)> = match vpc.internet_gateway {
        Some(_) => {
            public_addresses(world, vpc).into_iter().map(|(public, private)| (private, public)).collect()
        }
        None => Vec::new(),
    };
    pairs.sort_unstable();
    let inward: Vec<String> = pairs.iter().map(|(private, public)| format!("{public} : {private}")).collect();
    let outward: Vec<String> =
        pairs.iter().map(|(private, public)| format!("{private} : {public}")).collect();
    collection(text, "map public_to_private", "ipv4_addr : ipv4_addr", &inward);
    collection(text, "map private_to_public", "ipv4_addr : ipv4_addr", &outward);
    let translated: Vec<String> = pairs.iter().map(|(private, _)| private.to_string()).collect();
    collection(text, "set translated", "ipv4_addr", &translated);
    let _ = writeln!(
        text,
        "  chain translate_in {{
    type nat hook prerouting priority dstnat; policy accept;
    iifname \"{GATEWAY_LINK}\" dnat to ip daddr map @public_to_private
  }}
  chain translate_out {{
    type nat hook postrouting priority srcnat; policy accept;
    oifname \"{GATEWAY_LINK}\" snat to ip saddr map @private_to_public
    oifname \"{S3_LINK}\" masquerade
  }}"
    );
}

/// What a load balancer has sent on carries the client's own address: the answers would go past it. So connections that
/// come from its link carry its mark, and their answers are routed by that.
fn steering(text: &mut String, appliances: &[Appliance]) {
    let steering: Vec<&Appliance> = appliances.iter().filter(|appliance| appliance.steers).collect();
    if steering.is_empty() {
        return;
    }
    text.push_str("  chain steer {\n    type filter hook prerouting priority mangle; policy accept;\n");
    text.push_str("    ct direction reply ct mark != 0 meta mark set ct mark\n");
    for appliance in steering {
        let _ = writeln!(
            text,
            "    iifname \"{}\" ct state new ct mark set {}",
            appliance.link,
            appliance.mark()
        );
    }
    text.push_str("  }\n");
}

fn collection(text: &mut String, name: &str, kind: &str, elements: &[String]) {
    let _ = writeln!(text, "  {name} {{\n    type {kind}");
    if !elements.is_empty() {
        let _ = writeln!(text, "    elements = {{ {} }}", elements.join(", "));
    }
    text.push_str("  }\n");
}

/// What the router itself answers: metadata and DNS, which security groups don't govern, and only for an
/// instance's own addresses, so that a pod that isn't masqueraded gets no answer.
fn input(text: &mut String, vpc: &Vpc, instances: &[&Instance], appliances: &[Appliance]) {
    text.push_str("  chain input {\n    type filter hook input priority filter; policy drop;\n");
    dispatch(text, "iifname", "sender", instances);
    let resolver = resolver(vpc.cidr);
    let others = appliances.iter().map(|appliance| appliance.link.as_str());
    let others: Vec<String> =
        [GATEWAY_LINK, S3_LINK].into_iter().chain(others).map(|link| format!("\"{link}\"")).collect();
    let _ = writeln!(
        text,
        "    iifname {{ {} }} drop
    ip daddr {METADATA} tcp dport 80 accept
    ip daddr {resolver} meta l4proto {{ tcp, udp }} th dport 53 accept
    icmp type echo-request accept
  }}",
        others.join(", ")
    );
}

/// The VPC's DNS resolver: the network's address plus two.
pub fn resolver(cidr: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(cidr.network()).saturating_add(2))
}

/// What passes between instances, and between an instance and the Internet.
fn forward(text: &mut String, instances: &[&Instance], appliances: &[Appliance]) {
    text.push_str("  chain forward {\n    type filter hook forward priority filter; policy drop;\n");
    let checked: Vec<&Instance> = instances.iter().copied().filter(|i| i.source_dest_check).collect();
    dispatch(text, "iifname", "sender", &checked);
    dispatch(text, "oifname", "receiver", &checked);
    let _ = writeln!(
        text,
        "    iifname \"{GATEWAY_LINK}\" ct status & dnat != dnat ct direction original drop
    oifname \"{GATEWAY_LINK}\" ct direction original ip saddr != @translated drop
    ct state established,related accept"
    );
    let _ = writeln!(text, "    iifname \"{GATEWAY_LINK}\" goto delivery");
    dispatch(text, "iifname", "egress", instances);
    for appliance in appliances {
        let verdict = match appliance.security_groups.as_slice() {
            [] => "goto delivery".to_owned(),
            [_, ..] => format!("jump {}-egress", appliance.id),
        };
        let _ = writeln!(text, "    iifname \"{}\" {verdict}", appliance.link);
    }
    text.push_str("  }\n");
    let _ = writeln!(
        text,
        "  chain delivery {{
    oifname \"{GATEWAY_LINK}\" accept
    oifname \"{S3_LINK}\" ip daddr {S3_ENDPOINT} accept"
    );
    for appliance in appliances {
        let verdict = match appliance.security_groups.as_slice() {
            [] => "accept".to_owned(),
            [_, ..] => format!("jump {}-ingress", appliance.id),
        };
        let _ = writeln!(text, "    oifname \"{}\" {verdict}", appliance.link);
    }
    dispatch(text, "oifname", "ingress", instances);
    text.push_str("    drop\n  }\n");
}

/// Sends each link's packets to its instance's own chain.
fn dispatch(text: &mut String, key: &str, chain: &str, instances: &[&Instance]) {
    if instances.is_empty() {
        return;
    }
    let jumps: Vec<String> = instances
        .iter()
        .map(|instance| format!("\"{}\" : jump {}-{chain}", link_name(&instance.id), instance.id))
        .collect();
    let _ = writeln!(text, "    {key} vmap {{ {} }}", jumps.join(", "));
}

/// An instance's own addresses.
fn address_chains(text: &mut String, instance: &Instance) {
    let id = &instance.id;
    let addresses: Vec<String> = instance.private_addresses().map(|address| address.to_string()).collect();
    let addresses = addresses.join(", ");
    let _ = writeln!(text, "  chain {id}-sender {{\n    ip saddr != {{ {addresses} }} drop\n  }}");
    let _ = writeln!(text, "  chain {id}-receiver {{\n    ip daddr != {{ {addresses} }} drop\n  }}");
}

/// The security groups of an instance or an appliance, one after the other.
fn own_chains(text: &mut String, id: &str, own: &[String], groups: &[&SecurityGroup]) {
    for direction in ["egress", "ingress"] {
        let _ = writeln!(text, "  chain {id}-{direction} {{");
        for group in groups.iter().filter(|group| own.contains(&group.id)) {
            let _ = writeln!(text, "    jump {}-{direction}", group.id);
        }
        text.push_str("    drop\n  }\n");
    }
}

/// A security group's two chains. What egress lets pass goes on to the receiver's ingress.
fn group_chains(text: &mut String, group: &SecurityGroup, members: &BTreeMap<&str, Vec<String>>) {
    let directions = [
        ("egress", &group.egress, "daddr", "oifname", "goto delivery"),
        ("ingress", &group.ingress, "saddr", "iifname", "accept"),
    ];
    for (direction, permissions, address, link, verdict) in directions {
        let _ = writeln!(text, "  chain {}-{direction} {{", group.id);
        for permission in permissions {
            for peer in peers(permission, address, link, members) {
                let words: Vec<String> = [peer, traffic(permission), verdict.to_owned()]
                    .into_iter()
                    .filter(|w| !w.is_empty())
                    .collect();
                let _ = writeln!(text, "    {}", words.join(" "));
            }
        }
        text.push_str("  }\n");
    }
}

/// One match for each peer of the rule; IPv6 ranges never match here.
fn peers(
    permission: &Permission,
    address: &str,
    link: &str,
    members: &BTreeMap<&str, Vec<String>>,
) -> Vec<String> {
    let ranges = permission.cidrs.iter().filter_map(|cidr| cidr.parse::<Ipv4Net>().ok());
    let mut peers: Vec<String> = ranges
        .map(|range| match range.prefix_len() {
            0 => String::new(),
            _ => format!("ip {address} {}", range.trunc()),
        })
        .collect();
    for group in &permission.groups {
        if let Some(links) = members.get(group.as_str()) {
            let links: Vec<String> = links.iter().map(|link| format!("\"{link}\"")).collect();
            peers.push(format!("{link} {{ {} }}", links.join(", ")));
        }
    }
    peers
}

/// The match for the rule's protocol and ports.
fn traffic(permission: &Permission) -> String {
    let from = permission.from.filter(|from| *from >= 0);
    let to = permission.to.filter(|to| *to >= 0);
    match (permission.protocol.as_str(), from, to) {
        ("-1" | "all", _, _) => String::new(),
        ("tcp" | "6", from, to) => ports("tcp", from, to),
        ("udp" | "17", from, to) => ports("udp", from, to),
        ("icmp" | "1", None, _) => "meta l4proto icmp".to_owned(),
        ("icmp" | "1", Some(kind), None) => format!("icmp type {kind}"),
        ("icmp" | "1", Some(kind), Some(code)) => format!("icmp type {kind} icmp code {code}"),
        (number, _, _) => format!("meta l4proto {number}"),
    }
}

fn ports(protocol: &str, from: Option<i32>, to: Option<i32>) -> String {
    match (from.unwrap_or(0), to.or(from).unwrap_or(65535)) {
        (0, 65535) => format!("meta l4proto {protocol}"),
        (first, last) if first == last => format!("{protocol} dport {first}"),
        (first, last) => format!("{protocol} dport {first}-{last}"),
    }
}
