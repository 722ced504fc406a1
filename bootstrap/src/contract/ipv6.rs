//! IPv6 ranges of subnets, and the masters' addresses in them.
//!
//! Which block of IPv6 addresses a VPC has, Amazon decides when it is made. A specification therefore counts a subnet's range from
//! that block, and what is counted so is known to an instance without a question to EC2: its metadata tells the VPC's blocks
//! (`network/interfaces/macs/<mac>/vpc-ipv6-cidr-blocks`, EC2 User Guide, "Instance metadata categories").

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};

/// The prefix of every subnet's IPv6 range that windlass asks for: what an instance's own addresses are cut from.
pub const SUBNET_PREFIX: u8 = 64;

/// The IPv6 range of a subnet, as kops writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum SubnetIpv6 {
    /// This one, a /64.
    Range(Ipv6Net),
    /// `/64#<number>`: so many /64 behind the start of the VPC's block; the number is hexadecimal.
    Numbered(u8),
}

/// What isn't such a range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an IPv6 /64 nor `/64#<number>` with a hexadecimal number of at most ff")]
pub struct NoSubnetIpv6(String);

impl SubnetIpv6 {
    /// The range itself, the VPC having this block; none where the block holds no such range.
    pub fn within(self, vpc: Ipv6Net) -> Option<Ipv6Net> {
        match self {
            Self::Range(range) => Some(range),
            Self::Numbered(number) => {
                let start = u128::from(vpc.network()) + (u128::from(number) << (128 - SUBNET_PREFIX));
                let range = Ipv6Net::new(start.into(), SUBNET_PREFIX).ok()?;
                vpc.contains(&range).then_some(range)
            }
        }
    }
}

impl fmt::Display for SubnetIpv6 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) => range.fmt(formatter),
            Self::Numbered(number) => write!(formatter, "/{SUBNET_PREFIX}#{number:x}"),
        }
    }
}

impl FromStr for SubnetIpv6 {
    type Err = NoSubnetIpv6;

    fn from_str(text: &str) -> Result<Self, NoSubnetIpv6> {
        let wrong = || NoSubnetIpv6(text.to_owned());
        if let Some(number) = text.strip_prefix("/64#") {
            // `from_str_radix` takes a sign.
            let digits = number.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = u8::from_str_radix(number, 16).ok().filter(|_| digits);
            return number.map(Self::Numbered).ok_or_else(wrong);
        }
        let range: Ipv6Net = text.parse().map_err(|_| wrong())?;
        let is_whole = range.prefix_len() == SUBNET_PREFIX && range.addr() == range.network();
        if is_whole { Ok(Self::Range(range)) } else { Err(wrong()) }
    }
}

impl From<SubnetIpv6> for String {
    fn from(range: SubnetIpv6) -> Self {
        range.to_string()
    }
}

impl TryFrom<String> for SubnetIpv6 {
    type Error = NoSubnetIpv6;

    fn try_from(text: String) -> Result<Self, NoSubnetIpv6> {
        text.parse()
    }
}

/// Where a master's stable IPv6 address is: in its subnet's range, with its stable private IPv4 address as the last 32 bits, so
/// that whoever knows the VPC's block knows it, whichever instance is the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MasterIpv6 {
    /// The range of the master's subnet.
    pub subnet: SubnetIpv6,
    /// The master's stable private IPv4 address.
    pub private_address: Ipv4Addr,
}

impl MasterIpv6 {
    /// The address, the VPC having this block; none where the block holds no such subnet.
    pub fn address(self, vpc: Ipv6Net) -> Option<Ipv6Addr> {
        let subnet = self.subnet.within(vpc)?;
        Some(Ipv6Addr::from(u128::from(subnet.network()) | u128::from(u32::from(self.private_address))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vpc() -> Ipv6Net {
        "2600:1f18:aaaa:bb00::/56".parse().unwrap()
    }

    #[test]
    fn a_subnets_range_is_counted_in_hexadecimal_from_the_vpc_s_block() {
        let at =
            |text: &str| text.parse::<SubnetIpv6>().unwrap().within(vpc()).map(|range| range.to_string());
        assert_eq!(at("/64#0").as_deref(), Some("2600:1f18:aaaa:bb00::/64"));
        assert_eq!(at("/64#1f").as_deref(), Some("2600:1f18:aaaa:bb1f::/64"));
        assert_eq!(at("2001:db8::/64").as_deref(), Some("2001:db8::/64"));
        let small = "2600:1f18:aaaa:bb00::/60".parse().unwrap();
        assert_eq!("/64#10".parse::<SubnetIpv6>().unwrap().within(small), None);
    }

    #[test]
    fn what_is_no_range_of_a_subnet_is_refused() {
        for wrong in [
            "",
            "/64#",
            "/64#100",
            "/64#+1",
            "/64#g",
            "/56#1",
            "2001:db8::/56",
            "2001:db8::1/64",
            "10.0.0.0/24",
        ] {
            assert!(wrong.parse::<SubnetIpv6>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_reads_as_it_is_written() {
        for text in ["/64#1f", "2001:db8:0:1::/64"] {
            let json = format!("\"{text}\"");
            let range: SubnetIpv6 = serde_json::from_str(&json).unwrap();
            assert_eq!((range.to_string(), serde_json::to_string(&range).unwrap()), (text.to_owned(), json));
        }
    }

    #[test]
    fn a_master_s_address_ends_in_its_private_one() {
        let master =
            MasterIpv6 { subnet: SubnetIpv6::Numbered(3), private_address: Ipv4Addr::new(172, 20, 32, 10) };
        assert_eq!(master.address(vpc()), Some("2600:1f18:aaaa:bb03::ac14:200a".parse().unwrap()));
    }
}
