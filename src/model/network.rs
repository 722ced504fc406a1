//! VPC, Internet gateway, subnets, routes, the endpoint of S3.

use std::collections::BTreeMap;

use super::{Desired, Inputs, ModelError, named, subnet_name};
use crate::cloud::Reference;
use crate::cloud::gateway_endpoint::{self, GatewayEndpoint};
use crate::cloud::internet_gateway::InternetGateway;
use crate::cloud::route_table::RouteTable;
use crate::cloud::subnet::Subnet;
use crate::cloud::vpc::Vpc;

/// What controllers of load balancers look for in a public subnet.
const PUBLIC_LOAD_BALANCERS: &str = "kubernetes.io/role/elb";

pub(super) fn add(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<(), ModelError> {
    let cluster = inputs.cluster;
    let vpc: Reference<Vpc> = Reference::to(&cluster.name);
    desired.insert(Vpc {
        name: cluster.name.clone(),
        cidr: cluster.network.cidr,
        dns_hostnames: true,
        dns_support: true,
        tags: named(cluster, &cluster.name)?,
    })?;
    desired.insert(InternetGateway {
        name: cluster.name.clone(),
        vpc: Some(vpc.clone()),
        tags: named(cluster, &cluster.name)?,
    })?;
    for subnet in &cluster.subnets {
        let name = subnet_name(cluster, &subnet.name);
        let mut tags = named(cluster, &name)?;
        tags.insert(PUBLIC_LOAD_BALANCERS.to_owned(), "1".to_owned());
        desired.insert(Subnet {
            vpc: vpc.clone(),
            zone: subnet.zone.clone(),
            cidr: subnet.cidr,
            tags,
            name,
        })?;
    }
    let subnets = cluster.subnets.iter().map(|subnet| Reference::to(subnet_name(cluster, &subnet.name)));
    desired.insert(RouteTable {
        name: cluster.name.clone(),
        vpc: vpc.clone(),
        routes: BTreeMap::from([("0.0.0.0/0".to_owned(), Reference::to(&cluster.name))]),
        subnets: subnets.collect(),
        tags: named(cluster, &cluster.name)?,
    })?;
    let name = gateway_endpoint::name(&cluster.name);
    desired.insert(GatewayEndpoint {
        vpc,
        service: gateway_endpoint::service(&cluster.region),
        route_tables: [Reference::to(&cluster.name)].into(),
        tags: named(cluster, &name)?,
        name,
    })
}
