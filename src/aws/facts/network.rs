//! The part of the network that exists without the cluster: a VPC, subnets, gateways and addresses that a specification names.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use aws_sdk_ec2::types::{
    AttributeBooleanValue, Filter, NetworkInterface, Subnet as SubnetAnswer, Vpc, VpcAttributeName,
};
use futures::join;
use ipnet::Ipv6Net;
use windlass_bootstrap::tags as shared;

use super::FactsError;
use super::network_error::ExistingNetworkError;
use super::network_ipv6::{self, ExistingIpv6, SubnetRange};
use crate::aws::tags::{all_from_ec2, filter};
use crate::aws::{AwsError, Clients, During};
use crate::spec::cluster::{Cluster, Egress, NatAddress, Subnet};

/// What was found out of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExistingNetwork {
    /// The Internet gateway of an existing VPC, where windlass makes subnets that lead to it.
    pub internet_gateway: Option<String>,
    /// The block of IPv6 addresses of an existing VPC, where subnets are to have some.
    pub ipv6_block: Option<Ipv6Net>,
    /// The egress-only Internet gateway of an existing VPC, where windlass makes private subnets that lead to it.
    pub egress_only_gateway: Option<String>,
    /// The allocations of the Elastic IPs that are named by their addresses.
    pub allocations: BTreeMap<Ipv4Addr, String>,
}

/// Finds out what a plan must know of it; asks nothing where nothing that exists is named.
pub(super) async fn existing_network(
    cluster: &Cluster,
    clients: &Clients,
) -> Result<ExistingNetwork, FactsError> {
    let (vpc, subnets, addresses, allocations) = join!(
        vpc(cluster, clients),
        subnets(cluster, clients),
        masters_addresses(cluster, clients),
        allocations(cluster, clients),
    );
    let (internet_gateway, ExistingIpv6 { block: ipv6_block, egress_only_gateway }) = vpc?;
    let (subnets, (), allocations) = (subnets?, addresses?, allocations?);
    network_ipv6::check_subnets(cluster, ipv6_block, subnets)?;
    Ok(ExistingNetwork { internet_gateway, ipv6_block, egress_only_gateway, allocations })
}

/// The error for what isn't there; any other one as it is.
fn unless_missing(error: AwsError, missing: ExistingNetworkError) -> FactsError {
    if error.is_not_found() { missing.into() } else { error.into() }
}

/// Checks the VPC, and returns its Internet gateway where something is to lead to it, and what it has of IPv6 where something is
/// to have it.
async fn vpc(cluster: &Cluster, clients: &Clients) -> Result<(Option<String>, ExistingIpv6), FactsError> {
    let Some(id) = &cluster.network.existing_vpc else { return Ok((None, ExistingIpv6::default())) };
    let missing = || ExistingNetworkError::Missing {
        field: "spec.networkID".to_owned(),
        what: "VPC",
        id: id.clone(),
        region: cluster.region.clone(),
    };
    let ask = async {
        let answer = clients.ec2.describe_vpcs().vpc_ids(id).send().await.during("ec2", "DescribeVpcs", id);
        let answer = answer.map_err(|error| unless_missing(error, missing()))?;
        let vpc = answer.vpcs().first().ok_or_else(missing)?;
        check_ranges(cluster, id, vpc)?;
        network_ipv6::check_block(cluster, id, vpc)
    };
    let (block, names, gateway, egress_only_gateway) = join!(
        ask,
        private_names(cluster, id, clients),
        internet_gateway(cluster, id, clients),
        network_ipv6::egress_only_gateway(cluster, id, clients),
    );
    // What is wrong with the VPC itself is told first, whoever is answered first: a VPC that isn't there has no gateways either.
    let block = block?;
    names?;
    Ok((gateway?, ExistingIpv6 { block, egress_only_gateway: egress_only_gateway? }))
}

