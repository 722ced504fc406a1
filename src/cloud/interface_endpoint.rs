//! Interface endpoints: addresses in the VPC by which its private subnets reach a service of AWS's, where they reach it over
//! no NAT gateway, or aren't to (AWS PrivateLink Guide, "Access an AWS service using an interface VPC endpoint"). Names of the
//! service lead to them inside of the VPC.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ec2::types::{ResourceType, VpcEndpoint as Answer, VpcEndpointType};

use super::context::{Context, Identity, Names, ObservedResource};
use super::error::{CloudError, field};
use super::fields::{Change, Effect, Fields};
use super::gateway_endpoint;
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::security_group::SecurityGroup;
use super::subnet::Subnet;
use super::vpc::Vpc;
use super::{Kind, Resource, tagging};
use crate::aws::retry::{Look as Found, Patience, wait_for};
use crate::aws::tags::{self, Tags};
use crate::aws::{AwsError, During};

/// How long an endpoint may take to come or to go. Both usually take EC2 some minutes.
const SETTLING: Duration = Duration::from_mins(15);

/// An interface endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceEndpoint {
    /// `<service>.<cluster>`.
    pub name: String,
    /// The VPC it is part of.
    pub vpc: Reference<Vpc>,
    /// The service that it leads to, such as `com.amazonaws.eu-west-1.ec2`.
    pub service: String,
    /// Where it has an address: one subnet in each zone.
    pub subnets: BTreeSet<Reference<Subnet>>,
    /// Who may reach it.
    pub security_groups: BTreeSet<Reference<SecurityGroup>>,
    /// Whether the service's own name leads to it inside of the VPC.
    pub private_dns: bool,
    /// Of what is observed: the state that it is in, such as `available`. Not compared.
    pub state: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for InterfaceEndpoint {
    const KIND: Kind = Kind::InterfaceEndpoint;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::Vpc, Kind::Subnet, Kind::SecurityGroup],
        // Instances talk to AWS to the end.
        deleted_after: &[Kind::AutoScalingGroup],
        creation: Creation::Repeatable,
        ..Declaration::of("interface-endpoint")
    };
    type Answer = Vec<Answer>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, vpc, service, subnets, security_groups, private_dns, state: _, tags } = self;
        Fields::default()
            .reference("vpc", vpc)
            .one("service", service)
            .references("subnets", subnets)
            .references("securityGroups", security_groups)
            .one("privateDns", private_dns)
            .map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    fn effect(&self, change: &Change, _observed: &Self) -> Effect {
        match change.field.as_str() {
            "vpc" | "service" => Effect::Replace,
            _ => Effect::InPlace,
        }
    }

    fn remark(&self) -> Option<String> {
        let state = self.state.as_deref().filter(|state| !matches!(*state, "pending" | "available"))?;
        let id = ResourceId::new(Self::KIND, &self.name);
        Some(format!("{id}: it is {state}; delete it, and update: a new one is made then"))
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let subnets = self.subnets.iter().map(|it| context.ids.of(it)).collect::<Result<_, _>>()?;
        let groups = self.security_groups.iter().map(|it| context.ids.of(it)).collect::<Result<_, _>>()?;
        let call = context
            .clients
            .ec2
            .create_vpc_endpoint()
            .vpc_endpoint_type(VpcEndpointType::Interface)
            .vpc_id(context.ids.of(&self.vpc)?)
            .service_name(&self.service)
            .set_subnet_ids(Some(subnets))
            .set_security_group_ids(Some(groups))
            .private_dns_enabled(self.private_dns)
            .client_token(context.token(id))
            .tag_specifications(tags::specification(ResourceType::VpcEndpoint, &self.tags));
        let made = call.send().await.during("ec2", "CreateVpcEndpoint", id)?;
        let endpoint = made.vpc_endpoint().and_then(Answer::vpc_endpoint_id);
        let identity = Identity::new(field(endpoint, id, "the endpoint's id")?);
        context.ids.insert(id.clone(), identity.clone());
        await_settled(context, id, &identity).await?;
        Ok(identity)
    }

    /// EC2 changes none that is still on its way.
    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let is_same = self.subnets == from.subnets
            && self.security_groups == from.security_groups
            && self.private_dns == from.private_dns;
        if !is_same {
            await_settled(context, id, identity).await?;
            self.modify(from, identity, context, id).await?;
        }
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(identity.clone())
    }

    /// Its addresses, and with them its subnets and security groups, are free when it is gone.
    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        gateway_endpoint::delete(identity, context, id).await?;
        let what = format!("the end of the endpoint {}", identity.id);
        let look = || ended(context, id, identity);
        Ok(context.waiting(wait_for(what, Patience::of(SETTLING), look)).await?)
    }

    async fn read(look: &Look<'_>) -> Result<Vec<Answer>, CloudError> {
        let endpoints = gateway_endpoint::list(look, Self::KIND).await?;
        let interfaces =
            endpoints.iter().filter(|it| it.vpc_endpoint_type() == Some(&VpcEndpointType::Interface));
        Ok(interfaces.cloned().collect())
    }

    fn observed(
        answer: Vec<Answer>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Self::KIND, context.cluster);
        let tagged = answer.iter().map(|endpoint| (endpoint, tags::from_ec2(endpoint.tags())));
        tagged
            .filter(|(_, tags)| context.owner.owns(tags))
            .map(|(endpoint, tags)| found(endpoint, tags, names, &id))
            .collect()
    }
}

