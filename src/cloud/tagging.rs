//! Tags of EC2 resources that exist.

use super::context::{Context, Strangers};
use super::error::CloudError;
use super::reference::ResourceId;
use crate::aws::During;
use crate::aws::tags::{self, Ownership, Tags};

/// The resource's name: its tag [`tags::NAME`]. What was made before there was that tag goes by its `Name`, and by AWS's
/// id where somebody removed that.
pub(super) fn name(tags: &Tags, aws_id: &str) -> String {
    let name = tags.get(tags::NAME).or_else(|| tags.get("Name"));
    name.map_or_else(|| aws_id.to_owned(), Clone::clone)
}

/// The name of a resource of which a cluster has only one of its kind, so that there is nothing to tell it from:
/// a `Name` that somebody edited says nothing about it.
pub(super) fn only_name(tags: &Tags, only: &str) -> String {
    tags.get(tags::NAME).map_or_else(|| only.to_owned(), Clone::clone)
}

/// Whether a resource that AWS knows by its name is this cluster's. Such names are unique in the account or its region:
/// whoever else has one is in the way of what is to be made.
pub(super) fn is_ours(context: &Context<'_>, tags: &Tags, id: &ResourceId) -> Result<bool, CloudError> {
    let error = match context.owner.of(tags) {
        Ownership::Ours => return Ok(true),
        Ownership::Namesake => CloudError::Namesake {
            resource: id.clone(),
            uid: tags.get(tags::UID).cloned(),
            ours: context.owner.uid.clone(),
            command: match (tags.get(tags::UID), &context.owner.uid) {
                (None, Some(uid)) => id.kind.uid_command(&id.name, uid),
                _ => None,
            },
        },
        Ownership::Foreign => CloudError::Foreign {
            resource: id.clone(),
            tag: tags::MANAGED,
            found: tags.get(tags::MANAGED).cloned(),
        },
    };
    match context.strangers {
        Strangers::Refuse => Err(error),
        Strangers::Ignore => Ok(false),
    }
}

/// Sets and removes tags so that those in `from` become those in `to`.
pub(super) async fn retag(
    context: &Context<'_>,
    id: &ResourceId,
    aws_id: &str,
    from: &Tags,
    to: &Tags,
) -> Result<(), CloudError> {
    let (set, gone) = tags::difference(from, to);
    if !set.is_empty() {
        let call = context.clients.ec2.create_tags().resources(aws_id).set_tags(Some(tags::to_ec2(&set)));
        call.send().await.during("ec2", "CreateTags", id)?;
    }
    if !gone.is_empty() {
        let keys = gone.iter().map(|key| aws_sdk_ec2::types::Tag::builder().key(key).build()).collect();
        let call = context.clients.ec2.delete_tags().resources(aws_id).set_tags(Some(keys));
        call.send().await.during("ec2", "DeleteTags", id)?;
    }
    Ok(())
}
