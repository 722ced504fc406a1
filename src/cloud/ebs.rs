//! What all EBS volumes have in common, those of masters and the root volumes of instances.

use super::fields::Fields;
use crate::spec::cluster::EbsVolume;

/// Adds a volume's fields, under names that begin with `prefix`.
pub(super) fn add_fields(fields: Fields, prefix: &str, volume: &EbsVolume) -> Fields {
    let EbsVolume { size, kind, iops, throughput, encrypted, kms_key } = volume;
    let name = |field: &str| format!("{prefix}{field}");
    fields
        .one(&name("sizeGiB"), size)
        .one(&name("type"), kind)
        .maybe(&name("iops"), iops.as_ref())
        .maybe(&name("throughput"), throughput.as_ref())
        .one(&name("encrypted"), encrypted)
        .maybe(&name("kmsKey"), kms_key.as_ref())
}

/// AWS's numbers are signed; ours never get near the limit, which the specification's checks see to.
pub(super) fn to_i32(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// AWS's numbers as they are read.
pub(super) fn to_u32(value: Option<i32>) -> Option<u32> {
    value.and_then(|value| u32::try_from(value).ok())
}
