//! Instance profiles: what lets an instance have a role.

use aws_sdk_iam::types::InstanceProfile as Answer;
use futures::future::try_join_all;

use super::context::{Context, Identity, Names, ObservedResource};
use super::error::{CloudError, field, gone};
use super::fields::Fields;
use super::look::Look;
use super::reference::{Reference, ResourceId};
use super::resource_kind::{Creation, Declaration, ResourceKind, TagRules};
use super::role::{self, Role};
use super::{Kind, Resource, tagging};
use crate::aws::During;
use crate::aws::tags::{self, Tags};

/// An instance profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceProfile {
    /// The name of its role.
    pub name: String,
    /// Its role; absent in what is observed of one that was made and has none yet.
    pub role: Option<Reference<Role>>,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for InstanceProfile {
    const KIND: Kind = Kind::InstanceProfile;
    const DECLARATION: Declaration = Declaration {
        // Where both are another cluster's, it is always the role that is named.
        observed_after: &[Kind::Role],
        creation: Creation::Repeatable,
        tags: TagRules::Iam,
        ..Declaration::of("instance-profile")
    };
    type Answer = Vec<Answer>;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, role, tags } = self;
        Fields::default().maybe_reference("role", role.as_ref()).map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        let call = context.clients.iam.create_instance_profile().instance_profile_name(&self.name);
        let call = call.set_tags(Some(role::to_iam(&self.tags)));
        call.send().await.during("iam", "CreateInstanceProfile", id)?;
        let identity = Identity::new(&self.name);
        context.ids.insert(id.clone(), identity.clone());
        let bare = Self { role: None, ..self.clone() };
        self.update(&bare, &identity, context, id).await?;
        Ok(identity)
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let iam = &context.clients.iam;
        if self.role != from.role {
            if let Some(old) = &from.role {
                self.remove_role(old.name(), context, id).await?;
            }
            if let Some(new) = &self.role {
                let call = iam.add_role_to_instance_profile().instance_profile_name(&self.name);
                call.role_name(new.name()).send().await.during("iam", "AddRoleToInstanceProfile", id)?;
            }
        }
        let (set, gone) = tags::difference(&from.tags, &self.tags);
        if !set.is_empty() {
            let call = iam.tag_instance_profile().instance_profile_name(&self.name);
            call.set_tags(Some(role::to_iam(&set))).send().await.during("iam", "TagInstanceProfile", id)?;
        }
        if !gone.is_empty() {
            let call = iam.untag_instance_profile().instance_profile_name(&self.name);
            call.set_tag_keys(Some(gone)).send().await.during("iam", "UntagInstanceProfile", id)?;
        }
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        _identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        if let Some(role) = &self.role {
            match self.remove_role(role.name(), context, id).await {
                Err(error) if error.is_not_found() => {}
                outcome => outcome?,
            }
        }
        let call = context.clients.iam.delete_instance_profile().instance_profile_name(&self.name);
        gone(call.send().await.during("iam", "DeleteInstanceProfile", id))
    }

    /// By their names, as roles.
    async fn read(look: &Look<'_>) -> Result<Vec<Answer>, CloudError> {
        let names = role::instance_role_names(look.context.cluster);
        let profiles = try_join_all(names.iter().map(|name| get(look.context, name))).await?;
        Ok(profiles.into_iter().flatten().collect())
    }

    fn observed(
        answer: Vec<Answer>,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let mut found = Vec::new();
        for profile in &answer {
            let (name, tags) = (profile.instance_profile_name().to_owned(), role::from_iam(profile.tags()));
            if !tagging::is_ours(context, &tags, &ResourceId::new(Kind::InstanceProfile, &name))? {
                continue;
            }
            let role = profile.roles().first().map(|role| Reference::to(role.role_name()));
            let observed = Self { name: name.clone(), role, tags };
            found.push(ObservedResource::new(
                name.clone(),
                Resource::InstanceProfile(observed),
                Identity::new(name),
            ));
        }
        Ok(found)
    }

    fn uid_command(name: &str, uid: &str) -> Option<String> {
        Some(format!(
            "aws iam tag-instance-profile --instance-profile-name {name} --tags Key={},Value={uid}",
            tags::UID
        ))
    }
}

impl InstanceProfile {
    async fn remove_role(
        &self,
        role: &str,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.iam.remove_role_from_instance_profile().instance_profile_name(&self.name);
        call.role_name(role).send().await.during("iam", "RemoveRoleFromInstanceProfile", id)?;
        Ok(())
    }
}

/// A profile by its name; nothing where there is none.
async fn get(context: &Context<'_>, name: &str) -> Result<Option<Answer>, CloudError> {
    let id = ResourceId::new(Kind::InstanceProfile, name);
    let call = context.clients.iam.get_instance_profile().instance_profile_name(name);
    match call.send().await.during("iam", "GetInstanceProfile", &id) {
        Ok(answer) => Ok(Some(field(answer.instance_profile, &id, "the profile")?)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
