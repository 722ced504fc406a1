//! Subnets.

mod ipv6;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ec2::types::{Filter, NetworkInterface, NetworkInterfaceType, ResourceType, Subnet as Answer};
use ipnet::{Ipv4Net, Ipv6Net};
use windlass_bootstrap::ipv6::SubnetIpv6;
use windlass_bootstrap::tags as shared;

use super::blockers::{Blocker, Looker};
use super::context::{Context, Identity, Names, Observed, ObservedResource, Sought};
use super::error::{CloudError, field, gone};
use super::fields::{Change, Effect, Fields};
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Declaration, ResourceKind};
use super::vpc::Vpc;
use super::{Kind, Resource, tagging};
use crate::aws::tags::{self, Tags};
use crate::aws::{AwsError, During, ipv6_ranges};

/// A subnet. Whether instances get public addresses and what they are called is the launch templates' to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// `<name>.<cluster>`.
    pub name: String,
    /// The VPC it is part of.
    pub vpc: Reference<Vpc>,
    /// The availability zone.
    pub zone: String,
    /// Its IPv4 range, where it has one.
    pub cidr: Option<Ipv4Net>,
    /// Its IPv6 range, where it has one. A new VPC's block is known only once there is the VPC, and so is what is counted
    /// from it.
    pub ipv6: Option<SubnetIpv6>,
    /// Of what is observed: its VPC's block, from which ranges are counted.
    pub vpc_ipv6: Option<Ipv6Net>,
    /// Whether network interfaces that ask for no IPv6 address get one.
    pub assigns_ipv6: bool,
    /// Whether AWS's resolver answers for names that have IPv4 addresses alone with IPv6 addresses, behind which the NAT
    /// gateway translates.
    pub dns64: bool,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for Subnet {
    const KIND: Kind = Kind::Subnet;
    const DECLARATION: Declaration =
        Declaration { observed_after: &[Kind::Vpc], ..Declaration::of("subnet") };
    type Answer = Arc<[Answer]>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, vpc, zone, cidr, ipv6, vpc_ipv6: _, assigns_ipv6, dns64, tags } = self;
        Fields::default()
            .reference("vpc", vpc)
            .one("zone", zone)
            .maybe("cidr", cidr.as_ref())
            .maybe("ipv6", ipv6.as_ref())
            .maybe("assignsIpv6", assigns_ipv6.then_some(true))
            .maybe("dns64", dns64.then_some(true))
            .map("tags", tags)
    }

    fn changes_from(&self, observed: &Self) -> Vec<Change> {
        self.fields().changes_from(&self.as_compared(observed).fields())
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    fn effect(&self, change: &Change, observed: &Self) -> Effect {
        match change.field.as_str() {
            "ipv6" if observed.ipv6.is_none() => Effect::InPlace,
            "vpc" | "zone" | "cidr" | "ipv6" => Effect::Refused(
                "a subnet can't be moved: give the new range a subnet with another name, move the instance groups to \
                 it, then remove the old one",
            ),
            _ => Effect::InPlace,
        }
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let call = context
            .clients
            .ec2
            .create_subnet()
            .vpc_id(context.ids.of(&self.vpc)?)
            .availability_zone(&self.zone)
            .set_cidr_block(self.cidr.map(|range| range.to_string()))
            .set_ipv6_cidr_block(self.ipv6_range(context, id)?.map(|range| range.to_string()))
            .set_ipv6_native(self.cidr.is_none().then_some(true))
            .tag_specifications(tags::specification(ResourceType::Subnet, &self.tags));
        let made = call.send().await.during("ec2", "CreateSubnet", id)?;
        let subnet = made.subnet().and_then(|subnet| subnet.subnet_id());
        let identity = Identity::new(field(subnet, id, "the subnet's id")?);
        context.ids.insert(id.clone(), identity.clone());
        // What a new subnet has by itself: one without IPv4 addresses has nothing else to assign.
        let bare = Self { assigns_ipv6: self.cidr.is_none(), dns64: false, ..self.clone() };
        self.update(&bare, &identity, context, id).await
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        self.update_ipv6(&self.as_compared(from), identity, context, id).await?;
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.ec2.delete_subnet().subnet_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteSubnet", id))
    }

    async fn read(look: &Look<'_>) -> Result<Arc<[Answer]>, CloudError> {
        list(look).await
    }

    fn observed(
        answer: Arc<[Answer]>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::Subnet, context.cluster);
        let found = |subnet: &Answer| {
            let tags = tags::from_ec2(subnet.tags());
            let subnet_id = field(subnet.subnet_id(), &id, "the subnet's id")?;
            let cidr = subnet.cidr_block().and_then(|cidr| cidr.parse().ok());
            let vpc: Reference<Vpc> = names.reference(subnet.vpc_id().unwrap_or_default());
            let observed = Self {
                name: tagging::name(&tags, subnet_id),
                vpc_ipv6: names.output(&vpc, Vpc::IPV6_BLOCK).and_then(|block| block.parse().ok()),
                vpc,
                zone: subnet.availability_zone().unwrap_or_default().to_owned(),
                cidr,
                ipv6: ipv6_ranges::range_of(subnet).map(SubnetIpv6::Range),
                assigns_ipv6: subnet.assign_ipv6_address_on_creation().unwrap_or_default(),
                dns64: subnet.enable_dns64().unwrap_or_default(),
                tags,
            };
            Ok(ObservedResource::new(
                observed.name.clone(),
                Resource::Subnet(observed),
                Identity::new(subnet_id),
            ))
        };
        answer.iter().filter(|subnet| is_owned(subnet, context)).map(found).collect()
    }

    async fn blockers(&self, aws_id: &str, look: &Looker<'_>) -> Result<Vec<Blocker>, AwsError> {
        look.at_interfaces("subnet-id", aws_id).await
    }
}

