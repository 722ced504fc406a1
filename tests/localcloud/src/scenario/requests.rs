//! Requests to the API that are made all the time, and counted, while something befalls its masters.
//!
//! Four clients make them, five a second each: from outside through the load balancer, as the operator, and from inside by the
//! masters' own addresses, as a node; one of each two keeps its connection for as long as that lives, the other one comes by a
//! new connection each time. A request that is broken, isn't answered within [`ANSWER`] or is told to try again is tried once
//! more after a second, as clients of Kubernetes do with what only reads; it has failed if that fails, too. A client's pause is
//! the longest time between two of its answers.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

use super::Life;

/// How long a request may take before it is tried again, in seconds.
const ANSWER: &str = "2";

/// How long clients may take to end.
const END: Duration = Duration::from_secs(20);

/// How many requests a client makes at most.
const ALL: &str = "#[1-100000]";

/// Ends curl with what it reads from, in whichever machine it runs: a command's own end wouldn't reach there.
const UNTIL_TOLD: &str = "curl \"$@\" </dev/null & client=$!; cat >/dev/null; kill $client";

/// Where a node finds what it says to the API.
const NODE: &str = "/var/lib/kubelet/kubeconfig";
const NODE_CERTIFICATE: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// What became of a client's requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub asked: u32,
    pub failed: u32,
    /// In seconds.
    pub pause: f64,
}

/// A client that asks until it is told to end.
struct Client {
    name: &'static str,
    process: Child,
    counted: JoinHandle<Result<Counted>>,
}

/// The clients that ask.
pub(super) struct Requests(Vec<Client>);

/// What is asked, and what a client shows for it: arguments of curl.
struct Asked(Vec<String>);

impl Asked {
    /// A client's arguments: what an answer was is printed on standard error, which nothing holds back.
    fn arguments(&self, keeps: bool) -> Vec<String> {
        let how = ["--silent", "--http1.1", "--output", "/dev/null", "--rate", "5/s", "--max-time", ANSWER];
        let again = ["--retry", "1", "--retry-delay", "1", "--retry-all-errors"];
        let told = ["--write-out", "%{stderr}%{exitcode} %{http_code}\n"];
        let closing: &[&str] = if keeps { &[] } else { &["--header", "Connection: close"] };
        let all = [&how[..], &again, &told, closing].concat();
        all.into_iter().map(str::to_owned).chain(self.0.iter().cloned()).collect()
    }
}

impl Requests {
    /// Has clients ask from outside, and from inside a node.
    pub(super) async fn begin(life: &Life<'_>) -> Result<Self> {
        let (node, _) = life.nodes().await?.into_iter().next().context("there is no node")?;
        let (outside, inside) = (life.asked_outside().await?, life.asked_inside(&node).await?);
        let mut clients = Vec::new();
        for (name, from, asked, keeps) in [
            ("OutsideKept", None, &outside, true),
            ("OutsideNew", None, &outside, false),
            ("InsideKept", Some(&node), &inside, true),
            ("InsideNew", Some(&node), &inside, false),
        ] {
            let command = match from {
                Some(node) => life.cloud.instance_command(node, "sh")?,
                None => life.cloud.operator_command("sh"),
            };
            clients.push(Client::start(name, command.into(), &asked.arguments(keeps))?);
        }
        Ok(Self(clients))
    }

    /// Ends them, and returns what each of them counted, by its name.
    pub(super) async fn end(self) -> Result<Vec<(&'static str, Counted)>> {
        let mut all = Vec::new();
        for Client { name, mut process, counted } in self.0 {
            drop(process.stdin.take());
            let counted = tokio::time::timeout(END, counted).await;
            let counted = counted.with_context(|| format!("{name} doesn't end"))???;
            process.wait().await?;
            ensure!(counted.asked > counted.failed, "{name} had no answer to {} requests", counted.asked);
            all.push((name, counted));
        }
        Ok(all)
    }
}

impl Client {
    fn start(name: &'static str, mut command: Command, arguments: &[String]) -> Result<Self> {
        command.args(["-c", UNTIL_TOLD, "curl"]).args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("could not start {name}"))?;
        let told = process.stderr.take().context("standard error is taken")?;
        Ok(Self { name, process, counted: tokio::spawn(count(told)) })
    }
}

async fn count(told: ChildStderr) -> Result<Counted> {
    let (mut counted, mut last) = (Counted::default(), Instant::now());
    let mut lines = BufReader::new(told).lines();
    while let Some(line) = lines.next_line().await? {
        counted.asked += 1;
        if line == "0 200" {
            counted.pause = counted.pause.max(last.elapsed().as_secs_f64());
            last = Instant::now();
        } else {
            tracing::warn!(line, "a request failed");
            counted.failed += 1;
        }
    }
    counted.pause = counted.pause.max(last.elapsed().as_secs_f64());
    Ok(counted)
}

impl Life<'_> {
    /// The operator asks for a ConfigMap.
    async fn asked_outside(&self) -> Result<Asked> {
        let shown = self.kubectl(&["config", "view", "--raw", "--minify", "--output=json"]).await?;
        let shown: Value = serde_json::from_str(&shown)?;
        let (cluster, user) = (&shown["clusters"][0]["cluster"], &shown["users"][0]["user"]);
        let mut arguments = Vec::new();
        for (flag, data) in [
            ("--cacert", &cluster["certificate-authority-data"]),
            ("--cert", &user["client-certificate-data"]),
            ("--key", &user["client-key-data"]),
        ] {
            let path = self.options.folder.join(flag.trim_start_matches('-'));
            keep(&path, data).with_context(|| format!("the kubeconfig has nothing for {flag}"))?;
            arguments.extend([flag.to_owned(), path.display().to_string()]);
        }
        let server = cluster["server"].as_str().context("the kubeconfig has no server")?;
        arguments.push(format!("{server}/api/v1/namespaces/default/configmaps/kept{ALL}"));
        Ok(Asked(arguments))
    }

    /// A node asks for its own Node.
    async fn asked_inside(&self, node: &str) -> Result<Asked> {
        let kubeconfig = self.on(node, "cat", &[NODE]).await?;
        let told = |key: &str| {
            let mut values = kubeconfig.lines().filter_map(|line| line.trim().strip_prefix(key));
            let value = values.next().with_context(|| format!("{NODE} has no {key}"))?;
            anyhow::Ok(value.trim().trim_matches('"').to_owned())
        };
        let (authority, server) = (told("certificate-authority:")?, told("server:")?);
        let url = format!("{server}/api/v1/nodes/{node}{ALL}");
        let shown = ["--cacert", &authority, "--cert", NODE_CERTIFICATE, "--key", NODE_CERTIFICATE, &url];
        Ok(Asked(shown.map(str::to_owned).to_vec()))
    }
}

fn keep(path: &Path, data: &Value) -> Result<()> {
    let text = data.as_str().context("no such field")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text)?;
    fs_err::write(path, bytes)?;
    Ok(())
}
