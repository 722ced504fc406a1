//! The EBS volumes of a master, one for each etcd cluster: found by its tags, taken over only once its predecessor has let go of it, and recognised
//! in this machine by its id, never by its device name.
//!
//! EBS attaches to one instance at a time, which makes the volumes the fence: addresses and etcd come after them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::aws::AwsError;
use crate::aws::ec2::{Ec2, Volume};
use crate::aws::identity::InstanceIdentity;
use crate::contract::config::{ControlPlaneConfig, EtcdConfig};
use crate::contract::tags;
use crate::host::Host;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Attaches the volume. A predecessor may take long to terminate.
pub const STEP: Step = Step::new("ensure_volume", Duration::from_mins(30)).outside();

/// How long EC2 itself has to detach the volume of a terminated instance before it is asked to.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long an attachment may take until it shows as a device.
const STUCK: Duration = Duration::from_secs(90);
/// How long an attachment usually takes at most.
const SOON: Duration = Duration::from_secs(5);
/// The device names that EC2 recommends for volumes of HVM instances.
const DEVICE_LETTERS: std::ops::RangeInclusive<char> = 'f'..='p';

/// What can go wrong with the volume.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// There is none.
    #[error("there is no volume with the tag {tag} in {zone}")]
    None {
        /// `key=value`.
        tag: String,
        /// The instance's zone.
        zone: String,
    },
    /// There are several.
    #[error("several volumes have the tag {tag} in {zone}: {volumes}; one of them has to lose it")]
    Several {
        /// `key=value`.
        tag: String,
        /// The instance's zone.
        zone: String,
        /// Their ids.
        volumes: String,
    },
    /// Somebody else has it, or is about to let go of it.
    #[error("{0}")]
    Held(String),
    /// It was asked for, or is attached, and isn't there yet.
    #[error("{volume} is not there as a device yet ({state})")]
    NotThere {
        /// The volume.
        volume: String,
        /// What EC2 says.
        state: String,
    },
    /// EC2 says that it can't be used.
    #[error("{volume} is in the state {state}")]
    Unusable {
        /// The volume.
        volume: String,
        /// What EC2 says.
        state: String,
    },
    /// The device isn't what it should be.
    #[error("{device} is not {volume}: {reason}")]
    WrongDevice {
        /// The device.
        device: String,
        /// The volume.
        volume: String,
        /// What is wrong.
        reason: String,
    },
    /// Every device name is in use.
    #[error("all of the device names /dev/sdf to /dev/sdp are in use")]
    NoDeviceName,
    /// EC2 refused or didn't answer.
    #[error("EC2 did not do what is needed for the volume")]
    Aws(#[source] AwsError),
}

impl Classed for VolumeError {
    fn class(&self) -> Class {
        match self {
            Self::Held(_) | Self::NotThere { .. } => Class::Waiting,
            Self::None { .. } | Self::WrongDevice { .. } => Class::Passing,
            Self::Several { .. } | Self::Unusable { .. } | Self::NoDeviceName => Class::Permanent,
            Self::Aws(error) => error.class(),
        }
    }
}

/// What to do about a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is ours, or about to be: look for the device.
    Ours,
    /// Nobody has it.
    Attach,
    /// Its holder is terminated and EC2 hasn't detached it: ask for that, without force.
    Detach,
    /// Somebody has it; why we wait.
    Wait(String),
    /// It can't be used.
    Refuse,
}

