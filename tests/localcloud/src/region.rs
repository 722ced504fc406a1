//! The region's control API, and the process that serves it.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ChildStdout;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, oneshot};

use crate::command;
use crate::image::Image;
use crate::process::{self, Owned, Process};
use crate::world::{AttachmentState, World};

/// How long one request for the world waits for a change.
const LONG_POLL: Duration = Duration::from_secs(30);
/// How long the region may take to start.
const START: Duration = Duration::from_mins(1);

/// Why the region did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its Python environment could not be made.
    #[error("the region's Python environment can't be made")]
    Environment(#[source] command::Error),
    /// Its process could not be started.
    #[error(transparent)]
    Start(#[from] process::Error),
    /// It ended, or said nothing, instead of listening.
    #[error("the region doesn't start; it said: {said}")]
    Silent {
        /// What it printed.
        said: String,
    },
    /// It could not be forked.
    #[error("no region can be forked")]
    Fork(#[source] std::io::Error),
    /// A request could not be sent or its answer not be read.
    #[error("the region doesn't answer {request}")]
    Unreachable {
        /// The request.
        request: String,
        /// What the client says.
        #[source]
        source: reqwest::Error,
    },
    /// The region refused a request.
    #[error("the region answers {status} to {request}: {body}")]
    Refused {
        /// The request.
        request: String,
        /// The status.
        status: u16,
        /// The answer.
        body: String,
    },
}

/// A region that was forked.
#[derive(Deserialize)]
struct Forked {
    pid: u32,
    address: SocketAddr,
}

/// Starts a process that says with this prefix where it listens.
async fn start(arguments: &[&str], prefix: &'static str) -> Result<(SocketAddr, Process), Error> {
    let package = env!("CARGO_MANIFEST_DIR");
    let python = python().await?.display().to_string();
    let line = [&[python.as_str(), "-m", "region"], arguments].concat().into_iter().map(str::to_owned);
    let variables = [("PYTHONPATH".to_owned(), package.to_owned())];
    let (process, stdout) = Process::start("region", &line.collect::<Vec<_>>(), &variables)?;
    let (said, listening) = oneshot::channel();
    // On a thread, because what it says is of interest for longer than any one test's runtime lives.
    std::thread::spawn(move || listen(stdout, prefix, said));
    match tokio::time::timeout(START, listening).await {
        Ok(Ok(Ok(address))) => Ok((address, process)),
        outcome => {
            process.kill();
            let said = outcome.ok().and_then(Result::ok).and_then(Result::err).unwrap_or_default();
            Err(Error::Silent { said })
        }
    }
}

/// Passes on where a process listens, or all that it said instead, and then tells what else it says.
fn listen(stdout: ChildStdout, prefix: &str, told: oneshot::Sender<Result<SocketAddr, String>>) {
    let mut lines = std::io::BufReader::new(stdout).lines().map_while(Result::ok);
    let mut said = String::new();
    let address = lines.by_ref().find_map(|line| {
        let address = line.strip_prefix(prefix).and_then(|address| address.trim().parse().ok());
        if address.is_none() {
            said.extend([&line, "\n"]);
        }
        address
    });
    let _ = told.send(address.ok_or(said));
    for line in lines {
        tracing::info!(target: "region", "{line}");
    }
}

/// A client of a region's control API.
#[derive(Clone, Debug)]
pub struct Region {
    address: SocketAddr,
    client: reqwest::Client,
}

/// The Python that the region runs in, which has AWS's SDK; made if it isn't there.
pub async fn python() -> Result<PathBuf, Error> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/region/environment");
    let environment = command::run_aloud(&[script]).await.map_err(Error::Environment)?;
    Ok(Path::new(environment.trim()).join("bin/python"))
}

impl Region {
    /// The region that listens at `address`.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, client: reqwest::Client::new() }
    }

    /// Starts a region of this name (`us-east-1`) as a child process and waits until it listens.
    pub async fn start(name: &str) -> Result<(Self, Process), Error> {
        let (address, process) = start(&["--port", "0", "--region", name], "listening on http://").await?;
        Ok((Self::at(address), process))
    }

    /// The same in a tenth of the time: it is forked from a process that has read all that regions need. That one is
    /// started when the first region is asked for; a region ends when its process is dropped, and with this process.
    pub async fn fork(name: &str) -> Result<(Self, Owned), Error> {
        static TEMPLATE: OnceCell<(SocketAddr, Process)> = OnceCell::const_new();
        let template = TEMPLATE.get_or_try_init(|| start(&["--template"], "forking for "));
        let (template, _) = template.await?;
        let forked = async {
            let mut connection = TcpStream::connect(template).await?;
            connection.write_all(format!("{name}\n").as_bytes()).await?;
            let mut answer = Vec::new();
            connection.read_to_end(&mut answer).await?;
            Ok::<Forked, std::io::Error>(serde_json::from_slice(&answer)?)
        };
        let forked = tokio::time::timeout(START, forked).await.map_err(std::io::Error::from);
        let Forked { pid, address } = forked.flatten().map_err(Error::Fork)?;
        Ok((Self::at(address), Owned(Process::adopt("region", pid)?)))
    }

    /// Where the region listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The world, as soon as it is newer than `after`, or after half a minute.
    pub async fn world(&self, after: u64) -> Result<World, Error> {
        self.get(&format!("world?after={after}&wait={}", LONG_POLL.as_secs())).await
    }

    /// The world as it is now.
    pub async fn world_now(&self) -> Result<World, Error> {
        self.get("world").await
    }

    /// Tells that the machines are there, or gone.
    pub async fn connect(&self, connected: bool) -> Result<(), Error> {
        self.post("machines", &json!({ "connected": connected })).await.map(drop)
    }

    /// Tells an instance's state: `running` or `terminated`.
    pub async fn report_instance(&self, instance: &str, state: &str) -> Result<(), Error> {
        self.post(&format!("instances/{instance}/state"), &json!({ "state": state })).await.map(drop)
    }

    /// Tells where a volume's attachment stands.
    pub async fn report_attachment(
        &self,
        volume: &str,
        instance: &str,
        state: AttachmentState,
    ) -> Result<(), Error> {
        let report = json!({ "instance": instance, "state": state });
        self.post(&format!("volumes/{volume}/attachment"), &report).await.map(drop)
    }

    /// Tells what the health checks say of a target.
    pub async fn report_target(
        &self,
        group: &str,
        target: &str,
        port: u16,
        healthy: bool,
    ) -> Result<(), Error> {
        let report = json!({ "targetGroup": group, "id": target, "port": port, "healthy": healthy });
        self.post("targets", &report).await.map(drop)
    }

    /// Appends to an instance's console. A console that is lost is no reason to stop.
    pub async fn report_console(&self, instance: &str, console: Vec<u8>) {
        let request = format!("instances/{instance}/console");
        let sent = self.client.post(self.url(&request)).body(console).send().await;
        if let Err(error) = self.checked::<Value>(&request, sent).await {
            tracing::debug!(%error, "a console was not sent");
        }
    }

    /// The credentials of the role of an instance's profile, in IMDS's form; none if it has no profile.
    pub async fn credentials(&self, instance: &str) -> Result<Option<Value>, Error> {
        match self.get(&format!("instances/{instance}/credentials")).await {
            Err(Error::Refused { status: 404, .. }) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Registers an AMI owned by the account; returns its id.
    pub async fn register_image(&self, image: &Image) -> Result<String, Error> {
        let architecture = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            other => other,
        };
        let registration =
            json!({ "name": image.image_name, "tags": image.tags, "architecture": architecture });
        let answer: Value = self.post("images", &registration).await?;
        match answer.get("imageId").and_then(Value::as_str) {
            Some(id) => Ok(id.to_owned()),
            None => {
                Err(Error::Refused { request: "images".to_owned(), status: 200, body: answer.to_string() })
            }
        }
    }

    /// Every AWS request since the journal was last forgotten.
    pub async fn journal(&self) -> Result<Vec<Value>, Error> {
        self.get("journal").await
    }

    /// Forgets the requests so far.
    pub async fn forget_journal(&self) -> Result<(), Error> {
        self.delete("journal").await.map(drop)
    }

    /// Adds faults, an array in the form of the control API.
    pub async fn inject(&self, faults: &Value) -> Result<(), Error> {
        self.post("faults", faults).await.map(drop)
    }

    /// Ends all faults, and lets go of the requests that they hold.
    pub async fn clear_faults(&self) -> Result<(), Error> {
        self.delete("faults").await.map(drop)
    }

    /// The requests that faults hold now.
    pub async fn held(&self) -> Result<Vec<Value>, Error> {
        self.get("held").await
    }

    /// The ids or names of all that the region has, by kind.
    pub async fn inventory(&self) -> Result<Value, Error> {
        self.get("inventory").await
    }

    /// What the region was asked for and doesn't implement.
    pub async fn unimplemented(&self) -> Result<Vec<Value>, Error> {
        self.get("unimplemented").await
    }

    /// Calls a service of AWS's that takes forms, as the region's administrator; returns the answer.
    pub async fn call(&self, service: &str, form: String) -> Result<String, Error> {
        let scope = format!("Credential=operator/20260101/us-east-1/{service}/aws4_request");
        let unreachable = |source| Error::Unreachable { request: service.to_owned(), source };
        let request = self.client.post(format!("http://{}/", self.address)).body(form);
        let request = request
            .header("Content-Type", "application/x-www-form-urlencoded")
            .header("Authorization", format!("AWS4-HMAC-SHA256 {scope}"));
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let body = response.text().await.map_err(unreachable)?;
        if status.is_success() {
            return Ok(body);
        }
        Err(Error::Refused { request: service.to_owned(), status: status.as_u16(), body })
    }

    /// Sends a request of the control API: `path` is what follows `/_region/`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let sent = self.client.get(self.url(path)).send().await;
        self.checked(path, sent).await
    }

    /// Sends a request of the control API with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        let sent = self.client.post(self.url(path)).json(body).send().await;
        self.checked(path, sent).await
    }

    /// Sends a `DELETE` to the control API.
    pub async fn delete(&self, path: &str) -> Result<Value, Error> {
        let sent = self.client.delete(self.url(path)).send().await;
        self.checked(path, sent).await
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/_region/{path}", self.address)
    }

    async fn checked<T: DeserializeOwned>(
        &self,
        request: &str,
        sent: Result<reqwest::Response, reqwest::Error>,
    ) -> Result<T, Error> {
        let unreachable = |source| Error::Unreachable { request: request.to_owned(), source };
        let response = sent.map_err(unreachable)?;
        let status = response.status();
        if status.is_success() {
            return response.json().await.map_err(unreachable);
        }
        let body = response.text().await.unwrap_or_default();
        Err(Error::Refused { request: request.to_owned(), status: status.as_u16(), body })
    }
}
