//! What goes on after the boot, for as long as the instance lives: on masters approvals, Nodes, the bootstrap token,
//! certificates, and a look from time to time at the API and what moves with a master; on every instance the pod network's
//! configuration, the credentials for image registries, and a look at the kernel and the kubelet.
//!
//! Each is a task of its own that begins again after an error and says in the instance's report that it fails. What
//! holds a connection makes it anew now and then, because a connection keeps the certificate it was made with.

use std::collections::BTreeSet;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::address::private_address;
use crate::boot::Instance;
use crate::contract::config::ControlPlaneConfig;
use crate::contract::node_groups::NodeGroups;
use crate::control_plane::additional_objects;
use crate::control_plane::approve::{ApproveError, Approver};
use crate::control_plane::bootstrap_token::{self, TokenError};
use crate::control_plane::dns;
use crate::control_plane::node_groups::{self, NodeGroupsError};
use crate::control_plane::nodes::{NodeKeeper, NodesError, Own};
use crate::host::Host;
use crate::kubernetes::api::{self, ApiError};
use crate::node::kernel;
use crate::node::kubelet;
use crate::node::kubelet::KubeletError;
use crate::node::membership::{self, Membership};
use crate::node::pod_network;
use crate::node::registry_credentials;
use crate::progress::reporter::Reporter;
use crate::progress::retry::chain;
use crate::secrets::certificates::{self, Addresses, CertificateError};
use crate::secrets::stored::{self, SecretsError};
use crate::storage::filesystem;
use crate::storage::volume::VolumeStep;

/// How long a connection is kept.
const CONNECTION: Duration = Duration::from_hours(6);
/// How long to wait after an error at most.
const AFTER_ERROR: Duration = Duration::from_secs(15);
/// How long to wait before something is begun anew that ended.
const ANEW: Duration = Duration::from_secs(3);
/// How long something that failed must go on without an error until it counts as working again.
const SETTLED: Duration = Duration::from_secs(30);
/// How often the groups of nodes are looked at.
const NODE_GROUPS: Duration = Duration::from_secs(20);
/// How often it is looked, while the boot is under way, whether cluster DNS is there: it is spread before nodes come.
const NODE_GROUPS_SOON: Duration = Duration::from_secs(1);
/// How often the bootstrap token is looked at: several times before another one is needed.
const TOKEN: Duration = Duration::from_mins(5);
/// How often certificates are looked at.
const CERTIFICATES: Duration = Duration::from_hours(1);
/// How often the credentials for image registries are looked for.
const REGISTRY_CREDENTIALS: Duration = Duration::from_mins(5);
/// How often the pod network's configuration is looked at.
const NETWORK: Duration = Duration::from_secs(10);
/// How often what the boot made right is looked at: on a master that is three requests to EC2.
const LOOK: Duration = Duration::from_mins(1);

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
    #[error("the kubelet could not be looked at")]
    Kubelet(#[source] KubeletError),
    #[error("the kubelet did not run, and was started again")]
    KubeletDown,
}

/// The tasks; they end when this is dropped.
#[derive(Debug)]
pub struct Tasks {
    keeper: Keeper,
    started: BTreeSet<&'static str>,
    running: JoinSet<()>,
}

impl Tasks {
    /// No task yet.
    pub fn new(host: &Host, reporter: &Reporter, instance: &Arc<Instance>) -> Self {
        let (host, reporter, instance) = (host.clone(), reporter.clone(), instance.clone());
        let keeper = Keeper { host, reporter, instance, after_error: AFTER_ERROR };
        Self { keeper, started: BTreeSet::new(), running: JoinSet::new() }
    }

