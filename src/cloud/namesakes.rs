//! What has a name that something new was to have. Where it lost the tags by which windlass knows its own, no search by
//! tags finds it, and every creation runs into it: so it is looked for by its name, and named. And other clusters of the
//! same name, whose volumes of PersistentVolumes carry the same tags as this one's.

use std::fmt::Write as _;

use aws_sdk_ec2::types::Tag;
use windlass_bootstrap::tags as shared;

use super::Resource;
use super::context::Context;
use super::error::CloudError;
use super::reference::{Kind, ResourceId};
use super::role;
use crate::aws::tags::{self, Owner, Ownership, Tags};
use crate::aws::{AwsError, During};

/// The error of a creation that AWS refused because the name is taken.
pub(super) async fn explain(source: AwsError, wanted: &Resource, context: &Context<'_>) -> CloudError {
    match find(wanted, context).await {
        Ok(Some(found)) if context.owner.of(&found.tags) == Ownership::Foreign => {
            let command = match wanted.kind() {
                Kind::AutoScalingGroup => mark_group(&found.aws_id, context.owner),
                _ => mark(&found.aws_id, context.owner),
            };
            CloudError::Unmarked {
                resource: wanted.id(),
                aws_id: found.aws_id,
                found: found.tags.get(tags::MANAGED).cloned(),
                command,
            }
        }
        // It is ours, and the next look by tags finds it; or nobody knows, and AWS's own words must do.
        _ => source.into(),
    }
}

struct Namesake {
    aws_id: String,
    tags: Tags,
}

async fn find(wanted: &Resource, context: &Context<'_>) -> Result<Option<Namesake>, AwsError> {
    let id = wanted.id();
    match wanted {
        Resource::AutoScalingGroup(group) => auto_scaling_group(&group.name, context, &id).await,
        Resource::SecurityGroup(group) => {
            let Ok(vpc) = context.ids.of(&group.vpc) else { return Ok(None) };
            let call = context.clients.ec2.describe_security_groups();
            let call = call.filters(tags::filter("vpc-id", &vpc));
            let call = call.filters(tags::filter("group-name", &group.name));
            let answer = call.send().await.during("ec2", "DescribeSecurityGroups", &id)?;
            Ok(answer.security_groups().first().map(|group| Namesake {
                aws_id: group.group_id().unwrap_or_default().to_owned(),
                tags: tags::all_from_ec2(group.tags()),
            }))
        }
        Resource::LaunchTemplate(template) => {
            let call = context.clients.ec2.describe_launch_templates().launch_template_names(&template.name);
            let answer = call.send().await.during("ec2", "DescribeLaunchTemplates", &id)?;
            Ok(answer.launch_templates().first().map(|template| Namesake {
                aws_id: template.launch_template_id().unwrap_or_default().to_owned(),
                tags: tags::all_from_ec2(template.tags()),
            }))
        }
        Resource::KeyPair(pair) => {
            let call = context.clients.ec2.describe_key_pairs().key_names(&pair.name);
            let answer = call.send().await.during("ec2", "DescribeKeyPairs", &id)?;
            Ok(answer.key_pairs().first().map(|pair| Namesake {
                aws_id: pair.key_pair_id().unwrap_or_default().to_owned(),
                tags: tags::all_from_ec2(pair.tags()),
            }))
        }
        _ => Ok(None),
    }
}

