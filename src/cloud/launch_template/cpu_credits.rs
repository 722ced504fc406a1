//! How instances of burstable types are charged for what they use beyond their baseline.

use aws_sdk_ec2::types::{
    CreditSpecification, CreditSpecificationRequest as Request, ResponseLaunchTemplateData,
};

/// Nothing where nothing is wanted: then the account's own default holds (EC2 API, CreditSpecificationRequest).
pub(super) fn request(credits: Option<&String>) -> Option<Request> {
    credits.map(|credits| Request::builder().cpu_credits(credits).build())
}

pub(super) fn read(data: &ResponseLaunchTemplateData) -> Option<String> {
    data.credit_specification().and_then(CreditSpecification::cpu_credits).map(str::to_owned)
}