    /// The names of those that were started.
    pub fn started(&self) -> &BTreeSet<&'static str> {
        &self.started
    }

    fn start(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.started.insert(name);
        self.running.spawn(task);
    }

    /// Approvals and Nodes: what other machines wait for.
    pub fn start_master(&mut self, control_plane: &ControlPlaneConfig) {
        let Instance { identity, config, .. } = &*self.keeper.instance;
        let own = Own {
            name: identity.id.clone(),
            region: identity.region.clone(),
            default_taint: control_plane.default_taint,
            labels: config.kubelet.labels.keys().cloned().collect(),
        };
        let (known, groups) = watch::channel(None);
        self.start("approve_certificates", self.keeper.clone().approve(control_plane.clone()));
        self.start("follow_node_groups", self.keeper.clone().follow_node_groups(known));
        self.start("keep_nodes", self.keeper.clone().keep_nodes(own, groups));
    }

    /// The certificates, which the boot has just made; the API, and what moves with the master. None of it needs the
    /// state to begin with.
    pub fn start_renewals(&mut self, control_plane: &ControlPlaneConfig, addresses: Addresses) {
        let (changed, addresses) = watch::channel(addresses);
        self.start("renew_certificates", self.keeper.clone().renew_certificates(addresses));
        self.start("look_at_master", self.keeper.clone().look_at_master(control_plane.clone(), changed));
    }

    /// The bootstrap token: at once, unless the boot has just made sure that it is there.
    pub fn start_token(&mut self, is_there: bool) {
        let first = if is_there { TOKEN } else { Duration::ZERO };
        self.start(bootstrap_token::TASK, self.keeper.clone().renew_token(first));
    }

    /// A node's membership: the kubelet renews its certificate, unless it can't any more.
    pub fn start_membership(&mut self) {
        self.start("keep_membership", self.keeper.clone().keep_membership());
    }

    /// The credentials for image registries, which a user may change at any time.
    pub fn start_registry_credentials(&mut self) {
        self.start(registry_credentials::TASK, self.keeper.clone().keep_registry_credentials());
    }

    /// The objects that the user keeps beside the specification.
    pub fn start_additional_objects(&mut self) {
        self.start(additional_objects::TASK, self.keeper.clone().keep_additional_objects());
    }

    /// The pod network's configuration, which follows flannel.
    pub fn start_network(&mut self) {
        self.start("keep_pod_network", self.keeper.clone().keep_network());
    }

    /// A look from time to time at the kernel and the kubelet.
    pub fn start_looks(&mut self) {
        self.start("look_at_machine", self.keeper.clone().look_at_machine());
    }
}

/// What every task works with.
#[derive(Clone, Debug)]
struct Keeper {
    host: Host,
    reporter: Reporter,
    instance: Arc<Instance>,
    after_error: Duration,
}