/// Decides from what EC2 says: the volume, its holder's state (`None` if EC2 has forgotten the instance), and how
/// long it has been so.
pub fn decide(volume: &Volume, me: &str, holder: Option<&str>, since: Duration) -> Decision {
    let Some(attachment) = &volume.attachment else {
        return match volume.state.as_str() {
            "available" => Decision::Attach,
            // Reads in EC2 lag behind: attached by the state, and nobody named yet.
            "creating" | "in-use" => Decision::Wait(format!("{} is {}", volume.id, volume.state)),
            _ => Decision::Refuse,
        };
    };
    let id = &volume.id;
    let instance = &attachment.instance;
    if instance == me {
        return match attachment.state.as_str() {
            "detaching" | "busy" => Decision::Wait(format!("{id} is being detached from this instance")),
            _ => Decision::Ours,
        };
    }
    if attachment.state == "detaching" {
        return Decision::Wait(format!("{id} is being detached from {instance}"));
    }
    match holder {
        None | Some("terminated") if since > PATIENCE => Decision::Detach,
        None | Some("terminated") => {
            Decision::Wait(format!("{id} is still attached to {instance}, which is terminated"))
        }
        Some("shutting-down" | "stopping") => {
            Decision::Wait(format!("{id} is held by {instance}, which is shutting down"))
        }
        Some(state) => Decision::Wait(format!(
            "{id} is held by {instance}, which is {state}: it is never taken from an instance that may still use it; \
             if {instance} should not be, terminate it"
        )),
    }
}

/// The volumes that are attached, by the etcd cluster whose data they hold.
pub type AttachedVolumes = BTreeMap<String, AttachedVolume>;

/// The step. In a folder there are no volumes.
pub async fn run(agent: &Agent, control_plane: &ControlPlaneConfig) -> Result<AttachedVolumes, StepError> {
    let mut volumes = VolumeAttachments::of(control_plane);
    let attach = async || {
        let (value, changed) = volumes.attempt(agent).await?;
        Ok::<_, VolumeError>(Done { value, changed })
    };
    Ok(agent.on_machine(STEP, attach).await?.unwrap_or_default())
}

/// Takes the volumes of all members that a master holds.
#[derive(Debug)]
pub struct VolumeAttachments(Vec<(EtcdConfig, VolumeAttachment)>);

impl VolumeAttachments {
    /// Of a master.
    pub fn of(control_plane: &ControlPlaneConfig) -> Self {
        let places = (0..).zip(control_plane.etcd_clusters());
        Self(places.map(|(place, etcd)| (etcd.clone(), VolumeAttachment::new(place))).collect())
    }

    /// One try for each, side by side. Returns whether this boot attached one of them. Fails unless all are there: of
    /// several errors with that of the first.
    pub async fn attempt(&mut self, agent: &Agent) -> Result<(AttachedVolumes, bool), VolumeError> {
        let Agent { host, ec2, identity, .. } = agent;
        let tries = self.0.iter_mut().map(|(etcd, volume)| async {
            (etcd.name.clone(), volume.attempt(host, ec2, identity, etcd).await)
        });
        let (mut all, mut changed) = (AttachedVolumes::new(), false);
        for (etcd, attached) in futures::future::join_all(tries).await {
            let (attached, is_new) = attached?;
            changed |= is_new;
            all.insert(etcd, attached);
        }
        Ok((all, changed))
    }
}

/// A volume that is attached to this instance, and its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedVolume {
    /// What EC2 says about it.
    pub volume: Volume,
    /// The block device.
    pub device: PathBuf,
}

/// Takes the volume of an etcd member; remembers across tries what it waits for and since when.
#[derive(Debug, Default)]
pub struct VolumeAttachment {
    seen: Option<(Volume, Instant)>,
    attached: bool,
    /// Which of the free device names it takes. Those that are attached side by side take different ones, whichever of
    /// them comes first.
    place: usize,
}

impl VolumeAttachment {
    /// For the volume in a place among a master's.
    fn new(place: usize) -> Self {
        Self { place, ..Self::default() }
    }

