//! The EBS volumes of masters: what etcd keeps. They outlive instances, groups and mistakes: only `delete cluster`
//! deletes one.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_sdk_ec2::operation::create_volume::CreateVolumeOutput;
use aws_sdk_ec2::primitives::{DateTime, DateTimeFormat as Format};
use aws_sdk_ec2::types::{
    Filter, ResourceType, Volume as Answer, VolumeModification, VolumeState, VolumeType,
};
use windlass_bootstrap::tags as shared;

use super::context::{Context, Identity, Names, ObservedResource, Sought};
use super::ebs::{self, to_i32, to_u32};
use super::error::{CloudError, field, gone};
use super::fields::{Change, Effect, Fields};
use super::look::Look;
use super::reference::ResourceId;
use super::resource_kind::{Creation, Declaration, ResourceKind, Unwanted};
use super::{Kind, Resource, tagging};
use crate::aws::tags::{self, Owner, Tags};
use crate::aws::{AwsError, Clients, During};
use crate::spec::cluster::EbsVolume;

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// `<member>.etcd-<etcd cluster>.<cluster>`.
    pub name: String,
    /// The availability zone.
    pub zone: String,
    /// What it is.
    pub ebs: EbsVolume,
    /// Its tags.
    pub tags: Tags,
}

impl ResourceKind for Volume {
    const KIND: Kind = Kind::Volume;
    const DECLARATION: Declaration = Declaration {
        // Instances take a volume by its tags, not by a reference, and hold it as long as they live.
        deleted_after: &[Kind::AutoScalingGroup],
        unwanted: Unwanted::Kept("data is on it"),
        creation: Creation::Repeatable,
        // That the agent has formatted it ([`shared::FORMATTED`]).
        tags_set_later: 1,
        ..Declaration::of("volume")
    };
    type Answer = Described;

    fn name(&self) -> &str {
        &self.name
    }

    fn fields(&self) -> Fields {
        let Self { name: _, zone, ebs: volume, tags } = self;
        ebs::add_fields(Fields::default().one("zone", zone), "", volume).map("tags", tags)
    }

    fn tags_mut(&mut self) -> Option<&mut Tags> {
        Some(&mut self.tags)
    }

    fn changes_from(&self, observed: &Self) -> Vec<Change> {
        self.fields().changes_from(&self.without_defaults(observed).fields())
    }

    fn effect(&self, change: &Change, observed: &Self) -> Effect {
        match change.field.as_str() {
            "sizeGiB" if self.ebs.size < observed.ebs.size => Effect::Refused("EBS can't shrink a volume"),
            "zone" => Effect::Refused("a volume can't leave its zone, and etcd's data is on it"),
            "encrypted" | "kmsKey" => Effect::Refused(
                "a volume's encryption is for life, and etcd's data is on it: restore a backup into a new cluster",
            ),
            _ => Effect::InPlace,
        }
    }

    async fn create(&self, context: &Context<'_>, id: &ResourceId) -> Result<Identity, CloudError> {
        // A token is spent where the volume that it once made is gone.
        for spent in 0..TOKENS {
            let made = match self.ask_for(spent, context, id).await {
                // The call names no volume: it is the one of the token that isn't there any more.
                Err(CloudError::Aws(error)) if error.code.as_deref() == Some("InvalidVolume.NotFound") => {
                    continue;
                }
                made => made?,
            };
            let volume_id = field(made.volume_id(), id, "the volume's id")?;
            if !is_old(made.create_time(), SystemTime::now()) || is_alive(volume_id, context, id).await? {
                return Ok(Identity::new(volume_id));
            }
        }
        Err(CloudError::Missing(id.clone()))
    }

