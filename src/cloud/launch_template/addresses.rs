//! Of which families the addresses of an instance are.

use aws_sdk_ec2::types::{
    LaunchTemplateInstanceMetadataOptions as MetadataOptions,
    LaunchTemplateInstanceMetadataProtocolIpv6 as MetadataProtocol,
    LaunchTemplateInstanceNetworkInterfaceSpecification as Interface,
    LaunchTemplatePrivateDnsNameOptions as NameOptions, ResponseLaunchTemplateData,
};

/// Of which families an instance's addresses are: one IPv6 address at most. A prefix besides can't be asked for in a launch
/// ("You can specify one and only one of ipv6Address or ipv6AddressCount or ipv6Prefix or ipv6PrefixCount", RunInstances).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addresses {
    /// An IPv4 address; an IPv6 address only where the subnet gives one to everybody.
    #[default]
    Ipv4,
    /// An IPv4 address and an IPv6 address.
    Both,
    /// An IPv6 address.
    Ipv6,
}

impl Addresses {
    /// As plans show it.
    pub(super) fn shown(self) -> Option<&'static str> {
        match self {
            Self::Ipv4 => None,
            Self::Both => Some("IPv4 and IPv6"),
            Self::Ipv6 => Some("IPv6"),
        }
    }

    /// Whether there is an IPv4 address.
    pub(super) fn has_ipv4(self) -> bool {
        self != Self::Ipv6
    }

    /// Whether there is an IPv6 address.
    pub(super) fn has_ipv6(self) -> bool {
        self != Self::Ipv4
    }
}

/// An instance with an IPv6 address and no IPv4 address has no A record, which EC2 couldn't make.
pub(super) fn read(data: &ResponseLaunchTemplateData) -> Addresses {
    let interface = data.network_interfaces().first();
    let count = interface.and_then(Interface::ipv6_address_count).unwrap_or_default();
    let options = data.private_dns_name_options();
    let has_a_record = options.and_then(NameOptions::enable_resource_name_dns_a_record);
    match (count, has_a_record) {
        (0, _) => Addresses::Ipv4,
        (_, Some(false)) => Addresses::Ipv6,
        _ => Addresses::Both,
    }
}

/// IPv6 addresses without IMDS at one, or the other way around.
pub(super) fn drift(data: &ResponseLaunchTemplateData) -> Option<&'static str> {
    let metadata = data.metadata_options().and_then(MetadataOptions::http_protocol_ipv6);
    let is_on = metadata == Some(&MetadataProtocol::Enabled);
    (is_on != read(data).has_ipv6()).then_some("IMDS's IPv6 address is not as the instance's addresses are")
}
