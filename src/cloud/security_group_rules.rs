//! The rules of a security group: an allow-list. A rule that windlass made, and that isn't in it any more, is revoked;
//! a rule that somebody else made, such as a load balancer controller, is left alone.
//!
//! A rule is known as windlass's by its description. Before there were such marks (the group lacks the tag
//! [`tags::RULES_MARKED`]) every rule was, but for what only controllers make: rules for other groups and rules that
//! say what they are for.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use aws_sdk_ec2::types::{
    IpPermission, IpRange, Ipv6Range, PrefixListId, SecurityGroup as Answer, Tag, UserIdGroupPair,
};
use ipnet::IpNet;

use super::context::{Context, Identity, Names, ObservedResource};
use super::error::{CloudError, field};
use super::fields::{Change, Fields};
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::security_group::{self, SecurityGroup};
use super::{Kind, Resource};
use crate::aws::{During, tags};

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
    /// Rules of others, as observed; empty for what is wanted.
    pub others: Others,
    /// Whether the rules carry the mark, as they do in what is wanted.
    pub marked: bool,
}

/// Rules that somebody else made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Others {
    /// Incoming.
    pub ingress: BTreeSet<Rule>,
    /// Outgoing.
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
    /// ICMP's word that a packet is too large (type 3, code 4), by which hosts find out how large one may be.
    TooLarge,
    /// The same of ICMPv6 (type 2, code 0): EC2 knows no ICMP of IPv6 addresses.
    TooLargeIpv6,
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

impl Peer {
    /// The security group that it is.
    pub(super) fn group(&self) -> Option<ResourceId> {
        match self {
            Self::Group(group) => Some(group.id()),
            Self::Range(_) | Self::PrefixList(_) => None,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = |from, to| if from == to { format!("{from}") } else { format!("{from}-{to}") };
        match &self.traffic {
            Traffic::All => write!(formatter, "all traffic"),
            Traffic::Tcp(from, to) => write!(formatter, "tcp {}", ports(from, to)),
            Traffic::Udp(from, to) => write!(formatter, "udp {}", ports(from, to)),
            Traffic::TooLarge => write!(formatter, "icmp 3 4"),
            Traffic::TooLargeIpv6 => write!(formatter, "icmpv6 2 0"),
            Traffic::Other(text) => write!(formatter, "{text}"),
        }?;
        match &self.peer {
            Peer::Range(range) => write!(formatter, ", {range}"),
            Peer::Group(group) => write!(formatter, ", {group}"),
            Peer::PrefixList(list) => write!(formatter, ", {list}"),
        }
    }
}

/// The two directions differ only in which calls are made.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Ingress,
    Egress,
}

