//! The VPC.

mod ipv6_block;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_ec2::types::{
    AttributeBooleanValue, ResourceType, Vpc as Answer, VpcAttributeName, VpcCidrBlockAssociation,
    VpcCidrBlockStateCode,
};
use futures::future::try_join_all;
use ipnet::{Ipv4Net, Ipv6Net};

use super::blockers::{Blocker, Looker};
use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::{CloudError, field, gone};
use super::fields::{Change, Effect, Fields};
use super::look::Look;
use super::reference::ResourceId;
use super::resource_kind::{Declaration, ResourceKind};
use super::{Kind, Resource, tagging};
use crate::aws::retry::{Look as Found, Patience, wait_for};
use crate::aws::tags::{self, Tags};
use crate::aws::{AwsError, During, ipv6_ranges};

/// How long a further range may take to be a VPC's: usually it is so in seconds.
const ASSOCIATION: Duration = Duration::from_mins(5);

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    /// The cluster's name.
    pub name: String,
    /// Its range.
    pub cidr: Ipv4Net,
    /// Further ranges. Of what is observed, those that the tag [`tags::RANGES`] lists; others are somebody else's.
    pub additional_cidrs: BTreeSet<Ipv4Net>,
    /// Whether it has a block of IPv6 addresses, which Amazon gives it. One that isn't asked for stays where it is.
    pub ipv6: bool,
    /// Whether instances get DNS names.
    pub dns_hostnames: bool,
    /// Whether AWS's resolver answers.
    pub dns_support: bool,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for Vpc {
    const KIND: Kind = Kind::Vpc;
    const DECLARATION: Declaration = Declaration {
        // Its tag says with which zone it is associated: that must be over before it says something else.
        changed_after_deletion_of: &[Kind::HostedZoneAssociation],
        ..Declaration::of("vpc")
    };
    type Answer = Vec<Described>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, cidr, additional_cidrs, ipv6, dns_hostnames, dns_support, tags } = self;
        Fields::default()
            .one("cidr", cidr)
            .set("additionalCidrs", additional_cidrs)
            .maybe("ipv6", ipv6.then_some("a block of Amazon's"))
            .one("dnsHostnames", dns_hostnames)
            .one("dnsSupport", dns_support)
            .map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    fn changes_from(&self, observed: &Self) -> Vec<Change> {
        let observed = Self { ipv6: observed.ipv6 && self.ipv6, ..observed.clone() };
        self.fields().changes_from(&observed.fields())
    }

    fn effect(&self, change: &Change, _observed: &Self) -> Effect {
        match change.field.as_str() {
            "cidr" => Effect::Refused(
                "a VPC's range can't be changed while it lives: make a new cluster and move over",
            ),
            "additionalCidrs" if change.to.is_none() => Effect::Refused(
                "a range can't be taken from a VPC while subnets are in it: take the subnets away first, then                  disassociate the range (`aws ec2 disassociate-vpc-cidr-block`), and then take it out of                  additionalNetworkCIDRs",
            ),
            _ => Effect::InPlace,
        }
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let made = context
            .clients
            .ec2
            .create_vpc()
            .cidr_block(self.cidr.to_string())
            .set_amazon_provided_ipv6_cidr_block(self.ipv6.then_some(true))
            .tag_specifications(tags::specification(ResourceType::Vpc, &self.tags))
            .send()
            .await
            .during("ec2", "CreateVpc", id)?;
        let vpc = field(made.vpc().and_then(|vpc| vpc.vpc_id()), id, "the VPC's id")?;
        let identity = identity(vpc, &self.tags, None);
        context.ids.insert(id.clone(), identity.clone());
        // What a new VPC has by itself.
        let bare = Self {
            dns_hostnames: false,
            dns_support: true,
            additional_cidrs: BTreeSet::new(),
            ..self.clone()
        };
        self.update(&bare, &identity, context, id).await?;
        if !self.ipv6 {
            return Ok(identity);
        }
        let block = ipv6_block::wait(context, id, &identity.id).await?;
        Ok(identity.with(Self::IPV6_BLOCK, Some(block)))
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let modify = || context.clients.ec2.modify_vpc_attribute().vpc_id(&identity.id);
        let value = |on| AttributeBooleanValue::builder().value(on).build();
        // Names need the resolver, so that the resolver comes first.
        if self.dns_support != from.dns_support {
            let call = modify().enable_dns_support(value(self.dns_support));
            call.send().await.during("ec2", "ModifyVpcAttribute", id)?;
        }
        if self.dns_hostnames != from.dns_hostnames {
            let call = modify().enable_dns_hostnames(value(self.dns_hostnames));
            call.send().await.during("ec2", "ModifyVpcAttribute", id)?;
        }
        for range in self.additional_cidrs.difference(&from.additional_cidrs) {
            associate(context, id, &identity.id, *range).await?;
        }
        let block = if self.ipv6 && !from.ipv6 {
            Some(ipv6_block::associate(context, id, &identity.id).await?)
        } else {
            identity.output(Self::IPV6_BLOCK).and_then(|block| block.parse().ok())
        };
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(self::identity(&identity.id, &self.tags, block))
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.ec2.delete_vpc().vpc_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteVpc", id))
    }

    async fn read(look: &Look<'_>) -> Result<Vec<Described>, CloudError> {
        let vpcs = list(look).await?;
        try_join_all(vpcs.iter().map(|vpc| describe(look.context, vpc))).await
    }

    fn observed(
        answer: Vec<Described>,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::Vpc, context.cluster);
        let found = |Described { vpc, dns_hostnames, dns_support }: Described| {
            let tags = tags::from_ec2(vpc.tags());
            let block = ipv6_ranges::block_of(&vpc);
            let observed = Self {
                name: tagging::only_name(&tags, context.cluster),
                cidr: field(vpc.cidr_block().and_then(|cidr| cidr.parse().ok()), &id, "the VPC's range")?,
                additional_cidrs: own_ranges(&vpc, &tags),
                ipv6: block.is_some(),
                dns_hostnames,
                dns_support,
                tags,
            };
            let identity = identity(field(vpc.vpc_id(), &id, "the VPC's id")?, &observed.tags, block);
            Ok(ObservedResource::new(observed.name.clone(), Resource::Vpc(observed), identity))
        };
        answer.into_iter().map(found).collect()
    }

    async fn blockers(&self, aws_id: &str, look: &Looker<'_>) -> Result<Vec<Blocker>, AwsError> {
        Ok(look.at_vpc(aws_id).await)
    }
}

