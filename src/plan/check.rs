//! The invariants of a plan, checked again on the finished plan, before anyone applies it and in the tests of every
//! plan. A violation is a defect of the model or of the planner, never of the user.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use thiserror::Error;

use super::{Action, Plan};
use crate::cloud::state_object::Content;
use crate::cloud::{Resource, ResourceId, Unwanted};
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
    /// Something would be lost that an update keeps, such as a volume or an address.
    #[error("`{0}` would be deleted by an update")]
    Lost(ResourceId),
    /// Something that has no tags would be set aside, and so has no other name.
    #[error("`{0}` would be set aside, and can't have another name")]
    Nameless(ResourceId),
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
    violations.extend(set_aside(plan, desired));
    violations.extend(secrets(plan, desired));
    violations.extend(contents(desired));
    violations
}

fn references(plan: &Plan, desired: &Desired) -> Vec<Violation> {
    let deleted: BTreeSet<&ResourceId> =
        plan.steps.iter().filter(|step| step.action == Action::Delete).map(|step| &step.resource).collect();
    let mut violations: Vec<Violation> = deleted
        .iter()
        .filter(|id| matches!(id.kind.declaration().unwanted, Unwanted::Kept(_)))
        .map(|id| Violation::Lost((*id).clone()))
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

fn set_aside(plan: &Plan, desired: &Desired) -> Vec<Violation> {
    let replaced = plan.steps.iter().filter(|step| matches!(step.action, Action::CreateBeforeDelete(_)));
    let has_tags =
        |id: &ResourceId| desired.0.get(id).is_some_and(|wanted| wanted.clone().tags_mut().is_some());
    let nameless = replaced.filter(|step| !has_tags(&step.resource));
    nameless.map(|step| Violation::Nameless(step.resource.clone())).collect()
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
                _ => false,
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
        Resource::Vpc(vpc) => Some(vpc),
        _ => None,
    });
    let is_outside = |range: &Ipv4Net| {
        vpc.is_some_and(|vpc| !vpc.additional_cidrs.iter().chain([&vpc.cidr]).any(|own| own.contains(range)))
    };
    for (id, resource) in &desired.0 {
        match resource {
            Resource::LaunchTemplate(template) if template.user_data.len() > USER_DATA_LIMIT => {
                violations.push(Violation::UserDataTooLong(id.clone()));
            }
            Resource::Subnet(subnet) => {
                let Some(range) = subnet.cidr else { continue };
                let overlaps = taken.iter().any(|other| other.contains(&range) || range.contains(other));
                if overlaps || is_outside(&range) {
                    violations.push(Violation::SubnetRange(id.clone()));
                }
                taken.push(range);
            }
            _ => {}
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use windlass_bootstrap::keyset::Secret;

    use super::*;
    use crate::cloud::launch_template::{Addresses, LaunchTemplate, ProfileName, RootVolume};
    use crate::cloud::state_object::StateObject;
    use crate::cloud::subnet::Subnet;
    use crate::cloud::vpc::Vpc;
    use crate::cloud::{Change, Kind, Observed, Reference};
    use crate::plan::{PlanError, Step};
    use crate::spec::cluster::EbsVolume;

    const SECRET: &str = "line one\nline two";

    fn desired(resources: Vec<Resource>) -> Desired {
        Desired(resources.into_iter().map(|resource| (resource.id(), resource)).collect())
    }

    fn vpc() -> Resource {
        Resource::Vpc(Vpc {
            name: "demo".to_owned(),
            additional_cidrs: [].into(),
            ipv6: false,
            cidr: "172.20.0.0/16".parse().unwrap(),
            dns_hostnames: true,
            dns_support: true,
            tags: BTreeMap::new(),
        })
    }

    fn subnet(name: &str, cidr: &str) -> Resource {
        Resource::Subnet(Subnet {
            name: name.to_owned(),
            vpc: Reference::to("demo"),
            zone: "us-east-1a".to_owned(),
            cidr: Some(cidr.parse().unwrap()),
            ipv6: None,
            vpc_ipv6: None,
            assigns_ipv6: false,
            dns64: false,
            tags: BTreeMap::new(),
        })
    }

    fn template(user_data: String) -> Resource {
        Resource::LaunchTemplate(LaunchTemplate {
            name: "nodes".to_owned(),
            image: "ami-1".to_owned(),
            machine_type: "t3.medium".to_owned(),
            profile: ProfileName::Ours(Reference::to("nodes")),
            security_groups: [].into(),
            key: None,
            public_ip: true,
            addresses: Addresses::Ipv4,
            user_data,
            node_config: None,
            root: RootVolume {
                device: "/dev/xvda".to_owned(),
                ebs: EbsVolume {
                    size: 8,
                    kind: "gp3".to_owned(),
                    iops: None,
                    throughput: None,
                    encrypted: true,
                    kms_key: None,
                },
            },
            volumes: Vec::new(),
            ebs_optimized: false,
            metadata_hop_limit: 1,
            detailed_monitoring: false,
            cpu_credits: None,
            dedicated: false,
            spot: None,
            resource_name: true,
            tags: BTreeMap::new(),
            instance_tags: BTreeMap::new(),
            drift: [].into(),
        })
    }

    fn secret() -> Resource {
        let content = Content::Secret { keys: vec!["1".to_owned()], text: Secret::new(SECRET) };
        let name = "control-plane/keysets/a.json".to_owned();
        Resource::StateObject(StateObject {
            name,
            describes: "a keyset".to_owned(),
            names: [].into(),
            content: Some(content),
        })
    }

    fn id(kind: Kind, name: &str) -> ResourceId {
        ResourceId::new(kind, name)
    }

    /// What is wrong with the plan of an update that has nothing to start from.
    fn of_an_update(desired: &Desired) -> Vec<Violation> {
        match Plan::update(desired, &Observed::default()) {
            Err(PlanError::Unsound { violations }) => violations,
            other => panic!("not refused as unsound: {other:?}"),
        }
    }

    /// What is wrong with a sound plan that was changed.
    fn of_a_changed_plan(desired: &Desired, change: impl FnOnce(&mut Plan)) -> Vec<Violation> {
        let mut plan = Plan::update(desired, &Observed::default()).unwrap();
        assert_eq!(check(&plan, desired), []);
        change(&mut plan);
        check(&plan, desired)
    }

    fn deletion(resource: ResourceId) -> Step {
        Step { resource, action: Action::Delete, after: BTreeSet::new() }
    }

    #[test]
    fn what_has_no_other_name_is_not_set_aside() {
        let desired = desired(vec![secret()]);
        let violations = of_a_changed_plan(&desired, |plan| {
            plan.steps[0].action = Action::CreateBeforeDelete(Vec::new());
        });
        assert_eq!(violations, [Violation::Nameless(secret().id())]);
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_found() {
        let lost = desired(vec![subnet("a", "172.20.0.0/24")]);
        let (from, to) = (id(Kind::Subnet, "a"), id(Kind::Vpc, "demo"));
        assert_eq!(of_an_update(&lost), [Violation::Unresolved { from, to }]);
    }

    #[test]
    fn a_step_before_one_that_it_needs_is_found() {
        let both = desired(vec![vpc(), subnet("a", "172.20.0.0/24")]);
        let violations = of_a_changed_plan(&both, |plan| plan.steps.reverse());
        let (step, after) = (id(Kind::Subnet, "a"), id(Kind::Vpc, "demo"));
        assert_eq!(violations, [Violation::Order { step, after }]);
    }

    #[test]
    fn the_deletion_of_what_is_needed_is_found() {
        let both = desired(vec![vpc(), subnet("a", "172.20.0.0/24")]);
        let vpc = id(Kind::Vpc, "demo");
        let violations = of_a_changed_plan(&both, |plan| plan.steps = vec![deletion(vpc.clone())]);
        assert_eq!(violations, [Violation::Needed { deleted: vpc, needed_by: id(Kind::Subnet, "a") }]);
    }

    #[test]
    fn an_update_that_deletes_a_volume_is_found() {
        let volume = id(Kind::Volume, "a.etcd-main.demo");
        let violations =
            of_a_changed_plan(&desired(vec![vpc()]), |plan| plan.steps.push(deletion(volume.clone())));
        assert_eq!(violations, [Violation::Lost(volume)]);
    }

    #[test]
    fn a_plan_that_shows_a_secret_in_whatever_field_is_found() {
        let violations = of_a_changed_plan(&desired(vec![vpc(), secret()]), |plan| {
            let shown = format!("before {SECRET} after");
            let change = Change { field: "tags.a".to_owned(), from: None, to: Some(shown) };
            plan.steps.push(Step {
                resource: id(Kind::ElasticIp, "api"),
                action: Action::Update(vec![change]),
                after: BTreeSet::new(),
            });
        });
        assert_eq!(
            violations,
            [Violation::SecretShown(id(Kind::StateObject, "control-plane/keysets/a.json"))]
        );
    }

    #[test]
    fn user_data_that_ec2_would_refuse_is_found() {
        let too_long = |length: usize| {
            let violations = contents(&desired(vec![template("x".repeat(length))]));
            violations.contains(&Violation::UserDataTooLong(id(Kind::LaunchTemplate, "nodes")))
        };
        assert_eq!((too_long(USER_DATA_LIMIT), too_long(USER_DATA_LIMIT + 1)), (false, true));
    }

    #[test]
    fn a_subnet_over_another_or_outside_of_the_vpc_is_found() {
        let over = desired(vec![vpc(), subnet("a", "172.20.0.0/20"), subnet("b", "172.20.8.0/24")]);
        assert_eq!(of_an_update(&over), [Violation::SubnetRange(id(Kind::Subnet, "b"))]);
        let outside = desired(vec![vpc(), subnet("a", "172.21.0.0/24")]);
        assert_eq!(of_an_update(&outside), [Violation::SubnetRange(id(Kind::Subnet, "a"))]);
    }
}