impl ResourceKind for SecurityGroupRules {
    const KIND: Kind = Kind::SecurityGroupRules;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::SecurityGroup],
        creation: Creation::ReadsFirst,
        asked_by: Some(Kind::SecurityGroup),
        ..Declaration::of("security-group-rules")
    };
    type Answer = Arc<[Answer]>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, group, ingress, egress, others: _, marked } = self;
        let unmarked = (!marked).then_some("rules don't say that they are windlass's");
        Fields::default()
            .needs([group.id()])
            .members("ingress", ingress.iter().map(|rule| (rule, rule.peer.group())))
            .members("egress", egress.iter().map(|rule| (rule, rule.peer.group())))
            .maybe("marks", unmarked)
    }

    fn changes_from(&self, observed: &Self) -> Vec<Change> {
        self.fields().changes_from(&self.with_others(observed).fields())
    }

    /// A new group allows everything to go out; that is where its rules start from. In a VPC with IPv6 addresses that is so
    /// of IPv6, too (VPC User Guide, "Security group rules"); whether it was one when the group was made, the group says.
    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let identity = Identity::new(context.ids.of(&self.group)?);
        let mut egress = BTreeSet::from([Rule::anywhere_v4()]);
        if self.egress.contains(&Rule::anywhere_v6()) {
            let call = context.clients.ec2.describe_security_groups().group_ids(&identity.id);
            let found = call.send().await.during("ec2", "DescribeSecurityGroups", id)?;
            let permissions = found.security_groups().iter().flat_map(Answer::ip_permissions_egress);
            let mut rules = permissions.flat_map(|permission| rules_of(permission, &Names::default()));
            egress.extend(rules.find(|(rule, _)| *rule == Rule::anywhere_v6()).map(|(rule, _)| rule));
        }
        let bare = Self { ingress: BTreeSet::new(), egress, ..self.clone() };
        self.update(&bare, &identity, context, id).await?;
        Ok(identity)
    }

    /// Allows first and revokes then, so that nothing that stays allowed is ever cut off. That the marks are complete is
    /// said last.
    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let from = self.with_others(from);
        let group = Group { context, id, aws_id: &identity.id };
        let both = [
            (Direction::Ingress, &self.ingress, &from.ingress),
            (Direction::Egress, &self.egress, &from.egress),
        ];
        for (direction, to, from_rules) in both {
            group.allow(direction, to.difference(from_rules)).await?;
            group.revoke(direction, from_rules.difference(to)).await?;
            if self.marked && !from.marked {
                group.mark(direction, to.intersection(from_rules)).await?;
            }
        }
        if self.marked && !from.marked {
            group.say_that_rules_are_marked().await?;
        }
        Ok(identity.clone())
    }

    /// Revokes everything, whoever made it: groups that allow each other can only then be deleted.
    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let group = Group { context, id, aws_id: &identity.id };
        let Self { ingress, egress, others, .. } = self;
        group.revoke(Direction::Ingress, ingress.union(&others.ingress)).await?;
        group.revoke(Direction::Egress, egress.union(&others.egress)).await
    }

    /// EC2 describes groups with their rules.
    async fn read(look: &Look<'_>) -> Result<Arc<[Answer]>, CloudError> {
        security_group::list(look).await
    }

    /// A group whose rules are still those of a new group has none of ours yet.
    fn observed(
        answer: Arc<[Answer]>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::SecurityGroupRules, context.cluster);
        let mut found = Vec::new();
        for group in answer.iter() {
            let group_id = field(group.group_id(), &id, "the group's id")?;
            let name = group.group_name().unwrap_or_default().to_owned();
            let marked = tags::all_from_ec2(group.tags()).contains_key(tags::RULES_MARKED);
            let rules = |direction, permissions: &[IpPermission]| -> (BTreeSet<Rule>, BTreeSet<Rule>) {
                let rules = permissions.iter().flat_map(|permission| rules_of(permission, names));
                let (ours, others): (Vec<_>, Vec<_>) =
                    rules.partition(|(rule, said)| is_ours(direction, rule, said.as_deref(), marked, names));
                let plain =
                    |rules: Vec<(Rule, Option<String>)>| rules.into_iter().map(|(rule, _)| rule).collect();
                (plain(ours), plain(others))
            };
            let (ingress, others_in) = rules(Direction::Ingress, group.ip_permissions());
            let (egress, others_out) = rules(Direction::Egress, group.ip_permissions_egress());
            let others = Others { ingress: others_in, egress: others_out };
            let is_bare = ingress.is_empty()
                && egress == BTreeSet::from([Rule::anywhere_v4()])
                && others == Others::default();
            if is_bare {
                continue;
            }
            let reference = Reference::to(&name);
            let observed = Self { group: reference, name: name.clone(), ingress, egress, others, marked };
            found.push(ObservedResource::new(
                name,
                Resource::SecurityGroupRules(observed),
                Identity::new(group_id),
            ));
        }
        Ok(found)
    }
}

impl SecurityGroupRules {
    /// What is observed, as it is compared with this: a rule that is wanted and that somebody else made is there.
    fn with_others(&self, observed: &Self) -> Self {
        let both = |own: &BTreeSet<Rule>, others: &BTreeSet<Rule>, wanted: &BTreeSet<Rule>| {
            own.iter().chain(others.intersection(wanted)).cloned().collect()
        };
        Self {
            ingress: both(&observed.ingress, &observed.others.ingress, &self.ingress),
            egress: both(&observed.egress, &observed.others.egress, &self.egress),
            ..observed.clone()
        }
    }
}