impl Vpc {
    /// The output that says which block of IPv6 addresses it has.
    pub const IPV6_BLOCK: &'static str = "the VPC's block of IPv6 addresses";
}

/// Adds a range to a VPC that doesn't have it yet: a call may have done it whose reply was lost, or somebody by hand.
async fn associate(
    context: &Context<'_>,
    id: &ResourceId,
    vpc: &str,
    range: Ipv4Net,
) -> Result<(), CloudError> {
    match state_of(context, id, vpc, range).await? {
        Some(VpcCidrBlockStateCode::Associated) => return Ok(()),
        Some(VpcCidrBlockStateCode::Associating) => {}
        _ => {
            let call =
                context.clients.ec2.associate_vpc_cidr_block().vpc_id(vpc).cidr_block(range.to_string());
            call.send().await.during("ec2", "AssociateVpcCidrBlock", id)?;
        }
    }
    let what = format!("the range {range} to be the VPC's");
    let look = || async {
        match state_of(context, id, vpc, range).await? {
            Some(VpcCidrBlockStateCode::Associated) => Ok(Found::Done(())),
            Some(state @ (VpcCidrBlockStateCode::Failed | VpcCidrBlockStateCode::Failing)) => {
                Err(AwsError::unexpected("ec2", "AssociateVpcCidrBlock", id, format!("{range} is {state}")))
            }
            state => {
                Ok(Found::Wait(state.map_or("it isn't yet".to_owned(), |state| format!("it is {state}"))))
            }
        }
    };
    Ok(context.waiting(wait_for(what, Patience::of(ASSOCIATION), look)).await?)
}

/// How far the association of a range is, where there is one that isn't over.
async fn state_of(
    context: &Context<'_>,
    id: &ResourceId,
    vpc: &str,
    range: Ipv4Net,
) -> Result<Option<VpcCidrBlockStateCode>, AwsError> {
    let answer = context.clients.ec2.describe_vpcs().vpc_ids(vpc).send().await;
    let answer = answer.during("ec2", "DescribeVpcs", id)?;
    let associations = answer.vpcs().iter().flat_map(Answer::cidr_block_association_set);
    let mut states = associations.filter(|it| it.cidr_block() == Some(range.to_string().as_str()));
    let is_over = |state: &VpcCidrBlockStateCode| *state == VpcCidrBlockStateCode::Disassociated;
    Ok(states.find_map(|it| it.cidr_block_state()?.state().filter(|state| !is_over(state)).cloned()))
}

/// The ranges that a VPC has, its first among them.
fn ranges(vpc: &Answer) -> BTreeSet<Ipv4Net> {
    let is_there = |association: &&VpcCidrBlockAssociation| {
        let state = association.cidr_block_state().and_then(|state| state.state());
        matches!(state, None | Some(VpcCidrBlockStateCode::Associated))
    };
    let associations = vpc.cidr_block_association_set().iter().filter(is_there);
    associations.filter_map(|association| association.cidr_block()?.parse().ok()).collect()
}

