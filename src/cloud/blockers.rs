//! What is in the way of a deletion. EC2 says only that something has "dependencies"; this looks what they are.

use std::fmt;

use aws_sdk_ec2::types::{Filter, NetworkInterface, Tag};
use windlass_bootstrap::tags as shared;

use super::context::{Context, ObservedResource};
use super::error::CloudError;
use super::reference::ResourceId;
use crate::aws::{AwsError, During, tags};

/// Something that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// AWS's id.
    pub id: String,
    /// What it is, for people.
    pub what: String,
    /// Whether it may go by itself: it is the cluster's, or it is AWS's part of something that is being deleted.
    pub may_go: bool,
}

impl fmt::Display for Blocker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", self.id, self.what)
    }
}

/// The error of a deletion that something is in the way of, with its names as far as they can be found out.
pub(super) async fn explain(source: AwsError, found: &ObservedResource, context: &Context<'_>) -> CloudError {
    let look = Looker { context, id: ResourceId::new(found.resource.kind(), &found.name) };
    match found.resource.blockers(&found.identity.id, &look).await {
        Ok(by) if !by.is_empty() => CloudError::Blocked { said: source, by },
        // Not knowing more is no reason to say less.
        Ok(_) | Err(_) => source.into(),
    }
}

/// The security group that goes with its VPC.
const DEFAULT_GROUP: &str = "security group `default`";

/// Looks what is in the way of something.
pub struct Looker<'a> {
    /// With what.
    pub(super) context: &'a Context<'a>,
    /// What is to be deleted.
    id: ResourceId,
}

impl Looker<'_> {
    /// The network interfaces that a filter finds.
    pub(super) async fn at_interfaces(&self, filter: &str, value: &str) -> Result<Vec<Blocker>, AwsError> {
        let interfaces = self.network_interfaces(filter, value).await?;
        Ok(interfaces.iter().map(|interface| self.interface(interface)).collect())
    }

    /// The network interfaces of a VPC that have a public address.
    pub(super) async fn at_public_interfaces(&self, vpc: &str) -> Result<Vec<Blocker>, AwsError> {
        let interfaces = self.network_interfaces("vpc-id", vpc).await?;
        let public = interfaces.iter().filter(|interface| interface.association().is_some());
        Ok(public.map(|interface| self.interface(interface)).collect())
    }

    /// The network interfaces in a security group, and the groups whose rules name it.
    pub(super) async fn at_security_group(&self, group: &str) -> Result<Vec<Blocker>, AwsError> {
        let mut blockers = self.at_interfaces("group-id", group).await?;
        blockers.extend(self.security_groups("ip-permission.group-id", group).await?);
        blockers.extend(self.security_groups("egress.ip-permission.group-id", group).await?);
        blockers.retain(|blocker| blocker.id != group);
        blockers.dedup();
        Ok(blockers)
    }

    /// What is in a VPC. What one of these calls may not see hides nothing of the others.
    pub(super) async fn at_vpc(&self, vpc: &str) -> Vec<Blocker> {
        let mut blockers = self.at_interfaces("vpc-id", vpc).await.unwrap_or_default();
        blockers.extend(self.subnets(vpc).await.unwrap_or_default());
        let groups = self.security_groups("vpc-id", vpc).await.unwrap_or_default();
        blockers.extend(groups.into_iter().filter(|group| group.what != DEFAULT_GROUP));
        blockers.extend(self.endpoints(vpc).await.unwrap_or_default());
        blockers.extend(self.peerings(vpc).await.unwrap_or_default());
        blockers
    }

    async fn network_interfaces(&self, name: &str, value: &str) -> Result<Vec<NetworkInterface>, AwsError> {
        let call = self.context.clients.ec2.describe_network_interfaces().filters(tags::filter(name, value));
        let found = call.into_paginator().items().send().try_collect().await;
        found.during("ec2", "DescribeNetworkInterfaces", &self.id)
    }

    async fn security_groups(&self, name: &str, value: &str) -> Result<Vec<Blocker>, AwsError> {
        let call = self.context.clients.ec2.describe_security_groups().filters(tags::filter(name, value));
        let groups = call.into_paginator().items().send().try_collect().await.during(
            "ec2",
            "DescribeSecurityGroups",
            &self.id,
        )?;
        Ok(groups
            .iter()
            .map(|group| {
                let what = format!("security group `{}`", group.group_name().unwrap_or_default());
                blocker(group.group_id(), what, self.is_ours(group.tags()))
            })
            .collect())
    }

    async fn subnets(&self, vpc: &str) -> Result<Vec<Blocker>, AwsError> {
        let here: Filter = tags::filter("vpc-id", vpc);
        let call = self.context.clients.ec2.describe_subnets().filters(here).into_paginator();
        let subnets = call.items().send().try_collect().await.during("ec2", "DescribeSubnets", &self.id)?;
        Ok(subnets
            .iter()
            .map(|subnet| {
                let what = format!("subnet {}", subnet.cidr_block().unwrap_or_default());
                blocker(subnet.subnet_id(), what, self.is_ours(subnet.tags()))
            })
            .collect())
    }

    async fn endpoints(&self, vpc: &str) -> Result<Vec<Blocker>, AwsError> {
        let here = tags::filter("vpc-id", vpc);
        let call = self.context.clients.ec2.describe_vpc_endpoints().filters(here).into_paginator();
        let endpoints =
            call.items().send().try_collect().await.during("ec2", "DescribeVpcEndpoints", &self.id)?;
        Ok(endpoints
            .iter()
            .map(|endpoint| {
                let what = format!("VPC endpoint of {}", endpoint.service_name().unwrap_or_default());
                blocker(endpoint.vpc_endpoint_id(), what, self.is_ours(endpoint.tags()))
            })
            .collect())
    }

    async fn peerings(&self, vpc: &str) -> Result<Vec<Blocker>, AwsError> {
        let here = tags::filter("requester-vpc-info.vpc-id", vpc);
        let call = self.context.clients.ec2.describe_vpc_peering_connections().filters(here).into_paginator();
        let peerings = call.items().send().try_collect().await.during(
            "ec2",
            "DescribeVpcPeeringConnections",
            &self.id,
        )?;
        let peerings = peerings.iter().filter(|peering| {
            peering.status().and_then(|status| status.code()).is_none_or(|code| code.as_str() != "deleted")
        });
        Ok(peerings
            .map(|peering| {
                blocker(peering.vpc_peering_connection_id(), "VPC peering connection".to_owned(), false)
            })
            .collect())
    }

    fn interface(&self, interface: &NetworkInterface) -> Blocker {
        let mut what = "network interface".to_owned();
        if let Some(description) = interface.description().filter(|text| !text.is_empty()) {
            what = format!("{what} `{description}`");
        }
        if let Some(instance) = interface.attachment().and_then(|attachment| attachment.instance_id()) {
            what = format!("{what} of {instance}");
        }
        let may_go = self.is_ours(interface.tag_set()) || interface.requester_managed() == Some(true);
        blocker(interface.network_interface_id(), what, may_go)
    }

    fn is_ours(&self, tags: &[Tag]) -> bool {
        let owned = shared::ownership(self.context.cluster);
        tags.iter().any(|tag| tag.key() == Some(&owned) && tag.value() == Some("owned"))
    }
}

fn blocker(id: Option<&str>, what: String, may_go: bool) -> Blocker {
    Blocker { id: id.unwrap_or_default().to_owned(), what, may_go }
}
