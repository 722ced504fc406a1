//! The route table of the public subnets: its routes and its associations.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{ResourceType, RouteTable as Answer};

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::{CloudError, field, gone};
use super::fields::{Change, Effect, Fields};
use super::internet_gateway::InternetGateway;
use super::look::Look;
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
    /// The cluster's name.
    pub name: String,
    /// The VPC it is part of.
    pub vpc: Reference<Vpc>,
    /// Destination ranges and where they lead, besides the VPC's own range.
    pub routes: BTreeMap<String, Reference<InternetGateway>>,
    /// The subnets that use it.
    pub subnets: BTreeSet<Reference<Subnet>>,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for RouteTable {
    const KIND: Kind = Kind::RouteTable;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::Vpc, Kind::InternetGateway, Kind::Subnet],
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
        for (destination, gateway) in &self.routes {
            let target = context.ids.of(gateway)?;
            match from.routes.get(destination) {
                Some(now) if now == gateway => {}
                Some(_) => {
                    let call = ec2.replace_route().route_table_id(&identity.id).gateway_id(target);
                    let call = call.destination_cidr_block(destination);
                    call.send().await.during("ec2", "ReplaceRoute", id)?;
                }
                None => {
                    let call = ec2.create_route().route_table_id(&identity.id).gateway_id(target);
                    let call = call.destination_cidr_block(destination);
                    call.send().await.during("ec2", "CreateRoute", id)?;
                }
            }
        }
        for destination in from.routes.keys().filter(|destination| !self.routes.contains_key(*destination)) {
            let call = ec2.delete_route().route_table_id(&identity.id).destination_cidr_block(destination);
            call.send().await.during("ec2", "DeleteRoute", id)?;
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

fn read(
    table: &Answer,
    tags: Tags,
    cluster: &str,
    names: &Names,
    id: &ResourceId,
) -> Result<ObservedResource, CloudError> {
    let table_id = field(table.route_table_id(), id, "the route table's id")?;
    let routes = table.routes().iter().filter_map(|route| {
        let target = route.gateway_id().filter(|gateway| *gateway != "local")?;
        Some((route.destination_cidr_block()?.to_owned(), names.reference(target)))
    });
    let subnets = table.associations().iter().filter_map(|association| association.subnet_id());
    let observed = RouteTable {
        name: tagging::only_name(&tags, cluster),
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
