//! Whether an instance's host name is its id or its address.

use aws_sdk_ec2::types::{
    HostnameType, LaunchTemplatePrivateDnsNameOptionsRequest as Request, ResponseLaunchTemplateData,
};

pub(super) fn request(resource_name: bool) -> Request {
    let kind = if resource_name { HostnameType::ResourceName } else { HostnameType::IpName };
    Request::builder().hostname_type(kind).enable_resource_name_dns_a_record(resource_name).build()
}

pub(super) fn read(data: &ResponseLaunchTemplateData) -> bool {
    let kind = data.private_dns_name_options().and_then(|options| options.hostname_type());
    kind == Some(&HostnameType::ResourceName)
}
