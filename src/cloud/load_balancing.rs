//! Network Load Balancers of windlass's own: in front of the API and of bastions. A load balancer has listeners, each of which
//! leads to a target group; Auto Scaling groups put their instances into those.
//!
//! Elastic Load Balancing has no search by tags, so that all of the region are listed, and the tags are asked of those whose
//! names begin as the cluster's do. Names are unique in an account's region and have 32 characters at most
//! (API_CreateLoadBalancer, API_CreateTargetGroup), so that they are cut and end in a digest. It is of the cluster's name and
//! of what AWS never changes: where that changes, another load balancer is made beside the old one, which then goes.

mod listener;
mod network_load_balancer;
mod target_group;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_elasticloadbalancingv2::operation::describe_tags::DescribeTagsOutput;
use aws_sdk_elasticloadbalancingv2::types::{
    LoadBalancer, LoadBalancerStateEnum, Tag, TargetGroup, TargetHealthStateEnum,
};
use futures::future::try_join_all;

pub use self::listener::{Forwarding, LoadBalancerListener};
pub use self::network_load_balancer::{Mapping, NetworkLoadBalancer, names_in_zones};
pub use self::target_group::{Behind, LoadBalancerTargetGroup, Protocol};
use super::context::Context;
use super::digest;
use super::error::CloudError;
use super::kinds::Kind;
use super::look::Look;
use super::reference::ResourceId;
use crate::aws::retry::{Look as Found, Patience, wait_for};
use crate::aws::tags::{self, Tags};
use crate::aws::{AwsError, During};
use crate::spec::cluster::{self, Cluster};

/// How many of them one DescribeTags takes, in both generations' APIs.
pub(super) const TAGS_PER_CALL: usize = 20;

/// The longest name.
const LONGEST_NAME: usize = 32;

/// How much of a digest a name ends in.
const DIGEST: usize = 6;

/// What the names of the cluster's load balancers and target groups begin with, besides their purpose.
fn cluster_part(purpose: &str, cluster: &str) -> String {
    let room = LONGEST_NAME - DIGEST - 1 - purpose.len() - 1;
    let cluster: String = cluster.replace('.', "-").chars().take(room).collect();
    format!("{purpose}-{}", cluster.trim_end_matches('-'))
}

/// The name of a load balancer or a target group: `<purpose>-<cluster, cut>-<digest>`. `fixed` is what AWS never changes.
pub fn name_of(purpose: &str, cluster: &str, fixed: &str) -> String {
    let digest = digest(format!("{cluster}\n{fixed}").as_bytes());
    format!("{}-{}", cluster_part(purpose, cluster), &digest[..DIGEST])
}

/// What the API's load balancer is called.
pub fn name_of_api(cluster: &Cluster, balancer: &cluster::LoadBalancer) -> String {
    name_of_front("api", cluster, balancer)
}

/// What the load balancer for a purpose is called. A load balancer's scheme and its own addresses are never changed; with
/// others, it is another one.
pub fn name_of_front(purpose: &str, cluster: &Cluster, balancer: &cluster::LoadBalancer) -> String {
    let scheme = if balancer.internal { "internal" } else { "public" };
    let addresses = balancer.subnets.iter().filter_map(|chosen| {
        let address = chosen.allocation.clone().or(chosen.private_address.map(|it| it.to_string()))?;
        Some(format!("{}={address}", chosen.subnet.name))
    });
    let fixed: Vec<String> = std::iter::once(scheme.to_owned()).chain(addresses).collect();
    name_of(purpose, &cluster.name, &fixed.join("\n"))
}

/// Whether a name begins as those of the cluster's for one of these purposes do.
fn may_be_ours(name: Option<&str>, purposes: &[&str], cluster: &str) -> bool {
    let begins = |purpose: &&str| name.is_some_and(|name| name.starts_with(&cluster_part(purpose, cluster)));
    purposes.iter().any(begins)
}

/// The load balancers of the region, whoever made them.
pub(super) async fn load_balancers(look: &Look<'_>) -> Result<Arc<[LoadBalancer]>, CloudError> {
    let context = look.context;
    let ask = async {
        let id = ResourceId::new(Kind::NetworkLoadBalancer, context.cluster);
        let pages = context.clients.elbv2.describe_load_balancers().into_paginator().items().send();
        Ok(pages.try_collect().await.during("elasticloadbalancing", "DescribeLoadBalancers", &id)?)
    };
    look.answers.load_balancers.or_ask(ask).await
}

/// The target groups of the region, whoever made them.
pub(super) async fn target_groups(look: &Look<'_>) -> Result<Arc<[TargetGroup]>, CloudError> {
    let context = look.context;
    let ask = async {
        let id = ResourceId::new(Kind::LoadBalancerTargetGroup, context.cluster);
        let pages = context.clients.elbv2.describe_target_groups().into_paginator().items().send();
        Ok(pages.try_collect().await.during("elasticloadbalancing", "DescribeTargetGroups", &id)?)
    };
    look.answers.target_groups.or_ask(ask).await
}

