//! That the cluster's own VPC sees a private hosted zone.
//!
//! The zone is its owner's, and nothing of it is tagged or changed but this: Route 53 lists the VPCs that see a zone. Which
//! zone windlass has associated, a tag of the VPC says ([`crate::aws::tags::PRIVATE_ZONE`]).

use aws_sdk_route53::types::{Vpc as VpcOfZone, VpcRegion};
use futures::future::try_join_all;

use super::context::{Context, Identity, Names, ObservedResource};
use super::error::{CloudError, gone};
use super::fields::{Change, Effect, Fields};
use super::look::Look;
use super::record_set::until_in_sync;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind, Unwanted};
use super::vpc::{self, Vpc};
use super::{Kind, Resource};
use crate::aws::During;
use crate::aws::hosted_zone::associated_vpcs;

/// A VPC's view of a private hosted zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedZoneAssociation {
    /// The hosted zone's id: of all zones of one name, a VPC sees one.
    pub name: String,
    /// The VPC.
    pub vpc: Reference<Vpc>,
    /// Of what is observed: whether no other VPC sees the zone.
    pub is_last: bool,
}

/// Why the last association of a zone stays.
const LAST: &str = "no other VPC sees the zone, and Route 53 keeps one for a private zone; it is the zone's owner's from now on";

impl ResourceKind for HostedZoneAssociation {
    const KIND: Kind = Kind::HostedZoneAssociation;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::Vpc],
        // Instances may find the API by its name in the zone to the end.
        deleted_after: &[Kind::AutoScalingGroup],
        kept_because: Some(LAST),
        creation: Creation::ReadsFirst,
        ..Declaration::of("hosted-zone-association")
    };
    type Answer = Vec<Association>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name, vpc, is_last: _ } = self;
        Fields::default().one("hostedZone", name).reference("vpc", vpc)
    }

    fn effect(&self, _change: &Change, _observed: &Self) -> Effect {
        Effect::Replace
    }

    fn unwanted(&self) -> Unwanted {
        if self.is_last { Unwanted::Kept(LAST) } else { Unwanted::Deleted }
    }

    fn goes_with_cluster(&self) -> bool {
        !self.is_last
    }

    /// A second call for the same VPC would say that another zone conflicts, which is this one.
    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let vpc = context.ids.of(&self.vpc)?;
        let there = associated_vpcs(context.clients, &self.name).await?;
        if !there.iter().any(|associated| associated.vpc_id() == Some(&vpc)) {
            let call = context.clients.route53.associate_vpc_with_hosted_zone().hosted_zone_id(&self.name);
            let call = call.vpc(of_zone(context, &vpc)).comment(format!("windlass: {}", context.cluster));
            let made = call.send().await.during("route53", "AssociateVPCWithHostedZone", id)?;
            until_in_sync(context, id, made.change_info(), &self.name).await?;
        }
        Ok(Identity::new(&self.name))
    }

    async fn update(
        &self,
        _from: &Self,
        _identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        self.create(context, id).await
    }

    async fn delete(
        &self,
        _identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let vpc = context.ids.resolve(&self.vpc);
        let call = context.clients.route53.disassociate_vpc_from_hosted_zone().hosted_zone_id(&self.name);
        let call = call.vpc(of_zone(context, &vpc)).comment(format!("windlass: {}", context.cluster));
        match call.send().await.during("route53", "DisassociateVPCFromHostedZone", id) {
            Ok(made) => until_in_sync(context, id, made.change_info(), &self.name).await,
            Err(error) => gone::<()>(Err(error)),
        }
    }

    /// Looks where the VPC's tag says. A hosted zone that is gone has taken its associations with it.
    async fn read(look: &Look<'_>) -> Result<Vec<Association>, CloudError> {
        let zones = vpc::private_zones(look).await?.into_iter();
        let found = try_join_all(zones.map(|(zone, vpc)| describe(look.context, zone, vpc))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    fn observed(
        answer: Vec<Association>,
        _context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let found = answer.into_iter().map(|Association { zone, vpc, is_last }| {
            let seen = Self { name: zone, vpc: names.reference(&vpc), is_last };
            let identity = Identity::new(&seen.name);
            ObservedResource::new(seen.name.clone(), Resource::HostedZoneAssociation(seen), identity)
        });
        Ok(found.collect())
    }
}

impl HostedZoneAssociation {
    /// That a VPC sees the hosted zone of this id.
    pub fn new(zone: &str, vpc: Reference<Vpc>) -> Self {
        Self { name: zone.to_owned(), vpc, is_last: false }
    }
}

/// What Route 53 says of a zone that one of the cluster's VPCs sees.
pub struct Association {
    zone: String,
    vpc: String,
    is_last: bool,
}

async fn describe(
    context: &Context<'_>,
    zone: String,
    vpc: String,
) -> Result<Option<Association>, CloudError> {
    match associated_vpcs(context.clients, &zone).await {
        Ok(there) => {
            let is_there = there.iter().any(|associated| associated.vpc_id() == Some(&vpc));
            let is_last = there.len() == 1;
            Ok(is_there.then_some(Association { zone, vpc, is_last }))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A VPC as Route 53 names it.
fn of_zone(context: &Context<'_>, vpc: &str) -> VpcOfZone {
    VpcOfZone::builder().vpc_id(vpc).vpc_region(VpcRegion::from(context.clients.region.as_str())).build()
}
