//! Which IPv6 addresses EC2 says that VPCs and subnets have.

use aws_sdk_ec2::types::{
    Subnet, SubnetCidrBlockStateCode, Vpc, VpcCidrBlockStateCode, VpcIpv6CidrBlockAssociation,
};
use ipnet::Ipv6Net;

/// Whose blocks are Amazon's (API_VpcIpv6CidrBlockAssociation, `ipv6Pool`).
const AMAZON: &str = "Amazon";

/// The block of a VPC from which subnets' ranges are counted: Amazon's, or else the first that its owner brought.
pub fn block_of(vpc: &Vpc) -> Option<Ipv6Net> {
    let mut associated: Vec<_> = associations(vpc).collect();
    associated.sort_by_key(|(association, _)| association.ipv6_pool() != Some(AMAZON));
    associated.first().map(|(_, block)| *block)
}

/// All blocks that a VPC has.
pub fn blocks_of(vpc: &Vpc) -> Vec<Ipv6Net> {
    associations(vpc).map(|(_, block)| block).collect()
}

fn associations(vpc: &Vpc) -> impl Iterator<Item = (&VpcIpv6CidrBlockAssociation, Ipv6Net)> {
    let there = vpc.ipv6_cidr_block_association_set().iter().filter(|association| {
        let state = association.ipv6_cidr_block_state().and_then(|state| state.state());
        state == Some(&VpcCidrBlockStateCode::Associated)
    });
    there.filter_map(|association| Some((association, association.ipv6_cidr_block()?.parse().ok()?)))
}

/// The range that a subnet has or is about to get.
pub fn range_of(subnet: &Subnet) -> Option<Ipv6Net> {
    use SubnetCidrBlockStateCode::{Associated, Associating};
    let mut there = subnet.ipv6_cidr_block_association_set().iter().filter(|association| {
        let state = association.ipv6_cidr_block_state().and_then(|state| state.state());
        matches!(state, Some(Associated | Associating))
    });
    there.find_map(|association| association.ipv6_cidr_block()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::VpcCidrBlockState;

    use super::*;

    fn vpc(blocks: &[(&str, &str, VpcCidrBlockStateCode)]) -> Vpc {
        let association = |(block, pool, state): &(&str, &str, VpcCidrBlockStateCode)| {
            VpcIpv6CidrBlockAssociation::builder()
                .ipv6_cidr_block(*block)
                .ipv6_pool(*pool)
                .ipv6_cidr_block_state(VpcCidrBlockState::builder().state(state.clone()).build())
                .build()
        };
        let associations = blocks.iter().map(association).collect();
        Vpc::builder().set_ipv6_cidr_block_association_set(Some(associations)).build()
    }

    #[test]
    fn ranges_are_counted_from_amazons_block_once_it_is_associated() {
        use VpcCidrBlockStateCode::{Associated, Associating, Disassociated};
        let found = vpc(&[
            ("2001:db8:0:100::/56", AMAZON, Disassociated),
            ("2001:db8:0:200::/56", "ipv6pool-ec2-1", Associated),
            ("2001:db8:0:300::/56", AMAZON, Associated),
        ]);
        assert_eq!(block_of(&found), Some("2001:db8:0:300::/56".parse().unwrap()));
        assert_eq!(blocks_of(&found).len(), 2);
        let own = vpc(&[("2001:db8:0:200::/56", "ipv6pool-ec2-1", Associated)]);
        assert_eq!(block_of(&own), Some("2001:db8:0:200::/56".parse().unwrap()));
        assert_eq!(block_of(&vpc(&[("2001:db8:0:300::/56", AMAZON, Associating)])), None);
    }
}
