//! Address ranges, subnets, and the network plug-in.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::egress::{self, Way};
use super::{Report, Resolved, interface_endpoints, text};
use crate::spec::cluster::{Network, NetworkPlugin, Subnet};
use crate::spec::problem::Problem;
use crate::spec::subnets::{self, PREFIXES};
use crate::spec::v1alpha2::{ClusterSpec, SubnetSpec};

/// What the specification says of the network.
pub(super) struct Networks {
    pub(super) network: Resolved<Network>,
    /// The region that the zones are in.
    pub(super) region: Resolved<String>,
    /// In the order of the specification.
    pub(super) subnets: Vec<Resolved<Subnet>>,
    /// The subnets' ranges, in the same order.
    pub(super) ranges: Vec<Resolved<Ipv4Net>>,
    pub(super) plugin: Resolved<NetworkPlugin>,
}

pub(super) fn resolve(spec: &ClusterSpec, report: &mut Report<'_>) -> Networks {
    let ranges = Ranges::read(spec, report);
    let flannel = spec.networking.as_ref().is_some_and(|networking| networking.flannel.is_some());
    let dns_address = ranges.check(flannel, report);
    let written = spec.subnets.as_deref().unwrap_or_default();
    let names = names(written, report);
    let zones = zones(written, report);
    let cidrs = subnet_ranges(written, &ranges, report);
    let region = match zones.first() {
        Some(zone) => zone.as_ref().map(|zone| zone.region.clone()).map_err(|reported| *reported),
        None => Err(report.missing("spec.subnets", "write at least one subnet with a name and a zone")),
    };
    let existing = existing_subnets(spec, report);
    let ways = egress::resolve(spec, report);
    let subnets = names.into_iter().zip(zones).zip(&cidrs).zip(ways).zip(existing);
    let subnets = subnets.map(|((((name, zone), cidr), way), existing)| {
        let Way { kind, egress, additional_routes } = way?;
        let (name, zone, cidr, existing) = (name?, zone?.name, (*cidr)?, existing?);
        Ok(Subnet { name, zone, cidr, kind, egress, existing, additional_routes })
    });
    let subnets = subnets.collect();
    let existing_vpc = existing_vpc(spec, report);
    let plugin = plugin(spec, report);
    let domain =
        report.read_filled("spec.clusterDNSDomain", spec.cluster_dns_domain.as_ref(), text::dns_name);
    let endpoints = interface_endpoints::resolve(spec, region.as_deref().ok(), report);
    let network = ranges.network(dns_address, domain).and_then(|network| {
        let subnet_tags_disabled = spec.disable_subnet_tags.unwrap_or(false);
        let interface_endpoints = endpoints?;
        Ok(Network { existing_vpc: existing_vpc?, interface_endpoints, subnet_tags_disabled, ..network })
    });
    Networks { network, region, subnets, ranges: cidrs, plugin }
}

