//! The load balancer in front of the API.

use std::collections::{BTreeMap, BTreeSet};

use super::network::Networks;
use super::{Report, Resolved, all, text};
use crate::spec::cluster::{AccessLog, Certificate, LoadBalancer, LoadBalancerSubnet, Subnet, SubnetKind};
use crate::spec::non_empty::NonEmpty;
use crate::spec::problem::Problem;
use crate::spec::subnets;
use crate::spec::v1alpha2::{
    InstanceGroup, InstanceGroupRole, LoadBalancerSpec, LoadBalancerSubnetSpec, LoadBalancerType,
};

const PATH: &str = "spec.api.loadBalancer";

/// What a load balancer with a certificate takes where nothing is said: TLS 1.2 and 1.3 (Network Load Balancers User Guide,
/// "Security policies"). kops's default still takes TLS 1.0.
const TLS_POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";

pub(super) fn resolve(
    spec: &LoadBalancerSpec,
    groups: &[InstanceGroup],
    network: &Networks,
    is_named: bool,
    report: &mut Report<'_>,
) -> Resolved<LoadBalancer> {
    let internal = spec.r#type == Some(LoadBalancerType::Internal);
    let known: Vec<&Subnet> = network.subnets.iter().flatten().collect();
    // A load balancer sends nothing to targets in zones that it isn't in.
    let [masters, api_servers] = [InstanceGroupRole::Master, InstanceGroupRole::ApiServer]
        .map(|role| subnets_of(role, groups, &known));
    let behind = [masters, api_servers].concat();
    let chosen = match spec.subnets.as_deref() {
        Some(written) if !written.is_empty() => written_subnets(written, internal, &known, report),
        _ => match network.subnets.iter().find_map(|subnet| subnet.as_ref().err()) {
            // What is wrong with a subnet is told; which of the others are meant can't be said without it.
            Some(told) => Err(*told),
            None => best_subnets(PATH, internal, &behind, &known, report),
        },
    };
    if let Ok(chosen) = &chosen {
        is_in_every_zone(&format!("{PATH}.subnets"), chosen, &behind, report);
    }
    let certificate = certificate(spec, report);
    let for_nodes = for_nodes(spec, internal, is_named, report);
    let access_log = access_log(spec, report);
    let group =
        |path: &str, id: &String, report: &mut Report<'_>| report.read(path, id, |id| text::aws_id("sg", id));
    let security_group = spec.security_group_override.as_ref();
    let security_group =
        security_group.map(|id| group(&format!("{PATH}.securityGroupOverride"), id, report)).transpose();
    let additional = spec.additional_security_groups.iter().flatten().enumerate();
    let additional =
        all(additional
            .map(|(index, id)| group(&format!("{PATH}.additionalSecurityGroups[{index}]"), id, report)));
    Ok(LoadBalancer {
        internal,
        subnets: chosen?,
        certificate: certificate?,
        cross_zone: spec.cross_zone_load_balancing.unwrap_or(false),
        for_nodes: for_nodes?,
        access_log: access_log?,
        security_group: security_group?,
        additional_security_groups: additional?.into_iter().collect(),
    })
}

/// Whether nodes go by it, too: by the API's internal name, as AWS decides the load balancer's own only when it is made.
fn for_nodes(
    spec: &LoadBalancerSpec,
    internal: bool,
    is_named: bool,
    report: &mut Report<'_>,
) -> Resolved<bool> {
    let asked = spec.use_for_internal_api.unwrap_or(false);
    let message = if asked && !internal {
        "nodes would reach a public load balancer from outside of the VPC"
    } else if asked && !is_named {
        "nodes find the load balancer by a name in a hosted zone, and there is none"
    } else {
        return Ok(asked);
    };
    let hint = "leave it out: nodes then go to the masters' own private addresses; or write `type: Internal` with `dnsZone`";
    Err(report.push(Problem::at(format!("{PATH}.useForInternalApi"), message).hint(hint)))
}

