//! The block of IPv6 addresses that Amazon gives a VPC: a /56, of which subnets have /64s.

use std::time::Duration;

use aws_sdk_ec2::types::{Vpc as Answer, VpcCidrBlockStateCode as State, VpcIpv6CidrBlockAssociation};
use ipnet::Ipv6Net;

use crate::aws::retry::{Look as Found, Patience, wait_for};
use crate::aws::{AwsError, During, ipv6_ranges};
use crate::cloud::context::Context;
use crate::cloud::error::CloudError;
use crate::cloud::reference::ResourceId;

/// How long it may take to be the VPC's: usually it is so in seconds.
const ASSOCIATION: Duration = Duration::from_mins(5);

fn state_of(association: &VpcIpv6CidrBlockAssociation) -> Option<&State> {
    association.ipv6_cidr_block_state()?.state()
}

/// Asks for a block where none is there or on its way, as one is where a call's reply was lost, and waits for it.
pub(super) async fn associate(
    context: &Context<'_>,
    id: &ResourceId,
    vpc: &str,
) -> Result<Ipv6Net, CloudError> {
    let found = describe(context, id, vpc).await?;
    let states = found.iter().flat_map(Answer::ipv6_cidr_block_association_set).filter_map(state_of);
    if !states.into_iter().any(|state| matches!(state, State::Associated | State::Associating)) {
        let call = context.clients.ec2.associate_vpc_cidr_block().vpc_id(vpc);
        let call = call.amazon_provided_ipv6_cidr_block(true);
        call.send().await.during("ec2", "AssociateVpcCidrBlock", id)?;
    }
    wait(context, id, vpc).await
}

/// Waits until the block that was asked for is the VPC's, and says which it is.
pub(super) async fn wait(context: &Context<'_>, id: &ResourceId, vpc: &str) -> Result<Ipv6Net, CloudError> {
    let look = || async {
        let found = describe(context, id, vpc).await?;
        if let Some(block) = found.as_ref().and_then(ipv6_ranges::block_of) {
            return Ok(Found::Done(block));
        }
        let mut states = found.iter().flat_map(Answer::ipv6_cidr_block_association_set).filter_map(state_of);
        match states.find(|state| **state != State::Disassociated) {
            Some(state @ (State::Failed | State::Failing)) => {
                let said = format!("the VPC's IPv6 block is {state}");
                Err(AwsError::unexpected("ec2", "AssociateVpcCidrBlock", id, said))
            }
            Some(state) => Ok(Found::Wait(format!("it is {state}"))),
            None => Ok(Found::Wait("it isn't there yet".to_owned())),
        }
    };
    let what = "the block of IPv6 addresses to be the VPC's";
    Ok(context.waiting(wait_for(what, Patience::of(ASSOCIATION), look)).await?)
}

async fn describe(context: &Context<'_>, id: &ResourceId, vpc: &str) -> Result<Option<Answer>, AwsError> {
    let answer = context.clients.ec2.describe_vpcs().vpc_ids(vpc).send().await;
    Ok(answer.during("ec2", "DescribeVpcs", id)?.vpcs.unwrap_or_default().into_iter().next())
}
