//! The rules of a security group: an allow-list, whole. A rule that isn't in it is revoked.

use std::collections::BTreeSet;
use std::fmt;

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, UserIdGroupPair};
use ipnet::IpNet;

use super::Resource;
use super::context::{Context, Found, Identity, Names};
use super::error::{CloudError, field};
use super::fields::{Effect, Fields};
use super::reference::{Described, Kind, Reference, ResourceId};
use super::security_group::{self, SecurityGroup};
use crate::aws::During;

/// All rules of one security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroupRules {
    /// The group's name.
    pub name: String,
    /// The group.
    pub group: Reference<SecurityGroup>,
    /// Who may reach its members, and where.
    pub ingress: BTreeSet<Rule>,
    /// What its members may reach.
    pub egress: BTreeSet<Rule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// What may pass.
    pub traffic: Traffic,
    /// From whom (ingress) or to whom (egress).
    pub peer: Peer,
}

/// What a rule lets pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Traffic {
    /// Everything.
    All,
    /// TCP to these ports, both included.
    Tcp(u16, u16),
    /// UDP to these ports, both included.
    Udp(u16, u16),
    /// Something that windlass never asks for, as observed: protocol and port range.
    Other(String),
}

/// The other side of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// A range of addresses.
    Range(IpNet),
    /// The members of a security group.
    Group(Reference<SecurityGroup>),
    /// The ranges of a prefix list, by AWS's id.
    PrefixList(String),
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = |from, to| if from == to { format!("{from}") } else { format!("{from}-{to}") };
        match &self.traffic {
            Traffic::All => write!(formatter, "all traffic"),
            Traffic::Tcp(from, to) => write!(formatter, "tcp {}", ports(from, to)),
            Traffic::Udp(from, to) => write!(formatter, "udp {}", ports(from, to)),
            Traffic::Other(text) => write!(formatter, "{text}"),
        }?;
        match &self.peer {
            Peer::Range(range) => write!(formatter, ", {range}"),
            Peer::Group(group) => write!(formatter, ", {group}"),
            Peer::PrefixList(list) => write!(formatter, ", {list}"),
        }
    }
}

impl Described for SecurityGroupRules {
    const KIND: Kind = Kind::SecurityGroupRules;
}

/// The two directions differ only in which calls are made.
#[derive(Clone, Copy)]
enum Direction {
    Ingress,
    Egress,
}

impl SecurityGroupRules {
    pub(super) fn fields(&self) -> Fields {
        let Self { name: _, group: _, ingress, egress } = self;
        Fields::default().set("ingress", ingress).set("egress", egress)
    }

    pub(super) fn references(&self) -> Vec<ResourceId> {
        let Self { name: _, group, ingress, egress } = self;
        let peers = ingress.iter().chain(egress).filter_map(|rule| match &rule.peer {
            Peer::Group(group) => Some(group.id()),
            Peer::Range(_) | Peer::PrefixList(_) => None,
        });
        let mut references: BTreeSet<ResourceId> = peers.collect();
        references.insert(group.id());
        references.into_iter().collect()
    }

    pub(super) fn effect(_path: &str) -> Effect {
        Effect::InPlace
    }

    /// A new group allows everything to go out; that is where its rules start from.
    pub(super) async fn create(
        &self,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let identity = Identity::new(context.ids.of(&self.group)?);
        let bare =
            Self { ingress: BTreeSet::new(), egress: BTreeSet::from([Rule::anywhere_v4()]), ..self.clone() };
        self.update(&bare, &identity, context, id).await?;
        Ok(identity)
    }

    /// Allows first and revokes then, so that nothing that stays allowed is ever cut off.
    pub(super) async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let both = [
            (Direction::Ingress, &self.ingress, &from.ingress),
            (Direction::Egress, &self.egress, &from.egress),
        ];
        for (direction, to, from) in both {
            allow(context, id, &identity.id, direction, to.difference(from)).await?;
            revoke(context, id, &identity.id, direction, from.difference(to)).await?;
        }
        Ok(())
    }

    /// Revokes everything: groups that allow each other can only then be deleted.
    pub(super) async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let nothing = Self { ingress: BTreeSet::new(), egress: BTreeSet::new(), ..self.clone() };
        nothing.update(self, identity, context, id).await
    }

    /// A group whose rules are still those of a new group has none of ours yet.
    pub(super) async fn observe(context: &Context<'_>, names: &Names) -> Result<Vec<Found>, CloudError> {
        let id = ResourceId::new(Kind::SecurityGroupRules, context.cluster);
        let mut found = Vec::new();
        for group in security_group::list(context, &id).await? {
            let group_id = field(group.group_id(), &id, "the group's id")?;
            let name = group.group_name().unwrap_or_default().to_owned();
            let observed = Self {
                group: Reference::to(&name),
                name,
                ingress: group
                    .ip_permissions()
                    .iter()
                    .flat_map(|permission| read(permission, names))
                    .collect(),
                egress: group
                    .ip_permissions_egress()
                    .iter()
                    .flat_map(|permission| read(permission, names))
                    .collect(),
            };
            if observed.ingress.is_empty() && observed.egress == BTreeSet::from([Rule::anywhere_v4()]) {
                continue;
            }
            let name = observed.name.clone();
            found.push(Found::new(name, Resource::SecurityGroupRules(observed), Identity::new(group_id)));
        }
        Ok(found)
    }
}

