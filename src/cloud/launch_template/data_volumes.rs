//! Further volumes of instances, besides the root volume.

use aws_sdk_ec2::types::{
    LaunchTemplateBlockDeviceMapping as Mapping, LaunchTemplateBlockDeviceMappingRequest,
    LaunchTemplateEbsBlockDevice as Ebs, ResponseLaunchTemplateData,
};

use super::root_volume::{read_ebs, request_of};
use crate::cloud::ebs;
use crate::cloud::fields::Fields;
use crate::spec::cluster::DataVolume;

pub(super) fn request(volumes: &[DataVolume]) -> Vec<LaunchTemplateBlockDeviceMappingRequest> {
    volumes.iter().map(|volume| request_of(&volume.device, &volume.ebs, !volume.stays)).collect()
}

/// All but the root volume.
pub(super) fn read(data: &ResponseLaunchTemplateData) -> Vec<DataVolume> {
    let root = super::root_volume::mapping(data).and_then(Mapping::device_name);
    let others = data.block_device_mappings().iter().filter(|mapping| mapping.device_name() != root);
    let mut volumes: Vec<DataVolume> = others.map(volume).collect();
    volumes.sort_by(|one, other| one.device.cmp(&other.device));
    volumes
}

fn volume(mapping: &Mapping) -> DataVolume {
    DataVolume {
        device: mapping.device_name().unwrap_or_default().to_owned(),
        ebs: read_ebs(mapping.ebs()),
        stays: mapping.ebs().and_then(Ebs::delete_on_termination) == Some(false),
    }
}

pub(super) fn add_fields(fields: Fields, volumes: &[DataVolume]) -> Fields {
    volumes.iter().fold(fields, |fields, DataVolume { device, ebs, stays }| {
        let prefix = format!("volumes.{device}.");
        let fields = ebs::add_fields(fields, &prefix, ebs);
        fields.maybe(&format!("{prefix}deleteOnTermination"), stays.then_some(false))
    })
}
