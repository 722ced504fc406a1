//! What routers and the Internet must hold: routes, rules, addresses and neighbours, as `ip` commands.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::{ENDPOINT, S3_ENDPOINT};
use crate::appliance::{self, Appliance};
use crate::firewall::{GATEWAY_LINK, S3_LINK, link_name};
use crate::world::{Route, Subnet, Vpc, World};

/// What the ids of VPC endpoints begin with.
const VPC_ENDPOINT: &str = "vpce-";
/// What the ids of prefix lists begin with.
const PREFIX_LIST: &str = "pl-";
/// The ranges that public addresses are from.
const PUBLIC_RANGES: [&str; 2] = ["198.51.100.0/24", "203.0.113.0/24"];

/// A kernel object of a namespace: the `ip` command that sets it, and the one that takes it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    set: String,
    unset: String,
}

/// Settings by what they are about, so that two worlds can be compared.
pub type Settings = BTreeMap<String, Setting>;

/// Numbers given out by name and kept as long as the name lives.
#[derive(Debug, Default)]
pub struct Numbers {
    first: u32,
    given: BTreeMap<String, u32>,
}

impl Numbers {
    /// Numbers from `first` on.
    pub fn starting_at(first: u32) -> Self {
        Self { first, given: BTreeMap::new() }
    }

    /// The number of `name`; the lowest free one if it has none yet.
    pub fn of(&mut self, name: &str) -> u32 {
        if let Some(number) = self.given.get(name) {
            return *number;
        }
        let taken: BTreeSet<u32> = self.given.values().copied().collect();
        let mut number = self.first;
        while taken.contains(&number) {
            number += 1;
        }
        self.given.insert(name.to_owned(), number);
        number
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.given.remove(name);
    }
}

/// What a VPC's router must hold: the addresses of its instances, its subnets' route tables, and which link
/// follows which table.
pub fn settings(world: &World, vpc: &Vpc, tables: &mut Numbers) -> Settings {
    let mut settings = Settings::new();
    add_route(&mut settings, "main", vpc.cidr, "blackhole");
    for subnet in world.subnets.iter().filter(|subnet| subnet.vpc == vpc.id) {
        let table = tables.of(&subnet.id).to_string();
        add_address(&mut settings, gateway_of(subnet.cidr));
        for (destination, target) in routes(world, vpc, subnet) {
            add_route(&mut settings, &table, destination, &target);
        }
    }
    for instance in world.connected(&vpc.id) {
        let link = link_name(&instance.id);
        add_table(&mut settings, &link, tables.of(&instance.subnet));
        for address in instance.private_addresses() {
            add_neighbour(&mut settings, &link, address, &instance.mac);
        }
    }
    for appliance in appliance::of_vpc(world, &vpc.id) {
        add_table(&mut settings, &appliance.link, tables.of(&appliance.subnet));
        add_neighbour(&mut settings, &appliance.link, appliance.address, &appliance.mac());
        if appliance.steers {
            add_way_back(&mut settings, &appliance);
        }
    }
    settings
}

/// What comes from a link follows this table.
fn add_table(settings: &mut Settings, link: &str, table: u32) {
    settings.insert(
        format!("rule {link}"),
        Setting {
            set: format!("rule add pref 1000 iif {link} lookup {table}"),
            unset: format!("rule del pref 1000 iif {link}"),
        },
    );
}

/// What carries an appliance's mark goes to it, whomever it is for.
fn add_way_back(settings: &mut Settings, appliance: &Appliance) {
    let (mark, link) = (appliance.mark(), &appliance.link);
    let way = format!("via {} dev {link} onlink", appliance.address);
    add_route(settings, &mark.to_string(), Ipv4Net::default(), &way);
    settings.insert(
        format!("rule mark {link}"),
        Setting {
            set: format!("rule add pref 5 fwmark {mark} lookup {mark}"),
            unset: format!("rule del pref 5 fwmark {mark}"),
        },
    );
}

/// An address is behind a link, and so is the interface that has it.
fn add_neighbour(settings: &mut Settings, link: &str, address: Ipv4Addr, mac: &str) {
    add_route(settings, "main", Ipv4Net::from(address), &format!("dev {link}"));
    settings.insert(
        format!("neighbour {link} {address}"),
        Setting {
            set: format!("neigh replace {address} lladdr {mac} dev {link} nud permanent"),
            unset: format!("neigh del {address} dev {link}"),
        },
    );
}

/// The router's address in a subnet: the network's plus one, as in every VPC.
pub fn gateway_of(subnet: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(subnet.network()).saturating_add(1))
}

