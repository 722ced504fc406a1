//! What AWS itself runs in a VPC: NAT gateways, and the nodes of network load balancers.
//!
//! Each is a namespace of its own with one link to the VPC's router, as an instance has. So whatever is sent to one, and
//! whatever it sends on, passes the router on its own: the route table of the appliance's own subnet, the security groups,
//! and the Internet gateway's translation. What the appliance does to the packets is an nftables ruleset in its namespace.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::balancer;
use crate::world::World;

/// The interface in an appliance's namespace.
pub const INTERFACE: &str = "eth0";

/// How long NAT gateways and network load balancers remember a connection that is idle, in seconds (VPC User Guide,
/// "NAT gateway basics"; User Guide for Network Load Balancers, "Connection idle timeout").
const IDLE_SECONDS: &str = "350";

/// An appliance as the VPC's router sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appliance {
    /// What its namespace is named after.
    pub id: String,
    /// The name of its link in the router.
    pub link: String,
    /// The subnet that it is in.
    pub subnet: String,
    /// Its private address.
    pub address: Ipv4Addr,
    /// The public address that the Internet gateway translates to the private one.
    pub public: Option<Ipv4Addr>,
    /// The security groups that hold back what isn't theirs; where there are none, nothing is held back.
    pub security_groups: Vec<String>,
    /// Whether the answers to what it has sent on go back through it, whomever they are for.
    pub steers: bool,
    /// The rules of its namespace.
    pub ruleset: String,
    /// What becomes of the connections to those that it sends to, by address and port.
    pub open: BTreeMap<(Ipv4Addr, u16), Open>,
}

/// What becomes of the connections through an appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// Whether they go on.
    pub kept: bool,
    /// Whether they end when nothing is said of them any more.
    pub ended_with_it: bool,
}

impl Appliance {
    /// The hardware address of its interface, made of its address.
    pub fn mac(&self) -> String {
        let [first, second, third, fourth] = self.address.octets();
        format!("0e:00:{first:02x}:{second:02x}:{third:02x}:{fourth:02x}")
    }

    /// The mark of what it has sent on, and the number of the routing table that leads back to it: no other appliance
    /// of the VPC has its address.
    pub fn mark(&self) -> u32 {
        u32::from(self.address)
    }
}

/// The kernel settings of an appliance's namespace, below `/proc/sys`. A packet of a connection that it doesn't know, or
/// doesn't know any more, is never the beginning of one.
pub const KERNEL_SETTINGS: [(&str, &str); 3] = [
    ("net/netfilter/nf_conntrack_tcp_loose", "0"),
    ("net/netfilter/nf_conntrack_tcp_be_liberal", "1"),
    ("net/netfilter/nf_conntrack_tcp_timeout_established", IDLE_SECONDS),
];

/// The VPC's appliances.
pub fn of_vpc(world: &World, vpc: &str) -> Vec<Appliance> {
    let gateways = world.nat_gateways.iter().filter(|gateway| gateway.vpc == vpc);
    let gateways = gateways.map(|gateway| Appliance {
        id: gateway.id.clone(),
        link: link_name("n", &gateway.id),
        subnet: gateway.subnet.clone(),
        address: gateway.private_ip,
        public: gateway.public_ip,
        security_groups: Vec::new(),
        steers: false,
        ruleset: translating(gateway.private_ip),
        open: BTreeMap::new(),
    });
    gateways.chain(balancer::nodes(world, vpc)).collect()
}

/// The connections that end when one state follows another.
pub fn ended(
    before: &BTreeMap<(Ipv4Addr, u16), Open>,
    after: &BTreeMap<(Ipv4Addr, u16), Open>,
) -> Vec<(Ipv4Addr, u16)> {
    let ends = |(target, open): (&(Ipv4Addr, u16), &Open)| match after.get(target) {
        Some(now) => (open.kept && !now.kept).then_some(*target),
        None => open.ended_with_it.then_some(*target),
    };
    before.iter().filter_map(ends).collect()
}

/// The name of an appliance's link in its VPC's router: at most 15 characters, as Linux wants it.
pub(crate) fn link_name(kind: &str, id: &str) -> String {
    let id = id.split_once('-').map_or(id, |(_, id)| id);
    let start = id.len().saturating_sub(12);
    format!("{kind}-{}", id.get(start..).unwrap_or(id))
}

/// A NAT gateway: what others send through it leaves with its own address, and only answers come back. What was idle
/// for too long is answered with a reset (VPC User Guide, "Troubleshoot NAT gateways").
fn translating(address: Ipv4Addr) -> String {
    let mut text = String::from("flush ruleset\ntable ip nat {\n");
    let _ = writeln!(
        text,
        "  chain out {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr != {address} snat to {address}
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    ct state new accept
    meta l4proto tcp reject with tcp reset
  }}
}}"
    );
    text
}
