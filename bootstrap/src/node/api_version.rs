//! Holds a node that is newer than the API server.
//!
//! A kubelet may be older than the API server that it talks to, and must not be of a newer minor version (Kubernetes, "Version
//! Skew Policy"): it would ask for what that doesn't know. An update gives all groups the new version at once, so that
//! a node which Auto Scaling replaces before the masters are replaced would come up too new. It has all that it needs to
//! join, and waits with its kubelet until the API is as new as itself; the report says so, and `validate cluster` with it.
//!
//! Behind one address there may be several API servers, of which some are replaced already and some aren't. Each connection
//! goes to one of them, so several are made, and the oldest that answers counts. An API server that emulates an older
//! version counts as what it emulates.
//!
//! Who was let in once isn't held when it boots again: the API never goes back to an older minor version, and pods needn't wait
//! for it.

use std::time::Duration;

use futures::future::try_join_all;
use serde::Deserialize;

use crate::agent::Agent;
use crate::contract::config::NodeConfig;
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::kubernetes::api::{self, ApiError};
use crate::node::kubelet::{self, KubeletError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Waits until the API is as new as the kubelet. Masters may be replaced in hours, or tomorrow.
pub const STEP: Step = Step::until_done("ensure_api_not_older").poll(Duration::from_secs(5)).outside();

/// How many connections are made, each by itself. Of three API servers of which one is older, all of these miss it in one
/// of four hundred nodes, which is then too new for the minutes until that one is replaced, too.
const CONNECTIONS: usize = 15;

/// The version that was let in, on the machine's own disk.
const LET_IN: &str = "/var/lib/windlass/let-in-version";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// The API is older.
    #[error(
        "this node holds Kubernetes {kubelet}, and the API is still {api}: the kubelet is started when all masters are \
         replaced by newer ones"
    )]
    Newer {
        /// The kubelet's version.
        kubelet: String,
        /// What the oldest API server says.
        api: String,
    },
    /// What the kubelet goes to the API with.
    #[error(transparent)]
    Credentials(#[from] KubeletError),
    /// The API doesn't answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// It answers something else.
    #[error("what the API says of its version can't be understood: {0}")]
    Answer(String),
    /// The memory of having been let in.
    #[error("that the node was let in can't be kept")]
    File(#[source] FileError),
}

impl Classed for VersionError {
    fn class(&self) -> Class {
        match self {
            Self::Newer { .. } => Class::Waiting,
            Self::Credentials(error) => error.class(),
            Self::Api(error) => error.class(),
            Self::Answer(_) | Self::File(_) => Class::Passing,
        }
    }
}

/// A minor version, such as 1.36.
type Minor = (u32, u32);

/// What an API server says of itself at `/version`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    git_version: String,
    major: String,
    minor: String,
    /// Those that can emulate others say which they do.
    emulation_major: Option<String>,
    emulation_minor: Option<String>,
}

impl Answer {
    /// The version as which it counts, and how it is told.
    fn counts_as(&self) -> Option<(Minor, String)> {
        let own = minor(&self.major, &self.minor)?;
        let emulated = self.emulation_major.as_deref().zip(self.emulation_minor.as_deref());
        match emulated.and_then(|(major, minor_part)| minor(major, minor_part)) {
            Some(emulated) if emulated < own => {
                let told = format!("{}, as which {} acts", shown(emulated), self.git_version);
                Some((emulated, told))
            }
            _ => Some((own, self.git_version.trim_start_matches('v').to_owned())),
        }
    }
}

/// Some distributions write `36+`.
fn minor(major: &str, minor: &str) -> Option<Minor> {
    Some((major.parse().ok()?, minor.trim_end_matches('+').parse().ok()?))
}

fn shown((major, minor): Minor) -> String {
    format!("{major}.{minor}")
}

/// The step of a node. A master's kubelet goes to its own API server, which is of the same image.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let Agent { host, config, .. } = agent;
    let wait = async || {
        if is_let_in(host, config)? {
            return Ok(Done::changed_if(false));
        }
        // Only now: a kubelet that runs is restarted when these change, by who starts it.
        kubelet::ensure_credentials(host, config)?;
        ensure(host, config).await.map(Done::changed_if)
    };
    agent.on_machine(STEP, wait).await.map(drop)
}

