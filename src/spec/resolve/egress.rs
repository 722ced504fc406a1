//! What each subnet is for, and how what is in it reaches the Internet.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::{Report, Resolved, text};
use crate::spec::cluster::{Egress, NatAddress, SubnetKind};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{ClusterSpec, SubnetSpec, SubnetType};

/// Nobody keeps routes that windlass doesn't know: kops's word for it.
const EXTERNAL: &str = "External";

/// What is known of a subnet's way to the Internet.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) kind: SubnetKind,
    pub(super) egress: Egress,
    pub(super) additional_routes: BTreeMap<IpNet, String>,
}

/// The ways of all subnets, in their order.
pub(super) fn resolve(spec: &ClusterSpec, report: &mut Report<'_>) -> Vec<Resolved<Way>> {
    let subnets = spec.subnets.as_deref().unwrap_or_default();
    let mut ways = Vec::new();
    for (index, subnet) in subnets.iter().enumerate() {
        ways.push(way(&format!("spec.subnets[{index}]"), subnet, report));
    }
    one_way_for_each_zone(subnets, &ways, report);
    gateways_have_a_place(subnets, &ways, report);
    ways
}

fn way(path: &str, subnet: &SubnetSpec, report: &mut Report<'_>) -> Resolved<Way> {
    let kind = kind(path, subnet, report);
    let routes = additional_routes(path, subnet, report);
    let (kind, additional_routes) = (kind?, routes?);
    let egress = egress(path, subnet, kind, report)?;
    let is_told = matches!(egress, Egress::NatGateway(_) | Egress::Existing(_));
    if let Some(address) = subnet.public_ip.as_deref().filter(|_| !is_told) {
        let message =
            format!("no NAT gateway of windlass's serves this subnet, which could have `{address}`");
        report.push(Problem::at(format!("{path}.publicIP"), message).hint("leave it out"));
    }
    let keeps_routes = kind.is_private() && egress != Egress::External && subnet.id.is_none();
    if !additional_routes.is_empty() && !keeps_routes {
        let message =
            "only private subnets that windlass makes, and whose routes it keeps, have further routes";
        report.push(Problem::at(format!("{path}.additionalRoutes"), message).hint("leave them out"));
    }
    Ok(Way { kind, egress, additional_routes })
}

fn kind(path: &str, subnet: &SubnetSpec, report: &mut Report<'_>) -> Resolved<SubnetKind> {
    let path = format!("{path}.type");
    match subnet.r#type {
        Some(SubnetType::Public) => Ok(SubnetKind::Public),
        Some(SubnetType::Utility) => Ok(SubnetKind::Utility),
        Some(SubnetType::Private) => Ok(SubnetKind::Private),
        Some(SubnetType::DualStack) => Ok(SubnetKind::DualStack),
        None => Err(report.missing(path, "write `Public`, `Private`, `DualStack` or `Utility`")),
    }
}

fn egress(path: &str, subnet: &SubnetSpec, kind: SubnetKind, report: &mut Report<'_>) -> Resolved<Egress> {
    let written = subnet.egress.as_deref().filter(|egress| !egress.is_empty());
    match (kind, written) {
        (_, Some(EXTERNAL)) => Ok(Egress::External),
        (SubnetKind::Private | SubnetKind::DualStack, Some(written)) => {
            existing(path, subnet, written, report)
        }
        (SubnetKind::Private | SubnetKind::DualStack, None) => {
            own_address(path, subnet, report).map(Egress::NatGateway)
        }
        (SubnetKind::Public | SubnetKind::Utility, Some(written)) => {
            let message = format!("`{written}` is not how instances in a public subnet reach the Internet");
            let hint =
                "leave it out: they have public addresses; or write `External`, and keep the routes yourself";
            Err(report.push(Problem::at(format!("{path}.egress"), message).hint(hint)))
        }
        (SubnetKind::Public | SubnetKind::Utility, None) => Ok(Egress::InternetGateway),
    }
}

/// Kinds of what a further route can lead to.
const TARGETS: [&str; 6] = ["pcx", "i", "nat", "tgw", "igw", "eigw"];

fn additional_routes(
    path: &str,
    subnet: &SubnetSpec,
    report: &mut Report<'_>,
) -> Resolved<BTreeMap<IpNet, String>> {
    let mut routes = BTreeMap::new();
    for (index, route) in subnet.additional_routes.iter().flatten().enumerate() {
        let path = format!("{path}.additionalRoutes[{index}]");
        let destination = match route.cidr.as_deref() {
            Some(cidr) => report.read(&format!("{path}.cidr"), cidr, text::net),
            None => Err(report.missing(format!("{path}.cidr"), "write the range that it is for")),
        };
        let target = target(&format!("{path}.target"), route.target.as_deref(), report);
        let (destination, target) = (destination?, target?);
        if destination.prefix_len() == 0 {
            let problem =
                Problem::at(format!("{path}.cidr"), "where everything else goes is what `egress` says");
            report.push(problem.hint("write it there"));
        }
        if target.starts_with("eigw-") && matches!(destination, IpNet::V4(_)) {
            let message = format!("an egress-only Internet gateway takes no packets to `{destination}`");
            report.push(Problem::at(format!("{path}.target"), message).hint("it is for IPv6 ranges alone"));
        }
        if routes.insert(destination, target).is_some() {
            report.push(Problem::at(format!("{path}.cidr"), format!("`{destination}` stands here twice")));
        }
    }
    Ok(routes)
}

