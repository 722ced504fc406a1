//! The tags of instances, and of the volumes and network interfaces that are made with them.

use aws_sdk_ec2::types::{
    LaunchTemplateTagSpecificationRequest as Request, ResourceType, ResponseLaunchTemplateData,
};

use crate::aws::tags::{self, Tags};

/// What is made with an instance and can be tagged.
const TAGGED: [ResourceType; 3] =
    [ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];

pub(super) fn request(instance_tags: &Tags) -> Vec<Request> {
    let specification =
        |kind| Request::builder().resource_type(kind).set_tags(Some(tags::to_ec2(instance_tags))).build();
    TAGGED.map(specification).into()
}

pub(super) fn read(data: &ResponseLaunchTemplateData) -> Tags {
    tags_of(data, &ResourceType::Instance)
}

pub(super) fn drift(data: &ResponseLaunchTemplateData) -> Option<&'static str> {
    let differs = |kind: &ResourceType| tags_of(data, kind) != read(data);
    TAGGED.iter().any(differs).then_some("volumes or network interfaces have other tags than instances")
}

fn tags_of(data: &ResponseLaunchTemplateData, kind: &ResourceType) -> Tags {
    let specification = data.tag_specifications().iter().find(|tags| tags.resource_type() == Some(kind));
    specification.map(|specification| tags::from_ec2(specification.tags())).unwrap_or_default()
}
