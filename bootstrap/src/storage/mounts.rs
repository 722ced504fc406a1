//! The further volumes of an instance: a file system is made on one that is blank, and it is mounted where the specification
//! says, before containerd and the kubelet start.
//!
//! A volume is known by the device name that EC2 has for it, and its device by the volume's id, as that of etcd
//! ([`super::volume`]). One that holds anything but the file system that is asked for is left as it is, and the instance
//! doesn't join.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agent::Agent;
use crate::aws::AwsError;
use crate::aws::ec2::{Ec2, Volume};
use crate::contract::config::MountConfig;
use crate::host::Host;
use crate::host::command::{Command, CommandError, Output};
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};
use crate::storage::filesystem::{self, FilesystemError, Mounted};
use crate::storage::volume::{self, VolumeError};

/// Makes and mounts the file systems.
pub const STEP: Step = Step::new("ensure_mounts", Duration::from_mins(20)).outside();

const GIB: u64 = 1 << 30;
/// How long `mkfs` and a check may take.
const LIMIT: Duration = Duration::from_mins(10);
/// Where it stands that a volume was proven blank and its file system is being made: one whose making was cut short holds
/// other things than zeros.
const BEGUN: &str = "/var/lib/windlass/volumes";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// EC2 didn't answer.
    #[error("the instance's volumes can't be looked up")]
    Aws(#[source] AwsError),
    /// It isn't attached yet.
    #[error("no volume is attached as {0} yet")]
    NotThere(String),
    /// Its device.
    #[error("the device of {volume} ({name}) can't be used")]
    Device {
        /// The volume.
        volume: String,
        /// Its device name.
        name: String,
        /// Why.
        #[source]
        source: VolumeError,
    },
    /// It holds something else.
    #[error(
        "{volume} ({name}) is not formatted with {wanted}: {reason}; a volume that may hold anything never is"
    )]
    NotBlank {
        /// The volume.
        volume: String,
        /// Its device name.
        name: String,
        /// The file system.
        wanted: String,
        /// Which proof is missing.
        reason: String,
    },
    /// Something else is mounted there.
    #[error("{path} has the device {found} mounted, and not {volume}")]
    OtherMount {
        /// The mount point.
        path: String,
        /// What is mounted, by its number.
        found: String,
        /// What should be.
        volume: String,
    },
    /// The device can't be read.
    #[error("{volume} can't be looked at")]
    Look {
        /// The volume.
        volume: String,
        /// Why.
        #[source]
        source: FilesystemError,
    },
    /// A program failed.
    #[error("the file system of {volume} for {path} can't be prepared")]
    Command {
        /// The volume.
        volume: String,
        /// The mount point.
        path: String,
        /// Which, and what it said.
        #[source]
        source: CommandError,
    },
    /// A file or folder of the agent's.
    #[error("what is needed for a mount can't be written")]
    File(#[source] FileError),
}

impl Classed for MountError {
    fn class(&self) -> Class {
        match self {
            Self::Aws(error) => error.class(),
            Self::NotThere(_) => Class::Waiting,
            Self::Device { source, .. } => source.class(),
            Self::NotBlank { .. } | Self::OtherMount { .. } => Class::Permanent,
            Self::Look { .. } | Self::Command { .. } | Self::File(_) => Class::Passing,
        }
    }
}

/// The step; nothing is reported of it where the specification asks for no mounts.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let Agent { host, ec2, config, identity, .. } = agent;
    if config.mounts.is_empty() {
        return Ok(());
    }
    let attempt = async || ensure_all(host, ec2, &identity.id, &config.mounts).await.map(Done::changed_if);
    agent.on_machine(STEP, attempt).await.map(drop)
}

/// Makes sure that all of them are mounted. Returns whether one wasn't.
async fn ensure_all(
    host: &Host,
    ec2: &Ec2,
    instance: &str,
    mounts: &[MountConfig],
) -> Result<bool, MountError> {
    let volumes = ec2.volumes_of(instance).await.map_err(MountError::Aws)?;
    let mut changed = false;
    for mount in mounts {
        let volume = attached_as(&volumes, &mount.device);
        let volume = volume.ok_or_else(|| MountError::NotThere(mount.device.clone()))?;
        let wrong =
            |source| MountError::Device { volume: volume.id.clone(), name: mount.device.clone(), source };
        let device = volume::find_device(host, &volume.id, &mount.device).map_err(wrong)?;
        let device = device.ok_or_else(|| MountError::NotThere(mount.device.clone()))?;
        changed |= Place { host, volume, device, mount }.ensure().await?;
    }
    Ok(changed)
}

/// The volume that EC2 knows by a device name.
fn attached_as<'a>(volumes: &'a [Volume], device: &str) -> Option<&'a Volume> {
    let is_there =
        |volume: &&Volume| volume.attachment.as_ref().is_some_and(|attachment| attachment.device == device);
    volumes.iter().find(is_there)
}

/// A volume, and where it belongs.
struct Place<'a> {
    host: &'a Host,
    volume: &'a Volume,
    device: PathBuf,
    mount: &'a MountConfig,
}

