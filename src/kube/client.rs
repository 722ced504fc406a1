//! A connection to a cluster's API server.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use ::kube::api::{Api, ListParams, ObjectList, WatchParams};
use ::kube::config::{KubeConfigOptions, Kubeconfig};
use ::kube::{Client, Config};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1;
use serde_json::json;
use tokio::time::timeout;

use super::view::{Node, PersistentVolume, Pod};
use crate::pki::client::ClientCertificate;

/// How long a connection may take. What doesn't answer in this time is down, or not to be reached from here.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take, of which a list of some ten thousand pods is the slowest.
const ANSWER: Duration = Duration::from_secs(20);

/// Objects in one answer.
const PAGE: u32 = 500;

/// Why the API couldn't be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The credentials that windlass made can't be used.
    #[error("the kubeconfig for the API at {address} can't be used")]
    Kubeconfig {
        /// The server's address.
        address: String,
        /// What is wrong with it.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// Nobody answers, or not in time, or not as a server of this cluster.
    #[error("the API at {address} does not answer: {reason}")]
    Unreachable {
        /// The server's address.
        address: String,
        /// What happened.
        reason: String,
    },
    /// It answers, and says no.
    #[error("the API at {address} refuses to {act}: {message}")]
    Refused {
        /// The server's address.
        address: String,
        /// What was asked.
        act: &'static str,
        /// HTTP's status code.
        code: u16,
        /// Its words.
        message: String,
    },
    /// It answers with something that isn't an answer to the question.
    #[error("the API at {address} answers nonsense when asked to {act}")]
    Answer {
        /// The server's address.
        address: String,
        /// What was asked.
        act: &'static str,
        /// What is wrong with it.
        #[source]
        source: Box<::kube::Error>,
    },
}

impl Error {
    /// What to do about it, where there is something to type or to look at.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => Some(
                "`windlass get instances` says where the master's boot stands; if it is ready, check that this machine's \
                 address is among spec.kubernetesApiAccess"
                    .to_owned(),
            ),
            Self::Refused { code: 401 | 403, .. } => Some(
                "the master trusts other authorities than the state holds, or is not set up yet: `windlass get \
                 instances` says where its boot stands"
                    .to_owned(),
            ),
            Self::Kubeconfig { .. } | Self::Refused { .. } | Self::Answer { .. } => None,
        }
    }
}

/// A kubeconfig in memory: one cluster, one user, who shows a client certificate.
pub fn kubeconfig(server: &str, authorities: &str, user: &ClientCertificate) -> Result<Kubeconfig, Error> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "windlass",
        "contexts": [{"name": "windlass", "context": {"cluster": "windlass", "user": "windlass"}}],
        "clusters": [{"name": "windlass", "cluster": {
            "server": server, "certificate-authority-data": BASE64.encode(authorities)}}],
        "users": [{"name": "windlass", "user": {
            "client-certificate-data": BASE64.encode(&user.certificate),
            "client-key-data": BASE64.encode(user.key.expose())}}],
    });
    serde_json::from_value(config)
        .map_err(|error| Error::Kubeconfig { address: server.to_owned(), source: error.into() })
}

/// Objects, and the version of the world that they are from.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// The objects.
    pub items: Vec<T>,
    /// From which on [`Kubernetes::changed`] watches.
    pub version: String,
}

/// A connection to a cluster's API server. Cloning is cheap.
#[derive(Clone)]
pub struct Kubernetes {
    client: Client,
    address: String,
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kubernetes").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// Takes a kubeconfig, which is nowhere written down. Nothing is sent: that nobody answers shows at the first call.
    pub async fn connect(kubeconfig: Kubeconfig) -> Result<Self, Error> {
        let address = server(&kubeconfig).unwrap_or_else(|| "an unnamed address".to_owned());
        let unusable =
            |source: Box<dyn StdError + Send + Sync>| Error::Kubeconfig { address: address.clone(), source };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .map_err(|error| unusable(error.into()))?;
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(ANSWER);
        config.reset_reader_on_write = true;
        // Whoever asks knows better than a client how long it is worth to go on asking.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| unusable(error.into()))?;
        Ok(Self { client, address })
    }

    /// The server's address, such as `https://203.0.113.7`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// All nodes.
    pub async fn nodes(&self) -> Result<Listed<Node>, Error> {
        let api: Api<v1::Node> = Api::all(self.client.clone());
        self.list("list nodes", &api, |node| Some(Node::new(node))).await
    }

    /// The PersistentVolumes that are on EBS.
    pub async fn persistent_volumes(&self) -> Result<Vec<PersistentVolume>, Error> {
        let api: Api<v1::PersistentVolume> = Api::all(self.client.clone());
        Ok(self.list("list PersistentVolumes", &api, PersistentVolume::new).await?.items)
    }