/// Fails as long as an API server is older. Returns whether the node was let in just now.
pub async fn ensure(host: &Host, config: &NodeConfig) -> Result<bool, VersionError> {
    if is_let_in(host, config)? {
        return Ok(false);
    }
    let version = &config.kubernetes_version;
    let mut numbers = version.split('.');
    let own = numbers.next().zip(numbers.next()).and_then(|(major, part)| minor(major, part));
    let answers = try_join_all((0..CONNECTIONS).map(|_| ask(host))).await?;
    let oldest = answers.into_iter().min_by_key(|(version, _)| *version);
    match oldest.zip(own) {
        Some(((api, told), own)) if own > api => {
            return Err(VersionError::Newer { kubelet: version.clone(), api: told });
        }
        _ => {}
    }
    file::ensure(&host.path(LET_IN), version, file::PUBLIC).map_err(VersionError::File)
}

fn is_let_in(host: &Host, config: &NodeConfig) -> Result<bool, VersionError> {
    let let_in = file::read(&host.path(LET_IN)).map_err(VersionError::File)?;
    Ok(let_in.is_some_and(|let_in| let_in == config.kubernetes_version.as_bytes()))
}

/// Asks an API server on a connection of its own.
async fn ask(host: &Host) -> Result<(Minor, String), VersionError> {
    let client = api::connect_as_kubelet(host).await?;
    let request = http::Request::get("/version").body(Vec::new());
    let request =
        request.map_err(|error| ApiError::request("take a request", kube::Error::HttpError(error)))?;
    let answer: Answer = client.request(request).await.map_err(not_answered)?;
    answer.counts_as().ok_or_else(|| VersionError::Answer(format!("{answer:?}")))
}

fn not_answered(error: kube::Error) -> VersionError {
    match error {
        kube::Error::Api(_) => ApiError::request("say its version", error).into(),
        error => ApiError::NoAnswer(Box::new(error)).into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::api::NODE_KUBECONFIG;
    use crate::progress::retry::chain;
    use crate::testing::fake_api::FakeApi;
    use crate::testing::node_config;

    const TOKEN: &str = "abcdef.0123456789abcdef";

    async fn node() -> (tempfile::TempDir, Host, FakeApi) {
        let folder = tempfile::tempdir().unwrap();
        let (host, api) = (Host::folder(folder.path()), FakeApi::start().await);
        api.know(TOKEN);
        file::ensure(&host.path(NODE_KUBECONFIG), api.kubeconfig(TOKEN), file::PRIVATE).unwrap();
        (folder, host, api)
    }

    fn of(version: &str) -> NodeConfig {
        NodeConfig { kubernetes_version: version.to_owned(), ..node_config() }
    }

    fn answer(minor: &str) -> serde_json::Value {
        json!({"major": "1", "minor": minor, "gitVersion": format!("v1.{minor}.4")})
    }

    #[tokio::test]
    async fn a_node_that_is_newer_than_the_api_is_held_until_the_api_is_as_new() {
        let (_folder, host, api) = node().await;
        api.hold("/version", answer("35"));
        let error = ensure(&host, &of("1.36.3")).await.unwrap_err();
        assert_eq!(error.class(), Class::Waiting);
        assert!(
            chain(&error).starts_with("this node holds Kubernetes 1.36.3, and the API is still 1.35.4: ")
        );
        api.hold("/version", answer("36"));
        assert!(ensure(&host, &of("1.36.3")).await.unwrap());
    }

    #[tokio::test]
    async fn older_nodes_and_those_of_another_patch_are_let_in() {
        for version in ["1.36.9", "1.36.0", "1.35.9", "1.33.1"] {
            let (_folder, host, api) = node().await;
            api.hold("/version", answer("36+"));
            ensure(&host, &of(version)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_api_server_counts_as_what_it_emulates() {
        let (_folder, host, api) = node().await;
        let mut emulating = answer("36");
        (emulating["emulationMajor"], emulating["emulationMinor"]) = ("1".into(), "35".into());
        api.hold("/version", emulating);
        let error = ensure(&host, &of("1.36.3")).await.unwrap_err();
        assert!(chain(&error).contains("the API is still 1.35, as which v1.36.4 acts"), "{}", chain(&error));
        ensure(&host, &of("1.35.9")).await.unwrap();
    }

    #[tokio::test]
    async fn who_was_let_in_is_not_held_when_it_boots_again_and_the_api_is_away() {
        let (_folder, host, api) = node().await;
        api.hold("/version", answer("36"));
        assert!(ensure(&host, &of("1.36.3")).await.unwrap());
        api.break_below(Some("/version"));
        assert!(!ensure(&host, &of("1.36.3")).await.unwrap());
        let error = ensure(&host, &of("1.37.0")).await.unwrap_err();
        assert!(matches!(error, VersionError::Api(_)), "another version was not let in: {error}");
    }
}
