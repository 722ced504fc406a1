//! Who holds a lease: written so that a person knows whom to ask, and a machine whether they can still be there.

use std::env;
use std::fs;
use std::io;
use std::path::Path;
use std::process;

use serde::{Deserialize, Serialize};

/// A process that works on a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The login name.
    pub user: String,
    /// The machine's name.
    pub host: String,
    /// The command, such as `update cluster`.
    pub command: String,
    /// Which process it is, where that can be told.
    pub process: Option<Process>,
}

/// A process of a boot of a machine, never to be mistaken for another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// The machine's boot.
    boot: String,
    /// The namespace that the id is of: containers count for themselves.
    namespace: String,
    /// The process's number in that namespace.
    id: u32,
    /// When it started, in ticks since the boot: ids are used again.
    started: u64,
}

impl Holder {
    /// This process.
    pub fn this_process(command: &str) -> Self {
        let user = env::var("USER").or_else(|_| env::var("LOGNAME")).ok().filter(|user| !user.is_empty());
        let host =
            fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| fs::read_to_string("/etc/hostname"));
        Self {
            user: user.unwrap_or_else(|| "somebody".to_owned()),
            host: host.map_or_else(|_| "an unknown machine".to_owned(), |host| host.trim().to_owned()),
            command: command.to_owned(),
            process: Process::of(process::id()),
        }
    }

    /// Whether the holder is certainly gone: it was a process of this very boot of this machine, and isn't there any
    /// more. Of other machines nothing is known, nor where `/proc` doesn't say everything.
    pub fn is_gone(&self) -> bool {
        self.is_gone_by(Path::new("/proc"))
    }

    fn is_gone_by(&self, proc: &Path) -> bool {
        let (Some(theirs), Some(ours)) = (&self.process, Process::of(process::id())) else { return false };
        theirs.boot == ours.boot && theirs.namespace == ours.namespace && theirs.has_ended(proc)
    }
}

impl Process {
    /// The process of that id in this namespace, on Linux.
    fn of(id: u32) -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let namespace = fs::read_link("/proc/self/ns/pid").ok()?.to_str()?.to_owned();
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let started = started(&stat)?;
        Some(Self { boot, namespace, id, started })
    }

    /// Whether the process isn't there any more. What can't be read, and what a `/proc` that hides processes doesn't show,
    /// says nothing.
    fn has_ended(&self, proc: &Path) -> bool {
        match fs::read_to_string(proc.join(self.id.to_string()).join("stat")) {
            Ok(stat) => is_zombie(&stat) || started(&stat).is_some_and(|started| started != self.started),
            Err(error) => is_absent(&error) && shows_all(proc),
        }
    }
}

/// A process that ends while it is read is ESRCH, one that has ended ENOENT.
fn is_absent(error: &io::Error) -> bool {
    const ESRCH: i32 = 3;
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(ESRCH)
}

/// Whether a `/proc` shows the processes of other users: not where it is mounted with `hidepid` (proc(5)).
fn shows_all(proc: &Path) -> bool {
    let Ok(mounts) = fs::read_to_string(proc.join("self/mountinfo")) else { return false };
    let mut options = mounts.lines().filter_map(|line| {
        let (mount, superblock) = line.split_once(" - ")?;
        // The mount point is field 5; behind the dash stand the type, the source, and the options of the file system.
        (mount.split(' ').nth(4)? == "/proc").then(|| superblock.split(' ').nth(2).unwrap_or_default())
    });
    // A later mount covers an earlier one.
    options.next_back().is_some_and(|options| {
        let hidden = options.split(',').find_map(|option| option.strip_prefix("hidepid="));
        matches!(hidden, None | Some("0" | "off"))
    })
}

/// What stands behind the name in `/proc/<id>/stat`, which is in brackets and may hold anything: the state is field 3 of
/// all, the start time field 22 (proc(5)).
fn fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten()
}

fn is_zombie(stat: &str) -> bool {
    fields(stat).next() == Some("Z")
}

fn started(stat: &str) -> Option<u64> {
    if is_zombie(stat) {
        return None;
    }
    fields(stat).nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_there_while_it_runs_and_gone_after() {
        let mut child = process::Command::new("sleep").arg("60").spawn().unwrap();
        let holder = Holder { process: Process::of(child.id()), ..Holder::this_process("test") };
        assert!(!holder.is_gone());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(holder.is_gone());
    }

    #[test]
    fn an_id_that_is_used_again_is_another_process() {
        let mut holder = Holder::this_process("test");
        assert!(!holder.is_gone());
        if let Some(process) = &mut holder.process {
            process.started += 1;
        }
        assert!(holder.is_gone());
    }

    /// A `/proc` with these mount options, and nothing else in it.
    fn proc_mounted_with(options: &str) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir(proc.path().join("self")).unwrap();
        let mounts = format!(
            "21 1 8:1 / / rw - ext4 /dev/root rw\n24 21 0:22 / /proc rw,nosuid shared:5 - proc proc {options}\n"
        );
        fs::write(proc.path().join("self/mountinfo"), mounts).unwrap();
        proc
    }

    #[test]
    fn a_holder_whose_proc_does_not_say_it_is_not_gone() {
        let holder = Holder::this_process("test");
        assert!(holder.is_gone_by(proc_mounted_with("rw").path()));
        assert!(holder.is_gone_by(proc_mounted_with("rw,hidepid=off").path()));
        for hidden in ["rw,hidepid=1", "rw,gid=3,hidepid=2", "rw,hidepid=invisible", "rw,hidepid=ptraceable"]
        {
            assert!(!holder.is_gone_by(proc_mounted_with(hidden).path()), "{hidden}");
        }
        // Without the list of mounts nobody can tell; and what is there and can't be read isn't gone.
        assert!(!holder.is_gone_by(tempfile::tempdir().unwrap().path()));
        let proc = proc_mounted_with("rw");
        fs::create_dir_all(proc.path().join(process::id().to_string()).join("stat")).unwrap();
        assert!(!holder.is_gone_by(proc.path()));
        let stat = proc.path().join(process::id().to_string()).join("stat");
        fs::remove_dir(&stat).unwrap();
        fs::write(&stat, "1 (x) S 0 damaged").unwrap();
        assert!(!holder.is_gone_by(proc.path()));
    }

    #[test]
    fn of_another_machine_nothing_is_known() {
        let mut holder = Holder::this_process("test");
        if let Some(process) = &mut holder.process {
            process.boot = "another".to_owned();
            process.started += 1;
        }
        assert!(!holder.is_gone());
        holder.process = None;
        assert!(!holder.is_gone());
    }
}
