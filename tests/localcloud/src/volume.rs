//! EBS volumes: sparse files behind loop devices, which appear in an instance as NVMe controllers do.
//!
//! An instance has no udev here and its kernel has no NVMe, so an attached volume is made visible in the three
//! places where a program finds it on EC2: the block device `/dev/nvme<n>n1`, the controller's directory
//! `/sys/class/nvme/nvme<n>` with serial and model, and udev's link in `/dev/disk/by-id`.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::{Mode, OFlags};

use crate::command;
use crate::machine::Machine;

/// Bytes in a GiB, the unit of volumes' sizes.
const GIB: u64 = 1 << 30;

/// Why a volume could not be attached or detached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tool failed.
    #[error("{volume}: a tool failed")]
    Command {
        /// The volume.
        volume: String,
        /// What failed.
        #[source]
        source: command::Error,
    },
    /// Its file could not be made or looked at.
    #[error("{volume}: its file or device can't be used")]
    File {
        /// The volume.
        volume: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
}

/// The volumes of a cloud.
#[derive(Debug)]
pub struct Volumes {
    directory: PathBuf,
    attached: BTreeMap<String, Attached>,
}

/// A volume that an instance sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The instance's id.
    pub instance: String,
    /// The loop device on this machine.
    pub device: PathBuf,
    /// The number of the NVMe controller in the instance; 0 is the root volume's.
    pub number: u32,
}

impl Volumes {
    /// The volumes whose files are in `directory`.
    pub fn below(directory: PathBuf) -> Self {
        Self { directory, attached: BTreeMap::new() }
    }

    /// The volumes that instances see, by id.
    pub fn attached(&self) -> &BTreeMap<String, Attached> {
        &self.attached
    }

    /// Makes a volume of `size` GiB appear in an instance.
    pub async fn attach(
        &mut self,
        volume: &str,
        size: u64,
        instance: &str,
        machine: &Machine,
    ) -> Result<(), Error> {
        let failed = |source| Error::Command { volume: volume.to_owned(), source };
        let file = self.file(volume, size)?;
        let path = file.display().to_string();
        let device = command::run(&["losetup", "--find", "--show", &path]).await.map_err(failed)?;
        let device = PathBuf::from(device.trim());
        let taken: Vec<u32> =
            self.attached.values().filter(|other| other.instance == instance).map(|o| o.number).collect();
        let mut number = 1;
        while taken.contains(&number) {
            number += 1;
        }
        let shown = match device_number(&device) {
            Ok(identity) => machine.mounts_script(&appear(volume, number, identity)).await.map_err(failed),
            Err(source) => Err(Error::File { volume: volume.to_owned(), source }),
        };
        if let Err(error) = shown {
            release(volume, &device).await?;
            return Err(error);
        }
        self.attached.insert(volume.to_owned(), Attached { instance: instance.to_owned(), device, number });
        Ok(())
    }

    /// Takes a volume out of its instance; `machine` is none if the instance is dead. Returns false while
    /// something in the instance still holds it.
    pub async fn detach(&mut self, volume: &str, machine: Option<&Machine>) -> Result<bool, Error> {
        let Some(attached) = self.attached.get(volume) else { return Ok(true) };
        if is_held(volume, &attached.device)? {
            return Ok(false);
        }
        if let Some(machine) = machine {
            let script = disappear(volume, attached.number);
            let failed = |source| Error::Command { volume: volume.to_owned(), source };
            machine.mounts_script(&script).await.map_err(failed)?;
        }
        release(volume, &attached.device).await?;
        self.attached.remove(volume);
        Ok(true)
    }

    /// Grows an attached volume's device to `size` GiB, as `ModifyVolume` does without a detachment.
    pub async fn grow(&self, volume: &str, size: u64) -> Result<(), Error> {
        let Some(attached) = self.attached.get(volume) else { return Ok(()) };
        let path = self.path(volume);
        let length = fs::metadata(&path).map(|metadata| metadata.len());
        let length = length.map_err(|source| Error::File { volume: volume.to_owned(), source })?;
        if length >= size * GIB {
            return Ok(());
        }
        self.file(volume, size)?;
        let device = attached.device.display().to_string();
        let failed = |source| Error::Command { volume: volume.to_owned(), source };
        command::run(&["losetup", "--set-capacity", &device]).await.map_err(failed)?;
        Ok(())
    }

