//! Arithmetic of address ranges: how a VPC is cut into subnets, and which address of a subnet a master has.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// How many addresses at the start of a subnet are AWS's: the network's, the router's, DNS's, and one for later. The
/// last is AWS's as well.
pub const RESERVED_AT_START: u32 = 4;

/// Where masters' addresses begin in a subnet: the eleventh address, behind AWS's own and clear of what a resolver or
/// a gateway of the user's would usually take.
pub const FIRST_MASTER: u32 = 10;

/// The smallest and the largest prefix of a VPC and of a subnet on AWS.
pub const PREFIXES: std::ops::RangeInclusive<u8> = 16..=28;

/// Cuts a range into 2^`bits` equal blocks. `None` when they would be smaller than one address.
pub fn split(range: Ipv4Net, bits: u8) -> Option<Vec<Ipv4Net>> {
    range.subnets(range.prefix_len().checked_add(bits)?).ok().map(Iterator::collect)
}

/// How many bits tell `count` blocks apart.
pub fn bits_for(count: usize) -> u8 {
    u8::try_from(count.max(1).next_power_of_two().trailing_zeros()).unwrap_or(u8::MAX)
}

/// The address at an offset of a range; `None` outside of it.
pub fn nth(range: Ipv4Net, offset: u32) -> Option<Ipv4Addr> {
    let address = Ipv4Addr::from(u32::from(range.network()).checked_add(offset)?);
    range.contains(&address).then_some(address)
}

/// Whether an instance can have this address: inside of the subnet, and none of the five that are AWS's.
pub fn assignable(subnet: Ipv4Net, address: Ipv4Addr) -> bool {
    let offset = u32::from(address).checked_sub(u32::from(subnet.network()));
    subnet.contains(&address)
        && offset.is_some_and(|offset| offset >= RESERVED_AT_START)
        && address != subnet.broadcast()
}

/// Whether two ranges have an address in common.
pub fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

/// The region of an availability zone, such as `us-east-1` of `us-east-1a`; `None` for what is no such name. Local and
/// wavelength zones (`us-west-2-lax-1a`) are none either.
pub fn region(zone: &str) -> Option<&str> {
    let region = zone.strip_suffix(|letter: char| letter.is_ascii_lowercase())?;
    let (words, number) = region.rsplit_once('-')?;
    let word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let words = words.split('-').collect::<Vec<_>>();
    let named = words.len() >= 2 && words.iter().all(|part| word(part));
    let numbered = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (named && numbered).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap_or_default()
    }

    #[test]
    fn a_range_is_cut_into_equal_blocks() {
        let blocks = split(net("172.20.0.0/16"), bits_for(3)).unwrap_or_default();
        assert_eq!(blocks.len(), 4);
        assert_eq!(blocks[1], net("172.20.64.0/18"));
        assert_eq!(split(net("10.0.0.0/32"), 1), None);
    }

    #[test]
    fn awss_own_addresses_are_not_assignable() {
        let subnet = net("10.0.0.0/28");
        let assignable: Vec<u32> =
            (0..20).filter(|offset| assignable(subnet, Ipv4Addr::from(0x0a00_0000 + offset))).collect();
        assert_eq!(assignable, (4..15).collect::<Vec<_>>());
        assert_eq!(nth(subnet, FIRST_MASTER), Some(Ipv4Addr::new(10, 0, 0, 10)));
        assert_eq!(nth(subnet, 16), None);
    }

    #[test]
    fn a_region_follows_from_its_zones() {
        assert_eq!(region("us-east-1a"), Some("us-east-1"));
        assert_eq!(region("us-gov-west-1b"), Some("us-gov-west-1"));
        for wrong in
            ["", "a", "us-east-1", "us-east-1A", "us-west-2-lax-1a", "east-1a", "us--1a", "us-east-a"]
        {
            assert_eq!(region(wrong), None, "{wrong}");
        }
    }
}