    /// The pods of all namespaces that the cluster can't do without, and the mirrors of static pods.
    pub async fn critical_pods(&self) -> Result<Listed<Pod>, Error> {
        let api: Api<v1::Pod> = Api::all(self.client.clone());
        let wanted = |pod: &v1::Pod| Some(Pod::new(pod)).filter(|pod| pod.is_critical() || pod.mirror);
        self.list("list pods", &api, wanted).await
    }

    /// Waits until a node or a critical pod has changed since they were listed, or the limit passes, or the server
    /// goes away. What changed is for the caller to list again.
    pub async fn changed(&self, nodes: &Listed<Node>, pods: &Listed<Pod>, limit: Duration) {
        let nodes_api: Api<v1::Node> = Api::all(self.client.clone());
        let pods_api: Api<v1::Pod> = Api::all(self.client.clone());
        let node = self.event(&nodes_api, nodes, |node| Some(Node::new(node)), |node| node.name.clone());
        let wanted = |pod: &v1::Pod| Some(Pod::new(pod)).filter(|pod| pod.is_critical() || pod.mirror);
        let pod = self.event(&pods_api, pods, wanted, |pod| format!("{}/{}", pod.namespace, pod.name));
        let either = async {
            tokio::select! { () = node => (), () = pod => () }
        };
        // The limit is the answer "nothing has changed".
        let _ = timeout(limit, either).await;
    }

    async fn list<K, T>(
        &self,
        act: &'static str,
        api: &Api<K>,
        view: impl Fn(&K) -> Option<T>,
    ) -> Result<Listed<T>, Error>
    where
        K: Clone + fmt::Debug + serde::de::DeserializeOwned,
    {
        let mut listed = Listed { items: Vec::new(), version: String::new() };
        let mut parameters = ListParams::default().limit(PAGE);
        loop {
            let page: ObjectList<K> = match timeout(CONNECT + ANSWER, api.list(&parameters)).await {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => return Err(self.error(act, error)),
                Err(_) => {
                    return Err(
                        self.unreachable(format!("no answer within {} s", (CONNECT + ANSWER).as_secs()))
                    );
                }
            };
            listed.items.extend(page.items.iter().filter_map(&view));
            listed.version = page.metadata.resource_version.unwrap_or_default();
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => parameters = parameters.continue_token(&token),
                None => return Ok(listed),
            }
        }
    }

    /// Ends at the first event that tells something new about what is looked at, or with the watch.
    async fn event<K, T>(
        &self,
        api: &Api<K>,
        since: &Listed<T>,
        view: impl Fn(&K) -> Option<T>,
        name: impl Fn(&T) -> String,
    ) where
        K: Clone + fmt::Debug + serde::de::DeserializeOwned,
        T: PartialEq,
    {
        use ::kube::api::WatchEvent;
        let Ok(stream) = api.watch(&WatchParams::default().timeout(60), &since.version).await else {
            return std::future::pending().await;
        };
        let mut stream = stream.boxed();
        loop {
            let (object, gone) = match stream.try_next().await {
                Ok(Some(WatchEvent::Added(object) | WatchEvent::Modified(object))) => (object, false),
                Ok(Some(WatchEvent::Deleted(object))) => (object, true),
                Ok(Some(WatchEvent::Bookmark(_))) => continue,
                Ok(Some(WatchEvent::Error(_)) | None) | Err(_) => return,
            };
            let Some(new) = view(&object) else { continue };
            let old = since.items.iter().find(|old| name(old) == name(&new));
            if gone || old != Some(&new) {
                return;
            }
        }
    }

    fn error(&self, act: &'static str, error: ::kube::Error) -> Error {
        let address = self.address.clone();
        match error {
            ::kube::Error::Api(status) if status.code >= 500 => {
                self.unreachable(format!("it is not ready: {} (HTTP {})", status.message, status.code))
            }
            ::kube::Error::Api(status) => {
                Error::Refused { address, act, code: status.code, message: status.message }
            }
            error @ (::kube::Error::HyperError(_)
            | ::kube::Error::Service(_)
            | ::kube::Error::ReadEvents(_)) => self.unreachable(last_cause(&error)),
            source => Error::Answer { address, act, source: Box::new(source) },
        }
    }

    fn unreachable(&self, reason: String) -> Error {
        Error::Unreachable { address: self.address.clone(), reason }
    }
}

/// The server of the kubeconfig's current context.
fn server(kubeconfig: &Kubeconfig) -> Option<String> {
    let current = kubeconfig.current_context.as_deref()?;
    let context = kubeconfig.contexts.iter().find(|context| context.name == current)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|cluster| cluster.name == context.cluster)?;
    cluster.cluster.as_ref()?.server.clone()
}