impl InterfaceEndpoint {
    async fn modify(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let subnets = self.subnets.difference(&from.subnets).map(|it| context.ids.of(it));
        let groups = self.security_groups.difference(&from.security_groups).map(|it| context.ids.of(it));
        let former_subnets =
            from.subnets.difference(&self.subnets).map(|it| context.ids.resolve(it)).collect();
        let former_groups = from.security_groups.difference(&self.security_groups);
        let former_groups = former_groups.map(|it| context.ids.resolve(it)).collect();
        let call = context.clients.ec2.modify_vpc_endpoint().vpc_endpoint_id(&identity.id);
        let call = call
            .set_add_subnet_ids(some(subnets.collect::<Result<_, _>>()?))
            .set_remove_subnet_ids(some(former_subnets))
            .set_add_security_group_ids(some(groups.collect::<Result<_, _>>()?))
            .set_remove_security_group_ids(some(former_groups))
            .set_private_dns_enabled((self.private_dns != from.private_dns).then_some(self.private_dns));
        call.send().await.during("ec2", "ModifyVpcEndpoint", id)?;
        await_settled(context, id, identity).await
    }
}

/// What is empty isn't said.
fn some(ids: Vec<String>) -> Option<Vec<String>> {
    (!ids.is_empty()).then_some(ids)
}

fn found(
    endpoint: &Answer,
    tags: Tags,
    names: &Names,
    id: &ResourceId,
) -> Result<ObservedResource, CloudError> {
    let endpoint_id = field(endpoint.vpc_endpoint_id(), id, "the endpoint's id")?;
    let groups = endpoint.groups().iter().filter_map(|group| group.group_id());
    let observed = InterfaceEndpoint {
        name: tagging::name(&tags, endpoint_id),
        vpc: names.reference(endpoint.vpc_id().unwrap_or_default()),
        service: endpoint.service_name().unwrap_or_default().to_owned(),
        subnets: endpoint.subnet_ids().iter().map(|subnet| names.reference(subnet)).collect(),
        security_groups: groups.map(|group| names.reference(group)).collect(),
        private_dns: endpoint.private_dns_enabled().unwrap_or(false),
        state: Some(gateway_endpoint::state(endpoint)),
        tags,
    };
    let name = observed.name.clone();
    Ok(ObservedResource::new(name, Resource::InterfaceEndpoint(observed), Identity::new(endpoint_id)))
}

/// Waits until EC2 changes nothing of it any more.
async fn await_settled(
    context: &Context<'_>,
    id: &ResourceId,
    identity: &Identity,
) -> Result<(), CloudError> {
    let what = format!("the endpoint {} to be available", identity.id);
    let look = || availability(context, id, identity);
    Ok(context.waiting(wait_for(what, Patience::of(SETTLING), look)).await?)
}

async fn availability(
    context: &Context<'_>,
    id: &ResourceId,
    identity: &Identity,
) -> Result<Found<()>, AwsError> {
    let Some(found) = described(context, id, identity).await? else {
        return Ok(Found::Wait("EC2 doesn't show it yet".to_owned()));
    };
    match gateway_endpoint::state(&found).as_str() {
        "available" => Ok(Found::Done(())),
        "failed" | "rejected" | "expired" => {
            let reason =
                found.last_error().and_then(|error| error.message()).unwrap_or("EC2 gives no reason");
            Err(AwsError::unexpected("ec2", "CreateVpcEndpoint", id, reason.to_owned()))
        }
        state => Ok(Found::Wait(format!("it is {state}"))),
    }
}

async fn ended(context: &Context<'_>, id: &ResourceId, identity: &Identity) -> Result<Found<()>, AwsError> {
    let state = described(context, id, identity).await?.map(|found| gateway_endpoint::state(&found));
    Ok(match state.as_deref() {
        None | Some("deleted") => Found::Done(()),
        Some(state) => Found::Wait(format!("it is {state}")),
    })
}

/// What EC2 says of an endpoint: nothing where it doesn't know it (any more).
async fn described(
    context: &Context<'_>,
    id: &ResourceId,
    identity: &Identity,
) -> Result<Option<Answer>, AwsError> {
    let call = context.clients.ec2.describe_vpc_endpoints().vpc_endpoint_ids(&identity.id);
    match call.send().await.during("ec2", "DescribeVpcEndpoints", id) {
        Ok(answer) => Ok(answer.vpc_endpoints.unwrap_or_default().into_iter().next()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
