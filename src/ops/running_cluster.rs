//! A cluster that runs: its specification, and the doors to AWS, the state and the Kubernetes API.

use std::time::{Duration, SystemTime};

use super::{Located, OperationError};
use crate::aws::Clients;
use crate::health::{Authority, StateView, Unanswered};
use crate::kube::{self, Kubernetes, endpoint};
use crate::pki::client;
use crate::pki::keyset::{self, KEYSETS, KUBERNETES_CA};
use crate::spec::cluster::Cluster;
use crate::state::{ClusterState, SecretsError, Specification, StateError, Store};

/// How long the certificate is good that a command makes for itself: longer than any command runs.
const LIFETIME: Duration = Duration::from_hours(12);

/// A cluster that runs.
#[derive(Debug)]
pub struct RunningCluster {
    /// What the user wants.
    pub cluster: Cluster,
    /// AWS, in the cluster's region.
    pub clients: Clients,
    state: ClusterState,
}

impl RunningCluster {
    /// Finds the cluster of a specification that was read.
    ///
    /// # Errors
    ///
    /// Fails where the specification isn't good, and where the credentials lead to another account.
    pub async fn open(state: ClusterState, specification: &Specification) -> Result<Self, OperationError> {
        let cluster = specification.resolve()?;
        let clients = Located::find(&state, &cluster.region).await?.clients;
        // What it is asked from here on is asked again and again.
        state.store().forget();
        Ok(Self { cluster, clients, state })
    }

    /// Whether it was ever begun to bring the cluster to AWS.
    pub async fn was_begun(&self) -> Result<bool, StateError> {
        self.state.was_begun().await
    }

    /// The cluster of a state.
    pub async fn of(state: &ClusterState, clients: &Clients) -> Result<Self, OperationError> {
        let cluster = state.read().await?.resolve()?;
        Ok(Self { cluster, clients: clients.clone(), state: state.clone() })
    }

    /// The state.
    pub fn store(&self) -> &Store {
        self.state.store()
    }

    /// What the state holds that machines are made with.
    pub async fn state_view(&self) -> Result<StateView, OperationError> {
        let damaged_secrets = self.state.damaged_secrets().await?;
        let mut authorities = Vec::new();
        for name in KEYSETS {
            let keyset = match self.state.keyset(name).await {
                // It is among the damaged ones.
                Err(SecretsError::Damaged { .. }) => None,
                read => read?,
            };
            let expires = keyset.as_ref().and_then(keyset::expires);
            authorities.extend(expires.map(|expires| Authority { name: name.to_owned(), expires }));
        }
        Ok(StateView { damaged_secrets, authorities })
    }

    /// Makes a certificate that is never written down, and a connection with it. That there can't be one yet is an
    /// answer, not a failure.
    pub async fn connect(&self) -> Result<Result<Kubernetes, Unanswered>, OperationError> {
        let endpoints = endpoint::find(&self.clients, &self.cluster).await;
        let what = format!("the address of the API of \"{}\"", self.cluster.name);
        let endpoints = endpoints.map_err(OperationError::look(what))?;
        let Some(endpoint) = endpoints.outside else {
            return Ok(Err(not_applied("the API has no address yet")));
        };
        let authority = match self.state.keyset(KUBERNETES_CA).await {
            Ok(Some(authority)) => authority,
            Ok(None) => {
                let missing = format!("the state of `{}` has no `{KUBERNETES_CA}`", self.cluster.name);
                return Ok(Err(not_applied(&missing)));
            }
            Err(error @ SecretsError::Damaged { .. }) => {
                let hint = error.hint();
                return Ok(Err(Unanswered { message: error.to_string(), hint, may_come: false }));
            }
            Err(error) => return Err(error.into()),
        };
        let user =
            client::issue(&authority, "windlass", client::ADMINISTRATORS, LIFETIME, SystemTime::now())?;
        let kubeconfig = kube::kubeconfig(&endpoint.url(), &authority.bundle(), &user)?;
        Ok(Ok(Kubernetes::connect(kubeconfig).await?))
    }
}

fn not_applied(message: &str) -> Unanswered {
    Unanswered {
        message: message.to_owned(),
        hint: Some("`windlass update cluster` shows what is missing, and makes it with --yes".to_owned()),
        may_come: false,
    }
}
