//! What exists already and isn't the cluster's: a VPC or a subnet of somebody else's, say, that the cluster is to use.
//!
//! It is referred to by AWS's id ([`Reference::existing`]), never made, changed or deleted. Only the tags by which
//! controllers find it are added where it lacks them; a tag of such a key that is there stays as it is, and stays when the
//! cluster goes, as another cluster may go by it. EC2 lets any of its resources be tagged by its id in the same way
//! (`CreateTags`), so that this is one kind for all of them.
//!
//! [`Reference::existing`]: super::reference::Reference::existing

use aws_sdk_ec2::types::TagDescription;

use super::context::{Context, Identity, Names, Observed, ObservedResource, Sought};
use super::error::CloudError;
use super::fields::{Change, Fields};
use super::look::Look;
use super::reference::ResourceId;
use super::resource_kind::{Creation, Declaration, ResourceKind, Unwanted};
use super::{Kind, Resource};
use crate::aws::tags::{self, Tags};
use crate::aws::{Clients, During};

/// How many values a filter takes (API_DescribeTags).
const FILTER_LIMIT: usize = 200;

/// Something that exists already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// AWS's id.
    pub name: String,
    /// The tags that it must have, whatever their values; as observed, all that it has.
    pub tags: Tags,
}

impl ResourceKind for Existing {
    const KIND: Kind = Kind::Existing;
    const DECLARATION: Declaration = Declaration {
        unwanted: Unwanted::LeftAlone,
        has_deletion_step: false,
        creation: Creation::ReadsFirst,
        ..Declaration::of("existing")
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
        let missing = self.missing_in(from);
        if !missing.is_empty() {
            let call = context.clients.ec2.create_tags().resources(&self.name);
            let call = call.set_tags(Some(tags::to_ec2(&missing)));
            call.send().await.during("ec2", "CreateTags", id)?;
        }
        Ok(identity.clone())
    }

    /// It is somebody else's, and no plan deletes it.
    async fn delete(
        &self,
        _identity: &Identity,
        _context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        Err(CloudError::Foreign { resource: id.clone(), tag: tags::MANAGED, found: None })
    }

    /// Nothing says that it is the cluster's: it is only found by its id ([`look_into`]).
    async fn read(look: &Look<'_>) -> Result<Vec<Existing>, CloudError> {
        match look.context.sought {
            Sought::All => Ok(Vec::new()),
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
    let filter = aws_sdk_ec2::types::Filter::builder().name("resource-id").set_values(Some(values)).build();
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
                cidr: "10.0.0.0/24".parse().unwrap(),
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
        assert_eq!(shown(&plan), ["update existing/vpc-1", "create subnet/a"]);
        let after: Vec<String> = plan.steps[1].after.iter().map(ToString::to_string).collect();
        assert_eq!(after, ["existing/vpc-1"]);
    }

    #[test]
    fn a_tag_that_is_there_stays_as_it_is() {
        let plan = Plan::update(&desired(), &observed(&[(KEY, "owned"), ("Name", "theirs")])).unwrap();
        assert_eq!(shown(&plan), ["create subnet/a"]);
    }

    #[test]
    fn nothing_that_exists_without_the_cluster_is_deleted_by_an_update_or_with_it() {
        let theirs = observed(&[(KEY, "shared")]);
        assert!(Plan::update(&Desired::default(), &theirs).unwrap().is_empty());
        assert!(Plan::deletion(&Desired::default(), &theirs).is_empty());
    }
}
