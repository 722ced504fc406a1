//! The file system on the master's volume: made only on proof that the volume is blank, checked, mounted, grown.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::aws::AwsError;
use crate::aws::ec2::Ec2;
use crate::aws::state::StateStore;
use crate::contract::config::{self, CONFIG_VERSION, ControlPlaneConfig, DocumentError, EtcdConfig};
use crate::contract::tags;
use crate::host::Host;
use crate::host::command::{Command, CommandError};
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};
use crate::storage::etcd_data::mount_point;
use crate::storage::etcd_marker::{self, MarkerError};
use crate::storage::restore_order::{self, OrderError};
use crate::storage::volume::{AttachedVolume, AttachedVolumes};

/// Makes, checks and mounts the file system: a check of a damaged one may take long.
pub const STEP: Step = Step::new("ensure_filesystem", Duration::from_mins(40));

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// How long a check of a damaged file system may take.
const CHECK_LIMIT: Duration = Duration::from_mins(30);
/// ext4's superblock starts here; these are offsets in it, and the size of what is read of it.
const SUPERBLOCK: u64 = 1024;
const SUPERBLOCK_SIZE: usize = 1024;

/// What can go wrong with the file system.
#[derive(Debug, thiserror::Error)]
pub enum FilesystemError {
    /// The volume is neither blank nor ours.
    #[error("{volume} is not formatted: {reason}; a volume that may hold anything never is")]
    NotBlank {
        /// The volume.
        volume: String,
        /// Which proof is missing.
        reason: String,
    },
    /// The volume belongs to something else.
    #[error("{volume} holds the data of {found}, not of {expected}")]
    Foreign {
        /// The volume.
        volume: String,
        /// Whose data it holds.
        found: String,
        /// Whose it should.
        expected: String,
    },
    /// The device can't be read.
    #[error("{} can't be read", device.display())]
    Device {
        /// The device.
        device: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something else is mounted in its place.
    #[error("{mount_point} has the device {found} mounted, not {}: {reason}", device.display())]
    OtherMount {
        /// The mount point.
        mount_point: String,
        /// What is mounted, by its number.
        found: String,
        /// What should be.
        device: PathBuf,
        /// Why it isn't replaced.
        reason: &'static str,
    },
    /// A program failed.
    #[error("the file system of {volume} can't be prepared")]
    Command {
        /// The volume.
        volume: String,
        /// Which, and what it said.
        #[source]
        source: CommandError,
    },
    /// A file on it.
    #[error("a file on the volume can't be used")]
    File(#[source] FileError),
    /// The note on it.
    #[error("the volume's {NOTE} can't be used")]
    Note(#[source] DocumentError),
    /// Whether etcd was initialised on it.
    #[error("it can't be told whether etcd was initialised on the volume")]
    Marker(#[source] MarkerError),
    /// Whether it is to be restored.
    #[error("it can't be told whether the volume is to be restored")]
    Order(#[source] OrderError),
    /// EC2.
    #[error("the volume can't be tagged")]
    Aws(#[source] AwsError),
}

impl Classed for FilesystemError {
    fn class(&self) -> Class {
        match self {
            Self::NotBlank { .. } | Self::Foreign { .. } | Self::OtherMount { .. } | Self::Note(_) => {
                Class::Permanent
            }
            Self::Device { .. } | Self::Command { .. } | Self::File(_) => Class::Passing,
            Self::Marker(error) => error.class(),
            Self::Order(error) => error.class(),
            Self::Aws(error) => error.class(),
        }
    }
}

/// A note at the top of the volume that says whose it is.
const NOTE: &str = "windlass.json";

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    version: String,
    cluster: String,
    etcd: String,
    member: String,
    /// The volume it was written on first; a copy made from a snapshot has another id.
    volume: String,
}

/// What is known about a device before anything is written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The device's size in bytes.
    pub device_size: u64,
    /// The volume's size in bytes, as EC2 says.
    pub volume_size: u64,
    /// What `blkid` recognises: a file system, a partition table; `None` for nothing.
    pub recognised: Option<Recognised>,
    /// Whether the first and the last MiB read as zeros.
    pub ends_are_zero: bool,
    /// The volume's tag about formatting.
    pub tag: Option<String>,
    /// Whether the state says that etcd once was initialised on it.
    pub initialised: bool,
}

/// What `blkid` recognises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// ext4, which is what the agent makes.
    Ext4,
    /// Anything else, by its name.
    Other(String),
}

/// What the evidence proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds a file system that can be mounted.
    Formatted,
    /// It holds nothing.
    Blank,
    /// It may hold something; which proof is missing.
    Refused(String),
}

/// Judges the evidence. A device counts as blank only if *all* of it says so: `blkid` alone finds nothing on garbage
/// and on a device that isn't there, either.
///
/// There is one exception: a volume whose tag says that the agent of this cluster had proven it blank and begun to
/// format it may be formatted again, because a killed mkfs leaves other things than zeros.
pub fn judge(evidence: &Evidence, cluster: &str) -> Verdict {
    let begun = evidence.tag.as_deref() == Some(tags::FORMATTING);
    match &evidence.recognised {
        Some(Recognised::Ext4) => return Verdict::Formatted,
        Some(Recognised::Other(name)) => return Verdict::Refused(format!("it holds {name}")),
        None => {}
    }
    if evidence.device_size != evidence.volume_size {
        let (device, volume) = (evidence.device_size, evidence.volume_size);
        return Verdict::Refused(format!("the device has {device} bytes, the volume {volume}"));
    }
    if evidence.initialised {
        return Verdict::Refused(
            "the state says that etcd was initialised, and this volume holds no file system: attach the right \
             volume, or restore a snapshot onto this one"
                .to_owned(),
        );
    }
    match evidence.tag.as_deref() {
        None | Some(tags::FORMATTING) => {}
        Some(owner) if owner == cluster => {
            return Verdict::Refused(
                "its tag says that it was formatted, and it holds no file system".to_owned(),
            );
        }
        Some(owner) => return Verdict::Refused(format!("its tag says that it was formatted for {owner}")),
    }
    if !evidence.ends_are_zero && !begun {
        return Verdict::Refused("its first and last MiB are not zeros".to_owned());
    }
    Verdict::Blank
}

/// The step; it is left out where there are no volumes, in a folder.
pub async fn run(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    attached: &AttachedVolumes,
) -> Result<(), StepError> {
    if attached.is_empty() {
        STEP.leave_out(&agent.reporter);
        return Ok(());
    }
    let prepare = async || ensure_all(agent, control_plane, attached).await.map(Done::changed_if);
    STEP.run(&agent.reporter, prepare).await
}

/// Makes sure that the volume of each etcd cluster has a file system of its own, and that it is mounted.
pub async fn ensure_all(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    attached: &AttachedVolumes,
) -> Result<bool, FilesystemError> {
    let Agent { host, ec2, store, config, .. } = agent;
    let mut changed = false;
    for etcd in control_plane.etcd_clusters() {
        if let Some(attached) = attached.get(&etcd.name) {
            changed |= ensure(host, ec2, store, attached, &config.cluster, etcd).await?;
        }
    }
    Ok(changed)
}

/// Makes sure that the volume has a file system of this etcd member's, and that it is mounted. The state is asked
/// whether etcd was initialised only where the volume holds no file system.
pub async fn ensure(
    host: &Host,
    ec2: &Ec2,
    store: &StateStore,
    attached: &AttachedVolume,
    cluster: &str,
    etcd: &EtcdConfig,
) -> Result<bool, FilesystemError> {
    let mount_point = mount_point(&etcd.name);
    let mut changed = false;
    match mounted(host, &attached.device, &mount_point)? {
        Mounted::Device => {}
        Mounted::Nothing => {
            changed = prepare(host, ec2, store, attached, cluster, etcd).await?;
            mount(host, attached, &mount_point).await?;
        }
        Mounted::Other(found) => {
            remount(host, attached, etcd, &found).await?;
            changed = true;
        }
    }
    remember(host, attached, etcd)?;
    changed |= ensure_note(&host.path(&mount_point), attached, cluster, etcd)?;
    changed |= ensure_grown(host, attached).await?;
    if attached.volume.tags.get(tags::FORMATTED).map(String::as_str) != Some(cluster) {
        tag(ec2, attached, cluster).await?;
        changed = true;
    }
    Ok(changed)
}

/// Formats a blank volume, or checks the file system of one that isn't. Returns whether it formatted.
async fn prepare(
    host: &Host,
    ec2: &Ec2,
    store: &StateStore,
    attached: &AttachedVolume,
    cluster: &str,
    etcd: &EtcdConfig,
) -> Result<bool, FilesystemError> {
    let recognised = probe(host, attached).await?;
    let initialised = recognised.is_some() || is_lost(store, attached, cluster, etcd).await?;
    let evidence = gather(attached, recognised, initialised)?;
    match judge(&evidence, cluster) {
        Verdict::Refused(reason) => {
            Err(FilesystemError::NotBlank { volume: attached.volume.id.clone(), reason })
        }
        Verdict::Formatted => check(host, attached).await.map(|()| false),
        Verdict::Blank => {
            // Said before it is begun: if mkfs is killed, the next try knows that what is there is its own.
            tag(ec2, attached, tags::FORMATTING).await?;
            format(host, attached).await?;
            Ok(true)
        }
    }
}

/// Whether what etcd has written was on this volume. What was lost comes from a backup, if that is what was ordered, or from
/// the other members, if the volume was made for that.
async fn is_lost(
    store: &StateStore,
    attached: &AttachedVolume,
    cluster: &str,
    etcd: &EtcdConfig,
) -> Result<bool, FilesystemError> {
    let volume = &attached.volume;
    let marker = etcd_marker::read(store, cluster, etcd, Some(&volume.id)).await;
    let Some(marker) = marker.map_err(FilesystemError::Marker)? else { return Ok(false) };
    if etcd_marker::is_replaced_by(&marker, etcd, volume) {
        return Ok(false);
    }
    restore_order::is_due(store, cluster, etcd).await.map(|is_due| !is_due).map_err(FilesystemError::Order)
}

/// Mounts the file system anew that is mounted from a device which is gone: a volume that was detached by hand and is
/// attached again is another device. The old mount can't write any more, and etcd, which can't either, ends and is
/// started again by the kubelet with what is mounted then.
///
/// Only the file system that was mounted before is put in its place. With another one, such as a restored snapshot's, the
/// API server would go on with data that its etcd no longer has: that takes a master that begins anew.
async fn remount(
    host: &Host,
    attached: &AttachedVolume,
    etcd: &EtcdConfig,
    found: &str,
) -> Result<(), FilesystemError> {
    let (device, mount_point) = (&attached.device, mount_point(&etcd.name));
    let other = |reason| FilesystemError::OtherMount {
        mount_point: mount_point.clone(),
        found: found.to_owned(),
        device: device.clone(),
        reason,
    };
    // Major 0 is no block device: a file system that somebody mounted over it, which is theirs.
    if found.starts_with("0:") || host.path(DEVICES).join(found).exists() {
        return Err(other("that is still there: unmount it, or replace this instance"));
    }
    let known = file::read(&memory(host, etcd)).map_err(FilesystemError::File)?;
    let is_known = |found: String| known.is_some_and(|known| known == found.as_bytes());
    if !which(attached).is_ok_and(is_known) {
        return Err(other(
            "that device is gone, and this is not the file system it held: replace this instance",
        ));
    }
    tracing::warn!(volume = attached.volume.id, found, "the volume is another device now: mounting it anew");
    let target = host.path(&mount_point).display().to_string();
    // Lazily: whoever still has files open in it holds a file system without a device.
    let unmount = Command::new("/usr/bin/umount").arguments(["--lazy", &target]);
    command(host, attached, unmount).await?;
    if mounted(host, device, &mount_point)? != Mounted::Nothing {
        return Err(other("something else was mounted below it: replace this instance"));
    }
    check(host, attached).await?;
    mount(host, attached, &mount_point).await
}

/// Remembers until the machine's next start which file system is mounted.
fn remember(host: &Host, attached: &AttachedVolume, etcd: &EtcdConfig) -> Result<(), FilesystemError> {
    let device = &attached.device;
    let which =
        which(attached).map_err(|source| FilesystemError::Device { device: device.clone(), source })?;
    file::ensure(&memory(host, etcd), which, file::PUBLIC).map(drop).map_err(FilesystemError::File)
}

fn memory(host: &Host, etcd: &EtcdConfig) -> PathBuf {
    host.path(root::RUN).join(format!("etcd-{}-filesystem", etcd.name))
}

/// Which file system it is, by its UUID, which a copy made from a snapshot shares, and its volume's id.
fn which(attached: &AttachedVolume) -> std::io::Result<String> {
    superblock(&attached.device).map(|superblock| format!("{} {}", attached.volume.id, superblock.uuid))
}

async fn tag(ec2: &Ec2, attached: &AttachedVolume, value: &str) -> Result<(), FilesystemError> {
    ec2.tag(&attached.volume.id, tags::FORMATTED, value).await.map_err(FilesystemError::Aws)
}

/// Gathers the evidence from the device.
fn gather(
    attached: &AttachedVolume,
    recognised: Option<Recognised>,
    initialised: bool,
) -> Result<Evidence, FilesystemError> {
    let device = &attached.device;
    let failed = |source| FilesystemError::Device { device: device.clone(), source };
    let (device_size, ends_are_zero) = look(device).map_err(failed)?;
    Ok(Evidence {
        device_size,
        volume_size: attached.volume.size * GIB,
        recognised,
        ends_are_zero,
        tag: attached.volume.tags.get(tags::FORMATTED).cloned(),
        initialised,
    })
}

/// A device's size, and whether both its ends are zeros.
pub(super) fn look(device: &Path) -> std::io::Result<(u64, bool)> {
    let mut file = File::open(device)?;
    let size = file.seek(SeekFrom::End(0))?;
    let mut zero = true;
    for start in [0, size.saturating_sub(MIB)] {
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file).take(MIB).read_to_end(&mut bytes)?;
        zero &= bytes.iter().all(|byte| *byte == 0);
    }
    Ok((size, zero))
}

/// Asks `blkid`, past its cache, what is on the device.
async fn probe(host: &Host, attached: &AttachedVolume) -> Result<Option<Recognised>, FilesystemError> {
    let device = attached.device.display().to_string();
    let arguments = ["--probe", "--output", "value", "--match-tag", "TYPE", "--match-tag", "PTTYPE", &device];
    // 2: nothing recognised. 8: several things recognised, which is an error.
    let blkid = Command::new("/usr/sbin/blkid").arguments(arguments).success(&[0, 2]);
    let output = command(host, attached, blkid).await?;
    let found = output.stdout.lines().map(str::trim).find(|line| !line.is_empty());
    Ok(match (output.code, found) {
        (2, _) => None,
        (_, Some("ext4")) => Some(Recognised::Ext4),
        (_, found) => Some(Recognised::Other(found.unwrap_or("something").to_owned())),
    })
}

async fn format(host: &Host, attached: &AttachedVolume) -> Result<(), FilesystemError> {
    let device = attached.device.display().to_string();
    // -m 0: nothing is kept back for root, who is the only user. Discarding a fresh volume would only take time.
    let mkfs = Command::new("/usr/sbin/mkfs.ext4").arguments([
        "-q",
        "-F",
        "-m",
        "0",
        "-L",
        "windlass-etcd",
        "-E",
        "nodiscard",
        &device,
    ]);
    tracing::info!(volume = attached.volume.id, device, "proven blank: formatting");
    command(host, attached, mkfs.limit(Duration::from_mins(10))).await?;
    let file = File::open(&attached.device);
    file.and_then(|file| file.sync_all())
        .map_err(|source| FilesystemError::Device { device: attached.device.clone(), source })
}

/// Replays the journal and mends what is safe to mend; anything worse fails.
async fn check(host: &Host, attached: &AttachedVolume) -> Result<(), FilesystemError> {
    let device = attached.device.display().to_string();
    // 0: clean, 1: mended, 2: mended and a mounted one would need a reboot, which this is not.
    let check =
        Command::new("/usr/sbin/e2fsck").arguments(["-p", &device]).success(&[0, 1, 2]).limit(CHECK_LIMIT);
    command(host, attached, check).await.map(drop)
}

async fn mount(host: &Host, attached: &AttachedVolume, mount_point: &str) -> Result<(), FilesystemError> {
    file::ensure_folder(&host.path(mount_point), 0o700).map_err(FilesystemError::File)?;
    let device = attached.device.display().to_string();
    // After an error the file system is read-only: etcd stops at its next write, and what is on the disk stays as it
    // was. `errors=panic` would take the whole machine down with a volume.
    let options = "noatime,nosuid,nodev,noexec,errors=remount-ro";
    let mount = Command::new("/usr/bin/mount").arguments(["-t", "ext4", "-o", options, &device]);
    command(host, attached, mount.argument(host.path(mount_point).display().to_string())).await.map(drop)
}

/// Grows a file system that is smaller than its volume; ext4 can do that while it is mounted.
async fn ensure_grown(host: &Host, attached: &AttachedVolume) -> Result<bool, FilesystemError> {
    let device = &attached.device;
    let failed = |source| FilesystemError::Device { device: device.clone(), source };
    let (device_size, _) = look(device).map_err(failed)?;
    let filesystem = superblock(device).map_err(failed)?;
    // ext4 can't use a rest that is too small for another block group.
    let group = filesystem.block_size * 8 * filesystem.block_size;
    if device_size.saturating_sub(filesystem.size) < group {
        return Ok(false);
    }
    let grow = Command::new("/usr/sbin/resize2fs").argument(device.display().to_string()).limit(CHECK_LIMIT);
    command(host, attached, grow).await?;
    Ok(true)
}

struct Superblock {
    /// Bytes.
    size: u64,
    /// Bytes.
    block_size: u64,
    /// Hexadecimal.
    uuid: String,
}

/// Reads the size and the identity of an ext4 file system (Documentation/filesystems/ext4/super.rst of the kernel).
fn superblock(device: &Path) -> std::io::Result<Superblock> {
    let mut file = File::open(device)?;
    file.seek(SeekFrom::Start(SUPERBLOCK))?;
    let mut bytes = [0; SUPERBLOCK_SIZE];
    file.read_exact(&mut bytes)?;
    let word =
        |at: usize| u64::from(u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
    if word(0x38) & 0xffff != 0xef53 {
        return Err(std::io::Error::other("it holds no ext4 file system"));
    }
    let block_size = 1024_u64 << word(0x18).min(6);
    let blocks = word(0x4) | (word(0x150) << 32);
    let uuid = bytes[0x68..0x78].iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    Ok(Superblock { size: blocks.saturating_mul(block_size), block_size, uuid: format!("{uuid:032x}") })
}

/// A link for each block device by its number (sysfs).
const DEVICES: &str = "/sys/dev/block";

/// What is mounted at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mounted {
    /// The device.
    Device,
    /// Nothing.
    Nothing,
    /// Another device, by its number.
    Other(String),
}

/// What is mounted there.
pub(super) fn mounted(host: &Host, device: &Path, mount_point: &str) -> Result<Mounted, FilesystemError> {
    let number = std::fs::metadata(device)
        .map(|metadata| metadata.rdev())
        .map_err(|source| FilesystemError::Device { device: device.to_owned(), source })?;
    let number = format!("{}:{}", rustix::fs::major(number), rustix::fs::minor(number));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let target = host.path(mount_point).display().to_string();
    Ok(match mount_at(&mounts, &target) {
        None => Mounted::Nothing,
        Some(found) if found == number => Mounted::Device,
        Some(found) => Mounted::Other(found.to_owned()),
    })
}

/// The device number of what is mounted at a path, the last one if there are several.
fn mount_at<'a>(mountinfo: &'a str, target: &str) -> Option<&'a str> {
    let fields = mountinfo.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(4) == Some(&target))
        .filter_map(|fields| fields.get(2).copied())
        .next_back()
}

