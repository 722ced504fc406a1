//! The address ranges of a cluster: its VPC's, its pods', its services'.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Report, Resolved, text};
use crate::spec::cluster::Network;
use crate::spec::problem::Problem;
use crate::spec::subnets::{self, PREFIXES};
use crate::spec::v1alpha2::ClusterSpec;

/// The ranges of the cluster, as far as they can be read.
pub(super) struct Ranges {
    /// Whether the VPC exists already.
    pub(super) is_existing: bool,
    pub(super) vpc: Resolved<Ipv4Net>,
    additional: Vec<Ipv4Net>,
    inside: Inside,
}

/// The ranges of pods and services.
enum Inside {
    /// Parts of the internal range.
    V4 { internal: Resolved<Ipv4Net>, pods: Resolved<Ipv4Net>, services: Resolved<Ipv4Net> },
    /// In an IPv6 cluster, which `spec.nonMasqueradeCIDR` says: pods have addresses of their node's.
    V6 { internal: Resolved<Ipv6Net>, services: Resolved<Ipv6Net> },
}

pub(super) const NETWORK: &str = "spec.networkCIDR";
pub(super) const NETWORK_ID: &str = "spec.networkID";
const ADDITIONAL: &str = "spec.additionalNetworkCIDRs";
const INTERNAL: &str = "spec.nonMasqueradeCIDR";
const PODS: &str = "spec.podCIDR";
const SERVICES: &str = "spec.serviceClusterIPRange";

/// Cluster DNS's place in the service range.
const DNS: u32 = 10;

impl Ranges {
    pub(super) fn read(spec: &ClusterSpec, report: &mut Report<'_>) -> Self {
        let additional = spec.additional_network_cidrs.iter().flatten().enumerate();
        let additional = additional.filter_map(|(index, range)| {
            report.read(&format!("{ADDITIONAL}[{index}]"), range, text::ipv4_net).ok()
        });
        let additional = additional.collect();
        let vpc = report.read_filled(NETWORK, spec.network_cidr.as_ref(), text::ipv4_net);
        let inside = if is_ipv6(spec) { ipv6(spec, report) } else { ipv4(spec, report) };
        Self { is_existing: spec.network_id.is_some(), vpc, additional, inside }
    }

    /// Whether pods and services have IPv6 addresses.
    pub(super) fn is_ipv6(&self) -> bool {
        matches!(self.inside, Inside::V6 { .. })
    }

    pub(super) fn in_vpc(&self, range: Ipv4Net) -> bool {
        self.vpc.iter().chain(&self.additional).any(|vpc| vpc.contains(&range))
    }

    /// The IPv4 ranges of pods and services, each with its field.
    pub(super) fn inside(&self) -> impl Iterator<Item = (&'static str, Ipv4Net)> {
        let found = match &self.inside {
            Inside::V4 { pods, services, .. } => [pods.ok(), services.ok()],
            Inside::V6 { .. } => [None, None],
        };
        [PODS, SERVICES].into_iter().zip(found).filter_map(|(path, range)| Some((path, range?)))
    }

    /// Holds the ranges against each other. Returns the address of the cluster's DNS.
    pub(super) fn check(&self, flannel: bool, report: &mut Report<'_>) -> Resolved<IpAddr> {
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
        match self.inside {
            Inside::V4 { internal, pods, services } => {
                self.internal_is_apart(flannel, internal, report);
                are_parts(internal, [(PODS, pods), (SERVICES, services)], report);
                hold_nodes(pods, report);
                dns_address(services, report).map(IpAddr::V4)
            }
            Inside::V6 { internal, services } => {
                internal?;
                dns_address_ipv6(services, report).map(IpAddr::V6)
            }
        }
    }