async fn auto_scaling_group(
    name: &str,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<Option<Namesake>, AwsError> {
    let call = context.clients.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(name);
    let answer = call.send().await.during("autoscaling", "DescribeAutoScalingGroups", id)?;
    Ok(answer.auto_scaling_groups().first().map(|group| Namesake {
        aws_id: name.to_owned(),
        tags: group
            .tags()
            .iter()
            .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
            .collect(),
    }))
}

/// What shows that another cluster of this name is there: a role of that name, or a VPC or a security group of the region
/// that carries it, is not this cluster's. Every cluster has roles and security groups.
///
/// # Errors
///
/// Fails with what AWS said.
pub async fn find_other_cluster(context: &Context<'_>) -> Result<Option<ResourceId>, CloudError> {
    for name in role::instance_role_names(context.cluster) {
        let id = ResourceId::new(Kind::Role, &name);
        let call = context.clients.iam.get_role().role_name(&name);
        match call.send().await.during("iam", "GetRole", &id) {
            Ok(answer) => {
                let tags = answer.role().map(|role| role::from_iam(role.tags())).unwrap_or_default();
                if !context.owner.owns(&tags) {
                    return Ok(Some(id));
                }
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let of_another = |tags: &[Tag]| context.owner.of(&tags::from_ec2(tags)) == Ownership::Namesake;
    let id = ResourceId::new(Kind::Vpc, context.cluster);
    let call = context.clients.ec2.describe_vpcs().filters(tags::of_cluster(context.cluster));
    let vpcs = call.into_paginator().items().send().try_collect().await.during("ec2", "DescribeVpcs", &id)?;
    let vpc = vpcs.iter().find(|vpc| of_another(vpc.tags())).and_then(|vpc| vpc.vpc_id());
    if let Some(vpc) = vpc {
        return Ok(Some(ResourceId::new(Kind::Vpc, vpc)));
    }
    let id = ResourceId::new(Kind::SecurityGroup, context.cluster);
    let call = context.clients.ec2.describe_security_groups().filters(tags::of_cluster(context.cluster));
    let groups = call.into_paginator().items().send().try_collect().await;
    let groups = groups.during("ec2", "DescribeSecurityGroups", &id)?;
    let group = groups.iter().find(|group| of_another(group.tags())).and_then(|group| group.group_id());
    Ok(group.map(|group| ResourceId::new(Kind::SecurityGroup, group)))
}

/// The command that says again whose something is.
fn mark(aws_id: &str, owner: &Owner) -> String {
    let mut command = format!(
        "aws ec2 create-tags --resources {aws_id} --tags Key={},Value={}",
        tags::MANAGED,
        owner.cluster
    );
    if let Some(uid) = &owner.uid {
        let _ = write!(command, " Key={},Value={uid}", tags::UID);
    }
    command
}

fn mark_group(name: &str, owner: &Owner) -> String {
    let cluster = owner.cluster.as_str();
    let mut tags = vec![(tags::MANAGED, cluster, true), (shared::CLUSTER, cluster, true)];
    tags.extend(owner.uid.as_deref().map(|uid| (tags::UID, uid, false)));
    let tags: Vec<String> = tags
        .iter()
        .map(|(key, value, propagate)| {
            format!(
                "ResourceId={name},ResourceType=auto-scaling-group,Key={key},Value={value},PropagateAtLaunch={propagate}"
            )
        })
        .collect();
    format!("aws autoscaling create-or-update-tags --tags {}", tags.join(" "))
}

/// The command that gives back its cluster's uid to what AWS knows by its name.
pub(super) fn give_uid(id: &ResourceId, uid: &str) -> Option<String> {
    let (name, key) = (&id.name, tags::UID);
    Some(match id.kind {
        Kind::AutoScalingGroup => format!(
            "aws autoscaling create-or-update-tags --tags \
             ResourceId={name},ResourceType=auto-scaling-group,Key={key},Value={uid},PropagateAtLaunch=false"
        ),
        Kind::Role => format!("aws iam tag-role --role-name {name} --tags Key={key},Value={uid}"),
        Kind::InstanceProfile => {
            format!(
                "aws iam tag-instance-profile --instance-profile-name {name} --tags Key={key},Value={uid}"
            )
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lost_only_its_uid_is_told_of_with_the_command_that_gives_it_back() {
        for (kind, begins) in [
            (Kind::AutoScalingGroup, "aws autoscaling create-or-update-tags --tags ResourceId=demo,"),
            (Kind::Role, "aws iam tag-role --role-name demo --tags "),
            (Kind::InstanceProfile, "aws iam tag-instance-profile --instance-profile-name demo --tags "),
        ] {
            let resource = ResourceId::new(kind, "demo");
            let command = give_uid(&resource, "0123");
            let error = CloudError::Namesake { resource, uid: None, ours: Some("0123".to_owned()), command };
            let hint = error.hint().unwrap();
            assert!(
                hint.contains(begins) && hint.contains("Key=windlass.dev/cluster-uid,Value=0123"),
                "{hint}"
            );
        }
    }
}
