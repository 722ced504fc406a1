//! VPC, subnets, and how what is in them reaches the Internet. What exists already is referred to by its id, and gets no more
//! than the tags by which controllers find it.

mod egress;
mod ipv6;

use std::collections::{BTreeMap, BTreeSet};

use super::{Desired, Inputs, ModelError, named, names, subnet_name};
use crate::aws::tags::{self, Tags};
use crate::cloud::Reference;
use crate::cloud::existing::Existing;
use crate::cloud::gateway_endpoint::{self, GatewayEndpoint};
use crate::cloud::internet_gateway::InternetGateway;
use crate::cloud::route_table::{ANYWHERE, ANYWHERE_IPV6, RouteTable, RouteTarget};
use crate::cloud::subnet::Subnet;
use crate::cloud::vpc::Vpc;
use crate::spec::cluster::{self, Cluster, SubnetKind};
use windlass_bootstrap::tags as shared;

/// What controllers of load balancers look for in a subnet that the Internet reaches.
const PUBLIC_LOAD_BALANCERS: &str = "kubernetes.io/role/elb";

/// What they look for in another one.
const INTERNAL_LOAD_BALANCERS: &str = "kubernetes.io/role/internal-elb";

pub(super) fn add(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<(), ModelError> {
    add_vpc(inputs, desired)?;
    for subnet in &inputs.cluster.subnets {
        add_subnet(inputs, subnet, desired)?;
    }
    let gateway = internet_gateway(inputs, desired)?;
    let public = add_public_routes(inputs, gateway.as_ref(), desired)?;
    let private = egress::add(inputs, desired)?;
    let translated = match &gateway {
        Some(gateway) => egress::add_translated(inputs, gateway, desired)?,
        None => Vec::new(),
    };
    let all = public.into_iter().chain(private).chain(translated);
    add_endpoint(inputs.cluster, all.collect(), desired)
}

/// Whether a subnet of instances whose pods have IPv6 addresses alone is one that the Internet reaches: a NAT gateway then
/// stands between them and what has IPv4 addresses alone, and the subnet has the routes of its zone, as in kops.
fn is_translated(cluster: &Cluster, subnet: &cluster::Subnet) -> bool {
    cluster.network.is_ipv6()
        && subnet.kind == SubnetKind::Public
        && subnet.ipv6.is_some()
        && subnet.is_routed()
}

/// The route table of a subnet that the Internet reaches.
pub(super) fn public_table(cluster: &Cluster, subnet: &cluster::Subnet) -> Reference<RouteTable> {
    if is_translated(cluster, subnet) {
        return Reference::to(egress::translated_table(cluster, &subnet.zone));
    }
    Reference::to(&cluster.name)
}

/// Notes on a table which of its destinations besides the usual one are windlass's.
fn list_destinations<'d>(destinations: impl IntoIterator<Item = &'d str>, tags: &mut Tags) {
    let listed = destinations.into_iter().filter(|destination| *destination != ANYWHERE);
    let listed: Vec<&str> = listed.collect();
    if !listed.is_empty() {
        tags.insert(tags::ROUTES.to_owned(), listed.join(" "));
    }
}

/// The VPC that the cluster is in.
pub(super) fn vpc(cluster: &Cluster) -> Reference<Vpc> {
    match &cluster.network.existing_vpc {
        Some(id) => Reference::existing(id),
        None => Reference::to(&cluster.name),
    }
}

/// A subnet of the cluster.
pub(super) fn subnet(cluster: &Cluster, subnet: &cluster::Subnet) -> Reference<Subnet> {
    match &subnet.existing {
        Some(id) => Reference::existing(id),
        None => Reference::to(subnet_name(cluster, &subnet.name)),
    }
}

/// Something that exists already, with the tags that it is to have.
fn add_existing(id: &str, tags: Tags, desired: &mut Desired) -> Result<(), ModelError> {
    desired.insert(Existing { name: id.to_owned(), tags })
}

/// Something that exists already and gets no tags; several may refer to it.
pub(super) fn add_existing_once(id: &str, desired: &mut Desired) -> Result<(), ModelError> {
    let existing: Reference<Existing> = Reference::existing(id);
    if desired.0.contains_key(&existing.id()) { Ok(()) } else { add_existing(id, Tags::new(), desired) }
}

/// The tag by which controllers see that the cluster may use something, and that it isn't its own.
fn shared_tags(cluster: &Cluster) -> Tags {
    if cluster.network.subnet_tags_disabled {
        return Tags::new();
    }
    Tags::from([(shared::ownership(&cluster.name), "shared".to_owned())])
}

