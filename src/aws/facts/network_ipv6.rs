//! What an existing VPC has of IPv6, and whether that is what the specification counts on.

use aws_sdk_ec2::types::{EgressOnlyInternetGateway, Subnet as SubnetAnswer, Vpc};
use ipnet::Ipv6Net;

use super::FactsError;
use super::network_error::ExistingNetworkError;
use crate::aws::{Clients, During, ipv6_ranges};
use crate::spec::cluster::{Cluster, Subnet};

/// What there is of IPv6.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ExistingIpv6 {
    /// The block that ranges are counted from.
    pub(super) block: Option<Ipv6Net>,
    /// The egress-only Internet gateway, where something is to lead to it.
    pub(super) egress_only_gateway: Option<String>,
}

/// The subnets of the specification with IPv6 ranges, each with the field of its range.
fn with_ranges(cluster: &Cluster) -> impl Iterator<Item = (String, &Subnet)> {
    let all = cluster.subnets.iter().enumerate().filter(|(_, subnet)| subnet.ipv6.is_some());
    all.map(|(index, subnet)| (field_of(index), subnet))
}

pub(super) fn field_of(index: usize) -> String {
    format!("spec.subnets[{index}].ipv6CIDR")
}

/// Checks that the VPC has the IPv6 addresses that its subnets are to have, and returns its block where they are to have any.
pub(super) fn check_block(cluster: &Cluster, id: &str, vpc: &Vpc) -> Result<Option<Ipv6Net>, FactsError> {
    let mut subnets = with_ranges(cluster).peekable();
    let Some((field, _)) = subnets.peek() else { return Ok(None) };
    let Some(block) = ipv6_ranges::block_of(vpc) else {
        return Err(ExistingNetworkError::NoIpv6 { field: field.clone(), vpc: id.to_owned() }.into());
    };
    let blocks = ipv6_ranges::blocks_of(vpc);
    let is_within = |subnet: &Subnet| {
        let range = subnet.ipv6.and_then(|range| range.within(block));
        range.is_some_and(|range| blocks.iter().any(|block| block.contains(&range)))
    };
    match subnets.find(|(_, subnet)| !is_within(subnet)) {
        None => Ok(Some(block)),
        Some((field, subnet)) => {
            let blocks: Vec<String> = blocks.iter().map(ToString::to_string).collect();
            Err(ExistingNetworkError::Otherwise {
                field,
                id: id.to_owned(),
                found: format!("the IPv6 addresses {}", blocks.join(", ")),
                wanted: subnet.ipv6.map(|range| range.to_string()).unwrap_or_default(),
            }
            .into())
        }
    }
}

/// The VPC's egress-only Internet gateway, where windlass keeps routes of private subnets with IPv6 addresses. EC2 finds none by
/// its VPC: all of the region are asked for, of which there are no more than VPCs.
pub(super) async fn egress_only_gateway(
    cluster: &Cluster,
    vpc: &str,
    clients: &Clients,
) -> Result<Option<String>, FactsError> {
    let mut private = with_ranges(cluster).map(|(_, subnet)| subnet);
    let Some(subnet) = private.find(|subnet| subnet.kind.is_private() && subnet.is_routed()) else {
        return Ok(None);
    };
    let pages = clients.ec2.describe_egress_only_internet_gateways().into_paginator().items().send();
    let found = pages.try_collect().await.during("ec2", "DescribeEgressOnlyInternetGateways", vpc)?;
    let is_of_vpc = |gateway: &&EgressOnlyInternetGateway| {
        gateway.attachments().iter().any(|attachment| attachment.vpc_id() == Some(vpc))
    };
    let gateway = found.iter().find(is_of_vpc).and_then(|gateway| gateway.egress_only_internet_gateway_id());
    let missing =
        || ExistingNetworkError::NoEgressOnlyGateway { vpc: vpc.to_owned(), subnet: subnet.name.clone() };
    Ok(Some(gateway.ok_or_else(missing)?.to_owned()))
}

/// An IPv6 range that an existing subnet has, and what the specification says of it.
#[derive(Debug)]
pub(super) struct SubnetRange {
    /// The field of the specification.
    pub(super) field: String,
    /// The subnet's id.
    pub(super) id: String,
    /// What is there.
    pub(super) found: Option<Ipv6Net>,
}

impl SubnetRange {
    pub(super) fn of(index: usize, id: &str, answer: &SubnetAnswer) -> Self {
        Self { field: field_of(index), id: id.to_owned(), found: ipv6_ranges::range_of(answer) }
    }
}

/// Checks that existing subnets have the IPv6 ranges that the specification says, of which it may say none.
pub(super) fn check_subnets(
    cluster: &Cluster,
    block: Option<Ipv6Net>,
    found: Vec<SubnetRange>,
) -> Result<(), FactsError> {
    for SubnetRange { field, id, found } in found {
        let subnet = with_ranges(cluster).find(|(other, _)| *other == field);
        let Some(written) = subnet.and_then(|(_, subnet)| subnet.ipv6) else { continue };
        if found.is_none() || found != block.and_then(|block| written.within(block)) {
            return Err(ExistingNetworkError::Otherwise {
                field,
                id,
                found: found.map_or("no IPv6 range".to_owned(), |range| format!("the IPv6 range {range}")),
                wanted: written.to_string(),
            }
            .into());
        }
    }
    Ok(())
}
