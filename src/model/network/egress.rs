//! How what is in private subnets reaches the Internet: of each zone a route table, and the NAT gateway that it leads to.

use std::collections::{BTreeMap, BTreeSet};

use super::{ANYWHERE, add_existing_once, subnet, vpc};
use crate::aws::tags;
use crate::cloud::Reference;
use crate::cloud::elastic_ip::ElasticIp;
use crate::cloud::nat_gateway::NatGateway;
use crate::cloud::route_table::{RouteTable, RouteTarget};
use crate::model::{Desired, Inputs, ModelError, named};
use crate::spec::cluster::{Cluster, Egress, NatAddress, Subnet, SubnetKind};

/// Adds it for every zone that has private subnets whose routes windlass keeps. `public` is the route table of the subnets
/// that NAT gateways stand in. Returns the route tables.
pub(super) fn add(
    inputs: &Inputs<'_>,
    public: Option<&Reference<RouteTable>>,
    desired: &mut Desired,
) -> Result<Vec<Reference<RouteTable>>, ModelError> {
    let cluster = inputs.cluster;
    let mut zones: BTreeMap<&str, Vec<&Subnet>> = BTreeMap::new();
    for subnet in cluster.subnets.iter().filter(|it| it.kind.is_private() && it.is_routed()) {
        zones.entry(&subnet.zone).or_default().push(subnet);
    }
    let mut tables = Vec::new();
    for (zone, subnets) in zones {
        // All of a zone have the same one: the specification is refused otherwise.
        let Some(first) = subnets.first() else { continue };
        let target = target(inputs, zone, &first.egress, public, desired)?;
        tables.push(add_table(cluster, zone, &subnets, target, desired)?);
    }
    Ok(tables)
}

fn add_table(
    cluster: &Cluster,
    zone: &str,
    subnets: &[&Subnet],
    default: Option<RouteTarget>,
    desired: &mut Desired,
) -> Result<Reference<RouteTable>, ModelError> {
    let name = format!("private-{zone}.{}", cluster.name);
    let mut routes: BTreeMap<String, RouteTarget> =
        default.map(|target| (ANYWHERE.to_owned(), target)).into_iter().collect();
    let mut tags = named(cluster, &name)?;
    let further: BTreeMap<String, &String> = subnets
        .iter()
        .flat_map(|subnet| &subnet.additional_routes)
        .map(|(destination, target)| (destination.to_string(), target))
        .collect();
    if !further.is_empty() {
        let destinations: Vec<&str> = further.keys().map(String::as_str).collect();
        tags.insert(tags::ROUTES.to_owned(), destinations.join(" "));
    }
    for (destination, target) in further {
        routes.insert(destination, existing_target(target, desired)?);
    }
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
    public: Option<&Reference<RouteTable>>,
    desired: &mut Desired,
) -> Result<Option<RouteTarget>, ModelError> {
    match egress {
        Egress::NatGateway(address) => nat_gateway(inputs, zone, address, public, desired).map(Some),
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
    public: Option<&Reference<RouteTable>>,
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
        way_out: public.filter(|_| place.is_routed()).map(Reference::id),
        tags: named(cluster, &name)?,
        name,
    })?;
    Ok(RouteTarget::NatGateway(gateway))
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