/// The VPC that exists already, if the cluster is to be in one.
fn existing_vpc(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<Option<String>> {
    let Some(id) = spec.network_id.as_deref() else { return Ok(None) };
    report.read(NETWORK_ID, id, |id| text::aws_id("vpc", id)).map(Some)
}

/// The ids of the subnets that exist already, in the order of all.
fn existing_subnets(spec: &ClusterSpec, report: &mut Report<'_>) -> Vec<Resolved<Option<String>>> {
    let subnets = spec.subnets.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    for (index, subnet) in subnets.iter().enumerate() {
        let path = format!("spec.subnets[{index}].id");
        let Some(id) = subnet.id.as_deref() else {
            found.push(Ok(None));
            continue;
        };
        if spec.network_id.is_none() {
            let problem =
                Problem::at(&path, format!("`{id}` is in a VPC that exists already, and none is named"));
            report.push(problem.hint(format!("write its id as `{NETWORK_ID}` (`vpc-…`)")));
        }
        if subnets[..index].iter().any(|other| other.id.as_deref() == Some(id)) {
            report.push(Problem::at(&path, format!("`{id}` stands here twice")));
        }
        found.push(report.read(&path, id, |id| text::aws_id("subnet", id)).map(Some));
    }
    found
}

/// The ranges of the cluster, as far as they can be read.
struct Ranges {
    /// Whether the VPC exists already.
    is_existing: bool,
    vpc: Resolved<Ipv4Net>,
    additional: Vec<Ipv4Net>,
    internal: Resolved<Ipv4Net>,
    pods: Resolved<Ipv4Net>,
    services: Resolved<Ipv4Net>,
}

const NETWORK: &str = "spec.networkCIDR";
const NETWORK_ID: &str = "spec.networkID";
const ADDITIONAL: &str = "spec.additionalNetworkCIDRs";
const INTERNAL: &str = "spec.nonMasqueradeCIDR";
const PODS: &str = "spec.podCIDR";
const SERVICES: &str = "spec.serviceClusterIPRange";

/// Cluster DNS's place in the service range.
const DNS: u32 = 10;

impl Ranges {
    fn read(spec: &ClusterSpec, report: &mut Report<'_>) -> Self {
        let additional = spec.additional_network_cidrs.iter().flatten().enumerate();
        let additional = additional.filter_map(|(index, range)| {
            report.read(&format!("{ADDITIONAL}[{index}]"), range, text::ipv4_net).ok()
        });
        let additional = additional.collect();
        let vpc = report.read_filled(NETWORK, spec.network_cidr.as_ref(), text::ipv4_net);
        let internal = report.read_filled(INTERNAL, spec.non_masquerade_cidr.as_ref(), text::ipv4_net);
        let pods = part(internal, PODS, spec.pod_cidr.as_deref(), report);
        let services = part(internal, SERVICES, spec.service_cluster_ip_range.as_deref(), report);
        Self { is_existing: spec.network_id.is_some(), vpc, additional, internal, pods, services }
    }

    fn in_vpc(&self, range: Ipv4Net) -> bool {
        self.vpc.iter().chain(&self.additional).any(|vpc| vpc.contains(&range))
    }

    /// Holds the ranges against each other. Returns the address of the cluster's DNS.
    fn check(&self, flannel: bool, report: &mut Report<'_>) -> Resolved<Ipv4Addr> {
        let additional = (0..).zip(&self.additional);
        let additional = additional.map(|(index, range)| (format!("{ADDITIONAL}[{index}]"), *range));
        let vpcs: Vec<(String, Ipv4Net)> =
            self.vpc.iter().map(|vpc| (NETWORK.to_owned(), *vpc)).chain(additional).collect();
        for (path, vpc) in &vpcs {
            if !PREFIXES.contains(&vpc.prefix_len()) {
                let message = format!("`{vpc}` is not a range that a VPC can have");
                report.push(Problem::at(path, message).hint("a VPC's prefix is from /16 to /28"));
            }
        }
        self.apart(&vpcs, report);
        self.internal_is_apart(flannel, report);
        for (path, range) in [(PODS, self.pods), (SERVICES, self.services)] {
            if let (Ok(range), Ok(internal)) = (range, self.internal)
                && !internal.contains(&range)
            {
                let message = format!("`{range}` is not inside of {INTERNAL} (`{internal}`)");
                report.push(Problem::at(path, message));
            }
        }
        if let Ok(pods) = self.pods
            && pods.prefix_len() > 22
        {
            let message = format!("`{pods}` holds fewer than four nodes");
            report.push(Problem::at(PODS, message).hint("every node takes a /24 of it: use at most /22"));
        }
        self.dns_address(report)
    }

    fn dns_address(&self, report: &mut Report<'_>) -> Resolved<Ipv4Addr> {
        let services = self.services?;
        let fits = (12..=28).contains(&services.prefix_len());
        subnets::nth(services, DNS).filter(|_| fits).ok_or_else(|| {
            let message = format!("`{services}` is not a range that services can have");
            report.push(Problem::at(SERVICES, message).hint("its prefix is from /12 to /28"))
        })
    }

    /// What pods send into the internal range keeps their own addresses, which a VPC doesn't know.
    fn internal_is_apart(&self, flannel: bool, report: &mut Report<'_>) {
        let (true, Ok(internal)) = (flannel, self.internal) else { return };
        // Where pods or services are in the way themselves, that is told.
        let told = |range: &Ipv4Net| {
            [self.pods, self.services].into_iter().flatten().any(|own| subnets::overlap(own, *range))
        };
        for range in self.vpc.iter().chain(&self.additional) {
            if subnets::overlap(*range, internal) && !told(range) {
                let message = format!("`{internal}` overlaps the VPC's range `{range}`");
                let hint = "pods would send into the VPC with addresses that it drops: write a range for pods and \
                            services alone, and podCIDR and serviceClusterIPRange as they are if the cluster runs";
                report.push(Problem::at(INTERNAL, message).hint(hint));
            }
        }
    }

    /// The ranges of the VPC, pods and services share no address.
    fn apart(&self, vpcs: &[(String, Ipv4Net)], report: &mut Report<'_>) {
        let own = [(PODS, self.pods), (SERVICES, self.services)];
        let own = own.into_iter().filter_map(|(path, range)| Some((path.to_owned(), range.ok()?)));
        // Each is held against those behind it, so that a pair is told at the one that isn't the VPC's first.
        let all: Vec<(String, Ipv4Net)> = vpcs.iter().cloned().chain(own).collect();
        for (index, (path, range)) in all.iter().enumerate() {
            for (other_path, other) in &all[..index] {
                if subnets::overlap(*range, *other) {
                    report.push(Problem::at(path, format!("`{range}` overlaps {other_path} (`{other}`)")));
                }
            }
        }
    }

    fn network(&self, dns_address: Resolved<Ipv4Addr>, dns_domain: Resolved<String>) -> Resolved<Network> {
        Ok(Network {
            existing_vpc: None,
            cidr: self.vpc?,
            additional_cidrs: self.additional.clone(),
            non_masquerade_cidr: self.internal?,
            pod_cidr: self.pods?,
            service_cidr: self.services?,
            dns_address: dns_address?,
            dns_domain: dns_domain?,
            subnet_tags_disabled: false,
            interface_endpoints: BTreeSet::new(),
        })
    }
}

/// A range that is cut from the internal one where it is left out, which takes an internal range that is large enough.
fn part(
    internal: Resolved<Ipv4Net>,
    path: &str,
    written: Option<&str>,
    report: &mut Report<'_>,
) -> Resolved<Ipv4Net> {
    if let Some(text) = written {
        return report.read(path, text, text::ipv4_net);
    }
    let message = format!("no range for it can be cut from {INTERNAL} (`{}`)", internal?);
    Err(report.push(Problem::at(path, message).hint("write a larger one there")))
}

fn names(subnets: &[SubnetSpec], report: &mut Report<'_>) -> Vec<Resolved<String>> {
    let mut known = BTreeSet::new();
    let names = subnets.iter().enumerate().map(|(index, subnet)| {
        let path = format!("spec.subnets[{index}].name");
        let Some(name) = subnet.name.as_deref() else {
            return Err(report.missing(path, "by custom a subnet has the name of its zone"));
        };
        let resolved = report.read(&path, name, text::dns_label);
        if !known.insert(name) {
            report.push(Problem::at(path, format!("two subnets are called `{name}`")));
        }
        resolved
    });
    names.collect()
}

/// An availability zone.
struct Zone {
    name: String,
    region: String,
}

/// The zones of all subnets, which are in one region.
fn zones(subnets: &[SubnetSpec], report: &mut Report<'_>) -> Vec<Resolved<Zone>> {
    let mut first: Option<&str> = None;
    let zones = subnets.iter().enumerate().map(|(index, subnet)| {
        let path = format!("spec.subnets[{index}].zone");
        let Some(zone) = subnet.zone.as_deref() else {
            return Err(report.missing(path, "write an availability zone such as `us-east-1a`"));
        };
        let Some(region) = subnets::region(zone) else {
            let message = format!("`{zone}` is not an availability zone");
            return Err(report.push(Problem::at(path, message).hint("write one such as `us-east-1a`")));
        };
        if let Some(written) = subnet.region.as_deref().filter(|written| *written != region) {
            let message = format!("the zone `{zone}` is not in the region `{written}`");
            report.push(Problem::at(format!("spec.subnets[{index}].region"), message).hint("leave it out"));
        }
        let first = *first.get_or_insert(region);
        if region != first {
            let message = format!("`{zone}` is in {region}, and the first subnet is in {first}");
            report.push(Problem::at(path, message).hint("a cluster is in one region"));
        }
        Ok(Zone { name: zone.to_owned(), region: region.to_owned() })
    });
    zones.collect()
}

fn subnet_ranges(subnets: &[SubnetSpec], ranges: &Ranges, report: &mut Report<'_>) -> Vec<Resolved<Ipv4Net>> {
    let mut found = Vec::new();
    for (index, subnet) in subnets.iter().enumerate() {
        let path = format!("spec.subnets[{index}].cidr");
        found.push(subnet_range(&path, subnet, ranges, report));
    }
    let known = (0..).zip(&found);
    disjoint(known.filter_map(|(index, range)| Some((index, *range.as_ref().ok()?))).collect(), report);
    found
}

fn subnet_range(
    path: &str,
    subnet: &SubnetSpec,
    ranges: &Ranges,
    report: &mut Report<'_>,
) -> Resolved<Ipv4Net> {
    let Some(written) = subnet.cidr.as_deref() else {
        if ranges.is_existing {
            return Err(report.missing(
                path,
                "write the subnet's range: which ones of an existing VPC are free is not known",
            ));
        }
        // Left out, it would have been cut from the VPC's.
        ranges.vpc?;
        let message = "no range of spec.networkCIDR is left for this subnet";
        return Err(report.push(Problem::at(path, message).hint("write one")));
    };
    let range = report.read(path, written, text::ipv4_net)?;
    if !PREFIXES.contains(&range.prefix_len()) {
        let message = format!("`{range}` is not a range that a subnet can have");
        report.push(Problem::at(path, message).hint("a subnet's prefix is from /16 to /28"));
    }
    if let Ok(vpc) = ranges.vpc
        && !ranges.in_vpc(range)
    {
        report.push(Problem::at(path, format!("`{range}` is not inside of {NETWORK} (`{vpc}`)")));
    }
    for (other_path, other) in [(PODS, ranges.pods), (SERVICES, ranges.services)] {
        if let Ok(other) = other
            && subnets::overlap(other, range)
        {
            report.push(Problem::at(path, format!("`{range}` overlaps {other_path} (`{other}`)")));
        }
    }
    Ok(range)
}

/// No two subnets share an address. Sorted by their first address, a subnet can only overlap its neighbours.
fn disjoint(mut subnets: Vec<(usize, Ipv4Net)>, report: &mut Report<'_>) {
    subnets.sort_by_key(|(_, range)| (range.network(), range.prefix_len()));
    let mut widest: Option<(usize, Ipv4Net)> = None;
    for (index, range) in subnets {
        if let Some((other_index, other)) = widest.filter(|(_, other)| subnets::overlap(*other, range)) {
            let (later, earlier) =
                if index > other_index { (index, other_index) } else { (other_index, index) };
            let (this, that) = if later == index { (range, other) } else { (other, range) };
            let message = format!("`{this}` overlaps spec.subnets[{earlier}].cidr (`{that}`)");
            report.push(Problem::at(format!("spec.subnets[{later}].cidr"), message));
            continue;
        }
        widest = Some((index, range));
    }
}

fn plugin(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<NetworkPlugin> {
    const PATH: &str = "spec.networking";
    let chosen = chosen_plugins(spec);
    let chosen: Vec<&str> = chosen.iter().map(String::as_str).collect();
    match chosen.as_slice() {
        ["flannel"] => Ok(NetworkPlugin::Flannel),
        ["cni"] => Ok(NetworkPlugin::External),
        [] => {
            Err(report
                .missing(PATH, "choose a network plug-in: `flannel: {}`, or `cni: {}` to bring your own"))
        }
        [other] => {
            let problem = Problem::at(format!("{PATH}.{other}"), "this plug-in is not supported yet");
            Err(report.push(problem.hint("use `flannel: {}`, or `cni: {}` and install your own")))
        }
        several => {
            let message = format!("only one network plug-in can be chosen, not {}", several.join(" and "));
            Err(report.push(Problem::at(PATH, message)))
        }
    }
}

/// The fields of `spec.networking` that are written.
pub(in crate::spec) fn chosen_plugins(spec: &ClusterSpec) -> Vec<String> {
    match spec.networking.as_ref().map(serde_json::to_value) {
        Some(Ok(serde_json::Value::Object(fields))) => fields.keys().cloned().collect(),
        _ => Vec::new(),
    }
}
