//! An instance's machine: a systemd-nspawn container on an overlay of the image, in its own network namespace and
//! cgroup.
//!
//! The overlay is mounted in a mount namespace that only the container's supervisor lives in, and the supervisor
//! is the first process of a process namespace: when it dies, for whatever reason, the kernel takes everything.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fs_err as fs;
use rustix::process::{Signal, pidfd_send_signal};
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixDatagram;

use crate::cgroup::Cgroup;
use crate::command;
use crate::image::{self, Image};
use crate::namespace::Namespace;
use crate::process::{self, Process};
use crate::region::Region;
use crate::world::Instance;

/// How long a machine may take from its first process to its own view of the kernel.
const PREPARATION: Duration = Duration::from_mins(1);
/// How long a machine's supervisor may take to end after the machine.
const SUPERVISOR: Duration = Duration::from_secs(5);
/// How often the console is sent to the region, at most.
const CONSOLE_EVERY: Duration = Duration::from_millis(500);

/// Why a machine could not be launched or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its directory could not be made.
    #[error("can't make the directory of {instance}")]
    Directory {
        /// The instance.
        instance: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// Its cgroup could not be made.
    #[error("can't make the cgroup of {instance}")]
    Cgroup {
        /// The instance.
        instance: String,
        /// The system's reason.
        #[source]
        source: std::io::Error,
    },
    /// systemd-nspawn could not be started.
    #[error(transparent)]
    Start(#[from] process::Error),
    /// The container ended before it ran.
    #[error("the container of {instance} ended while it started; its console ends with: {console}")]
    Ended {
        /// The instance.
        instance: String,
        /// The console's last lines.
        console: String,
    },
    /// The container did not get as far as it should in time.
    #[error("the container of {instance} is not there after {} s", PREPARATION.as_secs())]
    Late {
        /// The instance.
        instance: String,
    },
}

/// What every machine of a cloud has in common.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The cloud's name.
    pub cloud: String,
    /// Where the instances' directories are.
    pub directory: PathBuf,
    /// Where the instances' console logs are.
    pub consoles: PathBuf,
    /// Where consoles are sent to.
    pub region: Region,
}

/// A running machine.
#[derive(Clone, Debug)]
pub struct Machine {
    process: Process,
    leader: u32,
    handle: Arc<OwnedFd>,
}

impl Setup {
    /// The directory of an instance.
    pub fn instance_directory(&self, instance: &str) -> PathBuf {
        self.directory.join(instance)
    }

