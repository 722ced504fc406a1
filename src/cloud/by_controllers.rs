//! What controllers in the cluster made on AWS: load balancers for Services and Ingresses with their target groups and
//! security groups, network interfaces of pods, volumes of PersistentVolumes. Nobody asks for these in a specification;
//! `delete cluster` looks for them, because a VPC can't go while they are in it and because they cost money.
//!
//! All but volumes are looked for in this cluster's VPC only, so that another cluster of the same name keeps its own.
//! Volumes are in no VPC, and those of two clusters of one name carry the same tags: who deletes them sees first that
//! there is no such other cluster ([`super::namesakes::find_other_cluster`]).

mod interfaces;
mod load_balancers;
mod reclaim_marks;
mod security_groups;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use windlass_bootstrap::tags as shared;

pub use self::interfaces::NetworkInterface;
pub use self::load_balancers::{ClassicLoadBalancer, LoadBalancer, TargetGroup};
pub use self::reclaim_marks::ReclaimMarks;
pub use self::security_groups::ControllersSecurityGroup;
pub use self::volumes::PersistentVolume;
use super::blockers::{Blocker, Looker};
use super::context::{Context, Identity, Names, ObservedResource};
use super::error::CloudError;
use super::fields::{Change, Effect, Fields};
use super::kinds::{Kind, Resource};
use super::look::Look;
use super::reference::ResourceId;
use super::resource_kind::{Declaration, ObservedFor, ResourceKind, Unwanted};
use super::{security_group, vpc};
use crate::aws::{AwsError, tags};

/// What the AWS Load Balancer Controller puts on what it makes, besides or instead of `kubernetes.io/cluster/…` (its
/// documentation, "Tags").
const LOAD_BALANCER_CONTROLLER: &str = "elbv2.k8s.aws/cluster";

/// What the VPC CNI plug-in puts on network interfaces (its `CLUSTER_NAME` setting).
const VPC_CNI: &str = "cluster.k8s.amazonaws.com/name";

/// A kind of thing that controllers make: what tells one such kind from another.
#[expect(async_fn_in_trait, reason = "as of ResourceKind")]
pub trait MadeKind {
    /// Which one it is.
    const KIND: Kind;

    /// What others must know of it.
    const DECLARATION: Declaration;

    /// Whether it is in a VPC, so that there is none without the cluster's.
    const IS_IN_VPC: bool = true;

    /// What AWS answers; by default, what it answers where there is no VPC.
    type Answer: Default + Send;

    /// Asks AWS for all in these VPCs.
    async fn read(look: &Look<'_>, vpcs: &[String]) -> Result<Self::Answer, CloudError>;

    /// Finds in the answer those that were made for the cluster.
    fn observed(answer: Self::Answer, context: &Context<'_>, names: &Names) -> Vec<ObservedResource>;

    /// Deletes one.
    async fn delete(identity: &Identity, context: &Context<'_>, id: &ResourceId) -> Result<(), CloudError>;

    /// What is in the way of deleting one.
    async fn blockers(_aws_id: &str, _look: &Looker<'_>) -> Result<Vec<Blocker>, AwsError> {
        Ok(Vec::new())
    }
}

/// What all kinds of things declare that controllers make. A controller that lives would make again what was deleted, so
/// that instances go first.
const fn made(name: &'static str) -> Declaration {
    Declaration {
        observed_for: ObservedFor::Deletion,
        deleted_after: &[Kind::AutoScalingGroup],
        unwanted: Unwanted::LeftAlone,
        ..Declaration::of(name)
    }
}

/// One thing that a controller made; `K` says of which kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeByController<K> {
    /// What it is called, with AWS's id where names need not be unique.
    pub name: String,
    /// What can't go before it.
    pub uses: Vec<ResourceId>,
    /// Whether it goes with the cluster.
    pub goes_with_cluster: bool,
    kind: PhantomData<fn() -> K>,
}

impl<K> MadeByController<K> {
    /// One that goes with the cluster.
    pub fn new(name: impl Into<String>, uses: Vec<ResourceId>) -> Self {
        Self { name: name.into(), uses, goes_with_cluster: true, kind: PhantomData }
    }
}

impl<K: MadeKind> ResourceKind for MadeByController<K>
where
    Self: Into<Resource>,
{
    const KIND: Kind = K::KIND;
    const DECLARATION: Declaration = K::DECLARATION;
    type Answer = K::Answer;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, uses, goes_with_cluster: _, kind: _ } = self;
        Fields::default().needs(uses.iter().cloned())
    }

