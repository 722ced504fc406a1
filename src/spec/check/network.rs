//! Address ranges, subnets, and the network plug-in.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::{Report, text};
use crate::spec::problem::Problem;
use crate::spec::subnets::{self, PREFIXES};
use crate::spec::v1alpha2::{ClusterSpec, SubnetSpec};

pub(super) fn check(spec: &ClusterSpec, report: &mut Report<'_>) {
    let ranges = Ranges::read(spec, report);
    let flannel = spec.networking.as_ref().is_some_and(|networking| networking.flannel.is_some());
    ranges.check(flannel, report);
    let subnets = spec.subnets.as_deref().unwrap_or_default();
    if subnets.is_empty() {
        report.missing("spec.subnets", "write at least one subnet with a name and a zone");
    }
    names(subnets, report);
    zones(subnets, report);
    subnet_ranges(subnets, &ranges, report);
    plugin(spec, report);
    if let Some(domain) = spec.cluster_dns_domain.as_deref() {
        report.read("spec.clusterDNSDomain", Some(domain), text::dns_name);
    }
}

/// The ranges of the cluster, as far as they can be read.
struct Ranges {
    network: Option<Ipv4Net>,
    additional: Vec<Ipv4Net>,
    internal: Option<Ipv4Net>,
    pods: Option<Ipv4Net>,
    services: Option<Ipv4Net>,
}

const NETWORK: &str = "spec.networkCIDR";
const INTERNAL: &str = "spec.nonMasqueradeCIDR";
const PODS: &str = "spec.podCIDR";
const SERVICES: &str = "spec.serviceClusterIPRange";

impl Ranges {
    fn read(spec: &ClusterSpec, report: &mut Report<'_>) -> Self {
        let additional = spec.additional_network_cidrs.iter().flatten().enumerate();
        let additional = additional.filter_map(|(index, range)| {
            report.read(&format!("spec.additionalNetworkCIDRs[{index}]"), Some(range), text::ipv4_net)
        });
        Self {
            additional: additional.collect(),
            network: report.read(NETWORK, spec.network_cidr.as_deref(), text::ipv4_net),
            internal: report.read(INTERNAL, spec.non_masquerade_cidr.as_deref(), text::ipv4_net),
            pods: report.read(PODS, spec.pod_cidr.as_deref(), text::ipv4_net),
            services: report.read(SERVICES, spec.service_cluster_ip_range.as_deref(), text::ipv4_net),
        }
    }

    fn in_vpc(&self, range: Ipv4Net) -> bool {
        self.network.iter().chain(&self.additional).any(|vpc| vpc.contains(&range))
    }

    fn check(&self, flannel: bool, report: &mut Report<'_>) {
        if let Some(network) = self.network.filter(|network| !PREFIXES.contains(&network.prefix_len())) {
            let message = format!("`{network}` is not a range that a VPC can have");
            report.push(Problem::at(NETWORK, message).hint("a VPC's prefix is from /16 to /28"));
        }
        self.apart(report);
        self.internal_is_apart(flannel, report);
        for (path, range) in [(PODS, self.pods), (SERVICES, self.services)] {
            if let (Some(range), Some(internal)) = (range, self.internal)
                && !internal.contains(&range)
            {
                let message = format!("`{range}` is not inside of {INTERNAL} (`{internal}`)");
                report.push(Problem::at(path, message));
            }
        }
        if let Some(pods) = self.pods.filter(|pods| pods.prefix_len() > 22) {
            let message = format!("`{pods}` holds fewer than four nodes");
            report.push(Problem::at(PODS, message).hint("every node takes a /24 of it: use at most /22"));
        }
        if let Some(services) = self.services.filter(|range| !(12..=28).contains(&range.prefix_len())) {
            let message = format!("`{services}` is not a range that services can have");
            report.push(Problem::at(SERVICES, message).hint("its prefix is from /12 to /28"));
        }
    }

