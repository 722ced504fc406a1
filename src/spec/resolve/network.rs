//! Address ranges, subnets, and the network plug-in.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use windlass_bootstrap::ipv6::SubnetIpv6;

use super::egress::{self, Way};
use super::ranges::{NETWORK, NETWORK_ID, Ranges};
use super::{Report, Resolved, interface_endpoints, text};
use crate::spec::cluster::{Network, NetworkPlugin, Subnet};
use crate::spec::problem::Problem;
use crate::spec::subnets::{self, PREFIXES};
use crate::spec::v1alpha2::{ClusterSpec, SubnetSpec, SubnetType};

/// What the specification says of the network.
pub(super) struct Networks {
    pub(super) network: Resolved<Network>,
    /// The region that the zones are in.
    pub(super) region: Resolved<String>,
    /// In the order of the specification.
    pub(super) subnets: Vec<Resolved<Subnet>>,
    /// The subnets' IPv4 ranges, in the same order.
    pub(super) ranges: Vec<Resolved<Option<Ipv4Net>>>,
    /// Whether pods and services have IPv6 addresses.
    pub(super) is_ipv6: bool,
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
    let ipv6 = subnet_ranges_ipv6(written, report);
    let region = match zones.first() {
        Some(zone) => zone.as_ref().map(|zone| zone.region.clone()).map_err(|reported| *reported),
        None => Err(report.missing("spec.subnets", "write at least one subnet with a name and a zone")),
    };
    let existing = existing_subnets(spec, report);
    let ways = egress::resolve(spec, report);
    let subnets = names.into_iter().zip(zones).zip(&cidrs).zip(ipv6).zip(ways).zip(existing);
    let subnets = subnets.map(|(((((name, zone), cidr), ipv6), way), existing)| {
        let Way { kind, egress, additional_routes } = way?;
        let (name, zone, cidr, ipv6, existing) = (name?, zone?.name, (*cidr)?, ipv6?, existing?);
        Ok(Subnet { name, zone, cidr, ipv6, kind, egress, existing, additional_routes })
    });
    let subnets = subnets.collect();
    let existing_vpc = existing_vpc(spec, report);
    let plugin = plugin(spec, ranges.is_ipv6(), report);
    let domain =
        report.read_filled("spec.clusterDNSDomain", spec.cluster_dns_domain.as_ref(), text::dns_name);
    let endpoints = interface_endpoints::resolve(spec, region.as_deref().ok(), report);
    let is_ipv6 = ranges.is_ipv6();
    let network = ranges.network(dns_address, domain).and_then(|network| {
        let subnet_tags_disabled = spec.disable_subnet_tags.unwrap_or(false);
        let interface_endpoints = endpoints?;
        Ok(Network { existing_vpc: existing_vpc?, interface_endpoints, subnet_tags_disabled, ..network })
    });
    Networks { network, region, subnets, ranges: cidrs, is_ipv6, plugin }
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

fn subnet_ranges(
    subnets: &[SubnetSpec],
    ranges: &Ranges,
    report: &mut Report<'_>,
) -> Vec<Resolved<Option<Ipv4Net>>> {
    let mut found = Vec::new();
    for (index, subnet) in subnets.iter().enumerate() {
        let path = format!("spec.subnets[{index}].cidr");
        found.push(subnet_range(&path, subnet, ranges, report));
    }
    let known = (0..).zip(&found);
    disjoint(known.filter_map(|(index, range)| Some((index, (*range).ok()??))).collect(), report);
    found
}

fn subnet_range(
    path: &str,
    subnet: &SubnetSpec,
    ranges: &Ranges,
    report: &mut Report<'_>,
) -> Resolved<Option<Ipv4Net>> {
    let Some(written) = subnet.cidr.as_deref() else {
        if subnet.ipv6_cidr.is_some() && subnet.r#type == Some(SubnetType::Private) {
            return ipv6_alone(path, ranges, report).map(|()| None);
        }
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
    for (other_path, other) in ranges.inside() {
        if subnets::overlap(other, range) {
            report.push(Problem::at(path, format!("`{range}` overlaps {other_path} (`{other}`)")));
        }
    }
    Ok(Some(range))
}

/// A private subnet with an IPv6 range has no IPv4 range where none is written, as in kops.
fn ipv6_alone(path: &str, ranges: &Ranges, report: &mut Report<'_>) -> Resolved<()> {
    if ranges.is_ipv6() {
        return Ok(());
    }
    let message =
        "instances would have IPv6 addresses alone, and the cluster's pods and services have IPv4 ones";
    let hint = "write a range, or `type: DualStack`, which is given one; or `nonMasqueradeCIDR: ::/0` for a new cluster";
    Err(report.push(Problem::at(path, message).hint(hint)))
}

/// The IPv6 ranges: no two subnets have the same.
fn subnet_ranges_ipv6(subnets: &[SubnetSpec], report: &mut Report<'_>) -> Vec<Resolved<Option<SubnetIpv6>>> {
    let mut found: Vec<Resolved<Option<SubnetIpv6>>> = Vec::new();
    for (index, subnet) in subnets.iter().enumerate() {
        let path = format!("spec.subnets[{index}].ipv6CIDR");
        let Some(written) = subnet.ipv6_cidr.as_deref() else {
            found.push(match subnet.r#type {
                Some(SubnetType::DualStack) => Err(report.missing(
                    path,
                    "write `/64#<number>`: which of the VPC's /64 it has, counted in hexadecimal from 0",
                )),
                _ => Ok(None),
            });
            continue;
        };
        let range = report.read(&path, written, text::subnet_ipv6).map(Some);
        if let Some(other) =
            range.ok().and_then(|range| found.iter().position(|other| other.ok() == Some(range)))
        {
            let message = format!("`{written}` is the range of spec.subnets[{other}], too");
            report.push(Problem::at(&path, message).hint("write another number"));
        }
        found.push(range);
    }
    found
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

fn plugin(spec: &ClusterSpec, is_ipv6: bool, report: &mut Report<'_>) -> Resolved<NetworkPlugin> {
    const PATH: &str = "spec.networking";
    let chosen = chosen_plugins(spec);
    let chosen: Vec<&str> = chosen.iter().map(String::as_str).collect();
    match chosen.as_slice() {
        ["flannel"] if is_ipv6 => {
            let message =
                "flannel knows nothing of the prefixes that EC2 delegates to nodes in an IPv6 cluster";
            let hint =
                "write `cni: {}` and install your own, or leave `nonMasqueradeCIDR` out for an IPv4 cluster";
            Err(report.push(Problem::at(format!("{PATH}.flannel"), message).hint(hint)))
        }
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
