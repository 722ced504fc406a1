//! etcd's own programs, out of the image that its pods run: they are of the same version as the etcd that runs.
//!
//! They are static programs, so that the image need only be mounted, and they run in units of systemd's with limits of their
//! own: what they do beside a master must not be felt by it, and is ended with its unit.

use std::path::PathBuf;
use std::time::Duration;

use crate::host::Host;
use crate::host::command::{Command, CommandError, Output};
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::progress::retry::{Class, Classed};

/// How long mounting an image may take.
const MOUNT: Duration = Duration::from_mins(1);

/// What a unit may use (systemd.resource-control(5)).
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of one processor, in percent.
    pub cpu_percent: u32,
    /// In MiB: beyond that it is killed.
    pub memory_mib: u64,
    /// Then it is ended.
    pub time: Duration,
}

/// Why a program of etcd's didn't do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The image.
    #[error("etcd's programs can't be brought out of its image {image}")]
    Image {
        /// Which.
        image: String,
        /// What was said.
        #[source]
        source: CommandError,
    },
    /// A folder.
    #[error("there is no place for etcd's programs")]
    File(#[source] FileError),
    /// The program.
    #[error("etcd's program ended badly")]
    Program(#[source] CommandError),
}

impl Classed for ProgramError {
    fn class(&self) -> Class {
        Class::Passing
    }
}

/// The programs, for as long as they are needed. Dropping this leaves the image mounted: [`EtcdPrograms::leave`] ends it.
#[derive(Debug)]
pub struct EtcdPrograms {
    host: Host,
    mounted: PathBuf,
    folder: PathBuf,
}

impl EtcdPrograms {
    /// Mounts an image, to read only. What an earlier agent has left mounted is taken away first.
    pub async fn of_image(host: &Host, image: &str) -> Result<Self, ProgramError> {
        let at = host.path(root::RUN).join("etcd-image");
        unmount(host, &at).await;
        file::ensure_folder(&at, 0o700).map_err(ProgramError::File)?;
        let mount = ctr(&["images", "mount", image, &at.display().to_string()]);
        let mounted = host.run(mount.limit(MOUNT)).await;
        mounted.map_err(|source| ProgramError::Image { image: image.to_owned(), source })?;
        Ok(Self { host: host.clone(), folder: at.join("usr/local/bin"), mounted: at })
    }

    /// Runs a program to its end, in a unit of this name.
    pub async fn run(
        &self,
        unit: &str,
        bounds: Bounds,
        program: &str,
        arguments: &[String],
    ) -> Result<Output, ProgramError> {
        let command = self.unit(unit, bounds, program, arguments, &["--wait", "--pipe"]);
        self.host.run(command.limit(bounds.time)).await.map_err(ProgramError::Program)
    }

    /// Starts a program, in a unit of this name.
    pub async fn start(
        &self,
        unit: &str,
        bounds: Bounds,
        program: &str,
        arguments: &[String],
    ) -> Result<(), ProgramError> {
        let command = self.unit(unit, bounds, program, arguments, &["--service-type=exec"]);
        self.host.run(command).await.map(drop).map_err(ProgramError::Program)
    }

    fn unit(&self, unit: &str, bounds: Bounds, program: &str, arguments: &[String], how: &[&str]) -> Command {
        let Bounds { cpu_percent, memory_mib, time } = bounds;
        // Swap would be a disk.
        let properties = [
            format!("CPUQuota={cpu_percent}%"),
            format!("MemoryMax={memory_mib}M"),
            "MemorySwapMax=0".to_owned(),
            "IOWeight=10".to_owned(),
            "Nice=10".to_owned(),
            format!("RuntimeMaxSec={}", time.as_secs()),
        ];
        Command::new("/usr/bin/systemd-run")
            .arguments(["--quiet", "--collect"])
            .argument(format!("--unit={unit}"))
            .arguments(how.iter().copied())
            .arguments(properties.iter().map(|property| format!("--property={property}")))
            .argument(self.folder.join(program).display().to_string())
            .arguments(arguments.iter().cloned())
    }

    /// What a unit that runs has used so far: the most memory in bytes, and seconds of a processor. Nothing of what this
    /// machine's systemd doesn't tell.
    pub async fn used(&self, unit: &str) -> (Option<u64>, Option<f64>) {
        let show = Command::new("/usr/bin/systemctl").arguments(["show", unit]);
        let show = show.arguments(["--property=MemoryPeak", "--property=CPUUsageNSec"]);
        let said = self.host.run(show).await.map(|output| output.stdout).unwrap_or_default();
        let value = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            // What isn't known is shown as a word, or as the largest number there is.
            line.and_then(|value| value.parse::<u64>().ok()).filter(|value| *value < u64::MAX)
        };
        let cpu = value("CPUUsageNSec").map(|nanoseconds| Duration::from_nanos(nanoseconds).as_secs_f64());
        (value("MemoryPeak"), cpu)
    }

    /// Ends a unit. That there is none is what was wanted.
    pub async fn stop(host: &Host, unit: &str) {
        let stop = Command::new("/usr/bin/systemctl").arguments(["stop", unit]).success(&[0, 5]);
        if let Err(error) = host.run(stop).await {
            tracing::warn!(unit, %error, "it could not be stopped");
        }
    }

    /// Takes the image away.
    pub async fn leave(self) {
        unmount(&self.host, &self.mounted).await;
    }
}

/// Nothing is mounted most of the time, and that is fine.
async fn unmount(host: &Host, at: &std::path::Path) {
    let at = at.display().to_string();
    let unmount = ctr(&["images", "unmount", "--rm", &at]).limit(MOUNT).success(&[0, 1]);
    if let Err(error) = host.run(unmount).await {
        tracing::debug!(%error, "no image to unmount");
    }
}

/// `ctr …`, in the namespace that the kubelet sees. Debian's package has it in another folder than upstream's release.
fn ctr(arguments: &[&str]) -> Command {
    let command = Command::new("/usr/bin/env").arguments(["ctr", "--namespace", "k8s.io"]);
    command.arguments(arguments.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn programs_run_within_bounds_out_of_the_image_that_etcd_runs() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let programs = EtcdPrograms::of_image(&host, "registry.k8s.io/etcd:3.6.16").await.unwrap();
        let bounds = Bounds { cpu_percent: 25, memory_mib: 512, time: Duration::from_mins(10) };
        programs.run("windlass-test", bounds, "etcdutl", &["version".to_owned()]).await.unwrap();
        programs.leave().await;
        let commands = std::fs::read_to_string(host.path("/run/windlass/commands")).unwrap();
        let lines: Vec<&str> = commands.lines().collect();
        let [before, mount, run, after] = lines.as_slice() else { panic!("{commands}") };
        assert!(before.contains("images unmount") && after.contains("images unmount"), "{commands}");
        assert!(mount.contains("images mount registry.k8s.io/etcd:3.6.16 "), "{commands}");
        for part in ["CPUQuota=25%", "MemoryMax=512M", "RuntimeMaxSec=600", "/usr/local/bin/etcdutl version"]
        {
            assert!(run.contains(part), "{part}: {run}");
        }
    }
}