    /// One try: finds the volume, decides, acts, and looks for the device. Returns whether this boot attached it.
    pub async fn attempt(
        &mut self,
        host: &Host,
        ec2: &Ec2,
        identity: &InstanceIdentity,
        etcd: &EtcdConfig,
    ) -> Result<(AttachedVolume, bool), VolumeError> {
        let volume = find(ec2, identity, etcd).await?;
        let since = self.since(&volume);
        let other = volume
            .attachment
            .as_ref()
            .map(|attachment| &attachment.instance)
            .filter(|id| **id != identity.id);
        let holder = match other {
            Some(instance) => ec2.instance_state(instance).await.map_err(VolumeError::Aws)?,
            None => None,
        };
        match decide(&volume, &identity.id, holder.as_deref(), since) {
            Decision::Refuse => Err(VolumeError::Unusable { volume: volume.id, state: volume.state }),
            Decision::Wait(reason) => Err(VolumeError::Held(reason)),
            Decision::Detach => {
                let instance = other.cloned().unwrap_or_default();
                ec2.detach(&volume.id, &instance).await.map_err(VolumeError::Aws)?;
                Err(VolumeError::Held(format!(
                    "{} is being detached from {instance}, which is terminated",
                    volume.id
                )))
            }
            Decision::Attach => {
                let asked = self.attach(ec2, identity, &volume).await?;
                // The kernel says so sooner than the API.
                match wait_for_device(host, &volume.id, &asked).await? {
                    Some(device) => Ok((AttachedVolume { volume, device }, true)),
                    None => Err(VolumeError::NotThere { volume: volume.id, state: "attaching".to_owned() }),
                }
            }
            Decision::Ours => self.recognise(host, ec2, identity, volume, since).await,
        }
    }

    /// Returns the device name that was asked for.
    async fn attach(
        &mut self,
        ec2: &Ec2,
        identity: &InstanceIdentity,
        volume: &Volume,
    ) -> Result<String, VolumeError> {
        let me = ec2.instance(&identity.id).await.map_err(VolumeError::Aws)?;
        let used = me.map(|me| me.devices).unwrap_or_default();
        let device = free_device_name(&used, self.place).ok_or(VolumeError::NoDeviceName)?;
        ec2.attach(&volume.id, &identity.id, &device).await.map_err(VolumeError::Aws)?;
        self.attached = true;
        Ok(device)
    }

    async fn recognise(
        &mut self,
        host: &Host,
        ec2: &Ec2,
        identity: &InstanceIdentity,
        volume: Volume,
        since: Duration,
    ) -> Result<(AttachedVolume, bool), VolumeError> {
        let Some(attachment) = volume.attachment.clone() else {
            return Err(VolumeError::NotThere { volume: volume.id, state: volume.state });
        };
        // Once the device is there, it doesn't matter what EC2 still says.
        if let Some(device) = find_device(host, &volume.id, &attachment.device)? {
            return Ok((AttachedVolume { volume, device }, self.attached));
        }
        if since > STUCK && attachment.state == "attaching" {
            tracing::warn!(
                volume = volume.id,
                device = attachment.device,
                "stuck while attaching: detached, to try another name"
            );
            ec2.detach(&volume.id, &identity.id).await.map_err(VolumeError::Aws)?;
        }
        Err(VolumeError::NotThere { volume: volume.id, state: attachment.state })
    }

    /// How long the volume has been as it is now.
    fn since(&mut self, volume: &Volume) -> Duration {
        match &self.seen {
            Some((seen, since)) if seen.attachment == volume.attachment => since.elapsed(),
            _ => {
                self.seen = Some((volume.clone(), Instant::now()));
                Duration::ZERO
            }
        }
    }
}

async fn find(ec2: &Ec2, identity: &InstanceIdentity, etcd: &EtcdConfig) -> Result<Volume, VolumeError> {
    let key = tags::etcd_volume(&etcd.name);
    let mut volumes = ec2.volumes((&key, &etcd.member), &identity.zone).await.map_err(VolumeError::Aws)?;
    volumes.retain(|volume| !matches!(volume.state.as_str(), "deleting" | "deleted"));
    let tag = format!("{key}={}", etcd.member);
    let zone = identity.zone.clone();
    match volumes.len() {
        0 => Err(VolumeError::None { tag, zone }),
        1 => Ok(volumes.remove(0)),
        _ => {
            let ids: Vec<String> = volumes.into_iter().map(|volume| volume.id).collect();
            Err(VolumeError::Several { tag, zone, volumes: ids.join(", ") })
        }
    }
}

