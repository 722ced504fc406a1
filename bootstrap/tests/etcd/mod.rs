//! Members of the real etcd, each with a folder that stands for its volume's mount.

#![expect(clippy::unwrap_used, reason = "what a test stands on may fail the test")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use windlass_bootstrap::config::{EtcdConfig, EtcdPorts};

use crate::programs::program;

/// Keys that tests write.
pub(crate) const KEPT: [&str; 3] = ["/registry/a", "/registry/b", "/registry/c"];

/// How long a member is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn free_ports() -> EtcdPorts {
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    EtcdPorts { client: free(), peer: free(), metrics: free() }
}

/// How a member begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Begin {
    /// The members that there are already, if it joins them.
    pub(crate) joins: Option<String>,
    /// The folder with what it proves itself by, and clients to it: `ca.crt`, `server.crt`, `server.key`. Clients are let in
    /// without it.
    pub(crate) credentials: Option<PathBuf>,
}

/// A member that runs, until it is dropped: killed, as on a machine that loses its power.
pub(crate) struct Member {
    process: Child,
    endpoint: String,
    credentials: Option<PathBuf>,
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Member {
    pub(crate) fn start(mount: &Path, etcd: &EtcdConfig, begin: &Begin) -> Self {
        let (address, EtcdPorts { client, peer, .. }) = (etcd.members[&etcd.member], etcd.ports);
        let scheme = if begin.credentials.is_some() { "https" } else { "http" };
        let endpoint = format!("{scheme}://{address}:{client}");
        let peer_url = format!("https://{address}:{peer}");
        let founders = etcd.members.iter().filter(|(name, _)| !etcd.joining.contains(*name));
        let all = founders.map(|(name, address)| format!("{name}=https://{address}:{peer}"));
        let all = begin.joins.clone().unwrap_or_else(|| all.collect::<Vec<_>>().join(","));
        let state = if begin.joins.is_some() { "existing" } else { "new" };
        let log = std::fs::File::options().create(true).append(true).open(mount.join("log")).unwrap();
        let mut command = Command::new(program("etcd"));
        command
            .arg(format!("--name={}", etcd.member))
            .arg(format!("--data-dir={}", mount.join("data").display()))
            .args([format!("--listen-client-urls={endpoint}"), format!("--advertise-client-urls={endpoint}")])
            .args([
                format!("--listen-peer-urls={peer_url}"),
                format!("--initial-advertise-peer-urls={peer_url}"),
            ])
            .args([format!("--initial-cluster={all}"), format!("--initial-cluster-state={state}")]);
        match &begin.credentials {
            None => command.arg("--peer-auto-tls"),
            Some(folder) => command.args(["", "peer-"].iter().flat_map(|prefix| {
                let file =
                    |flag: &str, file: &str| format!("--{prefix}{flag}={}", folder.join(file).display());
                let client_auth = format!("--{prefix}client-cert-auth=true");
                let (authority, certificate) =
                    (file("trusted-ca-file", "ca.crt"), file("cert-file", "server.crt"));
                [client_auth, authority, certificate, file("key-file", "server.key")]
            })),
        };
        let process =
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { process, endpoint, credentials: begin.credentials.clone() }
    }

    pub(crate) fn try_run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut etcdctl = Command::new(program("etcdctl"));
        etcdctl.args(["--endpoints", &self.endpoint, "--command-timeout", "5s"]);
        if let Some(folder) = &self.credentials {
            let flags = [("cacert", "ca.crt"), ("cert", "server.crt"), ("key", "server.key")];
            etcdctl.args(flags.map(|(flag, file)| format!("--{flag}={}", folder.join(file).display())));
        }
        let output = etcdctl.args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Runs a command of etcdctl's until it succeeds, for half a minute.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            match self.try_run(arguments) {
                Ok(said) => return said,
                Err(error) if begun.elapsed() > PATIENCE => panic!("{arguments:?}: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(250)),
            }
        }
    }

    pub(crate) fn put(&self, key: &str) {
        assert_eq!(self.run(&["put", key, "value"]).trim(), "OK");
    }

    /// All keys that this member has itself.
    pub(crate) fn keys(&self) -> Vec<String> {
        let said = self.run(&["get", "", "--prefix", "--keys-only", "--consistency=s"]);
        said.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// The cluster's id and its revision.
    pub(crate) fn header(&self) -> (u64, i64) {
        let said = self.run(&["get", "none", "--write-out=json"]);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        (said["header"]["cluster_id"].as_u64().unwrap(), said["header"]["revision"].as_i64().unwrap())
    }
}