/// The subnets that the instances of a role are in.
pub(super) fn subnets_of<'a>(
    role: InstanceGroupRole,
    groups: &[InstanceGroup],
    known: &[&'a Subnet],
) -> Vec<&'a Subnet> {
    let groups = groups.iter().filter(|group| group.spec.role == Some(role));
    let names: BTreeSet<&String> = groups.flat_map(|group| group.spec.subnets.iter().flatten()).collect();
    known.iter().copied().filter(|subnet| names.contains(&subnet.name)).collect()
}

/// One subnet of each zone: of those on the right side the one that is made for load balancers, or else one of those that what
/// it leads to is in. An internal load balancer is in private subnets, or where there are none, in what there is.
pub(super) fn best_subnets(
    path: &str,
    internal: bool,
    behind: &[&Subnet],
    known: &[&Subnet],
    report: &mut Report<'_>,
) -> Resolved<NonEmpty<LoadBalancerSubnet>> {
    let is_private = |subnet: &&&Subnet| subnet.kind.is_private();
    let any_private = known.iter().any(|subnet| is_private(&subnet));
    let mut by_zone: BTreeMap<&str, &Subnet> = BTreeMap::new();
    let score = |subnet: &Subnet| {
        (subnet.kind == SubnetKind::Utility, behind.iter().any(|behind| behind.name == subnet.name))
    };
    for subnet in
        known.iter().filter(|subnet| subnet.cidr.is_some() && is_private(subnet) == (internal && any_private))
    {
        let best = by_zone.entry(&subnet.zone).or_insert(subnet);
        if score(subnet) > score(best) || (score(subnet) == score(best) && subnet.name < best.name) {
            *best = subnet;
        }
    }
    let plain = |subnet: &Subnet| LoadBalancerSubnet {
        subnet: subnet.clone(),
        private_address: None,
        allocation: None,
    };
    NonEmpty::of(by_zone.into_values().map(plain)).ok_or_else(|| {
        let message = "there is no subnet that the Internet reaches for a public load balancer";
        let hint =
            "add a subnet with `type: Utility` in each zone of what it leads to, or write `type: Internal`";
        report.push(Problem::at(path, message).hint(hint))
    })
}

fn written_subnets(
    written: &[LoadBalancerSubnetSpec],
    internal: bool,
    known: &[&Subnet],
    report: &mut Report<'_>,
) -> Resolved<NonEmpty<LoadBalancerSubnet>> {
    let mut zones = BTreeSet::new();
    let mut found = Vec::new();
    for (index, subnet) in written.iter().enumerate() {
        let path = format!("{PATH}.subnets[{index}]");
        let resolved = written_subnet(&path, subnet, internal, known, report);
        if let Ok(LoadBalancerSubnet { subnet, .. }) = &resolved
            && !zones.insert(subnet.zone.clone())
        {
            let message = format!(
                "a load balancer is in one subnet of a zone, and this is the second of {}",
                subnet.zone
            );
            report.push(Problem::at(format!("{path}.name"), message));
        }
        found.push(resolved);
    }
    let found = all(found)?;
    NonEmpty::of(found).ok_or_else(|| report.missing(PATH, "name subnets"))
}

fn written_subnet(
    path: &str,
    written: &LoadBalancerSubnetSpec,
    internal: bool,
    known: &[&Subnet],
    report: &mut Report<'_>,
) -> Resolved<LoadBalancerSubnet> {
    let name_path = format!("{path}.name");
    let Some(name) = &written.name else {
        return Err(report.missing(name_path, "name a subnet of the cluster"));
    };
    let Some(subnet) = known.iter().find(|subnet| subnet.name == *name) else {
        let names: Vec<&str> = known.iter().map(|subnet| subnet.name.as_str()).collect();
        let problem = Problem::at(name_path, format!("the cluster has no subnet `{name}`"));
        return Err(report.push(problem.hint(format!("there are: {}", names.join(", ")))));
    };
    if !internal && subnet.kind.is_private() {
        let problem =
            Problem::at(name_path, format!("the Internet doesn't reach the private subnet `{name}`"));
        report.push(problem.hint("name a public or a utility subnet, or write `type: Internal`"));
    }
    if subnet.cidr.is_none() {
        let message = format!("a load balancer has IPv4 addresses, and the subnet `{name}` has none");
        report.push(Problem::at(format!("{path}.name"), message).hint("name one that has, too"));
    }
    let address = private_address(path, written, internal, subnet, report);
    let allocation = allocation(path, written, internal, report);
    Ok(LoadBalancerSubnet { subnet: (*subnet).clone(), private_address: address?, allocation: allocation? })
}

