//! Volumes of PersistentVolumes, and the marks that say which of them go with the cluster.
//!
//! Whether a volume goes is its PersistentVolume's reclaim policy, which only the Kubernetes API knows, and the API goes
//! with the masters. So what it said is written onto the volumes first: a `delete cluster` that is run again, after it
//! was killed, still knows.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{Tag, Volume, VolumeAttachment, VolumeState};
use windlass_bootstrap::tags as shared;

use super::super::Resource;
use super::super::context::{Context, Found, Identity};
use super::super::error::CloudError;
use super::super::fields::{Effect, Fields};
use super::super::reference::{Kind, ResourceId};
use super::MadeByController;
use crate::aws::{During, tags};

/// The claim that a volume was made for: what volume provisioners put on volumes (the EBS CSI driver's documentation,
/// "Volume tagging"; the in-tree provisioner's tags are the same).
const CLAIM: [&str; 2] = ["kubernetes.io/created-for/pvc/namespace", "kubernetes.io/created-for/pvc/name"];

/// How many resources one CreateTags takes (API_CreateTags: 1,000).
const MARKED_PER_CALL: usize = 500;

/// The marks on all volumes that go with the cluster, as one thing: they are made in one call, before the first master
/// goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReclaimMarks {
    /// The cluster's name.
    pub name: String,
    /// The volumes that go, by AWS's id, each with what it is called.
    pub volumes: BTreeMap<String, String>,
}

impl ReclaimMarks {
    pub(in crate::cloud) fn fields(&self) -> Fields {
        let names: BTreeSet<&String> = self.volumes.values().collect();
        Fields::default().set("deletedWithCluster", &names)
    }

    pub(in crate::cloud) fn references(&self) -> Vec<ResourceId> {
        let Self { name: _, volumes: _ } = self;
        Vec::new()
    }

    pub(in crate::cloud) fn effect(_path: &str) -> Effect {
        Effect::InPlace
    }

    pub(in crate::cloud) async fn create(
        &self,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let identity = Identity::new(context.cluster);
        let none = Self { volumes: BTreeMap::new(), ..self.clone() };
        self.update(&none, &identity, context, id).await?;
        Ok(identity)
    }

    /// A mark is never taken away again: a volume that was to go is one whose claim nobody has any more.
    pub(in crate::cloud) async fn update(
        &self,
        from: &Self,
        _identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let unmarked: Vec<String> =
            self.volumes.keys().filter(|volume| !from.volumes.contains_key(*volume)).cloned().collect();
        for some in unmarked.chunks(MARKED_PER_CALL) {
            let mark = Tag::builder().key(tags::RECLAIM).value(tags::RECLAIM_DELETE).build();
            let call = context.clients.ec2.create_tags().set_resources(Some(some.to_vec())).tags(mark);
            call.send().await.during("ec2", "CreateTags", id)?;
        }
        Ok(())
    }
}

/// Every volume that was made for a claim of the cluster's. That of an instance's root goes with the instance.
pub(super) async fn observe(context: &Context<'_>) -> Result<Vec<Found>, CloudError> {
    let volumes = list(context, Kind::PersistentVolume).await?;
    Ok(volumes
        .iter()
        .filter_map(|volume| {
            let volume_id = volume.volume_id()?;
            let name = name(volume, volume_id);
            let made = MadeByController {
                kind: Kind::PersistentVolume,
                name: name.clone(),
                uses: Vec::new(),
                goes_with_cluster: is_marked(volume),
            };
            Some(Found::new(name, Resource::MadeByController(made), Identity::new(volume_id)))
        })
        .collect())
}

/// The marks that are there.
pub(super) async fn observe_marks(context: &Context<'_>) -> Result<Vec<Found>, CloudError> {
    let volumes = list(context, Kind::ReclaimMarks).await?;
    let marked = volumes.iter().filter(|volume| is_marked(volume)).filter_map(|volume| {
        let volume_id = volume.volume_id()?;
        Some((volume_id.to_owned(), name(volume, volume_id)))
    });
    let marks = ReclaimMarks { name: context.cluster.to_owned(), volumes: marked.collect() };
    if marks.volumes.is_empty() {
        return Ok(Vec::new());
    }
    let found = Found::new(context.cluster, Resource::ReclaimMarks(marks), Identity::new(context.cluster));
    Ok(vec![found])
}

async fn list(context: &Context<'_>, kind: Kind) -> Result<Vec<Volume>, CloudError> {
    let id = ResourceId::new(kind, context.cluster);
    let owned = tags::filter(&format!("tag:{}", shared::ownership(context.cluster)), "owned");
    let call = context.clients.ec2.describe_volumes().filters(owned).into_paginator();
    let volumes = call.items().send().try_collect().await.during("ec2", "DescribeVolumes", &id)?;
    Ok(volumes.into_iter().filter(is_of_a_claim).collect())
}

fn is_of_a_claim(volume: &Volume) -> bool {
    let going = matches!(volume.state(), Some(VolumeState::Deleting | VolumeState::Deleted));
    let with_instance = |attachment: &VolumeAttachment| attachment.delete_on_termination() == Some(true);
    let ours = volume.tags().iter().any(|tag| tag.key() == Some(tags::MANAGED));
    !going && !ours && !volume.attachments().iter().any(with_instance)
}

fn is_marked(volume: &Volume) -> bool {
    tags::all_from_ec2(volume.tags()).get(tags::RECLAIM).is_some_and(|found| found == tags::RECLAIM_DELETE)
}

/// `vol-… (claim default/data)`.
fn name(volume: &Volume, volume_id: &str) -> String {
    let tags = tags::all_from_ec2(volume.tags());
    match CLAIM.map(|key| tags.get(key)) {
        [Some(namespace), Some(claim)] => format!("{volume_id} (claim {namespace}/{claim})"),
        _ => tags.get("Name").map_or_else(|| volume_id.to_owned(), |name| format!("{volume_id} ({name})")),
    }
}
