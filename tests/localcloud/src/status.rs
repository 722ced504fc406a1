//! What a cloud looks like at a moment: what `localcloud status` prints, and what is found again after a crash.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use fs_err as fs;
use serde::{Deserialize, Serialize};

/// The file below a cloud's directory that holds its status.
pub const FILE: &str = "status.json";

/// A cloud at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The cloud's name.
    pub cloud: String,
    /// The process that keeps it.
    pub pid: u32,
    /// The region's name.
    pub region_name: String,
    /// Where the region listens on this machine.
    pub region: SocketAddr,
    /// AWS's endpoint inside the cloud.
    pub endpoint: String,
    /// The AMI's id by its name.
    pub images: BTreeMap<String, String>,
    /// The instances that have, or had, a machine.
    pub instances: Vec<InstanceStatus>,
    /// The volumes.
    pub volumes: Vec<VolumeStatus>,
}

/// An instance at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceStatus {
    /// The instance's id.
    pub id: String,
    /// Its `Name` tag.
    pub name: Option<String>,
    /// Its state in the region.
    pub state: String,
    /// Its state here: `launching`, `running`, `ending`, `ended`, or `failed: …`.
    pub machine: String,
    /// The process id of its first process.
    pub pid: Option<u32>,
    /// Its private addresses, the primary one first.
    pub private_addresses: Vec<Ipv4Addr>,
    /// Its public addresses.
    pub public_addresses: Vec<Ipv4Addr>,
}

/// A volume at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeStatus {
    /// The volume's id.
    pub id: String,
    /// Its size in GiB.
    pub size: u64,
    /// Its state in the region.
    pub state: String,
    /// The instance that it is attached to.
    pub instance: Option<String>,
    /// The loop device on this machine.
    pub device: Option<String>,
}

impl Status {
    /// Reads the status of the cloud in `directory`; none if there is none.
    pub fn read(directory: &Path) -> std::io::Result<Option<Self>> {
        match fs::read(directory.join(FILE)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        }
    }

    /// Writes it, whole or not at all.
    pub fn write(&self, directory: &Path) -> std::io::Result<()> {
        let temporary = directory.join(".status.json");
        fs::write(&temporary, serde_json::to_vec_pretty(self)?)?;
        fs::rename(temporary, directory.join(FILE))
    }

    /// As a text for people.
    pub fn table(&self) -> String {
        let mut text = format!("cloud {}, process {}, AWS at {}\n", self.cloud, self.pid, self.endpoint);
        for (name, id) in &self.images {
            let _ = writeln!(text, "image {id} {name}");
        }
        for instance in &self.instances {
            let addresses = instance.private_addresses.iter().chain(&instance.public_addresses);
            let addresses: Vec<String> = addresses.map(Ipv4Addr::to_string).collect();
            let pid = instance.pid.map_or_else(String::new, |pid| format!(" pid {pid}"));
            let _ = writeln!(
                text,
                "instance {} {} ({}){pid} {} {}",
                instance.id,
                instance.state,
                instance.machine,
                addresses.join(","),
                instance.name.as_deref().unwrap_or("-"),
            );
        }
        for volume in &self.volumes {
            let place = match (&volume.instance, &volume.device) {
                (Some(instance), Some(device)) => format!(" on {instance} as {device}"),
                _ => String::new(),
            };
            let _ = writeln!(text, "volume {} {} GiB {}{place}", volume.id, volume.size, volume.state);
        }
        text
    }
}
