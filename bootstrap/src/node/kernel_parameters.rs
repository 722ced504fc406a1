//! Kernel parameters that the specification asks for. They stand where systemd applies them at each boot, behind those of the
//! image, and are applied at once. What Kubernetes' network needs ([`super::kernel`]) is set afterwards, whatever they say.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::agent::Agent;
use crate::host::Host;
use crate::host::command::{Command, CommandError};
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Sets the kernel parameters.
pub const STEP: Step = Step::new("ensure_kernel_parameters", Duration::from_mins(1));

/// Where they stand.
const FILE: &str = "/etc/sysctl.d/99-windlass-specification.conf";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum ParametersError {
    /// The file.
    #[error("the kernel parameters can't be written down")]
    Write(#[source] FileError),
    /// The kernel, or systemd.
    #[error("the kernel parameters of the specification (`sysctlParameters`) can't be set")]
    Set(#[source] CommandError),
}

impl Classed for ParametersError {
    fn class(&self) -> Class {
        Class::Passing
    }
}

/// The step; nothing is reported of it where the specification asks for none.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let parameters = &agent.config.kernel_parameters;
    if parameters.is_empty() {
        return Ok(());
    }
    STEP.run(&agent.reporter, async || ensure(&agent.host, parameters).await.map(Done::changed_if)).await
}

/// Writes them down and sets them. Returns whether they were others before.
async fn ensure(host: &Host, parameters: &BTreeMap<String, String>) -> Result<bool, ParametersError> {
    let mut text = String::new();
    for (name, value) in parameters {
        let _ = writeln!(text, "{name} = {value}");
    }
    let file = host.path(FILE);
    let changed = file::ensure(&file, text, file::PUBLIC).map_err(ParametersError::Write)?;
    let set = Command::new("/usr/lib/systemd/systemd-sysctl").argument(FILE);
    host.run(set).await.map_err(ParametersError::Set)?;
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parameters_are_written_down_and_set() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let parameters: BTreeMap<String, String> =
            [("vm.swappiness", "10"), ("net.ipv4.ip_local_port_range", "1024 65000")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into();
        assert!(ensure(&host, &parameters).await.unwrap());
        assert!(!ensure(&host, &parameters).await.unwrap());
        let written = std::fs::read_to_string(host.path(FILE)).unwrap();
        assert_eq!(written, "net.ipv4.ip_local_port_range = 1024 65000\nvm.swappiness = 10\n");
        let commands = std::fs::read_to_string(host.path("/run/windlass/commands")).unwrap();
        let set = format!("/usr/lib/systemd/systemd-sysctl {FILE}");
        assert_eq!(commands.matches(&set).count(), 2, "at each boot: {commands}");
    }
}
