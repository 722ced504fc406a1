//! Security groups that exist without the cluster.

use std::collections::BTreeSet;

use super::FactsError;
use crate::aws::{Clients, During};
use crate::spec::cluster::{Cluster, InstanceGroup};

/// Checks that the security groups that groups name are there: no instance would be launched with others. One call for each
/// group that names some, none where there is none.
pub(super) async fn security_groups(cluster: &Cluster, clients: &Clients) -> Result<(), FactsError> {
    for group in &cluster.instance_groups {
        if !group.additional_security_groups.is_empty() {
            check(cluster, group, clients).await?;
        }
    }
    Ok(())
}

async fn check(cluster: &Cluster, group: &InstanceGroup, clients: &Clients) -> Result<(), FactsError> {
    let wanted = &group.additional_security_groups;
    let these = aws_sdk_ec2::types::Filter::builder().name("group-id");
    let these = these.set_values(Some(wanted.iter().cloned().collect())).build();
    let pages = clients.ec2.describe_security_groups().filters(these).into_paginator().items().send();
    let found = pages.try_collect().await.during("ec2", "DescribeSecurityGroups", &group.name)?;
    let found: BTreeSet<&str> = found.iter().filter_map(|found| found.group_id()).collect();
    match wanted.iter().find(|id| !found.contains(id.as_str())) {
        Some(missing) => Err(FactsError::SecurityGroup {
            group: group.name.clone(),
            id: missing.clone(),
            region: cluster.region.clone(),
        }),
        None => Ok(()),
    }
}
