//! Whether instances share their hardware with other accounts.

use aws_sdk_ec2::types::{
    LaunchTemplatePlacement, LaunchTemplatePlacementRequest as Request, ResponseLaunchTemplateData, Tenancy,
};

/// Nothing where it isn't wanted: without a word of it, instances share it (EC2 API, LaunchTemplatePlacementRequest).
pub(super) fn request(dedicated: bool) -> Option<Request> {
    dedicated.then(|| Request::builder().tenancy(Tenancy::Dedicated).build())
}

pub(super) fn read_dedicated(data: &ResponseLaunchTemplateData) -> bool {
    data.placement().and_then(LaunchTemplatePlacement::tenancy) == Some(&Tenancy::Dedicated)
}

/// A placement that says anything else.
pub(super) fn drift(data: &ResponseLaunchTemplateData) -> Option<&'static str> {
    let dedicated =
        request(true).map(|wanted| LaunchTemplatePlacement::builder().set_tenancy(wanted.tenancy).build());
    let is_known = data.placement().is_none() || data.placement() == dedicated.as_ref();
    (!is_known).then_some("a placement")
}
