//! The stable private address, which moves with a master: it is taken only once the volume is this instance's, from whoever
//! has it.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

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
    /// EC2 refused or didn't answer.
    #[error("EC2 did not do what is needed for the address")]
    Aws(#[source] AwsError),
}

impl Classed for AddressError {
    fn class(&self) -> Class {
        match self {
            Self::NoInstance => Class::Waiting,
            Self::Format(_) | Self::Member(_) => Class::Permanent,
            Self::NoInterface(_) | Self::Command(_) | Self::File(_) => Class::Passing,
            Self::Aws(error) => error.class(),
        }
    }
}

/// The step. Returns the address.
pub async fn run(agent: &Agent, etcd: &EtcdConfig) -> Result<Ipv4Addr, StepError> {
    let Agent { host, ec2, identity, .. } = agent;
    let take = async || {
        let address = etcd.address().map_err(AddressError::Member)?;
        let changed = host.is_machine() && ensure(host, ec2, identity, address).await?;
        Ok::<_, AddressError>(Done { value: address, changed })
    };
    STEP.run(&agent.reporter, take).await
}

/// Moves the stable private address to this instance, in EC2 and on the machine.
pub async fn ensure(
    host: &Host,
    ec2: &Ec2,
    identity: &InstanceIdentity,
    address: Ipv4Addr,
) -> Result<bool, AddressError> {
    let me = ec2.instance(&identity.id).await.map_err(AddressError::Aws)?.ok_or(AddressError::NoInstance)?;
    let assigned = me.private_addresses.contains(&address.into());
    if !assigned {
        let interface = &identity.network_interface;
        ec2.move_private_address(interface, address).await.map_err(AddressError::Aws)?;
    }
    // Set up at once: EC2's routing follows its own answer, even if a read of it lags behind.
    Ok(ensure_on_machine(host, identity, address).await? || !assigned)
}

/// Debian doesn't configure secondary addresses by itself, and systemd-networkd, which Debian's images run, takes away
/// those that its files don't name when it is restarted.
async fn ensure_on_machine(
    host: &Host,
    identity: &InstanceIdentity,
    address: Ipv4Addr,
) -> Result<bool, AddressError> {
    let show = Command::new("/usr/sbin/ip").arguments(["-json", "address", "show"]);
    let shown = host.run(show).await.map_err(AddressError::Command)?.stdout;
    let (interface, present) = find_address(&shown, &identity.mac, address)?;
    let told = ensure_in_networkd(host, &interface, address)?;
    if present {
        return Ok(told);
    }
    let add = Command::new("/usr/sbin/ip").arguments([
        "address",
        "replace",
        &format!("{address}/32"),
        "dev",
        &interface,
    ]);
    host.run(add).await.map_err(AddressError::Command)?;
    Ok(true)
}

/// Where systemd-networkd says which file configures a link: `NETWORK_FILE=…` in the file of the link's index. It is what
/// `networkctl status` and libsystemd's sd-network read.
const LINKS: &str = "/run/systemd/netif/links";
/// Configuration of this boot only, as the address may be another instance's by the next one.
const NETWORKS: &str = "/run/systemd/network";
const DROP_IN: &str = "50-windlass.conf";

/// Adds the address to what systemd-networkd configures on the interface, by a drop-in for the file that matches it
/// (systemd.network(5)). It is read when networkd is restarted or reloaded; what it does today stays as it is. Without
/// networkd there is nothing to do.
fn ensure_in_networkd(host: &Host, interface: &str, address: Ipv4Addr) -> Result<bool, AddressError> {
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
    let text =
        format!("# Moves with the master; written by windlass-bootstrap.\n[Network]\nAddress={address}/32\n");
    // networkd isn't root: it must be let in.
    for folder in [host.path(NETWORKS).as_path(), drop_in.parent().unwrap_or(Path::new(NETWORKS))] {
        file::ensure_folder(folder, 0o755).map_err(AddressError::File)?;
    }
    file::ensure(&drop_in, text, file::PUBLIC).map_err(AddressError::File)
}

#[derive(Deserialize)]
struct Interface {
    ifname: String,
    address: Option<String>,
    #[serde(default)]
    addr_info: Vec<InterfaceAddress>,
}

#[derive(Deserialize)]
struct InterfaceAddress {
    local: Option<String>,
}

/// The interface with this hardware address, and whether it has the address.
fn find_address(shown: &str, mac: &str, address: Ipv4Addr) -> Result<(String, bool), AddressError> {
    let interfaces: Vec<Interface> = serde_json::from_str(shown).map_err(AddressError::Format)?;
    let interface = interfaces
        .into_iter()
        .find(|interface| interface.address.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(mac)))
        .ok_or_else(|| AddressError::NoInterface(mac.to_owned()))?;
    let address = address.to_string();
    let present = interface.addr_info.iter().any(|info| info.local.as_deref() == Some(&address));
    Ok((interface.ifname, present))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = r#"[
        {"ifname": "lo", "address": "00:00:00:00:00:00", "addr_info": [{"local": "127.0.0.1"}]},
        {"ifname": "wg0", "addr_info": []},
        {"ifname": "ens5", "address": "02:00:0A:00:00:01",
         "addr_info": [{"family": "inet", "local": "172.20.32.11", "prefixlen": 19}, {"local": "172.20.32.10"}]}]"#;

    #[test]
    fn an_interface_is_found_by_its_hardware_address() {
        let find = |mac, address: &str| find_address(SHOWN, mac, address.parse().unwrap());
        assert_eq!(find("02:00:0a:00:00:01", "172.20.32.10").unwrap(), ("ens5".to_owned(), true));
        assert_eq!(find("02:00:0a:00:00:01", "172.20.32.12").unwrap(), ("ens5".to_owned(), false));
        assert!(matches!(find("02:00:0a:00:00:02", "172.20.32.10"), Err(AddressError::NoInterface(_))));
        assert!(matches!(find_address("", "", Ipv4Addr::LOCALHOST), Err(AddressError::Format(_))));
    }

    #[test]
    fn the_address_is_among_what_networkd_configures_so_that_its_restart_does_not_take_it_away() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let write = |path: &str, text: &str| {
            let path = host.path(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let address = "172.20.32.10".parse().unwrap();
        assert!(!ensure_in_networkd(&host, "ens5", address).unwrap(), "a machine without networkd");
        write("/sys/class/net/ens5/ifindex", "2\n");
        let link = "# This is private data. Do not parse.\nADMIN_STATE=configured\n\
                    NETWORK_FILE=/run/systemd/network/10-netplan-ens5.network\n";
        write("/run/systemd/netif/links/2", link);
        assert!(ensure_in_networkd(&host, "ens5", address).unwrap());
        let drop_in = host.path("/run/systemd/network/10-netplan-ens5.network.d/50-windlass.conf");
        let text = std::fs::read_to_string(drop_in).unwrap();
        assert!(text.ends_with("[Network]\nAddress=172.20.32.10/32\n"), "{text}");
        assert!(!ensure_in_networkd(&host, "ens5", address).unwrap());
    }
}