fn own_ranges(vpc: &Answer, tags: &Tags) -> BTreeSet<Ipv4Net> {
    let listed = tags.get(tags::RANGES).map(String::as_str).unwrap_or_default();
    let listed: BTreeSet<Ipv4Net> = listed.split(' ').filter_map(|range| range.parse().ok()).collect();
    ranges(vpc).intersection(&listed).copied().collect()
}

/// What EC2 says of a VPC in three calls.
pub struct Described {
    vpc: Answer,
    dns_hostnames: bool,
    dns_support: bool,
}

/// The cluster's VPCs.
async fn list(look: &Look<'_>) -> Result<Arc<[Answer]>, CloudError> {
    let context = look.context;
    let ask = async {
        let id = ResourceId::new(Kind::Vpc, context.cluster);
        let call = context.clients.ec2.describe_vpcs();
        let call = match context.sought {
            Sought::All => call.filters(tags::of_cluster(context.cluster)),
            Sought::Id(id) => call.vpc_ids(id),
        };
        let pages = call.into_paginator().items().send();
        let mut vpcs = pages.try_collect().await.during("ec2", "DescribeVpcs", &id)?;
        vpcs.retain(|vpc| context.owner.owns(&tags::from_ec2(vpc.tags())));
        Ok(vpcs)
    };
    look.answers.vpcs.or_ask(ask).await
}

/// The private hosted zones that the tags of the cluster's VPCs name, each with its VPC's id.
pub(super) async fn private_zones(look: &Look<'_>) -> Result<Vec<(String, String)>, CloudError> {
    if let Some(known) = look.known {
        let zones = known.outputs_of(Kind::Vpc).filter_map(|(_, outputs)| outputs.get(PRIVATE_ZONE).cloned());
        let vpcs = known.ids_of(Kind::Vpc);
        return Ok(zones.flat_map(|zone| vpcs.iter().map(move |vpc| (zone.clone(), vpc.clone()))).collect());
    }
    let vpcs = list(look).await?;
    let tagged = vpcs.iter().filter_map(|vpc| {
        let zone = tags::from_ec2(vpc.tags()).remove(tags::PRIVATE_ZONE)?;
        Some((zone, vpc.vpc_id()?.to_owned()))
    });
    Ok(tagged.collect())
}

/// The output that says which private hosted zone a VPC is associated with.
const PRIVATE_ZONE: &str = "the private hosted zone of its names";

/// What is known of a VPC with these tags and this block of IPv6 addresses.
fn identity(vpc: &str, tags: &Tags, ipv6: Option<Ipv6Net>) -> Identity {
    let identity = Identity::new(vpc).with(PRIVATE_ZONE, tags.get(tags::PRIVATE_ZONE));
    identity.with(Vpc::IPV6_BLOCK, ipv6)
}

/// Whether the cluster has a VPC of its own with IPv6 addresses.
pub(super) async fn has_ipv6(look: &Look<'_>) -> Result<bool, CloudError> {
    let Some(known) = look.known else {
        return Ok(list(look).await?.iter().any(|vpc| ipv6_ranges::block_of(vpc).is_some()));
    };
    Ok(known.outputs_of(Kind::Vpc).any(|(_, outputs)| outputs.contains_key(Vpc::IPV6_BLOCK)))
}

/// AWS's ids of the cluster's VPCs.
pub(super) async fn ids(look: &Look<'_>) -> Result<Vec<String>, CloudError> {
    match look.known {
        Some(names) => Ok(names.ids_of(Kind::Vpc)),
        None => Ok(list(look).await?.iter().filter_map(|vpc| vpc.vpc_id().map(str::to_owned)).collect()),
    }
}

async fn describe(context: &Context<'_>, vpc: &Answer) -> Result<Described, CloudError> {
    let id = ResourceId::new(Kind::Vpc, context.cluster);
    let vpc_id = field(vpc.vpc_id(), &id, "the VPC's id")?;
    let (dns_hostnames, dns_support) = futures::try_join!(
        attribute(context, &id, vpc_id, VpcAttributeName::EnableDnsHostnames),
        attribute(context, &id, vpc_id, VpcAttributeName::EnableDnsSupport),
    )?;
    Ok(Described { vpc: vpc.clone(), dns_hostnames, dns_support })
}

async fn attribute(
    context: &Context<'_>,
    id: &ResourceId,
    vpc: &str,
    name: VpcAttributeName,
) -> Result<bool, CloudError> {
    let call = context.clients.ec2.describe_vpc_attribute().vpc_id(vpc).attribute(name);
    let answer = call.send().await.during("ec2", "DescribeVpcAttribute", id)?;
    let value = answer.enable_dns_hostnames().or(answer.enable_dns_support());
    Ok(value.and_then(AttributeBooleanValue::value).unwrap_or_default())
}