/// Whether a rule, with what its description says, is windlass's.
fn is_ours(direction: Direction, rule: &Rule, said: Option<&str>, marked: bool, names: &Names) -> bool {
    if said.is_some_and(|said| said.starts_with(MARK)) {
        return true;
    }
    // EC2 itself puts this one into a new group, without a description, and only outwards.
    let of_a_new_group =
        matches!(direction, Direction::Egress) && *rule == Rule::anywhere_v4() && said.is_none();
    let made_before_marks = !marked
        && said.is_none()
        && match &rule.peer {
            Peer::Range(_) | Peer::PrefixList(_) => true,
            Peer::Group(group) => names.has(Kind::SecurityGroup, group.name()),
        };
    of_a_new_group || made_before_marks
}

/// How the description of every rule begins that windlass makes; the cluster's name follows.
pub(super) const MARK: &str = "windlass: ";

impl Rule {
    /// Everything, to or from anywhere on IPv4: what a new group has as its only egress rule.
    pub fn anywhere_v4() -> Self {
        Self { traffic: Traffic::All, peer: Peer::Range(IpNet::V4(ipnet::Ipv4Net::default())) }
    }

    /// Everything, to or from anywhere on IPv6.
    pub fn anywhere_v6() -> Self {
        Self { traffic: Traffic::All, peer: Peer::Range(IpNet::V6(ipnet::Ipv6Net::default())) }
    }

    /// The same, where a group that isn't the cluster's is known as one that exists without it.
    pub(super) fn with_existing_peer(self, names: &Names) -> Self {
        match self.peer {
            Peer::Group(group) if !names.has(Kind::SecurityGroup, group.name()) => {
                Self { peer: Peer::Group(Reference::existing(group.name())), ..self }
            }
            _ => self,
        }
    }

