//! What has a name that something new was to have. Where it lost the tags by which windlass knows its own, no search by
//! tags finds it, and every creation runs into it: so it is looked for by its name, and named. And other clusters of the
//! same name, whose volumes of PersistentVolumes carry the same tags as this one's.

use std::fmt::Write as _;

use aws_sdk_ec2::types::Tag;

use super::context::Context;
use super::error::CloudError;
use super::kinds::{Kind, Resource};
use super::reference::ResourceId;
use super::role;
use crate::aws::tags::{self, Owner, Ownership, Tags};
use crate::aws::{AwsError, During};

/// The error of a creation that AWS refused because the name is taken.
pub(super) async fn explain(source: AwsError, wanted: &Resource, context: &Context<'_>) -> CloudError {
    match wanted.namesake(context, &wanted.id()).await {
        Ok(Some(found)) if context.owner.of(&found.tags) == Ownership::Foreign => {
            let command = wanted.kind().mark_command(&found.aws_id, context.owner);
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

/// What has a name that was to be had.
pub struct Namesake {
    /// AWS's id.
    pub(super) aws_id: String,
    /// All of its tags.
    pub(super) tags: Tags,
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

/// The command that says again whose something of EC2's is.
pub(super) fn mark_in_ec2(aws_id: &str, owner: &Owner) -> String {
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
            let command = resource.kind.uid_command(&resource.name, "0123");
            let error = CloudError::Namesake { resource, uid: None, ours: Some("0123".to_owned()), command };
            let hint = error.hint().unwrap();
            assert!(
                hint.contains(begins) && hint.contains("Key=windlass.dev/cluster-uid,Value=0123"),
                "{hint}"
            );
        }
    }
}
