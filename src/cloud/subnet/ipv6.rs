//! IPv6 in a subnet: its range, who gets addresses of it, and how names lead to what has IPv4 addresses alone.

use std::time::Duration;

use aws_sdk_ec2::types::{
    AttributeBooleanValue, Subnet as Answer, SubnetCidrBlockStateCode as State,
    SubnetIpv6CidrBlockAssociation,
};
use ipnet::Ipv6Net;
use windlass_bootstrap::ipv6::SubnetIpv6;

use super::Subnet;
use crate::aws::retry::{Look as Found, Patience, wait_for};
use crate::aws::{AwsError, During};
use crate::cloud::context::{Context, Identity};
use crate::cloud::error::{CloudError, field};
use crate::cloud::reference::ResourceId;
use crate::cloud::vpc::Vpc;

/// How long a range may take to be a subnet's: usually it is so at once.
const ASSOCIATION: Duration = Duration::from_mins(5);

fn state_of(association: &SubnetIpv6CidrBlockAssociation) -> Option<&State> {
    association.ipv6_cidr_block_state()?.state()
}

impl Subnet {
    /// What is observed, as it is compared with this: a range is called as it is here, and where none is asked for here,
    /// nothing of IPv6 is windlass's.
    pub(super) fn as_compared(&self, observed: &Self) -> Self {
        let observed = observed.clone();
        let Some(wanted) = self.ipv6 else {
            return Self { ipv6: None, assigns_ipv6: self.assigns_ipv6, dns64: self.dns64, ..observed };
        };
        let counted = observed.vpc_ipv6.and_then(|block| wanted.within(block));
        let is_it = counted.is_some() && observed.ipv6 == counted.map(SubnetIpv6::Range);
        Self { ipv6: if is_it { Some(wanted) } else { observed.ipv6 }, ..observed }
    }

    /// The range itself, counted from the block of the VPC where the specification counts so.
    pub(super) fn ipv6_range(
        &self,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Option<Ipv6Net>, CloudError> {
        let Some(written) = self.ipv6 else { return Ok(None) };
        if let SubnetIpv6::Range(range) = written {
            return Ok(Some(range));
        }
        let block = context.ids.output(&self.vpc, Vpc::IPV6_BLOCK)?;
        let counted = block.parse().ok().and_then(|block| written.within(block));
        Ok(Some(field(counted, id, "a block of IPv6 addresses that holds the subnet's range")?))
    }

    pub(super) async fn update_ipv6(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let ec2 = &context.clients.ec2;
        if self.ipv6 != from.ipv6
            && let Some(range) = self.ipv6_range(context, id)?
        {
            let call = ec2.associate_subnet_cidr_block().subnet_id(&identity.id);
            let call = call.ipv6_cidr_block(range.to_string());
            call.send().await.during("ec2", "AssociateSubnetCidrBlock", id)?;
            wait(context, id, &identity.id, range).await?;
        }
        // One attribute a call (API_ModifySubnetAttribute).
        let modify = || ec2.modify_subnet_attribute().subnet_id(&identity.id);
        let value = |on| AttributeBooleanValue::builder().value(on).build();
        if self.assigns_ipv6 != from.assigns_ipv6 {
            let call = modify().assign_ipv6_address_on_creation(value(self.assigns_ipv6));
            call.send().await.during("ec2", "ModifySubnetAttribute", id)?;
        }
        if self.dns64 != from.dns64 {
            let call = modify().enable_dns64(value(self.dns64));
            call.send().await.during("ec2", "ModifySubnetAttribute", id)?;
        }
        Ok(())
    }
}

/// Waits until the range is the subnet's: only then network interfaces get addresses of it.
async fn wait(
    context: &Context<'_>,
    id: &ResourceId,
    subnet: &str,
    range: Ipv6Net,
) -> Result<(), CloudError> {
    let look = || async {
        let answer = context.clients.ec2.describe_subnets().subnet_ids(subnet).send().await;
        let answer = answer.during("ec2", "DescribeSubnets", id)?;
        let associations = answer.subnets().iter().flat_map(Answer::ipv6_cidr_block_association_set);
        let text = range.to_string();
        let mut states = associations.filter(|it| it.ipv6_cidr_block() == Some(&text)).filter_map(state_of);
        match states.find(|state| **state != State::Disassociated) {
            Some(State::Associated) => Ok(Found::Done(())),
            Some(state @ (State::Failed | State::Failing)) => {
                let said = format!("{range} is {state}");
                Err(AwsError::unexpected("ec2", "AssociateSubnetCidrBlock", id, said))
            }
            Some(state) => Ok(Found::Wait(format!("it is {state}"))),
            None => Ok(Found::Wait("it isn't yet".to_owned())),
        }
    };
    let what = format!("the range {range} to be the subnet's");
    Ok(context.waiting(wait_for(what, Patience::of(ASSOCIATION), look)).await?)
}

#[cfg(test)]
mod tests {
    use crate::cloud::fields::Effect;
    use crate::cloud::reference::Reference;
    use crate::cloud::resource_kind::ResourceKind;

    use super::*;

    fn subnet(ipv6: Option<&str>, vpc_ipv6: Option<&str>) -> Subnet {
        Subnet {
            name: "a.demo".to_owned(),
            vpc: Reference::to("demo"),
            zone: "us-east-1a".to_owned(),
            cidr: "172.20.0.0/24".parse().ok(),
            ipv6: ipv6.map(|range| range.parse().unwrap()),
            vpc_ipv6: vpc_ipv6.map(|block| block.parse().unwrap()),
            assigns_ipv6: ipv6.is_some(),
            dns64: false,
            tags: [].into(),
        }
    }

    fn changes(wanted: &Subnet, observed: &Subnet) -> Vec<(String, Effect)> {
        let changes = wanted.changes_from(observed).into_iter();
        changes.map(|change| (change.field.clone(), wanted.effect(&change, observed))).collect()
    }

    #[test]
    fn a_range_that_is_counted_is_the_one_that_is_there() {
        let there = subnet(Some("2001:db8:0:10a::/64"), Some("2001:db8:0:100::/56"));
        assert_eq!(changes(&subnet(Some("/64#a"), None), &there), []);
        assert_eq!(changes(&subnet(Some("2001:db8:0:10a::/64"), None), &there), []);
        let others = changes(&subnet(Some("/64#b"), None), &there);
        assert!(matches!(&others[..], [(field, Effect::Refused(_))] if field == "ipv6"), "{others:?}");
    }

    #[test]
    fn a_subnet_gets_a_range_while_it_lives_and_one_that_nobody_asked_for_stays() {
        let bare = subnet(None, Some("2001:db8:0:100::/56"));
        let gets = changes(&subnet(Some("/64#a"), None), &bare);
        let fields: Vec<_> = gets.iter().map(|(field, effect)| (field.as_str(), *effect)).collect();
        assert_eq!(fields, [("ipv6", Effect::InPlace), ("assignsIpv6", Effect::InPlace)]);
        let there = subnet(Some("2001:db8:0:10a::/64"), Some("2001:db8:0:100::/56"));
        assert_eq!(changes(&subnet(None, None), &there), []);
    }
}
