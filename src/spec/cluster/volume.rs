//! EBS volumes.

use serde::Serialize;

/// An EBS volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EbsVolume {
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
    /// The KMS key; AWS's own for EBS when absent.
    pub kms_key: Option<String>,
}