/// A subnet's routes as the router's kernel takes them. What leads to something that doesn't exist is a black
/// hole, as EC2 calls it too.
fn routes(world: &World, vpc: &Vpc, subnet: &Subnet) -> Vec<(Ipv4Net, String)> {
    let appliances = appliance::of_vpc(world, &vpc.id);
    let known = |target: &str| -> Option<String> {
        if Some(target) == vpc.internet_gateway.as_deref() {
            return Some(format!("via {ENDPOINT} dev {GATEWAY_LINK} onlink"));
        }
        if target.starts_with(VPC_ENDPOINT) {
            return Some(format!("via {ENDPOINT} dev {S3_LINK} onlink"));
        }
        if let Some(gateway) = appliances.iter().find(|appliance| appliance.id == target) {
            return Some(format!("via {} dev {} onlink", gateway.address, gateway.link));
        }
        let instance = world.connected(&vpc.id).find(|i| i.id == target || i.network_interface == target)?;
        Some(format!("via {} dev {} onlink", instance.private_ip, link_name(&instance.id)))
    };
    let parsed = subnet.routes.iter().filter(|route| route.target != "local");
    let parsed = parsed.filter_map(|route| Some((destination(route)?, route)));
    parsed
        .map(|(destination, route)| {
            let target = known(&route.target).unwrap_or_else(|| {
                tracing::debug!(subnet = subnet.id, target = route.target, "a route leads nowhere");
                "blackhole".to_owned()
            });
            (destination, target)
        })
        .collect()
}

/// A gateway endpoint's route is for a prefix list, of which there is only S3's.
fn destination(route: &Route) -> Option<Ipv4Net> {
    if route.destination.starts_with(PREFIX_LIST) {
        return route.target.starts_with(VPC_ENDPOINT).then_some(Ipv4Net::from(S3_ENDPOINT));
    }
    Some(route.destination.parse::<Ipv4Net>().ok()?.trunc())
}

/// What the Internet must hold: the way to every public address.
pub fn internet_settings(world: &World, vpcs: &mut Numbers) -> Settings {
    let mut settings = Settings::new();
    for range in PUBLIC_RANGES {
        if let Ok(range) = range.parse() {
            add_route(&mut settings, "main", range, "blackhole");
        }
    }
    for vpc in world.vpcs.iter().filter(|vpc| vpc.internet_gateway.is_some()) {
        let number = vpcs.of(&vpc.id);
        let way = format!("via {} dev {} onlink", router_address(number), vpc_link(number));
        for public in public_addresses(world, vpc).keys() {
            add_route(&mut settings, "main", Ipv4Net::from(*public), &way);
        }
    }
    settings
}

/// The private address behind each public one, of a VPC.
pub fn public_addresses(world: &World, vpc: &Vpc) -> BTreeMap<Ipv4Addr, Ipv4Addr> {
    let instances = world.connected(&vpc.id).flat_map(|instance| instance.public_ips.clone());
    let appliances = appliance::of_vpc(world, &vpc.id);
    let appliances = appliances.iter().filter_map(|one| Some((one.address, one.public?)));
    instances.chain(appliances).map(|(private, public)| (public, private)).collect()
}

fn add_address(settings: &mut Settings, address: Ipv4Addr) {
    settings.insert(
        format!("address {address}"),
        Setting {
            set: format!("addr replace {address}/32 dev lo"),
            unset: format!("addr del {address}/32 dev lo"),
        },
    );
}

fn add_route(settings: &mut Settings, table: &str, destination: Ipv4Net, target: &str) {
    let (kind, way) = match target {
        "blackhole" => ("blackhole ", String::new()),
        way => ("", format!(" {way}")),
    };
    settings.insert(
        format!("route {table} {destination}"),
        Setting {
            set: format!("route replace {kind}{destination}{way} table {table}"),
            unset: format!("route del {kind}{destination} table {table}"),
        },
    );
}

/// The `ip` commands that set them all, one on each line.
pub fn commands(settings: &Settings) -> String {
    settings.values().flat_map(|setting| [setting.set.as_str(), "\n"]).collect()
}

/// The commands that lead from one set of settings to another: what must go first, what is set, and what goes
/// last. Routes are replaced in place, so that an address that moves is never without a way.
pub fn difference(old: &Settings, new: &Settings) -> (String, String, String) {
    let (mut first, mut set, mut last) = (String::new(), String::new(), String::new());
    for (key, setting) in new {
        match old.get(key) {
            Some(same) if same == setting => continue,
            Some(other) if key.starts_with("rule ") => first.extend([&other.unset, "\n"]),
            Some(_) | None => {}
        }
        set.extend([&setting.set, "\n"]);
    }
    for (key, setting) in old {
        if !new.contains_key(key) {
            last.extend([&setting.unset, "\n"]);
        }
    }
    (first, set, last)
}

/// The router's side of a VPC's link to the Internet.
pub(super) fn router_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(192, 0, 2, 0)) + number)
}

/// The Internet's side of a VPC's link, by name.
pub(super) fn vpc_link(number: u32) -> String {
    format!("vpc{number}")
}

/// The router's side of a VPC's way to S3 through a gateway endpoint: how S3 knows the VPC.
pub(super) fn s3_router_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(192, 0, 2, 128)) + number)
}

/// The Internet's side of a VPC's way to S3, by name.
pub(super) fn s3_link(number: u32) -> String {
    format!("s3vpc{number}")
}
