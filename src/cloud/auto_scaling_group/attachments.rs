//! Load balancers of others that a group's instances are put into.

use std::collections::BTreeSet;

use aws_sdk_autoscaling::types::AutoScalingGroup as Answer;

use crate::aws::During;
use crate::aws::tags::{self, Tags};
use crate::cloud::context::Context;
use crate::cloud::digest;
use crate::cloud::error::CloudError;
use crate::cloud::reference::ResourceId;
use crate::spec::cluster::Attachment;

/// How many characters of a digest tell a group's load balancers apart: 28 of them fit into a tag.
const DIGEST: usize = 8;

/// The value of the tag that says which of a group's load balancers of others windlass attached: their digests, as their
/// names would be too long.
pub fn tag(attached: &BTreeSet<Attachment>) -> Option<(String, String)> {
    let digests: Vec<String> = attached.iter().map(short_digest).collect();
    (!digests.is_empty()).then(|| (tags::ATTACHED.to_owned(), digests.join(" ")))
}

fn short_digest(attachment: &Attachment) -> String {
    digest(attachment.to_string().as_bytes())[..DIGEST].to_owned()
}

/// The target groups among them, where there are any.
pub(super) fn target_groups<'a>(attached: impl Iterator<Item = &'a Attachment>) -> Option<Vec<String>> {
    some(attached.filter(|attachment| matches!(attachment, Attachment::TargetGroup(_))))
}

/// The Classic Load Balancers among them, where there are any.
pub(super) fn load_balancers<'a>(attached: impl Iterator<Item = &'a Attachment>) -> Option<Vec<String>> {
    some(attached.filter(|attachment| matches!(attachment, Attachment::ClassicLoadBalancer(_))))
}

fn some<'a>(attached: impl Iterator<Item = &'a Attachment>) -> Option<Vec<String>> {
    let names: Vec<String> = attached.map(|attachment| attachment.name().to_owned()).collect();
    (!names.is_empty()).then_some(names)
}

/// Attaches; what is attached already stays so.
pub(super) async fn attach<'a>(
    group: &str,
    new: impl Iterator<Item = &'a Attachment> + Clone,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<(), CloudError> {
    let autoscaling = &context.clients.autoscaling;
    if let Some(arns) = target_groups(new.clone()) {
        let call = autoscaling.attach_load_balancer_target_groups().auto_scaling_group_name(group);
        let call = call.set_target_group_arns(Some(arns));
        call.send().await.during("autoscaling", "AttachLoadBalancerTargetGroups", id)?;
    }
    if let Some(names) = load_balancers(new) {
        let call = autoscaling.attach_load_balancers().auto_scaling_group_name(group);
        let call = call.set_load_balancer_names(Some(names));
        call.send().await.during("autoscaling", "AttachLoadBalancers", id)?;
    }
    Ok(())
}

/// Detaches what is attached.
pub(super) async fn detach<'a>(
    group: &str,
    gone: impl Iterator<Item = &'a Attachment> + Clone,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<(), CloudError> {
    let autoscaling = &context.clients.autoscaling;
    if let Some(arns) = target_groups(gone.clone()) {
        let call = autoscaling.detach_load_balancer_target_groups().auto_scaling_group_name(group);
        let call = call.set_target_group_arns(Some(arns));
        call.send().await.during("autoscaling", "DetachLoadBalancerTargetGroups", id)?;
    }
    if let Some(names) = load_balancers(gone) {
        let call = autoscaling.detach_load_balancers().auto_scaling_group_name(group);
        let call = call.set_load_balancer_names(Some(names));
        call.send().await.during("autoscaling", "DetachLoadBalancers", id)?;
    }
    Ok(())
}

/// What windlass has attached; what is attached besides is left alone.
pub(super) fn read(group: &Answer, tags: &Tags) -> BTreeSet<Attachment> {
    let ours: Vec<&str> =
        tags.get(tags::ATTACHED).map(|digests| digests.split(' ').collect()).unwrap_or_default();
    let arns = group.target_group_arns().iter().cloned().map(Attachment::TargetGroup);
    let names = group.load_balancer_names().iter().cloned().map(Attachment::ClassicLoadBalancer);
    arns.chain(names).filter(|found| ours.contains(&short_digest(found).as_str())).collect()
}
