//! How what is in private subnets reaches the Internet: of each zone a route table, and the NAT gateway that it leads to. By
//! IPv6 it goes through the VPC's egress-only Internet gateway, and to what has IPv4 addresses alone through that NAT gateway,
//! which translates.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ANYWHERE, ANYWHERE_IPV6, add_existing_once, ipv6, is_translated, list_destinations, public_table, subnet,
    vpc,
};
use crate::cloud::elastic_ip::ElasticIp;
use crate::cloud::nat_gateway::NatGateway;
use crate::cloud::route_table::{NAT64, RouteTable, RouteTarget};
use crate::cloud::{Kind, Reference, ResourceId};
use crate::model::{Desired, Inputs, ModelError, named};
use crate::spec::cluster::{Cluster, Egress, NatAddress, Subnet, SubnetKind};

/// Adds it for every zone that has private subnets whose routes windlass keeps. Returns the route tables.
pub(super) fn add(
    inputs: &Inputs<'_>,
    desired: &mut Desired,
) -> Result<Vec<Reference<RouteTable>>, ModelError> {
    let mut tables = Vec::new();
    for (zone, subnets) in private_zones(inputs.cluster) {
        // All of a zone have the same one: the specification is refused otherwise.
        let Some(first) = subnets.first() else { continue };
        let target = target(inputs, zone, &first.egress, desired)?;
        tables.push(add_table(inputs, zone, &subnets, target, desired)?);
    }
    Ok(tables)
}

/// The private subnets whose routes windlass keeps, by their zones.
fn private_zones(cluster: &Cluster) -> BTreeMap<&str, Vec<&Subnet>> {
    by_zone(cluster.subnets.iter().filter(|it| it.kind.is_private() && it.is_routed()))
}

fn by_zone<'c>(subnets: impl Iterator<Item = &'c Subnet>) -> BTreeMap<&'c str, Vec<&'c Subnet>> {
    let mut zones: BTreeMap<&str, Vec<&Subnet>> = BTreeMap::new();
    for subnet in subnets {
        zones.entry(&subnet.zone).or_default().push(subnet);
    }
    zones
}

/// Adds the route tables of subnets that the Internet reaches and whose pods have IPv6 addresses alone.
pub(super) fn add_translated(
    inputs: &Inputs<'_>,
    gateway: &RouteTarget,
    desired: &mut Desired,
) -> Result<Vec<Reference<RouteTable>>, ModelError> {
    let cluster = inputs.cluster;
    let private = private_zones(cluster);
    let mut tables = Vec::new();
    for (zone, subnets) in by_zone(cluster.subnets.iter().filter(|it| is_translated(cluster, it))) {
        let default = Egress::NatGateway(NatAddress::New);
        let egress = private.get(zone).and_then(|it| it.first()).map_or(&default, |private| &private.egress);
        let target = target(inputs, zone, egress, desired)?.filter(translates);
        let mut routes = BTreeMap::from([ANYWHERE, ANYWHERE_IPV6].map(|to| (to.to_owned(), gateway.clone())));
        routes.extend(target.map(|target| (NAT64.to_owned(), target)));
        let name = translated_table(cluster, zone);
        let mut tags = named(cluster, &name)?;
        list_destinations(routes.keys().map(String::as_str), &mut tags);
        tables.push(Reference::to(&name));
        let subnets = subnets.iter().map(|of_zone| subnet(cluster, of_zone)).collect();
        desired.insert(RouteTable { name, vpc: vpc(cluster), routes, subnets, tags })?;
    }
    Ok(tables)
}

/// What the route table of a zone's subnets that the Internet reaches is called.
pub(super) fn translated_table(cluster: &Cluster, zone: &str) -> String {
    format!("public-{zone}.{}", cluster.name)
}

/// Whether something leads IPv6 packets to IPv4 addresses: a NAT gateway does, and behind a transit gateway there may be one, as
/// kops has it.
fn translates(target: &RouteTarget) -> bool {
    match target {
        RouteTarget::NatGateway(_) => true,
        RouteTarget::Existing(existing) => existing.name().starts_with("tgw-"),
        RouteTarget::InternetGateway(_) | RouteTarget::EgressOnlyInternetGateway(_) => false,
    }
}

