//! The Internet gateway, attached to the VPC.

use aws_sdk_ec2::types::{InternetGateway as Answer, InternetGatewayAttachment, ResourceType};

use super::blockers::{Blocker, Looker};
use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::{CloudError, field, gone};
use super::fields::Fields;
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Declaration, ResourceKind};
use super::vpc::Vpc;
use super::{Kind, Resource, tagging};
use crate::aws::tags::{self, Tags};
use crate::aws::{AwsError, During};

/// An Internet gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternetGateway {
    /// The cluster's name.
    pub name: String,
    /// The VPC it is attached to; absent in what is observed of one that was made and not yet attached.
    pub vpc: Option<Reference<Vpc>>,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for InternetGateway {
    const KIND: Kind = Kind::InternetGateway;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::Vpc],
        // Pods on instances reach the Internet to the end, and load balancers and NAT gateways have public addresses, with
        // which a gateway can't be detached.
        deleted_after: &[
            Kind::AutoScalingGroup,
            Kind::LoadBalancer,
            Kind::ClassicLoadBalancer,
            Kind::NatGateway,
            Kind::NetworkLoadBalancer,
        ],
        ..Declaration::of("internet-gateway")
    };
    type Answer = Vec<Answer>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, vpc, tags } = self;
        Fields::default().maybe_reference("vpc", vpc.as_ref()).map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let tags = tags::specification(ResourceType::InternetGateway, &self.tags);
        let call = context.clients.ec2.create_internet_gateway().tag_specifications(tags);
        let made = call.send().await.during("ec2", "CreateInternetGateway", id)?;
        let gateway = made.internet_gateway().and_then(|gateway| gateway.internet_gateway_id());
        let identity = Identity::new(field(gateway, id, "the gateway's id")?);
        context.ids.insert(id.clone(), identity.clone());
        let bare = Self { vpc: None, ..self.clone() };
        self.update(&bare, &identity, context, id).await?;
        Ok(identity)
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        if self.vpc != from.vpc {
            if let Some(old) = &from.vpc {
                detach(context, id, identity, &context.ids.resolve(old)).await?;
            }
            if let Some(new) = &self.vpc {
                let call = context.clients.ec2.attach_internet_gateway().internet_gateway_id(&identity.id);
                let call = call.vpc_id(context.ids.of(new)?);
                call.send().await.during("ec2", "AttachInternetGateway", id)?;
            }
        }
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        if let Some(vpc) = &self.vpc {
            detach(context, id, identity, &context.ids.resolve(vpc)).await?;
        }
        let call = context.clients.ec2.delete_internet_gateway().internet_gateway_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteInternetGateway", id))
    }

    /// All gateways of the region, of which there are no more than VPCs: EC2 finds none by a tag or an attachment,
    /// whichever of the two there is, in one call.
    async fn read(look: &Look<'_>) -> Result<Vec<Answer>, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::InternetGateway, context.cluster);
        let call = context.clients.ec2.describe_internet_gateways();
        let call = match context.sought {
            Sought::All => call,
            Sought::Id(id) => call.internet_gateway_ids(id),
        };
        let pages = call.into_paginator().items().send();
        Ok(pages.try_collect().await.during("ec2", "DescribeInternetGateways", &id)?)
    }

    /// A VPC has one gateway at most. So the one that is attached to the cluster's VPC is the cluster's, whatever it is
    /// called and whether or not it has its tags.
    fn observed(
        answer: Vec<Answer>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::InternetGateway, context.cluster);
        let found = |gateway: &Answer| {
            let tags = tags::from_ec2(gateway.tags());
            let vpc = gateway.attachments().first().and_then(InternetGatewayAttachment::vpc_id);
            let own = vpc.and_then(|vpc| names.known(Kind::Vpc, vpc));
            if own.is_none() && !context.owner.owns(&tags) {
                return None;
            }
            let observed = Self {
                name: own.map_or_else(|| tagging::only_name(&tags, context.cluster), |vpc| vpc.name),
                vpc: vpc.map(|vpc| names.reference(vpc)),
                tags,
            };
            let name = observed.name.clone();
            let gateway_id = field(gateway.internet_gateway_id(), &id, "the gateway's id");
            Some(gateway_id.map(|gateway| {
                ObservedResource::new(name, Resource::InternetGateway(observed), Identity::new(gateway))
            }))
        };
        answer.iter().filter_map(found).collect()
    }

    async fn blockers(&self, _aws_id: &str, look: &Looker<'_>) -> Result<Vec<Blocker>, AwsError> {
        match self.vpc.as_ref().map(|vpc| look.context.ids.of(vpc)) {
            Some(Ok(vpc)) => look.at_public_interfaces(&vpc).await,
            Some(Err(_)) | None => Ok(Vec::new()),
        }
    }
}

async fn detach(
    context: &Context<'_>,
    id: &ResourceId,
    gateway: &Identity,
    vpc: &str,
) -> Result<(), CloudError> {
    let call = context.clients.ec2.detach_internet_gateway().internet_gateway_id(&gateway.id).vpc_id(vpc);
    match call.send().await.during("ec2", "DetachInternetGateway", id) {
        Err(error) if error.code.as_deref() == Some("Gateway.NotAttached") || error.is_not_found() => Ok(()),
        outcome => Ok(outcome.map(|_| ())?),
    }
}
