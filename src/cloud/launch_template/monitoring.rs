//! Whether CloudWatch has metrics for each minute.

use aws_sdk_ec2::types::{
    LaunchTemplatesMonitoring, LaunchTemplatesMonitoringRequest as Request, ResponseLaunchTemplateData,
};

/// Nothing where it isn't wanted: without a word of it, instances have basic monitoring (EC2 API,
/// LaunchTemplatesMonitoringRequest), and templates that were made before are as they are wanted.
pub(super) fn request(detailed: bool) -> Option<Request> {
    detailed.then(|| Request::builder().enabled(true).build())
}

pub(super) fn read(data: &ResponseLaunchTemplateData) -> bool {
    data.monitoring().and_then(LaunchTemplatesMonitoring::enabled).unwrap_or_default()
}