fn private_address(
    path: &str,
    written: &LoadBalancerSubnetSpec,
    internal: bool,
    subnet: &Subnet,
    report: &mut Report<'_>,
) -> Resolved<Option<std::net::Ipv4Addr>> {
    let path = format!("{path}.privateIPv4Address");
    let Some(address) = written.private_ipv4_address.as_deref() else { return Ok(None) };
    let address = report.read(&path, address, text::ipv4_address)?;
    if !internal {
        let problem = Problem::at(&path, "the address of a public load balancer isn't one of the subnet's");
        report.push(
            problem.hint("leave it out, name an Elastic IP in `allocationId`, or write `type: Internal`"),
        );
    }
    if let Some(range) = subnet.cidr.filter(|range| !subnets::assignable(*range, address)) {
        let message =
            format!("`{address}` is not an address that the subnet `{}` ({range}) can give", subnet.name);
        report.push(Problem::at(&path, message));
    }
    Ok(Some(address))
}

fn allocation(
    path: &str,
    written: &LoadBalancerSubnetSpec,
    internal: bool,
    report: &mut Report<'_>,
) -> Resolved<Option<String>> {
    let path = format!("{path}.allocationId");
    let Some(id) = written.allocation_id.as_deref() else { return Ok(None) };
    if internal {
        let problem = Problem::at(&path, "an internal load balancer has no Elastic IP");
        report.push(problem.hint("leave it out, or write `type: Public`"));
    }
    report.read(&path, id, |id| text::aws_id("eipalloc", id)).map(Some)
}

/// A target in a zone that the load balancer isn't in gets nothing from it.
pub(super) fn is_in_every_zone(
    path: &str,
    chosen: &NonEmpty<LoadBalancerSubnet>,
    behind: &[&Subnet],
    report: &mut Report<'_>,
) {
    let zones: BTreeSet<&str> = chosen.iter().map(|chosen| chosen.subnet.zone.as_str()).collect();
    if let Some(behind) = behind.iter().find(|behind| !zones.contains(behind.zone.as_str())) {
        let message =
            format!("the load balancer is not in {}, where something is that it leads to", behind.zone);
        let hint =
            "give it a subnet of each such zone; with `type: Utility`, a subnet is for load balancers alone";
        report.push(Problem::at(path, message).hint(hint));
    }
}

fn certificate(spec: &LoadBalancerSpec, report: &mut Report<'_>) -> Resolved<Option<Certificate>> {
    let Some(arn) = spec.ssl_certificate.as_deref().filter(|arn| !arn.is_empty()) else {
        if spec.ssl_policy.is_some() {
            let problem =
                Problem::at(format!("{PATH}.sslPolicy"), "there is no certificate that it could be for");
            report.push(problem.hint("write `sslCertificate`, or leave it out"));
        }
        return Ok(None);
    };
    let is_arn = arn.starts_with("arn:") && [":acm:", ":iam:"].iter().any(|service| arn.contains(service));
    if !is_arn || arn.split(':').count() < 6 {
        let problem =
            Problem::at(format!("{PATH}.sslCertificate"), format!("`{arn}` is not the ARN of a certificate"));
        return Err(
            report.push(problem.hint("write it like `arn:aws:acm:us-east-1:123456789012:certificate/…`"))
        );
    }
    let policy = spec.ssl_policy.clone().unwrap_or_else(|| TLS_POLICY.to_owned());
    Ok(Some(Certificate { arn: arn.to_owned(), policy }))
}

fn access_log(spec: &LoadBalancerSpec, report: &mut Report<'_>) -> Resolved<Option<AccessLog>> {
    let Some(log) = &spec.access_log else { return Ok(None) };
    let Some(bucket) = log.bucket.clone() else {
        return Err(
            report.missing(format!("{PATH}.accessLog.bucket"), "name the bucket that it is written to")
        );
    };
    Ok(Some(AccessLog { bucket, prefix: log.bucket_prefix.clone().unwrap_or_default() }))
}
