//! The gateway endpoint of S3: the VPC's own way to S3, by routes in its route tables. It costs nothing, neither by the hour
//! nor by the byte, and reports, keys and images' layers don't pass the Internet (AWS PrivateLink Guide, "Gateway endpoints").

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_ec2::types::{Filter, ResourceType, UnsuccessfulItem, VpcEndpoint as Answer, VpcEndpointType};

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::{CloudError, field};
use super::fields::{Change, Effect, Fields};
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::route_table::RouteTable;
use super::vpc::Vpc;
use super::{Kind, Resource, tagging};
use crate::aws::tags::{self, Tags};
use crate::aws::{AwsError, During};

/// A gateway endpoint of S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayEndpoint {
    /// `s3.<cluster>`.
    pub name: String,
    /// The VPC it is part of.
    pub vpc: Reference<Vpc>,
    /// The service that it leads to, as [`service`] names it.
    pub service: String,
    /// The route tables that lead to it. EC2 keeps one route to S3's prefix list in each of them.
    pub route_tables: BTreeSet<Reference<RouteTable>>,
    /// Its tags.
    pub tags: Tags,
}

/// The name of S3 among the services of a region's endpoints, such as `com.amazonaws.eu-west-1.s3`. It begins in the same way
/// in every partition (`DescribeVpcEndpointServices`).
pub fn service(region: &str) -> String {
    format!("com.amazonaws.{region}.s3")
}

/// The name of a cluster's endpoint, of which it has one.
pub fn name(cluster: &str) -> String {
    format!("s3.{cluster}")
}

impl ResourceKind for GatewayEndpoint {
    const KIND: Kind = Kind::GatewayEndpoint;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::Vpc, Kind::RouteTable],
        // Instances write their reports to S3 to the end.
        deleted_after: &[Kind::AutoScalingGroup],
        creation: Creation::Repeatable,
        ..Declaration::of("gateway-endpoint")
    };
    type Answer = Vec<Answer>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, vpc, service, route_tables, tags } = self;
        Fields::default()
            .reference("vpc", vpc)
            .one("service", service)
            .references("routeTables", route_tables)
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

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let tables = self.route_tables.iter().map(|table| context.ids.of(table)).collect::<Result<_, _>>()?;
        let call = context
            .clients
            .ec2
            .create_vpc_endpoint()
            .vpc_endpoint_type(VpcEndpointType::Gateway)
            .vpc_id(context.ids.of(&self.vpc)?)
            .service_name(&self.service)
            .set_route_table_ids(Some(tables))
            .client_token(context.token(id))
            .tag_specifications(tags::specification(ResourceType::VpcEndpoint, &self.tags));
        let made = call.send().await.during("ec2", "CreateVpcEndpoint", id)?;
        let endpoint = made.vpc_endpoint().and_then(Answer::vpc_endpoint_id);
        Ok(Identity::new(field(endpoint, id, "the endpoint's id")?))
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        if self.route_tables != from.route_tables {
            let new = self.route_tables.difference(&from.route_tables).map(|table| context.ids.of(table));
            let old = from.route_tables.difference(&self.route_tables);
            let old = old.map(|table| context.ids.resolve(table)).collect();
            let call = context.clients.ec2.modify_vpc_endpoint().vpc_endpoint_id(&identity.id);
            let call = call.set_add_route_table_ids(Some(new.collect::<Result<_, _>>()?));
            let call = call.set_remove_route_table_ids(Some(old));
            call.send().await.during("ec2", "ModifyVpcEndpoint", id)?;
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
        delete(identity, context, id).await
    }

    async fn read(look: &Look<'_>) -> Result<Vec<Answer>, CloudError> {
        let endpoints = list(look, Self::KIND).await?;
        let service = service(&look.context.clients.region);
        let of_s3 = endpoints.iter().filter(|it| {
            it.vpc_endpoint_type() == Some(&VpcEndpointType::Gateway)
                && it.service_name() == Some(service.as_str())
        });
        Ok(of_s3.cloned().collect())
    }

    /// A route table has one route to S3. So the endpoint that the cluster's table leads to is the cluster's, whoever made
    /// it: a second one for that table is refused. One with another table only, in the same VPC, is somebody else's.
    fn observed(
        answer: Vec<Answer>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::GatewayEndpoint, context.cluster);
        let serves_own_table = |endpoint: &Answer| {
            let mut tables = endpoint.route_table_ids().iter();
            tables.any(|table| names.known(Kind::RouteTable, table).is_some())
        };
        let tagged = answer.iter().map(|endpoint| (endpoint, tags::from_ec2(endpoint.tags())));
        tagged
            .filter(|(endpoint, tags)| context.owner.owns(tags) || serves_own_table(endpoint))
            .map(|(endpoint, tags)| found(endpoint, tags, context.cluster, names, &id))
            .collect()
    }
}

