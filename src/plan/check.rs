//! The invariants of a plan, checked again on the finished plan, before anyone applies it and in the tests of every
//! plan. A violation is a defect of the model or of the planner, never of the user.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use thiserror::Error;

use super::{Action, Plan};
use crate::cloud::state_object::Content;
use crate::cloud::{Kind, Resource, ResourceId};
use crate::model::Desired;

/// EC2's limit for user data, in bytes before base64.
const USER_DATA_LIMIT: usize = 16 * 1024;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Violation {
    /// A reference leads nowhere.
    #[error("`{from}` refers to `{to}`, which is not part of the cluster")]
    Unresolved {
        /// What refers.
        from: ResourceId,
        /// To what.
        to: ResourceId,
    },
    /// A step comes before one that it must come after.
    #[error("`{step}` comes before `{after}`, which it must come after")]
    Order {
        /// The step.
        step: ResourceId,
        /// The other one.
        after: ResourceId,
    },
    /// Something that is still needed would be deleted.
    #[error("`{deleted}` would be deleted, and `{needed_by}` needs it")]
    Needed {
        /// What would be deleted.
        deleted: ResourceId,
        /// Who needs it.
        needed_by: ResourceId,
    },
    /// A volume would be lost.
    #[error("`{0}` would be deleted by an update")]
    VolumeLost(ResourceId),
    /// A secret would be seen.
    #[error("the plan shows what `{0}` keeps secret")]
    SecretShown(ResourceId),
    /// User data is too long for EC2, or holds a secret.
    #[error("the user data of `{0}` has more than {USER_DATA_LIMIT} bytes")]
    UserDataTooLong(ResourceId),
    /// Two subnets overlap, or one is outside the VPC.
    #[error("the range of `{0}` overlaps another subnet's or lies outside the VPC")]
    SubnetRange(ResourceId),
}

/// Returns all violations of a plan that makes `desired`.
pub fn check(plan: &Plan, desired: &Desired) -> Vec<Violation> {
    let mut violations = Vec::new();
    violations.extend(references(plan, desired));
    violations.extend(order(plan));
    violations.extend(secrets(plan, desired));
    violations.extend(contents(desired));
    violations
}

fn references(plan: &Plan, desired: &Desired) -> Vec<Violation> {
    let deleted: BTreeSet<&ResourceId> =
        plan.steps.iter().filter(|step| step.action == Action::Delete).map(|step| &step.resource).collect();
    let mut violations: Vec<Violation> = deleted
        .iter()
        .filter(|id| id.kind == Kind::Volume)
        .map(|id| Violation::VolumeLost((*id).clone()))
        .collect();
    for (id, resource) in &desired.0 {
        for to in resource.references() {
            if deleted.contains(&to) {
                violations.push(Violation::Needed { deleted: to, needed_by: id.clone() });
            } else if !desired.0.contains_key(&to) {
                violations.push(Violation::Unresolved { from: id.clone(), to });
            }
        }
    }
    violations
}

fn order(plan: &Plan) -> Vec<Violation> {
    let mut done = BTreeSet::new();
    let mut violations = Vec::new();
    for step in &plan.steps {
        for after in step.after.iter().filter(|after| !done.contains(after)) {
            violations.push(Violation::Order { step: step.resource.clone(), after: after.clone() });
        }
        done.insert(&step.resource);
    }
    violations
}

fn secrets(plan: &Plan, desired: &Desired) -> Vec<Violation> {
    // The plan as data holds everything that any of its forms shows; it is a tree of strings, which always becomes
    // JSON.
    let shown = serde_json::to_string(plan).unwrap_or_default();
    let is_shown = |secret: &str| {
        let escaped = serde_json::to_string(secret).unwrap_or_default();
        !secret.is_empty() && shown.contains(escaped.trim_matches('"'))
    };
    desired
        .0
        .iter()
        .filter(|(_, resource)| match resource {
            Resource::StateObject(object) => match &object.content {
                Some(Content::Secret { keys: _, text }) => is_shown(text.expose()),
                Some(Content::Open(_)) | None => false,
            },
            _ => false,
        })
        .map(|(id, _)| Violation::SecretShown(id.clone()))
        .collect()
}

fn contents(desired: &Desired) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut taken: Vec<Ipv4Net> = Vec::new();
    let vpc = desired.0.values().find_map(|resource| match resource {
        Resource::Vpc(vpc) => Some(vpc.cidr),
        _ => None,
    });
    for (id, resource) in &desired.0 {
        match resource {
            Resource::LaunchTemplate(template) if template.user_data.len() > USER_DATA_LIMIT => {
                violations.push(Violation::UserDataTooLong(id.clone()));
            }
            Resource::Subnet(subnet) => {
                let overlaps =
                    taken.iter().any(|other| other.contains(&subnet.cidr) || subnet.cidr.contains(other));
                if overlaps || vpc.is_some_and(|vpc| !vpc.contains(&subnet.cidr)) {
                    violations.push(Violation::SubnetRange(id.clone()));
                }
                taken.push(subnet.cidr);
            }
            _ => {}
        }
    }
    violations
}
