//! Tags of EC2 resources that exist.

use super::context::Context;
use super::error::CloudError;
use super::reference::ResourceId;
use crate::aws::During;
use crate::aws::tags::{self, Tags};

/// The resource's name: its `Name` tag, or AWS's id where somebody removed that.
pub(super) fn name(tags: &Tags, aws_id: &str) -> String {
    tags.get("Name").map_or_else(|| aws_id.to_owned(), Clone::clone)
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