/// All endpoints of the region's VPCs, gateways and interfaces: EC2 finds none by a tag or a VPC, whichever of the two there
/// is, in one call. Where the look is for one, that one.
pub(super) async fn list(look: &Look<'_>, kind: Kind) -> Result<Arc<[Answer]>, CloudError> {
    let ask = async {
        let context = look.context;
        let id = ResourceId::new(kind, context.cluster);
        let call = context.clients.ec2.describe_vpc_endpoints();
        let call = match context.sought {
            Sought::All => call.filters(types(&[VpcEndpointType::Gateway, VpcEndpointType::Interface])),
            Sought::Id(id) => call.vpc_endpoint_ids(id),
        };
        let pages = call.into_paginator().items().send();
        let mut endpoints = pages.try_collect().await.during("ec2", "DescribeVpcEndpoints", &id)?;
        endpoints.retain(|it| !matches!(state(it).as_str(), "deleting" | "deleted"));
        Ok(endpoints)
    };
    look.answers.vpc_endpoints.or_ask(ask).await
}

/// The state of an endpoint, in small letters: EC2 answers in small ones (`available`) where its reference, and with it the
/// SDK's enum, has a capital one (API_VpcEndpoint, `state`).
pub(super) fn state(endpoint: &Answer) -> String {
    endpoint.state().map_or_else(|| "unknown".to_owned(), |state| state.as_str().to_lowercase())
}

fn types(types: &[VpcEndpointType]) -> Filter {
    let values = types.iter().map(|it| it.as_str().to_owned()).collect();
    Filter::builder().name("vpc-endpoint-type").set_values(Some(values)).build()
}

/// Deletes an endpoint. The call succeeds where none could be deleted, and says so in its answer (API_DeleteVpcEndpoints).
pub(super) async fn delete(
    identity: &Identity,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<(), CloudError> {
    let call = context.clients.ec2.delete_vpc_endpoints().vpc_endpoint_ids(&identity.id);
    let answer = call.send().await.during("ec2", "DeleteVpcEndpoints", id)?;
    match answer.unsuccessful().iter().find_map(UnsuccessfulItem::error) {
        Some(error) if error.code().is_none_or(|code| !code.ends_with(".NotFound")) => {
            let said =
                format!("{}: {}", error.code().unwrap_or_default(), error.message().unwrap_or_default());
            Err(AwsError::unexpected("ec2", "DeleteVpcEndpoints", id, said).into())
        }
        Some(_) | None => Ok(()),
    }
}

fn found(
    endpoint: &Answer,
    tags: Tags,
    cluster: &str,
    names: &Names,
    id: &ResourceId,
) -> Result<ObservedResource, CloudError> {
    let endpoint_id = field(endpoint.vpc_endpoint_id(), id, "the endpoint's id")?;
    let observed = GatewayEndpoint {
        name: tagging::only_name(&tags, &name(cluster)),
        vpc: names.reference(endpoint.vpc_id().unwrap_or_default()),
        service: endpoint.service_name().unwrap_or_default().to_owned(),
        route_tables: endpoint.route_table_ids().iter().map(|table| names.reference(table)).collect(),
        tags,
    };
    Ok(ObservedResource::new(
        observed.name.clone(),
        Resource::GatewayEndpoint(observed),
        Identity::new(endpoint_id),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_s_state_is_read_however_ec2_writes_it() {
        for said in ["deleting", "Deleting"] {
            assert_eq!(state(&Answer::builder().state(said.into()).build()), "deleting");
        }
    }
}
