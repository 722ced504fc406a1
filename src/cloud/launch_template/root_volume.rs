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
    let EbsVolume { size, kind, iops, throughput, encrypted, kms_key } = &root.ebs;
    let ebs = LaunchTemplateEbsBlockDeviceRequest::builder()
        .volume_size(to_i32(*size))
        .volume_type(VolumeType::from(kind.as_str()))
        .set_iops(iops.map(to_i32))
        .set_throughput(throughput.map(to_i32))
        .encrypted(*encrypted)
        .set_kms_key_id(kms_key.clone())
        .delete_on_termination(true);
    LaunchTemplateBlockDeviceMappingRequest::builder().device_name(&root.device).ebs(ebs.build()).build()
}

pub(super) fn read(data: &ResponseLaunchTemplateData) -> RootVolume {
    let mapping = data.block_device_mappings().first();
    let ebs = mapping.and_then(Mapping::ebs);
    RootVolume {
        device: mapping.and_then(Mapping::device_name).unwrap_or_default().to_owned(),
        ebs: EbsVolume {
            size: to_u32(ebs.and_then(Ebs::volume_size)).unwrap_or_default(),
            kind: ebs.and_then(Ebs::volume_type).map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
            iops: to_u32(ebs.and_then(Ebs::iops)),
            throughput: to_u32(ebs.and_then(Ebs::throughput)),
            encrypted: ebs.and_then(Ebs::encrypted).unwrap_or_default(),
            kms_key: ebs.and_then(Ebs::kms_key_id).map(str::to_owned),
        },
    }
}

pub(super) fn drift(data: &ResponseLaunchTemplateData) -> Option<&'static str> {
    (data.block_device_mappings().len() != 1).then_some("not exactly one block device")
}
