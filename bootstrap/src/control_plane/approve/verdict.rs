//! The decision about a certificate request: pure, from the request and what EC2 and Kubernetes know.
//!
//! What is wrong with a request itself is denied at once. What EC2 or the Node don't say *yet* is looked at again, and
//! denied only after [`PATIENCE`].

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::aws::ec2::Instance;
use crate::contract::config::Role;
use crate::control_plane::approve::request::{CLIENT_SIGNER, Request, SERVING_SIGNER, instance_of};
use crate::control_plane::grants::{Answered, Grant};

/// Within which time a new instance asks for its first certificate. It counts from the instance's launch, without the
/// time in which no master could answer: nodes that waited for a master are not to blame.
pub(super) const RECENTLY: Duration = Duration::from_hours(1);
/// For how long a request is looked at again that can't be granted as things are.
pub const PATIENCE: Duration = Duration::from_mins(5);

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
        Some(Role::Node | Role::ApiServer) => {}
        Some(Role::ControlPlane) => return Err(deny("masters make their own certificates")),
        Some(Role::Bastion) => return Err(deny("bastions are no nodes")),
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
pub(super) fn grant(request: &Request, facts: &Facts<'_>) -> Option<Grant> {
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
