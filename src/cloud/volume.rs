//! The EBS volumes of masters: what etcd keeps. They outlive instances, groups and mistakes: only `delete cluster`
//! deletes one.

use aws_sdk_ec2::types::{
    Filter, ResourceType, Volume as Answer, VolumeModification, VolumeState, VolumeType,
};

use super::context::{Context, Found, Identity, Names};
use super::error::{CloudError, field, gone};
use super::fields::{Effect, Fields};
use super::reference::{Described, Kind, ResourceId};
use super::{Resource, tagging};
use crate::aws::During;
use crate::aws::tags::{self, Tags};

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `<member>.etcd-<etcd cluster>.<cluster>`.
    pub name: String,
    /// The availability zone.
    pub zone: String,
    /// GiB.
    pub size: u32,
    /// `gp3` and the like.
    pub kind: String,
    /// Provisioned operations a second.
    pub iops: Option<u32>,
    /// MiB/s.
    pub throughput: Option<u32>,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The KMS key, where it isn't AWS's own for EBS.
    pub kms_key: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

impl Described for Volume {
    const KIND: Kind = Kind::Volume;
}

impl Volume {
    pub(super) fn fields(&self) -> Fields {
        let Self { name: _, zone, size, kind, iops, throughput, encrypted, kms_key, tags } = self;
        Fields::default()
            .one("zone", zone)
            .one("sizeGiB", size)
            .one("type", kind)
            .maybe("iops", iops.as_ref())
            .maybe("throughput", throughput.as_ref())
            .one("encrypted", encrypted)
            .maybe("kmsKey", kms_key.as_ref())
            .map("tags", tags)
    }

    pub(super) fn references(&self) -> Vec<ResourceId> {
        let Self {
            name: _,
            zone: _,
            size: _,
            kind: _,
            iops: _,
            throughput: _,
            encrypted: _,
            kms_key: _,
            tags: _,
        } = self;
        Vec::new()
    }

    pub(super) fn effect(path: &str) -> Effect {
        match path {
            "zone" => Effect::Refused("a volume can't leave its zone, and etcd's data is on it"),
            "encrypted" | "kmsKey" => Effect::Refused(
                "a volume's encryption is for life, and etcd's data is on it: restore a backup into a new cluster",
            ),
            _ => Effect::InPlace,
        }
    }

    /// What is observed, without what AWS chose where the specification leaves the choice to it.
    pub(super) fn without_defaults(&self, observed: &Self) -> Self {
        Self {
            kms_key: self.kms_key.as_ref().and(observed.kms_key.clone()),
            iops: self.iops.and(observed.iops),
            throughput: self.throughput.and(observed.throughput),
            ..observed.clone()
        }
    }

    /// Why this can't become of what is there, where a change of size is one of the changes.
    pub(super) fn refusal(&self, from: &Self) -> Option<&'static str> {
        (self.size < from.size).then_some("EBS can't shrink a volume")
    }

    pub(super) async fn create(
        &self,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        let call = context
            .clients
            .ec2
            .create_volume()
            .client_token(context.token(id))
            .availability_zone(&self.zone)
            .size(to_i32(self.size))
            .volume_type(VolumeType::from(self.kind.as_str()))
            .set_iops(self.iops.map(to_i32))
            .set_throughput(self.throughput.map(to_i32))
            .encrypted(self.encrypted)
            .set_kms_key_id(self.kms_key.clone())
            .tag_specifications(tags::specification(ResourceType::Volume, &self.tags));
        let made = call.send().await.during("ec2", "CreateVolume", id)?;
        Ok(Identity::new(field(made.volume_id(), id, "the volume's id")?))
    }

    pub(super) async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let same = (self.size, &self.kind, self.iops, self.throughput)
            == (from.size, &from.kind, from.iops, from.throughput);
        if !same {
            let call = context
                .clients
                .ec2
                .modify_volume()
                .volume_id(&identity.id)
                .size(to_i32(self.size))
                .volume_type(VolumeType::from(self.kind.as_str()))
                .set_iops(self.iops.map(to_i32))
                .set_throughput(self.throughput.map(to_i32));
            call.send().await.during("ec2", "ModifyVolume", id)?;
        }
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await
    }

    pub(super) async fn delete(
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.ec2.delete_volume().volume_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteVolume", id))
    }

    pub(super) async fn observe(context: &Context<'_>, _names: &Names) -> Result<Vec<Found>, CloudError> {
        let id = ResourceId::new(Kind::Volume, context.cluster);
        let call = context.clients.ec2.describe_volumes().filters(tags::of_cluster(context.cluster));
        let volumes =
            call.into_paginator().items().send().try_collect().await.during("ec2", "DescribeVolumes", &id)?;
        let changes = modifications(context, &id, &volumes).await?;
        let alive =
            |volume: &&Answer| !matches!(volume.state(), Some(VolumeState::Deleting | VolumeState::Deleted));
        volumes.iter().filter(alive).map(|volume| read(volume, &changes, &id)).collect()
    }
}

/// What is being made of volumes. EBS takes up to hours, in which a volume is described as it was, and refuses to be
/// asked again (EBS User Guide, "Monitor the progress of volume modifications").
async fn modifications(
    context: &Context<'_>,
    id: &ResourceId,
    volumes: &[Answer],
) -> Result<Vec<VolumeModification>, CloudError> {
    if volumes.is_empty() {
        return Ok(Vec::new());
    }
    let ids = volumes.iter().filter_map(|volume| volume.volume_id().map(str::to_owned)).collect();
    // Filters: an id of a volume that was never modified is an error.
    let these = Filter::builder().name("volume-id").set_values(Some(ids)).build();
    let under_way = Filter::builder().name("modification-state").values("modifying").values("optimizing");
    let call = context.clients.ec2.describe_volumes_modifications().filters(these).filters(under_way.build());
    let pages = call.into_paginator().items().send();
    Ok(pages.try_collect().await.during("ec2", "DescribeVolumesModifications", id)?)
}

/// A volume as it will be when what was begun is done.
fn read(volume: &Answer, changes: &[VolumeModification], id: &ResourceId) -> Result<Found, CloudError> {
    let volume_id = field(volume.volume_id(), id, "the volume's id")?;
    let tags = tags::from_ec2(volume.tags());
    let change = changes.iter().find(|change| change.volume_id() == Some(volume_id));
    let kind = change.and_then(VolumeModification::target_volume_type).or(volume.volume_type());
    let observed = Volume {
        name: tagging::name(&tags, volume_id),
        zone: volume.availability_zone().unwrap_or_default().to_owned(),
        size: to_u32(change.and_then(VolumeModification::target_size).or(volume.size())).unwrap_or_default(),
        kind: kind.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        iops: to_u32(change.and_then(VolumeModification::target_iops).or(volume.iops())),
        throughput: to_u32(change.and_then(VolumeModification::target_throughput).or(volume.throughput())),
        encrypted: volume.encrypted().unwrap_or_default(),
        kms_key: volume.kms_key_id().map(str::to_owned),
        tags,
    };
    Ok(Found::new(observed.name.clone(), Resource::Volume(observed), Identity::new(volume_id)))
}

/// EC2's sizes are signed; ours never get near the limit, which the specification's checks see to.
pub(super) fn to_i32(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// EC2's sizes as they are read.
pub(super) fn to_u32(value: Option<i32>) -> Option<u32> {
    value.and_then(|value| u32::try_from(value).ok())
}
