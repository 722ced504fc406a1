//! The machine image: its layers, and the layer that this harness puts on top.
//!
//! The image is made by `image/build` with the provisioning scripts that Packer runs on AWS; nothing of it knows
//! that it will be booted in a container. What a container needs beside it is in the folder `layer`, and is laid
//! over the image as one more layer of the overlay.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::command;

/// Why the image could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The image could not be built.
    #[error("the machine image can't be built")]
    Build(#[source] command::Error),
    /// Its description can't be understood.
    #[error("{path} doesn't describe an image")]
    Describe {
        /// Where the description came from.
        path: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// One of its layers is not there.
    #[error("{path} names a layer that is not there: {layer}")]
    Missing {
        /// Where the description came from.
        path: String,
        /// The layer.
        layer: PathBuf,
    },
    /// A file could not be read or written.
    #[error("the harness's layer can't be made")]
    File(#[from] std::io::Error),
    /// The image's containerd configuration can't be understood.
    #[error("{path} is not valid TOML")]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// The merged containerd configuration can't be written.
    #[error("containerd's configuration can't be written")]
    Render(#[from] toml::ser::Error),
}

/// An image as `image/build` describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The AMI's name.
    pub image_name: String,
    /// The AMI's tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// The layers' directories, the lowest first.
    pub layers: Vec<PathBuf>,
    /// containerd's store with the baked container images; by default the one in the topmost layer that has one.
    #[serde(default)]
    pub containerd_store: Option<PathBuf>,
}

/// Files of the harness's layer: path, mode, content.
const FILES: [(&str, u32, &str); 9] = [
    ("usr/lib/localcloud/prepare", 0o755, include_str!("../layer/prepare")),
    ("usr/lib/localcloud/login", 0o755, include_str!("../layer/login")),
    ("etc/systemd/system/localcloud.service", 0o644, include_str!("../layer/localcloud.service")),
    ("etc/systemd/system/localcloud-login.service", 0o644, include_str!("../layer/login.service")),
    (
        "etc/systemd/system/windlass-bootstrap.service.d/50-localcloud.conf",
        0o644,
        include_str!("../layer/endpoint.conf"),
    ),
    (
        "etc/systemd/system/containerd.service.d/50-localcloud.conf",
        0o644,
        include_str!("../layer/limits.conf"),
    ),
    ("etc/systemd/system/kubelet.service.d/50-localcloud.conf", 0o644, include_str!("../layer/limits.conf")),
    ("etc/kubernetes/kubelet.conf.d/50-localcloud.conf", 0o644, include_str!("../layer/kubelet.conf")),
    ("etc/systemd/journald.conf.d/99-localcloud.conf", 0o644, "[Journal]\nReadKMsg=no\n"),
];

/// Units of the harness's own, and what starts them.
const WANTED: [(&str, &str); 2] =
    [("sysinit.target", "localcloud.service"), ("multi-user.target", "localcloud-login.service")];

/// Units that need what a container doesn't have: devices, clocks, modules, a network to configure. And the one that makes
/// host keys of every kind, which takes a machine as long as its whole boot: `layer/login` makes one.
const MASKED: [&str; 27] = [
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udev-trigger.service",
    "systemd-udev-settle.service",
    "systemd-modules-load.service",
    "systemd-timesyncd.service",
    "chrony.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-networkd-wait-online.service",
    "systemd-resolved.service",
    "networking.service",
    "ifupdown-pre.service",
    "systemd-logind.service",
    "console-getty.service",
    "getty.target",
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-binfmt.service",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-firstboot.service",
    "sshd-keygen.service",
];

impl Image {
    /// Builds the image with `image/build` of this package, or finds it built.
    pub async fn build() -> Result<Self, Error> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/image/build");
        let agent = agent();
        let description = match &agent {
            Some(agent) => command::run_aloud(&["env", agent, script]).await,
            None => command::run_aloud(&[script]).await,
        };
        let description = description.map_err(Error::Build)?;
        parse(script, &description)
    }

    /// Reads an image's description from a file.
    pub fn read(path: &Path) -> Result<Self, Error> {
        parse(&path.display().to_string(), &fs::read_to_string(path)?)
    }

    /// Holds the image's layers: `image/build` removes old ones, but none whose folder is locked. Instances are
    /// booted from them for as long as a cloud lives, so it keeps these files as long.
    pub fn hold(&self) -> Result<Vec<fs::File>, Error> {
        let hold = |layer: &PathBuf| {
            let missing = || Error::Missing { path: self.image_name.clone(), layer: layer.clone() };
            let folder = fs::File::open(layer).map_err(|_| missing())?;
            rustix::fs::flock(&folder, FlockOperation::NonBlockingLockShared).map_err(|_| missing())?;
            Ok(folder)
        };
        self.layers.iter().map(hold).collect()
    }

    /// The baked containerd store, where the image has one.
    pub fn containerd_store(&self) -> Option<PathBuf> {
        self.containerd_store.clone().or_else(|| self.topmost("var/lib/containerd"))
    }

    /// The path's topmost version among the layers.
    fn topmost(&self, path: &str) -> Option<PathBuf> {
        self.layers.iter().rev().map(|layer| layer.join(path)).find(|path| path.exists())
    }

    /// Makes the harness's layer for this image in `directory`, which must not exist.
    pub fn make_layer(&self, directory: &Path) -> Result<(), Error> {
        for (path, mode, content) in FILES {
            write(&directory.join(path), mode, content)?;
        }
        let units = directory.join("etc/systemd/system");
        for unit in MASKED {
            symlink("/dev/null", units.join(unit))?;
        }
        for (target, unit) in WANTED {
            let wants = units.join(format!("{target}.wants"));
            fs::create_dir_all(&wants)?;
            symlink(format!("../{unit}"), wants.join(unit))?;
        }
        if let Some(path) = self.topmost("etc/containerd/config.toml") {
            let merged = containerd_configuration(&fs::read_to_string(&path)?)
                .map_err(|error| error.unwrap_or_named(path))?;
            write(&directory.join("etc/containerd/config.toml"), 0o644, &merged)?;
        }
        Ok(())
    }
}

/// The variable that tells `image/build` which agent to take: the one that was built beside this program, unless
/// the variable is set already.
fn agent() -> Option<String> {
    if std::env::var_os("AGENT_BINARY").is_some() {
        return None;
    }
    let program = std::env::current_exe().ok()?;
    // A test's program is one folder further down.
    let folders = program.ancestors().skip(1).take(2);
    let agent = folders.map(|folder| folder.join("windlass-bootstrap")).find(|agent| agent.is_file())?;
    Some(format!("AGENT_BINARY={}", agent.display()))
}

fn parse(path: &str, description: &str) -> Result<Image, Error> {
    let image: Image = serde_json::from_str(description)
        .map_err(|source| Error::Describe { path: path.to_owned(), source })?;
    match image.layers.iter().find(|layer| !layer.is_dir()) {
        Some(layer) => Err(Error::Missing { path: path.to_owned(), layer: layer.clone() }),
        None => Ok(image),
    }
}

fn write(path: &Path, mode: u32, content: &str) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, content)?;
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Why two configurations could not be merged.
enum MergeError {
    Parse(toml::de::Error),
    Render(toml::ser::Error),
}