/// Writes the note, or checks the one that is there.
fn ensure_note(
    mount_point: &Path,
    attached: &AttachedVolume,
    cluster: &str,
    etcd: &EtcdConfig,
) -> Result<bool, FilesystemError> {
    let path = mount_point.join(NOTE);
    if let Some(bytes) = file::read(&path).map_err(FilesystemError::File)? {
        let note: Note = config::read(&bytes).map_err(FilesystemError::Note)?;
        let found = format!("{}/{}/{}", note.cluster, note.etcd, note.member);
        let expected = format!("{cluster}/{}/{}", etcd.name, etcd.member);
        if found != expected {
            return Err(FilesystemError::Foreign { volume: attached.volume.id.clone(), found, expected });
        }
        return Ok(false);
    }
    let note = Note {
        version: CONFIG_VERSION.to_owned(),
        cluster: cluster.to_owned(),
        etcd: etcd.name.clone(),
        member: etcd.member.clone(),
        volume: attached.volume.id.clone(),
    };
    let bytes = serde_json::to_vec_pretty(&note)
        .map_err(|error| FilesystemError::Note(DocumentError::Format(error)))?;
    file::ensure(&path, bytes, file::PRIVATE).map_err(FilesystemError::File)
}

async fn command(
    host: &Host,
    attached: &AttachedVolume,
    command: Command,
) -> Result<crate::host::command::Output, FilesystemError> {
    let volume = attached.volume.id.clone();
    host.run(command).await.map_err(|source| FilesystemError::Command { volume, source })
}

#[cfg(test)]
mod tests;
