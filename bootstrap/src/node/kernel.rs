//! What Kubernetes' network needs of the kernel.
//!
//! The image sets all of this at boot (`sysctl.d`, `modules-load.d`); an instance whose image is a little different, or
//! that somebody changed by hand, is put right here. What the kubelet itself insists on (`protectKernelDefaults`) is
//! left to the image: the kubelet says what is wrong with it.
//!
//! In an IPv6 cluster IPv6 packets are routed, too. A machine that does so takes no routes from routers any more, its own way out
//! among them, unless it is told to (Linux, `Documentation/networking/ip-sysctl.rst`, `accept_ra`). Where systemd-networkd does
//! that in the kernel's place it has turned the kernel's off, and is left alone.
//!
//! How many connections are tracked depends on the machine type, which no image knows: kube-proxy would set it, but runs
//! without the right to.

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::agent::Agent;
use crate::aws::identity::InstanceIdentity;
use crate::contract::components::{ComponentSettings, PROXY};
use crate::contract::config::NodeConfig;
use crate::host::Host;
use crate::host::capacity::Capacity;
use crate::host::command::{Command, CommandError};
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Sets the kernel right.
pub const STEP: Step = Step::new("ensure_kernel", Duration::from_mins(1));

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A module.
    #[error("the kernel module {module} can't be loaded")]
    Module {
        /// The module.
        module: &'static str,
        /// Why.
        #[source]
        source: CommandError,
    },
    /// A setting.
    #[error("the kernel setting {setting} can't be set to {value}")]
    Setting {
        /// Its path below `/proc/sys`.
        setting: String,
        /// What it should be.
        value: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The network interfaces.
    #[error("the kernel's network interfaces can't be looked at")]
    Interfaces(#[source] std::io::Error),
    /// Looking at one.
    #[error("the kernel's settings can't be read")]
    Read(#[source] FileError),
}

impl Classed for KernelError {
    fn class(&self) -> Class {
        Class::Passing
    }
}

/// A setting below `/proc/sys`.
#[derive(Debug, PartialEq, Eq)]
struct Setting {
    path: Cow<'static, str>,
    value: u64,
    /// The module that brings it.
    module: Option<&'static str>,
    /// More than this is left alone.
    at_least: bool,
    /// Whether pods' network doesn't work without it. The others can't be set in a container, whose kernel is another
    /// machine's: the size of the connection table, and modules.
    required: bool,
}

/// What the kernel shall be set to on this machine.
fn settings(machine: Option<Capacity>, proxy: &ComponentSettings) -> Vec<Setting> {
    let required = Setting::required;
    let tracking = |path: &'static str, value, at_least| {
        let module = Some("nf_conntrack");
        Setting { path: path.into(), value, module, at_least, required: false }
    };
    let mut settings = vec![
        required("net/ipv4/ip_forward", None),
        // Traffic between pods of one node passes the service rules, too.
        required("net/bridge/bridge-nf-call-iptables", Some("br_netfilter")),
        // kube-proxy's defaults: a day for a connection that says nothing, an hour for one that is closed on one side.
        tracking("net/netfilter/nf_conntrack_tcp_timeout_established", 86_400, false),
        tracking("net/netfilter/nf_conntrack_tcp_timeout_close_wait", 3_600, false),
    ];
    if let Some(connections) = machine.and_then(|machine| connections(machine, proxy)) {
        // Four connections in a bucket, as kube-proxy has it.
        settings.push(tracking("net/netfilter/nf_conntrack_buckets", connections / 4, true));
        settings.push(tracking("net/netfilter/nf_conntrack_max", connections, true));
    }
    settings
}

impl Setting {
    /// What is 1, or the pods' network doesn't work.
    fn required(path: &'static str, module: Option<&'static str>) -> Self {
        Self { path: path.into(), value: 1, module, at_least: false, required: true }
    }
}

/// What the kernel shall be set to in an IPv6 cluster besides: at first that the machine keeps its routes. `interface` is the
/// one by which it is reached, where the kernel itself listens to routers on it.
fn ipv6_settings(interface: Option<&str>) -> Vec<Setting> {
    let listens = interface.map(|name| Setting {
        path: format!("net/ipv6/conf/{name}/accept_ra").into(),
        value: 2,
        module: None,
        at_least: false,
        required: true,
    });
    let required = [
        Setting::required("net/ipv6/conf/all/forwarding", None),
        Setting::required("net/bridge/bridge-nf-call-ip6tables", Some("br_netfilter")),
    ];
    listens.into_iter().chain(required).collect()
}

/// The network interface with a hardware address, if the kernel itself listens to routers on it.
fn listening_interface(host: &Host, mac: &str) -> Result<Option<String>, KernelError> {
    let folder = host.path("/sys/class/net");
    let interfaces = match std::fs::read_dir(&folder) {
        Ok(interfaces) => interfaces,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KernelError::Interfaces(error)),
    };
    let read = |path: &Path| file::read(path).map_err(KernelError::Read);
    let says = |found: Option<Vec<u8>>, value: &str| {
        found.is_some_and(|found| String::from_utf8_lossy(&found).trim().eq_ignore_ascii_case(value))
    };
    for interface in interfaces {
        let name = interface.map_err(KernelError::Interfaces)?.file_name();
        let Some(name) = name.to_str().filter(|_| !mac.is_empty()) else { continue };
        // 0 is off, or systemd-networkd's; 2 is right already.
        let listens = host.path("/proc/sys/net/ipv6/conf").join(name).join("accept_ra");
        if says(read(&folder.join(name).join("address"))?, mac) && !says(read(&listens)?, "0") {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

/// How many connections are tracked: what the specification says of kube-proxy, which would set it. `None` where it says that
/// the kernel's own number stays.
fn connections(machine: Capacity, proxy: &ComponentSettings) -> Option<u64> {
    let said = |name| proxy.field(&["conntrack", name]).and_then(Value::as_u64);
    let per_processor = said("maxPerCore");
    (per_processor != Some(0)).then(|| machine.connections(per_processor, said("min")))
}

/// The step.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let Agent { host, config, identity, .. } = agent;
    STEP.run(&agent.reporter, async || ensure(host, config, identity).await.map(Done::changed_if)).await
}

/// Loads the modules and sets the settings that aren't right yet.
pub async fn ensure(
    host: &Host,
    config: &NodeConfig,
    identity: &InstanceIdentity,
) -> Result<bool, KernelError> {
    let mut changed = false;
    let mut tried = Vec::new();
    let mut settings = settings(Capacity::read(host), config.component(PROXY));
    if config.network.is_ipv6() {
        settings.extend(ipv6_settings(listening_interface(host, &identity.mac)?.as_deref()));
    }
    for setting in settings {
        let path = host.path("/proc/sys").join(&*setting.path);
        if let Some(module) = setting.module.filter(|module| !tried.contains(module) && !path.exists()) {
            tried.push(module);
            let load = host.run(Command::new("/usr/sbin/modprobe").argument(module)).await;
            if setting.required {
                load.map_err(|source| KernelError::Module { module, source })?;
            }
        }
        if host.is_machine() {
            changed |= set(&path, &setting)?;
        }
    }
    Ok(changed)
}

/// Sets one setting, unless it is right. Returns whether it had to.
fn set(path: &Path, setting: &Setting) -> Result<bool, KernelError> {
    let found = file::read(path).map_err(KernelError::Read)?;
    let text = found.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
    let is_right = text
        .trim()
        .parse::<u64>()
        .is_ok_and(|found| found == setting.value || (setting.at_least && found > setting.value));
    if is_right || (found.is_none() && !setting.required) {
        return Ok(false);
    }
    // Not by a rename: these are no ordinary files.
    match std::fs::write(path, setting.value.to_string()) {
        Ok(()) => Ok(true),
        Err(error) if !setting.required => {
            tracing::debug!(setting = &*setting.path, %error, "can't be set here");
            Ok(false)
        }
        Err(source) => {
            let (setting, value) = (setting.path.to_string(), setting.value.to_string());
            Err(KernelError::Setting { setting, value, source })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracked(machine: Option<Capacity>) -> Option<u64> {
        tracked_with(machine, serde_json::json!({}))
    }

    fn tracked_with(machine: Option<Capacity>, conntrack: Value) -> Option<u64> {
        let configuration = serde_json::Map::from_iter([("conntrack".to_owned(), conntrack)]);
        let proxy = ComponentSettings { configuration, ..ComponentSettings::default() };
        let wanted = |setting: &Setting| setting.path.ends_with("nf_conntrack_max");
        settings(machine, &proxy).into_iter().find(wanted).map(|setting| setting.value)
    }

    #[test]
    fn as_many_connections_are_tracked_as_the_machine_type_has_room_for() {
        let machine = |processors| Some(Capacity { memory: 1 << 32, processors });
        assert_eq!((tracked(machine(2)), tracked(machine(16))), (Some(131_072), Some(524_288)));
        assert_eq!(tracked(None), None);
        let said = |said| tracked_with(machine(2), said);
        assert_eq!(said(serde_json::json!({"maxPerCore": 100_000})), Some(200_000));
        assert_eq!(said(serde_json::json!({"maxPerCore": 100, "min": 300})), Some(300));
        assert_eq!(said(serde_json::json!({"maxPerCore": 0, "min": 300})), None);
    }

    #[test]
    fn a_setting_is_made_what_it_should_be_and_one_that_is_a_minimum_is_never_lowered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nf_conntrack_max");
        let setting = |at_least| Setting {
            path: "net/netfilter/nf_conntrack_max".into(),
            value: 131_072,
            module: None,
            at_least,
            required: false,
        };
        assert!(!set(&path, &setting(true)).unwrap() && !path.exists(), "a kernel without it");
        std::fs::write(&path, "65536\n").unwrap();
        assert!(set(&path, &setting(true)).unwrap());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "131072");
        assert!(!set(&path, &setting(true)).unwrap());
        std::fs::write(&path, "262144\n").unwrap();
        assert!(!set(&path, &setting(true)).unwrap() && set(&path, &setting(false)).unwrap());
    }

    #[test]
    fn a_machine_that_routes_ipv6_goes_on_listening_to_routers_where_the_kernel_did() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let interface = |name: &str, mac: &str, listens: &str| {
            for (path, text) in [
                (format!("/sys/class/net/{name}/address"), format!("{mac}\n")),
                (format!("/proc/sys/net/ipv6/conf/{name}/accept_ra"), format!("{listens}\n")),
            ] {
                file::ensure(&host.path(path), text, file::PUBLIC).unwrap();
            }
        };
        assert_eq!(listening_interface(&host, "02:00:00:00:00:0a").unwrap(), None);
        interface("lo", "00:00:00:00:00:00", "1");
        interface("ens5", "02:00:00:00:00:0a", "1");
        let found = listening_interface(&host, "02:00:00:00:00:0A").unwrap();
        assert_eq!(found.as_deref(), Some("ens5"));
        let paths: Vec<(String, u64)> = ipv6_settings(found.as_deref())
            .into_iter()
            .map(|setting| (setting.path.into_owned(), setting.value))
            .collect();
        let first =
            [("net/ipv6/conf/ens5/accept_ra".to_owned(), 2), ("net/ipv6/conf/all/forwarding".to_owned(), 1)];
        assert_eq!(paths[..2], first, "with forwarding the kernel forgets the routes that it heard");
        interface("ens5", "02:00:00:00:00:0a", "0");
        assert_eq!(listening_interface(&host, "02:00:00:00:00:0a").unwrap(), None, "networkd listens");
        assert_eq!(listening_interface(&host, "").unwrap(), None);
    }

    #[test]
    fn the_image_brings_the_module_and_the_smallest_sizes() {
        let image = concat!(env!("CARGO_MANIFEST_DIR"), "/../packer/rootfs/etc/");
        let modules = std::fs::read_to_string(format!("{image}modules-load.d/windlass.conf")).unwrap();
        assert!(modules.lines().any(|line| line == "nf_conntrack"));
        let sysctl = std::fs::read_to_string(format!("{image}sysctl.d/90-windlass.conf")).unwrap();
        for setting in
            settings(Some(Capacity { memory: 1 << 30, processors: 1 }), &ComponentSettings::default())
        {
            let name = setting.path.replace('/', ".");
            if !name.ends_with("buckets") {
                let line = format!("{name} = {}", setting.value);
                assert!(sysctl.lines().any(|found| found.trim_start_matches('-') == line), "{line}");
            }
        }
    }
}