fn add_vpc(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<(), ModelError> {
    let cluster = inputs.cluster;
    let network = &cluster.network;
    if let Some(id) = &network.existing_vpc {
        return add_existing(id, shared_tags(cluster), desired);
    }
    let mut tags = named(cluster, &cluster.name)?;
    if !network.additional_cidrs.is_empty() {
        let ranges: Vec<String> = network.additional_cidrs.iter().map(ToString::to_string).collect();
        tags.insert(tags::RANGES.to_owned(), ranges.join(" "));
    }
    tags.extend(names::of_vpc(inputs));
    desired.insert(Vpc {
        name: cluster.name.clone(),
        cidr: network.cidr,
        additional_cidrs: network.additional_cidrs.iter().copied().collect(),
        ipv6: cluster.has_ipv6(),
        dns_hostnames: true,
        dns_support: true,
        tags,
    })
}

fn add_subnet(
    inputs: &Inputs<'_>,
    subnet: &cluster::Subnet,
    desired: &mut Desired,
) -> Result<(), ModelError> {
    let cluster = inputs.cluster;
    let role = role_tag(cluster, subnet).filter(|_| !cluster.network.subnet_tags_disabled);
    let role = role.map(|role| (role.to_owned(), "1".to_owned()));
    if let Some(id) = &subnet.existing {
        let tags = shared_tags(cluster).into_iter().chain(role).collect();
        return add_existing(id, tags, desired);
    }
    let name = subnet_name(cluster, &subnet.name);
    let mut tags = named(cluster, &name)?;
    tags.extend(role);
    desired.insert(Subnet {
        vpc: vpc(cluster),
        zone: subnet.zone.clone(),
        cidr: subnet.cidr,
        ipv6: ipv6::range(inputs, subnet)?,
        vpc_ipv6: None,
        assigns_ipv6: subnet.ipv6.is_some(),
        dns64: subnet.cidr.is_none(),
        tags,
        name,
    })
}

/// A load balancer has IPv4 addresses in each of its subnets. Where a zone has private subnets of both families, internal ones
/// are in those, as in kops.
fn role_tag(cluster: &Cluster, subnet: &cluster::Subnet) -> Option<&'static str> {
    let is_beside = |other: &cluster::Subnet| {
        other.kind == SubnetKind::DualStack && other.zone == subnet.zone && other.cidr.is_some()
    };
    match subnet.kind {
        SubnetKind::Public | SubnetKind::Utility => Some(PUBLIC_LOAD_BALANCERS),
        SubnetKind::Private if subnet.cidr.is_none() || cluster.subnets.iter().any(is_beside) => None,
        SubnetKind::DualStack | SubnetKind::Private => Some(INTERNAL_LOAD_BALANCERS),
    }
}

/// What leads to the Internet from the subnets that it reaches; none where windlass keeps no such subnet's routes. A VPC of
/// windlass's own has an Internet gateway in any case: load balancers and NAT gateways need one.
fn internet_gateway(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<Option<RouteTarget>, ModelError> {
    let cluster = inputs.cluster;
    match (&cluster.network.existing_vpc, &inputs.facts.existing_network.internet_gateway) {
        (None, _) => {
            desired.insert(InternetGateway {
                name: cluster.name.clone(),
                vpc: Some(vpc(cluster)),
                tags: named(cluster, &cluster.name)?,
            })?;
            Ok(Some(RouteTarget::InternetGateway(Reference::to(&cluster.name))))
        }
        (Some(_), Some(id)) => {
            add_existing_once(id, desired)?;
            Ok(Some(RouteTarget::existing(id)))
        }
        (Some(_), None) => Ok(None),
    }
}

/// The route table of the subnets that the Internet reaches, but for those of [`is_translated`].
fn add_public_routes(
    inputs: &Inputs<'_>,
    gateway: Option<&RouteTarget>,
    desired: &mut Desired,
) -> Result<Option<Reference<RouteTable>>, ModelError> {
    let cluster = inputs.cluster;
    let open = cluster.subnets.iter().filter(|subnet| !subnet.kind.is_private() && subnet.is_routed());
    let open: Vec<&cluster::Subnet> = open.filter(|subnet| !is_translated(cluster, subnet)).collect();
    let Some(gateway) = gateway.filter(|_| !open.is_empty()) else { return Ok(None) };
    let ipv6 = open.iter().any(|subnet| subnet.ipv6.is_some()).then_some(ANYWHERE_IPV6);
    let routes = std::iter::once(ANYWHERE).chain(ipv6);
    let routes: BTreeMap<String, RouteTarget> =
        routes.map(|destination| (destination.to_owned(), gateway.clone())).collect();
    let mut tags = named(cluster, &cluster.name)?;
    list_destinations(routes.keys().map(String::as_str), &mut tags);
    let subnets = open.iter().map(|open| subnet(cluster, open)).collect();
    desired.insert(RouteTable { name: cluster.name.clone(), vpc: vpc(cluster), routes, subnets, tags })?;
    Ok(Some(Reference::to(&cluster.name)))
}

/// S3's gateway endpoint, for the route tables that windlass makes.
fn add_endpoint(
    cluster: &Cluster,
    route_tables: BTreeSet<Reference<RouteTable>>,
    desired: &mut Desired,
) -> Result<(), ModelError> {
    if route_tables.is_empty() {
        return Ok(());
    }
    let name = gateway_endpoint::name(&cluster.name);
    desired.insert(GatewayEndpoint {
        vpc: vpc(cluster),
        service: gateway_endpoint::service(&cluster.region),
        route_tables,
        tags: named(cluster, &name)?,
        name,
    })
}
