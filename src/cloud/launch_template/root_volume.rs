//! The root volume. It goes with its instance.

use aws_sdk_ec2::types::{
    LaunchTemplateBlockDeviceMapping as Mapping, LaunchTemplateBlockDeviceMappingRequest,
    LaunchTemplateEbsBlockDevice as Ebs, LaunchTemplateEbsBlockDeviceRequest, ResponseLaunchTemplateData,
    VolumeType,
};

use crate::cloud::ebs::{to_i32, to_u32};
use crate::spec::cluster::EbsVolume;

/// A root volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootVolume {
    /// The image's root device.
    pub device: String,
    /// The volume.
    pub ebs: EbsVolume,
}

pub(super) fn request(root: &RootVolume) -> LaunchTemplateBlockDeviceMappingRequest {
    request_of(&root.device, &root.ebs, true)
}

/// A volume in EC2's form.
pub(super) fn request_of(
    device: &str,
    volume: &EbsVolume,
    delete_on_termination: bool,
) -> LaunchTemplateBlockDeviceMappingRequest {
    let EbsVolume { size, kind, iops, throughput, encrypted, kms_key } = volume;
    let ebs = LaunchTemplateEbsBlockDeviceRequest::builder()
        .volume_size(to_i32(*size))
        .volume_type(VolumeType::from(kind.as_str()))
        .set_iops(iops.map(to_i32))
        .set_throughput(throughput.map(to_i32))
        .encrypted(*encrypted)
        .set_kms_key_id(kms_key.clone())
        .delete_on_termination(delete_on_termination);
    LaunchTemplateBlockDeviceMappingRequest::builder().device_name(device).ebs(ebs.build()).build()
}

/// The root volume's: no further volume has a name that ends like that of images' root devices (`/dev/xvda`, `/dev/sda1`).
pub(super) fn mapping(data: &ResponseLaunchTemplateData) -> Option<&Mapping> {
    let is_root = |mapping: &&Mapping| {
        let name = mapping.device_name().unwrap_or_default();
        name.starts_with("/dev/xvda") || name.starts_with("/dev/sda")
    };
    let all = data.block_device_mappings();
    all.iter().find(is_root).or_else(|| all.first())
}

pub(super) fn read(data: &ResponseLaunchTemplateData) -> RootVolume {
    let mapping = mapping(data);
    RootVolume {
        device: mapping.and_then(Mapping::device_name).unwrap_or_default().to_owned(),
        ebs: read_ebs(mapping.and_then(Mapping::ebs)),
    }
}

/// A volume out of EC2's form.
pub(super) fn read_ebs(ebs: Option<&Ebs>) -> EbsVolume {
    EbsVolume {
        size: to_u32(ebs.and_then(Ebs::volume_size)).unwrap_or_default(),
        kind: ebs.and_then(Ebs::volume_type).map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        iops: to_u32(ebs.and_then(Ebs::iops)),
        throughput: to_u32(ebs.and_then(Ebs::throughput)),
        encrypted: ebs.and_then(Ebs::encrypted).unwrap_or_default(),
        kms_key: ebs.and_then(Ebs::kms_key_id).map(str::to_owned),
    }
}

pub(super) fn drift(data: &ResponseLaunchTemplateData) -> Option<&'static str> {
    let all = data.block_device_mappings();
    let plain = all.iter().all(|mapping| mapping.ebs().is_some());
    (all.is_empty() || !plain).then_some("a block device that is no volume, or none at all")
}
