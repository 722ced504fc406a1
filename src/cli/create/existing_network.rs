//! The VPC and subnets that exist already, and in which `create cluster` is asked to build: looked up by their ids.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Subnet, Vpc};

use crate::aws::{AwsError, Clients, During};
use crate::cli::diagnostic::Refusal;
use crate::spec::create::{ExistingNetwork, ExistingSubnet};

/// What was found.
#[derive(Debug, Default)]
pub(in crate::cli) struct ExistingParts {
    /// The subnets, by their ids.
    pub(in crate::cli) subnets: BTreeMap<String, ExistingSubnet>,
    /// The VPC that was named, or else that of the first subnet.
    pub(in crate::cli) network: Option<ExistingNetwork>,
}

/// Looks up a VPC and subnets. Fails where one of them is not in the clients' region.
pub(in crate::cli) async fn look_up(
    clients: &Clients,
    vpc: Option<String>,
    subnets: Vec<String>,
) -> anyhow::Result<ExistingParts> {
    let subnets = find_subnets(clients, subnets).await?;
    let first = || subnets.values().next().map(|subnet| subnet.vpc.clone());
    let network = match vpc.or_else(first) {
        Some(vpc) => Some(find_network(clients, vpc).await?),
        None => None,
    };
    Ok(ExistingParts { subnets, network })
}

async fn find_subnets(
    clients: &Clients,
    ids: Vec<String>,
) -> anyhow::Result<BTreeMap<String, ExistingSubnet>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let call = clients.ec2.describe_subnets().set_subnet_ids(Some(ids.clone()));
    let answer = Box::pin(call.send()).await.during("ec2", "DescribeSubnets", ids.join(", "));
    let answer = answer.map_err(|error| unless_missing(error, "--subnets and --utility-subnets"))?;
    let found: BTreeMap<_, _> =
        answer.subnets().iter().filter_map(subnet).map(|subnet| (subnet.id.clone(), subnet)).collect();
    match ids.into_iter().find(|id| !found.contains_key(id)) {
        Some(id) => {
            Err(missing(format!("there is no subnet `{id}`"), "--subnets and --utility-subnets").into())
        }
        None => Ok(found),
    }
}

fn subnet(subnet: &Subnet) -> Option<ExistingSubnet> {
    Some(ExistingSubnet {
        id: subnet.subnet_id()?.to_owned(),
        vpc: subnet.vpc_id()?.to_owned(),
        zone: subnet.availability_zone()?.to_owned(),
        cidr: subnet.cidr_block()?.to_owned(),
    })
}

async fn find_network(clients: &Clients, id: String) -> anyhow::Result<ExistingNetwork> {
    let call = clients.ec2.describe_vpcs().vpc_ids(&id);
    let answer = Box::pin(call.send()).await.during("ec2", "DescribeVpcs", &id);
    let answer = answer.map_err(|error| unless_missing(error, "--network-id"))?;
    let ranges = answer.vpcs().first().map(ranges).unwrap_or_default();
    if ranges.is_empty() {
        return Err(missing(format!("there is no VPC `{id}`"), "--network-id").into());
    }
    Ok(ExistingNetwork { id, ranges })
}

/// The VPC's own range first, then those that were added to it.
fn ranges(vpc: &Vpc) -> Vec<String> {
    let added = vpc.cidr_block_association_set().iter().filter_map(|association| association.cidr_block());
    let mut ranges: Vec<String> = vpc.cidr_block().map(str::to_owned).into_iter().collect();
    for range in added {
        if !ranges.iter().any(|known| known == range) {
            ranges.push(range.to_owned());
        }
    }
    ranges
}

/// What isn't there is a mistake of the command line, and no failure of AWS.
fn unless_missing(error: AwsError, flags: &str) -> anyhow::Error {
    if error.is_not_found() { missing(error.message, flags).into() } else { error.into() }
}

fn missing(message: String, flags: &str) -> Refusal {
    Refusal::new(message)
        .hint(format!("check {flags}; they are looked up in the region of --zones, or else of AWS_REGION"))
}
