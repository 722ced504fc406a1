//! Decides which kubelets get a certificate: every request is checked against EC2.
//!
//! Kubernetes' own approver looks at groups only, so whoever holds a bootstrap token could take any node's name. Here a
//! first certificate is for a running instance of this cluster that was launched recently and is not a working Node
//! already, once for each launch ([`crate::control_plane::grants`]); a renewal is asked for by the node itself; and a serving
//! certificate holds nothing but the instance's own names and addresses.
//!
//! What is wrong with a request itself is denied at once. What EC2 or the Node don't say *yet* is looked at again, less
//! and less often, and denied only after [`verdict::PATIENCE`], with the reason, which the node then reports.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{
    CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestStatus,
};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::PostParams;
use kube::runtime::watcher;
use kube::{Api, Client};

use crate::agent::Agent;
use crate::aws::ec2::{Ec2, FILTER_VALUES, Instance};
use crate::background::lasting::{Lasting, lasting};
use crate::contract::config::ControlPlaneConfig;
use crate::control_plane::grants::{Answered, Grant, Memory};
use crate::kubernetes::api::{self, ApiError, ready_condition};
use crate::progress::retry::chain;

mod queue;
pub mod request;
pub mod verdict;

use queue::{Pending, Queue};
use request::{CLIENT_SIGNER, Request, SERVING_SIGNER, instance_of, is_decided, issued_until, parse};
use verdict::{Facts, PATIENCE, RECENTLY, Verdict, decide, grant};

