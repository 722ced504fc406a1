//! The machine that the agent works on: its files, its programs, its size.
//!
//! Every path is resolved under a root, so that the agent can run into a folder that stands for a machine. Of the other
//! rooms it uses [`progress`](crate::progress) only.

pub mod capacity;
pub mod command;
pub mod file;
pub mod root;

use std::path::{Path, PathBuf};

use crate::host::command::{Command, CommandError, Commands, Output};
use crate::host::root::Root;

/// Its files, and the programs that may be run on it.
#[derive(Clone, Debug)]
pub struct Host {
    root: Root,
    commands: Commands,
}

impl Host {
    /// This machine.
    pub fn machine() -> Self {
        Self { root: Root::machine(), commands: Commands::Machine }
    }

    /// A folder that stands for a machine: commands are written to `/run/windlass/commands` below it, not run.
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        let root = Root::folder(path);
        let commands = Commands::Recorded(root.path(root::RUN).join("commands"));
        Self { root, commands }
    }

    /// A folder that stands for a machine whose programs are real: devices and mounts are this machine's.
    #[cfg(test)]
    pub(crate) fn folder_with_programs(path: impl Into<PathBuf>) -> Self {
        Self { root: Root::folder(path), commands: Commands::Machine }
    }

    /// Whether devices, mounts and addresses are real.
    pub fn is_machine(&self) -> bool {
        self.root.is_machine()
    }

    /// An absolute host path, resolved under the root.
    pub fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        self.root.path(absolute)
    }

    /// Runs a program to its end.
    pub async fn run(&self, command: Command) -> Result<Output, CommandError> {
        self.commands.run(command).await
    }
}