impl MergeError {
    fn unwrap_or_named(self, path: PathBuf) -> Error {
        match self {
            Self::Parse(source) => Error::Configuration { path, source: Box::new(source) },
            Self::Render(source) => Error::Render(source),
        }
    }
}

/// The image's containerd configuration with what a container needs laid over it. containerd 1 replaces a
/// plug-in's whole section by an imported one, so an import of the few keys would lose the image's own.
fn containerd_configuration(image: &str) -> Result<String, MergeError> {
    let mut configuration: toml::Table = image.parse().map_err(MergeError::Parse)?;
    let own = match configuration.get("version").and_then(toml::Value::as_integer) {
        Some(version) if version >= 3 => include_str!("../layer/containerd-3.toml"),
        _ => include_str!("../layer/containerd-2.toml"),
    };
    merge(&mut configuration, own.parse().map_err(MergeError::Parse)?);
    toml::to_string(&configuration).map_err(MergeError::Render)
}

fn merge(onto: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (onto.get_mut(&key), value) {
            (Some(toml::Value::Table(old)), toml::Value::Table(new)) => merge(old, new),
            (_, value) => drop(onto.insert(key, value)),
        }
    }
}

/// Copies containerd's store for one instance: its immutable files, the content and the snapshots of images,
/// are hard links; the databases and everything else are real copies.
pub fn copy_store(from: &Path, to: &Path) -> std::io::Result<()> {
    copy_directory(from, to, Path::new(""))
}