/// Approves and denies kubelets' certificate requests.
pub const TASK: Lasting = lasting("approve_certificates");
/// How often it is written down that a master answers.
const HEARTBEAT: Duration = Duration::from_mins(1);
/// How often the memory is rid of instances that are gone.
const PRUNING: Duration = Duration::from_hours(1);
/// How many Nodes are asked for at the same time.
const NODES_AT_ONCE: usize = 16;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// Kubernetes.
    #[error("a certificate request can't be handled")]
    Api(#[source] ApiError),
    /// Watching.
    #[error("certificate requests can't be watched")]
    Watch(#[source] watcher::Error),
}

/// Why the task stopped.
#[derive(Debug, thiserror::Error)]
enum StoppedError {
    #[error("no connection to the API")]
    Connect(#[source] ApiError),
    #[error("approving certificates stopped")]
    Approve(#[source] ApproveError),
}

/// The task.
pub async fn approve(agent: Arc<Agent>, control_plane: ControlPlaneConfig) {
    let work = || async {
        let client = api::connect_as_admin(&agent.host).await.map_err(StoppedError::Connect)?;
        approver(client, &agent.ec2, &control_plane).run().await.map_err(StoppedError::Approve)
    };
    TASK.run(&agent.reporter, work).await;
}

/// It remembers until when a certificate is good: as long as the cluster's kube-controller-manager makes it.
fn approver(client: Client, ec2: &Ec2, control_plane: &ControlPlaneConfig) -> Approver {
    Approver { client, ec2: ec2.clone(), longest: control_plane.certificate_lifetime() }
}

/// Approves and denies for as long as the connection lasts.
#[derive(Clone)]
pub struct Approver {
    /// Kubernetes.
    pub client: Client,
    /// EC2.
    pub ec2: Ec2,
    /// The longest that a certificate is good, as kube-controller-manager is told (`--cluster-signing-duration`).
    pub longest: Duration,
}

/// What there is to work on.
struct Work {
    memory: Memory,
    queue: Queue,
    /// What is to be remembered beside approvals.
    changes: BTreeMap<String, Option<Grant>>,
}

impl Approver {
    /// Watches requests and decides them as they come. Ends with the first error of the API; the caller begins again.
    pub async fn run(&self) -> Result<(), ApproveError> {
        let requests: Api<CertificateSigningRequest> = Api::all(self.client.clone());
        let memory = Memory::load(&self.client).await.map_err(ApproveError::Api)?;
        let mut work = Work { memory, queue: Queue::default(), changes: BTreeMap::new() };
        let mut events = watcher(requests.clone(), watcher::Config::default()).boxed();
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        let mut pruning = tokio::time::interval(PRUNING);
        // Both are done after a while, not at once.
        heartbeat.reset();
        pruning.reset();
        loop {
            let due = work.queue.next_due().map(tokio::time::Instant::from_std);
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => work.take(event),
                    Some(Err(error)) => return Err(ApproveError::Watch(error)),
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(tokio::time::Instant::now)), if due.is_some() => {
                    self.decide_due(&requests, &mut work).await?;
                }
                _ = heartbeat.tick() => {
                    work.memory.note_answering().await.map_err(ApproveError::Api)?;
                    // Where another master wrote meanwhile these may be old, and the next look finds them again.
                    let changes = std::mem::take(&mut work.changes);
                    work.memory.remember(&changes).await.map_err(ApproveError::Api)?;
                }
                _ = pruning.tick() => self.prune(&mut work).await,
            }
        }
    }

    /// Decides what is due: one look at EC2 for all of it, one note of what is granted, and then a verdict for each.
    async fn decide_due(
        &self,
        requests: &Api<CertificateSigningRequest>,
        work: &mut Work,
    ) -> Result<(), ApproveError> {
        let now = Instant::now();
        let due = work.queue.due(now, FILTER_VALUES);
        let ids: BTreeSet<String> = due
            .iter()
            .filter_map(|name| instance_of(&work.queue.get(name)?.request))
            .map(str::to_owned)
            .collect();
        let instances = match self.ec2.instances_among(ids.iter().map(String::as_str)).await {
            Ok(instances) => instances,
            Err(error) => {
                tracing::warn!(
                    error = chain(&error),
                    requests = due.len(),
                    "certificate requests wait for EC2"
                );
                work.queue.postpone_all(&due, now);
                return Ok(());
            }
        };
        let found = LookedUp {
            instances: instances.iter().map(|instance| (instance.id.as_str(), instance)).collect(),
            ready: self.ready_nodes(&due, &work.queue).await?,
            grants: &work.memory.grants,
            answered: &work.memory.answered,
            longest: self.longest,
        };
        let mut grants = work.changes.clone();
        let pending = due.iter().filter_map(|name| Some((name, work.queue.get(name)?)));
        let verdicts = judge(pending, &found, &mut grants, now);
        if !work.memory.remember(&grants).await.map_err(ApproveError::Api)? {
            tracing::info!("another master granted certificates meanwhile; all are decided anew");
            work.queue.postpone_all(&due, now);
            return Ok(());
        }
        work.changes.clear();
        for (name, verdict) in verdicts {
            self.carry_out(requests, &mut work.queue, &name, verdict, now).await?;
        }
        Ok(())
    }

    /// Those of the Nodes that requests are about which are Ready.
    async fn ready_nodes(&self, due: &[String], queue: &Queue) -> Result<BTreeSet<String>, ApproveError> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let asked: BTreeSet<String> = due
            .iter()
            .filter_map(|name| queue.get(name))
            .filter(|pending| pending.request.signer == CLIENT_SIGNER)
            .filter_map(|pending| instance_of(&pending.request).map(str::to_owned))
            .collect();
        let nodes = &nodes;
        let found = futures::stream::iter(asked).map(async |id: String| {
            let node = nodes.get_opt(&id).await;
            let node = node.map_err(|error| ApiError::request(format!("show the node {id}"), error))?;
            let ready = node.as_ref().and_then(ready_condition).is_some_and(|(ready, _)| ready);
            Ok(ready.then_some(id))
        });
        let found: Vec<Option<String>> =
            found.buffer_unordered(NODES_AT_ONCE).try_collect().await.map_err(ApproveError::Api)?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn carry_out(
        &self,
        requests: &Api<CertificateSigningRequest>,
        queue: &mut Queue,
        name: &str,
        verdict: Verdict,
        now: Instant,
    ) -> Result<(), ApproveError> {
        let Some(pending) = queue.get(name) else { return Ok(()) };
        let (username, signer) = (&pending.request.username, &pending.request.signer);
        let (condition, reason) = match verdict {
            Verdict::NotOurs => {
                queue.remove(name);
                return Ok(());
            }
            Verdict::Later(reason) => {
                tracing::info!(request = name, username, reason, "a certificate request waits");
                queue.postpone(name, now);
                return Ok(());
            }
            Verdict::Approve(reason) => {
                tracing::info!(request = name, username, signer, reason, "approved");
                ("Approved", reason.to_owned())
            }
            Verdict::Deny(reason) => {
                tracing::warn!(request = name, username, signer, reason, "denied");
                ("Denied", reason)
            }
        };
        if conclude(requests, pending.object.clone(), condition, &reason).await? {
            queue.remove(name);
        } else {
            queue.postpone(name, now);
        }
        Ok(())
    }

    /// Forgets what was granted to instances that EC2 has forgotten. What is forgotten too early opens nothing: such an
    /// instance was launched more than an hour ago.
    async fn prune(&self, work: &mut Work) {
        let known: BTreeSet<String> = match self.ec2.instances().await {
            Ok(instances) => instances.into_iter().map(|instance| instance.id).collect(),
            Err(error) => return tracing::warn!(error = chain(&error), "old grants are kept for now"),
        };
        let now = Timestamp::now();
        let old = |grant: &Grant| {
            now.duration_since(grant.launched).as_secs() > 2 * RECENTLY.as_secs().cast_signed()
        };
        let gone = work.memory.grants.iter().filter(|(id, grant)| !known.contains(*id) && old(grant));
        work.changes.extend(gone.map(|(id, _)| (id.clone(), None)));
    }
}

impl Work {
    /// Follows the requests.
    fn take(&mut self, event: watcher::Event<CertificateSigningRequest>) {
        match event {
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                let name = object.metadata.name.clone().unwrap_or_default();
                let Some(request) = parse(&object) else {
                    tracing::warn!(
                        request = name,
                        "a certificate request that can't be understood is left alone"
                    );
                    return;
                };
                if is_decided(&object) {
                    self.queue.remove(&name);
                    self.note_issued(&request, &object);
                } else if request.signer == CLIENT_SIGNER || request.signer == SERVING_SIGNER {
                    self.queue.add(name, request, object, Instant::now());
                }
            }
            watcher::Event::Delete(object) => self.queue.remove(&object.metadata.name.unwrap_or_default()),
            watcher::Event::Init | watcher::Event::InitDone => {}
        }
    }

    /// The certificate says exactly until when it is good.
    fn note_issued(&mut self, request: &Request, object: &CertificateSigningRequest) {
        let (Some(id), Some(until)) = (instance_of(request), issued_until(object)) else { return };
        let granted = self.memory.grants.get(id);
        if let Some(grant) = granted.filter(|grant| grant.key == request.key && grant.expires != until) {
            self.changes.insert(id.to_owned(), Some(Grant { expires: until, ..grant.clone() }));
        }
    }
}

