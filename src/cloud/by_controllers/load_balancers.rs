//! Load balancers of Services and Ingresses, of both generations, and target groups.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_elasticloadbalancingv2::types::{LoadBalancer as Answer, TargetGroup as TargetGroupAnswer};

use super::super::context::{Context, Found, Identity, Names};
use super::super::error::{CloudError, gone};
use super::super::kinds::Kind;
use super::super::reference::ResourceId;
use super::super::resource_kind::Declaration;
use super::{MadeByController, MadeKind, found, is_made_for, made};
use crate::aws::During;

/// How many of them one DescribeTags takes, in both generations' APIs.
const TAGS_PER_CALL: usize = 20;

type Tags = BTreeMap<String, String>;

/// An application, network or gateway load balancer that a controller made.
pub type LoadBalancer = MadeByController<Balancer>;

/// A classic load balancer that a controller made.
pub type ClassicLoadBalancer = MadeByController<ClassicBalancer>;

/// A target group that a controller made.
pub type TargetGroup = MadeByController<Targets>;

/// What load balancers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balancer {}

/// What classic load balancers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassicBalancer {}

/// What target groups are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {}

/// What load balancers refer to.
const USED: &[Kind] =
    &[Kind::Vpc, Kind::Subnet, Kind::SecurityGroup, Kind::ControllersSecurityGroup, Kind::TargetGroup];

impl MadeKind for Balancer {
    const KIND: Kind = Kind::LoadBalancer;
    const DECLARATION: Declaration = Declaration { observed_after: USED, ..made("load-balancer") };

    /// All load balancers of the region are listed, because Elastic Load Balancing has no search by VPC or tag; tags are
    /// asked only of those in the cluster's VPC.
    async fn observe(
        context: &Context<'_>,
        names: &Names,
        vpcs: &[String],
    ) -> Result<Vec<Found>, CloudError> {
        let id = ResourceId::new(Kind::LoadBalancer, context.cluster);
        let elb = &context.clients.elbv2;
        let pages = elb.describe_load_balancers().into_paginator().items().send();
        let balancers =
            pages.try_collect().await.during("elasticloadbalancing", "DescribeLoadBalancers", &id)?;
        let here: Vec<Answer> =
            balancers.into_iter().filter(|balancer| is_in(vpcs, balancer.vpc_id())).collect();
        let tags =
            tags(context, &id, here.iter().filter_map(|balancer| balancer.load_balancer_arn()).collect())
                .await?;
        // The target groups of each, which were found before: they go after it.
        let groups = if here.is_empty() { Vec::new() } else { target_groups(context, &id, vpcs).await? };
        let made = here.iter().filter_map(|balancer| {
            let (arn, name) = (balancer.load_balancer_arn()?, balancer.load_balancer_name()?);
            let zones = balancer.availability_zones().iter().filter_map(|zone| zone.subnet_id());
            let targets = groups
                .iter()
                .filter(|group| group.load_balancer_arns().iter().any(|of| of == arn))
                .filter_map(TargetGroupAnswer::target_group_arn);
            let security_groups = balancer.security_groups().iter().map(String::as_str);
            let used = zones.chain(targets).chain(security_groups).chain(balancer.vpc_id());
            let used: BTreeSet<&str> = used.collect();
            is_made_for(tags.get(arn)?, context.cluster)
                .then(|| found::<Balancer>(names, name.to_owned(), arn, used))
        });
        Ok(made.collect())
    }

    async fn delete(identity: &Identity, context: &Context<'_>, id: &ResourceId) -> Result<(), CloudError> {
        let call = context.clients.elbv2.delete_load_balancer().load_balancer_arn(&identity.id);
        gone(call.send().await.during("elasticloadbalancing", "DeleteLoadBalancer", id))
    }
}

impl MadeKind for ClassicBalancer {
    const KIND: Kind = Kind::ClassicLoadBalancer;
    const DECLARATION: Declaration = Declaration { observed_after: USED, ..made("classic-load-balancer") };

