//! The load balancers in front of the API and of bastions: public or internal Network Load Balancers.
//!
//! They pass TCP through to the instances, so that clients prove who they are with certificates or SSH keys. Where that of the
//! API is to show a certificate of ACM's, it ends TLS on the API's port, where nobody can; client certificates are then for
//! another port.

use std::collections::BTreeSet;

use windlass_bootstrap::config::Role;

use super::front::{Front, fronts, is_dual_stack};
use super::{Desired, Inputs, ModelError, access, named, names, network};
use crate::aws::tags::Tags;
use crate::cloud::load_balancing::{
    Behind, Forwarding, LoadBalancerListener, LoadBalancerTargetGroup, Mapping, NetworkLoadBalancer, Protocol,
};
use crate::cloud::{Reference, ResourceId};
use crate::spec::cluster::{Cluster, InstanceGroup, LoadBalancer};

/// Adds the load balancers, their listeners and target groups.
pub(super) fn add(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<(), ModelError> {
    for front in fronts(inputs.cluster) {
        let names =
            if front.behind == Role::Bastion { names::of_bastions(inputs) } else { names::tags(inputs) };
        add_front(inputs.cluster, &front, names, desired)?;
    }
    Ok(())
}

fn add_front(
    cluster: &Cluster,
    front: &Front<'_>,
    names: Tags,
    desired: &mut Desired,
) -> Result<(), ModelError> {
    let (name, balancer) = (front.name(cluster), front.balancer);
    access::add_load_balancer_group(cluster, front, desired)?;
    add_target_groups(cluster, front, desired)?;
    for (port, forwarding) in listeners(cluster, front) {
        let tags = named(cluster, &format!("{name}:{port}"))?;
        desired.insert(LoadBalancerListener::new(&name, port, forwarding, tags))?;
    }
    let mut tags = named(cluster, &format!("{}.{}", front.purpose, cluster.name))?;
    tags.extend(names);
    let security_groups = access::load_balancer_groups(cluster, front, desired)?;
    desired.insert(NetworkLoadBalancer {
        internal: balancer.internal,
        dual_stack: is_dual_stack(balancer),
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
    let fronts = fronts(cluster).into_iter().filter(|front| front.leads_to(group.role()));
    let groups = fronts.flat_map(|front| {
        let protocols = front.protocols().into_iter();
        protocols.map(|(_, protocol)| front.target_group(cluster, protocol)).collect::<Vec<_>>()
    });
    groups.collect()
}

fn add_target_groups(cluster: &Cluster, front: &Front<'_>, desired: &mut Desired) -> Result<(), ModelError> {
    for (_, protocol) in front.protocols() {
        let name = front.target_group(cluster, protocol).name().to_owned();
        let tags = named(cluster, &name)?;
        let vpc = network::vpc(cluster);
        let (spoken_to, behind) = ((protocol, front.port), behind(cluster, front));
        desired.insert(LoadBalancerTargetGroup::new(name, vpc, spoken_to, behind, tags))?;
    }
    Ok(())
}

fn behind(cluster: &Cluster, front: &Front<'_>) -> Behind {
    match front.behind {
        Role::Bastion => Behind::Bastions,
        _ if cluster.masters().count() > 1 || cluster.has_api_servers() => Behind::ApiServers,
        _ => Behind::ApiServer,
    }
}

fn listeners(cluster: &Cluster, front: &Front<'_>) -> Vec<(u16, Forwarding)> {
    let certificate = &front.balancer.certificate;
    let forwarding = |protocol| Forwarding {
        target_group: front.target_group(cluster, protocol),
        certificate: certificate.clone().filter(|_| protocol == Protocol::Tls),
    };
    front.protocols().into_iter().map(|(port, protocol)| (port, forwarding(protocol))).collect()
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
    let subnets = balancer.subnets.iter().map(|chosen| &chosen.subnet);
    let mut routed = subnets.filter(|subnet| !subnet.kind.is_private() && subnet.is_routed());
    let first = routed.next().filter(|_| !balancer.internal);
    first.map(|subnet| network::public_table(cluster, subnet).id())
}