/// What really happened: the links of the chain above it only say that something did.
fn last_cause(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_api_that_nobody_serves_is_named_with_its_address_and_a_hint() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = format!("http://127.0.0.1:{port}");
        let kubernetes = Kubernetes::connect(plain(&server)).await.unwrap();
        let error = kubernetes.nodes().await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("the API at {server} does not answer: ")), "{error}");
        assert!(error.to_string().contains("refused"), "{error}");
        assert!(error.hint().unwrap().contains("windlass get instances"));
    }

    #[tokio::test]
    async fn a_minted_certificate_makes_a_connection() {
        use std::time::SystemTime;

        use crate::pki::{client, keyset};
        let now = SystemTime::now();
        let authority = keyset::generate(keyset::KUBERNETES_CA, now).unwrap();
        let user = client::issue(&authority, "windlass", client::ADMINISTRATORS, Duration::from_mins(5), now)
            .unwrap();
        let kubeconfig = super::kubeconfig("https://203.0.113.7", &authority.bundle(), &user).unwrap();
        let kubernetes = Kubernetes::connect(kubeconfig).await.unwrap();
        assert_eq!(kubernetes.address(), "https://203.0.113.7");
    }

    #[tokio::test]
    async fn nodes_come_page_by_page() {
        let server = serve(vec![
            (200, json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {"continue": "next", "resourceVersion": "7"},
                    "items": [{"metadata": {"name": "i-1"}}]})),
            (200, json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"},
                    "items": [{"metadata": {"name": "i-2"}}]})),
        ])
        .await;
        let kubernetes = Kubernetes::connect(plain(&server)).await.unwrap();
        let nodes = kubernetes.nodes().await.unwrap();
        assert_eq!(nodes.items.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["i-1", "i-2"]);
        assert_eq!(nodes.version, "7");
    }

    #[tokio::test]
    async fn persistent_volumes_elsewhere_than_on_ebs_are_left_out() {
        let volume = |driver: &str, policy: &str| {
            json!({"metadata": {"name": "pv"}, "spec": {"persistentVolumeReclaimPolicy": policy,
                "csi": {"driver": driver, "volumeHandle": "vol-1"}}})
        };
        let items = [volume("ebs.csi.aws.com", "Delete"), volume("nfs.csi.k8s.io", "Delete")];
        let list =
            json!({"kind": "PersistentVolumeList", "apiVersion": "v1", "metadata": {}, "items": items});
        let server = serve(vec![(200, list)]).await;
        let kubernetes = Kubernetes::connect(plain(&server)).await.unwrap();
        let expected = PersistentVolume { volume: "vol-1".to_owned(), is_reclaimed: true };
        assert_eq!(kubernetes.persistent_volumes().await.unwrap(), [expected]);
    }

    #[tokio::test]
    async fn only_critical_and_static_pods_are_looked_at() {
        let pod = |name: &str, class: &str| json!({"metadata": {"name": name}, "spec": {"containers": [], "priorityClassName": class}});
        let server = serve(vec![(
            200,
            json!({"kind": "PodList", "apiVersion": "v1", "metadata": {},
            "items": [pod("coredns", "system-cluster-critical"), pod("web", "high")]}),
        )])
        .await;
        let kubernetes = Kubernetes::connect(plain(&server)).await.unwrap();
        let pods = kubernetes.critical_pods().await.unwrap();
        assert_eq!(pods.items.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(), ["coredns"]);
    }

    #[tokio::test]
    async fn a_refusal_is_not_taken_for_an_outage() {
        let refusal = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden",
            "message": "nodes is forbidden", "code": 403});
        let server = serve(vec![(403, refusal)]).await;
        let kubernetes = Kubernetes::connect(plain(&server)).await.unwrap();
        let error = kubernetes.nodes().await.unwrap_err();
        assert!(matches!(&error, Error::Refused { code: 403, .. }), "{error:?}");
        assert!(error.to_string().contains("refuses to list nodes: nodes is forbidden"), "{error}");
    }

    #[tokio::test]
    async fn waiting_for_a_change_ends_with_the_limit() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let kubernetes = Kubernetes::connect(plain(&format!("http://127.0.0.1:{port}"))).await.unwrap();
        let nodes = Listed { items: Vec::new(), version: "1".to_owned() };
        let pods = Listed { items: Vec::new(), version: "1".to_owned() };
        let wait = kubernetes.changed(&nodes, &pods, Duration::from_millis(50));
        timeout(Duration::from_secs(10), wait).await.unwrap();
    }

    fn plain(server: &str) -> Kubeconfig {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "c", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        }))
        .unwrap()
    }

    /// Answers one request after the other on a port of its own, until there is nothing left to answer.
    async fn serve(answers: Vec<(u16, serde_json::Value)>) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            for (code, body) in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = [0; 8192];
                let _ = connection.read(&mut request).await.unwrap();
                let body = body.to_string();
                let answer = format!(
                    "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        format!("http://{address}")
    }
}