fn copy_directory(from: &Path, to: &Path, below: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    let owner = |path: &Path| fs::symlink_metadata(path);
    chown_like(to, &owner(from)?)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let below = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_directory(&source, &target, &below)?;
        } else if is_immutable(&below) {
            link_or_copy(&source, &target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
        } else {
            fs::copy(&source, &target)?;
            chown_like(&target, &owner(&source)?)?;
        }
    }
    Ok(())
}

/// Whether containerd never changes what is at this path of its store.
fn is_immutable(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.contains("content.v1.content/blobs/") || (text.contains("/snapshots/") && text.contains("/fs/"))
}

fn link_or_copy(source: &Path, target: &Path) -> std::io::Result<()> {
    match fs::hard_link(source, target) {
        Err(error) if error.kind() == ErrorKind::CrossesDevices => {
            let metadata = fs::symlink_metadata(source)?;
            if metadata.is_symlink() {
                return symlink(fs::read_link(source)?, target);
            }
            fs::copy(source, target)?;
            chown_like(target, &metadata)
        }
        result => result,
    }
}

fn chown_like(path: &Path, metadata: &std::fs::Metadata) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    std::os::unix::fs::lchown(path, Some(metadata.uid()), Some(metadata.gid()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn no_limit_of_a_unit_is_one_that_systemd_can_t_read() {
        let limits: Vec<(&str, &str)> = FILES
            .iter()
            .flat_map(|(_, _, text)| text.lines())
            .filter(|line| line.starts_with("Limit"))
            .filter_map(|line| line.split_once('='))
            .collect();
        assert!(limits.len() >= 6, "{limits:?}");
        let readable = |value: &str| value == "infinity" || value.parse::<u64>().is_ok();
        assert!(limits.iter().all(|(_, value)| readable(value)), "{limits:?}");
    }

    #[test]
    fn the_image_s_containerd_configuration_keeps_what_the_harness_does_not_name() {
        let image = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"pause:3\"\n\
                     [plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc.options]\nSystemdCgroup = true\n";
        let merged: toml::Table = containerd_configuration(image).ok().unwrap().parse().unwrap();
        let plugin = &merged["plugins"]["io.containerd.grpc.v1.cri"];
        assert_eq!(plugin["sandbox_image"].as_str(), Some("pause:3"));
        assert_eq!(plugin["restrict_oom_score_adj"].as_bool(), Some(true));
        assert_eq!(
            plugin["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"].as_bool(),
            Some(false)
        );
    }

    #[test]
    fn a_store_shares_its_content_and_owns_its_databases() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        let blob = "io.containerd.content.v1.content/blobs/sha256/abc";
        let database = "io.containerd.metadata.v1.bolt/meta.db";
        write(&from.join(blob), 0o444, "content").unwrap();
        write(&from.join(database), 0o600, "names").unwrap();
        copy_store(&from, &to).unwrap();
        let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
        assert_eq!(inode(from.join(blob)), inode(to.join(blob)));
        assert_ne!(inode(from.join(database)), inode(to.join(database)));
        assert_eq!(fs::read_to_string(to.join(database)).unwrap(), "names");
    }

    #[test]
    fn a_layer_that_is_held_can_not_be_locked_for_removal() {
        let layer = tempfile::tempdir().unwrap();
        let layers = vec![layer.path().to_owned()];
        let image =
            Image { image_name: "image".to_owned(), tags: BTreeMap::new(), layers, containerd_store: None };
        let remove = || {
            let mut command = std::process::Command::new("flock");
            command.args(["--exclusive", "--nonblock"]).arg(layer.path()).arg("true").status().unwrap()
        };
        let held = image.hold().unwrap();
        assert!(!remove().success());
        drop(held);
        assert!(remove().success());
    }
}