    /// Removes the files of volumes that don't exist any more.
    pub fn forget_all_but(&self, existing: &[&str]) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let id = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if !existing.contains(&id.as_str()) && !self.attached.contains_key(&id) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn path(&self, volume: &str) -> PathBuf {
        self.directory.join(format!("{volume}.img"))
    }

    /// The volume's file, made or grown to `size` GiB; it never shrinks.
    fn file(&self, volume: &str, size: u64) -> Result<PathBuf, Error> {
        let path = self.path(volume);
        let make = || -> std::io::Result<()> {
            let file = fs::OpenOptions::new().create(true).write(true).truncate(false).open(&path)?;
            if file.metadata()?.len() < size * GIB {
                file.set_len(size * GIB)?;
            }
            Ok(())
        };
        make().map_err(|source| Error::File { volume: volume.to_owned(), source })?;
        Ok(path)
    }
}

/// A block device's major and minor number.
fn device_number(device: &Path) -> std::io::Result<(u32, u32)> {
    let number = fs::metadata(device)?.rdev();
    Ok((rustix::fs::major(number), rustix::fs::minor(number)))
}

/// A volume's serial number on NVMe: its id without the dash.
fn serial(volume: &str) -> String {
    volume.replace('-', "")
}

/// The script that shows a volume to an instance. The node comes last: who sees it can already identify it.
fn appear(volume: &str, number: u32, (major, minor): (u32, u32)) -> String {
    let serial = serial(volume);
    format!(
        "controller=/sys/class/nvme/nvme{number}
mkdir -p $controller/nvme{number}n1 /dev/disk/by-id
printf '%-20s\\n' {serial} >$controller/serial
printf '%-40s\\n' 'Amazon Elastic Block Store' >$controller/model
echo pcie >$controller/transport
echo {major}:{minor} >$controller/nvme{number}n1/dev
ln -sfn ../../nvme{number}n1 /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{serial}
rm -f /dev/nvme{number}n1
mknod -m 660 /dev/nvme{number}n1 b {major} {minor}
"
    )
}

/// The script that takes a volume out of an instance's sight.
fn disappear(volume: &str, number: u32) -> String {
    let serial = serial(volume);
    format!(
        "rm -f /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{serial} /dev/nvme{number}n1
rm -rf /sys/class/nvme/nvme{number}
"
    )
}

/// Whether the device is mounted in any mount namespace, or otherwise claimed: an exclusive open says.
fn is_held(volume: &str, device: &Path) -> Result<bool, Error> {
    match rustix::fs::open(device, OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC, Mode::empty()) {
        Ok(_) => Ok(false),
        Err(rustix::io::Errno::BUSY) => Ok(true),
        Err(errno) => Err(Error::File { volume: volume.to_owned(), source: errno.into() }),
    }
}

async fn release(volume: &str, device: &Path) -> Result<(), Error> {
    let device = device.display().to_string();
    let failed = |source| Error::Command { volume: volume.to_owned(), source };
    command::run(&["losetup", "--detach", &device]).await.map_err(failed)?;
    Ok(())
}

/// The loop devices whose files are below `directory`.
pub fn loop_devices(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut devices = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let backing = std::fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if Path::new(backing.trim_end_matches('\n')).starts_with(directory) {
            devices.push(Path::new("/dev").join(entry.file_name()));
        }
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_appears_with_its_id_as_serial() {
        let script = appear("vol-0123456789abcdef0", 1, (7, 3));
        assert!(script.contains("vol0123456789abcdef0 >$controller/serial"), "{script}");
        assert!(script.ends_with("mknod -m 660 /dev/nvme1n1 b 7 3\n"), "{script}");
    }

    #[test]
    fn a_file_grows_and_never_shrinks() {
        let directory = tempfile::tempdir().unwrap();
        let volumes = Volumes::below(directory.path().to_owned());
        let file = volumes.file("vol-1", 2).unwrap();
        volumes.file("vol-1", 1).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().len(), 2 * GIB);
        volumes.file("vol-1", 3).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().len(), 3 * GIB);
    }

    #[test]
    fn a_deleted_volume_s_file_goes_and_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let volumes = Volumes::below(directory.path().to_owned());
        volumes.file("vol-1", 1).unwrap();
        volumes.file("vol-2", 1).unwrap();
        volumes.forget_all_but(&["vol-2"]).unwrap();
        assert!(!volumes.path("vol-1").exists() && volumes.path("vol-2").exists());
    }
}
