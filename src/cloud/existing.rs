//! What exists already and isn't the cluster's: a VPC or a subnet of somebody else's, say, that the cluster is to use.
//!
//! It is referred to by AWS's id ([`Reference::existing`]), never made, changed or deleted. Only the tags by which
//! controllers find it are added where it lacks them; a tag of such a key that is there stays as it is. One tag more says
//! which were added ([`tags::added_by`]): they go with the cluster, or when it doesn't use the thing any more, so that it is
//! again as it was. EC2 lets any of its resources be tagged by its id in the same way (`CreateTags`), so that this is one kind
//! for all of them.
//!
//! [`Reference::existing`]: super::reference::Reference::existing

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_ec2::types::{Filter, Tag, TagDescription};
use windlass_bootstrap::tags as shared;

use super::context::{Context, Identity, Names, Observed, ObservedResource, Sought};
use super::error::{CloudError, gone};
use super::fields::{Change, Fields};
use super::look::Look;
use super::reference::ResourceId;
use super::resource_kind::{Creation, Declaration, ResourceKind};
use super::{Kind, Resource};
use crate::aws::tags::{self, Tags};
use crate::aws::{Clients, During};

/// What the keys begin with of the tags that say which clusters use something.
const OWNERSHIP: &str = "kubernetes.io/cluster/";

/// What the keys begin with of the tags that say what a subnet is for.
const SUBNET_ROLE: &str = "kubernetes.io/role/";

/// How many values a filter takes (API_DescribeTags).
const FILTER_LIMIT: usize = 200;

/// Something that exists already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// AWS's id.
    pub name: String,
    /// The tags that it must have, whatever their values; as observed, all that it has, or of what isn't wanted, those that
    /// the cluster added.
    pub tags: Tags,
}

impl ResourceKind for Existing {
    const KIND: Kind = Kind::Existing;
    const DECLARATION: Declaration = Declaration {
        // Controllers go by the tags as long as they live, and reservations are found by those of their subnets.
        deleted_after: &[Kind::AutoScalingGroup, Kind::AddressReservation],
        creation: Creation::ReadsFirst,
        ..Declaration::of("shared-tags")
    };
    type Answer = Vec<Existing>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, tags } = self;
        Fields::default().map("tags", tags)
    }

    fn changes_from(&self, observed: &Self) -> Vec<Change> {
        let missing = self.missing_in(observed);
        missing
            .iter()
            .flat_map(|(key, value)| Fields::default().one(&format!("tags.{key}"), value).additions())
            .collect()
    }

    /// None is ever made: what was not seen is asked to take its tags, which EC2 refuses where it isn't there.
    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let unseen = Self { name: self.name.clone(), tags: Tags::new() };
        self.update(&unseen, &Identity::new(&self.name), context, id).await
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let mut missing = self.missing_in(from);
        if !missing.is_empty() {
            let mark = tags::added_by(context.cluster);
            let before = from.tags.get(&mark).map(|keys| tags::split_keys(keys)).unwrap_or_default();
            let added: BTreeSet<String> = before.into_iter().chain(missing.keys().cloned()).collect();
            missing.insert(mark, tags::join_keys(added.iter()));
            let call = context.clients.ec2.create_tags().resources(&self.name);
            let call = call.set_tags(Some(tags::to_ec2(&missing)));
            call.send().await.during("ec2", "CreateTags", id)?;
        }
        Ok(identity.clone())
    }

    /// Takes the tags away that the cluster added. Those that say what a subnet is for stay while another cluster uses it: it
    /// goes by them, too.
    async fn delete(
        &self,
        _identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let found = read(context.clients, &[&self.name]).await?;
        let own = shared::ownership(context.cluster);
        let mark = tags::added_by(context.cluster);
        let all = found.into_iter().next().map(|found| found.tags).unwrap_or_default();
        let Some(added) = all.get(&mark).map(|keys| tags::split_keys(keys)) else { return Ok(()) };
        let in_use = all.keys().any(|key| key.starts_with(OWNERSHIP) && *key != own);
        let gone_now =
            added.into_iter().filter(|key| !(in_use && key.starts_with(SUBNET_ROLE))).chain([mark]);
        let keys = gone_now.map(|key| Tag::builder().key(key).build()).collect();
        let call = context.clients.ec2.delete_tags().resources(&self.name).set_tags(Some(keys));
        gone(call.send().await.during("ec2", "DeleteTags", id))
    }

    /// Of all that exists, what the cluster added tags to. What is wanted is looked at besides ([`look_into`]).
    async fn read(look: &Look<'_>) -> Result<Vec<Existing>, CloudError> {
        match look.context.sought {
            Sought::All => tagged(look).await,
            Sought::Id(id) => read(look.context.clients, &[id]).await,
        }
    }

    fn observed(
        answer: Vec<Existing>,
        _context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        Ok(answer.into_iter().map(Self::found).collect())
    }
}

