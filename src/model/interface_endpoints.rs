//! Endpoints by which the VPC's private subnets reach services of AWS's, and who may reach them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Desired, ModelError, named, network};
use crate::cloud::interface_endpoint::InterfaceEndpoint;
use crate::cloud::security_group::SecurityGroup;
use crate::cloud::security_group_rules::{Others, Peer, Rule, SecurityGroupRules, Traffic};
use crate::cloud::{Reference, subnet};
use crate::spec::cluster::{Cluster, SubnetKind};

/// What services of AWS's are reached at.
const HTTPS: Traffic = Traffic::Tcp(443, 443);

pub(super) fn add(cluster: &Cluster, desired: &mut Desired) -> Result<(), ModelError> {
    let services = &cluster.network.interface_endpoints;
    if services.is_empty() {
        return Ok(());
    }
    let group = add_security_group(cluster, desired)?;
    let subnets = subnets(cluster);
    for service in services {
        let name = format!("{}.{}", short(service, &cluster.region), cluster.name);
        desired.insert(InterfaceEndpoint {
            vpc: network::vpc(cluster),
            service: service.clone(),
            subnets: subnets.clone(),
            security_groups: [group.clone()].into(),
            private_dns: true,
            state: None,
            tags: named(cluster, &name)?,
            name,
        })?;
    }
    Ok(())
}

/// A service as people call it: what is left of its name behind the region.
fn short<'a>(service: &'a str, region: &str) -> &'a str {
    service.split_once(&format!(".{region}.")).map_or(service, |(_, short)| short)
}

/// One subnet in each zone, which is all that EC2 takes: one of instances, and best a private one.
fn subnets(cluster: &Cluster) -> BTreeSet<Reference<subnet::Subnet>> {
    let mut by_zone = BTreeMap::new();
    for kind in [SubnetKind::Private, SubnetKind::DualStack, SubnetKind::Public] {
        // An endpoint has IPv4 addresses, and its names lead to those.
        for subnet in cluster.subnets.iter().filter(|subnet| subnet.kind == kind && subnet.cidr.is_some()) {
            by_zone.entry(&subnet.zone).or_insert_with(|| network::subnet(cluster, subnet));
        }
    }
    by_zone.into_values().collect()
}

/// Everything in the VPC may reach the endpoints: each call is signed, and pods have their nodes' addresses there.
fn add_security_group(
    cluster: &Cluster,
    desired: &mut Desired,
) -> Result<Reference<SecurityGroup>, ModelError> {
    let name = format!("endpoints.{}", cluster.name);
    let ranges = std::iter::once(&cluster.network.cidr).chain(&cluster.network.additional_cidrs);
    let ingress = ranges.map(|range| Rule { traffic: HTTPS, peer: Peer::Range((*range).into()) });
    let group = Reference::to(&name);
    desired.insert(SecurityGroup {
        name: name.clone(),
        description: "Security group for endpoints of AWS's services".to_owned(),
        vpc: network::vpc(cluster),
        tags: named(cluster, &name)?,
    })?;
    desired.insert(SecurityGroupRules {
        group: group.clone(),
        name,
        ingress: ingress.collect(),
        egress: BTreeSet::from([Rule::anywhere_v4()]),
        others: Others::default(),
        marked: true,
    })?;
    Ok(group)
}
