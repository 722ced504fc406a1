//! Security groups, without their rules: groups refer to each other in their rules, so that rules are resources of
//! their own ([`super::security_group_rules`]).

use std::sync::Arc;

use aws_sdk_ec2::types::{ResourceType, SecurityGroup as Answer};

use super::blockers::{Blocker, Looker};
use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::{CloudError, field, gone};
use super::fields::{Change, Effect, Fields};
use super::look::Look;
use super::namesakes::Namesake;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Declaration, ResourceKind};
use super::vpc::Vpc;
use super::{Kind, Resource, tagging};
use crate::aws::tags::{self, Tags};
use crate::aws::{AwsError, During};

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityGroup {
    /// `masters.<cluster>`, `nodes.<cluster>`.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The VPC it is part of.
    pub vpc: Reference<Vpc>,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for SecurityGroup {
    const KIND: Kind = Kind::SecurityGroup;
    const DECLARATION: Declaration = Declaration {
        observed_after: &[Kind::Vpc],
        // That all rules are marked ([`tags::RULES_MARKED`]).
        tags_set_later: 1,
        ..Declaration::of("security-group")
    };
    type Answer = Arc<[Answer]>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, description, vpc, tags } = self;
        Fields::default().one("description", description).reference("vpc", vpc).map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    /// A group's description is given once, for life, and means nothing but to people.
    fn changes_from(&self, observed: &Self) -> Vec<Change> {
        let observed = Self { description: self.description.clone(), ..observed.clone() };
        self.fields().changes_from(&observed.fields())
    }

    fn effect(&self, change: &Change, _observed: &Self) -> Effect {
        match change.field.as_str() {
            "vpc" => Effect::Refused("a security group keeps its VPC for life"),
            _ => Effect::InPlace,
        }
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let mut new = self.tags.clone();
        // There are no rules in it that lack a mark.
        new.insert(tags::RULES_MARKED.to_owned(), "true".to_owned());
        let call = context
            .clients
            .ec2
            .create_security_group()
            .group_name(&self.name)
            .description(&self.description)
            .vpc_id(context.ids.of(&self.vpc)?)
            .tag_specifications(tags::specification(ResourceType::SecurityGroup, &new));
        let made = call.send().await.during("ec2", "CreateSecurityGroup", id)?;
        Ok(Identity::new(field(made.group_id(), id, "the group's id")?))
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.ec2.delete_security_group().group_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteSecurityGroup", id))
    }

    async fn read(look: &Look<'_>) -> Result<Arc<[Answer]>, CloudError> {
        list(look).await
    }

    fn observed(
        answer: Arc<[Answer]>,
        context: &Context<'_>,
        names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::SecurityGroup, context.cluster);
        let found = |group: &Answer| {
            let observed = Self {
                name: group.group_name().unwrap_or_default().to_owned(),
                description: group.description().unwrap_or_default().to_owned(),
                vpc: names.reference(group.vpc_id().unwrap_or_default()),
                tags: tags::from_ec2(group.tags()),
            };
            let identity = Identity::new(field(group.group_id(), &id, "the group's id")?);
            Ok(ObservedResource::new(observed.name.clone(), Resource::SecurityGroup(observed), identity))
        };
        answer.iter().map(found).collect()
    }

    async fn blockers(&self, aws_id: &str, look: &Looker<'_>) -> Result<Vec<Blocker>, AwsError> {
        look.at_security_group(aws_id).await
    }

    async fn namesake(&self, context: &Context<'_>, id: &ResourceId) -> Result<Option<Namesake>, AwsError> {
        let Ok(vpc) = context.ids.of(&self.vpc) else { return Ok(None) };
        let call = context.clients.ec2.describe_security_groups();
        let call = call.filters(tags::filter("vpc-id", &vpc)).filters(tags::filter("group-name", &self.name));
        let answer = call.send().await.during("ec2", "DescribeSecurityGroups", id)?;
        Ok(answer.security_groups().first().map(|group| Namesake {
            aws_id: group.group_id().unwrap_or_default().to_owned(),
            tags: tags::all_from_ec2(group.tags()),
        }))
    }
}

/// The cluster's security groups with their rules.
pub(super) async fn list(look: &Look<'_>) -> Result<Arc<[Answer]>, CloudError> {
    let context = look.context;
    let ask = async {
        let id = ResourceId::new(Kind::SecurityGroup, context.cluster);
        let call = context.clients.ec2.describe_security_groups();
        let call = match context.sought {
            Sought::All => call.filters(tags::of_cluster(context.cluster)),
            Sought::Id(id) => call.group_ids(id),
        };
        let pages = call.into_paginator().items().send();
        let mut groups = pages.try_collect().await.during("ec2", "DescribeSecurityGroups", &id)?;
        groups.retain(|group| context.owner.owns(&tags::from_ec2(group.tags())));
        Ok(groups)
    };
    look.answers.security_groups.or_ask(ask).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_description_which_ec2_never_changes_is_not_compared_and_its_tags_are() {
        let wanted = SecurityGroup {
            name: "nodes.demo".to_owned(),
            description: "Nodes of demo".to_owned(),
            vpc: Reference::to("demo"),
            tags: Tags::new(),
        };
        let by_an_older_windlass = SecurityGroup { description: "nodes".to_owned(), ..wanted.clone() };
        let changes = |observed: &SecurityGroup| {
            let resources = [wanted.clone(), observed.clone()].map(Resource::SecurityGroup);
            resources[0].changes_from(&resources[1])
        };
        assert_eq!(changes(&by_an_older_windlass), []);
        let tags = [("Name".to_owned(), "renamed".to_owned())].into();
        assert_eq!(changes(&SecurityGroup { tags, ..by_an_older_windlass }).len(), 1);
    }
}
