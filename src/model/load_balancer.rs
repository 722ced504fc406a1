//! The load balancer in front of the API: a public or an internal Network Load Balancer.
//!
//! It passes TCP through to the API servers, so that clients prove who they are with certificates. Where it is to show a
//! certificate of ACM's, it ends TLS on the API's port, where nobody can; client certificates are then for another port.

use std::collections::BTreeSet;

use super::{Desired, Inputs, ModelError, access, named, names, network};
use crate::cloud::load_balancing::{
    Forwarding, LoadBalancerListener, LoadBalancerTargetGroup, Mapping, NetworkLoadBalancer, Protocol,
    name_of, name_of_api,
};
use crate::cloud::{Kind, Reference, ResourceId};
use crate::spec::cluster::{Cluster, InstanceGroup, LoadBalancer, SubnetKind};

/// Adds the load balancer, its listeners and target groups.
pub(super) fn add(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<(), ModelError> {
    let cluster = inputs.cluster;
    let Some(balancer) = &cluster.api.load_balancer else { return Ok(()) };
    let name = name_of_api(cluster, balancer);
    access::add_load_balancer_group(cluster, balancer, desired)?;
    add_target_groups(cluster, balancer, desired)?;
    let mut tags = named(cluster, &format!("api.{}", cluster.name))?;
    tags.extend(names::tags(inputs));
    for (port, forwarding) in listeners(cluster, balancer) {
        let tags = named(cluster, &format!("{name}:{port}"))?;
        desired.insert(LoadBalancerListener::new(&name, port, forwarding, tags))?;
    }
    let security_groups = access::load_balancer_groups(cluster, balancer, desired)?;
    desired.insert(NetworkLoadBalancer {
        internal: balancer.internal,
        subnets: mappings(cluster, balancer),
        security_groups,
        cross_zone: balancer.cross_zone,
        access_log: balancer.access_log.clone(),
        way_out: way_out(cluster, balancer),
        tags,
        name,
    })
}

/// The target groups that a group's instances are put into.
pub(super) fn target_groups(
    inputs: &Inputs<'_>,
    group: &InstanceGroup,
) -> BTreeSet<Reference<LoadBalancerTargetGroup>> {
    let cluster = inputs.cluster;
    let balancer = cluster.api.load_balancer.as_ref().filter(|_| group.master().is_some());
    let Some(balancer) = balancer else { return BTreeSet::new() };
    protocols(balancer).into_iter().map(|(_, protocol)| target_group(cluster, balancer, protocol)).collect()
}

/// How instances are spoken to, each with the port of the load balancer for it.
fn protocols(balancer: &LoadBalancer) -> Vec<(Option<u16>, Protocol)> {
    match balancer.certificate {
        Some(_) => vec![(Some(LoadBalancer::CLIENT_CERTIFICATES_PORT), Protocol::Tcp), (None, Protocol::Tls)],
        None => vec![(None, Protocol::Tcp)],
    }
}

fn purpose(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Tls => "tls",
    }
}

/// A target group is one load balancer's, so that another load balancer has others.
fn target_group(
    cluster: &Cluster,
    balancer: &LoadBalancer,
    protocol: Protocol,
) -> Reference<LoadBalancerTargetGroup> {
    Reference::to(name_of(purpose(protocol), &cluster.name, &name_of_api(cluster, balancer)))
}

fn add_target_groups(
    cluster: &Cluster,
    balancer: &LoadBalancer,
    desired: &mut Desired,
) -> Result<(), ModelError> {
    for (_, protocol) in protocols(balancer) {
        let name = target_group(cluster, balancer, protocol).name().to_owned();
        let tags = named(cluster, &name)?;
        let (vpc, port) = (network::vpc(cluster), cluster.api.port);
        desired.insert(LoadBalancerTargetGroup::new(name, vpc, protocol, port, tags))?;
    }
    Ok(())
}

fn listeners(cluster: &Cluster, balancer: &LoadBalancer) -> Vec<(u16, Forwarding)> {
    let forwarding = |protocol| Forwarding {
        target_group: target_group(cluster, balancer, protocol),
        certificate: balancer.certificate.clone().filter(|_| protocol == Protocol::Tls),
    };
    let all = protocols(balancer).into_iter();
    all.map(|(port, protocol)| (port.unwrap_or(cluster.api.port), forwarding(protocol))).collect()
}

fn mappings(cluster: &Cluster, balancer: &LoadBalancer) -> BTreeSet<Mapping> {
    let subnets = balancer.subnets.iter();
    let mapping = |chosen: &crate::spec::cluster::LoadBalancerSubnet| Mapping {
        subnet: network::subnet(cluster, &chosen.subnet),
        address: chosen.allocation.clone().or(chosen.private_address.map(|address| address.to_string())),
    };
    subnets.map(mapping).collect()
}

/// The route table of its subnets, where windlass makes it: a public load balancer takes no subnet without a way out.
fn way_out(cluster: &Cluster, balancer: &LoadBalancer) -> Option<ResourceId> {
    let mut subnets = balancer.subnets.iter().map(|chosen| &chosen.subnet);
    let routed = subnets.any(|subnet| subnet.kind != SubnetKind::Private && subnet.is_routed());
    (routed && !balancer.internal).then(|| ResourceId::new(Kind::RouteTable, &cluster.name))
}