impl Existing {
    /// The tags whose keys it lacks.
    fn missing_in(&self, observed: &Self) -> Tags {
        let missing = self.tags.iter().filter(|(key, _)| !observed.tags.contains_key(*key));
        missing.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    fn found(self) -> ObservedResource {
        let name = self.name.clone();
        ObservedResource::new(name.clone(), Resource::Existing(self), Identity::new(name))
    }
}

/// The tags that say what the cluster added tags to.
async fn list(look: &Look<'_>) -> Result<Arc<[TagDescription]>, CloudError> {
    let context = look.context;
    let ask = async {
        let id = ResourceId::new(Kind::Existing, context.cluster);
        let call = context.clients.ec2.describe_tags();
        let call = call.filters(tags::filter("key", &tags::added_by(context.cluster)));
        let pages = call.into_paginator().items().send();
        Ok(pages.try_collect().await.during("ec2", "DescribeTags", &id)?)
    };
    look.answers.marks.or_ask(ask).await
}

/// What the cluster added tags to, with those tags, whose values say nothing.
async fn tagged(look: &Look<'_>) -> Result<Vec<Existing>, CloudError> {
    let marks = list(look).await?;
    let found = marks.iter().filter_map(|mark| {
        let added = tags::split_keys(mark.value().unwrap_or_default());
        let tags: BTreeMap<String, String> = added.into_iter().map(|key| (key, String::new())).collect();
        Some(Existing { name: mark.resource_id()?.to_owned(), tags })
    });
    Ok(found.collect())
}

/// AWS's ids of what the cluster added tags to.
pub(super) async fn ids(look: &Look<'_>) -> Result<Vec<String>, CloudError> {
    if let Some(names) = look.known {
        return Ok(names.ids_of(Kind::Existing));
    }
    let marks = list(look).await?;
    Ok(marks.iter().filter_map(|mark| mark.resource_id().map(str::to_owned)).collect())
}

/// Looks at what of the wanted resources exists already: no tag says which it is, so that only who wants it knows. One call
/// for each 200 of them, none where there are none. That they exist is not looked into: EC2 lists the tags of any id.
///
/// # Errors
///
/// Fails with what AWS said.
pub async fn look_into<'a>(
    wanted: impl Iterator<Item = &'a Resource>,
    clients: &Clients,
    observed: &mut Observed,
) -> Result<(), CloudError> {
    let ids: Vec<&str> = wanted
        .filter_map(|resource| match resource {
            Resource::Existing(existing) => Some(existing.name.as_str()),
            _ => None,
        })
        .collect();
    for ids in ids.chunks(FILTER_LIMIT) {
        let found = read(clients, ids).await?;
        observed.extend(Kind::Existing, found.into_iter().map(Existing::found).collect());
    }
    Ok(())
}

/// What carries these ids, with all of its tags.
async fn read(clients: &Clients, ids: &[&str]) -> Result<Vec<Existing>, CloudError> {
    let about = ResourceId::new(Kind::Existing, ids.join(", "));
    let values = ids.iter().map(|id| (*id).to_owned()).collect();
    let filter = Filter::builder().name("resource-id").set_values(Some(values)).build();
    let pages = clients.ec2.describe_tags().filters(filter).into_paginator().items().send();
    let all: Vec<TagDescription> = pages.try_collect().await.during("ec2", "DescribeTags", &about)?;
    let tags_of = |id: &str| {
        let own = all.iter().filter(|tag| tag.resource_id() == Some(id));
        own.filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
            .collect()
    };
    Ok(ids.iter().map(|id| Existing { name: (*id).to_owned(), tags: tags_of(id) }).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cloud::reference::Reference;
    use crate::cloud::subnet::Subnet;
    use crate::model::Desired;
    use crate::plan::Plan;

    const KEY: &str = "kubernetes.io/cluster/demo.example.com";

    fn vpc(tags: &[(&str, &str)]) -> Existing {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Existing { name: "vpc-1".to_owned(), tags }
    }

    fn desired() -> Desired {
        let mut desired = Desired::default();
        desired.insert(vpc(&[(KEY, "shared")])).unwrap();
        desired
            .insert(Subnet {
                name: "a".to_owned(),
                vpc: Reference::existing("vpc-1"),
                zone: "us-east-1a".to_owned(),
                cidr: "10.0.0.0/24".parse().ok(),
                ipv6: None,
                vpc_ipv6: None,
                assigns_ipv6: false,
                dns64: false,
                tags: BTreeMap::new(),
            })
            .unwrap();
        desired
    }

    fn observed(tags: &[(&str, &str)]) -> Observed {
        let mut observed = Observed::default();
        observed.extend(Kind::Existing, vec![vpc(tags).found()]);
        observed
    }

    fn shown(plan: &Plan) -> Vec<String> {
        let step = |step: &crate::plan::Step| format!("{} {}", step.action.verb(), step.resource);
        plan.steps.iter().map(step).collect()
    }

    #[test]
    fn something_that_exists_gets_the_tags_that_it_lacks_before_what_refers_to_it_is_made() {
        let plan = Plan::update(&desired(), &observed(&[("Name", "theirs")])).unwrap();
        assert_eq!(shown(&plan), ["update shared-tags/vpc-1", "create subnet/a"]);
        let after: Vec<String> = plan.steps[1].after.iter().map(ToString::to_string).collect();
        assert_eq!(after, ["shared-tags/vpc-1"]);
    }

    #[test]
    fn a_tag_that_is_there_stays_as_it_is() {
        let plan = Plan::update(&desired(), &observed(&[(KEY, "owned"), ("Name", "theirs")])).unwrap();
        assert_eq!(shown(&plan), ["create subnet/a"]);
    }

    #[test]
    fn the_tags_of_what_the_cluster_uses_no_more_go_and_with_the_cluster_too() {
        let theirs = observed(&[(KEY, "")]);
        for plan in [
            Plan::update(&Desired::default(), &theirs).unwrap(),
            Plan::deletion(&Desired::default(), &theirs),
        ] {
            assert_eq!(shown(&plan), ["delete shared-tags/vpc-1"]);
        }
    }
}
