//! The instance metadata service: always on, and always version 2 only, so that who makes a pod's server ask a URL doesn't
//! get the instance's credentials (EC2 User Guide, "Use IMDS").

use aws_sdk_ec2::types::{
    LaunchTemplateHttpTokensState as Tokens, LaunchTemplateInstanceMetadataEndpointState as Endpoint,
    LaunchTemplateInstanceMetadataOptions as Options,
    LaunchTemplateInstanceMetadataOptionsRequest as Request,
    LaunchTemplateInstanceMetadataProtocolIpv6 as ProtocolIpv6, ResponseLaunchTemplateData,
};

use super::addresses::Addresses;
use crate::cloud::ebs::{to_i32, to_u32};

pub(super) fn request(hop_limit: u32, addresses: Addresses) -> Request {
    Request::builder()
        .http_endpoint(Endpoint::Enabled)
        .http_tokens(Tokens::Required)
        .set_http_protocol_ipv6(addresses.has_ipv6().then_some(ProtocolIpv6::Enabled))
        .http_put_response_hop_limit(to_i32(hop_limit))
        .build()
}

pub(super) fn read_hop_limit(data: &ResponseLaunchTemplateData) -> u32 {
    let limit = data.metadata_options().and_then(Options::http_put_response_hop_limit);
    to_u32(limit).unwrap_or_default()
}

pub(super) fn drift(data: &ResponseLaunchTemplateData) -> Option<&'static str> {
    let tokens = data.metadata_options().and_then(Options::http_tokens);
    (tokens != Some(&Tokens::Required)).then_some("IMDSv1 is allowed")
}
