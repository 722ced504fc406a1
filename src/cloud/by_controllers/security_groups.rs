//! Security groups of load balancers.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{Filter, IpPermission, SecurityGroup, UserIdGroupPair};

use super::super::blockers::{Blocker, Looker};
use super::super::context::{Context, Identity, Names, ObservedResource};
use super::super::error::{CloudError, gone};
use super::super::kinds::Kind;
use super::super::look::Look;
use super::super::reference::ResourceId;
use super::super::resource_kind::Declaration;
use super::{MadeByController, MadeKind, found, is_made_for, made};
use crate::aws::{AwsError, During, tags};

/// A security group that a controller made.
pub type ControllersSecurityGroup = MadeByController<Group>;

/// What controllers' security groups are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {}

impl MadeKind for Group {
    const KIND: Kind = Kind::ControllersSecurityGroup;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::Vpc, Kind::SecurityGroup],
        // Rules in the cluster's own groups name it, which windlass knows by their group only.
        deleted_after: &[Kind::AutoScalingGroup, Kind::SecurityGroupRules],
        ..made("controllers-security-group")
    };
    type Answer = Vec<SecurityGroup>;

    async fn read(look: &Look<'_>, vpcs: &[String]) -> Result<Vec<SecurityGroup>, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::ControllersSecurityGroup, context.cluster);
        let here = Filter::builder().name("vpc-id").set_values(Some(vpcs.to_vec())).build();
        let call = context.clients.ec2.describe_security_groups().filters(here).into_paginator();
        Ok(call.items().send().try_collect().await.during("ec2", "DescribeSecurityGroups", &id)?)
    }

    fn observed(answer: Vec<SecurityGroup>, context: &Context<'_>, names: &Names) -> Vec<ObservedResource> {
        let made = answer.iter().filter_map(|group| {
            let all = tags::all_from_ec2(group.tags());
            let (group_id, name) = (group.group_id()?, group.group_name().unwrap_or_default());
            let by_controller = is_made_for(&all, context.cluster) && !all.contains_key(tags::MANAGED);
            by_controller.then(|| {
                let peers = peers(group);
                let used = peers.iter().map(String::as_str).chain(group.vpc_id());
                found::<Group>(names, format!("{name} ({group_id})"), group_id, used)
            })
        });
        made.collect()
    }

    /// Its rules go first: they may name another group, whose rules name this one.
    async fn delete(identity: &Identity, context: &Context<'_>, id: &ResourceId) -> Result<(), CloudError> {
        let ec2 = &context.clients.ec2;
        let answer = ec2.describe_security_groups().group_ids(&identity.id).send().await;
        let group = match answer.during("ec2", "DescribeSecurityGroups", id) {
            Ok(answer) => answer.security_groups().first().cloned(),
            Err(error) if error.is_not_found() => None,
            Err(error) => return Err(error.into()),
        };
        let Some(group) = group else { return Ok(()) };
        if !group.ip_permissions().is_empty() {
            let call = ec2.revoke_security_group_ingress().group_id(&identity.id);
            let call = call.set_ip_permissions(Some(group.ip_permissions().to_vec()));
            gone(call.send().await.during("ec2", "RevokeSecurityGroupIngress", id))?;
        }
        if !group.ip_permissions_egress().is_empty() {
            let call = ec2.revoke_security_group_egress().group_id(&identity.id);
            let call = call.set_ip_permissions(Some(group.ip_permissions_egress().to_vec()));
            gone(call.send().await.during("ec2", "RevokeSecurityGroupEgress", id))?;
        }
        let call = ec2.delete_security_group().group_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteSecurityGroup", id))
    }

    async fn blockers(aws_id: &str, look: &Looker<'_>) -> Result<Vec<Blocker>, AwsError> {
        look.at_security_group(aws_id).await
    }
}

/// The groups that its rules name: none of them can go before these rules.
fn peers(group: &SecurityGroup) -> BTreeSet<String> {
    let permissions = group.ip_permissions().iter().chain(group.ip_permissions_egress());
    let pairs = permissions.flat_map(IpPermission::user_id_group_pairs);
    let ids = pairs.filter_map(UserIdGroupPair::group_id);
    ids.filter(|id| group.group_id() != Some(*id)).map(str::to_owned).collect()
}
