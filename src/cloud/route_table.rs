//! Route tables, of the public subnets and of the private ones of each zone: their routes and their associations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_sdk_ec2::types::{ResourceType, Route as RouteAnswer, RouteTable as Answer};

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::egress_only_internet_gateway::EgressOnlyInternetGateway;
use super::error::{CloudError, field, gone};
use super::existing::Existing;
use super::fields::{Change, Effect, Fields};
use super::internet_gateway::InternetGateway;
use super::look::Look;
use super::nat_gateway::NatGateway;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::subnet::Subnet;
use super::vpc::Vpc;
use super::{Kind, Resource, tagging};
use crate::aws::During;
use crate::aws::tags::{self, Tags};

/// A route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteTable {
    /// The cluster's name, or `private-<zone>.<cluster>`, or `public-<zone>.<cluster>`.
    pub name: String,
    /// The VPC it is part of.
    pub vpc: Reference<Vpc>,
    /// Destination ranges and where they lead, besides the VPC's own range. Of what is observed, those that are windlass's:
    /// the default route of IPv4, what of IPv4 leads to an Internet gateway, and what the tag [`tags::ROUTES`] lists. A route
    /// that somebody added by hand, to a peer of the VPC say, is left alone.
    pub routes: BTreeMap<String, RouteTarget>,
    /// The subnets that use it.
    pub subnets: BTreeSet<Reference<Subnet>>,
    /// Its tags.
    pub tags: Tags,
}

/// The destination of everything that no other route is for.
pub const ANYWHERE: &str = "0.0.0.0/0";

/// The same of IPv6.
pub const ANYWHERE_IPV6: &str = "::/0";

/// The IPv6 addresses that stand for IPv4 ones, behind which a NAT gateway translates (RFC 6052; VPC User Guide, "DNS64 and
/// NAT64").
pub const NAT64: &str = "64:ff9b::/96";

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// To an Internet gateway.
    InternetGateway(Reference<InternetGateway>),
    /// To an egress-only Internet gateway.
    EgressOnlyInternetGateway(Reference<EgressOnlyInternetGateway>),
    /// To a NAT gateway.
    NatGateway(Reference<NatGateway>),
    /// To what exists already and is of another kind: a transit gateway, an instance, a peering connection.
    Existing(Reference<Existing>),
}

impl RouteTarget {
    /// To what exists already, by AWS's id.
    pub fn existing(aws_id: &str) -> Self {
        match aws_id.split('-').next() {
            Some("igw") => Self::InternetGateway(Reference::existing(aws_id)),
            Some("eigw") => Self::EgressOnlyInternetGateway(Reference::existing(aws_id)),
            Some("nat") => Self::NatGateway(Reference::existing(aws_id)),
            _ => Self::Existing(Reference::existing(aws_id)),
        }
    }

    fn aws_id(&self, context: &Context<'_>) -> Result<String, CloudError> {
        match self {
            Self::InternetGateway(gateway) => context.ids.of(gateway),
            Self::EgressOnlyInternetGateway(gateway) => context.ids.of(gateway),
            Self::NatGateway(gateway) => context.ids.of(gateway),
            Self::Existing(gateway) => context.ids.of(gateway),
        }
    }

    /// Of what is observed. EC2 says in a field for each kind where a route leads (API_Route).
    fn observed(route: &RouteAnswer, names: &Names) -> Option<Self> {
        if let Some(gateway) = route.nat_gateway_id() {
            return Some(Self::NatGateway(names.reference(gateway)));
        }
        if let Some(gateway) = route.egress_only_internet_gateway_id() {
            return Some(Self::EgressOnlyInternetGateway(names.reference(gateway)));
        }
        let gateway = route.gateway_id().filter(|gateway| *gateway != "local");
        if let Some(gateway) = gateway.filter(|gateway| gateway.starts_with("igw-")) {
            return Some(Self::InternetGateway(names.reference(gateway)));
        }
        let others = [
            gateway,
            route.transit_gateway_id(),
            route.instance_id(),
            route.vpc_peering_connection_id(),
            route.network_interface_id(),
        ];
        // Empty strings stand for nothing in some of EC2's answers.
        let other = others.into_iter().flatten().find(|id| !id.is_empty())?;
        Some(Self::Existing(names.reference(other)))
    }
}

impl From<&RouteTarget> for ResourceId {
    fn from(target: &RouteTarget) -> Self {
        match target {
            RouteTarget::InternetGateway(gateway) => gateway.id(),
            RouteTarget::EgressOnlyInternetGateway(gateway) => gateway.id(),
            RouteTarget::NatGateway(gateway) => gateway.id(),
            RouteTarget::Existing(gateway) => gateway.id(),
        }
    }
}

