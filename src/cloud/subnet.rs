//! Subnets.

use aws_sdk_ec2::types::ResourceType;
use ipnet::Ipv4Net;

use super::context::{Context, Found, Identity, Names};
use super::error::{CloudError, field};
use super::fields::{Effect, Fields};
use super::reference::{Described, Kind, Reference, ResourceId};
use super::vpc::Vpc;
use super::{Resource, tagging};
use crate::aws::During;
use crate::aws::tags::{self, Tags};

/// A subnet. Whether instances get public addresses and what they are called is the launch templates' to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// `<name>.<cluster>`.
    pub name: String,
    /// The VPC it is part of.
    pub vpc: Reference<Vpc>,
    /// The availability zone.
    pub zone: String,
    /// Its range.
    pub cidr: Ipv4Net,
    /// Its tags.
    pub tags: Tags,
}

impl Described for Subnet {
    const KIND: Kind = Kind::Subnet;
}

impl Subnet {
    pub(super) fn fields(&self) -> Fields {
        let Self { name: _, vpc, zone, cidr, tags } = self;
        Fields::default().one("vpc", vpc).one("zone", zone).one("cidr", cidr).map("tags", tags)
    }

    pub(super) fn references(&self) -> Vec<ResourceId> {
        let Self { name: _, vpc, zone: _, cidr: _, tags: _ } = self;
        vec![vpc.id()]
    }

    pub(super) fn effect(path: &str) -> Effect {
        match path {
            "vpc" | "zone" | "cidr" => Effect::Refused(
                "a subnet can't be moved: give the new range a subnet with another name, move the instance groups to \
                 it, then remove the old one",
            ),
            _ => Effect::InPlace,
        }
    }

    pub(super) async fn create(
        &self,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let call = context
            .clients
            .ec2
            .create_subnet()
            .vpc_id(context.ids.of(&self.vpc)?)
            .availability_zone(&self.zone)
            .cidr_block(self.cidr.to_string())
            .tag_specifications(tags::specification(ResourceType::Subnet, &self.tags));
        let made = call.send().await.during("ec2", "CreateSubnet", id)?;
        Ok(Identity::new(field(made.subnet().and_then(|subnet| subnet.subnet_id()), id, "the subnet's id")?))
    }

    pub(super) async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await
    }

    pub(super) async fn delete(
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.ec2.delete_subnet().subnet_id(&identity.id);
        call.send().await.during("ec2", "DeleteSubnet", id)?;
        Ok(())
    }

    pub(super) async fn observe(context: &Context<'_>, names: &Names) -> Result<Vec<Found>, CloudError> {
        let id = ResourceId::new(Kind::Subnet, context.cluster);
        let call = context.clients.ec2.describe_subnets().filters(tags::of_cluster(context.cluster));
        let subnets =
            call.into_paginator().items().send().try_collect().await.during("ec2", "DescribeSubnets", &id)?;
        subnets
            .iter()
            .map(|subnet| {
                let subnet_id = field(subnet.subnet_id(), &id, "the subnet's id")?;
                let tags = tags::from_ec2(subnet.tags());
                let observed = Self {
                    name: tagging::name(&tags, subnet_id),
                    vpc: names.reference(subnet.vpc_id().unwrap_or_default()),
                    zone: subnet.availability_zone().unwrap_or_default().to_owned(),
                    cidr: field(
                        subnet.cidr_block().and_then(|cidr| cidr.parse().ok()),
                        &id,
                        "the subnet's range",
                    )?,
                    tags,
                };
                Ok(Found::new(observed.name.clone(), Resource::Subnet(observed), Identity::new(subnet_id)))
            })
            .collect()
    }
}
