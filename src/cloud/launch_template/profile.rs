//! The instance profile.

use aws_sdk_ec2::types::{
    LaunchTemplateIamInstanceProfileSpecification as Profile,
    LaunchTemplateIamInstanceProfileSpecificationRequest as Request, ResponseLaunchTemplateData,
};

use crate::cloud::context::Names;
use crate::cloud::instance_profile::InstanceProfile;
use crate::cloud::kinds::Kind;
use crate::cloud::reference::Reference;

/// Which instance profile instances get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileName {
    /// One that windlass makes.
    Ours(Reference<InstanceProfile>),
    /// One that is there.
    Existing(String),
}

impl ProfileName {
    /// The profile's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Ours(profile) => profile.name(),
            Self::Existing(name) => name,
        }
    }

    /// The one that windlass makes.
    pub fn ours(&self) -> Option<&Reference<InstanceProfile>> {
        match self {
            Self::Ours(profile) => Some(profile),
            Self::Existing(_) => None,
        }
    }
}

pub(super) fn request(profile: &ProfileName) -> Request {
    Request::builder().name(profile.name()).build()
}

/// Where somebody names one by its ARN, that is its name: it shows as a difference.
pub(super) fn read(data: &ResponseLaunchTemplateData, names: &Names) -> ProfileName {
    let profile = data.iam_instance_profile();
    let name = profile.and_then(Profile::name).or_else(|| profile.and_then(Profile::arn)).unwrap_or_default();
    if names.has(Kind::InstanceProfile, name) {
        ProfileName::Ours(Reference::to(name))
    } else {
        ProfileName::Existing(name.to_owned())
    }
}
