//! The stable private address, which moves with a master: it is taken only once the volume is this instance's, from whoever
//! has it. In an IPv6 cluster an IPv6 address moves with it, which EC2 gives only once nobody has it: whoever had the volume is
//! terminated by then.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

use crate::agent::Agent;
use crate::aws::AwsError;
use crate::aws::ec2::Ec2;
use crate::aws::identity::InstanceIdentity;
use crate::contract::config::{EtcdConfig, NoMember};
use crate::host::Host;
use crate::host::command::{Command, CommandError};
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Moves the stable private address to this instance.
pub const STEP: Step = Step::new("ensure_private_address", Duration::from_mins(2)).outside();

/// What can go wrong with the address.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// EC2 doesn't know this instance yet.
    #[error("EC2 does not show this instance as one of the cluster's yet")]
    NoInstance,
    /// No network interface has the hardware address that EC2 names.
    #[error("no network interface has the hardware address {0}")]
    NoInterface(String),
    /// `ip` failed.
    #[error("the address can't be set up on this machine")]
    Command(#[source] CommandError),
    /// `ip` said something unexpected.
    #[error("what `ip` says about the network interfaces can't be understood")]
    Format(#[source] serde_json::Error),
    /// A file of systemd-networkd.
    #[error("the address can't be kept over a restart of systemd-networkd")]
    File(#[source] FileError),
    /// The configuration doesn't say which address.
    #[error("the master's stable private address is not known")]
    Member(#[source] NoMember),
    /// EC2 doesn't give the IPv6 address: another network interface has it, or has had it until now.
    #[error("EC2 does not give {0} to this instance yet")]
    Ipv6(Ipv6Addr, #[source] AwsError),
    /// EC2 refused or didn't answer.
    #[error("EC2 did not do what is needed for the address")]
    Aws(#[source] AwsError),
}

impl Classed for AddressError {
    fn class(&self) -> Class {
        match self {
            Self::NoInstance => Class::Waiting,
            Self::Format(_) | Self::Member(_) => Class::Permanent,
            Self::NoInterface(_) | Self::Command(_) | Self::File(_) | Self::Ipv6(..) => Class::Passing,
            Self::Aws(error) => error.class(),
        }
    }
}

/// The step. Returns the address, and the IPv6 address where there is one.
pub async fn run(agent: &Agent, etcd: &EtcdConfig) -> Result<(Ipv4Addr, Option<Ipv6Addr>), StepError> {
    let Agent { host, ec2, identity, config, .. } = agent;
    let take = async || {
        let address = etcd.address().map_err(AddressError::Member)?;
        let ipv6 = identity.stable_ipv6(config);
        let all: Vec<IpAddr> = [IpAddr::V4(address)].into_iter().chain(ipv6.map(IpAddr::V6)).collect();
        let changed = host.is_machine() && ensure(host, ec2, identity, &all).await?;
        Ok::<_, AddressError>(Done { value: (address, ipv6), changed })
    };
    STEP.run(&agent.reporter, take).await
}

/// Moves the stable addresses to this instance, in EC2 and on the machine.
pub async fn ensure(
    host: &Host,
    ec2: &Ec2,
    identity: &InstanceIdentity,
    addresses: &[IpAddr],
) -> Result<bool, AddressError> {
    let me = ec2.instance(&identity.id).await.map_err(AddressError::Aws)?.ok_or(AddressError::NoInstance)?;
    let interface = &identity.network_interface;
    let mut changed = false;
    for address in addresses.iter().filter(|address| !me.private_addresses.contains(address)) {
        match address {
            IpAddr::V4(address) => {
                ec2.move_private_address(interface, *address).await.map_err(AddressError::Aws)?;
            }
            IpAddr::V6(address) => {
                let assigned = ec2.assign_ipv6_address(interface, *address).await;
                assigned.map_err(|source| AddressError::Ipv6(*address, source))?;
            }
        }
        changed = true;
    }
    // Set up at once: EC2's routing follows its own answer, even if a read of it lags behind.
    Ok(ensure_on_machine(host, identity, addresses).await? || changed)
}

/// Debian doesn't configure secondary addresses by itself, and systemd-networkd, which Debian's images run, takes away
/// those that its files don't name when it is restarted.
async fn ensure_on_machine(
    host: &Host,
    identity: &InstanceIdentity,
    addresses: &[IpAddr],
) -> Result<bool, AddressError> {
    let show = Command::new("/usr/sbin/ip").arguments(["-json", "address", "show"]);
    let shown = host.run(show).await.map_err(AddressError::Command)?.stdout;
    let interface = find_interface(&shown, &identity.mac)?;
    let mut changed = ensure_in_networkd(host, &interface.ifname, addresses)?;
    for address in addresses.iter().filter(|address| !interface.has(**address)) {
        let address = IpNet::from(*address).to_string();
        let add = ["address", "replace", &address, "dev", &interface.ifname];
        host.run(Command::new("/usr/sbin/ip").arguments(add)).await.map_err(AddressError::Command)?;
        changed = true;
    }
    Ok(changed)
}

/// Where systemd-networkd says which file configures a link: `NETWORK_FILE=…` in the file of the link's index. It is what
/// `networkctl status` and libsystemd's sd-network read.
const LINKS: &str = "/run/systemd/netif/links";
/// Configuration of this boot only, as the address may be another instance's by the next one.
const NETWORKS: &str = "/run/systemd/network";
const DROP_IN: &str = "50-windlass.conf";

/// Adds the addresses to what systemd-networkd configures on the interface, by a drop-in for the file that matches it
/// (systemd.network(5)). It is read when networkd is restarted or reloaded; what it does today stays as it is. Without
/// networkd there is nothing to do.
fn ensure_in_networkd(host: &Host, interface: &str, addresses: &[IpAddr]) -> Result<bool, AddressError> {
    let read = |path: &str| file::read(&host.path(path)).map_err(AddressError::File);
    let Some(index) = read(&format!("/sys/class/net/{interface}/ifindex"))? else { return Ok(false) };
    let Some(link) = read(&format!("{LINKS}/{}", String::from_utf8_lossy(&index).trim()))? else {
        return Ok(false);
    };
    let link = String::from_utf8_lossy(&link);
    let file = link.lines().find_map(|line| line.strip_prefix("NETWORK_FILE="));
    let Some(name) = file.and_then(|file| Path::new(file).file_name()).and_then(OsStr::to_str) else {
        return Ok(false);
    };
    let drop_in = host.path(NETWORKS).join(format!("{name}.d")).join(DROP_IN);
    let addresses = addresses.iter().map(|address| format!("Address={}\n", IpNet::from(*address)));
    let addresses: String = addresses.collect();
    let text = format!("# Moves with the master; written by windlass-bootstrap.\n[Network]\n{addresses}");
    // networkd isn't root: it must be let in.
    for folder in [host.path(NETWORKS).as_path(), drop_in.parent().unwrap_or(Path::new(NETWORKS))] {
        file::ensure_folder(folder, 0o755).map_err(AddressError::File)?;
    }
    file::ensure(&drop_in, text, file::PUBLIC).map_err(AddressError::File)
}

#[derive(Debug, Deserialize)]
struct Interface {
    ifname: String,
    address: Option<String>,
    #[serde(default)]
    addr_info: Vec<InterfaceAddress>,
}

#[derive(Debug, Deserialize)]
struct InterfaceAddress {
    local: Option<String>,
}

impl Interface {
    fn has(&self, address: IpAddr) -> bool {
        let address = address.to_string();
        self.addr_info.iter().any(|info| info.local.as_deref() == Some(&address))
    }
}

/// The interface with this hardware address.
fn find_interface(shown: &str, mac: &str) -> Result<Interface, AddressError> {
    let interfaces: Vec<Interface> = serde_json::from_str(shown).map_err(AddressError::Format)?;
    let is_it = |interface: &Interface| {
        interface.address.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(mac))
    };
    interfaces.into_iter().find(is_it).ok_or_else(|| AddressError::NoInterface(mac.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = r#"[
        {"ifname": "lo", "address": "00:00:00:00:00:00", "addr_info": [{"local": "127.0.0.1"}]},
        {"ifname": "wg0", "addr_info": []},
        {"ifname": "ens5", "address": "02:00:0A:00:00:01",
         "addr_info": [{"family": "inet", "local": "172.20.32.11", "prefixlen": 19}, {"local": "172.20.32.10"},
                       {"family": "inet6", "local": "2001:db8::ac14:200a", "prefixlen": 128}]}]"#;

    #[test]
    fn an_interface_is_found_by_its_hardware_address() {
        let found = find_interface(SHOWN, "02:00:0a:00:00:01").unwrap();
        assert_eq!(found.ifname, "ens5");
        let has = ["172.20.32.10", "172.20.32.12", "2001:db8::ac14:200a", "2001:db8::1"]
            .map(|address| found.has(address.parse().unwrap()));
        assert_eq!(has, [true, false, true, false]);
        assert!(matches!(find_interface(SHOWN, "02:00:0a:00:00:02"), Err(AddressError::NoInterface(_))));
        assert!(matches!(find_interface("", ""), Err(AddressError::Format(_))));
    }

    #[test]
    fn the_addresses_are_among_what_networkd_configures_so_that_its_restart_does_not_take_it_away() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let write = |path: &str, text: &str| {
            let path = host.path(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let ipv4 = &["172.20.32.10".parse().unwrap()];
        assert!(!ensure_in_networkd(&host, "ens5", ipv4).unwrap(), "a machine without networkd");
        write("/sys/class/net/ens5/ifindex", "2\n");
        let link = "# This is private data. Do not parse.\nADMIN_STATE=configured\n\
                    NETWORK_FILE=/run/systemd/network/10-netplan-ens5.network\n";
        write("/run/systemd/netif/links/2", link);
        assert!(ensure_in_networkd(&host, "ens5", ipv4).unwrap());
        let drop_in = host.path("/run/systemd/network/10-netplan-ens5.network.d/50-windlass.conf");
        let text = || std::fs::read_to_string(&drop_in).unwrap();
        assert!(text().ends_with("[Network]\nAddress=172.20.32.10/32\n"), "{}", text());
        assert!(!ensure_in_networkd(&host, "ens5", ipv4).unwrap());
        let both = &[ipv4[0], "2001:db8::ac14:200a".parse().unwrap()];
        assert!(ensure_in_networkd(&host, "ens5", both).unwrap());
        let expected = "[Network]\nAddress=172.20.32.10/32\nAddress=2001:db8::ac14:200a/128\n";
        assert!(text().ends_with(expected), "{}", text());
    }
}