impl Rule {
    /// Everything, to or from anywhere on IPv4: what a new group has as its only egress rule.
    pub fn anywhere_v4() -> Self {
        Self { traffic: Traffic::All, peer: Peer::Range(IpNet::V4(ipnet::Ipv4Net::default())) }
    }

    fn permission(&self, context: &Context<'_>) -> IpPermission {
        let builder = match &self.traffic {
            Traffic::All => IpPermission::builder().ip_protocol("-1"),
            Traffic::Tcp(from, to) => {
                ports(IpPermission::builder().ip_protocol("tcp"), (*from).into(), (*to).into())
            }
            Traffic::Udp(from, to) => {
                ports(IpPermission::builder().ip_protocol("udp"), (*from).into(), (*to).into())
            }
            Traffic::Other(text) => {
                let mut parts = text.split(' ');
                let builder = IpPermission::builder().ip_protocol(parts.next().unwrap_or_default());
                match (
                    parts.next().and_then(|port| port.parse().ok()),
                    parts.next().and_then(|port| port.parse().ok()),
                ) {
                    (Some(from), Some(to)) => ports(builder, from, to),
                    _ => builder,
                }
            }
        };
        match &self.peer {
            Peer::Range(IpNet::V4(range)) => {
                builder.ip_ranges(IpRange::builder().cidr_ip(range.to_string()).build())
            }
            Peer::Range(IpNet::V6(range)) => {
                builder.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(range.to_string()).build())
            }
            Peer::Group(group) => {
                let pair = UserIdGroupPair::builder().group_id(context.ids.resolve(group));
                builder.user_id_group_pairs(pair.build())
            }
            Peer::PrefixList(list) => {
                let list = aws_sdk_ec2::types::PrefixListId::builder().prefix_list_id(list);
                builder.prefix_list_ids(list.build())
            }
        }
        .build()
    }
}

fn ports(
    builder: aws_sdk_ec2::types::builders::IpPermissionBuilder,
    from: i32,
    to: i32,
) -> aws_sdk_ec2::types::builders::IpPermissionBuilder {
    builder.from_port(from).to_port(to)
}

/// EC2 puts several peers into one permission; each is a rule here.
fn read(permission: &IpPermission, names: &Names) -> Vec<Rule> {
    let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    let protocol = permission.ip_protocol().unwrap_or_default();
    let traffic = match (protocol, port(permission.from_port()), port(permission.to_port())) {
        ("-1", ..) => Traffic::All,
        ("tcp", Some(from), Some(to)) => Traffic::Tcp(from, to),
        ("udp", Some(from), Some(to)) => Traffic::Udp(from, to),
        _ => {
            let both = permission.from_port().zip(permission.to_port());
            Traffic::Other(
                both.map_or_else(|| protocol.to_owned(), |(from, to)| format!("{protocol} {from} {to}")),
            )
        }
    };
    let v4 = permission.ip_ranges().iter().filter_map(|range| range.cidr_ip()?.parse().ok());
    let v6 = permission.ipv6_ranges().iter().filter_map(|range| range.cidr_ipv6()?.parse().ok());
    let groups = permission.user_id_group_pairs().iter().filter_map(|pair| pair.group_id());
    let lists = permission.prefix_list_ids().iter().filter_map(|list| list.prefix_list_id());
    let peers = v4
        .chain(v6)
        .map(Peer::Range)
        .chain(groups.map(|group| Peer::Group(names.reference(group))))
        .chain(lists.map(|list| Peer::PrefixList(list.to_owned())));
    peers.map(|peer| Rule { traffic: traffic.clone(), peer }).collect()
}

async fn allow<'r>(
    context: &Context<'_>,
    id: &ResourceId,
    group: &str,
    direction: Direction,
    rules: impl Iterator<Item = &'r Rule>,
) -> Result<(), CloudError> {
    let permissions = rules.map(|rule| rule.permission(context)).collect::<Vec<_>>();
    if permissions.is_empty() {
        return Ok(());
    }
    let ec2 = &context.clients.ec2;
    match direction {
        Direction::Ingress => {
            let call =
                ec2.authorize_security_group_ingress().group_id(group).set_ip_permissions(Some(permissions));
            call.send().await.during("ec2", "AuthorizeSecurityGroupIngress", id)?;
        }
        Direction::Egress => {
            let call =
                ec2.authorize_security_group_egress().group_id(group).set_ip_permissions(Some(permissions));
            call.send().await.during("ec2", "AuthorizeSecurityGroupEgress", id)?;
        }
    }
    Ok(())
}

async fn revoke<'r>(
    context: &Context<'_>,
    id: &ResourceId,
    group: &str,
    direction: Direction,
    rules: impl Iterator<Item = &'r Rule>,
) -> Result<(), CloudError> {
    let permissions = rules.map(|rule| rule.permission(context)).collect::<Vec<_>>();
    if permissions.is_empty() {
        return Ok(());
    }
    let ec2 = &context.clients.ec2;
    match direction {
        Direction::Ingress => {
            let call =
                ec2.revoke_security_group_ingress().group_id(group).set_ip_permissions(Some(permissions));
            call.send().await.during("ec2", "RevokeSecurityGroupIngress", id)?;
        }
        Direction::Egress => {
            let call =
                ec2.revoke_security_group_egress().group_id(group).set_ip_permissions(Some(permissions));
            call.send().await.during("ec2", "RevokeSecurityGroupEgress", id)?;
        }
    }
    Ok(())
}
