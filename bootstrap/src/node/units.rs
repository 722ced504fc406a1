//! Units of systemd's that the specification asks for (`hooks`). They are started at each boot, before the kubelet is, and
//! nobody waits for them but what they say they come before.

use std::time::Duration;

use crate::agent::Agent;
use crate::contract::config::UnitConfig;
use crate::host::Host;
use crate::host::command::{Command, CommandError};
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Writes and starts the units.
pub const STEP: Step = Step::new("ensure_units", Duration::from_mins(3));

/// Where they are.
const FOLDER: &str = "/etc/systemd/system";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum UnitsError {
    /// The file of one.
    #[error("a unit of the specification (`hooks`) can't be written")]
    Write(#[source] FileError),
    /// systemd.
    #[error("systemd doesn't take a unit of the specification (`hooks`)")]
    Systemd(#[source] CommandError),
}

impl Classed for UnitsError {
    fn class(&self) -> Class {
        Class::Passing
    }
}

/// The step; nothing is reported of it where the specification asks for none.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let units = &agent.config.units;
    if units.is_empty() {
        return Ok(());
    }
    STEP.run(&agent.reporter, async || ensure(&agent.host, units).await.map(Done::changed_if)).await
}

/// Writes them, and has them started, or stopped. Returns whether one was another before.
async fn ensure(host: &Host, units: &[UnitConfig]) -> Result<bool, UnitsError> {
    let mut changed = false;
    for UnitConfig { name, text } in units {
        if let Some(text) = text {
            let path = host.path(FOLDER).join(name);
            changed |= file::ensure(&path, text, file::PUBLIC).map_err(UnitsError::Write)?;
        }
    }
    if changed {
        systemctl(host, &["daemon-reload"], &[0]).await?;
    }
    for UnitConfig { name, text } in units {
        match text {
            // What it says it comes before waits for it, as both are asked of systemd.
            Some(_) => systemctl(host, &["start", "--no-block", name], &[0]).await?,
            // 1, 5: there is none.
            None => systemctl(host, &["disable", "--now", name], &[0, 1, 5]).await?,
        }
    }
    Ok(changed)
}

async fn systemctl(host: &Host, arguments: &[&str], success: &'static [i32]) -> Result<(), UnitsError> {
    let command = Command::new("/usr/bin/systemctl").arguments(arguments.iter().copied()).success(success);
    let command = command.limit(Duration::from_mins(2));
    host.run(command).await.map(drop).map_err(UnitsError::Systemd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn units_are_written_and_started_at_each_boot_and_one_that_is_not_wanted_is_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let text = "[Service]\nType=oneshot\nExecStart=/bin/true\n";
        let units = [
            UnitConfig { name: "tune.service".into(), text: Some(text.into()) },
            UnitConfig { name: "motd-news.timer".into(), text: None },
        ];
        assert!(ensure(&host, &units).await.unwrap());
        assert!(!ensure(&host, &units).await.unwrap());
        assert_eq!(std::fs::read_to_string(host.path("/etc/systemd/system/tune.service")).unwrap(), text);
        assert!(!host.path("/etc/systemd/system/motd-news.timer").exists());
        let commands = std::fs::read_to_string(host.path("/run/windlass/commands")).unwrap();
        let start = "/usr/bin/systemctl start --no-block tune.service";
        let stop = "/usr/bin/systemctl disable --now motd-news.timer";
        let expected =
            ["/usr/bin/systemctl daemon-reload", start, stop, start, stop].map(|line| format!("{line}\n"));
        assert_eq!(commands, expected.concat());
    }
}
