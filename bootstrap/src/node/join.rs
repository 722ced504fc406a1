//! How a node joins, and joins anew: it asks a master for the certificate of its kubelet.
//!
//! The agent asks, not the kubelet: it can wait until the API answers and knows the token, while a kubelet that is
//! refused backs off for seconds; and it can do so again when the certificate has expired, at any time, with the token
//! of that day. The kubelet starts with a certificate, and renews it itself from then on.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
};
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client};
use tokio::net::TcpStream;

use crate::agent::Agent;
use crate::aws::state::{StateError, StateStore};
use crate::contract::bootstrap_token::BootstrapToken;
use crate::contract::config::{self, NodeConfig};
use crate::contract::endpoint::Endpoint;
use crate::contract::keys;
use crate::host::Host;
use crate::kubernetes::api::{self, ApiError};
use crate::node::client_certificate::{self, CertificateFile, CertificateFileError, Request};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Gets the certificate. A node may be there long before its master.
pub const STEP: Step = Step::new("ensure_kubelet_certificate", Duration::from_hours(1)).outside();

/// How long a connection to the API may take to be made. It is in the same VPC; an address that nobody has yet drops
/// what is sent to it, and the system would only try again after a second.
const CONNECT: Duration = Duration::from_millis(300);
/// How soon to look again for an API that doesn't answer. It costs nobody anything.
const SOON: Duration = Duration::from_millis(100);
/// How soon to read the state, or to ask the API, again.
const AGAIN: Duration = Duration::from_millis(250);
/// How long an answer is watched for before the connection is made anew, which may be dead.
const WATCH: Duration = Duration::from_secs(20);
/// How long after a refusal a node asks again. Whoever can mend the reason needs longer than that.
const AFTER_REFUSAL: SignedDuration = SignedDuration::from_mins(5);
/// Who signs kubelets' certificates (Kubernetes, "Certificates and Certificate Signing Requests").
const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// What can go wrong while a node joins.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Nobody listens at the API's address.
    #[error("the Kubernetes API at {0} does not answer yet")]
    NoApi(Endpoint, #[source] std::io::Error),
    /// No master has written a token yet.
    #[error("no master has written a bootstrap token yet")]
    NoToken(#[source] Option<StateError>),
    /// The token is from a master that has stopped writing them.
    #[error("the bootstrap token has expired at {0}, and no master has written another one yet")]
    Expired(Timestamp),
    /// The state.
    #[error("the bootstrap token can't be read")]
    Read(#[source] StateError),
    /// What the state holds is not a token. Deliberately without the parser's words, which may quote it.
    #[error("the state's {0} is not a bootstrap token that this agent understands")]
    Format(String),
    /// The API starts, or the token is not the present one.
    #[error("the Kubernetes API does not take the bootstrap token yet")]
    Refused(#[source] Box<kube::Error>),
    /// The API.
    #[error("the kubelet's certificate can't be asked for")]
    Api(#[source] ApiError),
    /// The request is made, and nobody has answered it.
    #[error("the certificate request {0} waits for a master's approval")]
    Requested(String),
    /// Approved, and not signed.
    #[error("the certificate request {0} is approved, and waits for kube-controller-manager's signature")]
    Approved(String),
    /// The answer is no.
    #[error("the certificate request {name} was refused: {reason}; it is made anew at {again}")]
    Denied {
        /// The request.
        name: String,
        /// A master's words.
        reason: String,
        /// When the next one is made.
        again: Timestamp,
    },
    /// Somebody removed the request before it was answered.
    #[error("the certificate request {0} is gone: it is made anew")]
    Gone(String),
    /// The watch broke off.
    #[error("the certificate request {0} can't be watched")]
    Watch(String, #[source] Box<kube::runtime::wait::Error>),
    /// The certificate's files.
    #[error(transparent)]
    Files(#[from] CertificateFileError),
}

impl Classed for JoinError {
    fn class(&self) -> Class {
        match self {
            Self::NoApi(..)
            | Self::NoToken(_)
            | Self::Expired(_)
            | Self::Refused(_)
            | Self::Requested(_)
            | Self::Approved(_) => Class::Waiting,
            Self::Read(error) => error.class(),
            Self::Api(error) => error.class(),
            Self::Files(error) => error.class(),
            Self::Denied { .. } | Self::Gone(_) | Self::Watch(..) => Class::Passing,
            Self::Format(_) => Class::Permanent,
        }
    }

    fn again(&self) -> Option<Duration> {
        match self {
            Self::NoApi(..) => Some(SOON),
            Self::NoToken(_) | Self::Refused(_) => Some(AGAIN),
            // From here on the answer is watched for.
            Self::Requested(_) | Self::Approved(_) => Some(Duration::ZERO),
            _ => None,
        }
    }
}

/// The step: joins the cluster, unless the kubelet has a certificate that holds, as after a reboot.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let mut joining = Joining::new(&agent.host, &agent.store, &agent.config, &agent.identity.id);
    agent.on_machine(STEP, async || joining.ensure().await.map(Done::changed_if)).await.map(drop)
}

/// A node that joins.
pub struct Joining {
    host: Host,
    store: StateStore,
    cluster: String,
    node: String,
    endpoint: Endpoint,
    server: String,
    authorities: String,
    /// The request that was made, and who watches it.
    asked: Option<(Client, Request)>,
    refused: Option<Refusal>,
}

impl std::fmt::Debug for Joining {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Joining").field("node", &self.node).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
struct Refusal {
    name: String,
    reason: String,
    again: Timestamp,
}

impl Joining {
    /// The instance of this id joins.
    pub fn new(host: &Host, store: &StateStore, config: &NodeConfig, instance: &str) -> Self {
        Self {
            host: host.clone(),
            store: store.clone(),
            cluster: config.cluster.clone(),
            node: instance.to_owned(),
            server: config.api_endpoint().url_with_port(),
            endpoint: config.api_endpoint(),
            authorities: config.kubernetes_ca.clone(),
            asked: None,
            refused: None,
        }
    }

    /// The same, of an API that a test brings.
    #[cfg(test)]
    pub(crate) fn at(self, address: std::net::SocketAddr) -> Self {
        let endpoint = Endpoint { host: address.ip().to_string().into(), port: address.port() };
        Self { endpoint, server: format!("http://{address}"), ..self }
    }

    /// Gets a certificate unless there is one that holds. Returns whether there is a new one.
    pub async fn ensure(&mut self) -> Result<bool, JoinError> {
        match client_certificate::look(&self.host, &self.node, Timestamp::now())? {
            CertificateFile::Valid(_) => return Ok(false),
            CertificateFile::Missing => {}
            CertificateFile::Expired(at) => {
                tracing::info!(%at, "the kubelet's certificate has expired: joining anew");
            }
            CertificateFile::Useless(why) => {
                tracing::warn!(why, "the kubelet's certificate is of no use: joining anew");
            }
        }
        self.ask_and_wait().await.map(|()| true)
    }

    /// Gets a certificate, whatever there is. One attempt: it makes the request, or waits for its answer.
    pub async fn ask_and_wait(&mut self) -> Result<(), JoinError> {
        self.attempt(Request::begin).await
    }

    /// Gets another certificate for the key of the present one. One attempt, as well.
    pub async fn ask_again_and_wait(&mut self) -> Result<(), JoinError> {
        self.attempt(Request::again).await
    }

    async fn attempt(
        &mut self,
        begin: fn(&Host, &str) -> Result<Request, CertificateFileError>,
    ) -> Result<(), JoinError> {
        self.check_refusal()?;
        let Some((client, request)) = self.asked.take() else {
            let (client, request) = self.ask(begin).await?;
            let name = request.name.clone();
            self.asked = Some((client, request));
            return Err(JoinError::Requested(name));
        };
        let issued = self.wait(client, &request).await?;
        let kept = request.keep(&self.host, &self.node, &issued, Timestamp::now());
        if let Err(CertificateFileError::Useless(_)) = &kept {
            // The same request would get the same answer.
            client_certificate::forget(&self.host)?;
        }
        Ok(kept?)
    }

    /// Leaves the masters alone for a while after a refusal, and begins a new request after that.
    fn check_refusal(&mut self) -> Result<(), JoinError> {
        let Some(Refusal { name, reason, again }) = self.refused.clone() else { return Ok(()) };
        if Timestamp::now() < again {
            return Err(JoinError::Denied { name, reason, again });
        }
        client_certificate::forget(&self.host)?;
        self.refused = None;
        Ok(())
    }

    /// Makes the request, with the token of the day.
    async fn ask(
        &self,
        begin: fn(&Host, &str) -> Result<Request, CertificateFileError>,
    ) -> Result<(Client, Request), JoinError> {
        reach(&self.endpoint).await?;
        let token = read_token(&self.store, &self.cluster, Timestamp::now()).await?;
        let client = api::connect_with_token(&self.server, &self.authorities, &token.token);
        let client = client.map_err(JoinError::Api)?;
        let request = begin(&self.host, &self.node)?;
        match requests(&client).create(&PostParams::default(), &object(&request)).await {
            // An agent before this one has made it already, with the same key.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(not_taken(error)),
            Ok(_) => tracing::info!(request = request.name, "asked for the kubelet's certificate"),
        }
        Ok((client, request))
    }

    /// Watches the request until it is answered; returns the certificate.
    async fn wait(&mut self, client: Client, request: &Request) -> Result<Vec<u8>, JoinError> {
        let name = &request.name;
        let answer = await_condition(requests(&client), name, is_answered);
        let answered = match tokio::time::timeout(WATCH, answer).await {
            Ok(answered) => answered.map_err(|error| JoinError::Watch(name.clone(), Box::new(error)))?,
            Err(_) => return Err(self.unanswered(&client, name).await),
        };
        let Some(status) = answered.map(|request| request.status.unwrap_or_default()) else {
            client_certificate::forget(&self.host)?;
            return Err(JoinError::Gone(name.clone()));
        };
        if let Some(refusal) = status.conditions.iter().flatten().find(|condition| is_refusal(condition)) {
            let at = refusal.last_update_time.as_ref().map_or_else(Timestamp::now, |time| time.0);
            let reason = refusal.message.clone().or_else(|| refusal.reason.clone()).unwrap_or_default();
            self.refused = Some(Refusal { name: name.clone(), reason, again: at + AFTER_REFUSAL });
            self.check_refusal()?;
            return Err(JoinError::Gone(name.clone()));
        }
        Ok(status.certificate.map(|certificate| certificate.0).unwrap_or_default())
    }

    /// What the request waits for after all this time.
    async fn unanswered(&self, client: &Client, name: &str) -> JoinError {
        let approved = match requests(client).get(name).await {
            Ok(request) => request.status.unwrap_or_default().conditions.unwrap_or_default(),
            Err(error) => return not_taken(error),
        };
        if approved.iter().any(|condition| condition.type_ == "Approved") {
            JoinError::Approved(name.to_owned())
        } else {
            JoinError::Requested(name.to_owned())
        }
    }
}

fn requests(client: &Client) -> Api<CertificateSigningRequest> {
    Api::all(client.clone())
}

fn object(request: &Request) -> CertificateSigningRequest {
    CertificateSigningRequest {
        metadata: ObjectMeta { name: Some(request.name.clone()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.pem.clone().into_bytes()),
            signer_name: SIGNER.to_owned(),
            usages: Some(vec!["digital signature".to_owned(), "client auth".to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

/// While the API starts it knows neither the token nor what a token's holder may do.
fn not_taken(error: kube::Error) -> JoinError {
    match error {
        kube::Error::Api(status) if status.code == 401 || status.code == 403 => {
            JoinError::Refused(Box::new(kube::Error::Api(status)))
        }
        error => JoinError::Api(ApiError::request("take a certificate request", error)),
    }
}

fn is_answered(request: Option<&CertificateSigningRequest>) -> bool {
    // One that is gone is not going to be answered.
    let Some(request) = request else { return true };
    let Some(status) = &request.status else { return false };
    status.certificate.as_ref().is_some_and(|certificate| !certificate.0.is_empty())
        || status.conditions.iter().flatten().any(is_refusal)
}

fn is_refusal(condition: &CertificateSigningRequestCondition) -> bool {
    condition.type_ == "Denied" || condition.type_ == "Failed"
}

/// Whether somebody listens there.
async fn reach(endpoint: &Endpoint) -> Result<(), JoinError> {
    match tokio::time::timeout(CONNECT, TcpStream::connect(endpoint.to_string())).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(JoinError::NoApi(endpoint.clone(), error)),
        Err(_) => Err(JoinError::NoApi(endpoint.clone(), std::io::ErrorKind::TimedOut.into())),
    }
}

async fn read_token(store: &StateStore, cluster: &str, now: Timestamp) -> Result<BootstrapToken, JoinError> {
    let key = keys::bootstrap_token(cluster);
    let bytes = match store.get(&key).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(JoinError::NoToken(None)),
        Err(error @ StateError::Hidden { .. }) => return Err(JoinError::NoToken(Some(error))),
        Err(error) => return Err(JoinError::Read(error)),
    };
    let token: BootstrapToken = match config::read(&bytes) {
        Ok(token) => token,
        Err(_) => return Err(JoinError::Format(key)),
    };
    if token.expires <= now {
        return Err(JoinError::Expired(token.expires));
    }
    Ok(token)
}

#[cfg(test)]
pub(crate) mod tests;