    /// What pods send into the internal range keeps their own addresses, which a VPC doesn't know.
    fn internal_is_apart(&self, flannel: bool, internal: Resolved<Ipv4Net>, report: &mut Report<'_>) {
        let (true, Ok(internal)) = (flannel, internal) else { return };
        // Where pods or services are in the way themselves, that is told.
        let told = |range: &Ipv4Net| self.inside().any(|(_, own)| subnets::overlap(own, *range));
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
        let own = self.inside().map(|(path, range)| (path.to_owned(), range));
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

    pub(super) fn network(
        &self,
        dns_address: Resolved<IpAddr>,
        dns_domain: Resolved<String>,
    ) -> Resolved<Network> {
        let (internal, pods, services) = match self.inside {
            Inside::V4 { internal, pods, services } => {
                (IpNet::V4(internal?), Some(IpNet::V4(pods?)), IpNet::V4(services?))
            }
            Inside::V6 { internal, services } => (IpNet::V6(internal?), None, IpNet::V6(services?)),
        };
        Ok(Network {
            existing_vpc: None,
            cidr: self.vpc?,
            additional_cidrs: self.additional.clone(),
            non_masquerade_cidr: internal,
            pod_cidr: pods,
            service_cidr: services,
            dns_address: dns_address?,
            dns_domain: dns_domain?,
            subnet_tags_disabled: false,
            interface_endpoints: BTreeSet::new(),
        })
    }
}

/// As in kops: nothing is masqueraded.
pub(super) fn is_ipv6(spec: &ClusterSpec) -> bool {
    spec.non_masquerade_cidr.as_deref().is_some_and(|internal| internal.contains(':'))
}

fn ipv4(spec: &ClusterSpec, report: &mut Report<'_>) -> Inside {
    let internal = report.read_filled(INTERNAL, spec.non_masquerade_cidr.as_ref(), text::ipv4_net);
    let pods = part(internal, PODS, spec.pod_cidr.as_deref(), report);
    let services = part(internal, SERVICES, spec.service_cluster_ip_range.as_deref(), report);
    Inside::V4 { internal, pods, services }
}

fn ipv6(spec: &ClusterSpec, report: &mut Report<'_>) -> Inside {
    let internal = report.read_filled(INTERNAL, spec.non_masquerade_cidr.as_ref(), text::ipv6_net);
    if let Some(internal) = internal.ok().filter(|internal| internal.prefix_len() > 0) {
        let message = format!("`{internal}` is not what an IPv6 cluster has here");
        let hint = "write `::/0`: no address of a pod is hidden behind its node's";
        report.push(Problem::at(INTERNAL, message).hint(hint));
    }
    if let Some(pods) = spec.pod_cidr.as_deref().filter(|pods| !pods.is_empty()) {
        let message = format!("pods can't have addresses of `{pods}` in an IPv6 cluster");
        let hint = "leave it out: a node's pods have addresses of a prefix that EC2 delegates to the node";
        report.push(Problem::at(PODS, message).hint(hint));
    }
    let services = report.read_filled(SERVICES, spec.service_cluster_ip_range.as_ref(), text::ipv6_net);
    Inside::V6 { internal, services }
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

fn are_parts(internal: Resolved<Ipv4Net>, parts: [(&str, Resolved<Ipv4Net>); 2], report: &mut Report<'_>) {
    let Ok(internal) = internal else { return };
    for (path, range) in parts {
        if let Ok(range) = range
            && !internal.contains(&range)
        {
            let message = format!("`{range}` is not inside of {INTERNAL} (`{internal}`)");
            report.push(Problem::at(path, message));
        }
    }
}

fn hold_nodes(pods: Resolved<Ipv4Net>, report: &mut Report<'_>) {
    if let Ok(pods) = pods
        && pods.prefix_len() > 22
    {
        let message = format!("`{pods}` holds fewer than four nodes");
        report.push(Problem::at(PODS, message).hint("every node takes a /24 of it: use at most /22"));
    }
}

fn dns_address(services: Resolved<Ipv4Net>, report: &mut Report<'_>) -> Resolved<Ipv4Addr> {
    let services = services?;
    let fits = (12..=28).contains(&services.prefix_len());
    subnets::nth(services, DNS).filter(|_| fits).ok_or_else(|| {
        let message = format!("`{services}` is not a range that services can have");
        report.push(Problem::at(SERVICES, message).hint("its prefix is from /12 to /28"))
    })
}

/// kube-apiserver takes no range of more than 20 bits, as it keeps a map of them (its flag `--service-cluster-ip-range`).
fn dns_address_ipv6(services: Resolved<Ipv6Net>, report: &mut Report<'_>) -> Resolved<Ipv6Addr> {
    let services = services?;
    if (108..=124).contains(&services.prefix_len()) {
        return Ok(Ipv6Addr::from(u128::from(services.network()) + u128::from(DNS)));
    }
    let message = format!("`{services}` is not a range that services can have");
    Err(report.push(Problem::at(SERVICES, message).hint("its prefix is from /108 to /124")))
}
