//! Whether an instance's host name is its id or its address, and for which addresses AWS's resolver knows it.

use aws_sdk_ec2::types::{
    HostnameType, LaunchTemplatePrivateDnsNameOptionsRequest as Request, ResponseLaunchTemplateData,
};

use super::addresses::Addresses;

pub(super) fn request(resource_name: bool, addresses: Addresses) -> Request {
    let kind = if resource_name { HostnameType::ResourceName } else { HostnameType::IpName };
    Request::builder()
        .hostname_type(kind)
        .enable_resource_name_dns_a_record(resource_name && addresses.has_ipv4())
        .set_enable_resource_name_dns_aaaa_record(addresses.has_ipv6().then_some(resource_name))
        .build()
}

pub(super) fn read(data: &ResponseLaunchTemplateData) -> bool {
    let kind = data.private_dns_name_options().and_then(|options| options.hostname_type());
    kind == Some(&HostnameType::ResourceName)
}
