//! How instances of burstable types are charged for what they use beyond their baseline.

use aws_sdk_ec2::types::{
    CreditSpecification, CreditSpecificationRequest as Request, ResponseLaunchTemplateData,
};

use crate::spec::cluster::CpuCredits;

/// Nothing where nothing is wanted: then the account's own default holds (EC2 API, CreditSpecificationRequest).
pub(super) fn request(credits: Option<CpuCredits>) -> Option<Request> {
    credits.map(|credits| Request::builder().cpu_credits(credits.as_str()).build())
}

pub(super) fn read(data: &ResponseLaunchTemplateData) -> Option<CpuCredits> {
    data.credit_specification().and_then(CreditSpecification::cpu_credits).and_then(CpuCredits::read)
}
