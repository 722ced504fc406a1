//! The cluster's rules in a security group that exists already, which instances have in place of windlass's own.
//!
//! Its other rules, and what goes out of it, are its owner's. A rule of the cluster's is known by its description, which
//! names the cluster; the group is found again by the tags that were added to it ([`super::existing`]). While instances of
//! the cluster are in the group its rules stay, whatever the specification says by then.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Filter, NetworkInterface, SecurityGroup as Answer};
use futures::try_join;
use windlass_bootstrap::tags as shared;

use super::context::{Context, Identity, Names, Observed, ObservedResource, Sought};
use super::error::CloudError;
use super::existing;
use super::fields::{Change, Fields};
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::security_group::SecurityGroup;
use super::security_group_rules::{Direction, Group, MARK, Peer, Rule, rules_of};
use super::{Kind, Resource};
use crate::aws::{During, tags};

/// The cluster's rules in one security group of somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExistingGroupRules {
    /// The group, by AWS's id.
    pub name: String,
    /// Who may reach its members, and where.
    pub ingress: BTreeSet<Rule>,
    /// Rules of others, as observed; empty for what is wanted.
    pub others: BTreeSet<Rule>,
}

/// A group with its rules, and which of the cluster's instances are in it.
#[derive(Clone, Debug)]
pub struct Found {
    group: Answer,
    members: Vec<String>,
}

impl ResourceKind for ExistingGroupRules {
    const KIND: Kind = Kind::ExistingGroupRules;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::SecurityGroup, Kind::Existing],
        // Instances need their rules to the end.
        deleted_after: &[Kind::AutoScalingGroup],
        creation: Creation::ReadsFirst,
        asked_by: Some(Kind::Existing),
        ..Declaration::of("existing-security-group-rules")
    };
    type Answer = Vec<Found>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name, ingress, others: _ } = self;
        let group: Reference<SecurityGroup> = Reference::existing(name);
        Fields::default()
            .needs([group.id()])
            .members("ingress", ingress.iter().map(|rule| (rule, rule.peer.group())))
    }

    fn changes_from(&self, observed: &Self) -> Vec<Change> {
        self.fields().changes_from(&self.with_others(observed).fields())
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let identity = Identity::new(&self.name);
        let found = describe(context, std::slice::from_ref(&self.name)).await?;
        let names = Names::of_known(&Observed::default(), context.ids);
        let observed = found.first().map(|found| Self::of(found, context.cluster, &names));
        let bare = Self { ingress: BTreeSet::new(), others: BTreeSet::new(), ..self.clone() };
        self.update(&observed.unwrap_or(bare), &identity, context, id).await
    }

    /// Allows first and revokes then, so that nothing that stays allowed is ever cut off.
    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let from = self.with_others(from);
        let group = Group { context, id, aws_id: &self.name };
        group.allow(Direction::Ingress, self.ingress.difference(&from.ingress)).await?;
        group.revoke(Direction::Ingress, from.ingress.difference(&self.ingress)).await?;
        Ok(identity.clone())
    }

    /// Revokes the cluster's rules alone. That the group is gone is what was wanted.
    async fn delete(
        &self,
        _identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let group = Group { context, id, aws_id: &self.name };
        match group.revoke(Direction::Ingress, self.ingress.iter()).await {
            Err(CloudError::Aws(error)) if error.is_not_found() => Ok(()),
            other => other,
        }
    }

    /// Those that tags were added to. What is wanted is looked at besides ([`look_into`]).
    async fn read(look: &Look<'_>) -> Result<Vec<Found>, CloudError> {
        let ids = match look.context.sought {
            Sought::Id(id) => vec![id.to_owned()],
            Sought::All => existing::ids(look).await?,
        };
        let is_group = |id: &String| id.starts_with("sg-");
        describe(look.context, &ids.into_iter().filter(is_group).collect::<Vec<_>>()).await
    }

    fn observed(
        answer: Vec<Found>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        Ok(answer.into_iter().filter_map(|found| found.observed(context.cluster, names)).collect())
    }
}

