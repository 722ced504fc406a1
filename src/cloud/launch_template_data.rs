//! A launch template's data in EC2's form: written for requests, read from answers.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    HostnameType, LaunchTemplateBlockDeviceMapping, LaunchTemplateBlockDeviceMappingRequest,
    LaunchTemplateEbsBlockDevice, LaunchTemplateEbsBlockDeviceRequest, LaunchTemplateHttpTokensState,
    LaunchTemplateIamInstanceProfileSpecificationRequest,
    LaunchTemplateInstanceMetadataOptions as MetadataOptions,
    LaunchTemplateInstanceNetworkInterfaceSpecification as Interface,
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest, LaunchTemplatePrivateDnsNameOptionsRequest,
    LaunchTemplatesMonitoring, LaunchTemplatesMonitoringRequest, ResourceType, ResponseLaunchTemplateData,
    VolumeType,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::context::{Context, Names};
use super::error::CloudError;
use super::kinds::Kind;
use super::launch_template::{LaunchTemplate, RootVolume, SshKeyName};
use super::reference::Reference;
use super::volume::{to_i32, to_u32};
use crate::aws::tags::{self, Tags};

pub(super) fn profile(name: &str) -> LaunchTemplateIamInstanceProfileSpecificationRequest {
    LaunchTemplateIamInstanceProfileSpecificationRequest::builder().name(name).build()
}

pub(super) fn network_interface(
    template: &LaunchTemplate,
    context: &Context<'_>,
) -> Result<LaunchTemplateInstanceNetworkInterfaceSpecificationRequest, CloudError> {
    let groups =
        template.security_groups.iter().map(|group| context.ids.of(group)).collect::<Result<_, _>>()?;
    Ok(LaunchTemplateInstanceNetworkInterfaceSpecificationRequest::builder()
        .device_index(0)
        .associate_public_ip_address(template.public_ip)
        .delete_on_termination(true)
        .set_groups(Some(groups))
        .build())
}

pub(super) fn root_volume(root: &RootVolume) -> LaunchTemplateBlockDeviceMappingRequest {
    let RootVolume { device, size, kind, iops, throughput, encrypted, kms_key } = root;
    let ebs = LaunchTemplateEbsBlockDeviceRequest::builder()
        .volume_size(to_i32(*size))
        .volume_type(VolumeType::from(kind.as_str()))
        .set_iops(iops.map(to_i32))
        .set_throughput(throughput.map(to_i32))
        .encrypted(*encrypted)
        .set_kms_key_id(kms_key.clone())
        .delete_on_termination(true);
    LaunchTemplateBlockDeviceMappingRequest::builder().device_name(device).ebs(ebs.build()).build()
}

/// Nothing where it isn't wanted: without a word of it, instances have basic monitoring (EC2 API,
/// LaunchTemplatesMonitoringRequest), and templates that were made before are as they are wanted.
pub(super) fn monitoring(detailed: bool) -> Option<LaunchTemplatesMonitoringRequest> {
    detailed.then(|| LaunchTemplatesMonitoringRequest::builder().enabled(true).build())
}

pub(super) fn host_name(resource_name: bool) -> LaunchTemplatePrivateDnsNameOptionsRequest {
    let kind = if resource_name { HostnameType::ResourceName } else { HostnameType::IpName };
    LaunchTemplatePrivateDnsNameOptionsRequest::builder()
        .hostname_type(kind)
        .enable_resource_name_dns_a_record(resource_name)
        .build()
}