/// The cluster's subnets, and those of others that it may use, as their tags say.
async fn list(look: &Look<'_>) -> Result<Arc<[Answer]>, CloudError> {
    let context = look.context;
    let ask = async {
        let id = ResourceId::new(Kind::Subnet, context.cluster);
        let call = context.clients.ec2.describe_subnets();
        let ownership = shared::ownership(context.cluster);
        let call = match context.sought {
            // One call for both: values of a filter are alternatives.
            Sought::All => call
                .filters(Filter::builder().name("tag-key").values(tags::MANAGED).values(&ownership).build()),
            Sought::Id(id) => call.subnet_ids(id),
        };
        let pages = call.into_paginator().items().send();
        let mut subnets = pages.try_collect().await.during("ec2", "DescribeSubnets", &id)?;
        subnets.retain(|subnet| is_owned(subnet, context) || is_shared(subnet, &ownership));
        Ok(subnets)
    };
    look.answers.subnets.or_ask(ask).await
}

fn is_owned(subnet: &Answer, context: &Context<'_>) -> bool {
    context.owner.owns(&tags::from_ec2(subnet.tags()))
}

fn is_shared(subnet: &Answer, ownership: &str) -> bool {
    tags::all_from_ec2(subnet.tags()).get(ownership).is_some_and(|value| value == "shared")
}

/// AWS's ids of the cluster's subnets, and of those of others that it may use.
pub(super) async fn ids(look: &Look<'_>) -> Result<Vec<String>, CloudError> {
    let Some(names) = look.known else {
        let id = |subnet: &Answer| subnet.subnet_id().map(str::to_owned);
        return Ok(list(look).await?.iter().filter_map(id).collect());
    };
    let mut ids = names.ids_of(Kind::Subnet);
    ids.extend(names.ids_of(Kind::Existing).into_iter().filter(|id| id.starts_with("subnet-")));
    Ok(ids)
}

/// Finds out what is in those subnets that aren't wanted any more, and will still be when the instance groups are gone
/// that aren't wanted either. Asks nothing where every subnet is wanted.
///
/// # Errors
///
/// Fails with what AWS said.
pub async fn find_occupants(
    context: &Context<'_>,
    wanted: &BTreeSet<String>,
    instance_groups: &BTreeSet<&str>,
    observed: &mut Observed,
) -> Result<(), CloudError> {
    let unwanted: BTreeMap<String, ResourceId> = observed
        .0
        .iter()
        .filter(|(id, _)| id.kind == Kind::Subnet && !wanted.contains(&id.name))
        .map(|(id, found)| (found.identity.id.clone(), id.clone()))
        .collect();
    if unwanted.is_empty() {
        return Ok(());
    }
    let id = ResourceId::new(Kind::Subnet, context.cluster);
    let these = Filter::builder().name("subnet-id").set_values(Some(unwanted.keys().cloned().collect()));
    let call = context.clients.ec2.describe_network_interfaces().filters(these.build()).into_paginator();
    let interfaces =
        call.items().send().try_collect().await.during("ec2", "DescribeNetworkInterfaces", &id)?;
    // A NAT gateway goes, or is kept, with the private subnets that it serves.
    // EC2's reference and its answers spell the type differently.
    let is_of_nat = |interface: &NetworkInterface| {
        let kind = interface.interface_type().map(NetworkInterfaceType::as_str);
        kind.is_some_and(|kind| ["natGateway", "nat_gateway"].contains(&kind))
    };
    for interface in interfaces.into_iter().filter(|interface| !is_of_nat(interface)) {
        let tags = tags::all_from_ec2(interface.tag_set());
        let goes = tags.get(shared::INSTANCE_GROUP).is_some_and(|group| {
            tags.get(shared::CLUSTER).is_some_and(|cluster| cluster == context.cluster)
                && !instance_groups.contains(group.as_str())
        });
        let subnet = interface.subnet_id().and_then(|subnet| unwanted.get(subnet));
        if let (false, Some(found)) = (goes, subnet.and_then(|subnet| observed.0.get_mut(subnet))) {
            let instance = interface.attachment().and_then(|attachment| attachment.instance_id());
            let interface = interface.network_interface_id().unwrap_or_default();
            found.used_by.push(instance.unwrap_or(interface).to_owned());
        }
    }
    Ok(())
}
