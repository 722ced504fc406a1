//! Security groups that exist without the cluster.

use std::collections::{BTreeMap, BTreeSet};

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
        let found: BTreeSet<&str> = found.iter().filter_map(|found| found.group_id()).collect();
        if let Some(id) = ids.iter().find(|id| !found.contains(*id)) {
            let (group, region) = (wanted.get(id).copied().flatten(), cluster.region.clone());
            let (group, id) = (group.map(str::to_owned), (*id).to_owned());
            return Err(FactsError::SecurityGroup { group, id, region });
        }
    }
    Ok(())
}

/// The ids, each with an instance group that names it; those of load balancers without one.
fn wanted(cluster: &Cluster) -> BTreeMap<&str, Option<&str>> {
    let of_groups = cluster.instance_groups.iter().flat_map(|group| {
        let ids = group.additional_security_groups.iter();
        ids.map(|id| (id.as_str(), Some(group.name.as_str())))
    });
    let of_bastions = cluster.bastion.iter().map(|bastion| &bastion.load_balancer);
    let of_balancers = cluster.api.load_balancer.iter().chain(of_bastions).flat_map(|balancer| {
        let ids = balancer.security_group.iter().chain(&balancer.additional_security_groups);
        ids.map(|id| (id.as_str(), None))
    });
    of_groups.chain(of_balancers).collect()
}
