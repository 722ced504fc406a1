//! Long-lived children: the region, and one systemd-nspawn for each instance.
//!
//! Each is started by a thread of its own that stays until the child ends. So the child's parent-death signal,
//! which the kernel binds to the thread that forked, comes when this process dies and never before; and its end
//! is noticed by waiting, not by looking.

use std::os::fd::OwnedFd;
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::sync::watch;

/// Why a child could not be started.
#[derive(Debug, thiserror::Error)]
#[error("can't start {name}")]
pub struct Error {
    name: String,
    #[source]
    source: std::io::Error,
}

/// A child that is killed when this process dies.
#[derive(Clone, Debug)]
pub struct Process {
    pid: u32,
    handle: Arc<OwnedFd>,
    ended: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts `line` in a thread named `name`, with its stdout and stderr in one pipe.
    pub fn start(
        name: &str,
        line: &[String],
        environment: &[(String, String)],
    ) -> Result<(Self, ChildStdout), Error> {
        let failed = |source| Error { name: name.to_owned(), source };
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(line);
        command.envs(environment.iter().map(|(key, value)| (key, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let (started, start) = std::sync::mpsc::channel();
        let (end, ended) = watch::channel(None);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || match spawn(&mut command) {
                Err(error) => drop(started.send(Err(error))),
                Ok((mut child, handle, stdout)) => {
                    drop(started.send(Ok((child.id(), handle, stdout))));
                    end.send_replace(child.wait().ok());
                }
            })
            .map_err(failed)?;
        let (pid, handle, stdout) = start
            .recv()
            .unwrap_or_else(|_| Err(std::io::Error::other("its thread ended at once")))
            .map_err(failed)?;
        Ok((Self { pid, handle: Arc::new(handle), ended }, stdout))
    }

    /// Takes charge of a process that another child has forked. It ends with that one, and how isn't known.
    pub fn adopt(name: &str, pid: u32) -> Result<Self, Error> {
        let failed = |source| Error { name: name.to_owned(), source };
        let handle = Arc::new(handle(pid).map_err(failed)?);
        let (end, ended) = watch::channel(None);
        let polled = handle.clone();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let mut one = [PollFd::new(&*polled, PollFlags::IN)];
                while let Err(rustix::io::Errno::INTR) = poll(&mut one, None) {}
                drop(end);
            })
            .map_err(failed)?;
        Ok(Self { pid, handle, ended })
    }

    /// The child's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Kills the child; one that has ended already is left alone.
    pub fn kill(&self) {
        if let Err(error) = pidfd_send_signal(&*self.handle, Signal::KILL) {
            tracing::debug!(pid = self.pid, %error, "it had ended already");
        }
    }

    /// Waits until the child has ended; returns how, where that is known.
    pub async fn ended(&mut self) -> Option<ExitStatus> {
        // The sender is dropped only by a thread that is done waiting.
        let _ = self.ended.wait_for(Option::is_some).await;
        *self.ended.borrow()
    }
}

/// A child that is killed when it is dropped.
#[derive(Debug)]
pub struct Owned(pub Process);

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.kill();
    }
}

fn spawn(command: &mut Command) -> std::io::Result<(std::process::Child, OwnedFd, ChildStdout)> {
    // One pipe for both, so that what a child says stays in order.
    let (reader, writer) = std::io::pipe()?;
    command.stderr(writer.try_clone()?).stdout(writer);
    let mut child = command.spawn()?;
    command.stderr(Stdio::null()).stdout(Stdio::null());
    match handle(child.id()) {
        Ok(handle) => Ok((child, handle, ChildStdout::from(OwnedFd::from(reader)))),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// A handle of the process of this id, which stays this process's even when the id is given to another.
pub fn handle(pid: u32) -> std::io::Result<OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| std::io::Error::other("not a process id"))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, Read as _};

    use super::*;

    #[tokio::test]
    async fn a_child_is_heard_and_its_end_is_noticed() {
        let line = ["sh", "-c", "echo out; echo err >&2; exit 3"].map(str::to_owned);
        let (mut process, mut stdout) = Process::start("speaker", &line, &[]).unwrap();
        assert_eq!(process.ended().await.and_then(|status| status.code()), Some(3));
        let mut said = String::new();
        stdout.read_to_string(&mut said).unwrap();
        assert_eq!(said, "out\nerr\n");
    }

    #[tokio::test]
    async fn a_killed_child_has_ended() {
        let line = ["sleep", "600"].map(str::to_owned);
        let (mut process, _stdout) = Process::start("sleeper", &line, &[]).unwrap();
        process.kill();
        assert_eq!(process.ended().await.and_then(|status| status.code()), None);
    }

    #[tokio::test]
    async fn what_a_child_has_forked_is_killed_when_it_is_dropped_and_its_end_is_noticed() {
        let line = ["sh", "-c", "sleep 600 & echo $!; wait"].map(str::to_owned);
        let (_parent, stdout) = Process::start("parent", &line, &[]).unwrap();
        let mut pid = String::new();
        std::io::BufReader::new(stdout).read_line(&mut pid).unwrap();
        let forked = Process::adopt("sleeper", pid.trim().parse().unwrap()).unwrap();
        let mut watched = forked.clone();
        drop(Owned(forked));
        assert_eq!(watched.ended().await, None);
    }
}
