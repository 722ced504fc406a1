//! Who holds a lease: written so that a person knows whom to ask, and a machine whether they can still be there.

use std::env;
use std::fs;
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
    /// Its id.
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
    /// more. Of other machines nothing is known.
    pub fn is_gone(&self) -> bool {
        let (Some(theirs), Some(ours)) = (&self.process, Process::of(process::id())) else { return false };
        theirs.boot == ours.boot
            && theirs.namespace == ours.namespace
            && Process::of(theirs.id).as_ref() != Some(theirs)
    }
}

impl Process {
    /// The process of that id in this namespace, on Linux.
    fn of(id: u32) -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let namespace = fs::read_link("/proc/self/ns/pid").ok()?.to_str()?.to_owned();
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // proc(5): the name, in brackets, may hold anything; the state is field 3, the start time field 22.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        if fields.next()? == "Z" {
            return None;
        }
        let started = fields.nth(18)?.parse().ok()?;
        Some(Self { boot, namespace, id, started })
    }
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
