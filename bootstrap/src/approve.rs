//! Decides which kubelets get a certificate: every request is checked against EC2.
//!
//! Kubernetes' own approver looks at groups only, so whoever holds a bootstrap token could take any node's name. Here a
//! first certificate is for a running instance of this cluster that was launched recently and is not a working Node
//! already; a renewal is asked for by the node itself; and a serving certificate holds nothing but the instance's own
//! names and addresses.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt;
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
use x509_parser::prelude::FromDer;

use crate::api::{ApiError, ready_condition};
use crate::aws::AwsError;
use crate::certificates;
use crate::config::Role;
use crate::ec2::{Ec2, Instance};

/// A kubelet's certificate for talking to the API.
const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
/// A kubelet's certificate for being talked to.
const SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";
/// Within which time a new instance asks for its first certificate. It counts from the instance's launch, or from when
/// this master could first answer, whichever is later: nodes that waited for a master are not to blame.
const RECENTLY: Duration = Duration::from_hours(1);
/// How often requests are looked at again that couldn't be decided.
const AGAIN: Duration = Duration::from_secs(3);

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum ApproveError {
    /// Kubernetes.
    #[error("a certificate request can't be handled")]
    Api(#[source] ApiError),
    /// Watching.
    #[error("certificate requests can't be watched")]
    Watch(#[source] watcher::Error),
    /// EC2.
    #[error("the instance of a certificate request can't be looked up")]
    Aws(#[source] AwsError),
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
}

/// What EC2 and Kubernetes know about the instance that a request names.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The instance, if it is one of this cluster's.
    pub instance: Option<&'a Instance>,
    /// The role of its instance group.
    pub role: Option<Role>,
    /// Whether a Node of that name is there and Ready.
    pub node_ready: bool,
    /// Now.
    pub now: Timestamp,
    /// When this master could first answer.
    pub answering_since: Timestamp,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is signed.
    Approve(&'static str),
    /// It is refused, for good.
    Deny(String),
    /// It can't be decided yet.
    Later(String),
    /// It is somebody else's to decide.
    NotOurs,
}

/// The instance that a request is about, by the name it asks for; `None` if it isn't a kubelet's.
pub fn instance_of(request: &Request) -> Option<&str> {
    let ours = request.signer == CLIENT_SIGNER || request.signer == SERVING_SIGNER;
    let [name] = request.common_names.as_slice() else { return None };
    name.strip_prefix("system:node:").filter(|name| ours && name.starts_with("i-"))
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
    match facts.role {
        Some(Role::Node) => {}
        Some(Role::ControlPlane) => return Err(deny("masters make their own certificates")),
        None => return Err(deny(format!("{name} is in no instance group of this cluster"))),
    }
    if facts.node_ready {
        return Err(deny(format!("the node {name} is Ready: somebody else asks in its name")));
    }
    let since = instance.launched.max(facts.answering_since);
    if facts.now.duration_since(since).as_secs() > RECENTLY.as_secs().cast_signed() {
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
        return Err(deny(format!("{foreign} is not a name of {name}")));
    }
    if let Some(foreign) = request.addresses.difference(&instance.private_addresses).next() {
        return Err(deny(format!("{foreign} is not an address of {name}")));
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
        return Err(Verdict::Later(format!("EC2 does not show {name} as one of this cluster's instances")));
    };
    match instance.state.as_str() {
        "running" => Ok(instance),
        "pending" => Err(Verdict::Later(format!("{name} is pending"))),
        state => Err(deny(format!("{name} is {state}"))),
    }
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

/// Approves and denies for as long as the connection lasts.
#[derive(Clone)]
pub struct Approver {
    /// Kubernetes.
    pub client: Client,
    /// EC2.
    pub ec2: Ec2,
    /// Instance groups and their roles.
    pub roles: BTreeMap<String, Role>,
    /// When this master could first answer.
    pub answering_since: Timestamp,
}

impl Approver {
    /// Watches requests and decides them as they come. Ends with the first error; the caller begins again.
    pub async fn run(&self) -> Result<(), ApproveError> {
        let requests: Api<CertificateSigningRequest> = Api::all(self.client.clone());
        let mut events = watcher(requests.clone(), watcher::Config::default()).boxed();
        let mut undecided: BTreeSet<String> = BTreeSet::new();
        let mut again = tokio::time::interval(AGAIN);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(watcher::Event::Apply(request) | watcher::Event::InitApply(request))) => {
                        self.handle(&requests, request, &mut undecided).await?;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(ApproveError::Watch(error)),
                    None => return Ok(()),
                },
                _ = again.tick() => {
                    for name in std::mem::take(&mut undecided) {
                        let request = requests.get_opt(&name).await;
                        let request = request.map_err(|error| ApproveError::Api(ApiError::request(format!("show {name}"), error)))?;
                        if let Some(request) = request {
                            self.handle(&requests, request, &mut undecided).await?;
                        }
                    }
                }
            }
        }
    }

    async fn handle(
        &self,
        requests: &Api<CertificateSigningRequest>,
        request: CertificateSigningRequest,
        undecided: &mut BTreeSet<String>,
    ) -> Result<(), ApproveError> {
        let name = request.metadata.name.clone().unwrap_or_default();
        let decided = request.status.as_ref().is_some_and(|status| {
            status.conditions.as_ref().is_some_and(|conditions| !conditions.is_empty())
        });
        if decided {
            return Ok(());
        }
        let Some(parsed) = parse(&request) else {
            tracing::warn!(request = name, "a certificate request that can't be understood is left alone");
            return Ok(());
        };
        match self.judge(&parsed).await? {
            Verdict::NotOurs => Ok(()),
            Verdict::Later(reason) => {
                tracing::info!(
                    request = name,
                    username = parsed.username,
                    reason,
                    "a certificate request waits"
                );
                undecided.insert(name);
                Ok(())
            }
            Verdict::Approve(reason) => {
                tracing::info!(
                    request = name,
                    username = parsed.username,
                    signer = parsed.signer,
                    reason,
                    "approved"
                );
                self.conclude(requests, request, "Approved", reason).await
            }
            Verdict::Deny(reason) => {
                tracing::warn!(
                    request = name,
                    username = parsed.username,
                    signer = parsed.signer,
                    reason,
                    "denied"
                );
                self.conclude(requests, request, "Denied", &reason).await
            }
        }
    }

    async fn judge(&self, request: &Request) -> Result<Verdict, ApproveError> {
        let (mut instance, mut node_ready) = (None, false);
        if let Some(id) = instance_of(request) {
            instance = self.ec2.instance(id).await.map_err(ApproveError::Aws)?;
            let node = Api::<Node>::all(self.client.clone()).get_opt(id).await;
            let node = node.map_err(|error| {
                ApproveError::Api(ApiError::request(format!("show the node {id}"), error))
            })?;
            node_ready = node.as_ref().and_then(ready_condition).is_some_and(|(ready, _)| ready);
        }
        let group = instance.as_ref().and_then(|instance| instance.instance_group.as_ref());
        let facts = Facts {
            instance: instance.as_ref(),
            role: group.and_then(|group| self.roles.get(group)).copied(),
            node_ready,
            now: Timestamp::now(),
            answering_since: self.answering_since,
        };
        Ok(decide(request, &facts))
    }

    async fn conclude(
        &self,
        requests: &Api<CertificateSigningRequest>,
        mut request: CertificateSigningRequest,
        verdict: &str,
        reason: &str,
    ) -> Result<(), ApproveError> {
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
            Ok(_) => Ok(()),
            // Another master was quicker, or the request is gone.
            Err(kube::Error::Api(error)) if error.code == 409 || error.code == 404 => Ok(()),
            Err(error) => {
                Err(ApproveError::Api(ApiError::request(format!("take the verdict on {name}"), error)))
            }
        }
    }
}

#[cfg(test)]
mod tests;
