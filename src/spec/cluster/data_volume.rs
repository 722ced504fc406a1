//! Further volumes of a group's instances.

use serde::Serialize;

use super::EbsVolume;

/// A further volume of each instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DataVolume {
    /// The device name that EC2 knows it by.
    pub device: String,
    /// The volume.
    #[serde(flatten)]
    pub ebs: EbsVolume,
    /// Whether it stays when its instance goes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stays: bool,
}
