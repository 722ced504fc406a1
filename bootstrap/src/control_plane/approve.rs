//! Decides which kubelets get a certificate: every request is checked against EC2.
//!
//! Kubernetes' own approver looks at groups only, so whoever holds a bootstrap token could take any node's name. Here a
//! first certificate is for a running instance of this cluster that was launched recently and is not a working Node
//! already, once for each launch ([`crate::control_plane::grants`]); a renewal is asked for by the node itself; and a serving
//! certificate holds nothing but the instance's own names and addresses.
//!
//! What is wrong with a request itself is denied at once. What EC2 or the Node don't say *yet* is looked at again, less
//! and less often, and denied only after [`PATIENCE`], with the reason, which the node then reports.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
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
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::aws::ec2::{Ec2, FILTER_VALUES, Instance};
use crate::aws::state::sha256;
use crate::contract::config::Role;
use crate::control_plane::grants::{Answered, Grant, Memory};
use crate::kubernetes::api::{ApiError, ready_condition};
use crate::progress::retry::chain;
use crate::secrets::certificates;

mod queue;

use queue::{Pending, Queue};

/// A kubelet's certificate for talking to the API.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// A kubelet's certificate for being talked to.
const SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";
/// Within which time a new instance asks for its first certificate. It counts from the instance's launch, without the
/// time in which no master could answer: nodes that waited for a master are not to blame.
const RECENTLY: Duration = Duration::from_hours(1);
/// For how long a request is looked at again that can't be granted as things are.
pub const PATIENCE: Duration = Duration::from_mins(5);
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

/// A request, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub username: String,
    /// The groups of who asks.
    pub groups: BTreeSet<String>,
    /// Whose signature is asked for.
    pub signer: String,
    /// What for.
    pub usages: BTreeSet<String>,
    /// The subject's common names.
    pub common_names: Vec<String>,
    /// The subject's organizations.
    pub organizations: Vec<String>,
    /// The DNS names.
    pub dns: BTreeSet<String>,
    /// The addresses.
    pub addresses: BTreeSet<IpAddr>,
    /// Other names, or other attributes of the subject.
    pub other_names: bool,
    /// The SHA-256 of the public key.
    pub key: String,
    /// For how long the certificate shall be good, if less than all are.
    pub lifetime: Option<Duration>,
}

/// What EC2 and Kubernetes know about the instance that a request names.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The instance, if it is one of this cluster's.
    pub instance: Option<&'a Instance>,
    /// What was granted to it last.
    pub grant: Option<&'a Grant>,
    /// Whether a Node of that name is there and Ready.
    pub node_ready: bool,
    /// Now.
    pub now: Timestamp,
    /// When masters answered.
    pub answered: &'a Answered,
    /// The longest that a certificate is good.
    pub longest: Duration,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is signed.
    Approve(&'static str),
    /// It is refused, for good.
    Deny(String),
    /// It can't be granted as things are, which may change.
    Later(String),
    /// It is somebody else's to decide.
    NotOurs,
}

/// The instance that a request is about, by the name it asks for; `None` if it isn't a kubelet's.
pub fn instance_of(request: &Request) -> Option<&str> {
    let ours = request.signer == CLIENT_SIGNER || request.signer == SERVING_SIGNER;
    let [name] = request.common_names.as_slice() else { return None };
    name.strip_prefix("system:node:").filter(|name| ours && is_instance_id(name))
}

/// Whether a text is an instance's id: `i-` and 8 or 17 hexadecimal digits (EC2 User Guide, "Resource IDs"). Anything
/// else could mean several instances in a filter, where `*` and `?` stand for other characters.
pub fn is_instance_id(text: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix("i-").is_some_and(|id| (8..=17).contains(&id.len()) && id.bytes().all(digit))
}

/// Decides.
pub fn decide(request: &Request, facts: &Facts<'_>) -> Verdict {
    if request.signer != CLIENT_SIGNER && request.signer != SERVING_SIGNER {
        return Verdict::NotOurs;
    }
    let verdict = match request.signer.as_str() {
        CLIENT_SIGNER => decide_client(request, facts),
        _ => decide_serving(request, facts),
    };
    verdict.unwrap_or_else(|refusal| refusal)
}