    async fn update(
        &self,
        from: &Self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<Identity, CloudError> {
        // Encryption is never changed.
        let modifiable = |EbsVolume { size, kind, iops, throughput, .. }: &EbsVolume| {
            (*size, kind.clone(), *iops, *throughput)
        };
        if modifiable(&self.ebs) != modifiable(&from.ebs) {
            let call = context
                .clients
                .ec2
                .modify_volume()
                .volume_id(&identity.id)
                .size(to_i32(self.ebs.size))
                .volume_type(VolumeType::from(self.ebs.kind.as_str()))
                .set_iops(self.ebs.iops.map(to_i32))
                .set_throughput(self.ebs.throughput.map(to_i32));
            call.send().await.during("ec2", "ModifyVolume", id)?;
        }
        tagging::retag(context, id, &identity.id, &from.tags, &self.tags).await?;
        Ok(identity.clone())
    }

    async fn delete(
        &self,
        identity: &Identity,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<(), CloudError> {
        let call = context.clients.ec2.delete_volume().volume_id(&identity.id);
        gone(call.send().await.during("ec2", "DeleteVolume", id))
    }

    async fn read(look: &Look<'_>) -> Result<Described, CloudError> {
        let context = look.context;
        let id = ResourceId::new(Kind::Volume, context.cluster);
        let call = context.clients.ec2.describe_volumes();
        let call = match context.sought {
            Sought::All => call.filters(tags::of_cluster(context.cluster)),
            Sought::Id(id) => call.volume_ids(id),
        };
        let pages = call.into_paginator().items().send();
        let mut volumes = pages.try_collect().await.during("ec2", "DescribeVolumes", &id)?;
        volumes.retain(|volume| is_there(volume) && context.owner.owns(&tags::from_ec2(volume.tags())));
        let changes = modifications(context, &id, &volumes).await?;
        Ok(Described { volumes, changes })
    }

    fn observed(
        answer: Described,
        context: &Context<'_>,
        _names: &Names,
    ) -> Result<Vec<ObservedResource>, CloudError> {
        let id = ResourceId::new(Kind::Volume, context.cluster);
        let Described { volumes, changes } = answer;
        volumes.iter().map(|volume| read(volume, &changes, context.cluster, &id)).collect()
    }
}

impl Volume {
    /// What the volume of a member of an etcd cluster is called.
    pub fn name_of(member: &str, etcd_cluster: &str, cluster: &str) -> String {
        format!("{member}.etcd-{etcd_cluster}.{cluster}")
    }

    /// What is observed, without what AWS chose where the specification leaves the choice to it.
    fn without_defaults(&self, observed: &Self) -> Self {
        let (wanted, found) = (&self.ebs, &observed.ebs);
        let ebs = EbsVolume {
            kms_key: wanted.kms_key.as_ref().and(found.kms_key.clone()),
            iops: wanted.iops.and(found.iops),
            throughput: wanted.throughput.and(found.throughput),
            ..found.clone()
        };
        Self { ebs, ..observed.clone() }
    }

    async fn ask_for(
        &self,
        spent: u32,
        context: &Context<'_>,
        id: &ResourceId,
    ) -> Result<CreateVolumeOutput, CloudError> {
        let call = context
            .clients
            .ec2
            .create_volume()
            .client_token(context.lasting_token(id, &format!("{self:?} {spent}")))
            .availability_zone(&self.zone)
            .size(to_i32(self.ebs.size))
            .volume_type(VolumeType::from(self.ebs.kind.as_str()))
            .set_iops(self.ebs.iops.map(to_i32))
            .set_throughput(self.ebs.throughput.map(to_i32))
            .encrypted(self.ebs.encrypted)
            .set_kms_key_id(self.ebs.kms_key.clone())
            .tag_specifications(tags::specification(ResourceType::Volume, &self.tags));
        Ok(call.send().await.during("ec2", "CreateVolume", id)?)
    }
}

/// How many volumes of one member somebody may have deleted by hand, so that their tokens are spent.
const TOKENS: u32 = 8;

/// From when on a volume that was "just made" was made by an earlier run. Until then EC2 may not show it to everybody;
/// and clocks differ by up to five minutes, or requests would be refused (IAM User Guide, "Signature Version 4").
const OLD: Duration = Duration::from_mins(10);

/// Whether a volume was there before this call.
fn is_old(made: Option<&DateTime>, now: SystemTime) -> bool {
    let made = made.and_then(|time| SystemTime::try_from(*time).ok());
    made.and_then(|made| now.duration_since(made).ok()).is_some_and(|age| age > OLD)
}

async fn is_alive(volume_id: &str, context: &Context<'_>, id: &ResourceId) -> Result<bool, CloudError> {
    let call = context.clients.ec2.describe_volumes().volume_ids(volume_id);
    match call.send().await.during("ec2", "DescribeVolumes", id) {
        Ok(answer) => Ok(answer.volumes().iter().any(is_there)),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_there(volume: &Answer) -> bool {
    !matches!(volume.state(), Some(VolumeState::Deleting | VolumeState::Deleted))
}

/// The cluster's volumes, and what is being made of them.
pub struct Described {
    volumes: Vec<Answer>,
    changes: Vec<VolumeModification>,
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
fn read(
    volume: &Answer,
    changes: &[VolumeModification],
    cluster: &str,
    id: &ResourceId,
) -> Result<ObservedResource, CloudError> {
    let tags = tags::from_ec2(volume.tags());
    let volume_id = field(volume.volume_id(), id, "the volume's id")?;
    let change = changes.iter().find(|change| change.volume_id() == Some(volume_id));
    let kind = change.and_then(VolumeModification::target_volume_type).or(volume.volume_type());
    let observed = Volume {
        name: name(&tags, cluster, volume_id),
        zone: volume.availability_zone().unwrap_or_default().to_owned(),
        ebs: EbsVolume {
            size: to_u32(change.and_then(VolumeModification::target_size).or(volume.size()))
                .unwrap_or_default(),
            kind: kind.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
            iops: to_u32(change.and_then(VolumeModification::target_iops).or(volume.iops())),
            throughput: to_u32(
                change.and_then(VolumeModification::target_throughput).or(volume.throughput()),
            ),
            encrypted: volume.encrypted().unwrap_or_default(),
            kms_key: volume.kms_key_id().map(str::to_owned),
        },
        tags,
    };
    let found =
        ObservedResource::new(observed.name.clone(), Resource::Volume(observed), Identity::new(volume_id));
    Ok(found.with_circumstances(circumstances(volume)))
}

fn circumstances(volume: &Answer) -> String {
    let made = time(volume.create_time());
    let attached = attached(volume).unwrap_or_else(|| "attached to nothing".to_owned());
    format!("made {}, {attached}", made.as_deref().unwrap_or("at an unknown time"))
}

/// What a volume is attached to, and since when.
fn attached(volume: &Answer) -> Option<String> {
    let attachment = volume.attachments().first()?;
    let since = time(attachment.attach_time()).map(|time| format!(" since {time}")).unwrap_or_default();
    Some(format!("attached to {}{since}", attachment.instance_id().unwrap_or("an instance")))
}

fn time(time: Option<&DateTime>) -> Option<String> {
    time?.fmt(Format::DateTime).ok()
}

/// A volume that carries no mark of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stray {
    /// AWS's id.
    pub id: String,
    /// Its `Name`.
    pub name: Option<String>,
    /// The availability zone.
    pub zone: String,
    /// GiB.
    pub size: u32,
    /// `gp3` and the like.
    pub kind: String,
    /// Since when it exists.
    pub made: Option<String>,
    /// What it is attached to, and since when.
    pub attached: Option<String>,
    /// The cluster for which an agent has formatted it.
    pub formatted_for: Option<String>,
    /// Whether it is the root volume of an instance.
    pub is_root: bool,
}

impl fmt::Display for Stray {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, name, zone, size, kind, made, attached, formatted_for, is_root: _ } = self;
        write!(formatter, "{id}: {zone}, {size} GiB {kind}")?;
        if let Some(made) = made {
            write!(formatter, ", made {made}")?;
        }
        match name {
            Some(name) => write!(formatter, ", called {name}")?,
            None => write!(formatter, ", without a name")?,
        }
        if let Some(cluster) = formatted_for {
            write!(formatter, ", formatted for {cluster}")?;
        }
        write!(formatter, ", {}", attached.as_deref().unwrap_or("attached to nothing"))
    }
}

/// The volumes of some zones that carry no mark of the cluster.
pub async fn strays(
    clients: &Clients,
    owner: &Owner,
    zones: impl IntoIterator<Item = String>,
) -> Result<Vec<Stray>, AwsError> {
    let zones = Filter::builder().name("availability-zone").set_values(Some(zones.into_iter().collect()));
    let call = clients.ec2.describe_volumes().filters(zones.build());
    let volumes = call.into_paginator().items().send().try_collect().await;
    let volumes = volumes.during("ec2", "DescribeVolumes", &owner.cluster)?;
    Ok(volumes.iter().filter(|volume| !owner.owns(&tags::from_ec2(volume.tags()))).map(stray).collect())
}

fn stray(volume: &Answer) -> Stray {
    let tag = |key: &str| {
        let tag = volume.tags().iter().find(|tag| tag.key() == Some(key));
        tag.and_then(|tag| tag.value()).map(str::to_owned)
    };
    // A root volume goes with its instance; one of ours never does.
    let is_root = volume.attachments().iter().any(|it| it.delete_on_termination() == Some(true));
    Stray {
        id: volume.volume_id().unwrap_or_default().to_owned(),
        name: tag("Name"),
        zone: volume.availability_zone().unwrap_or_default().to_owned(),
        size: to_u32(volume.size()).unwrap_or_default(),
        kind: volume.volume_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        made: time(volume.create_time()),
        attached: attached(volume),
        formatted_for: tag(shared::FORMATTED),
        is_root,
    }
}

/// The volume's name. One that was made before there was a tag for it says in another one of which etcd member it is.
fn name(tags: &Tags, cluster: &str, volume_id: &str) -> String {
    if tags.contains_key(tags::NAME) {
        return tagging::name(tags, volume_id);
    }
    let member = tags.iter().find_map(|(key, member)| {
        let etcd = key.strip_prefix(&shared::etcd_volume(""))?;
        Some(Volume::name_of(member, etcd, cluster))
    });
    member.unwrap_or_else(|| tagging::name(tags, volume_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_counts_as_an_earlier_run_s_only_when_clocks_can_t_explain_its_age() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
        let at = |minutes: i64| DateTime::from_secs(minutes * 60);
        let old = [at(61), at(60), at(51), at(49)].map(|made| is_old(Some(&made), now));
        assert_eq!(old, [false, false, false, true]);
        assert!(!is_old(None, now));
    }
}
