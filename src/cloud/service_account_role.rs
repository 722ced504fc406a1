//! Roles of service accounts. Each is an IAM role like those of instances, which tokens of the cluster's issuer may assume.
//!
//! Which ones there are, only a list of all of the account's roles says: IAM has no search by tag. It is asked for where a tag
//! of the masters' role says that the cluster has an issuer that AWS trusts, and not in other clusters.

use futures::future::try_join_all;

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::error::CloudError;
use super::fields::Fields;
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind, TagRules};
use super::role::{self, Described, Role};
use super::{Kind, Resource, name_limit};
use crate::aws::During;
use crate::aws::tags::{self, Tags};

/// A role of a service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccountRole {
    /// The role itself.
    pub role: Role,
    /// The role whose tag says that there are such roles.
    pub named_by: Reference<Role>,
}

impl ResourceKind for ServiceAccountRole {
    const KIND: Kind = Kind::ServiceAccountRole;
    const DECLARATION: Declaration = Declaration {
        creation: Creation::Repeatable,
        tags: TagRules::Iam,
        // Of two that are another's, it is always the masters' role that is refused.
        observed_after: &[Kind::Role],
        foreign_hint: Some(
            "delete the role where nobody needs it any more, or leave its service account out of \
             `serviceAccountExternalPermissions`",
        ),
        ..Declaration::of("service-account-role")
    };
    type Answer = Vec<Described>;

    fn name(&self) -> &str {
        &self.role.name
    }

    fn fields(&self) -> Fields {
        let Self { role, named_by } = self;
        role.fields().needs([named_by.id()])
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        self.role.tags_mut()
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        self.role.create(context, id).await
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        self.role.update(&from.role, identity, context, id).await
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        self.role.delete(identity, context, id).await
    }

    async fn read(look: &Look<'_>) -> Result<Vec<Described>, CloudError> {
        let context = look.context;
        let names = match context.sought {
            Sought::Id(name) => vec![name.to_owned()],
            Sought::All if role::marks(look).await?.issuer.is_none() => Vec::new(),
            Sought::All => candidates(context).await?,
        };
        let found = try_join_all(names.iter().map(|name| role::describe_by_name(context, name))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Another's role of a name that could be one is in nobody's way until the specification asks for it
    /// ([`super::adoption`]).
    fn observed(
        answer: Vec<Described>,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let ours = answer.into_iter().filter(|found| context.owner.owns(&found.tags()));
        Ok(ours.map(|found| Self::seen(found, context)).collect())
    }

    fn uid_command(name: &str, uid: &str) -> Option<String> {
        Some(format!("aws iam tag-role --role-name {name} --tags Key={},Value={uid}", tags::UID))
    }
}

impl ServiceAccountRole {
    /// The name of a service account's role, as kops has it.
    pub fn name_for(name: &str, namespace: &str, cluster: &str) -> String {
        name_limit::within(role::NAME_LIMIT, format!("{name}.{namespace}{}", ending(cluster)))
    }

    /// What there is of this name by now, which must be the cluster's.
    pub(super) async fn find(&self, context: &Context<'_>) -> Result<Vec<ObservedResource>, CloudError> {
        let name = &self.role.name;
        let Some(found) = role::describe_by_name(context, name).await? else { return Ok(Vec::new()) };
        let id = ResourceId::new(Kind::ServiceAccountRole, name);
        let ours = super::tagging::is_ours(context, &found.tags(), &id)?;
        Ok(if ours { vec![Self::seen(found, context)] } else { Vec::new() })
    }

    fn seen(found: Described, context: &Context<'_>) -> ObservedResource {
        let role = found.into_role();
        let (name, identity) = (role.name.clone(), Identity::new(&role.name));
        let named_by = Reference::to(role::name_of_masters(context.cluster));
        ObservedResource::new(name, Resource::ServiceAccountRole(Self { role, named_by }), identity)
    }
}

/// What names end in that aren't cut.
fn ending(cluster: &str) -> String {
    format!(".sa.{cluster}")
}

/// The account's roles whose names could be those of the cluster's service accounts: a name that was cut says no more of
/// its cluster.
async fn candidates(context: &Context<'_>) -> Result<Vec<String>, CloudError> {
    let id = ResourceId::new(Kind::ServiceAccountRole, context.cluster);
    // The most that a page holds: an account has 1000 roles, if nobody has asked AWS for more.
    let pages = context.clients.iam.list_roles().max_items(1000).into_paginator().items().send();
    let roles = pages.try_collect().await.during("iam", "ListRoles", &id)?;
    let ending = ending(context.cluster);
    let names = roles.into_iter().map(|role| role.role_name);
    Ok(names.filter(|name| name.ends_with(&ending) || name.len() == role::NAME_LIMIT).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_called_after_its_service_account_as_in_kops_and_within_iam_s_limit() {
        let name = ServiceAccountRole::name_for("web", "test-wildcard", "demo.example.com");
        assert_eq!(name, "web.test-wildcard.sa.demo.example.com");
        let [one, two] = ["a", "b"].map(|end| {
            ServiceAccountRole::name_for(&"x".repeat(60), "default", &format!("{end}.example.com"))
        });
        assert!(one.len() == role::NAME_LIMIT && one != two, "{one} {two}");
    }
}