fn decide_client(request: &Request, facts: &Facts<'_>) -> Result<Verdict, Verdict> {
    let name = check_subject(request)?;
    check_usages(request, "client auth")?;
    if !request.dns.is_empty() || !request.addresses.is_empty() {
        return Err(deny("a client certificate has no names or addresses"));
    }
    if request.username == format!("system:node:{name}") {
        check_group(request, "system:nodes")?;
        check_running(name, facts)?;
        return Ok(Verdict::Approve("the node renews its own certificate"));
    }
    if !request.username.starts_with("system:bootstrap:") {
        return Err(deny(format!("{} may not ask for {name}'s certificate", request.username)));
    }
    check_group(request, "system:bootstrappers")?;
    let instance = check_running(name, facts)?;
    match instance.group.as_ref().map(|group| group.role) {
        Some(Role::Node) => {}
        Some(Role::ControlPlane) => return Err(deny("masters make their own certificates")),
        None => return Err(later(format!("EC2 does not show {name} in an instance group of this cluster"))),
    }
    decide_bootstrap(name, request, instance, facts)
}

/// Decides about a launch's first certificate, or about another one where that is lost.
fn decide_bootstrap(
    name: &str,
    request: &Request,
    instance: &Instance,
    facts: &Facts<'_>,
) -> Result<Verdict, Verdict> {
    let grant = facts.grant.filter(|grant| grant.launched == instance.launched);
    if grant.is_some_and(|grant| grant.key == request.key) {
        return Ok(Verdict::Approve("the same key's certificate once more"));
    }
    if facts.node_ready {
        return Err(later(format!("the node {name} is Ready: somebody else asks in its name")));
    }
    if let Some(grant) = grant {
        if facts.now < grant.expires {
            return Err(later(format!(
                "{name} has a certificate for another key, which is good until {}; if that is lost, replace the \
                 instance",
                grant.expires
            )));
        }
        return Ok(Verdict::Approve("the instance's last certificate has expired"));
    }
    if facts.answered.since(instance.launched, facts.now) > RECENTLY {
        return Err(deny(format!("{name} was launched more than an hour ago; replace the instance")));
    }
    Ok(Verdict::Approve("a new instance's first certificate"))
}

fn decide_serving(request: &Request, facts: &Facts<'_>) -> Result<Verdict, Verdict> {
    let name = check_subject(request)?;
    check_usages(request, "server auth")?;
    if request.username != format!("system:node:{name}") {
        return Err(deny(format!("{} may not ask for {name}'s serving certificate", request.username)));
    }
    check_group(request, "system:nodes")?;
    let instance = check_running(name, facts)?;
    if request.dns.is_empty() && request.addresses.is_empty() {
        return Err(deny("a serving certificate without names is of no use"));
    }
    if let Some(foreign) =
        request.dns.iter().find(|dns| *dns != name && !instance.private_names.contains(*dns))
    {
        return Err(later(format!("{foreign} is not a name of {name}")));
    }
    if let Some(foreign) = request.addresses.difference(&instance.private_addresses).next() {
        return Err(later(format!("{foreign} is not an address of {name}")));
    }
    Ok(Verdict::Approve("the instance's own names and addresses"))
}

/// The instance id of a subject that is exactly a node's.
fn check_subject(request: &Request) -> Result<&str, Verdict> {
    if request.organizations != ["system:nodes"] || request.other_names {
        return Err(deny("the subject is not exactly that of a node"));
    }
    instance_of(request).ok_or_else(|| deny("the subject names no instance"))
}

fn check_usages(request: &Request, purpose: &str) -> Result<(), Verdict> {
    let mut usages: BTreeSet<&str> = request.usages.iter().map(String::as_str).collect();
    // Only RSA keys need it.
    usages.remove("key encipherment");
    if usages == BTreeSet::from(["digital signature", purpose]) {
        Ok(())
    } else {
        Err(deny(format!("the usages are not those of {purpose}")))
    }
}

