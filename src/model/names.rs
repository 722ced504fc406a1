//! The names of the cluster in a hosted zone: of the API, by which it is reached from outside, and inside of the VPC; and of
//! bastions.

use super::front::is_dual_stack;
use super::{Desired, Inputs, ModelError, addresses};
use crate::aws::hosted_zone;
use crate::aws::tags::{self, Tags};
use crate::cloud::Reference;
use crate::cloud::hosted_zone_association::HostedZoneAssociation;
use crate::cloud::load_balancing::{name_of_api, name_of_front};
use crate::cloud::record_set::{LeadsTo, RecordSet};
use crate::spec::cluster::{Cluster, LoadBalancer};

/// Adds the names, where a hosted zone has them.
pub(super) fn add(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<(), ModelError> {
    let Inputs { cluster, facts, .. } = inputs;
    let (Some(api), Some(zone)) = (&cluster.api.dns, &facts.hosted_zone) else { return Ok(()) };
    if cluster.associates_zone() {
        desired.insert(HostedZoneAssociation::new(&zone.id, Reference::to(&cluster.name)))?;
    }
    let owner = hosted_zone::owner(&cluster.name, &cluster.region);
    let internal = hosted_zone::internal_name(cluster, zone).map(|name| (name, inside(cluster)));
    let bastions = bastions(cluster);
    let mut names = std::iter::once((api.name.clone(), outside(cluster))).chain(internal).chain(bastions);
    names.try_for_each(|(name, (leads_to, ipv6))| {
        desired.insert(RecordSet::new(&zone.id, &name, leads_to, ipv6, owner.clone()))
    })
}

/// What the VPC carries, so that its association with a private hosted zone is found again.
pub(super) fn of_vpc(inputs: &Inputs<'_>) -> Tags {
    let zone = inputs.facts.hosted_zone.iter().filter(|_| inputs.cluster.associates_zone());
    zone.map(|zone| (tags::PRIVATE_ZONE.to_owned(), zone.id.clone())).collect()
}

/// What the resources that names lead to carry, so that the names are found again: record sets have no tags.
pub(super) fn tags(inputs: &Inputs<'_>) -> Tags {
    let Inputs { cluster, facts, .. } = inputs;
    let (Some(api), Some(zone)) = (&cluster.api.dns, &facts.hosted_zone) else { return Tags::new() };
    let internal = hosted_zone::internal_name(cluster, zone).map(|name| (tags::API_INTERNAL_NAME, name));
    let tags = [(tags::HOSTED_ZONE, zone.id.clone()), (tags::API_NAME, api.name.clone())].into_iter();
    tags.chain(internal).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What a name leads to, and whether by IPv6, too.
type Lead = (LeadsTo, bool);

fn outside(cluster: &Cluster) -> Lead {
    match &cluster.api.load_balancer {
        Some(balancer) => to_balancer(name_of_api(cluster, balancer), balancer),
        None => (LeadsTo::ElasticIps(addresses::elastic_ips(cluster)), false),
    }
}

fn to_balancer(name: String, balancer: &LoadBalancer) -> Lead {
    (LeadsTo::LoadBalancer(Reference::to(name)), is_dual_stack(balancer))
}

/// Masters' stable private addresses; or the load balancer, where it is for nodes, too.
fn inside(cluster: &Cluster) -> Lead {
    match &cluster.api.load_balancer {
        Some(balancer) if balancer.for_nodes => to_balancer(name_of_api(cluster, balancer), balancer),
        _ => {
            let masters = cluster.etcd.first().members.iter().map(|it| it.private_address);
            (LeadsTo::Addresses(masters.collect()), false)
        }
    }
}

/// The name of bastions.
fn bastions(cluster: &Cluster) -> Option<(String, Lead)> {
    let bastion = cluster.bastion.as_ref()?;
    let balancer = name_of_front("bastion", cluster, &bastion.load_balancer);
    Some((bastion.name.clone()?, to_balancer(balancer, &bastion.load_balancer)))
}

/// What the load balancer of bastions carries of it.
pub(super) fn of_bastions(inputs: &Inputs<'_>) -> Tags {
    let Inputs { cluster, facts, .. } = inputs;
    let name = cluster.bastion.as_ref().and_then(|bastion| bastion.name.clone());
    let (Some(name), Some(zone)) = (name, &facts.hosted_zone) else { return Tags::new() };
    let tags = [(tags::HOSTED_ZONE, zone.id.clone()), (tags::BASTION_NAME, name)];
    tags.map(|(key, value)| (key.to_owned(), value)).into()
}
