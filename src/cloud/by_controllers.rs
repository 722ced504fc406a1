//! What controllers in the cluster made on AWS: load balancers for Services and Ingresses with their target groups and
//! security groups, network interfaces of pods, volumes of PersistentVolumes. Nobody asks for these in a specification;
//! `delete cluster` looks for them, because a VPC can't go while they are in it and because they cost money.
//!
//! All but volumes are looked for in this cluster's VPC only, so that another cluster of the same name keeps its own.
//! Volumes are in no VPC, and those of two clusters of one name carry the same tags: who deletes them sees first that
//! there is no such other cluster ([`super::namesakes::find_other_cluster`]).

mod interfaces;
mod load_balancers;
mod security_groups;
mod volumes;

use std::collections::BTreeMap;

use windlass_bootstrap::tags as shared;

use super::context::{Context, Found, Identity, Names};
use super::error::CloudError;
use super::fields::{Effect, Fields};
use super::reference::{Kind, ResourceId};
use super::{Observed, Resource};

/// What the AWS Load Balancer Controller puts on what it makes, besides or instead of `kubernetes.io/cluster/…` (its
/// documentation, "Tags").
const LOAD_BALANCER_CONTROLLER: &str = "elbv2.k8s.aws/cluster";

/// What the VPC CNI plug-in puts on network interfaces (its `CLUSTER_NAME` setting).
const VPC_CNI: &str = "cluster.k8s.amazonaws.com/name";

/// The kinds in the order in which they can be read: load balancers refer to what comes before them.
const ROUNDS: [&[Kind]; 2] = [
    &[
        Kind::TargetGroup,
        Kind::ControllersSecurityGroup,
        Kind::NetworkInterface,
        Kind::PersistentVolume,
        Kind::ReclaimMarks,
    ],
    &[Kind::LoadBalancer, Kind::ClassicLoadBalancer],
];

/// One thing that a controller made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeByController {
    /// What it is; one of those that [`Kind::is_made_by_controllers`] names.
    pub kind: Kind,
    /// What it is called, with AWS's id where names need not be unique.
    pub name: String,
    /// What can't go before it.
    pub uses: Vec<ResourceId>,
    /// Of a volume: whether it goes with the cluster.
    pub goes_with_cluster: bool,
}

impl MadeByController {
    pub(super) fn fields(&self) -> Fields {
        let Self { kind: _, name: _, uses: _, goes_with_cluster: _ } = self;
        Fields::default()
    }

    pub(super) fn references(&self) -> Vec<ResourceId> {
        self.uses.clone()
    }

    pub(super) fn effect(_path: &str) -> Effect {
        Effect::Refused("a controller in the cluster made it, and changes it")
    }

    /// Nobody wishes for one, so that none is ever made.
    #[expect(clippy::unused_async, reason = "the same form as every other kind's")]
    pub(super) async fn create(
        &self,
        _context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        Err(CloudError::Missing(id.clone()))
    }

    pub(super) async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        match self.kind {
            Kind::LoadBalancer => load_balancers::delete(identity, context, id).await,
            Kind::ClassicLoadBalancer => load_balancers::delete_classic(identity, context, id).await,
            Kind::TargetGroup => load_balancers::delete_target_group(identity, context, id).await,
            Kind::ControllersSecurityGroup => security_groups::delete(identity, context, id).await,
            Kind::NetworkInterface => interfaces::delete(identity, context, id).await,
            Kind::PersistentVolume => super::Volume::delete(identity, context, id).await,
            _ => Err(CloudError::Missing(id.clone())),
        }
    }
}

pub use self::volumes::ReclaimMarks;

/// Adds to what was observed of a cluster what controllers made in it.
///
/// # Errors
///
/// Fails with what AWS said.
pub async fn observe(context: &Context<'_>, observed: &mut Observed) -> Result<(), CloudError> {
    for round in ROUNDS {
        let names = Names::new(observed);
        let found =
            futures::future::try_join_all(round.iter().map(|kind| observe_kind(*kind, context, &names)));
        for (kind, found) in round.iter().zip(found.await?) {
            observed.extend(*kind, found);
        }
    }
    Ok(())
}

/// Finds everything of one kind.
pub(super) async fn observe_kind(
    kind: Kind,
    context: &Context<'_>,
    names: &Names,
) -> Result<Vec<Found>, CloudError> {
    let vpcs = names.ids_of(Kind::Vpc);
    match kind {
        Kind::PersistentVolume => volumes::observe(context).await,
        Kind::ReclaimMarks => volumes::observe_marks(context).await,
        // Without a VPC there is nothing that could be in it.
        _ if vpcs.is_empty() => Ok(Vec::new()),
        Kind::LoadBalancer => load_balancers::observe(context, names, &vpcs).await,
        Kind::ClassicLoadBalancer => load_balancers::observe_classic(context, names, &vpcs).await,
        Kind::TargetGroup => load_balancers::observe_target_groups(context, names, &vpcs).await,
        Kind::ControllersSecurityGroup => security_groups::observe(context, names, &vpcs).await,
        Kind::NetworkInterface => interfaces::observe(context, names, &vpcs).await,
        _ => Ok(Vec::new()),
    }
}

/// Whether tags say that a controller of the cluster made what carries them.
fn is_made_for(tags: &BTreeMap<String, String>, cluster: &str) -> bool {
    let says = |key: &str, value: &str| tags.get(key).is_some_and(|found| found == value);
    says(&shared::ownership(cluster), "owned")
        || says(LOAD_BALANCER_CONTROLLER, cluster)
        || says(VPC_CNI, cluster)
}

fn found(kind: Kind, name: String, aws_id: &str, uses: Vec<ResourceId>) -> Found {
    let made = MadeByController { kind, name: name.clone(), uses, goes_with_cluster: true };
    Found::new(name, Resource::MadeByController(made), Identity::new(aws_id))
}

/// What a thing uses, by AWS's ids: security groups, subnets, a VPC, as far as they are the cluster's.
fn uses<'a>(names: &Names, aws_ids: impl IntoIterator<Item = &'a str>) -> Vec<ResourceId> {
    let kinds =
        [Kind::SecurityGroup, Kind::ControllersSecurityGroup, Kind::Subnet, Kind::Vpc, Kind::TargetGroup];
    aws_ids
        .into_iter()
        .filter_map(|aws_id| kinds.iter().find_map(|kind| names.known(*kind, aws_id)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_controller_s_own_mark_is_known_and_a_shared_resource_is_not_the_cluster_s() {
        let tags = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let of = |key: &str, value: &str| is_made_for(&tags(key, value), "demo.example.com");
        assert!(of("kubernetes.io/cluster/demo.example.com", "owned"));
        assert!(of(LOAD_BALANCER_CONTROLLER, "demo.example.com"));
        assert!(of(VPC_CNI, "demo.example.com"));
        assert!(!of("kubernetes.io/cluster/demo.example.com", "shared"));
        assert!(!of("kubernetes.io/cluster/other.example.com", "owned"));
        assert!(!of(LOAD_BALANCER_CONTROLLER, "other"));
    }
}