fn check_group(request: &Request, group: &str) -> Result<(), Verdict> {
    if request.groups.contains(group) {
        Ok(())
    } else {
        Err(deny(format!("{} is not in {group}", request.username)))
    }
}

fn check_running<'a>(name: &str, facts: &Facts<'a>) -> Result<&'a Instance, Verdict> {
    let Some(instance) = facts.instance else {
        return Err(later(format!("EC2 does not show {name} as one of this cluster's instances")));
    };
    match instance.state.as_str() {
        "running" => Ok(instance),
        state @ ("shutting-down" | "terminated") => Err(deny(format!("{name} is {state}"))),
        // A stopped instance asks nothing: EC2's answer is behind.
        state => Err(later(format!("{name} is {state}"))),
    }
}

/// What is to be remembered of an approved request: certificates for talking to the API only.
fn grant(request: &Request, facts: &Facts<'_>) -> Option<Grant> {
    let instance = facts.instance.filter(|_| request.signer == CLIENT_SIGNER)?;
    let lifetime = request.lifetime.unwrap_or(facts.longest).min(facts.longest);
    let expires = facts.now.checked_add(lifetime).ok()?;
    Some(Grant { launched: instance.launched, expires, key: request.key.clone() })
}

fn later(reason: impl Into<String>) -> Verdict {
    Verdict::Later(reason.into())
}

fn deny(reason: impl Into<String>) -> Verdict {
    Verdict::Deny(reason.into())
}

/// Reads what matters of a request; `None` if it can't be understood, and is left alone.
fn parse(request: &CertificateSigningRequest) -> Option<Request> {
    let spec = &request.spec;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&spec.request.0).ok()?;
    let (_, csr) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    let subject = &csr.certification_request_info.subject;
    let texts = |values: Vec<Option<String>>| values.into_iter().collect::<Option<Vec<_>>>();
    let common_names =
        texts(subject.iter_common_name().map(|name| name.as_str().ok().map(str::to_owned)).collect())?;
    let organizations =
        texts(subject.iter_organization().map(|name| name.as_str().ok().map(str::to_owned)).collect())?;
    let mut parsed = Request {
        username: spec.username.clone().unwrap_or_default(),
        groups: spec.groups.iter().flatten().cloned().collect(),
        signer: spec.signer_name.clone(),
        usages: spec.usages.iter().flatten().cloned().collect(),
        other_names: subject.iter_attributes().count() != common_names.len() + organizations.len(),
        common_names,
        organizations,
        key: sha256(csr.certification_request_info.subject_pki.raw),
        lifetime: spec.expiration_seconds.and_then(|it| u64::try_from(it).ok()).map(Duration::from_secs),
        ..Request::default()
    };
    for extension in csr.requested_extensions().into_iter().flatten() {
        if let ParsedExtension::SubjectAlternativeName(names) = extension {
            names.general_names.iter().for_each(|name| add_name(&mut parsed, name));
        }
    }
    Some(parsed)
}

fn add_name(request: &mut Request, name: &GeneralName<'_>) {
    match name {
        GeneralName::DNSName(name) => {
            request.dns.insert((*name).to_owned());
        }
        GeneralName::IPAddress(bytes) => match certificates::ip(bytes) {
            Some(address) => {
                request.addresses.insert(address);
            }
            None => request.other_names = true,
        },
        _ => request.other_names = true,
    }
}

/// Whether somebody has decided, for or against, or signing has failed. What is denied stays denied.
fn is_decided(request: &CertificateSigningRequest) -> bool {
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| !conditions.is_empty())
}

/// Until when the certificate is good that was made for a request.
fn issued_until(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let certificate = request.status.as_ref()?.certificate.as_ref()?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&certificate.0).ok()?;
    let (_, certificate) = X509Certificate::from_der(&pem.contents).ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
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
        let found = Found {
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
struct Found<'a> {
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
    found: &Found<'_>,
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
