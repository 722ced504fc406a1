//! The VPC's DNS resolver: instances' private names, and nothing else, since there is no way out.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UdpSocket;

use crate::world::World;

/// A DNS header's length.
const HEADER: usize = 12;
/// DNS's type A, and its class IN.
const TYPE_A: u16 = 1;
/// The answer "there is no such name".
const NAME_ERROR: u16 = 3;
/// The answer "this is not a query I understand".
const FORMAT_ERROR: u16 = 1;

/// The resolvers of all VPCs.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    world: Arc<Mutex<Arc<World>>>,
}

impl Resolver {
    /// From now on the resolvers know this world's instances.
    pub fn set_world(&self, world: Arc<World>) {
        *self.world.lock().unwrap_or_else(PoisonError::into_inner) = world;
    }

    /// Answers the VPC's instances on a socket in its router, until dropped.
    pub async fn serve(self, vpc: String, socket: UdpSocket) {
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
            let answer = answer(buffer.get(..length).unwrap_or_default(), |name| address(&world, &vpc, name));
            if let Some(answer) = answer
                && let Err(error) = socket.send_to(&answer, peer).await
            {
                tracing::debug!(%error, "an answer was lost");
            }
        }
    }
}

/// The address of an instance by its private name, by address or by resource.
fn address(world: &World, vpc: &str, name: &str) -> Option<Ipv4Addr> {
    world.connected(vpc).find_map(|instance| {
        let domain = instance.domain();
        let names = [&instance.host_name(), &instance.id].map(|host| format!("{host}.{domain}"));
        names.iter().any(|own| own.eq_ignore_ascii_case(name)).then_some(instance.private_ip)
    })
}

/// The answer to a DNS query of one question; none to what isn't a query at all.
fn answer(query: &[u8], look_up: impl Fn(&str) -> Option<Ipv4Addr>) -> Option<Vec<u8>> {
    let header = query.get(..HEADER)?;
    if header.get(2)? & 0x80 != 0 {
        return None;
    }
    let question = question(query);
    let address = question.as_ref().and_then(|question| look_up(&question.name));
    let (code, answers) = match (&question, address) {
        (None, _) => (FORMAT_ERROR, 0),
        (Some(_), None) => (NAME_ERROR, 0),
        (Some(question), Some(_)) => (0, u16::from(question.kind == TYPE_A)),
    };
    let recursion = u16::from(header.get(2)? & 1);
    let flags = 0x8080 | (recursion << 8) | code;
    let mut reply = header.get(..2)?.to_vec();
    let questions = u16::from(question.is_some());
    for number in [flags, questions, answers, 0, 0] {
        reply.extend_from_slice(&number.to_be_bytes());
    }
    if let Some(question) = &question {
        reply.extend_from_slice(query.get(HEADER..question.end)?);
    }
    if let (1, Some(address)) = (answers, address) {
        // A pointer to the question's name, type A, class IN, 60 seconds, four bytes.
        reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend_from_slice(&address.octets());
    }
    Some(reply)
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

    fn look_up(name: &str) -> Option<Ipv4Addr> {
        (name == "i-1.ec2.internal").then_some(Ipv4Addr::new(172, 20, 0, 5))
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