impl Keeper {
    /// Puts into the report how a task went. Returns its value, if it went well.
    fn tell<T, E: Error + 'static>(&self, task: &str, outcome: Result<T, E>) -> Option<T> {
        let problem = outcome.as_ref().err().map(|error| chain(error));
        self.reporter.keeps(task, problem.as_deref());
        outcome.ok()
    }

    /// Does something again and again, the first time after `first`; after an error sooner.
    async fn every<E, F>(&self, task: &str, first: Duration, interval: Duration, mut work: impl FnMut() -> F)
    where
        E: Error + 'static,
        F: Future<Output = Result<(), E>>,
    {
        let mut pause = first;
        loop {
            tokio::time::sleep(pause).await;
            let done = self.tell(task, work().await);
            pause = if done.is_some() { interval } else { interval.min(self.after_error) };
        }
    }

    /// Keeps something going that ends only with an error, and begins it anew when its connection is old.
    async fn keep_going<F>(&self, task: &str, mut work: impl FnMut() -> F)
    where
        F: Future<Output = Result<(), KeepError>>,
    {
        loop {
            let mut going = std::pin::pin!(work());
            let outcome = if let Ok(outcome) = tokio::time::timeout(SETTLED, &mut going).await {
                outcome
            } else {
                self.reporter.keeps(task, None);
                // A connection that is old enough is no error.
                tokio::time::timeout(CONNECTION, going).await.unwrap_or(Ok(()))
            };
            if self.tell(task, outcome).is_none() {
                tokio::time::sleep(ANEW).await;
            }
        }
    }

    async fn approve(self, control_plane: ControlPlaneConfig) {
        let work = || async {
            let client = api::connect_as_admin(&self.host).await.map_err(KeepError::Connect)?;
            self.approver(client, &control_plane).run().await.map_err(KeepError::Approve)
        };
        self.keep_going("approve_certificates", work).await;
    }

    /// It remembers until when a certificate is good: as long as the cluster's kube-controller-manager makes it.
    fn approver(&self, client: Client, control_plane: &ControlPlaneConfig) -> Approver {
        let longest = control_plane.certificate_lifetime();
        Approver { client, ec2: self.instance.ec2.clone(), longest }
    }

    async fn follow_node_groups(self, known: watch::Sender<Option<NodeGroups>>) {
        loop {
            let spread = self.tell("follow_node_groups", self.spread_over_node_groups(&known).await);
            let pause = match spread {
                Some(true) => NODE_GROUPS,
                Some(false) => NODE_GROUPS_SOON,
                None => ANEW,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Returns whether nothing is left to be done for the groups as they are.
    async fn spread_over_node_groups(
        &self,
        known: &watch::Sender<Option<NodeGroups>>,
    ) -> Result<bool, KeepError> {
        let Instance { store, config, .. } = &*self.instance;
        let groups = node_groups::fetch(store, &config.cluster).await.map_err(KeepError::NodeGroups)?;
        let Some(groups) = groups else { return Ok(true) };
        known.send_replace(Some(groups.clone()));
        let client = api::connect_as_admin(&self.host).await.map_err(KeepError::Connect)?;
        dns::ensure(&client, &groups).await.map_err(KeepError::Dns)
    }

    async fn keep_nodes(self, own: Own, groups: watch::Receiver<Option<NodeGroups>>) {
        let work = || async {
            let client = api::connect_as_admin(&self.host).await.map_err(KeepError::Connect)?;
            let (own, groups) = (own.clone(), groups.clone());
            let keeper = NodeKeeper { client, ec2: self.instance.ec2.clone(), own, groups };
            keeper.run().await.map_err(KeepError::Nodes)
        };
        self.keep_going("keep_nodes", work).await;
    }

    async fn renew_token(self, first: Duration) {
        let Instance { store, config, .. } = &*self.instance;
        let work = || async {
            let client = api::connect_as_admin(&self.host).await.map_err(KeepError::Connect)?;
            bootstrap_token::ensure(&client, store, &config.cluster).await.map(drop).map_err(KeepError::Token)
        };
        self.every(bootstrap_token::TASK, first, TOKEN, work).await;
    }

    /// From time to time, and at once when an address has changed.
    async fn renew_certificates(self, mut addresses: watch::Receiver<Addresses>) {
        let mut pause = CERTIFICATES;
        loop {
            // Nobody is left who could change them: then only the time counts.
            if let Ok(Err(_)) = tokio::time::timeout(pause, addresses.changed()).await {
                tokio::time::sleep(pause).await;
            }
            let now = *addresses.borrow_and_update();
            let done = self.tell("renew_certificates", self.ensure_certificates(now).await);
            pause = if done.is_some() { CERTIFICATES } else { self.after_error };
        }
    }

    async fn ensure_certificates(&self, addresses: Addresses) -> Result<(), KeepError> {
        let Instance { identity, config, store, .. } = &*self.instance;
        let Some(control_plane) = &config.control_plane else { return Ok(()) };
        // Read again: an authority may have been rotated.
        let secrets = stored::obtain(&self.host, store, &config.cluster).await;
        let (secrets, _) = secrets.map_err(KeepError::Secrets)?;
        let leaves = certificates::master_leaves(config, control_plane, identity, addresses);
        let leaves = leaves.map_err(KeepError::Certificates)?;
        let made = certificates::ensure(&self.host, &secrets, &leaves, Timestamp::now());
        made.map(drop).map_err(KeepError::Certificates)
    }

    async fn keep_membership(self) {
        const TASK: &str = "keep_membership";
        let Instance { identity, config, store, .. } = &*self.instance;
        let mut membership = Membership::new(&self.host, store, config, &identity.id);
        loop {
            tokio::time::sleep(membership::INTERVAL).await;
            // Joining anew may wait for long: that it does is told while it waits.
            let kept = membership.ensure(|why| self.reporter.keeps(TASK, Some(&chain(why)))).await;
            self.tell(TASK, kept);
        }
    }

    async fn keep_registry_credentials(self) {
        let Instance { store, config, .. } = &*self.instance;
        let work =
            || async { registry_credentials::ensure(&self.host, store, &config.cluster).await.map(drop) };
        // The boot may have gone on without them.
        self.every(registry_credentials::TASK, Duration::ZERO, REGISTRY_CREDENTIALS, work).await;
    }

    async fn keep_network(self) {
        let network = &self.instance.config.network;
        let work = || async { pod_network::ensure(&self.host, network).map(drop) };
        self.every("keep_pod_network", NETWORK, NETWORK, work).await;
    }

    async fn keep_additional_objects(self) {
        let Instance { store, config, .. } = &*self.instance;
        let mut applied = None;
        loop {
            let outcome = additional_objects::ensure(&self.host, store, &config.cluster, &mut applied).await;
            if self.tell(additional_objects::TASK, outcome) == Some(true) {
                tracing::info!("the additional objects are applied");
            }
            tokio::time::sleep(additional_objects::INTERVAL).await;
        }
    }

    async fn look_at_machine(self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.tell("ensure_kernel", kernel::ensure(&self.host).await);
            self.tell("ensure_kubelet", self.look_at_kubelet().await);
        }
    }

    /// systemd starts a kubelet again that has ended; this one also starts what somebody has stopped.
    async fn look_at_kubelet(&self) -> Result<(), KeepError> {
        let Instance { identity, config, .. } = &*self.instance;
        let active = kubelet::is_active(&self.host).await.map_err(KeepError::Kubelet)?;
        kubelet::ensure(&self.host, config, identity).await.map_err(KeepError::Kubelet)?;
        if active { Ok(()) } else { Err(KeepError::KubeletDown) }
    }

    async fn look_at_master(self, control_plane: ControlPlaneConfig, addresses: watch::Sender<Addresses>) {
        let mut volume = VolumeStep::default();
        loop {
            tokio::time::sleep(LOOK).await;
            self.tell("ensure_api", self.look_at_api(&control_plane.etcd.name).await);
            self.look_at_volume_and_addresses(&control_plane, &mut volume, &addresses).await;
        }
    }

    async fn look_at_api(&self, etcd: &str) -> Result<(), ApiError> {
        let client = api::connect_as_admin(&self.host).await?;
        api::check_ready_here(&self.host, &client, etcd).await
    }

    /// Looks at the volume, its file system, the stable private address and the Elastic IP, as the boot does, and puts
    /// right what isn't.
    async fn look_at_volume_and_addresses(
        &self,
        control_plane: &ControlPlaneConfig,
        volume: &mut VolumeStep,
        addresses: &watch::Sender<Addresses>,
    ) {
        let (host, Instance { identity, config, store, ec2 }) = (&self.host, &*self.instance);
        let attached = volume.attempt(host, ec2, identity, &control_plane.etcd).await;
        // The volume is the fence: where somebody else has it, the addresses are theirs, too.
        let Some((attached, _)) = self.tell("ensure_volume", attached) else { return };
        let mounted =
            filesystem::ensure(host, ec2, store, &attached, &config.cluster, &control_plane.etcd).await;
        self.tell("ensure_filesystem", mounted);
        let stable = addresses.borrow().stable;
        let private = private_address::ensure_private_address(host, ec2, identity, stable).await;
        self.tell("ensure_private_address", private);
        if control_plane.elastic_ip {
            let elastic =
                private_address::ensure_elastic_ip(ec2, identity, &config.instance_group, stable).await;
            if let Some((elastic, _)) = self.tell("ensure_elastic_ip", elastic) {
                // The API server's certificate names it.
                addresses.send_if_modified(|known| known.elastic.replace(elastic) != Some(elastic));
            }
        }
    }
}

#[cfg(test)]
mod tests;
