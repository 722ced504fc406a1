//! VPC, subnets, and how what is in them reaches the Internet. What exists already is referred to by its id, and gets no more
//! than the tags by which controllers find it.

mod egress;

use std::collections::{BTreeMap, BTreeSet};

use super::{Desired, Inputs, ModelError, named, names, subnet_name};
use crate::aws::tags::{self, Tags};
use crate::cloud::Reference;
use crate::cloud::existing::Existing;
use crate::cloud::gateway_endpoint::{self, GatewayEndpoint};
use crate::cloud::internet_gateway::InternetGateway;
use crate::cloud::route_table::{ANYWHERE, RouteTable, RouteTarget};
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
        add_subnet(inputs.cluster, subnet, desired)?;
    }
    let public = add_public_routes(inputs, desired)?;
    let private = egress::add(inputs, public.as_ref(), desired)?;
    add_endpoint(inputs.cluster, public.into_iter().chain(private).collect(), desired)
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
        dns_hostnames: true,
        dns_support: true,
        tags,
    })
}

fn add_subnet(cluster: &Cluster, subnet: &cluster::Subnet, desired: &mut Desired) -> Result<(), ModelError> {
    let role = (!cluster.network.subnet_tags_disabled).then(|| role_tag(subnet));
    let role = role.map(|role| (role.to_owned(), "1".to_owned()));
    if let Some(id) = &subnet.existing {
        let tags = shared_tags(cluster).into_iter().chain(role).collect();
        return add_existing(id, tags, desired);
    }
    let name = subnet_name(cluster, &subnet.name);
    let mut tags = named(cluster, &name)?;
    tags.extend(role);
    desired.insert(Subnet { vpc: vpc(cluster), zone: subnet.zone.clone(), cidr: subnet.cidr, tags, name })
}

fn role_tag(subnet: &cluster::Subnet) -> &'static str {
    match subnet.kind {
        SubnetKind::Public | SubnetKind::Utility => PUBLIC_LOAD_BALANCERS,
        SubnetKind::Private | SubnetKind::DualStack => INTERNAL_LOAD_BALANCERS,
    }
}

/// The way to the Internet of the subnets that it reaches; none where windlass keeps no such subnet's routes. Returns the
/// route table. A VPC of windlass's own has an Internet gateway in any case: load balancers and NAT gateways need one.
fn add_public_routes(
    inputs: &Inputs<'_>,
    desired: &mut Desired,
) -> Result<Option<Reference<RouteTable>>, ModelError> {
    let cluster = inputs.cluster;
    let gateway = match (&cluster.network.existing_vpc, &inputs.facts.existing_network.internet_gateway) {
        (None, _) => {
            desired.insert(InternetGateway {
                name: cluster.name.clone(),
                vpc: Some(vpc(cluster)),
                tags: named(cluster, &cluster.name)?,
            })?;
            RouteTarget::InternetGateway(Reference::to(&cluster.name))
        }
        (Some(_), Some(id)) => {
            add_existing_once(id, desired)?;
            RouteTarget::existing(id)
        }
        (Some(_), None) => return Ok(None),
    };
    let open = cluster.subnets.iter().filter(|subnet| !subnet.kind.is_private() && subnet.is_routed());
    let subnets = open.map(|open| subnet(cluster, open));
    let table = RouteTable {
        name: cluster.name.clone(),
        vpc: vpc(cluster),
        routes: BTreeMap::from([(ANYWHERE.to_owned(), gateway)]),
        subnets: subnets.collect(),
        tags: named(cluster, &cluster.name)?,
    };
    if table.subnets.is_empty() {
        return Ok(None);
    }
    let reference = Reference::to(&table.name);
    desired.insert(table)?;
    Ok(Some(reference))
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