    /// What pods send into the internal range keeps their own addresses, which a VPC doesn't know.
    fn internal_is_apart(&self, flannel: bool, report: &mut Report<'_>) {
        let Some(internal) = self.internal.filter(|_| flannel) else { return };
        let overlaps = |range: &&Ipv4Net| subnets::overlap(**range, internal);
        // Where pods or services are in the way themselves, that is told.
        let told = |range: &Ipv4Net| {
            [self.pods, self.services].into_iter().flatten().any(|own| subnets::overlap(own, *range))
        };
        for range in self.network.iter().chain(&self.additional).filter(overlaps) {
            if !told(range) {
                let message = format!("`{internal}` overlaps the VPC's range `{range}`");
                let hint = "pods would send into the VPC with addresses that it drops: write a range for pods and \
                            services alone, and podCIDR and serviceClusterIPRange as they are if the cluster runs";
                report.push(Problem::at(INTERNAL, message).hint(hint));
            }
        }
    }

    /// The VPC, pods and services share no address.
    fn apart(&self, report: &mut Report<'_>) {
        let pairs = [
            (PODS, self.pods, NETWORK, self.network),
            (SERVICES, self.services, NETWORK, self.network),
            (SERVICES, self.services, PODS, self.pods),
        ];
        for (path, range, other_path, other) in pairs {
            if let (Some(range), Some(other)) = (range, other)
                && subnets::overlap(range, other)
            {
                report.push(Problem::at(path, format!("`{range}` overlaps {other_path} (`{other}`)")));
            }
        }
    }
}

fn names(subnets: &[SubnetSpec], report: &mut Report<'_>) {
    let mut names = BTreeSet::new();
    for (index, subnet) in subnets.iter().enumerate() {
        let path = format!("spec.subnets[{index}].name");
        let Some(name) = subnet.name.as_deref() else {
            report.missing(path, "by custom a subnet has the name of its zone");
            continue;
        };
        report.read(&path, Some(name), text::dns_label);
        if !names.insert(name) {
            report.push(Problem::at(path, format!("two subnets are called `{name}`")));
        }
    }
}

fn zones(subnets: &[SubnetSpec], report: &mut Report<'_>) {
    let mut first: Option<&str> = None;
    for (index, subnet) in subnets.iter().enumerate() {
        let path = format!("spec.subnets[{index}].zone");
        let Some(zone) = subnet.zone.as_deref() else {
            report.missing(path, "write an availability zone such as `us-east-1a`");
            continue;
        };
        let Some(region) = subnets::region(zone) else {
            let message = format!("`{zone}` is not an availability zone");
            report.push(Problem::at(path, message).hint("write one such as `us-east-1a`"));
            continue;
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
    }
}

fn subnet_ranges(subnets: &[SubnetSpec], ranges: &Ranges, report: &mut Report<'_>) {
    let mut known: Vec<(usize, Ipv4Net)> = Vec::new();
    for (index, subnet) in subnets.iter().enumerate() {
        let path = format!("spec.subnets[{index}].cidr");
        if subnet.cidr.is_none() && ranges.network.is_some() {
            let message = "no range of spec.networkCIDR is left for this subnet";
            report.push(Problem::at(&path, message).hint("write one"));
        }
        let Some(range) = report.read(&path, subnet.cidr.as_deref(), text::ipv4_net) else { continue };
        if !PREFIXES.contains(&range.prefix_len()) {
            let message = format!("`{range}` is not a range that a subnet can have");
            report.push(Problem::at(&path, message).hint("a subnet's prefix is from /16 to /28"));
        }
        if let Some(network) = ranges.network.filter(|_| !ranges.in_vpc(range)) {
            report.push(Problem::at(&path, format!("`{range}` is not inside of {NETWORK} (`{network}`)")));
        }
        for (other_path, other) in [(PODS, ranges.pods), (SERVICES, ranges.services)] {
            if let Some(other) = other.filter(|other| subnets::overlap(*other, range)) {
                report.push(Problem::at(&path, format!("`{range}` overlaps {other_path} (`{other}`)")));
            }
        }
        known.push((index, range));
    }
    disjoint(known, report);
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

fn plugin(spec: &ClusterSpec, report: &mut Report<'_>) {
    const PATH: &str = "spec.networking";
    let set = match spec.networking.as_ref().map(serde_json::to_value) {
        Some(Ok(serde_json::Value::Object(fields))) => fields.keys().cloned().collect(),
        _ => Vec::new(),
    };
    match set.as_slice() {
        [] => report.missing(PATH, "choose a network plug-in: `flannel: {}`, or `cni: {}` to bring your own"),
        [_] => {}
        several => {
            let message = format!("only one network plug-in can be chosen, not {}", several.join(" and "));
            report.push(Problem::at(PATH, message));
        }
    }
}
