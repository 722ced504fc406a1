//! DNS: the resolver of each VPC, and the one of the Internet.
//!
//! A VPC's resolver knows its instances' private names, load balancers' names, and Route 53's hosted zones, private ones
//! where they are the VPC's. The Internet's knows load balancers and public zones. Nothing else has a name: there is no way out.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;

use crate::balancer;
use crate::world::{Record, World, Zone};

/// A DNS header's length.
const HEADER: usize = 12;
/// DNS's types A and CNAME; its class is always IN.
const TYPE_A: u16 = 1;
const TYPE_CNAME: u16 = 5;
/// The answer "there is no such name".
const NAME_ERROR: u16 = 3;
/// The answer "this is not a query I understand".
const FORMAT_ERROR: u16 = 1;
/// How often a name may lead to another.
const LONGEST_CHAIN: usize = 8;

/// All resolvers.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    world: Arc<Mutex<Arc<World>>>,
}

impl Resolver {
    /// From now on the resolvers know this world.
    pub fn set_world(&self, world: Arc<World>) {
        *self.world.lock().unwrap_or_else(PoisonError::into_inner) = world;
    }

    /// Answers on a socket in a VPC's router, or in the Internet, until dropped.
    pub async fn serve(self, vpc: Option<String>, socket: UdpSocket) {
        let mut buffer = vec![0; 4096];
        loop {
            let (length, peer): (usize, SocketAddr) = match socket.recv_from(&mut buffer).await {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%error, "a query was lost");
                    continue;
                }
            };
            let world = Arc::clone(&self.world.lock().unwrap_or_else(PoisonError::into_inner));
            let look_up = |name: &str| look_up(&world, vpc.as_deref(), name);
            if let Some(answer) = answer(buffer.get(..length).unwrap_or_default(), look_up)
                && let Err(error) = socket.send_to(&answer, peer).await
            {
                tracing::debug!(%error, "an answer was lost");
            }
        }
    }
}

/// What a name leads to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The names that it leads to, one after the other, by CNAME records.
    pub names: Vec<String>,
    /// The addresses of the last one.
    pub addresses: Vec<Ipv4Addr>,
}

/// What a name leads to inside a VPC, or in the Internet; none if there is no such name.
pub fn look_up(world: &World, vpc: Option<&str>, name: &str) -> Option<Found> {
    let mut found = Found::default();
    let mut name = canonical(name);
    for _ in 0..LONGEST_CHAIN {
        if let Some(addresses) = own_name(world, vpc, &name).or_else(|| balanced(world, &name)) {
            found.addresses = addresses;
            return Some(found);
        }
        let known = zone(world, vpc, &name).map(|zone| named(zone, &name)).unwrap_or_default();
        if let Some(alias) = known.iter().filter(|one| one.kind == "A").find_map(|one| one.alias.as_ref()) {
            name = canonical(alias);
        } else if let Some(next) =
            known.iter().find(|one| one.kind == "CNAME").and_then(|one| one.values.first())
        {
            name = canonical(next);
            found.names.push(name.clone());
        } else {
            let addresses = known.iter().filter(|one| one.kind == "A").flat_map(|one| &one.values);
            found.addresses = addresses.filter_map(|value| value.parse().ok()).collect();
            return (!known.is_empty() || !found.names.is_empty()).then_some(found);
        }
    }
    None
}

fn canonical(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

/// The address of an instance of the VPC by its private name, by address or by resource.
fn own_name(world: &World, vpc: Option<&str>, name: &str) -> Option<Vec<Ipv4Addr>> {
    world.connected(vpc?).find_map(|instance| {
        let domain = instance.domain();
        let names = [&instance.host_name(), &instance.id].map(|host| format!("{host}.{domain}"));
        names.iter().any(|own| own.eq_ignore_ascii_case(name)).then(|| vec![instance.private_ip])
    })
}

/// The addresses of a load balancer: all, or with the zone before its name those of one zone. Route 53's console puts
/// `dualstack.` before the names that it makes aliases of.
fn balanced(world: &World, name: &str) -> Option<Vec<Ipv4Addr>> {
    let name = name.strip_prefix("dualstack.").unwrap_or(name);
    world.load_balancers.iter().find_map(|one| {
        let zone = name.strip_suffix(&canonical(&one.dns_name))?;
        match zone.strip_suffix('.') {
            None if zone.is_empty() => Some(balancer::addresses(world, one, None)),
            None => None,
            Some(zone) => {
                let there = one.nodes.iter().any(|node| node.zone == zone);
                there.then(|| balancer::addresses(world, one, Some(zone)))
            }
        }
    })
}

/// The zone that answers for a name: the longest that it is in. Inside a VPC a private one comes before a public one of
/// the same name, which then isn't asked at all (Route 53 Developer Guide, "Considerations when working with a private
/// hosted zone").
fn zone<'a>(world: &'a World, vpc: Option<&str>, name: &str) -> Option<&'a Zone> {
    let known = |zone: &&Zone| match (&zone.vpcs, vpc) {
        (None, _) => true,
        (Some(vpcs), Some(vpc)) => vpcs.iter().any(|one| one == vpc),
        (Some(_), None) => false,
    };
    let holds = |zone: &&Zone| {
        let zone = canonical(&zone.name);
        name == zone || name.strip_suffix(&zone).is_some_and(|rest| rest.ends_with('.'))
    };
    let candidates = world.zones.iter().filter(known).filter(holds);
    candidates.max_by_key(|zone| (zone.name.trim_end_matches('.').len(), zone.vpcs.is_some()))
}

