//! The forward proxy through which the machine reaches the Internet: services of systemd's, containerd and the kubelet among
//! them, learn of it by their environment, logins by theirs, and apt by its configuration. The agent's own calls to AWS go by
//! the user data ([`crate::aws`]).

use std::fmt::Write as _;
use std::time::Duration;

use crate::agent::Agent;
use crate::contract::egress_proxy::EgressProxy;
use crate::host::Host;
use crate::host::command::{Command, CommandError};
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Tells the machine of the proxy.
pub const STEP: Step = Step::new("ensure_egress_proxy", Duration::from_mins(1));

/// What systemd gives every service that it starts from then on (systemd-system.conf(5), `DefaultEnvironment=`).
const SERVICES: &str = "/etc/systemd/system.conf.d/90-windlass-egress-proxy.conf";
/// What logins get (`pam_env(8)`). Others may write there, too.
const LOGINS: &str = "/etc/environment";
/// What apt goes by.
const APT: &str = "/etc/apt/apt.conf.d/91-windlass-egress-proxy";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum EgressProxyError {
    /// A file.
    #[error("the forward proxy (`egressProxy`) can't be written down")]
    Write(#[source] FileError),
    /// systemd.
    #[error("systemd can't be told of the forward proxy (`egressProxy`)")]
    Reload(#[source] CommandError),
}

impl Classed for EgressProxyError {
    fn class(&self) -> Class {
        Class::Passing
    }
}

/// The step; nothing is reported of it where the specification has no proxy.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let Some(proxy) = &agent.config.egress_proxy else { return Ok(()) };
    STEP.run(&agent.reporter, async || ensure(&agent.host, proxy).await.map(Done::changed_if)).await
}

/// Writes it down, and has systemd read it. Returns whether anything was another before.
async fn ensure(host: &Host, proxy: &EgressProxy) -> Result<bool, EgressProxyError> {
    let write = |path: &str, text: String| {
        file::ensure(&host.path(path), text, file::PUBLIC).map_err(EgressProxyError::Write)
    };
    let former = file::read(&host.path(LOGINS)).map_err(EgressProxyError::Write)?.unwrap_or_default();
    let mut changed = write(LOGINS, logins(&String::from_utf8_lossy(&former), proxy))?;
    changed |= write(APT, apt(proxy))?;
    if !write(SERVICES, services(proxy))? {
        return Ok(changed);
    }
    // A reload reads systemd's own configuration, too; services that run already keep the environment that they have.
    for arguments in [vec!["daemon-reload"], vec!["try-restart", "--no-block", "containerd.service"]] {
        let tell = Command::new("/usr/bin/systemctl").arguments(arguments);
        host.run(tell).await.map_err(EgressProxyError::Reload)?;
    }
    Ok(true)
}

fn services(proxy: &EgressProxy) -> String {
    let mut text = "[Manager]\nDefaultEnvironment=".to_owned();
    for (index, (name, value)) in proxy.variables().into_iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        // systemd takes `%` for the beginning of a specifier.
        let _ = write!(text, "{space}\"{name}={}\"", value.replace('%', "%%"));
    }
    text.push('\n');
    text
}

/// The environment of logins with the proxy in it; what others wrote there stays.
fn logins(former: &str, proxy: &EgressProxy) -> String {
    let variables = proxy.variables();
    let is_of_others = |line: &&str| {
        let assigned = line.trim_start().trim_start_matches("export ").split('=').next().unwrap_or_default();
        !variables.iter().any(|(name, _)| *name == assigned.trim())
    };
    let mut text = String::new();
    for line in former.lines().filter(is_of_others) {
        let _ = writeln!(text, "{line}");
    }
    for (name, value) in &variables {
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

fn apt(proxy: &EgressProxy) -> String {
    let url = &proxy.url;
    format!("Acquire::http::Proxy \"{url}\";\nAcquire::https::Proxy \"{url}\";\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy() -> EgressProxy {
        let no_proxy = ["127.0.0.1", "172.20.0.0/16", ".cluster.local"].map(str::to_owned).into();
        EgressProxy { url: "http://proxy.example.com:3128".to_owned(), no_proxy }
    }

    fn read(host: &Host, path: &str) -> String {
        std::fs::read_to_string(host.path(path)).unwrap()
    }

    #[tokio::test]
    async fn services_logins_and_apt_learn_of_the_proxy_once() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        assert!(ensure(&host, &proxy()).await.unwrap());
        assert!(!ensure(&host, &proxy()).await.unwrap());
        let services = read(&host, SERVICES);
        let expected = "[Manager]\nDefaultEnvironment=\"HTTP_PROXY=http://proxy.example.com:3128\" \
                        \"HTTPS_PROXY=http://proxy.example.com:3128\" \"NO_PROXY=127.0.0.1,172.20.0.0/16,.cluster.local\" ";
        assert!(services.starts_with(expected), "{services}");
        assert!(services.ends_with("\"no_proxy=127.0.0.1,172.20.0.0/16,.cluster.local\"\n"), "{services}");
        assert!(read(&host, APT).contains("Acquire::https::Proxy \"http://proxy.example.com:3128\";"));
        let commands = read(&host, "/run/windlass/commands");
        assert_eq!(
            commands,
            "/usr/bin/systemctl daemon-reload\n/usr/bin/systemctl try-restart --no-block containerd.service\n"
        );
    }

    #[tokio::test]
    async fn what_others_wrote_for_logins_stays_and_another_proxy_takes_the_former_one_s_place() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        file::ensure(&host.path(LOGINS), "EDITOR=vi\nexport http_proxy=http://old\n", file::PUBLIC).unwrap();
        assert!(ensure(&host, &proxy()).await.unwrap());
        let other = EgressProxy { url: "http://10.0.0.9:8080".to_owned(), ..proxy() };
        assert!(ensure(&host, &other).await.unwrap());
        let logins = read(&host, LOGINS);
        assert_eq!(
            logins,
            "EDITOR=vi\nHTTP_PROXY=http://10.0.0.9:8080\nHTTPS_PROXY=http://10.0.0.9:8080\n\
             NO_PROXY=127.0.0.1,172.20.0.0/16,.cluster.local\nhttp_proxy=http://10.0.0.9:8080\n\
             https_proxy=http://10.0.0.9:8080\nno_proxy=127.0.0.1,172.20.0.0/16,.cluster.local\n"
        );
    }
}
