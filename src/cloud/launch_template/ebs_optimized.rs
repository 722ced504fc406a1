//! Whether instances have a bandwidth to EBS of their own. Types of today have it anyway (EC2 User Guide, "EBS optimization").

use aws_sdk_ec2::types::ResponseLaunchTemplateData;

/// Nothing where it isn't wanted: then it is as the type has it (EC2 API, `RequestLaunchTemplateData`).
pub(super) fn request(optimized: bool) -> Option<bool> {
    optimized.then_some(true)
}

pub(super) fn read(data: &ResponseLaunchTemplateData) -> bool {
    data.ebs_optimized().unwrap_or_default()
}