impl Place<'_> {
    /// Makes sure that the volume is mounted. Returns whether it wasn't.
    async fn ensure(&self) -> Result<bool, MountError> {
        let Self { host, device, mount, .. } = self;
        match filesystem::mounted(host, device, &mount.path).map_err(|source| self.unseen(source))? {
            Mounted::Device => Ok(false),
            Mounted::Other(found) => {
                let (path, volume) = (mount.path.clone(), self.volume.id.clone());
                Err(MountError::OtherMount { path, found, volume })
            }
            Mounted::Nothing => {
                self.ensure_filesystem().await?;
                self.mount().await?;
                Ok(true)
            }
        }
    }

    /// Makes the file system where the volume is blank, and checks one that is there.
    async fn ensure_filesystem(&self) -> Result<(), MountError> {
        let found = self.probe().await?;
        match found.as_deref() {
            Some(found) if found == self.mount.filesystem => return self.check().await,
            Some(found) => return Err(self.refused(format!("it holds {found}"))),
            None => {}
        }
        let look = filesystem::look(&self.device);
        let (size, is_zero) = look
            .map_err(|source| self.unseen(FilesystemError::Device { device: self.device.clone(), source }))?;
        let expected = self.volume.size * GIB;
        if size != expected {
            return Err(self.refused(format!("the device has {size} bytes, the volume {expected}")));
        }
        if !is_zero && !self.begun().exists() {
            return Err(self.refused("its first and last MiB are not zeros".to_owned()));
        }
        self.format().await
    }

    /// Asks `blkid`, past its cache, what is on the device.
    async fn probe(&self) -> Result<Option<String>, MountError> {
        let device = self.device.display().to_string();
        let arguments =
            ["--probe", "--output", "value", "--match-tag", "TYPE", "--match-tag", "PTTYPE", &device];
        // 2: nothing recognised. 8: several things recognised, which is an error.
        let blkid = Command::new("/usr/sbin/blkid").arguments(arguments).success(&[0, 2]);
        let output = self.command(blkid).await?;
        let found = output.stdout.lines().map(str::trim).find(|line| !line.is_empty());
        Ok((output.code != 2).then(|| found.unwrap_or("something").to_owned()))
    }

    async fn format(&self) -> Result<(), MountError> {
        let begun = self.begun();
        file::ensure_folder(&self.host.path(BEGUN), 0o700).map_err(MountError::File)?;
        file::ensure(&begun, b"", file::PRIVATE).map_err(MountError::File)?;
        let MountConfig { filesystem, format_options, .. } = self.mount;
        // What is there was proven to be nothing: neither program is to ask.
        let (program, force) =
            if filesystem == "xfs" { ("/usr/sbin/mkfs.xfs", "-f") } else { ("/usr/sbin/mkfs.ext4", "-F") };
        let mkfs = Command::new(program).arguments(["-q", force]);
        let mkfs = mkfs.arguments(format_options).argument(self.device.display().to_string());
        tracing::info!(volume = self.volume.id, device = %self.device.display(), "proven blank: formatting");
        self.command(mkfs.limit(LIMIT)).await?;
        let synced = std::fs::File::open(&self.device).and_then(|file| file.sync_all());
        synced
            .map_err(|source| self.unseen(FilesystemError::Device { device: self.device.clone(), source }))?;
        file::ensure_absent(&begun).map(drop).map_err(MountError::File)
    }

    /// Mends what is safe to mend in ext4; xfs does so itself when it is mounted.
    async fn check(&self) -> Result<(), MountError> {
        if self.mount.filesystem != "ext4" {
            return Ok(());
        }
        let device = self.device.display().to_string();
        let check =
            Command::new("/usr/sbin/e2fsck").arguments(["-p", &device]).success(&[0, 1, 2]).limit(LIMIT);
        self.command(check).await.map(drop)
    }

    async fn mount(&self) -> Result<(), MountError> {
        let MountConfig { filesystem, path, mount_options, .. } = self.mount;
        let target = self.host.path(path);
        ensure_mount_point(&target)?;
        let mut mount = Command::new("/usr/bin/mount").arguments(["-t", filesystem]);
        if !mount_options.is_empty() {
            mount = mount.arguments(["-o", &mount_options.join(",")]);
        }
        let mount = mount.argument(self.device.display().to_string()).argument(target.display().to_string());
        self.command(mount).await.map(drop)
    }

    /// The file that says that a file system is being made.
    fn begun(&self) -> PathBuf {
        self.host.path(BEGUN).join(&self.volume.id)
    }

    fn refused(&self, reason: String) -> MountError {
        let MountConfig { device, filesystem, .. } = self.mount;
        let (volume, name, wanted) = (self.volume.id.clone(), device.clone(), filesystem.clone());
        MountError::NotBlank { volume, name, wanted, reason }
    }

    fn unseen(&self, source: FilesystemError) -> MountError {
        MountError::Look { volume: self.volume.id.clone(), source }
    }

    async fn command(&self, command: Command) -> Result<Output, MountError> {
        let (volume, path) = (self.volume.id.clone(), self.mount.path.clone());
        self.host.run(command).await.map_err(|source| MountError::Command { volume, path, source })
    }
}

/// A folder that is there stays as it is.
fn ensure_mount_point(target: &Path) -> Result<(), MountError> {
    if target.is_dir() {
        return Ok(());
    }
    file::ensure_folder(target, 0o755).map(drop).map_err(MountError::File)
}

#[cfg(test)]
mod tests;
