//! Volumes of PersistentVolumes.

use std::sync::Arc;

use aws_sdk_ec2::types::{Volume as Answer, VolumeAttachment, VolumeState};
use windlass_bootstrap::tags as shared;

use super::super::context::{Context, Identity, Names, ObservedResource};
use super::super::error::{CloudError, gone};
use super::super::kinds::Kind;
use super::super::look::Look;
use super::super::reference::ResourceId;
use super::super::resource_kind::{Declaration, Unwanted};
use super::{MadeByController, MadeKind, made};
use crate::aws::{During, tags};

/// The claim that a volume was made for: what volume provisioners put on volumes (the EBS CSI driver's documentation,
/// "Volume tagging"; the in-tree provisioner's tags are the same).
const CLAIM: [&str; 2] = ["kubernetes.io/created-for/pvc/namespace", "kubernetes.io/created-for/pvc/name"];

/// The volume of a PersistentVolume. Its reclaim policy says whether it goes with the cluster ([`super::ReclaimMarks`]).
pub type PersistentVolume = MadeByController<Claimed>;

/// What volumes of PersistentVolumes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {}

impl MadeKind for Claimed {
    const KIND: Kind = Kind::PersistentVolume;
    const DECLARATION: Declaration =
        Declaration { unwanted: Unwanted::Kept("data is on it"), ..made("persistent-volume") };
    const IS_IN_VPC: bool = false;
    type Answer = Arc<[Answer]>;

    async fn read(look: &Look<'_>, _vpcs: &[String]) -> Result<Arc<[Answer]>, CloudError> {
        list(look).await
    }

    fn observed(answer: Arc<[Answer]>, _context: &Context<'_>, _names: &Names) -> Vec<ObservedResource> {
        let found = answer.iter().filter_map(|volume| {
            let volume_id = volume.volume_id()?;
            let name = name(volume, volume_id);
            let mut made = PersistentVolume::new(&name, Vec::new());
            made.goes_with_cluster = is_marked(volume);
            Some(ObservedResource::new(name, made.into(), Identity::new(volume_id)))
        });
        found.collect()
    }

    async fn delete(identity: &Identity, context: &Context<'_>, id: &ResourceId) -> Result<(), CloudError> {
        let call = context.clients.ec2.delete_volume().volume_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteVolume", id))
    }
}

/// Every volume that was made for a claim of the cluster's. That of an instance's root goes with the instance.
pub(super) async fn list(look: &Look<'_>) -> Result<Arc<[Answer]>, CloudError> {
    let context = look.context;
    let ask = async {
        let id = ResourceId::new(Kind::PersistentVolume, context.cluster);
        let owned = tags::filter(&format!("tag:{}", shared::ownership(context.cluster)), "owned");
        let pages = context.clients.ec2.describe_volumes().filters(owned).into_paginator().items().send();
        let mut volumes = pages.try_collect().await.during("ec2", "DescribeVolumes", &id)?;
        volumes.retain(is_of_a_claim);
        Ok(volumes)
    };
    look.answers.claimed_volumes.or_ask(ask).await
}

fn is_of_a_claim(volume: &Answer) -> bool {
    let going = matches!(volume.state(), Some(VolumeState::Deleting | VolumeState::Deleted));
    let with_instance = |attachment: &VolumeAttachment| attachment.delete_on_termination() == Some(true);
    let ours = volume.tags().iter().any(|tag| tag.key() == Some(tags::MANAGED));
    !going && !ours && !volume.attachments().iter().any(with_instance)
}

/// Whether a mark says that it goes with the cluster.
pub(super) fn is_marked(volume: &Answer) -> bool {
    tags::all_from_ec2(volume.tags()).get(tags::RECLAIM).is_some_and(|found| found == tags::RECLAIM_DELETE)
}

/// `vol-… (claim default/data)`.
pub(super) fn name(volume: &Answer, volume_id: &str) -> String {
    let tags = tags::all_from_ec2(volume.tags());
    match CLAIM.map(|key| tags.get(key)) {
        [Some(namespace), Some(claim)] => format!("{volume_id} (claim {namespace}/{claim})"),
        _ => tags.get("Name").map_or_else(|| volume_id.to_owned(), |name| format!("{volume_id} ({name})")),
    }
}