    /// Takes away what a dead machine, or one that never ran, leaves: its cgroup and its disk.
    pub fn clean(&self, instance: &str) -> std::io::Result<()> {
        let name = format!("{}-{instance}", self.cloud);
        Cgroup::with_prefix(&name)?.remove()?;
        remove_propagation(&name);
        match fs::remove_dir_all(self.instance_directory(instance)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Boots an instance whose network namespace is there: from its own disk where it has run before, else from the
    /// image. Returns when its first process runs and sees what an
    /// instance's kernel would show.
    pub async fn launch(
        &self,
        instance: &Instance,
        image: &Image,
        resolver: Ipv4Addr,
    ) -> Result<Machine, Error> {
        let id = &instance.id;
        let unusable = |source| Error::Directory { instance: id.clone(), source };
        let directory = self.instance_directory(id);
        let layers = image.layers.clone();
        let overlay = overlay_options(layers.len());
        let (at, store) = (directory.clone(), image.containerd_store());
        let resolver = resolver_configuration(instance, resolver);
        let name = format!("{}-{id}", self.cloud);
        let before = name.clone();
        let made = tokio::task::spawn_blocking(move || {
            Cgroup::with_prefix(&before)?.remove()?;
            make_directory(&at, &layers, store, &resolver)
        });
        made.await.map_err(std::io::Error::other).and_then(|result| result).map_err(unusable)?;
        let cgroup =
            Cgroup::create(&name).map_err(|source| Error::Cgroup { instance: id.clone(), source })?;
        let notices = free_notices(&name).await.map_err(unusable)?;
        let mut line = supervisor(&directory, overlay, &cgroup);
        line.extend(container(&directory, &name, &instance.host_name()));
        let environment = [
            ("SYSTEMD_NSPAWN_API_VFS_WRITABLE".to_owned(), "yes".to_owned()),
            ("NOTIFY_SOCKET".to_owned(), format!("@{name}")),
        ];
        let (process, stdout) = Process::start(&name, &line, &environment)?;
        let console = self.consoles.join(format!("{id}.log"));
        tokio::spawn(keep_console(stdout, console.clone(), self.region.clone(), id.clone()));
        let (leader, handle) = started(id, &process, &notices, &cgroup, &console).await?;
        tokio::spawn(drain(notices, process.clone()));
        Ok(Machine { process, leader, handle: Arc::new(handle) })
    }
}

/// The overlay's options: the layers by their short names, the topmost first.
fn overlay_options(layers: usize) -> String {
    let lower: Vec<String> = (0..layers).rev().map(|number| format!("layers/{number}")).collect();
    format!("lowerdir={},upperdir=upper,workdir=work", lower.join(":"))
}

/// The part of the command line that makes the supervisor: the first process of a process namespace, in a mount
/// namespace of its own.
fn supervisor(directory: &Path, overlay: String, cgroup: &Cgroup) -> Vec<String> {
    let unshare =
        ["unshare", "--mount", "--propagation=slave", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"];
    let mut line: Vec<String> = unshare.map(str::to_owned).to_vec();
    line.push(format!("--wd={}", directory.display()));
    line.extend(["sh", "-c", include_str!("../layer/launch"), "launch"].map(str::to_owned));
    line.push(overlay);
    line.extend(cgroup.directories().iter().map(|directory| directory.display().to_string()));
    line.push("--".to_owned());
    line
}

/// The part of the command line that makes the container.
fn container(directory: &Path, name: &str, host_name: &str) -> Vec<String> {
    let nspawn = [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        "--directory=root",
        "--console=read-only",
        "--notify-ready=yes",
        "--register=no",
        "--keep-unit",
        "--capability=all",
        "--system-call-filter=@keyring bpf perf_event_open @module",
        "--bind=/dev/kmsg",
        // The host's swap is none of the machine's, and must never be turned off by one.
        "--bind-ro=/dev/null:/proc/swaps",
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
    ];
    let mut line: Vec<String> = nspawn.map(str::to_owned).to_vec();
    line.push(format!("--machine={name}"));
    line.push(format!("--hostname={host_name}"));
    line.push(format!("--network-namespace-path={}", Namespace::named(name).path().display()));
    for (outside, inside) in [("containerd", "/var/lib/containerd"), ("kubelet", "/var/lib/kubelet")] {
        line.push(format!("--bind={}:{inside}", directory.join(outside).display()));
    }
    line
}

/// Waits until the instance's first process runs and is prepared.
async fn started(
    instance: &str,
    process: &Process,
    notices: &UnixDatagram,
    cgroup: &Cgroup,
    console: &Path,
) -> Result<(u32, OwnedFd), Error> {
    let mut waiting = process.clone();
    let started = async {
        let leader = leader(notices, cgroup).await;
        prepared(leader).await;
        leader
    };
    let leader = tokio::select! {
        leader = started => leader,
        _ = waiting.ended() => {
            return Err(Error::Ended { instance: instance.to_owned(), console: last_lines(console) });
        }
        () = tokio::time::sleep(PREPARATION) => {
            process.kill();
            return Err(Error::Late { instance: instance.to_owned() });
        }
    };
    match process::handle(leader) {
        Ok(handle) => Ok((leader, handle)),
        Err(_) => Err(Error::Ended { instance: instance.to_owned(), console: last_lines(console) }),
    }
}

impl Machine {
    /// The process id, on this machine, of the instance's first process.
    pub fn leader(&self) -> u32 {
        self.leader
    }

    /// The process whose end is the machine's end.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Kills the machine at once, as a terminated instance is gone at once: its first process, and so all of
    /// them. The supervisor ends by itself then; one that doesn't is killed too.
    pub fn kill(&self) {
        if let Err(error) = pidfd_send_signal(&*self.handle, Signal::KILL) {
            tracing::debug!(leader = self.leader, %error, "it had ended already");
        }
        let process = self.process.clone();
        tokio::spawn(async move {
            tokio::time::sleep(SUPERVISOR).await;
            process.kill();
        });
    }

    /// Runs a shell script inside the instance's mount namespace.
    pub async fn mounts_script(&self, script: &str) -> Result<String, command::Error> {
        let target = format!("--target={}", self.leader);
        command::run(&["nsenter", &target, "--mount", "--", "sh", "-ec", script]).await
    }
}

/// systemd-nspawn leaves a directory of its own for each machine that was killed.
pub fn remove_propagation(machine: &str) {
    let path = Path::new("/run/systemd/nspawn/propagate").join(machine);
    if let Err(error) = std::fs::remove_dir(&path) {
        tracing::debug!(path = %path.display(), %error, "not removed");
    }
}

/// What EC2's DHCP gives: the VPC's resolver and the region's domain.
fn resolver_configuration(instance: &Instance, resolver: Ipv4Addr) -> String {
    format!("nameserver {resolver}\nsearch {}\n", instance.domain())
}

/// Makes the directory that the machine runs in; one that was switched off has it.
fn make_directory(
    directory: &Path,
    layers: &[PathBuf],
    store: Option<PathBuf>,
    resolver: &str,
) -> std::io::Result<()> {
    if directory.join("containerd").exists() {
        return Ok(());
    }
    for part in ["layers", "upper/etc", "work", "root", "kubelet"] {
        fs::create_dir_all(directory.join(part))?;
    }
    for (number, layer) in layers.iter().enumerate() {
        // Short names: the kernel limits the length of the overlay's options.
        symlink(layer, directory.join(format!("layers/{number}")))?;
    }
    let resolver_path = directory.join("upper/etc/resolv.conf");
    fs::write(resolver_path, resolver)?;
    match store {
        Some(store) => image::copy_store(&store, &directory.join("containerd")),
        None => fs::create_dir_all(directory.join("containerd")),
    }
}

/// The socket on which systemd-nspawn tells that the container runs.
fn notices(name: &str) -> std::io::Result<UnixDatagram> {
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let socket = std::os::unix::net::UnixDatagram::bind_addr(&address)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

/// The same for a machine whose predecessor has just ended, and whose socket is just being closed.
async fn free_notices(name: &str) -> std::io::Result<UnixDatagram> {
    for _ in 0..20 {
        match notices(name) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            result => return result,
        }
    }
    notices(name)
}

/// Waits for the notice that the container's first process exists, and finds that process.
async fn leader(notices: &UnixDatagram, cgroup: &Cgroup) -> u32 {
    let mut buffer = vec![0; 4096];
    loop {
        let Ok(length) = notices.recv(&mut buffer).await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
        if text.contains("X_NSPAWN_LEADER_PID=")
            && let Some(leader) = cgroup.processes().into_iter().find(|pid| is_leader(*pid))
        {
            return leader;
        }
    }
}

/// Takes the notices that follow until the machine ends; systemd-nspawn complains when nobody does.
async fn drain(notices: UnixDatagram, mut process: Process) {
    let mut buffer = vec![0; 4096];
    loop {
        tokio::select! {
            _ = process.ended() => return,
            received = notices.recv(&mut buffer) => {
                if received.is_err() {
                    return;
                }
            }
        }
    }
}

/// Whether the process is the first one of a process namespace two below ours: the supervisor's is the one
/// between, and the id in systemd-nspawn's notice is counted there.
fn is_leader(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let ids: Vec<&str> = ids.split_whitespace().collect();
    ids.len() == 3 && ids.last() == Some(&"1")
}

/// Waits until the instance has its own view of the kernel.
async fn prepared(leader: u32) {
    let marker = PathBuf::from(format!("/proc/{leader}/root/run/localcloud/prepared"));
    while !marker.exists() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Writes the console to its file as it comes, and sends it on to the region.
async fn keep_console(stdout: std::process::ChildStdout, path: PathBuf, region: Region, instance: String) {
    let Ok(mut stdout) = tokio::process::ChildStdout::from_std(stdout) else { return };
    let Ok(file) = fs::OpenOptions::new().create(true).append(true).open(&path) else { return };
    let mut file = file;
    let mut unsent: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 8192];
    // When what is not sent yet came first.
    let mut waiting: Option<Instant> = None;
    loop {
        let due =
            waiting.map_or(Duration::from_hours(1), |since| CONSOLE_EVERY.saturating_sub(since.elapsed()));
        match tokio::time::timeout(due, stdout.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(length)) => {
                let bytes = buffer.get(..length).unwrap_or_default();
                let _ = std::io::Write::write_all(&mut file, bytes);
                unsent.extend_from_slice(bytes);
                waiting = waiting.or_else(|| Some(Instant::now()));
            }
            Err(_) if waiting.take().is_some() => {
                region.report_console(&instance, std::mem::take(&mut unsent)).await;
            }
            Err(_) => {}
        }
    }
    if waiting.is_some() {
        region.report_console(&instance, unsent).await;
    }
}

/// The end of a console, for an error message.
fn last_lines(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.get(lines.len().saturating_sub(3)..).unwrap_or_default().join(" | ")
}