/// All tags of load balancers, target groups or listeners, by their ARNs.
pub(super) async fn tags_of(
    context: &Context<'_>,
    id: &ResourceId,
    arns: Vec<&str>,
) -> Result<BTreeMap<String, Tags>, CloudError> {
    let described = try_join_all(arns.chunks(TAGS_PER_CALL).map(|some| async {
        let call = context.clients.elbv2.describe_tags();
        let call = call.set_resource_arns(Some(some.iter().map(|arn| (*arn).to_owned()).collect()));
        call.send().await.during("elasticloadbalancing", "DescribeTags", id)
    }));
    let described = described.await?;
    let tags = described.iter().flat_map(DescribeTagsOutput::tag_descriptions).map(|described| {
        let pairs = described
            .tags()
            .iter()
            .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())));
        (described.resource_arn().unwrap_or_default().to_owned(), pairs.collect())
    });
    Ok(tags.collect())
}

/// How long a new load balancer may take until it leads somewhere: two or three minutes to come to life, and what it takes
/// for a target to be found well.
const ANSWERING: Duration = Duration::from_mins(15);

/// Waits until a load balancer has a target that is well.
pub(super) async fn wait_until_it_answers(
    arn: &str,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<(), CloudError> {
    let what = "the load balancer to have a target that is well";
    let look = || answers(arn, context, id);
    Ok(context.waiting(wait_for(what.to_owned(), Patience::of(ANSWERING), look)).await?)
}

async fn answers(arn: &str, context: &Context<'_>, id: &ResourceId) -> Result<Found<()>, AwsError> {
    let elb = &context.clients.elbv2;
    let answer = elb.describe_load_balancers().load_balancer_arns(arn).send().await;
    let answer = answer.during("elasticloadbalancing", "DescribeLoadBalancers", id)?;
    let state = answer.load_balancers().first().and_then(|it| it.state()?.code());
    if state != Some(&LoadBalancerStateEnum::Active) {
        return Ok(Found::Wait(format!("it is {}", state.map_or("unknown", LoadBalancerStateEnum::as_str))));
    }
    let groups = elb.describe_target_groups().load_balancer_arn(arn).send().await;
    let groups = groups.during("elasticloadbalancing", "DescribeTargetGroups", id)?;
    let mut states = Vec::new();
    for group in groups.target_groups().iter().filter_map(TargetGroup::target_group_arn) {
        let health = elb.describe_target_health().target_group_arn(group).send().await;
        let health = health.during("elasticloadbalancing", "DescribeTargetHealth", id)?;
        let targets = health.target_health_descriptions().iter();
        states.extend(targets.filter_map(|target| target.target_health()?.state().cloned()));
    }
    if states.contains(&TargetHealthStateEnum::Healthy) {
        return Ok(Found::Done(()));
    }
    let shown: BTreeSet<&str> = states.iter().map(TargetHealthStateEnum::as_str).collect();
    Ok(Found::Wait(match shown.into_iter().collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => "it has no targets".to_owned(),
        shown => format!("its targets are {shown}"),
    }))
}

/// Tags in Elastic Load Balancing's form.
fn to_elb(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

/// Sets and removes tags so that those in `from` become those in `to`.
async fn retag(
    context: &Context<'_>,
    id: &ResourceId,
    arn: &str,
    from: &Tags,
    to: &Tags,
) -> Result<(), CloudError> {
    let elb = &context.clients.elbv2;
    let (set, gone) = tags::difference(from, to);
    if !set.is_empty() {
        let call = elb.add_tags().resource_arns(arn).set_tags(Some(to_elb(&set)));
        call.send().await.during("elasticloadbalancing", "AddTags", id)?;
    }
    if !gone.is_empty() {
        let call = elb.remove_tags().resource_arns(arn).set_tag_keys(Some(gone));
        call.send().await.during("elasticloadbalancing", "RemoveTags", id)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_32_characters_at_most_and_that_of_another_cluster_or_form_is_another() {
        let long = format!("{}.example.com", "a".repeat(60));
        let names = [
            name_of("api", "demo.example.com", "internal"),
            name_of("api", "demo.example.com", "internet-facing"),
            name_of("api", "demo-example.com", "internal"),
            name_of("bastion", &long, ""),
            name_of("bastion", &format!("{long}.org"), ""),
        ];
        for (index, name) in names.iter().enumerate() {
            let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            assert!(name.len() <= LONGEST_NAME && plain && !name.ends_with('-'), "{name}");
            assert!(!names[..index].contains(name), "{name}");
        }
        assert!(names[0].starts_with("api-demo-example-com-"), "{}", names[0]);
        assert!(may_be_ours(Some(&names[3]), &["api", "bastion"], &long));
        assert!(!may_be_ours(Some(&names[3]), &["api"], &long) && !may_be_ours(None, &["api"], &long));
    }
}
