//! What goes on after the boot, for as long as the instance lives: on masters approvals, Nodes, the bootstrap token and
//! certificates; on every instance the pod network's configuration and the credentials for image registries.
//!
//! Each is a task of its own that begins again after an error, and makes its connection anew now and then, because a
//! connection keeps the certificate it was made with.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::additional_objects;
use crate::api::{self, ApiError};
use crate::approve::{ApproveError, Approver};
use crate::boot::Instance;
use crate::bootstrap_token::{self, TokenError};
use crate::certificates::{self, Addresses, CertificateError};
use crate::cni;
use crate::config::ControlPlaneConfig;
use crate::dns;
use crate::host::Host;
use crate::keys;
use crate::membership::{self, Membership};
use crate::node_groups::{self, NodeGroups, NodeGroupsError};
use crate::nodes::{NodeKeeper, NodesError, Own};
use crate::registry_credentials;
use crate::report::BootState;
use crate::reporter::Reporter;
use crate::retry::chain;
use crate::secrets::{self, SecretsError};

/// How long a connection is kept.
const CONNECTION: Duration = Duration::from_hours(6);
/// How long to wait after an error.
const AFTER_ERROR: Duration = Duration::from_secs(3);
/// The longest that a kubelet's certificate is good, as kube-controller-manager is told.
const SIGNING: Duration = Duration::from_hours(168);
/// How often the groups of nodes are looked at.
const NODE_GROUPS: Duration = Duration::from_secs(20);
/// How often it is looked, while the boot is under way, whether cluster DNS is there: it is spread before nodes come.
const NODE_GROUPS_SOON: Duration = Duration::from_secs(1);
/// How often certificates are looked at.
const CERTIFICATES: Duration = Duration::from_hours(1);
/// How often the credentials for image registries are looked for.
const REGISTRY_CREDENTIALS: Duration = Duration::from_mins(5);
/// How often the pod network's configuration is looked at.
const NETWORK: Duration = Duration::from_secs(10);

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("no connection to the API")]
    Connect(#[source] ApiError),
    #[error("approving certificates stopped")]
    Approve(#[source] ApproveError),
    #[error("keeping the nodes stopped")]
    Nodes(#[source] NodesError),
    #[error("the groups of nodes can't be followed")]
    NodeGroups(#[source] NodeGroupsError),
    #[error("cluster DNS can't be spread over the nodes")]
    Dns(#[source] ApiError),
    #[error("the bootstrap token could not be renewed")]
    Token(#[source] TokenError),
    #[error("the secrets could not be read again")]
    Secrets(#[source] SecretsError),
    #[error("the certificates could not be renewed")]
    Certificates(#[source] CertificateError),
}

/// The tasks; they end when this is dropped.
#[derive(Debug, Default)]
pub struct Tasks(JoinSet<()>);

impl Tasks {
    /// Approvals and Nodes: what other machines wait for.
    pub fn start_master(
        &mut self,
        host: &Host,
        instance: &Arc<Instance>,
        control_plane: &ControlPlaneConfig,
    ) {
        let (known, groups) = watch::channel(None);
        self.0.spawn(approve(host.clone(), instance.clone()));
        self.0.spawn(follow_node_groups(host.clone(), instance.clone(), known));
        let own = Own {
            name: instance.identity.id.clone(),
            region: instance.identity.region.clone(),
            default_taint: control_plane.default_taint,
            labels: instance.config.kubelet.labels.keys().cloned().collect(),
        };
        self.0.spawn(keep_nodes(host.clone(), instance.clone(), own, groups));
    }

    /// The bootstrap token and the certificates, which the boot has just made.
    pub fn start_renewals(&mut self, host: &Host, instance: &Arc<Instance>, addresses: Addresses) {
        self.0.spawn(renew_token(host.clone(), instance.clone()));
        self.0.spawn(renew_certificates(host.clone(), instance.clone(), addresses));
    }

    /// A node's membership: the kubelet renews its certificate, unless it can't any more.
    pub fn start_membership(&mut self, host: &Host, instance: &Arc<Instance>) {
        self.0.spawn(keep_membership(host.clone(), instance.clone()));
    }

    /// The credentials for image registries, which a user may change at any time.
    pub fn start_registry_credentials(&mut self, host: &Host, instance: &Arc<Instance>) {
        self.0.spawn(keep_registry_credentials(host.clone(), instance.clone()));
    }

    /// The objects that the user keeps beside the specification.
    pub fn start_additional_objects(&mut self, host: &Host, reporter: &Reporter, instance: &Arc<Instance>) {
        self.0.spawn(keep_additional_objects(host.clone(), reporter.clone(), instance.clone()));
    }

    /// The pod network's configuration, which follows flannel.
    pub fn start_network(&mut self, host: &Host, instance: &Arc<Instance>) {
        self.0.spawn(keep_network(host.clone(), instance.clone()));
    }
}

/// Says what went wrong, and waits a little.
async fn settle<E: Error + 'static>(task: &str, result: Result<(), E>) {
    if let Err(error) = result {
        tracing::warn!(task, error = chain(&error), "begins again");
        tokio::time::sleep(AFTER_ERROR).await;
    }
}

async fn keep_membership(host: Host, instance: Arc<Instance>) {
    let mut membership = Membership::new(&host, &instance.store, &instance.config, &instance.identity.id);
    loop {
        tokio::time::sleep(membership::INTERVAL).await;
        let mut told = None;
        let kept = membership.ensure(|why| {
            let why = chain(why);
            if told.as_ref() != Some(&why) {
                tracing::info!(why, "joining anew waits");
                told = Some(why);
            }
        });
        let kept = kept.await;
        settle("membership", kept.map(drop)).await;
    }
}

async fn keep_registry_credentials(host: Host, instance: Arc<Instance>) {
    loop {
        tokio::time::sleep(REGISTRY_CREDENTIALS).await;
        let done = registry_credentials::ensure(&host, &instance.store, &instance.config.cluster).await;
        settle("registry credentials", done.map(drop)).await;
    }
}

async fn approve(host: Host, instance: Arc<Instance>) {
    loop {
        let work = async {
            let client = api::connect_as_admin(&host).await.map_err(KeepError::Connect)?;
            let approver = Approver { client, ec2: instance.ec2.clone(), longest: SIGNING };
            approver.run().await.map_err(KeepError::Approve)
        };
        // A connection that is old enough is no error.
        settle("approve", tokio::time::timeout(CONNECTION, work).await.unwrap_or(Ok(()))).await;
    }
}

async fn follow_node_groups(host: Host, instance: Arc<Instance>, known: watch::Sender<Option<NodeGroups>>) {
    loop {
        let work = async {
            let groups = node_groups::fetch(&instance.store, &instance.config.cluster).await;
            let Some(groups) = groups.map_err(KeepError::NodeGroups)? else { return Ok(true) };
            known.send_replace(Some(groups.clone()));
            let client = api::connect_as_admin(&host).await.map_err(KeepError::Connect)?;
            dns::ensure(&client, &groups).await.map_err(KeepError::Dns)
        };
        let outcome = work.await;
        let wait = if matches!(outcome, Ok(true)) { NODE_GROUPS } else { NODE_GROUPS_SOON };
        settle("groups of nodes", outcome.map(drop)).await;
        tokio::time::sleep(wait).await;
    }
}

async fn keep_nodes(
    host: Host,
    instance: Arc<Instance>,
    own: Own,
    groups: watch::Receiver<Option<NodeGroups>>,
) {
    loop {
        let work = async {
            let client = api::connect_as_admin(&host).await.map_err(KeepError::Connect)?;
            let (own, groups) = (own.clone(), groups.clone());
            let keeper = NodeKeeper { client, ec2: instance.ec2.clone(), own, groups };
            keeper.run().await.map_err(KeepError::Nodes)
        };
        settle("nodes", tokio::time::timeout(CONNECTION, work).await.unwrap_or(Ok(()))).await;
    }
}

async fn renew_token(host: Host, instance: Arc<Instance>) {
    loop {
        tokio::time::sleep(bootstrap_token::RENEWAL / 6).await;
        let work = async {
            let client = api::connect_as_admin(&host).await.map_err(KeepError::Connect)?;
            bootstrap_token::ensure(&client, &instance.store, &instance.config.cluster)
                .await
                .map_err(KeepError::Token)
        };
        settle("bootstrap token", work.await.map(drop)).await;
    }
}

async fn renew_certificates(host: Host, instance: Arc<Instance>, addresses: Addresses) {
    loop {
        tokio::time::sleep(CERTIFICATES).await;
        settle("certificates", ensure_certificates(&host, &instance, addresses).await).await;
    }
}

async fn ensure_certificates(
    host: &Host,
    instance: &Instance,
    addresses: Addresses,
) -> Result<(), KeepError> {
    let Some(control_plane) = &instance.config.control_plane else { return Ok(()) };
    // Read again: an authority may have been rotated.
    let secrets =
        secrets::fetch(&instance.store, &instance.config.cluster).await.map_err(KeepError::Secrets)?;
    secrets::ensure(host, &secrets).await.map_err(KeepError::Secrets)?;
    let leaves = certificates::master_leaves(&instance.config, control_plane, &instance.identity, addresses);
    let leaves = leaves.map_err(KeepError::Certificates)?;
    certificates::ensure(host, &secrets, &leaves, Timestamp::now()).map(drop).map_err(KeepError::Certificates)
}

async fn keep_network(host: Host, instance: Arc<Instance>) {
    loop {
        tokio::time::sleep(NETWORK).await;
        settle("pod network", cni::ensure(&host, &instance.config.network).map(drop)).await;
    }
}

async fn keep_additional_objects(host: Host, reporter: Reporter, instance: Arc<Instance>) {
    let (store, cluster) = (&instance.store, &instance.config.cluster);
    let mut applied = None;
    let mut told = None;
    loop {
        let outcome = additional_objects::ensure(&host, store, cluster, &mut applied).await;
        let problem = outcome.as_ref().err().map(|error| chain(error));
        if let Ok(true) = outcome {
            tracing::info!("the additional objects are applied");
        }
        // While the boot is under way, the report is the boot's.
        if problem != told && reporter.status().state == BootState::Ready {
            if let Some(problem) = &problem {
                tracing::warn!(task = additional_objects::STEP, error = problem, "is tried again");
            }
            if report_additional_objects(&reporter, &instance, problem.as_deref()).await {
                told = problem;
            }
        }
        tokio::time::sleep(additional_objects::INTERVAL).await;
    }
}

/// Writes into the instance's report what is wrong with the additional objects, or that nothing is any more. Returns
/// whether it could be written.
async fn report_additional_objects(reporter: &Reporter, instance: &Instance, problem: Option<&str>) -> bool {
    let mut status = reporter.status();
    if let Some(problem) = problem {
        status.state = BootState::Failed;
        additional_objects::STEP.clone_into(&mut status.step);
        status.reason = Some(problem.lines().collect::<Vec<_>>().join(" "));
        status.since = Timestamp::now();
    }
    let key = keys::status(&instance.config.cluster, &instance.identity.id);
    let Ok(bytes) = serde_json::to_vec_pretty(&status) else { return true };
    match instance.store.put(&key, bytes).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(error = chain(&error), "the report could not be written to the state");
            false
        }
    }
}