fn target(path: &str, written: Option<&str>, report: &mut Report<'_>) -> Resolved<String> {
    let Some(written) = written else { return Err(report.missing(path, "name what leads there")) };
    let known = TARGETS.into_iter().find(|kind| written.starts_with(&format!("{kind}-")));
    if let Some(kind) = known {
        return report.read(path, written, |id| text::aws_id(kind, id));
    }
    let problem = Problem::at(path, format!("`{written}` is not what a route can lead to"));
    Err(report.push(problem.hint(format!("write the id of one: {}-…", TARGETS.join("-…, ")))))
}

/// What `egress` names: a gateway that exists, or the address of one that doesn't yet.
fn existing(path: &str, subnet: &SubnetSpec, written: &str, report: &mut Report<'_>) -> Resolved<Egress> {
    if subnet.public_ip.is_some() {
        let problem = Problem::at(format!("{path}.publicIP"), "`egress` says already what the gateway is");
        report.push(problem.hint("keep one of the two"));
    }
    let path = format!("{path}.egress");
    if written.starts_with("eipalloc-") {
        let allocation = report.read(&path, written, |id| text::aws_id("eipalloc", id))?;
        return Ok(Egress::NatGateway(NatAddress::Allocation(allocation)));
    }
    let known = ["nat", "tgw", "i"].into_iter().find(|kind| written.starts_with(&format!("{kind}-")));
    let Some(kind) = known else {
        let message = format!("`{written}` is not a way to the Internet");
        let hint = "write the id of a NAT gateway (`nat-…`), an Elastic IP (`eipalloc-…`), a transit gateway (`tgw-…`) or \
                    an instance (`i-…`), or `External`";
        return Err(report.push(Problem::at(path, message).hint(hint)));
    };
    report.read(&path, written, |id| text::aws_id(kind, id)).map(Egress::Existing)
}

fn own_address(path: &str, subnet: &SubnetSpec, report: &mut Report<'_>) -> Resolved<NatAddress> {
    let Some(address) = subnet.public_ip.as_deref() else { return Ok(NatAddress::New) };
    report.read(&format!("{path}.publicIP"), address, text::ipv4_address).map(NatAddress::Address)
}

/// A zone has one route table for its private subnets, and so one way out, as in kops.
fn one_way_for_each_zone(subnets: &[SubnetSpec], ways: &[Resolved<Way>], report: &mut Report<'_>) {
    let mut first: BTreeMap<&str, (usize, &Egress)> = BTreeMap::new();
    for (index, (subnet, way)) in subnets.iter().zip(ways).enumerate() {
        let (Some(zone), Ok(way)) = (subnet.zone.as_deref(), way) else { continue };
        if !way.kind.is_private() || way.egress == Egress::External || subnet.id.is_some() {
            continue;
        }
        let (earlier, egress) = first.entry(zone).or_insert((index, &way.egress));
        if **egress != way.egress {
            let message = format!(
                "private subnets of one zone share their way out, and spec.subnets[{earlier}] has another"
            );
            let hint = format!("write the same `egress` and `publicIP` in both of {zone}, or `External`");
            report.push(Problem::at(format!("spec.subnets[{index}].egress"), message).hint(hint));
        }
    }
}

/// A NAT gateway stands in a utility subnet, or else in a public one.
fn gateways_have_a_place(subnets: &[SubnetSpec], ways: &[Resolved<Way>], report: &mut Report<'_>) {
    let open = ways.iter().flatten().any(|way| !way.kind.is_private());
    let unknown = ways.iter().any(Result::is_err);
    let mut told = BTreeSet::new();
    for (index, (subnet, way)) in subnets.iter().zip(ways).enumerate() {
        let needs = matches!(way, Ok(Way { egress: Egress::NatGateway(_), .. })) && subnet.id.is_none();
        if needs && !open && !unknown && told.insert(&subnet.zone) {
            let zone = subnet.zone.as_deref().unwrap_or_default();
            let message =
                "there is no subnet for the NAT gateway through which instances would reach the Internet";
            let hint = format!(
                "add a subnet with `type: Utility` in {zone}, or name in `egress` what exists already, or write `External`"
            );
            report.push(Problem::at(format!("spec.subnets[{index}].type"), message).hint(hint));
        }
    }
}
