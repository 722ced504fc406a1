//! The Kubernetes API, as the agent uses it: on masters as an administrator over 127.0.0.1, on nodes with the kubelet's
//! own certificate.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};

use crate::contract::keyset::Secret;
use crate::control_plane::last_words;
use crate::host::Host;
use crate::node::kubelet;
use crate::progress::retry::{Class, Classed};

/// The administrator's kubeconfig on a master, on tmpfs.
pub const ADMIN_KUBECONFIG: &str = "/srv/kubernetes/admin/kubeconfig";

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How long the API may be silent where a request, or a watch that is not for ever, waits for it.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a Node is watched before the report tells anew what is missing.
const WATCH: Duration = Duration::from_secs(5);

/// What can go wrong with the API.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The kubeconfig.
    #[error("the kubeconfig {path} can't be used")]
    Kubeconfig {
        /// Its path.
        path: &'static str,
        /// Why.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// Making a client of it.
    #[error("no client can be made of the kubeconfig {path}")]
    Client {
        /// Its path.
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

/// Connects as the master's administrator. Certificates are read now: a connection of weeks needs to be made again.
pub async fn connect_as_admin(host: &Host) -> Result<Client, ApiError> {
    connect(host, ADMIN_KUBECONFIG).await
}

/// Connects as this node's kubelet.
pub async fn connect_as_kubelet(host: &Host) -> Result<Client, ApiError> {
    connect(host, kubelet::NODE_KUBECONFIG).await
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

async fn connect(host: &Host, path: &'static str) -> Result<Client, ApiError> {
    let broken = |source| ApiError::Kubeconfig { path, source: Box::new(source) };
    let kubeconfig = Kubeconfig::read_from(host.path(Path::new(path))).map_err(broken)?;
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(broken)?;
    config.connect_timeout = Some(CONNECT);
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

/// The same on a master, which also knows what etcd and the API server said last, where they crash.
pub async fn check_ready_here(host: &Host, client: &Client, etcd: &str) -> Result<(), ApiError> {
    let pods = [format!("etcd-{etcd}"), "kube-apiserver".to_owned()];
    check_ready(client).await.map_err(|error| match last_words::of(host, &pods) {
        Some(said) => ApiError::Crashing(said, Box::new(error)),
        None => error,
    })
}

/// The names of the checks that fail, of the list that `/readyz` answers with.
fn failing_checks(message: &str) -> String {
    let failing = message.split("[-]").skip(1).filter_map(|check| check.split_whitespace().next());
    let names: Vec<&str> = failing.collect();
    if names.is_empty() { message.trim().to_owned() } else { names.join(", ") }
}

/// Waits for this instance's Node.
pub struct NodeWatch {
    host: Host,
    kubeconfig: &'static str,
    nodes: Option<Api<Node>>,
    name: String,
    told: bool,
}

impl NodeWatch {
    /// The Node of this name, as the master's administrator sees it.
    pub fn as_admin(host: &Host, name: &str) -> Self {
        Self::new(host, ADMIN_KUBECONFIG, name)
    }

    /// The Node of this name, as its kubelet sees it.
    pub fn as_kubelet(host: &Host, name: &str) -> Self {
        Self::new(host, kubelet::NODE_KUBECONFIG, name)
    }

    fn new(host: &Host, kubeconfig: &'static str, name: &str) -> Self {
        Self { host: host.clone(), kubeconfig, nodes: None, name: name.to_owned(), told: false }
    }

    /// Whether it is Ready; else why not. The first time that is told at once, later the Node is watched for a while.
    ///
    /// After an error it connects anew: a connection keeps the certificate that it was made with, which may have expired
    /// while it was waited.
    pub async fn ready(&mut self) -> Result<(), ApiError> {
        let nodes = match self.nodes.take() {
            Some(nodes) => nodes,
            None => Api::all(connect(&self.host, self.kubeconfig).await?),
        };
        let outcome = self.look(&nodes).await;
        if matches!(outcome, Ok(()) | Err(ApiError::NodeNotReady(_))) {
            self.nodes = Some(nodes);
        }
        outcome
    }

    async fn look(&mut self, nodes: &Api<Node>) -> Result<(), ApiError> {
        let name = &self.name;
        let failed = |source| ApiError::request(format!("show the node {name}"), source);
        if std::mem::replace(&mut self.told, true) {
            let ready = await_condition(nodes.clone(), name, |node: Option<&Node>| {
                node.and_then(ready_condition).is_some_and(|(ready, _)| ready)
            });
            if let Ok(Err(error)) = tokio::time::timeout(WATCH, ready).await {
                return Err(ApiError::Watch(name.clone(), Box::new(error)));
            }
        }
        let node = nodes.get_opt(name).await.map_err(failed)?;
        let Some(node) = node else {
            return Err(ApiError::NodeNotReady(format!(
                "the kubelet has not registered the node {name} yet"
            )));
        };
        match ready_condition(&node) {
            Some((true, _)) => Ok(()),
            Some((false, reason)) => {
                Err(ApiError::NodeNotReady(format!("the node {name} is not Ready: {reason}")))
            }
            None => {
                Err(ApiError::NodeNotReady(format!("the node {name} has not said whether it is Ready yet")))
            }
        }
    }
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
    use crate::host::file;
    use crate::progress::retry::chain;
    use crate::testing::fake_api::FakeApi;

    #[tokio::test]
    async fn an_api_that_is_not_ready_is_told_with_the_last_words_of_what_crashes_and_only_then() {
        const TOKEN: &str = "abcdef.0123456789abcdef";
        let folder = tempfile::tempdir().unwrap();
        let (host, api) = (Host::folder(folder.path()), FakeApi::start().await);
        api.know(TOKEN);
        file::ensure(&host.path(ADMIN_KUBECONFIG), api.kubeconfig(TOKEN), file::PRIVATE).unwrap();
        let client = connect_as_admin(&host).await.unwrap();
        check_ready_here(&host, &client, "main").await.unwrap();
        api.fail(&["etcd", "informer-sync"]);
        let error = check_ready_here(&host, &client, "main").await.unwrap_err();
        assert_eq!(chain(&error), "the Kubernetes API is not ready yet: etcd, informer-sync");
        for (attempt, said) in [(0, "first"), (1, "panic: no space left on device")] {
            let log = format!("/var/log/pods/kube-system_etcd-main-i-0a_1/etcd/{attempt}.log");
            let text = format!("2026-11-21T01:02:03Z stderr F {said}\n");
            file::ensure(&host.path(log), text, file::PUBLIC).unwrap();
        }
        let error = check_ready_here(&host, &client, "main").await.unwrap_err();
        assert_eq!(
            chain(&error),
            "etcd-main has ended once, and said last: panic: no space left on device: the Kubernetes API is not \
             ready yet: etcd, informer-sync"
        );
        assert_eq!(error.class(), Class::Waiting);
        api.fail(&[]);
        check_ready_here(&host, &client, "main").await.unwrap();
    }

    #[tokio::test]
    async fn a_node_is_watched_with_the_certificate_of_today_and_not_with_the_one_that_has_expired() {
        let folder = tempfile::tempdir().unwrap();
        let (host, api) = (Host::folder(folder.path()), FakeApi::start().await);
        let ready = serde_json::json!({"conditions": [{"type": "Ready", "status": "True"}]});
        let node = serde_json::json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "i-0a"}, "status": ready,
        });
        api.hold("/api/v1/nodes/i-0a", node);
        let renew = |credential: &str| {
            let kubeconfig = api.kubeconfig(credential);
            file::ensure(&host.path(kubelet::NODE_KUBECONFIG), kubeconfig, file::PRIVATE).unwrap();
        };
        let mut watch = NodeWatch::as_kubelet(&host, "i-0a");
        api.know("new");
        renew("expired");
        let refused = watch.ready().await.unwrap_err();
        assert!(chain(&refused).contains("Unauthorized"), "{}", chain(&refused));
        renew("new");
        // The first time that is told at once; from then on the Node is watched.
        watch.told = false;
        watch.ready().await.unwrap();
    }

    #[test]
    fn only_the_checks_that_fail_are_named() {
        let message = "[+]ping ok\n[-]etcd-readiness failed: reason withheld\n[+]log ok\n\
                       [-]informer-sync failed: reason withheld\nreadyz check failed\n";
        assert_eq!(failing_checks(message), "etcd-readiness, informer-sync");
        assert_eq!(failing_checks("Unauthorized\n"), "Unauthorized");
    }
}