    async fn observe(
        context: &Context<'_>,
        names: &Names,
        vpcs: &[String],
    ) -> Result<Vec<Found>, CloudError> {
        let id = ResourceId::new(Kind::ClassicLoadBalancer, context.cluster);
        let elb = &context.clients.elb;
        let pages = elb.describe_load_balancers().into_paginator().items().send();
        let balancers =
            pages.try_collect().await.during("elasticloadbalancing", "DescribeLoadBalancers", &id)?;
        let here: Vec<_> = balancers.into_iter().filter(|balancer| is_in(vpcs, balancer.vpc_id())).collect();
        let here_names: Vec<String> =
            here.iter().filter_map(|balancer| balancer.load_balancer_name().map(str::to_owned)).collect();
        let mut tags: BTreeMap<String, Tags> = BTreeMap::new();
        for some in here_names.chunks(TAGS_PER_CALL) {
            let call = elb.describe_tags().set_load_balancer_names(Some(some.to_vec()));
            let answer = call.send().await.during("elasticloadbalancing", "DescribeTags", &id)?;
            for described in answer.tag_descriptions() {
                let pairs = described.tags().iter();
                let pairs = pairs
                    .map(|tag| (tag.key().to_owned(), tag.value().unwrap_or_default().to_owned()))
                    .collect();
                tags.insert(described.load_balancer_name().unwrap_or_default().to_owned(), pairs);
            }
        }
        let made = here.iter().filter_map(|balancer| {
            let name = balancer.load_balancer_name()?;
            let used = balancer.subnets().iter().chain(balancer.security_groups()).map(String::as_str);
            is_made_for(tags.get(name)?, context.cluster).then(|| {
                found::<ClassicBalancer>(names, name.to_owned(), name, used.chain(balancer.vpc_id()))
            })
        });
        Ok(made.collect())
    }

    /// The API calls it a success when there is none.
    async fn delete(identity: &Identity, context: &Context<'_>, id: &ResourceId) -> Result<(), CloudError> {
        let call = context.clients.elb.delete_load_balancer().load_balancer_name(&identity.id);
        gone(call.send().await.during("elasticloadbalancing", "DeleteLoadBalancer", id))
    }
}

impl MadeKind for Targets {
    const KIND: Kind = Kind::TargetGroup;
    const DECLARATION: Declaration = Declaration { observed_after: &[Kind::Vpc], ..made("target-group") };

    async fn observe(
        context: &Context<'_>,
        names: &Names,
        vpcs: &[String],
    ) -> Result<Vec<Found>, CloudError> {
        let id = ResourceId::new(Kind::TargetGroup, context.cluster);
        let groups = target_groups(context, &id, vpcs).await?;
        let tags =
            tags(context, &id, groups.iter().filter_map(TargetGroupAnswer::target_group_arn).collect())
                .await?;
        let made = groups.iter().filter_map(|group| {
            let (arn, name) = (group.target_group_arn()?, group.target_group_name()?);
            is_made_for(tags.get(arn)?, context.cluster)
                .then(|| found::<Targets>(names, name.to_owned(), arn, group.vpc_id()))
        });
        Ok(made.collect())
    }

    async fn delete(identity: &Identity, context: &Context<'_>, id: &ResourceId) -> Result<(), CloudError> {
        let call = context.clients.elbv2.delete_target_group().target_group_arn(&identity.id);
        gone(call.send().await.during("elasticloadbalancing", "DeleteTargetGroup", id))
    }
}

/// The target groups of the VPC, whoever made them.
async fn target_groups(
    context: &Context<'_>,
    id: &ResourceId,
    vpcs: &[String],
) -> Result<Vec<TargetGroupAnswer>, CloudError> {
    let pages = context.clients.elbv2.describe_target_groups().into_paginator().items().send();
    let groups = pages.try_collect().await.during("elasticloadbalancing", "DescribeTargetGroups", id)?;
    Ok(groups.into_iter().filter(|group| is_in(vpcs, group.vpc_id())).collect())
}

fn is_in(vpcs: &[String], vpc: Option<&str>) -> bool {
    vpc.is_some_and(|vpc| vpcs.iter().any(|known| known == vpc))
}

async fn tags(
    context: &Context<'_>,
    id: &ResourceId,
    arns: Vec<&str>,
) -> Result<BTreeMap<String, Tags>, CloudError> {
    let mut tags = BTreeMap::new();
    for some in arns.chunks(TAGS_PER_CALL) {
        let call = context.clients.elbv2.describe_tags();
        let call = call.set_resource_arns(Some(some.iter().map(|arn| (*arn).to_owned()).collect()));
        let answer = call.send().await.during("elasticloadbalancing", "DescribeTags", id)?;
        for described in answer.tag_descriptions() {
            let pairs = described
                .tags()
                .iter()
                .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())));
            tags.insert(described.resource_arn().unwrap_or_default().to_owned(), pairs.collect());
        }
    }
    Ok(tags)
}