impl fmt::Display for RouteTarget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InternetGateway(gateway) => gateway.fmt(formatter),
            Self::EgressOnlyInternetGateway(gateway) => gateway.fmt(formatter),
            Self::NatGateway(gateway) => gateway.fmt(formatter),
            Self::Existing(gateway) => gateway.fmt(formatter),
        }
    }
}

/// Puts the target's id into the field of a call that is for its kind.
macro_rules! leading_to {
    ($call:expr, $target:expr) => {{
        let (call, target): (_, String) = ($call, $target);
        match target.split('-').next() {
            Some("nat") => call.nat_gateway_id(target),
            Some("tgw") => call.transit_gateway_id(target),
            Some("i") => call.instance_id(target),
            Some("pcx") => call.vpc_peering_connection_id(target),
            Some("eni") => call.network_interface_id(target),
            Some("eigw") => call.egress_only_internet_gateway_id(target),
            _ => call.gateway_id(target),
        }
    }};
}

/// Puts the destination into the field of a call that is for its addresses.
macro_rules! to_destination {
    ($call:expr, $destination:expr) => {{
        let (call, destination): (_, &str) = ($call, $destination);
        if destination.contains(':') {
            call.destination_ipv6_cidr_block(destination)
        } else {
            call.destination_cidr_block(destination)
        }
    }};
}

impl ResourceKind for RouteTable {
    const KIND: Kind = Kind::RouteTable;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[
            Kind::Vpc,
            Kind::InternetGateway,
            Kind::EgressOnlyInternetGateway,
            Kind::NatGateway,
            Kind::Subnet,
        ],
        // Pods on instances reach the Internet to the end.
        deleted_after: &[Kind::AutoScalingGroup],
        creation: Creation::Repeatable,
        ..Declaration::of("route-table")
    };
    type Answer = Vec<Answer>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, vpc, routes, subnets, tags } = self;
        Fields::default()
            .reference("vpc", vpc)
            .reference_map("routes", routes)
            .references("subnets", subnets)
            .map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    fn effect(&self, change: &Change, _observed: &Self) -> Effect {
        match change.field.as_str() {
            "vpc" => Effect::Refused("a route table can't change its VPC"),
            _ => Effect::InPlace,
        }
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let call = context
            .clients
            .ec2
            .create_route_table()
            .vpc_id(context.ids.of(&self.vpc)?)
            .client_token(context.token(id))
            .tag_specifications(tags::specification(ResourceType::RouteTable, &self.tags));
        let made = call.send().await.during("ec2", "CreateRouteTable", id)?;
        let table = made.route_table().and_then(|table| table.route_table_id());
        let identity = Identity::new(field(table, id, "the route table's id")?);
        context.ids.insert(id.clone(), identity.clone());
        let bare = Self { routes: BTreeMap::new(), subnets: BTreeSet::new(), ..self.clone() };
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
        self.route(from, identity, context, id).await?;
        self.associate(from, identity, context, id).await?;
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        disassociate(context, id, identity, |_| true).await?;
        let call = context.clients.ec2.delete_route_table().route_table_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteRouteTable", id))
    }

    async fn read(look: &Look<'_>) -> Result<Vec<Answer>, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::RouteTable, context.cluster);
        let call = context.clients.ec2.describe_route_tables();
        let call = match context.sought {
            Sought::All => call.filters(tags::of_cluster(context.cluster)),
            Sought::Id(id) => call.route_table_ids(id),
        };
        let pages = call.into_paginator().items().send();
        Ok(pages.try_collect().await.during("ec2", "DescribeRouteTables", &id)?)
    }

    fn observed(
        answer: Vec<Answer>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::RouteTable, context.cluster);
        let tagged = answer.iter().map(|table| (table, tags::from_ec2(table.tags())));
        tagged
            .filter(|(_, tags)| context.owner.owns(tags))
            .map(|(table, tags)| read(table, tags, context.cluster, names, &id))
            .collect()
    }
}

