//! The egress-only Internet gateway of a VPC: how what has IPv6 addresses reaches the Internet and nobody there reaches it.

use aws_sdk_ec2::types::{EgressOnlyInternetGateway as Answer, InternetGatewayAttachment, ResourceType};

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::{CloudError, field, gone};
use super::fields::{Change, Effect, Fields};
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::vpc::{self, Vpc};
use super::{Kind, Resource, tagging};
use crate::aws::During;
use crate::aws::tags::{self, Tags};

/// An egress-only Internet gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressOnlyInternetGateway {
    /// The cluster's name.
    pub name: String,
    /// The VPC it is attached to, for life.
    pub vpc: Reference<Vpc>,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for EgressOnlyInternetGateway {
    const KIND: Kind = Kind::EgressOnlyInternetGateway;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::Vpc],
        // Pods on instances reach the Internet to the end.
        deleted_after: &[Kind::AutoScalingGroup],
        creation: Creation::Repeatable,
        ..Declaration::of("egress-only-internet-gateway")
    };
    type Answer = Vec<Answer>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, vpc, tags } = self;
        Fields::default().reference("vpc", vpc).map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    fn effect(&self, change: &Change, _observed: &Self) -> Effect {
        match change.field.as_str() {
            "vpc" => Effect::Refused("an egress-only Internet gateway can't change its VPC"),
            _ => Effect::InPlace,
        }
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let call = context
            .clients
            .ec2
            .create_egress_only_internet_gateway()
            .vpc_id(context.ids.of(&self.vpc)?)
            .client_token(context.token(id))
            .tag_specifications(tags::specification(ResourceType::EgressOnlyInternetGateway, &self.tags));
        let made = call.send().await.during("ec2", "CreateEgressOnlyInternetGateway", id)?;
        let gateway = made.egress_only_internet_gateway();
        let gateway = gateway.and_then(|gateway| gateway.egress_only_internet_gateway_id());
        Ok(Identity::new(field(gateway, id, "the gateway's id")?))
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.ec2.delete_egress_only_internet_gateway();
        let call = call.egress_only_internet_gateway_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteEgressOnlyInternetGateway", id))
    }

    /// All gateways of the region, of which there are no more than VPCs, as with Internet gateways; nothing is asked where
    /// the cluster has no VPC of its own with IPv6 addresses.
    async fn read(look: &Look<'_>) -> Result<Vec<Answer>, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::EgressOnlyInternetGateway, context.cluster);
        let call = context.clients.ec2.describe_egress_only_internet_gateways();
        let call = match context.sought {
            Sought::All if !vpc::has_ipv6(look).await? => return Ok(Vec::new()),
            Sought::All => call,
            Sought::Id(id) => call.egress_only_internet_gateway_ids(id),
        };
        let pages = call.into_paginator().items().send();
        Ok(pages.try_collect().await.during("ec2", "DescribeEgressOnlyInternetGateways", &id)?)
    }

    /// As with Internet gateways, the one of the cluster's VPC is the cluster's, whether or not it has its tags.
    fn observed(
        answer: Vec<Answer>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::EgressOnlyInternetGateway, context.cluster);
        let found = |gateway: &Answer| {
            let tags = tags::from_ec2(gateway.tags());
            let vpc = attached_to(gateway)?;
            let own = names.known(Kind::Vpc, vpc);
            if own.is_none() && !context.owner.owns(&tags) {
                return None;
            }
            let observed = Self {
                name: own.map_or_else(|| tagging::only_name(&tags, context.cluster), |vpc| vpc.name),
                vpc: names.reference(vpc),
                tags,
            };
            let name = observed.name.clone();
            let gateway_id = field(gateway.egress_only_internet_gateway_id(), &id, "the gateway's id");
            Some(gateway_id.map(|gateway| {
                ObservedResource::new(
                    name,
                    Resource::EgressOnlyInternetGateway(observed),
                    Identity::new(gateway),
                )
            }))
        };
        answer.iter().filter_map(found).collect()
    }
}

/// The VPC that a gateway is of.
pub(crate) fn attached_to(gateway: &Answer) -> Option<&str> {
    gateway.attachments().first().and_then(InternetGatewayAttachment::vpc_id)
}
