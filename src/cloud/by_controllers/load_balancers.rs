//! Load balancers of Services and Ingresses, of both generations, and target groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_elasticloadbalancing::operation::describe_tags::DescribeTagsOutput as ClassicTagsOutput;
use aws_sdk_elasticloadbalancing::types::LoadBalancerDescription as ClassicAnswer;
use aws_sdk_elasticloadbalancingv2::types::{LoadBalancer as Answer, TargetGroup as TargetGroupAnswer};
use futures::future::try_join_all;
use futures::try_join;

use super::super::context::{Context, Identity, Names, ObservedResource};
use super::super::error::{CloudError, gone};
use super::super::kinds::Kind;
use super::super::load_balancing::{TAGS_PER_CALL, load_balancers, tags_of, target_groups};
use super::super::look::Look;
use super::super::reference::ResourceId;
use super::super::resource_kind::Declaration;
use super::{MadeByController, MadeKind, found, is_made_for, made};
use crate::aws::During;

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
    type Answer = Balancers;

    /// All load balancers of the region are listed, because Elastic Load Balancing has no search by VPC or tag; tags are
    /// asked only of those in the cluster's VPC.
    async fn read(look: &Look<'_>, vpcs: &[String]) -> Result<Balancers, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::LoadBalancer, context.cluster);
        let balancers = load_balancers(look).await?;
        let here = balancers.iter().filter(|balancer| is_in(vpcs, balancer.vpc_id()));
        let here: Vec<Answer> = here.cloned().collect();
        if here.is_empty() {
            return Ok(Balancers::default());
        }
        let arns = here.iter().filter_map(|balancer| balancer.load_balancer_arn()).collect();
        let (tags, groups) = try_join!(tags_of(context, &id, arns), target_groups(look))?;
        Ok(Balancers { here, tags, groups })
    }

    fn observed(answer: Balancers, context: &Context<'_>, names: &Names) -> Vec<ObservedResource> {
        let Balancers { here, tags, groups } = answer;
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
        made.collect()
    }

    async fn delete(identity: &Identity, context: &Context<'_>, id: &ResourceId) -> Result<(), CloudError> {
        let call = context.clients.elbv2.delete_load_balancer().load_balancer_arn(&identity.id);
        gone(call.send().await.during("elasticloadbalancing", "DeleteLoadBalancer", id))
    }
}

impl MadeKind for ClassicBalancer {
    const KIND: Kind = Kind::ClassicLoadBalancer;
    const DECLARATION: Declaration = Declaration { observed_after: USED, ..made("classic-load-balancer") };
    type Answer = ClassicBalancers;

    async fn read(look: &Look<'_>, vpcs: &[String]) -> Result<ClassicBalancers, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::ClassicLoadBalancer, context.cluster);
        let elb = &context.clients.elb;
        let pages = elb.describe_load_balancers().into_paginator().items().send();
        let balancers =
            pages.try_collect().await.during("elasticloadbalancing", "DescribeLoadBalancers", &id)?;
        let here: Vec<ClassicAnswer> =
            balancers.into_iter().filter(|balancer| is_in(vpcs, balancer.vpc_id())).collect();
        let tags = classic_tags(context, &id, &here).await?;
        Ok(ClassicBalancers { here, tags })
    }

    fn observed(answer: ClassicBalancers, context: &Context<'_>, names: &Names) -> Vec<ObservedResource> {
        let ClassicBalancers { here, tags } = answer;
        let made = here.iter().filter_map(|balancer| {
            let name = balancer.load_balancer_name()?;
            let used = balancer.subnets().iter().chain(balancer.security_groups()).map(String::as_str);
            is_made_for(tags.get(name)?, context.cluster).then(|| {
                found::<ClassicBalancer>(names, name.to_owned(), name, used.chain(balancer.vpc_id()))
            })
        });
        made.collect()
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
    type Answer = TargetGroups;

    async fn read(look: &Look<'_>, vpcs: &[String]) -> Result<TargetGroups, CloudError> {
        let id = ResourceId::new(Kind::TargetGroup, look.context.cluster);
        let all = target_groups(look).await?;
        let here: Vec<TargetGroupAnswer> =
            all.iter().filter(|group| is_in(vpcs, group.vpc_id())).cloned().collect();
        let arns = here.iter().filter_map(TargetGroupAnswer::target_group_arn).collect();
        let tags = tags_of(look.context, &id, arns).await?;
        Ok(TargetGroups { groups: here, tags })
    }

    fn observed(answer: TargetGroups, context: &Context<'_>, names: &Names) -> Vec<ObservedResource> {
        let TargetGroups { groups, tags } = answer;
        let made = groups.iter().filter_map(|group| {
            let (arn, name) = (group.target_group_arn()?, group.target_group_name()?);
            is_made_for(tags.get(arn)?, context.cluster)
                .then(|| found::<Targets>(names, name.to_owned(), arn, group.vpc_id()))
        });
        made.collect()
    }

    async fn delete(identity: &Identity, context: &Context<'_>, id: &ResourceId) -> Result<(), CloudError> {
        let call = context.clients.elbv2.delete_target_group().target_group_arn(&identity.id);
        gone(call.send().await.during("elasticloadbalancing", "DeleteTargetGroup", id))
    }
}

/// What is in the cluster's VPC, with the tags of each by its ARN.
#[derive(Default)]
pub struct Balancers {
    here: Vec<Answer>,
    tags: BTreeMap<String, Tags>,
    /// Target groups, which say whose they are: they go after their load balancers.
    groups: Arc<[TargetGroupAnswer]>,
}

/// What is in the cluster's VPC, with the tags of each by its name.
#[derive(Default)]
pub struct ClassicBalancers {
    here: Vec<ClassicAnswer>,
    tags: BTreeMap<String, Tags>,
}

/// What is in the cluster's VPC, with the tags of each by its ARN.
#[derive(Default)]
pub struct TargetGroups {
    groups: Vec<TargetGroupAnswer>,
    tags: BTreeMap<String, Tags>,
}

fn is_in(vpcs: &[String], vpc: Option<&str>) -> bool {
    vpc.is_some_and(|vpc| vpcs.iter().any(|known| known == vpc))
}

async fn classic_tags(
    context: &Context<'_>,
    id: &ResourceId,
    balancers: &[ClassicAnswer],
) -> Result<BTreeMap<String, Tags>, CloudError> {
    let names: Vec<&str> = balancers.iter().filter_map(ClassicAnswer::load_balancer_name).collect();
    let described = try_join_all(names.chunks(TAGS_PER_CALL).map(|some| async {
        let call = context.clients.elb.describe_tags();
        let call = call.set_load_balancer_names(Some(some.iter().map(|name| (*name).to_owned()).collect()));
        call.send().await.during("elasticloadbalancing", "DescribeTags", id)
    }));
    let described = described.await?;
    let tags = described.iter().flat_map(ClassicTagsOutput::tag_descriptions).map(|described| {
        let pairs = described
            .tags()
            .iter()
            .map(|tag| (tag.key().to_owned(), tag.value().unwrap_or_default().to_owned()));
        (described.load_balancer_name().unwrap_or_default().to_owned(), pairs.collect())
    });
    Ok(tags.collect())
}