    /// In EC2's form. A description plays no part in which rule is meant where one is revoked.
    fn permission(&self, context: &Context<'_>, description: Option<&str>) -> IpPermission {
        let builder = match &self.traffic {
            Traffic::All => IpPermission::builder().ip_protocol("-1"),
            Traffic::Tcp(from, to) => {
                ports(IpPermission::builder().ip_protocol("tcp"), (*from).into(), (*to).into())
            }
            Traffic::Udp(from, to) => {
                ports(IpPermission::builder().ip_protocol("udp"), (*from).into(), (*to).into())
            }
            // EC2 has the type and the code of ICMP in the fields of the ports (API_IpPermission).
            Traffic::TooLarge => ports(IpPermission::builder().ip_protocol("icmp"), 3, 4),
            Traffic::TooLargeIpv6 => ports(IpPermission::builder().ip_protocol("icmpv6"), 2, 0),
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
        let mark = description.map(str::to_owned);
        match &self.peer {
            Peer::Range(IpNet::V4(range)) => {
                let range = IpRange::builder().cidr_ip(range.to_string()).set_description(mark);
                builder.ip_ranges(range.build())
            }
            Peer::Range(IpNet::V6(range)) => {
                let range = Ipv6Range::builder().cidr_ipv6(range.to_string()).set_description(mark);
                builder.ipv6_ranges(range.build())
            }
            Peer::Group(group) => {
                let pair = UserIdGroupPair::builder().group_id(context.ids.resolve(group));
                builder.user_id_group_pairs(pair.set_description(mark).build())
            }
            Peer::PrefixList(list) => {
                let list = PrefixListId::builder().prefix_list_id(list).set_description(mark);
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

/// EC2 puts several peers into one permission; each is a rule here, with its description.
pub(super) fn rules_of(permission: &IpPermission, names: &Names) -> Vec<(Rule, Option<String>)> {
    let port = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    let protocol = permission.ip_protocol().unwrap_or_default();
    let traffic = match (protocol, port(permission.from_port()), port(permission.to_port())) {
        ("-1", ..) => Traffic::All,
        ("tcp", Some(from), Some(to)) => Traffic::Tcp(from, to),
        ("udp", Some(from), Some(to)) => Traffic::Udp(from, to),
        ("icmp", Some(3), Some(4)) => Traffic::TooLarge,
        ("icmpv6", Some(2), Some(0)) => Traffic::TooLargeIpv6,
        _ => {
            let both = permission.from_port().zip(permission.to_port());
            Traffic::Other(
                both.map_or_else(|| protocol.to_owned(), |(from, to)| format!("{protocol} {from} {to}")),
            )
        }
    };
    let v4 = permission
        .ip_ranges()
        .iter()
        .filter_map(|range| Some((Peer::Range(range.cidr_ip()?.parse().ok()?), range.description())));
    let v6 = permission
        .ipv6_ranges()
        .iter()
        .filter_map(|range| Some((Peer::Range(range.cidr_ipv6()?.parse().ok()?), range.description())));
    let groups = permission
        .user_id_group_pairs()
        .iter()
        .filter_map(|pair| Some((Peer::Group(names.reference(pair.group_id()?)), pair.description())));
    let lists = permission
        .prefix_list_ids()
        .iter()
        .filter_map(|list| Some((Peer::PrefixList(list.prefix_list_id()?.to_owned()), list.description())));
    let peers = v4.chain(v6).chain(groups).chain(lists);
    peers
        .map(|(peer, said)| {
            let said = said.filter(|said| !said.is_empty()).map(str::to_owned);
            (Rule { traffic: traffic.clone(), peer }, said)
        })
        .collect()
}

/// The group whose rules are changed.
pub(super) struct Group<'a> {
    pub(super) context: &'a Context<'a>,
    pub(super) id: &'a ResourceId,
    pub(super) aws_id: &'a str,
}

impl Group<'_> {
    fn permissions<'r>(
        &self,
        rules: impl Iterator<Item = &'r Rule>,
        description: Option<&str>,
    ) -> Option<Vec<IpPermission>> {
        let permissions: Vec<_> = rules.map(|rule| rule.permission(self.context, description)).collect();
        Some(permissions).filter(|permissions| !permissions.is_empty())
    }

    fn marked<'r>(&self, rules: impl Iterator<Item = &'r Rule>) -> Option<Vec<IpPermission>> {
        self.permissions(rules, Some(&format!("{MARK}{}", self.context.cluster)))
    }

    pub(super) async fn allow<'r>(
        &self,
        direction: Direction,
        rules: impl Iterator<Item = &'r Rule>,
    ) -> Result<(), CloudError> {
        let Some(permissions) = self.marked(rules) else { return Ok(()) };
        let ec2 = &self.context.clients.ec2;
        match direction {
            Direction::Ingress => {
                let call = ec2.authorize_security_group_ingress().group_id(self.aws_id);
                let call = call.set_ip_permissions(Some(permissions));
                call.send().await.during("ec2", "AuthorizeSecurityGroupIngress", self.id)?;
            }
            Direction::Egress => {
                let call = ec2.authorize_security_group_egress().group_id(self.aws_id);
                let call = call.set_ip_permissions(Some(permissions));
                call.send().await.during("ec2", "AuthorizeSecurityGroupEgress", self.id)?;
            }
        }
        Ok(())
    }

