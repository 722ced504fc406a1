//! Why what exists already can't be used as the specification says.

use std::net::Ipv4Addr;

use thiserror::Error;

/// Why what is there can't be used as the specification says.
#[derive(Debug, Error)]
pub enum ExistingNetworkError {
    /// Something that is named isn't there.
    #[error("{field}: there is no {what} `{id}` in {region}")]
    Missing {
        /// Of the specification.
        field: String,
        /// Such as `VPC`.
        what: &'static str,
        /// As written.
        id: String,
        /// Where it was looked for.
        region: String,
    },
    /// It is there, and otherwise than the specification says.
    #[error("{field}: `{id}` has {found}, and the specification says {wanted}")]
    Otherwise {
        /// Of the specification.
        field: String,
        /// As written.
        id: String,
        /// What it is like.
        found: String,
        /// What the specification says of it.
        wanted: String,
    },
    /// A VPC has no Internet gateway, and subnets are to be made that lead to it.
    #[error("the VPC `{vpc}` has no Internet gateway, and the subnet `{subnet}` would lead to it")]
    NoInternetGateway {
        /// The VPC's id.
        vpc: String,
        /// The subnet's name in the specification.
        subnet: String,
    },
    /// A VPC has no IPv6 addresses, and subnets are to have some.
    #[error("{field}: the VPC `{vpc}` has no block of IPv6 addresses")]
    NoIpv6 {
        /// Of the specification.
        field: String,
        /// The VPC's id.
        vpc: String,
    },
    /// A VPC has no egress-only Internet gateway, and private subnets are to be made that lead to it.
    #[error(
        "the VPC `{vpc}` has no egress-only Internet gateway, and the subnet `{subnet}` would lead to it"
    )]
    NoEgressOnlyGateway {
        /// The VPC's id.
        vpc: String,
        /// The subnet's name in the specification.
        subnet: String,
    },
    /// AWS's resolver doesn't answer in a VPC, or not with private zones' names.
    #[error("the VPC `{vpc}` has `{attribute}` off, and names in a private hosted zone need it")]
    NoNames {
        /// The VPC's id.
        vpc: String,
        /// `enableDnsSupport` or `enableDnsHostnames`.
        attribute: &'static str,
    },
    /// A master's address is somebody else's.
    #[error("the address {address} of a master is that of `{holder}` in the subnet `{subnet}`")]
    AddressTaken {
        /// The address.
        address: Ipv4Addr,
        /// The network interface that has it.
        holder: String,
        /// The subnet's id.
        subnet: String,
    },
}

impl ExistingNetworkError {
    /// What to type next.
    pub fn hint(&self) -> String {
        match self {
            Self::Missing { field, .. } | Self::Otherwise { field, .. } => {
                format!("correct `{field}` with `windlass edit cluster`, or in the file that it comes from")
            }
            Self::NoInternetGateway { vpc, subnet } => format!(
                "attach one to {vpc} (`aws ec2 attach-internet-gateway`), or write `egress: External` in the subnet \
                 `{subnet}`, and keep its routes yourself"
            ),
            Self::NoIpv6 { field, vpc } => format!(
                "have Amazon give it one (aws ec2 associate-vpc-cidr-block --vpc-id {vpc} \
                 --amazon-provided-ipv6-cidr-block), or leave `{field}` out"
            ),
            Self::NoEgressOnlyGateway { vpc, subnet } => format!(
                "make one (aws ec2 create-egress-only-internet-gateway --vpc-id {vpc}), or write `egress: External` in \
                 the subnet `{subnet}`, and keep its routes yourself"
            ),
            Self::NoNames { vpc, attribute } => format!(
                "turn it on: aws ec2 modify-vpc-attribute --vpc-id {vpc} --{}",
                if *attribute == "enableDnsSupport" { "enable-dns-support" } else { "enable-dns-hostnames" }
            ),
            Self::AddressTaken { .. } => {
                "write a free address as `privateAddress` of the etcd members of that master's instance group"
                    .to_owned()
            }
        }
    }
}