    fn effect(&self, _change: &Change, _observed: &Self) -> Effect {
        Effect::Refused("a controller in the cluster made it, and changes it")
    }

    fn goes_with_cluster(&self) -> bool {
        self.goes_with_cluster
    }

    /// No specification asks for one, so that none is ever made.
    async fn create(&self, _context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        Err(CloudError::Missing(id.clone()))
    }

    /// No specification asks for one, so that none is ever changed.
    async fn update(
        &self,
        _from: &Self,
        _identity: &Identity,
        _context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        Err(CloudError::Missing(id.clone()))
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        K::delete(identity, context, id).await
    }

    async fn read(look: &Look<'_>) -> Result<K::Answer, CloudError> {
        let vpcs = vpcs(look).await?;
        if K::IS_IN_VPC && vpcs.is_empty() { Ok(K::Answer::default()) } else { K::read(look, &vpcs).await }
    }

    fn observed(
        answer: K::Answer,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        Ok(K::observed(answer, context, names))
    }

    async fn blockers(&self, aws_id: &str, look: &Looker<'_>) -> Result<Vec<Blocker>, AwsError> {
        K::blockers(aws_id, look).await
    }
}

/// AWS's ids of the VPCs that the cluster is in: its own, or where it has none, those of its security groups, as somebody
/// else's VPC is known by nothing else when no specification names it any more.
async fn vpcs(look: &Look<'_>) -> Result<Vec<String>, CloudError> {
    let own = vpc::ids(look).await?;
    if !own.is_empty() {
        return Ok(own);
    }
    let groups = security_group::list(look).await?;
    let of_groups: BTreeSet<&str> = groups.iter().filter_map(|group| group.vpc_id()).collect();
    Ok(of_groups.into_iter().map(str::to_owned).collect())
}

/// Whether tags say that a controller of the cluster made what carries them, and not windlass from a specification.
fn is_made_for(found: &BTreeMap<String, String>, cluster: &str) -> bool {
    if found.contains_key(tags::MANAGED) {
        return false;
    }
    let says = |key: &str, value: &str| found.get(key).is_some_and(|found| found == value);
    says(&shared::ownership(cluster), "owned")
        || says(LOAD_BALANCER_CONTROLLER, cluster)
        || says(VPC_CNI, cluster)
}

/// One that goes with the cluster. `used` is what it uses, by AWS's ids: as far as that is the cluster's, and of a kind
/// whose names are known by then, it can't go first.
fn found<'a, K: MadeKind>(
    names: &Names,
    name: String,
    aws_id: &str,
    used: impl IntoIterator<Item = &'a str>,
) -> ObservedResource
where
    MadeByController<K>: Into<Resource>,
{
    let kinds = K::DECLARATION.observed_after;
    let known = |aws_id| kinds.iter().find_map(|kind| names.known(*kind, aws_id));
    let made = MadeByController::<K>::new(&name, used.into_iter().filter_map(known).collect());
    ObservedResource::new(name, made.into(), Identity::new(aws_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::Observed;

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

    #[test]
    fn what_is_in_a_controllers_group_refers_to_it_and_to_nothing_that_is_not_the_cluster_s() {
        let group = ControllersSecurityGroup::new("k8s-elb (sg-1)", Vec::new());
        let mut observed = Observed::default();
        let made = ObservedResource::new("k8s-elb (sg-1)", group.into(), Identity::new("sg-1"));
        observed.extend(Kind::ControllersSecurityGroup, vec![made]);
        let names = Names::new(&observed);
        let interface = found::<interfaces::Interface>(&names, "eni-1".to_owned(), "eni-1", ["sg-1", "sg-2"]);
        let group = ResourceId::new(Kind::ControllersSecurityGroup, "k8s-elb (sg-1)");
        assert_eq!(interface.resource.references(), [group]);
    }
}