/// Checks that AWS's resolver answers in the VPC with the names of private zones (Route 53 Developer Guide, "Considerations when
/// working with a private hosted zone"). Where there is no such VPC, that is told elsewhere.
async fn private_names(cluster: &Cluster, vpc: &str, clients: &Clients) -> Result<(), FactsError> {
    if cluster.api.dns.as_ref().is_none_or(|dns| dns.visibility.is_public()) {
        return Ok(());
    }
    for name in [VpcAttributeName::EnableDnsSupport, VpcAttributeName::EnableDnsHostnames] {
        let attribute = if name == VpcAttributeName::EnableDnsSupport {
            "enableDnsSupport"
        } else {
            "enableDnsHostnames"
        };
        let call = clients.ec2.describe_vpc_attribute().vpc_id(vpc).attribute(name);
        let answer = match call.send().await.during("ec2", "DescribeVpcAttribute", vpc) {
            Err(error) if error.is_not_found() => return Ok(()),
            answer => answer?,
        };
        let value = answer.enable_dns_support().or(answer.enable_dns_hostnames());
        if value.and_then(AttributeBooleanValue::value) != Some(true) {
            return Err(ExistingNetworkError::NoNames { vpc: vpc.to_owned(), attribute }.into());
        }
    }
    Ok(())
}

fn check_ranges(cluster: &Cluster, id: &str, vpc: &Vpc) -> Result<(), FactsError> {
    let added = vpc.cidr_block_association_set().iter().filter_map(|association| association.cidr_block());
    let found: BTreeSet<&str> = vpc.cidr_block().into_iter().chain(added).collect();
    let network = &cluster.network;
    let further = network.additional_cidrs.iter().map(|range| ("spec.additionalNetworkCIDRs", range));
    let mut wanted = std::iter::once(("spec.networkCIDR", &network.cidr)).chain(further);
    match wanted.find(|(_, range)| !found.contains(range.to_string().as_str())) {
        None => Ok(()),
        Some((field, range)) => Err(ExistingNetworkError::Otherwise {
            field: field.to_owned(),
            id: id.to_owned(),
            found: format!("the ranges {}", found.into_iter().collect::<Vec<_>>().join(", ")),
            wanted: range.to_string(),
        }
        .into()),
    }
}

async fn internet_gateway(
    cluster: &Cluster,
    vpc: &str,
    clients: &Clients,
) -> Result<Option<String>, FactsError> {
    let leads_there = |subnet: &&Subnet| subnet.is_routed() && !subnet.kind.is_private();
    let Some(subnet) = cluster.subnets.iter().find(leads_there) else { return Ok(None) };
    let call = clients.ec2.describe_internet_gateways().filters(filter("attachment.vpc-id", vpc));
    let answer = call.send().await.during("ec2", "DescribeInternetGateways", vpc)?;
    let gateway = answer.internet_gateways().iter().find_map(|gateway| gateway.internet_gateway_id());
    let missing =
        || ExistingNetworkError::NoInternetGateway { vpc: vpc.to_owned(), subnet: subnet.name.clone() };
    Ok(Some(gateway.ok_or_else(missing)?.to_owned()))
}

/// The subnets of the specification that exist already, each with the field that names it.
fn existing_subnets(cluster: &Cluster) -> Vec<(usize, &str, &Subnet)> {
    let all = cluster.subnets.iter().enumerate();
    all.filter_map(|(index, subnet)| Some((index, subnet.existing.as_deref()?, subnet))).collect()
}

/// Checks that subnets are in the VPC, and where and what the specification says; returns the IPv6 ranges that they have.
async fn subnets(cluster: &Cluster, clients: &Clients) -> Result<Vec<SubnetRange>, FactsError> {
    let wanted = existing_subnets(cluster);
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    // By a filter, an unknown one is left out; by ids, it would fail the call for all of them.
    let ids = wanted.iter().map(|(_, id, _)| (*id).to_owned()).collect();
    let these = Filter::builder().name("subnet-id").set_values(Some(ids)).build();
    let pages = clients.ec2.describe_subnets().filters(these).into_paginator().items().send();
    let found = pages.try_collect().await.during("ec2", "DescribeSubnets", &cluster.name)?;
    let mut ranges = Vec::new();
    for (index, id, subnet) in wanted {
        let field = format!("spec.subnets[{index}]");
        let Some(found) = found.iter().find(|found| found.subnet_id() == Some(id)) else {
            let (what, id, region) = ("subnet", id.to_owned(), cluster.region.clone());
            return Err(
                ExistingNetworkError::Missing { field: format!("{field}.id"), what, id, region }.into()
            );
        };
        check_subnet(cluster, &field, id, subnet, found)?;
        ranges.push(SubnetRange::of(index, id, found));
    }
    Ok(ranges)
}

