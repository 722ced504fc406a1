//! One cgroup for each instance, in every hierarchy that the machine has: version 1, hybrid, or version 2.
//!
//! systemd-nspawn makes the cgroup it runs in the root of the instance's view, so instances neither see nor
//! share each other's groups; and whatever an instance leaves running is found by its cgroup.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

/// A cgroup: its directory in each hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgroup {
    directories: Vec<PathBuf>,
}

/// The hierarchies named by the text of `/proc/mounts`: their mount points.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mut points: Vec<PathBuf> = fields
        .filter(|fields| matches!(fields.get(2), Some(&("cgroup" | "cgroup2"))))
        .filter_map(|fields| fields.get(1).map(PathBuf::from))
        .collect();
    points.sort();
    points.dedup();
    points
}

fn mounted() -> std::io::Result<Vec<PathBuf>> {
    Ok(hierarchies(&fs::read_to_string("/proc/mounts")?))
}

impl Cgroup {
    /// Makes the cgroup of this name in every hierarchy.
    pub fn create(name: &str) -> std::io::Result<Self> {
        let directories = mounted()?.into_iter().map(|point| point.join(name)).collect();
        let cgroup = Self { directories };
        for directory in &cgroup.directories {
            hand_down_controllers(directory);
            fs::create_dir_all(directory)?;
            inherit_cpuset(directory)?;
        }
        Ok(cgroup)
    }

    /// The cgroups whose names start with `prefix`, each in the hierarchies where it exists.
    pub fn with_prefix(prefix: &str) -> std::io::Result<Self> {
        let mut directories = Vec::new();
        for point in mounted()? {
            for entry in fs::read_dir(&point)? {
                let entry = entry?;
                if entry.file_name().to_string_lossy().starts_with(prefix) && entry.file_type()?.is_dir() {
                    directories.push(entry.path());
                }
            }
        }
        Ok(Self { directories })
    }

    /// Its directory in each hierarchy.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// The processes in it and below.
    pub fn processes(&self) -> Vec<u32> {
        let mut processes = Vec::new();
        for directory in &self.directories {
            for directory in descendants(directory) {
                let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
                processes.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
            }
        }
        processes.sort_unstable();
        processes.dedup();
        processes
    }

    /// Removes it with everything below. Processes that still end are waited for, for two seconds.
    pub fn remove(&self) -> std::io::Result<()> {
        let mut result = Ok(());
        for directory in &self.directories {
            for _ in 0..40 {
                result = remove_tree(directory);
                if result.is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        result
    }
}

/// Version 2 gives a group only the controllers that the group above it hands down.
fn hand_down_controllers(directory: &Path) {
    let Some(parent) = directory.parent() else { return };
    let controllers = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        let handed = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
        if let Err(error) = handed {
            tracing::debug!(controller, %error, "instances do without");
        }
    }
}

/// A cpuset of version 1 starts empty, and an empty one takes no process.
fn inherit_cpuset(directory: &Path) -> std::io::Result<()> {
    let Some(parent) = directory.parent() else { return Ok(()) };
    if !directory.join("cgroup.clone_children").exists() || !directory.join("cpuset.cpus").exists() {
        return Ok(());
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        fs::write(directory.join(file), fs::read_to_string(parent.join(file))?)?;
    }
    fs::write(directory.join("cgroup.clone_children"), "1")
}

/// The directory and all below it, deepest first.
fn descendants(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let children = fs::read_dir(directory).into_iter().flatten().flatten();
    for child in children.filter(|child| child.file_type().is_ok_and(|kind| kind.is_dir())) {
        found.extend(descendants(&child.path()));
    }
    found.push(directory.to_owned());
    found
}

fn remove_tree(directory: &Path) -> std::io::Result<()> {
    for directory in descendants(directory) {
        match fs::remove_dir(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let mounts = "/dev/vda / ext4 rw 0 0\n\
                      cgroup /sys/fs/cgroup/pids cgroup rw,pids 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let points = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup/unified"].map(PathBuf::from);
        assert_eq!(hierarchies(mounts), points);
    }
}