    pub(super) async fn revoke<'r>(
        &self,
        direction: Direction,
        rules: impl Iterator<Item = &'r Rule>,
    ) -> Result<(), CloudError> {
        let Some(permissions) = self.permissions(rules, None) else { return Ok(()) };
        let ec2 = &self.context.clients.ec2;
        match direction {
            Direction::Ingress => {
                let call = ec2.revoke_security_group_ingress().group_id(self.aws_id);
                let call = call.set_ip_permissions(Some(permissions));
                call.send().await.during("ec2", "RevokeSecurityGroupIngress", self.id)?;
            }
            Direction::Egress => {
                let call = ec2.revoke_security_group_egress().group_id(self.aws_id);
                let call = call.set_ip_permissions(Some(permissions));
                call.send().await.during("ec2", "RevokeSecurityGroupEgress", self.id)?;
            }
        }
        Ok(())
    }

    /// Writes the mark onto rules that are there.
    async fn mark<'r>(
        &self,
        direction: Direction,
        rules: impl Iterator<Item = &'r Rule>,
    ) -> Result<(), CloudError> {
        let Some(permissions) = self.marked(rules) else { return Ok(()) };
        let ec2 = &self.context.clients.ec2;
        match direction {
            Direction::Ingress => {
                let call = ec2.update_security_group_rule_descriptions_ingress().group_id(self.aws_id);
                let call = call.set_ip_permissions(Some(permissions));
                call.send().await.during("ec2", "UpdateSecurityGroupRuleDescriptionsIngress", self.id)?;
            }
            Direction::Egress => {
                let call = ec2.update_security_group_rule_descriptions_egress().group_id(self.aws_id);
                let call = call.set_ip_permissions(Some(permissions));
                call.send().await.during("ec2", "UpdateSecurityGroupRuleDescriptionsEgress", self.id)?;
            }
        }
        Ok(())
    }

    async fn say_that_rules_are_marked(&self) -> Result<(), CloudError> {
        let tag = Tag::builder().key(tags::RULES_MARKED).value("true").build();
        let call = self.context.clients.ec2.create_tags().resources(self.aws_id).tags(tag);
        call.send().await.during("ec2", "CreateTags", self.id)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(peer: Peer) -> Rule {
        Rule { traffic: Traffic::Tcp(443, 443), peer }
    }

    fn range() -> Rule {
        rule(Peer::Range("203.0.113.0/24".parse().unwrap()))
    }

    #[test]
    fn in_a_group_with_marks_only_marked_rules_and_that_of_a_new_group_are_ours() {
        let names = Names::default();
        for direction in [Direction::Ingress, Direction::Egress] {
            assert!(is_ours(direction, &range(), Some("windlass: demo.example.com"), true, &names));
            assert!(!is_ours(direction, &range(), None, true, &names));
            let controllers = Some("elbv2.k8s.aws/targetGroupBinding=shared");
            assert!(!is_ours(direction, &range(), controllers, true, &names));
        }
        assert!(is_ours(Direction::Egress, &Rule::anywhere_v4(), None, true, &names));
    }

    #[test]
    fn what_somebody_let_in_from_anywhere_by_hand_is_not_ours_though_a_new_group_lets_everything_out() {
        let (names, anywhere) = (Names::default(), Rule::anywhere_v4());
        assert!(!is_ours(Direction::Ingress, &anywhere, None, true, &names));
        assert!(is_ours(Direction::Ingress, &anywhere, Some("windlass: demo.example.com"), true, &names));
        assert!(is_ours(Direction::Ingress, &anywhere, None, false, &names), "made before there were marks");
    }

    #[test]
    fn in_a_group_without_marks_what_controllers_make_is_left_alone_and_the_rest_is_ours() {
        let names = Names::default();
        assert!(is_ours(Direction::Ingress, &range(), None, false, &names));
        assert!(!is_ours(
            Direction::Ingress,
            &range(),
            Some("kubernetes.io/rule/nlb/health=10.0.0.0/16"),
            false,
            &names
        ));
        let balancers = rule(Peer::Group(Reference::to("sg-0123")));
        assert!(
            !is_ours(Direction::Ingress, &balancers, None, false, &names),
            "the rule for a load balancer's group"
        );
    }

    #[test]
    fn a_rule_of_somebody_else_is_neither_revoked_nor_made_again() {
        let wanted = SecurityGroupRules {
            name: "nodes".to_owned(),
            group: Reference::to("nodes"),
            ingress: BTreeSet::from([range()]),
            egress: BTreeSet::new(),
            others: Others::default(),
            marked: true,
        };
        let foreign = rule(Peer::Group(Reference::to("sg-0123")));
        let others = Others { ingress: BTreeSet::from([range(), foreign]), egress: BTreeSet::new() };
        let observed = SecurityGroupRules { ingress: BTreeSet::new(), others, ..wanted.clone() };
        let changes =
            Resource::SecurityGroupRules(wanted).changes_from(&Resource::SecurityGroupRules(observed));
        assert_eq!(changes, []);
    }
}