fn add_table(
    inputs: &Inputs<'_>,
    zone: &str,
    subnets: &[&Subnet],
    default: Option<RouteTarget>,
    desired: &mut Desired,
) -> Result<Reference<RouteTable>, ModelError> {
    let cluster = inputs.cluster;
    let name = format!("private-{zone}.{}", cluster.name);
    let mut routes = BTreeMap::new();
    if cluster.network.is_ipv6()
        && let Some(target) = default.clone().filter(translates)
    {
        routes.insert(NAT64.to_owned(), target);
    }
    routes.extend(default.map(|target| (ANYWHERE.to_owned(), target)));
    if subnets.iter().any(|subnet| subnet.ipv6.is_some()) {
        routes.insert(ANYWHERE_IPV6.to_owned(), ipv6::way_out(inputs, desired)?);
    }
    let further = subnets.iter().flat_map(|subnet| &subnet.additional_routes);
    for (destination, target) in further {
        routes.insert(destination.to_string(), existing_target(target, desired)?);
    }
    let mut tags = named(cluster, &name)?;
    list_destinations(routes.keys().map(String::as_str), &mut tags);
    let reference = Reference::to(&name);
    let subnets: BTreeSet<_> = subnets.iter().map(|of_zone| subnet(cluster, of_zone)).collect();
    desired.insert(RouteTable { name, vpc: vpc(cluster), routes, subnets, tags })?;
    Ok(reference)
}

/// Where everything goes that leaves the VPC from a zone's private subnets.
fn target(
    inputs: &Inputs<'_>,
    zone: &str,
    egress: &Egress,
    desired: &mut Desired,
) -> Result<Option<RouteTarget>, ModelError> {
    match egress {
        Egress::NatGateway(address) => nat_gateway(inputs, zone, address, desired).map(Some),
        Egress::Existing(id) => existing_target(id, desired).map(Some),
        Egress::InternetGateway | Egress::External => Ok(None),
    }
}

/// What exists already; several zones may lead to it.
fn existing_target(id: &str, desired: &mut Desired) -> Result<RouteTarget, ModelError> {
    add_existing_once(id, desired)?;
    Ok(RouteTarget::existing(id))
}

/// The NAT gateway of a zone. A zone without a subnet that it could stand in shares that of the first zone with one.
fn nat_gateway(
    inputs: &Inputs<'_>,
    zone: &str,
    address: &NatAddress,
    desired: &mut Desired,
) -> Result<RouteTarget, ModelError> {
    let cluster = inputs.cluster;
    let Some(place) = place(cluster, zone) else {
        return Err(ModelError::NoPlaceForNatGateway { zone: zone.to_owned() });
    };
    let name = format!("{}.{}", place.zone, cluster.name);
    let gateway: Reference<NatGateway> = Reference::to(&name);
    if desired.0.contains_key(&gateway.id()) {
        return Ok(RouteTarget::NatGateway(gateway));
    }
    let address = nat_address(inputs, &name, address, desired)?;
    desired.insert(NatGateway {
        subnet: subnet(cluster, place),
        address,
        way_out: way_out(cluster, place),
        tags: named(cluster, &name)?,
        name,
    })?;
    Ok(RouteTarget::NatGateway(gateway))
}

/// What must be there before a NAT gateway in this subnet. A route table that leads to the gateway itself comes behind it.
fn way_out(cluster: &Cluster, place: &Subnet) -> Option<ResourceId> {
    if is_translated(cluster, place) {
        let own = cluster.network.existing_vpc.is_none();
        return own.then(|| ResourceId::new(Kind::InternetGateway, &cluster.name));
    }
    place.is_routed().then(|| public_table(cluster, place).id())
}

/// The subnet for the NAT gateway of a zone: a utility subnet, or else a public one, of this zone, or else of the first.
fn place<'c>(cluster: &'c Cluster, zone: &str) -> Option<&'c Subnet> {
    let open = cluster.subnets.iter().filter(|subnet| !subnet.kind.is_private());
    open.min_by_key(|subnet| {
        (subnet.zone != zone, &subnet.zone, subnet.kind != SubnetKind::Utility, &subnet.name)
    })
}

fn nat_address(
    inputs: &Inputs<'_>,
    name: &str,
    address: &NatAddress,
    desired: &mut Desired,
) -> Result<Reference<ElasticIp>, ModelError> {
    let allocation = match address {
        NatAddress::New => {
            desired.insert(ElasticIp { name: name.to_owned(), tags: named(inputs.cluster, name)? })?;
            return Ok(Reference::to(name));
        }
        NatAddress::Allocation(id) => id,
        NatAddress::Address(address) => {
            let known = inputs.facts.existing_network.allocations.get(address);
            known.ok_or(ModelError::NoAllocation { address: *address })?
        }
    };
    add_existing_once(allocation, desired)?;
    Ok(Reference::existing(allocation))
}
