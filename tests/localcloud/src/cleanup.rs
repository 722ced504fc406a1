//! Taking away everything that a cloud left, whatever happened to the process that kept it.
//!
//! Nothing has to be remembered for that: processes are found by their cgroups, namespaces by their names, loop
//! devices by their files, mounts by their place.

use std::path::Path;
use std::process::Command;

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

use crate::cgroup::Cgroup;
use crate::{machine, namespace, volume};

/// Ends what is left of the cloud of this name in `directory`. Goes on after a failure; returns what could not be
/// done, each as a sentence.
pub fn sweep(cloud: &str, directory: &Path) -> Vec<String> {
    let prefix = format!("{cloud}-");
    let mut failures = Vec::new();
    let mut note = |what: &str, result: std::io::Result<()>| {
        if let Err(error) = result {
            failures.push(format!("{what}: {error}"));
        }
    };
    note("can't end the processes", end_processes(&prefix));
    note("can't remove the network namespaces", remove_namespaces(&prefix));
    note("can't unmount", unmount_below(directory));
    note("can't free the loop devices", free_loop_devices(&directory.join("volumes")));
    note("can't remove the directories", remove_directories(&prefix, directory));
    failures
}

fn end_processes(prefix: &str) -> std::io::Result<()> {
    for _ in 0..50 {
        let processes = Cgroup::with_prefix(prefix)?.processes();
        if processes.is_empty() {
            break;
        }
        for pid in processes.into_iter().filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Cgroup::with_prefix(prefix)?.remove()
}

fn remove_namespaces(prefix: &str) -> std::io::Result<()> {
    for name in names(Path::new(namespace::DIRECTORY), prefix)? {
        run(Command::new("ip").args(["netns", "delete", &name]))?;
    }
    let files = Path::new(namespace::FILES);
    for name in names(files, prefix)? {
        fs::remove_dir_all(files.join(name))?;
    }
    Ok(())
}

fn unmount_below(directory: &Path) -> std::io::Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1)).map(Path::new);
    for point in points.filter(|point| point.starts_with(directory)) {
        run(Command::new("umount").arg("--lazy").arg(point))?;
    }
    Ok(())
}

fn free_loop_devices(volumes: &Path) -> std::io::Result<()> {
    for device in volume::loop_devices(volumes)? {
        run(Command::new("losetup").arg("--detach").arg(device))?;
    }
    Ok(())
}

fn remove_directories(prefix: &str, directory: &Path) -> std::io::Result<()> {
    for machine in names(Path::new("/run/systemd/nspawn/propagate"), prefix)? {
        machine::remove_propagation(&machine);
    }
    for part in ["instances", "volumes", "layers"] {
        let part = directory.join(part);
        let remove = || match fs::remove_dir_all(&part) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        // A thread of the cloud itself may just be removing the same.
        remove().or_else(|_| remove())?;
    }
    match fs::remove_file(directory.join(crate::status::FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The names in a directory that start with `prefix`; none if there is no such directory.
fn names(directory: &Path, prefix: &str) -> std::io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let names: std::io::Result<Vec<String>> = names.collect();
    Ok(names?.into_iter().filter(|name| name.starts_with(prefix)).collect())
}

fn run(command: &mut Command) -> std::io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
