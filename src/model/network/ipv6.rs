//! What of IPv6 isn't in the specification but in the VPC: the block that ranges are counted from, and the egress-only Internet
//! gateway.

use windlass_bootstrap::ipv6::SubnetIpv6;

use super::{add_existing_once, vpc};
use crate::cloud::Reference;
use crate::cloud::egress_only_internet_gateway::EgressOnlyInternetGateway;
use crate::cloud::route_table::RouteTarget;
use crate::model::{Desired, Inputs, ModelError, named};
use crate::spec::cluster::Subnet;

/// The IPv6 range of a subnet. The block of a VPC that exists is known, and that of a new one when it is there.
pub(super) fn range(inputs: &Inputs<'_>, subnet: &Subnet) -> Result<Option<SubnetIpv6>, ModelError> {
    let Some(written) = subnet.ipv6 else { return Ok(None) };
    if inputs.cluster.network.existing_vpc.is_none() {
        return Ok(Some(written));
    }
    let block = inputs.facts.existing_network.ipv6_block;
    let range = block.and_then(|block| written.within(block));
    range.map(|range| Some(SubnetIpv6::Range(range))).ok_or(ModelError::NoIpv6Block)
}

/// What leads everything of IPv6 out of a zone's private subnets.
pub(super) fn way_out(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<RouteTarget, ModelError> {
    let cluster = inputs.cluster;
    if cluster.network.existing_vpc.is_some() {
        let gateway = &inputs.facts.existing_network.egress_only_gateway;
        let gateway = gateway.as_ref().ok_or(ModelError::NoEgressOnlyGateway)?;
        add_existing_once(gateway, desired)?;
        return Ok(RouteTarget::existing(gateway));
    }
    let gateway: Reference<EgressOnlyInternetGateway> = Reference::to(&cluster.name);
    if !desired.0.contains_key(&gateway.id()) {
        desired.insert(EgressOnlyInternetGateway {
            name: cluster.name.clone(),
            vpc: vpc(cluster),
            tags: named(cluster, &cluster.name)?,
        })?;
    }
    Ok(RouteTarget::EgressOnlyInternetGateway(gateway))
}
