//! What Kubernetes' network needs of the kernel.
//!
//! The image sets all of this at boot (`sysctl.d`, `modules-load.d`); an instance whose image is a little different, or
//! that somebody changed by hand, is put right here. What the kubelet itself insists on (`protectKernelDefaults`) is
//! left to the image: the kubelet says what is wrong with it.

use crate::command::{Command, CommandError};
use crate::file::{self, FileError};
use crate::host::Host;
use crate::retry::{Class, Classed};

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
        setting: &'static str,
        /// What it should be.
        value: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Looking at one.
    #[error("the kernel's settings can't be read")]
    Read(#[source] FileError),
}

impl Classed for KernelError {
    fn class(&self) -> Class {
        Class::Passing
    }
}

/// A setting below `/proc/sys`, its value, and the module that brings it.
const SETTINGS: [(&str, &str, Option<&str>); 2] = [
    ("net/ipv4/ip_forward", "1", None),
    // Traffic between pods of one node passes the service rules, too.
    ("net/bridge/bridge-nf-call-iptables", "1", Some("br_netfilter")),
];

/// Loads the modules and sets the settings that aren't right yet.
pub async fn ensure(host: &Host) -> Result<bool, KernelError> {
    let mut changed = false;
    for (setting, value, module) in SETTINGS {
        let path = host.path("/proc/sys").join(setting);
        if let Some(module) = module.filter(|_| !path.exists()) {
            let load = Command::new("/usr/sbin/modprobe").argument(module);
            host.run(load).await.map_err(|source| KernelError::Module { module, source })?;
        }
        if !host.is_machine() {
            continue;
        }
        let found = file::read(&path).map_err(KernelError::Read)?.unwrap_or_default();
        if found.trim_ascii() == value.as_bytes() {
            continue;
        }
        // Not by a rename: these are no ordinary files.
        std::fs::write(&path, value).map_err(|source| KernelError::Setting { setting, value, source })?;
        changed = true;
    }
    Ok(changed)
}