fn check_subnet(
    cluster: &Cluster,
    field: &str,
    id: &str,
    subnet: &Subnet,
    found: &SubnetAnswer,
) -> Result<(), FactsError> {
    let cidr = subnet.cidr.map(|range| range.to_string());
    let facts = [
        ("id", "the VPC", found.vpc_id(), cluster.network.existing_vpc.as_deref()),
        ("zone", "the zone", found.availability_zone(), Some(subnet.zone.as_str())),
        ("cidr", "the range", found.cidr_block(), cidr.as_deref()),
    ];
    for (name, what, found, wanted) in facts {
        if found != wanted {
            return Err(ExistingNetworkError::Otherwise {
                field: format!("{field}.{name}"),
                id: id.to_owned(),
                found: format!("{what} {}", found.unwrap_or("unknown")),
                wanted: wanted.unwrap_or("none").to_owned(),
            }
            .into());
        }
    }
    Ok(())
}

/// Checks that nobody else has an address of a master: in a subnet of its own, windlass reserves it from the beginning.
async fn masters_addresses(cluster: &Cluster, clients: &Clients) -> Result<(), FactsError> {
    let mut addresses: BTreeMap<&str, BTreeSet<Ipv4Addr>> = BTreeMap::new();
    for master in cluster.masters() {
        if let Some(subnet) = &master.subnet.existing {
            let own = master.members.iter().map(|held| held.member.private_address);
            addresses.entry(subnet).or_default().extend(own);
        }
    }
    for (subnet, addresses) in addresses {
        let values = addresses.iter().map(ToString::to_string).collect();
        let these = Filter::builder().name("addresses.private-ip-address").set_values(Some(values)).build();
        let call =
            clients.ec2.describe_network_interfaces().filters(these).filters(filter("subnet-id", subnet));
        let found = call.into_paginator().items().send().try_collect().await;
        let found = found.during("ec2", "DescribeNetworkInterfaces", subnet)?;
        let is_another_s = |interface: &&NetworkInterface| {
            all_from_ec2(interface.tag_set()).get(shared::CLUSTER).is_none_or(|it| *it != cluster.name)
        };
        if let Some(interface) = found.iter().find(is_another_s) {
            let has = |address: &&Ipv4Addr| {
                let mut own = interface.private_ip_addresses().iter();
                own.any(|own| own.private_ip_address() == Some(address.to_string().as_str()))
            };
            let Some(address) = addresses.iter().find(has) else { continue };
            return Err(ExistingNetworkError::AddressTaken {
                address: *address,
                holder: interface.network_interface_id().unwrap_or_default().to_owned(),
                subnet: subnet.to_owned(),
            }
            .into());
        }
    }
    Ok(())
}

/// The allocations of the Elastic IPs that NAT gateways are to have, by their addresses.
async fn allocations(cluster: &Cluster, clients: &Clients) -> Result<BTreeMap<Ipv4Addr, String>, FactsError> {
    let named = cluster.subnets.iter().enumerate().filter_map(|(index, subnet)| match &subnet.egress {
        Egress::NatGateway(NatAddress::Address(address)) => Some((*address, index)),
        _ => None,
    });
    let named: BTreeMap<Ipv4Addr, usize> = named.collect();
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let values = named.keys().map(ToString::to_string).collect();
    let these = Filter::builder().name("public-ip").set_values(Some(values)).build();
    let answer = clients.ec2.describe_addresses().filters(these).send().await;
    let answer = answer.during("ec2", "DescribeAddresses", &cluster.name)?;
    let found = answer.addresses().iter().filter_map(|address| {
        Some((address.public_ip()?.parse().ok()?, address.allocation_id()?.to_owned()))
    });
    let found: BTreeMap<Ipv4Addr, String> = found.collect();
    match named.into_iter().find(|(address, _)| !found.contains_key(address)) {
        None => Ok(found),
        Some((address, index)) => Err(ExistingNetworkError::Missing {
            field: format!("spec.subnets[{index}].publicIP"),
            what: "Elastic IP",
            id: address.to_string(),
            region: cluster.region.clone(),
        }
        .into()),
    }
}
