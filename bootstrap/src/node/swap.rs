//! Machines have no swap.
//!
//! The kubelet doesn't start beside it (`failSwapOn`), and what is secret on a tmpfs can get onto a disk by it where the
//! kernel is older than 6.4 and knows no `noswap` (tmpfs(5)). The image has none; an operator's image, a snapshot of a
//! machine or additional user data may. So it goes before the first secret comes.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::agent::Agent;
use crate::host::Host;
use crate::host::command::{Command, CommandError};
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Turns swap off.
pub const STEP: Step = Step::new("ensure_no_swap", Duration::from_mins(5));

/// The kernel's table of swap files and devices (proc_swaps(5)).
const TABLE: &str = "/proc/swaps";

/// How long one of them may take: all that is on it comes back into memory.
const LIMIT: Duration = Duration::from_mins(2);

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// The table.
    #[error("can't see whether the machine has swap")]
    Read(#[source] FileError),
    /// One that stays.
    #[error("the swap on {} can't be turned off, beside which the kubelet doesn't start", path.display())]
    Off {
        /// Its file or device.
        path: PathBuf,
        /// Why.
        #[source]
        source: CommandError,
    },
}

impl Classed for SwapError {
    fn class(&self) -> Class {
        Class::Passing
    }
}

/// The step.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    STEP.run(&agent.reporter, async || ensure(&agent.host).await.map(Done::changed_if)).await
}

/// Turns off what is on. Returns whether there was any.
async fn ensure(host: &Host) -> Result<bool, SwapError> {
    let table = file::read(&host.path(TABLE)).map_err(SwapError::Read)?.unwrap_or_default();
    let on = active(&table);
    for path in &on {
        let command = Command::new("/usr/sbin/swapoff").argument(path.to_string_lossy()).limit(LIMIT);
        host.run(command).await.map_err(|source| SwapError::Off { path: path.clone(), source })?;
    }
    Ok(!on.is_empty())
}

/// The files and devices in the table, below its heading. The kernel writes blanks in their names as `\040`.
fn active(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n').skip(1);
    let names = lines.filter_map(|line| line.split(u8::is_ascii_whitespace).next());
    names.filter(|name| !name.is_empty()).map(|name| OsString::from_vec(unescaped(name)).into()).collect()
}

fn unescaped(name: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        let is_octal =
            |digits: &&[u8]| byte == b'\\' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit));
        let code = after.get(..3).filter(is_octal).and_then(|digits| std::str::from_utf8(digits).ok());
        let (byte, after) = match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => (escaped, &after[3..]),
            None => (byte, after),
        };
        plain.push(byte);
        rest = after;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";

    /// A machine with this table, and what the agent ran on it.
    async fn ensured(table: Option<&str>) -> (bool, String) {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        if let Some(table) = table {
            std::fs::create_dir_all(host.path("/proc")).unwrap();
            std::fs::write(host.path(TABLE), table).unwrap();
        }
        let changed = ensure(&host).await.unwrap();
        let commands = std::fs::read_to_string(host.path("/run/windlass/commands")).unwrap_or_default();
        (changed, commands)
    }

    #[tokio::test]
    async fn every_swap_file_and_device_is_turned_off_whatever_it_is_called() {
        let table = format!(
            "{HEADING}/dev/nvme1n1                           partition\t2097148\t0\t-2\n\
             /var/my\\040swap                         file\t\t1048572\t12\t-3\n"
        );
        let (changed, commands) = ensured(Some(&table)).await;
        assert!(changed);
        assert_eq!(commands, "/usr/sbin/swapoff /dev/nvme1n1\n/usr/sbin/swapoff /var/my swap\n");
    }

    #[tokio::test]
    async fn a_machine_without_swap_is_left_alone() {
        for table in [None, Some(""), Some(HEADING)] {
            assert_eq!(ensured(table).await, (false, String::new()), "{table:?}");
        }
    }

    #[test]
    fn a_backslash_that_escapes_nothing_is_one() {
        assert_eq!(unescaped(br"/a\134b\09\x"), br"/a\b\09\x");
    }
}
