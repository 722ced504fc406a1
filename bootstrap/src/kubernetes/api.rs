//! The Kubernetes API, as the agent uses it: on masters as an administrator over 127.0.0.1, on nodes with the kubelet's
//! own certificate.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::agent::Agent;
use crate::contract::keyset::Secret;
use crate::host::Host;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// The administrator's kubeconfig on a master, on tmpfs.
pub const ADMIN_KUBECONFIG: &str = "/srv/kubernetes/admin/kubeconfig";

/// The kubeconfig of a node's kubelet. It names the file of the present certificate, and holds no key.
pub const NODE_KUBECONFIG: &str = "/var/lib/kubelet/kubeconfig";

/// Connects to the API, and on a master waits until it is ready.
pub const STEP: Step =
    Step::new("ensure_api", Duration::from_mins(10)).poll(Duration::from_millis(100)).outside();

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long the API may be silent where a request, or a watch that is not for ever, waits for it.
const ANSWER: Duration = Duration::from_secs(30);
/// What can go wrong with the API.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The kubeconfig.
    #[error("the kubeconfig {path} can't be used")]
    Kubeconfig {
        /// Where it should be on this machine.
        path: &'static str,
        /// Why.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// Making a client of it.
    #[error("no client can be made of the kubeconfig {path}")]
    Client {
        /// Where it is on this machine.
        path: &'static str,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// Making a client for a token.
    #[error("no client can be made for {0}")]
    Token(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// The API doesn't answer yet.
    #[error("the Kubernetes API does not answer yet")]
    NoAnswer(#[source] Box<kube::Error>),
    /// The API answers, and says that it isn't ready.
    #[error("the Kubernetes API is not ready yet: {0}")]
    NotReady(String),
    /// It isn't ready, and what it is made of ends again and again.
    #[error("{0}")]
    Crashing(String, #[source] Box<ApiError>),
    /// A request failed.
    #[error("the Kubernetes API did not {0}")]
    Request(String, #[source] Box<kube::Error>),
    /// The watch broke off.
    #[error("the node {0} can't be watched")]
    Watch(String, #[source] Box<kube::runtime::wait::Error>),
    /// This instance's Node isn't there, or isn't Ready.
    #[error("{0}")]
    NodeNotReady(String),
}

impl ApiError {
    /// A request that failed: what it was to do.
    pub fn request(what: impl Into<String>, source: kube::Error) -> Self {
        Self::Request(what.into(), Box::new(source))
    }
}

impl Classed for ApiError {
    fn class(&self) -> Class {
        match self {
            Self::NoAnswer(_) | Self::NotReady(_) | Self::NodeNotReady(_) => Class::Waiting,
            Self::Crashing(_, error) => error.class(),
            Self::Kubeconfig { .. }
            | Self::Client { .. }
            | Self::Token(..)
            | Self::Request(..)
            | Self::Watch(..) => Class::Passing,
        }
    }

    fn again(&self) -> Option<Duration> {
        // The Node is watched, not looked at now and then.
        matches!(self, Self::NodeNotReady(_)).then_some(Duration::ZERO)
    }
}

/// The step of a node. A master waits for its own API server besides, in the room of the control plane.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let connect = async || connect_as_kubelet(&agent.host).await.map(|_| Done::unchanged(()));
    STEP.run(&agent.reporter, connect).await
}

/// Connects as the master's administrator. Certificates are read now: a connection of weeks needs to be made again.
pub async fn connect_as_admin(host: &Host) -> Result<Client, ApiError> {
    connect(host, ADMIN_KUBECONFIG).await
}

/// Connects as this node's kubelet.
pub async fn connect_as_kubelet(host: &Host) -> Result<Client, ApiError> {
    connect(host, NODE_KUBECONFIG).await
}

/// Connects with a bearer token to a server, a URL, trusting these authorities (PEM). The token stays in memory.
pub fn connect_with_token(server: &str, authorities: &str, token: &Secret) -> Result<Client, ApiError> {
    let failed = |source| ApiError::Token(server.to_owned(), source);
    let url = server.parse::<http::Uri>().map_err(|error| failed(error.into()))?;
    let roots: Result<Vec<Vec<u8>>, _> = x509_parser::pem::Pem::iter_from_buffer(authorities.as_bytes())
        .map(|block| block.map(|block| block.contents))
        .collect();
    let mut config = kube::Config::new(url);
    config.root_cert = Some(roots.map_err(|error| failed(error.into()))?);
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(ANSWER);
    config.auth_info = AuthInfo { token: Some(token.expose().to_owned().into()), ..AuthInfo::default() };
    Client::try_from(config).map_err(|error| failed(error.into()))
}

/// Connects as the user of a kubeconfig. What the API puts off is asked again after the time that it tells.
pub async fn connect(host: &Host, path: &'static str) -> Result<Client, ApiError> {
    client(path, read_kubeconfig(host, path).await?)
}

/// The same for who wants to be told that the API puts something off.
pub async fn connect_without_retries(host: &Host, path: &'static str) -> Result<Client, ApiError> {
    let mut config = read_kubeconfig(host, path).await?;
    config.default_retry = false;
    client(path, config)
}

async fn read_kubeconfig(host: &Host, path: &'static str) -> Result<kube::Config, ApiError> {
    let broken = |source| ApiError::Kubeconfig { path, source: Box::new(source) };
    let kubeconfig = Kubeconfig::read_from(host.path(Path::new(path))).map_err(broken)?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(broken)?;
    // The API is never reached through the proxy of the environment, which this client couldn't go through.
    config.proxy_url = None;
    config.connect_timeout = Some(CONNECT);
    Ok(config)
}

fn client(path: &'static str, config: kube::Config) -> Result<Client, ApiError> {
    Client::try_from(config).map_err(|source| ApiError::Client { path, source: Box::new(source) })
}

/// Whether the API and everything behind it, etcd too, is ready.
pub async fn check_ready(client: &Client) -> Result<(), ApiError> {
    let request = http::Request::get("/readyz").body(Vec::new());
    let request =
        request.map_err(|error| ApiError::request("take a request", kube::Error::HttpError(error)))?;
    match client.request_text(request).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) => Err(ApiError::NotReady(failing_checks(&status.message))),
        Err(source) => Err(ApiError::NoAnswer(Box::new(source))),
    }
}

/// The names of the checks that fail, of the list that `/readyz` answers with.
fn failing_checks(message: &str) -> String {
    let failing = message.split("[-]").skip(1).filter_map(|check| check.split_whitespace().next());
    let names: Vec<&str> = failing.collect();
    if names.is_empty() { message.trim().to_owned() } else { names.join(", ") }
}

/// A Node's Ready condition: whether it is true, and the kubelet's reason.
pub fn ready_condition(node: &Node) -> Option<(bool, String)> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    let reason = ready.message.clone().or_else(|| ready.reason.clone()).unwrap_or_default();
    Some((ready.status == "True", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_checks_that_fail_are_named() {
        let message = "[+]ping ok\n[-]etcd-readiness failed: reason withheld\n[+]log ok\n\
                       [-]informer-sync failed: reason withheld\nreadyz check failed\n";
        assert_eq!(failing_checks(message), "etcd-readiness, informer-sync");
        assert_eq!(failing_checks("Unauthorized\n"), "Unauthorized");
    }
}