/// Reads a template. What it has that no template of ours has becomes an oddity, so that it shows as a difference and
/// the next version is without it.
pub(super) fn read(
    name: String,
    tags: Tags,
    data: &ResponseLaunchTemplateData,
    names: &Names,
) -> LaunchTemplate {
    let interface = data.network_interfaces().first();
    let groups = interface.map(Interface::groups).unwrap_or_default();
    let profile = data.iam_instance_profile().and_then(|profile| profile.name()).unwrap_or_default();
    let metadata = data.metadata_options();
    let resource_name = data.private_dns_name_options().and_then(|options| options.hostname_type());
    LaunchTemplate {
        name,
        image: data.image_id().unwrap_or_default().to_owned(),
        machine_type: data.instance_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        profile: Reference::to(profile),
        security_groups: groups.iter().map(|group| names.reference(group)).collect(),
        key: data.key_name().map(|key| key_name(key, names)),
        public_ip: interface.and_then(Interface::associate_public_ip_address).unwrap_or_default(),
        user_data: data.user_data().map(decode).unwrap_or_default(),
        root: read_root(data.block_device_mappings().first()),
        metadata_hop_limit: to_u32(metadata.and_then(MetadataOptions::http_put_response_hop_limit))
            .unwrap_or_default(),
        detailed_monitoring: data
            .monitoring()
            .and_then(LaunchTemplatesMonitoring::enabled)
            .unwrap_or_default(),
        resource_name: resource_name == Some(&HostnameType::ResourceName),
        tags,
        instance_tags: tags_of(data, &ResourceType::Instance),
        drift: drift(data),
    }
}

fn key_name(name: &str, names: &Names) -> SshKeyName {
    if names.has(Kind::KeyPair, name) {
        SshKeyName::Ours(Reference::to(name))
    } else {
        SshKeyName::Existing(name.to_owned())
    }
}

fn decode(user_data: &str) -> String {
    let bytes = STANDARD.decode(user_data).unwrap_or_else(|_| user_data.as_bytes().to_vec());
    String::from_utf8_lossy(&bytes).into_owned()
}

fn tags_of(data: &ResponseLaunchTemplateData, kind: &ResourceType) -> Tags {
    let specification = data.tag_specifications().iter().find(|tags| tags.resource_type() == Some(kind));
    specification.map(|specification| tags::from_ec2(specification.tags())).unwrap_or_default()
}

fn read_root(mapping: Option<&LaunchTemplateBlockDeviceMapping>) -> RootVolume {
    let ebs = mapping.and_then(LaunchTemplateBlockDeviceMapping::ebs);
    RootVolume {
        device: mapping.and_then(|mapping| mapping.device_name()).unwrap_or_default().to_owned(),
        size: to_u32(ebs.and_then(LaunchTemplateEbsBlockDevice::volume_size)).unwrap_or_default(),
        kind: ebs.and_then(|ebs| ebs.volume_type()).map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        iops: to_u32(ebs.and_then(LaunchTemplateEbsBlockDevice::iops)),
        throughput: to_u32(ebs.and_then(LaunchTemplateEbsBlockDevice::throughput)),
        encrypted: ebs.and_then(LaunchTemplateEbsBlockDevice::encrypted).unwrap_or_default(),
        kms_key: ebs.and_then(|ebs| ebs.kms_key_id()).map(str::to_owned),
    }
}

fn drift(data: &ResponseLaunchTemplateData) -> BTreeSet<String> {
    let tokens = data.metadata_options().and_then(|metadata| metadata.http_tokens());
    let instance_tags = tags_of(data, &ResourceType::Instance);
    let untagged = [ResourceType::Volume, ResourceType::NetworkInterface]
        .into_iter()
        .any(|kind| tags_of(data, &kind) != instance_tags);
    [
        (tokens != Some(&LaunchTemplateHttpTokensState::Required), "IMDSv1 is allowed"),
        (data.network_interfaces().len() != 1, "not exactly one network interface"),
        (data.block_device_mappings().len() != 1, "not exactly one block device"),
        (!data.security_group_ids().is_empty(), "security groups outside the network interface"),
        (data.instance_market_options().is_some(), "market options"),
        (data.placement().is_some(), "a placement"),
        (untagged, "volumes or network interfaces have other tags than instances"),
    ]
    .into_iter()
    .filter(|(odd, _)| *odd)
    .map(|(_, what)| what.to_owned())
    .collect()
}