/// A recommended device name that the instance doesn't use: of the free ones that in a place, or the last. `/dev/sdf` and
/// `/dev/xvdf` are the same.
fn free_device_name(used: &BTreeSet<String>, place: usize) -> Option<String> {
    let names = DEVICE_LETTERS.map(|letter| (format!("/dev/sd{letter}"), format!("/dev/xvd{letter}")));
    let free = names.filter(|(scsi, xen)| !used.contains(scsi) && !used.contains(xen));
    free.map(|(scsi, _)| scsi).take(place + 1).last()
}

/// Finds the block device of an attached volume; `None` while it isn't there yet.
///
/// On Nitro that is the NVMe controller whose serial is the volume's id. Without such a controller it is udev's link
/// by the same id, and on Xen the device by the name that was asked for. A device that has a serial must have the
/// right one, however it was found: links may be stale.
pub(super) fn find_device(host: &Host, volume: &str, asked: &str) -> Result<Option<PathBuf>, VolumeError> {
    let serial = volume.replace('-', "");
    if let Some(controller) = controller_with_serial(host, &serial) {
        let device = host.path("/dev").join(format!("{controller}n1"));
        return if device.exists() { verified(host, &device, volume, &serial).map(Some) } else { Ok(None) };
    }
    let link = host.path("/dev/disk/by-id").join(format!("nvme-Amazon_Elastic_Block_Store_{serial}"));
    if link.exists() {
        return verified(host, &link, volume, &serial).map(Some);
    }
    let letters =
        asked.trim_start_matches("/dev/").trim_start_matches("xvd").trim_start_matches("sd").to_owned();
    let xen = host.path("/dev").join(format!("xvd{letters}"));
    if !letters.is_empty() && xen.exists() && host.path("/sys/block").join(format!("xvd{letters}")).exists() {
        return verified(host, &xen, volume, &serial).map(Some);
    }
    Ok(None)
}

/// Looks often, for a few seconds, for the device of a volume that was just attached.
async fn wait_for_device(host: &Host, volume: &str, asked: &str) -> Result<Option<PathBuf>, VolumeError> {
    let started = Instant::now();
    while started.elapsed() < SOON {
        if let Some(device) = find_device(host, volume, asked)? {
            return Ok(Some(device));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(None)
}

fn controller_with_serial(host: &Host, serial: &str) -> Option<String> {
    let controllers = fs_err::read_dir(host.path("/sys/class/nvme")).ok()?;
    controllers.filter_map(Result::ok).find_map(|controller| {
        let found = fs_err::read_to_string(controller.path().join("serial")).ok()?;
        (found.trim() == serial).then(|| controller.file_name().to_string_lossy().into_owned())
    })
}

/// The device behind a path, if it is a block device and its serial, where it has one, is the volume's.
fn verified(host: &Host, path: &Path, volume: &str, serial: &str) -> Result<PathBuf, VolumeError> {
    let wrong = |reason: String| VolumeError::WrongDevice {
        device: path.display().to_string(),
        volume: volume.to_owned(),
        reason,
    };
    let device = fs_err::canonicalize(path).map_err(|error| wrong(error.to_string()))?;
    let found = serial_of(host, &device).map_err(|error| wrong(error.to_string()))?;
    match found {
        Some(found) if found != serial => Err(wrong(format!("its serial is {found}"))),
        _ => Ok(device),
    }
}

/// The serial of an opened block device, by its number rather than by its name.
fn serial_of(host: &Host, device: &Path) -> std::io::Result<Option<String>> {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let metadata = fs_err::File::open(device)?.metadata()?;
    if !metadata.file_type().is_block_device() {
        return Err(std::io::Error::other("it is not a block device"));
    }
    let number = metadata.rdev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let path = host.path("/sys/dev/block").join(format!("{major}:{minor}/device/serial"));
    match fs_err::read_to_string(path) {
        Ok(serial) => Ok(Some(serial.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