impl ExistingGroupRules {
    fn of(found: &Found, cluster: &str, names: &Names) -> Self {
        let mark = format!("{MARK}{cluster}");
        let rules = found.group.ip_permissions().iter().flat_map(|permission| rules_of(permission, names));
        let (own, others): (Vec<_>, Vec<_>) = rules.partition(|(_, said)| said.as_deref() == Some(&mark));
        let plain = |rules: Vec<(Rule, Option<String>)>| {
            rules.into_iter().map(|(rule, _)| rule.with_existing_peer(names)).collect()
        };
        let name = found.group.group_id().unwrap_or_default().to_owned();
        Self { name, ingress: plain(own), others: plain(others) }
    }

    /// What is observed, as it is compared with this: a rule that is wanted and that somebody else made is there.
    fn with_others(&self, observed: &Self) -> Self {
        let theirs = observed.others.intersection(&self.ingress);
        Self { ingress: observed.ingress.iter().chain(theirs).cloned().collect(), ..observed.clone() }
    }

    /// The rules of a set that let this group in.
    pub fn as_peer_in(&self, rules: &BTreeSet<Rule>) -> Vec<Rule> {
        let peer = Peer::Group(Reference::existing(&self.name));
        let own = rules.iter().filter(|rule| rule.peer == peer);
        own.map(|rule| Rule { traffic: rule.traffic.clone(), peer: peer.clone() }).collect()
    }
}

impl Found {
    /// None where the group has no rule of the cluster's.
    fn observed(self, cluster: &str, names: &Names) -> Option<ObservedResource> {
        let rules = ExistingGroupRules::of(&self, cluster, names);
        if rules.ingress.is_empty() && rules.others.is_empty() {
            return None;
        }
        let name = rules.name.clone();
        let identity = Identity::new(&name);
        let mut observed = ObservedResource::new(name, Resource::ExistingGroupRules(rules), identity);
        observed.used_by = self.members;
        Some(observed)
    }
}

/// Looks at the groups that are wanted. No call where there is none.
///
/// # Errors
///
/// Fails with what AWS said.
pub async fn look_into<'a>(
    wanted: impl Iterator<Item = &'a Resource>,
    context: &Context<'_>,
    observed: &mut Observed,
) -> Result<(), CloudError> {
    let ids: Vec<String> = wanted
        .filter_map(|resource| match resource {
            Resource::ExistingGroupRules(rules) => Some(rules.name.clone()),
            _ => None,
        })
        .collect();
    let found = describe(context, &ids).await?;
    let names = Names::new(observed);
    let found = found.into_iter().filter_map(|found| found.observed(context.cluster, &names)).collect();
    observed.extend(Kind::ExistingGroupRules, found);
    Ok(())
}

/// The groups of these ids, as far as they are there, with the cluster's instances that are in them.
async fn describe(context: &Context<'_>, ids: &[String]) -> Result<Vec<Found>, CloudError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let id = ResourceId::new(Kind::ExistingGroupRules, ids.join(", "));
    let these = |name: &str| Filter::builder().name(name).set_values(Some(ids.to_vec())).build();
    let groups = async {
        let call = context.clients.ec2.describe_security_groups().filters(these("group-id"));
        let pages = call.into_paginator().items().send();
        Ok::<_, CloudError>(pages.try_collect().await.during("ec2", "DescribeSecurityGroups", &id)?)
    };
    let interfaces = async {
        let own = tags::filter(&format!("tag:{}", shared::CLUSTER), context.cluster);
        let call = context.clients.ec2.describe_network_interfaces().filters(these("group-id")).filters(own);
        let pages = call.into_paginator().items().send();
        Ok::<_, CloudError>(pages.try_collect().await.during("ec2", "DescribeNetworkInterfaces", &id)?)
    };
    let (groups, interfaces) = try_join!(groups, interfaces)?;
    let mut members: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for interface in &interfaces {
        for group in interface.groups().iter().filter_map(|group| group.group_id()) {
            members.entry(group.to_owned()).or_default().push(member(interface));
        }
    }
    let found = |group: Answer| {
        let id = group.group_id().unwrap_or_default();
        Found { members: members.get(id).cloned().unwrap_or_default(), group }
    };
    Ok(groups.into_iter().map(found).collect())
}

/// The instance that an interface is attached to, or the interface itself.
fn member(interface: &NetworkInterface) -> String {
    let instance = interface.attachment().and_then(|attachment| attachment.instance_id());
    instance.or(interface.network_interface_id()).unwrap_or_default().to_owned()
}
