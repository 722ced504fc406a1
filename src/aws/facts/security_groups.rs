//! Security groups that exist without the cluster.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::SecurityGroup;

use super::FactsError;
use crate::aws::{Clients, During};
use crate::spec::cluster::Cluster;

/// How many values a filter takes (EC2 User Guide, "Filter your resources").
const FILTER_LIMIT: usize = 200;

/// Checks that the security groups that are named are there: no instance would be launched with others, and no load
/// balancer made. One call for each 200 of them, none where there is none.
pub(super) async fn security_groups(cluster: &Cluster, clients: &Clients) -> Result<(), FactsError> {
    let wanted = wanted(cluster);
    let ids: Vec<&str> = wanted.keys().copied().collect();
    for ids in ids.chunks(FILTER_LIMIT) {
        let these = aws_sdk_ec2::types::Filter::builder().name("group-id");
        let these = these.set_values(Some(ids.iter().map(|id| (*id).to_owned()).collect())).build();
        let pages = clients.ec2.describe_security_groups().filters(these).into_paginator().items().send();
        let found = pages.try_collect().await.during("ec2", "DescribeSecurityGroups", &cluster.name)?;
        check_vpc(cluster, &found)?;
        let found: BTreeSet<&str> = found.iter().filter_map(|found| found.group_id()).collect();
        if let Some(id) = ids.iter().find(|id| !found.contains(*id)) {
            let (group, region) = (wanted.get(id).copied().flatten(), cluster.region.clone());
            let (group, id) = (group.map(str::to_owned), (*id).to_owned());
            return Err(FactsError::SecurityGroup { group, id, region });
        }
    }
    Ok(())
}

/// Checks that what instances have in the place of windlass's own is in the cluster's VPC, where that exists already.
fn check_vpc(cluster: &Cluster, found: &[SecurityGroup]) -> Result<(), FactsError> {
    let Some(vpc) = &cluster.network.existing_vpc else { return Ok(()) };
    for group in &cluster.instance_groups {
        let own = found.iter().find(|found| found.group_id() == group.security_group.as_deref());
        let Some((id, own)) = group.security_group.as_ref().zip(own) else { continue };
        if own.vpc_id().is_some_and(|other| other != vpc) {
            return Err(FactsError::SecurityGroupVpc {
                group: group.name.clone(),
                id: id.clone(),
                found: own.vpc_id().unwrap_or_default().to_owned(),
                wanted: vpc.clone(),
            });
        }
    }
    Ok(())
}

/// The ids, each with an instance group that names it; those of load balancers without one.
fn wanted(cluster: &Cluster) -> BTreeMap<&str, Option<&str>> {
    let of_groups = cluster.instance_groups.iter().flat_map(|group| {
        let ids = group.security_group.iter().chain(&group.additional_security_groups);
        ids.map(|id| (id.as_str(), Some(group.name.as_str())))
    });
    let of_bastions = cluster.bastion.iter().map(|bastion| &bastion.load_balancer);
    let of_balancers = cluster.api.load_balancer.iter().chain(of_bastions).flat_map(|balancer| {
        let ids = balancer.security_group.iter().chain(&balancer.additional_security_groups);
        ids.map(|id| (id.as_str(), None))
    });
    of_groups.chain(of_balancers).collect()
}
