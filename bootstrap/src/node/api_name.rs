//! The name by which instances reach several masters, and in an IPv6 cluster any. `/etc/hosts` gives it all their stable
//! addresses, so that no DNS server and no load balancer stands between a node and its API: a client tries one address after the
//! other.
//!
//! A master has its own address first; nodes begin with different ones, so that no master has all of them.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::agent::Agent;
use crate::aws::identity::InstanceIdentity;
use crate::contract::config::NodeConfig;
use crate::contract::endpoint::ServerName;
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Writes the name down.
pub const STEP: Step = Step::new("ensure_api_name", Duration::from_mins(1));

/// Where names stand that no DNS server knows.
const FILE: &str = "/etc/hosts";

/// Around what is windlass's; what else is in the file is left alone.
const BEGIN: &str = "# windlass: the masters of this cluster";
const END: &str = "# windlass: end";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[error("the masters' addresses can't be written down")]
pub struct NameError(#[source] FileError);

impl Classed for NameError {
    fn class(&self) -> Class {
        Class::Passing
    }
}

/// The step; nothing is reported of it where the API is reached by an address, or by a name that DNS knows.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let Agent { host, config, identity, .. } = agent;
    if !is_kept(config) {
        return Ok(());
    }
    let write = async || ensure(host, config, identity).map(Done::changed_if);
    STEP.run(&agent.reporter, write).await
}

/// Whether there is such a name.
pub fn is_kept(config: &NodeConfig) -> bool {
    !config.api.masters.is_empty() || !config.api.masters_ipv6.is_empty()
}

/// Writes the name and the addresses. Returns whether they stood there otherwise.
pub fn ensure(host: &Host, config: &NodeConfig, identity: &InstanceIdentity) -> Result<bool, NameError> {
    let ServerName::Dns(name) = &config.api.endpoint.host else { return Ok(false) };
    let masters = in_turn(config, identity);
    if masters.is_empty() {
        return Ok(false);
    }
    let path = host.path(FILE);
    let former = file::read(&path).map_err(NameError)?.unwrap_or_default();
    let text = with_masters(&String::from_utf8_lossy(&former), name, &masters);
    file::ensure(&path, text, file::PUBLIC).map_err(NameError)
}

/// The masters' stable addresses.
fn masters(config: &NodeConfig, identity: &InstanceIdentity) -> Vec<IpAddr> {
    let ipv6 = config.api.masters_ipv6.iter().filter_map(|master| identity.address_of(*master));
    config.api.masters.iter().copied().map(IpAddr::from).chain(ipv6.map(IpAddr::from)).collect()
}

/// The same in the order in which this instance tries them.
fn in_turn(config: &NodeConfig, identity: &InstanceIdentity) -> Vec<IpAddr> {
    let mut masters = masters(config, identity);
    let ipv4 = config.control_plane.as_ref().and_then(|it| it.etcd.address().ok()).map(IpAddr::from);
    let own = [ipv4, identity.stable_ipv6(config).map(IpAddr::from)];
    let first = match masters.iter().position(|address| own.contains(&Some(*address))) {
        Some(own) => own,
        None => identity.id.bytes().map(usize::from).sum::<usize>() % masters.len().max(1),
    };
    masters.rotate_left(first);
    masters
}

/// The file's text with these lines at its end, and none of those of before.
fn with_masters(former: &str, name: &str, addresses: &[IpAddr]) -> String {
    let mut own = false;
    let mut text = String::new();
    for line in former.lines() {
        own |= line == BEGIN;
        if !own {
            let _ = writeln!(text, "{line}");
        }
        own &= line != END;
    }
    let _ = writeln!(text, "{BEGIN}");
    for address in addresses {
        let _ = writeln!(text, "{address} {name}");
    }
    let _ = writeln!(text, "{END}");
    text
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::contract::ipv6::{MasterIpv6, SubnetIpv6};
    use crate::testing::{identity, ipv6_network, master_config, node_config};

    fn instance(id: &str) -> InstanceIdentity {
        InstanceIdentity { id: id.to_owned(), ..identity() }
    }

    fn several(mut config: NodeConfig) -> NodeConfig {
        config.api.endpoint.host = "api.internal.demo".into();
        config.api.masters = (10..=12).map(|last| Ipv4Addr::new(172, 20, 32, last)).collect();
        config
    }

    #[test]
    fn all_masters_stand_behind_the_name_once_and_what_others_wrote_stays() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let path = host.path(FILE);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "127.0.0.1 localhost\n").unwrap();
        let mut config = several(node_config());
        assert!(ensure(&host, &config, &instance("i-0")).unwrap());
        assert!(!ensure(&host, &config, &instance("i-0")).unwrap());
        config.api.masters.pop();
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + "10.0.0.1 other\n").unwrap();
        assert!(ensure(&host, &config, &instance("i-0")).unwrap());
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(lines[..2], ["127.0.0.1 localhost", "10.0.0.1 other"], "{text}");
        assert_eq!(lines[2..].len(), 2, "{text}");
        assert!(lines[2..].iter().all(|line| line.ends_with(" api.internal.demo")), "{text}");
    }

    #[test]
    fn a_master_goes_to_itself_first_and_nodes_begin_with_different_ones() {
        let master = several(master_config());
        assert_eq!(in_turn(&master, &instance("i-1"))[0], Ipv4Addr::new(172, 20, 32, 10));
        let node = several(node_config());
        let firsts: std::collections::BTreeSet<IpAddr> =
            (0..9).map(|number| in_turn(&node, &instance(&format!("i-{number}")))[0]).collect();
        assert_eq!(firsts.len(), 3, "{firsts:?}");
        assert_eq!(in_turn(&node, &instance("i-4")).len(), 3);
    }

    #[test]
    fn in_an_ipv6_cluster_the_name_has_the_masters_ipv6_addresses_in_the_vpc_s_block() {
        let ipv6 = |mut config: NodeConfig| {
            config.network = ipv6_network();
            config.api.endpoint.host = "api.internal.demo".into();
            config.api.masters_ipv6 = [(2, 10), (3, 11)]
                .map(|(subnet, last)| MasterIpv6 {
                    subnet: SubnetIpv6::Numbered(subnet),
                    private_address: Ipv4Addr::new(172, 20, 32, last),
                })
                .into();
            config
        };
        let identity = InstanceIdentity {
            private_address: None,
            vpc_ipv6_blocks: vec!["2001:db8:0:100::/56".parse().unwrap()],
            ..instance("i-1")
        };
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        assert!(ensure(&host, &ipv6(node_config()), &identity).unwrap());
        let text = std::fs::read_to_string(host.path(FILE)).unwrap();
        for line in
            ["2001:db8:0:102::ac14:200a api.internal.demo", "2001:db8:0:103::ac14:200b api.internal.demo"]
        {
            assert!(text.lines().any(|found| found == line), "{text}");
        }
        let mut master = ipv6(master_config());
        let etcd = &mut master.control_plane.as_mut().unwrap().etcd;
        etcd.members = [("a".to_owned(), Ipv4Addr::new(172, 20, 32, 11))].into();
        let first = in_turn(&master, &identity)[0];
        assert_eq!(first.to_string(), "2001:db8:0:103::ac14:200b", "a master goes to itself first");
    }

    #[test]
    fn a_machine_that_goes_to_an_address_keeps_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        assert!(!ensure(&host, &node_config(), &instance("i-0")).unwrap());
        assert!(!host.path(FILE).exists());
    }
}
