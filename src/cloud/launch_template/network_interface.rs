//! The one network interface: its security groups, and whether it gets a public address or an IPv6 address.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    LaunchTemplateInstanceNetworkInterfaceSpecification as Interface,
    LaunchTemplateInstanceNetworkInterfaceSpecificationRequest as Request, ResponseLaunchTemplateData,
};

use super::addresses::Addresses;
use crate::cloud::context::{Context, Names};
use crate::cloud::error::CloudError;
use crate::cloud::reference::Reference;
use crate::cloud::security_group::SecurityGroup;

pub(super) fn request(
    security_groups: &BTreeSet<Reference<SecurityGroup>>,
    public_ip: bool,
    addresses: Addresses,
    context: &Context<'_>,
) -> Result<Request, CloudError> {
    let groups = security_groups.iter().map(|group| context.ids.of(group));
    Ok(Request::builder()
        .device_index(0)
        .associate_public_ip_address(public_ip)
        .set_ipv6_address_count(addresses.has_ipv6().then_some(1))
        .delete_on_termination(true)
        .set_groups(Some(groups.collect::<Result<_, _>>()?))
        .build())
}

pub(super) fn read_security_groups(
    data: &ResponseLaunchTemplateData,
    names: &Names,
) -> BTreeSet<Reference<SecurityGroup>> {
    let groups = data.network_interfaces().first().map(Interface::groups).unwrap_or_default();
    groups.iter().map(|group| names.reference(group)).collect()
}

pub(super) fn read_public_ip(data: &ResponseLaunchTemplateData) -> bool {
    let interface = data.network_interfaces().first();
    interface.and_then(Interface::associate_public_ip_address).unwrap_or_default()
}

pub(super) fn drift(data: &ResponseLaunchTemplateData) -> impl Iterator<Item = &'static str> {
    let is_one = data.network_interfaces().len() == 1;
    let has_others = !data.security_group_ids().is_empty();
    let interfaces = (!is_one).then_some("not exactly one network interface");
    interfaces.into_iter().chain(has_others.then_some("security groups outside the network interface"))
}