/// What was looked up for some requests.
struct LookedUp<'a> {
    /// The instances by id.
    instances: BTreeMap<&'a str, &'a Instance>,
    /// The Nodes that are Ready.
    ready: BTreeSet<String>,
    /// What was granted, by instance id.
    grants: &'a BTreeMap<String, Grant>,
    /// When masters answered.
    answered: &'a Answered,
    /// The longest that a certificate is good.
    longest: Duration,
}

/// A verdict on each request. `granted` is what is to be remembered, to which they add: each request is decided with
/// what was granted before it.
fn judge<'a>(
    requests: impl IntoIterator<Item = (&'a String, &'a Pending)>,
    found: &LookedUp<'_>,
    granted: &mut BTreeMap<String, Option<Grant>>,
    now: Instant,
) -> Vec<(String, Verdict)> {
    let mut verdicts = Vec::new();
    for (name, Pending { request, since, .. }) in requests {
        let id = instance_of(request).unwrap_or_default();
        let known = granted.get(id).map_or_else(|| found.grants.get(id), Option::as_ref);
        let facts = Facts {
            instance: found.instances.get(id).copied(),
            grant: known,
            node_ready: found.ready.contains(id),
            now: Timestamp::now(),
            answered: found.answered,
            longest: found.longest,
        };
        let verdict = match decide(request, &facts) {
            Verdict::Later(reason) if now.duration_since(*since) >= PATIENCE => Verdict::Deny(reason),
            verdict => verdict,
        };
        let grant = matches!(verdict, Verdict::Approve(_)).then(|| grant(request, &facts)).flatten();
        granted.extend(grant.map(|grant| (id.to_owned(), Some(grant))));
        verdicts.push((name.clone(), verdict));
    }
    verdicts
}

/// Writes a verdict over the request that it is about: if that has changed meanwhile, nothing is written. Returns
/// whether the request is done with.
async fn conclude(
    requests: &Api<CertificateSigningRequest>,
    mut request: CertificateSigningRequest,
    verdict: &str,
    reason: &str,
) -> Result<bool, ApproveError> {
    let name = request.metadata.name.clone().unwrap_or_default();
    let condition = CertificateSigningRequestCondition {
        type_: verdict.to_owned(),
        status: "True".to_owned(),
        reason: Some("WindlassBootstrap".to_owned()),
        message: Some(reason.to_owned()),
        last_update_time: Some(Time(Timestamp::now())),
        ..CertificateSigningRequestCondition::default()
    };
    let status = request.status.get_or_insert_with(CertificateSigningRequestStatus::default);
    status.conditions.get_or_insert_default().push(condition);
    match requests.replace_subresource("approval", &name, &PostParams::default(), &request).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(true),
        // Another master was quicker, or the request has changed: the watch brings what it is now.
        Err(kube::Error::Api(error)) if error.code == 409 => Ok(false),
        Err(error) => Err(ApproveError::Api(ApiError::request(format!("take the verdict on {name}"), error))),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod whole_tests;
