//! Further volumes of a group's instances, and where they are mounted.

use std::collections::BTreeSet;

use windlass_bootstrap::config::MountConfig;

use super::volume::VolumeFields;
use super::{Report, Resolved, all};
use crate::spec::cluster::DataVolume;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{InstanceGroupSpec, VolumeMountSpec, VolumeSpec};

const VOLUMES: &str = "spec.volumes";
const MOUNTS: &str = "spec.volumeMounts";

/// How many volumes a group may have besides its root volume. Most types take 28 attachments in all, network interfaces and
/// masters' volumes among them (EC2 User Guide, "Amazon EBS volume limits for Amazon EC2 instances").
const MOST: usize = 20;

/// The file systems that the machine image can make.
const FILESYSTEMS: [&str; 2] = ["ext4", "xfs"];

pub(super) fn data_volumes(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<Vec<DataVolume>> {
    let written = spec.volumes.as_deref().unwrap_or_default();
    if written.len() > MOST {
        let message = format!("an instance can have {MOST} further volumes at most");
        report.push(Problem::at(VOLUMES, message).hint("make fewer that are larger"));
    }
    let mut seen = BTreeSet::new();
    let volumes = written.iter().enumerate().map(|(index, volume)| {
        let path = format!("{VOLUMES}[{index}]");
        let device = device(&path, volume.device.as_ref(), report);
        if let Ok(device) = &device
            && !seen.insert(letter(device).map(str::to_owned))
        {
            let message = format!("another volume is called `{device}`");
            report.push(Problem::at(format!("{path}.device"), message).hint("give each its own device name"));
        }
        let ebs = fields(volume).resolve(&path, report);
        let stays = volume.delete_on_termination == Some(false);
        Ok(DataVolume { device: device?, ebs: ebs?, stays })
    });
    let mut volumes = all(volumes)?;
    volumes.sort_by(|one, other| one.device.cmp(&other.device));
    Ok(volumes)
}

fn fields(volume: &VolumeSpec) -> VolumeFields<'_> {
    VolumeFields {
        size: ("size", volume.size),
        kind: ("type", Some(volume.r#type.as_deref().unwrap_or("gp3"))),
        iops: ("iops", volume.iops),
        throughput: ("throughput", volume.throughput),
        encrypted: ("encrypted", Some(volume.encrypted.unwrap_or(true))),
        key: ("key", volume.key.as_deref()),
    }
}

/// What is left of a device name: `/dev/sdb` and `/dev/xvdb` are the same.
fn letter(device: &str) -> Option<&str> {
    device.strip_prefix("/dev/sd").or_else(|| device.strip_prefix("/dev/xvd"))
}

fn device(path: &str, written: Option<&String>, report: &mut Report<'_>) -> Resolved<String> {
    const HINT: &str = "write `/dev/sdb` to `/dev/sdz`, or `/dev/xvdb` to `/dev/xvdz`";
    let path = format!("{path}.device");
    let Some(written) = written else { return Err(report.missing(path, HINT)) };
    if letter(written).is_some_and(|letter| letter.len() == 1 && ("b"..="z").contains(&letter)) {
        return Ok(written.clone());
    }
    let message = format!("`{written}` is not the device name of a further volume");
    Err(report.push(Problem::at(path, message).hint(HINT)))
}

pub(super) fn mounts(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<Vec<MountConfig>> {
    let devices: Vec<&String> = spec.volumes.iter().flatten().filter_map(|it| it.device.as_ref()).collect();
    let (mut seen, mut paths) = (BTreeSet::new(), BTreeSet::new());
    let mounts = spec.volume_mounts.iter().flatten().enumerate().map(|(index, mount)| {
        let at = format!("{MOUNTS}[{index}]");
        let device = mount_device(&at, mount, &devices, report);
        let filesystem = filesystem(&at, mount, report);
        let path = mount_path(&at, mount, report);
        let twice = device.as_ref().is_ok_and(|device| !seen.insert(device.clone()))
            || path.as_ref().is_ok_and(|path| !paths.insert(path.clone()));
        if twice {
            let problem = Problem::at(&at, "another mount is of this device, or at this path");
            report.push(problem.hint("mount each volume at one place of its own"));
        }
        let format_options = options(&at, "formatOptions", mount.format_options.as_ref(), report);
        let mount_options = options(&at, "mountOptions", mount.mount_options.as_ref(), report);
        Ok(MountConfig {
            device: device?,
            filesystem: filesystem?,
            path: path?,
            format_options: format_options?,
            mount_options: mount_options?,
        })
    });
    let mut mounts = all(mounts)?;
    // What is below another mount is mounted after it.
    mounts.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(mounts)
}

fn mount_device(
    at: &str,
    mount: &VolumeMountSpec,
    devices: &[&String],
    report: &mut Report<'_>,
) -> Resolved<String> {
    let path = format!("{at}.device");
    match &mount.device {
        Some(device) if devices.contains(&device) => Ok(device.clone()),
        Some(device) => {
            let message = format!("no volume of the group is called `{device}`");
            Err(report.push(Problem::at(path, message).hint("name the `device` of one of `volumes`")))
        }
        None => Err(report.missing(path, "name the `device` of one of `volumes`")),
    }
}

fn filesystem(at: &str, mount: &VolumeMountSpec, report: &mut Report<'_>) -> Resolved<String> {
    let path = format!("{at}.filesystem");
    let hint = format!("write {}", FILESYSTEMS.join(" or "));
    match &mount.filesystem {
        Some(written) if FILESYSTEMS.contains(&written.as_str()) => Ok(written.clone()),
        Some(written) => {
            let message = format!("the machine image can't make the file system `{written}`");
            Err(report.push(Problem::at(path, message).hint(hint)))
        }
        None => Err(report.missing(path, &hint)),
    }
}

/// What a mount would hide: what the machine image holds, and what the agent and the control plane keep.
const TAKEN: [&str; 19] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/opt/cni",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv/kubernetes",
    "/sys",
    "/usr",
    "/var/lib/cloud",
    "/var/lib/containerd",
    "/var/lib/dpkg",
    "/var/lib/systemd",
    "/var/lib/windlass",
];

fn mount_path(at: &str, mount: &VolumeMountSpec, report: &mut Report<'_>) -> Resolved<String> {
    const HINT: &str = "write a path like `/data`";
    let field = format!("{at}.path");
    let Some(path) = &mount.path else { return Err(report.missing(field, HINT)) };
    let plain = |part: &str| {
        !["", ".", ".."].contains(&part)
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+@".contains(&byte))
    };
    if !path.strip_prefix('/').is_some_and(|parts| parts.split('/').all(plain)) {
        let message = format!("`{path}` is not a place for a volume");
        return Err(report.push(Problem::at(field, message).hint(HINT)));
    }
    let is_within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let etcd = path.starts_with("/var/lib/etcd");
    if etcd || TAKEN.iter().any(|taken| is_within(path, taken) || is_within(taken, path)) {
        let message = format!("a volume at `{path}` would hide what an instance needs");
        return Err(report.push(Problem::at(field, message).hint("mount it elsewhere, such as at `/data`")));
    }
    Ok(path.clone())
}

/// Words for `mkfs` and `mount`: none of them is more than one.
fn options(
    at: &str,
    name: &str,
    written: Option<&Vec<String>>,
    report: &mut Report<'_>,
) -> Resolved<Vec<String>> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+=,:/@^".contains(&byte);
    all(written.into_iter().flatten().enumerate().map(|(index, option)| {
        if !option.is_empty() && option.bytes().all(known) {
            return Ok(option.clone());
        }
        let problem =
            Problem::at(format!("{at}.{name}[{index}]"), format!("`{option}` is not an option of one word"));
        Err(report.push(problem.hint("write each word of the options as an item of its own")))
    }))
}