impl RouteTable {
    async fn route(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let ec2 = &context.clients.ec2;
        for (destination, target) in &self.routes {
            match from.routes.get(destination) {
                Some(now) if now == target => {}
                Some(_) => replace(destination, target, identity, context, id).await?,
                None => {
                    let call = ec2.create_route().route_table_id(&identity.id);
                    let call = to_destination!(call, destination);
                    let call = leading_to!(call, target.aws_id(context)?);
                    match call.send().await.during("ec2", "CreateRoute", id) {
                        // Somebody made it by hand, or a call did whose reply was lost.
                        Err(error) if error.code.as_deref() == Some("RouteAlreadyExists") => {
                            replace(destination, target, identity, context, id).await?;
                        }
                        outcome => {
                            outcome?;
                        }
                    }
                }
            }
        }
        for destination in from.routes.keys().filter(|destination| !self.routes.contains_key(*destination)) {
            let call = to_destination!(ec2.delete_route().route_table_id(&identity.id), destination);
            gone(call.send().await.during("ec2", "DeleteRoute", id))?;
        }
        Ok(())
    }

    async fn associate(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        for subnet in self.subnets.difference(&from.subnets) {
            let call = context.clients.ec2.associate_route_table().route_table_id(&identity.id);
            let call = call.subnet_id(context.ids.of(subnet)?);
            call.send().await.during("ec2", "AssociateRouteTable", id)?;
        }
        let gone: BTreeSet<String> =
            from.subnets.difference(&self.subnets).map(|subnet| context.ids.resolve(subnet)).collect();
        if !gone.is_empty() {
            disassociate(context, id, identity, |subnet| gone.contains(subnet)).await?;
        }
        Ok(())
    }
}

/// Makes a route that is there lead elsewhere.
async fn replace(
    destination: &str,
    target: &RouteTarget,
    table: &Identity,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<(), CloudError> {
    let call = context.clients.ec2.replace_route().route_table_id(&table.id);
    let call = to_destination!(call, destination);
    let call = leading_to!(call, target.aws_id(context)?);
    call.send().await.during("ec2", "ReplaceRoute", id)?;
    Ok(())
}

/// What the names of route tables of private subnets begin with.
const PRIVATE: &str = "private-";

/// A table's name. One without the tag [`tags::NAME`] was made before there was that tag, when a cluster had one table; or
/// somebody took the tag away, and then `Name` says it of the tables of private subnets.
fn name_of(tags: &Tags, cluster: &str) -> String {
    let of_private = tags.get("Name").filter(|name| name.starts_with(PRIVATE));
    let only = of_private.map_or(cluster, String::as_str);
    tagging::only_name(tags, only)
}

fn read(
    table: &Answer,
    tags: Tags,
    cluster: &str,
    names: &Names,
    id: &ResourceId,
) -> Result<ObservedResource, CloudError> {
    let table_id = field(table.route_table_id(), id, "the route table's id")?;
    let listed: BTreeSet<&str> = tags.get(tags::ROUTES).iter().flat_map(|list| list.split(' ')).collect();
    let routes = table.routes().iter().filter_map(|route| {
        let target = RouteTarget::observed(route, names)?;
        let of_ipv4 = route.destination_cidr_block().filter(|range| !range.is_empty());
        let destination = of_ipv4.or(route.destination_ipv6_cidr_block())?;
        let leads_out = destination == ANYWHERE || matches!(target, RouteTarget::InternetGateway(_));
        let is_ours = (leads_out && of_ipv4.is_some()) || listed.contains(destination);
        is_ours.then(|| (destination.to_owned(), target))
    });
    let subnets = table.associations().iter().filter_map(|association| association.subnet_id());
    let observed = RouteTable {
        name: name_of(&tags, cluster),
        vpc: names.reference(table.vpc_id().unwrap_or_default()),
        routes: routes.collect(),
        subnets: subnets.map(|subnet| names.reference(subnet)).collect(),
        tags,
    };
    Ok(ObservedResource::new(observed.name.clone(), Resource::RouteTable(observed), Identity::new(table_id)))
}

/// Ends the associations with the chosen subnets (AWS's ids).
async fn disassociate(
    context: &Context<'_>,
    id: &ResourceId,
    table: &Identity,
    chosen: impl Fn(&str) -> bool,
) -> Result<(), CloudError> {
    let ec2 = &context.clients.ec2;
    let answer = ec2.describe_route_tables().route_table_ids(&table.id).send().await;
    let answer = match answer.during("ec2", "DescribeRouteTables", id) {
        Err(error) if error.is_not_found() => return Ok(()),
        answer => answer?,
    };
    for association in answer.route_tables().iter().flat_map(Answer::associations) {
        let subnet = association.subnet_id().is_some_and(&chosen);
        if let (true, Some(association)) = (subnet, association.route_table_association_id()) {
            let call = ec2.disassociate_route_table().association_id(association);
            gone(call.send().await.during("ec2", "DisassociateRouteTable", id))?;
        }
    }
    Ok(())
}