/// The records of a name, or of the wildcard that stands for it.
fn named<'a>(zone: &'a Zone, name: &str) -> Vec<&'a Record> {
    let of = |wanted: &str| -> Vec<&Record> {
        // Route 53 tells an asterisk by its number.
        let is = |one: &&Record| canonical(&one.name).replace("\\052", "*") == wanted;
        zone.records.iter().filter(is).collect()
    };
    let found = of(name);
    match name.split_once('.') {
        Some((_, rest)) if found.is_empty() => of(&format!("*.{rest}")),
        _ => found,
    }
}

/// The answer to a DNS query of one question; none to what isn't a query at all.
fn answer(query: &[u8], look_up: impl Fn(&str) -> Option<Found>) -> Option<Vec<u8>> {
    let header = query.get(..HEADER)?;
    if header.get(2)? & 0x80 != 0 {
        return None;
    }
    let question = question(query);
    let found = question.as_ref().and_then(|question| look_up(&question.name));
    let code = match (&question, &found) {
        (None, _) => FORMAT_ERROR,
        (Some(_), None) => NAME_ERROR,
        (Some(_), Some(_)) => 0,
    };
    let kind = question.as_ref().map_or(0, |question| question.kind);
    let records = found.map(|found| records(&found, kind)).unwrap_or_default();
    let recursion = u16::from(header.get(2)? & 1);
    let flags = 0x8080 | (recursion << 8) | code;
    let mut reply = header.get(..2)?.to_vec();
    let questions = u16::from(question.is_some());
    for number in [flags, questions, u16::try_from(records.len()).ok()?, 0, 0] {
        reply.extend_from_slice(&number.to_be_bytes());
    }
    if let Some(question) = &question {
        reply.extend_from_slice(query.get(HEADER..question.end)?);
    }
    // A pointer to the question's name, until a record says that it is another's.
    let mut owner = vec![0xc0, 12];
    for (kind, data) in records {
        reply.extend_from_slice(&owner);
        // Class IN, 60 seconds.
        for number in [kind, 1, 0, 60, u16::try_from(data.len()).ok()?] {
            reply.extend_from_slice(&number.to_be_bytes());
        }
        if kind == TYPE_CNAME {
            owner.clone_from(&data);
        }
        reply.extend_from_slice(&data);
    }
    Some(reply)
}

/// The records of an answer, by type and data.
fn records(found: &Found, kind: u16) -> Vec<(u16, Vec<u8>)> {
    let names = found.names.iter().map(|name| (TYPE_CNAME, encoded(name)));
    let addresses = found.addresses.iter().filter(|_| kind == TYPE_A);
    names.chain(addresses.map(|address| (TYPE_A, address.octets().to_vec()))).collect()
}

/// A name as DNS has it. Labels are at most 63 bytes long; a longer one never was in a query or a zone.
fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len().min(63)).unwrap_or(63));
        bytes.extend_from_slice(label.as_bytes().get(..label.len().min(63)).unwrap_or_default());
    }
    bytes.push(0);
    bytes
}

struct Question {
    name: String,
    kind: u16,
    end: usize,
}

fn question(query: &[u8]) -> Option<Question> {
    let mut labels: Vec<String> = Vec::new();
    let mut at = HEADER;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        match length {
            0 => break,
            1..=63 => labels.push(String::from_utf8_lossy(query.get(at..at + length)?).into_owned()),
            _ => return None,
        }
        at += length;
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    query.get(at + 2..at + 4)?;
    Some(Question { name: labels.join("."), kind, end: at + 4 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: u8) -> Vec<u8> {
        let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend_from_slice(label.as_bytes());
        }
        query.extend_from_slice(&[0, 0, kind, 0, 1]);
        query
    }

    fn look_up(name: &str) -> Option<Found> {
        let addresses = vec![Ipv4Addr::new(172, 20, 0, 5)];
        let names = if name == "www.example.com" { vec!["i-1.ec2.internal".to_owned()] } else { Vec::new() };
        ["i-1.ec2.internal", "www.example.com"].contains(&name).then_some(Found { names, addresses })
    }

    #[test]
    fn a_name_that_leads_to_another_has_both_in_its_answer() {
        let reply = answer(&query("www.example.com", 1), look_up).unwrap();
        assert_eq!(reply[2..8], [0x81, 0x80, 0, 1, 0, 2]);
        let name = b"\x03i-1\x03ec2\x08internal\x00";
        let address = [name.as_slice(), &[0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 172, 20, 0, 5]].concat();
        assert!(reply.ends_with(&[name.as_slice(), &address].concat()), "{reply:?}");
    }

    #[test]
    fn a_known_name_has_its_address() {
        let reply = answer(&query("i-1.ec2.internal", 1), look_up).unwrap();
        assert_eq!(reply[..8], [0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(reply[reply.len() - 4..], [172, 20, 0, 5]);
    }

    #[test]
    fn a_known_name_without_a_record_of_the_type_has_an_empty_answer() {
        let reply = answer(&query("i-1.ec2.internal", 28), look_up).unwrap();
        assert_eq!(reply[2..8], [0x81, 0x80, 0, 1, 0, 0]);
    }

    #[test]
    fn an_unknown_name_does_not_exist() {
        let reply = answer(&query("example.com", 1), look_up).unwrap();
        assert_eq!(reply[2..4], [0x81, 0x83]);
    }

    #[test]
    fn what_is_not_a_query_is_not_answered() {
        assert_eq!(answer(b"short", look_up), None);
        let mut response = query("i-1.ec2.internal", 1);
        response[2] = 0x81;
        assert_eq!(answer(&response, look_up), None);
        let reply = answer(&query("i-1.ec2.internal", 1)[..20], look_up).unwrap();
        assert_eq!(reply[3] & 0xf, 1);
    }
}
