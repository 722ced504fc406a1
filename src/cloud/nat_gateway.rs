//! NAT gateways: how instances without public addresses reach the Internet, and how nobody there reaches them.

use std::time::Duration;

use aws_sdk_ec2::types::{ConnectivityType, NatGateway as Answer, NatGatewayState, ResourceType};

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::elastic_ip::ElasticIp;
use super::error::{CloudError, field, gone};
use super::fields::{Change, Effect, Fields};
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::subnet::Subnet;
use super::{Kind, Resource, tagging};
use crate::aws::retry::{Look as Found, Patience, wait_for};
use crate::aws::tags::{self, Tags};
use crate::aws::{AwsError, During};

/// How long a gateway may take to come or to go. Both usually take EC2 one or two minutes.
const SETTLING: Duration = Duration::from_mins(15);

/// A NAT gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatGateway {
    /// `<zone>.<cluster>`.
    pub name: String,
    /// The subnet that it stands in, from which the Internet is reached.
    pub subnet: Reference<Subnet>,
    /// Its public address.
    pub address: Reference<ElasticIp>,
    /// The route table that leads it to the Internet, which must be there first where windlass makes it: EC2 makes no gateway
    /// in a VPC without a way out. Not compared.
    pub way_out: Option<ResourceId>,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for NatGateway {
    const KIND: Kind = Kind::NatGateway;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::Subnet, Kind::ElasticIp],
        // Pods on instances reach the Internet to the end.
        deleted_after: &[Kind::AutoScalingGroup],
        creation: Creation::Repeatable,
        ..Declaration::of("nat-gateway")
    };
    type Answer = Vec<Answer>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, subnet, address, way_out, tags } = self;
        Fields::default()
            .reference("subnet", subnet)
            .reference("address", address)
            .needs(way_out.clone())
            .map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    fn effect(&self, change: &Change, _observed: &Self) -> Effect {
        match change.field.as_str() {
            "address" => Effect::CreateBeforeDelete,
            "subnet" => Effect::Refused(
                "a NAT gateway can't move to another subnet with its address: keep the subnet, or give the private \
                 subnets of this zone another address (`publicIP`, or `egress: eipalloc-…`) together with it",
            ),
            _ => Effect::InPlace,
        }
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let call = context
            .clients
            .ec2
            .create_nat_gateway()
            .connectivity_type(ConnectivityType::Public)
            .subnet_id(context.ids.of(&self.subnet)?)
            .allocation_id(context.ids.of(&self.address)?)
            .client_token(context.token(id))
            .tag_specifications(tags::specification(ResourceType::Natgateway, &self.tags));
        let made = call.send().await.during("ec2", "CreateNatGateway", id)?;
        let gateway = made.nat_gateway().and_then(Answer::nat_gateway_id);
        let identity = Identity::new(field(gateway, id, "the gateway's id")?);
        context.ids.insert(id.clone(), identity.clone());
        let what = format!("the NAT gateway {} to be available", identity.id);
        let look = || available(context, id, &identity.id);
        context.waiting(wait_for(what, Patience::of(SETTLING), look)).await?;
        Ok(identity)
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

    /// Its address and its place in the subnet are free when it is gone.
    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.ec2.delete_nat_gateway().nat_gateway_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteNatGateway", id))?;
        let what = format!("the end of the NAT gateway {}", identity.id);
        let look = || ended(context, id, &identity.id);
        Ok(context.waiting(wait_for(what, Patience::of(SETTLING), look)).await?)
    }

    async fn read(look: &Look<'_>) -> Result<Vec<Answer>, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::NatGateway, context.cluster);
        let call = context.clients.ec2.describe_nat_gateways();
        let call = match context.sought {
            Sought::All => call.filter(tags::of_cluster(context.cluster)),
            Sought::Id(id) => call.nat_gateway_ids(id),
        };
        let pages = call.into_paginator().items().send();
        let mut gateways = pages.try_collect().await.during("ec2", "DescribeNatGateways", &id)?;
        // Those that are gone, and those that never came, are listed for an hour (API_NatGateway, `state`).
        gateways
            .retain(|it| matches!(it.state(), Some(NatGatewayState::Pending | NatGatewayState::Available)));
        Ok(gateways)
    }

    fn observed(
        answer: Vec<Answer>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::NatGateway, context.cluster);
        let tagged = answer.iter().map(|gateway| (gateway, tags::from_ec2(gateway.tags())));
        let found = |(gateway, tags): (&Answer, Tags)| {
            let gateway_id = field(gateway.nat_gateway_id(), &id, "the gateway's id")?;
            let mut allocations =
                gateway.nat_gateway_addresses().iter().filter_map(|address| address.allocation_id());
            let observed = Self {
                name: tagging::name(&tags, gateway_id),
                subnet: names.reference(gateway.subnet_id().unwrap_or_default()),
                address: names.reference(allocations.next().unwrap_or_default()),
                way_out: None,
                tags,
            };
            let name = observed.name.clone();
            Ok(ObservedResource::new(name, Resource::NatGateway(observed), Identity::new(gateway_id)))
        };
        tagged.filter(|(_, tags)| context.owner.owns(tags)).map(found).collect()
    }
}

/// What EC2 says of a gateway: nothing where it doesn't know it (any more).
async fn described(
    context: &Context<'_>,
    id: &ResourceId,
    gateway: &str,
) -> Result<Option<Answer>, AwsError> {
    let call = context.clients.ec2.describe_nat_gateways().nat_gateway_ids(gateway);
    match call.send().await.during("ec2", "DescribeNatGateways", id) {
        Ok(answer) => Ok(answer.nat_gateways.unwrap_or_default().into_iter().next()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn available(context: &Context<'_>, id: &ResourceId, gateway: &str) -> Result<Found<()>, AwsError> {
    let Some(found) = described(context, id, gateway).await? else {
        return Ok(Found::Wait("EC2 doesn't show it yet".to_owned()));
    };
    match found.state() {
        Some(NatGatewayState::Available) => Ok(Found::Done(())),
        Some(NatGatewayState::Failed) => {
            let [code, message] =
                [found.failure_code(), found.failure_message()].map(Option::unwrap_or_default);
            Err(AwsError::unexpected("ec2", "CreateNatGateway", id, format!("{code}: {message}")))
        }
        state => Ok(Found::Wait(format!("it is {}", state.map_or("unknown", NatGatewayState::as_str)))),
    }
}

async fn ended(context: &Context<'_>, id: &ResourceId, gateway: &str) -> Result<Found<()>, AwsError> {
    match described(context, id, gateway).await? {
        None => Ok(Found::Done(())),
        Some(found) => match found.state() {
            Some(NatGatewayState::Deleted | NatGatewayState::Failed) => Ok(Found::Done(())),
            state => Ok(Found::Wait(format!("it is {}", state.map_or("unknown", NatGatewayState::as_str)))),
        },
    }
}
