//! Load balancers of others that groups are put into: Auto Scaling takes no group for one that isn't there.

use aws_sdk_elasticloadbalancing::types::LoadBalancerDescription;
use aws_sdk_elasticloadbalancingv2::types::{TargetGroup, TargetTypeEnum};
use futures::try_join;

use super::FactsError;
use super::external_load_balancer_error::{ExternalLoadBalancerError, LOAD_BALANCER, TARGET_GROUP};
use crate::aws::{Clients, During};
use crate::spec::cluster::{Attachment, Cluster};

/// Checks that target groups and load balancers that groups name are there and can have instances of the cluster's VPC. All
/// that there are in the region are listed, where some are named: a call that names several says only that one isn't there.
pub(super) async fn check_external_load_balancers(
    cluster: &Cluster,
    clients: &Clients,
) -> Result<(), FactsError> {
    let groups = cluster.instance_groups.iter();
    let named = groups.flat_map(|group| group.attached.iter().map(|it| (group.name.as_str(), it)));
    let (targets, classic): (Vec<_>, Vec<_>) =
        named.partition(|(_, attachment)| matches!(attachment, Attachment::TargetGroup(_)));
    let (target_groups, load_balancers) = try_join!(
        async { if targets.is_empty() { Ok(Vec::new()) } else { target_groups(cluster, clients).await } },
        async { if classic.is_empty() { Ok(Vec::new()) } else { load_balancers(cluster, clients).await } },
    )?;
    for (group, attachment) in targets {
        let found = target_groups.iter().find(|found| found.target_group_arn() == Some(attachment.name()));
        let named = Named { cluster, group, attachment };
        let found = found.ok_or_else(|| named.missing(TARGET_GROUP))?;
        named.check_type(found)?;
        named.check_vpc(found.vpc_id())?;
    }
    for (group, attachment) in classic {
        let found = load_balancers.iter().find(|found| found.load_balancer_name() == Some(attachment.name()));
        let named = Named { cluster, group, attachment };
        let found = found.ok_or_else(|| named.missing(LOAD_BALANCER))?;
        named.check_vpc(found.vpc_id())?;
    }
    Ok(())
}

async fn target_groups(cluster: &Cluster, clients: &Clients) -> Result<Vec<TargetGroup>, FactsError> {
    let pages = clients.elbv2.describe_target_groups().into_paginator().items().send();
    Ok(pages.try_collect().await.during("elbv2", "DescribeTargetGroups", &cluster.name)?)
}

async fn load_balancers(
    cluster: &Cluster,
    clients: &Clients,
) -> Result<Vec<LoadBalancerDescription>, FactsError> {
    let pages = clients.elb.describe_load_balancers().into_paginator().items().send();
    Ok(pages.try_collect().await.during("elb", "DescribeLoadBalancers", &cluster.name)?)
}

/// What a group names.
struct Named<'a> {
    cluster: &'a Cluster,
    group: &'a str,
    attachment: &'a Attachment,
}

impl Named<'_> {
    fn missing(&self, what: &'static str) -> ExternalLoadBalancerError {
        ExternalLoadBalancerError::Missing {
            group: self.group.to_owned(),
            what,
            name: self.attachment.name().to_owned(),
            region: self.cluster.region.clone(),
        }
    }

    fn check_type(&self, found: &TargetGroup) -> Result<(), ExternalLoadBalancerError> {
        match found.target_type() {
            None | Some(TargetTypeEnum::Instance) => Ok(()),
            Some(other) => Err(ExternalLoadBalancerError::TargetType {
                group: self.group.to_owned(),
                arn: self.attachment.name().to_owned(),
                found: other.as_str().to_owned(),
            }),
        }
    }

    /// Where the cluster makes its VPC, Auto Scaling says it.
    fn check_vpc(&self, found: Option<&str>) -> Result<(), ExternalLoadBalancerError> {
        match (&self.cluster.network.existing_vpc, found) {
            (Some(wanted), Some(found)) if wanted != found => Err(ExternalLoadBalancerError::Vpc {
                group: self.group.to_owned(),
                name: self.attachment.name().to_owned(),
                found: found.to_owned(),
                wanted: wanted.clone(),
            }),
            _ => Ok(()),
        }
    }
}
