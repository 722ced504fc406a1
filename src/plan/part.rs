//! A part of a specification: what `update cluster --instance-group`, `--instance-group-roles`, `--phase` and
//! `--lifecycle-overrides` leave of a plan.
//!
//! The whole plan is made first, and what is left out is taken from it then. A step brings with it those that it comes after
//! and that aren't of its part, such as the role of a new group's instances; where one of them must not come along, there is no
//! plan. So whatever is carried out is carried out in the order of the whole plan, and what is left out is what the next plan
//! has.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use windlass_bootstrap::node_groups::NodeGroups as Document;

use super::{Action, Plan, PlanError, Step};
use crate::cloud::node_groups::NodeGroups;
use crate::cloud::{Kind, Observed, Resource, ResourceId};
use crate::model::{self, Desired};
use crate::spec::cluster::Cluster;

/// What an update is to bring to AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// These instance groups alone, with what they need.
    pub groups: Option<BTreeSet<String>>,
    /// This phase alone.
    pub phase: Option<Phase>,
    /// Kinds that aren't made as the specification says.
    pub left_alone: BTreeMap<Kind, LeftAlone>,
    /// The volumes of etcd that are lost, and may be made anew. It leaves nothing out.
    pub replace_lost: BTreeSet<String>,
}

/// One of kops's phases. Each needs those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// VPC, subnets, gateways, routes.
    Network,
    /// Roles, instance profiles, security groups, the SSH key, the identity of service accounts.
    Security,
    /// Everything else.
    Cluster,
}

/// How a kind is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftAlone {
    /// It isn't made, changed or deleted.
    Ignored,
    /// The same, and it must be there.
    MustExist,
    /// It must be there, and as the specification says.
    MustBeRight,
}

/// What isn't carried out of a plan, as only a part was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// What was asked for, as people read it.
    pub asked_for: String,
    /// What would have been done besides, such as `update vpc/demo.example.com`.
    pub steps: Vec<String>,
}

impl Part {
    /// Whether it is all of it.
    pub fn is_whole(&self) -> bool {
        self.groups.is_none() && self.phase.is_none() && self.left_alone.is_empty()
    }

    /// The instance groups of a specification that it can bring to AWS.
    pub fn has_group(&self, name: &str) -> bool {
        self.groups.as_ref().is_none_or(|groups| groups.contains(name))
            && self.phase.is_none_or(|phase| phase == Phase::Cluster)
    }

    /// Takes from what shall be what masters would learn of the groups that are left out: the one document says it of all.
    pub fn leave_other_groups(&self, desired: &mut Desired, observed: &Observed) {
        let Some(asked) = &self.groups else { return };
        for (id, wanted) in &mut desired.0 {
            let found = observed.0.get(id).map(|found| &found.resource);
            match (wanted, found) {
                (Resource::NodeGroups(wanted), Some(Resource::NodeGroups(found))) => {
                    leave_other_sizes(wanted, found.document.as_ref(), asked);
                }
                (Resource::NodeGroups(wanted), None) => leave_other_sizes(wanted, None, asked),
                _ => {}
            }
        }
    }

    /// Leaves of a plan what belongs to the part, and what that needs.
    ///
    /// # Errors
    ///
    /// Fails where something that is left out must be done first.
    pub fn of(
        &self,
        plan: Plan,
        cluster: &Cluster,
        desired: &Desired,
        observed: &Observed,
    ) -> Result<Plan, PlanError> {
        if self.is_whole() {
            return Ok(plan);
        }
        let choice = Choice { part: self, cluster, desired, observed, plan: &plan };
        let chosen = choice.made()?;
        let (steps, left): (Vec<Step>, Vec<Step>) =
            plan.steps.into_iter().partition(|step| chosen.contains(&step.resource));
        let left = left.iter().map(|step| format!("{} {}", step.action.verb(), step.resource));
        let steps = steps.into_iter().map(|step| step.after_only(&chosen)).collect();
        let left_out = Some(LeftOut { asked_for: self.to_string(), steps: left.collect() });
        Ok(Plan { steps, kept: Vec::new(), occupied: Vec::new(), remarks: plan.remarks, left_out })
    }
}

/// The sizes of groups that weren't asked for stay as masters know them.
fn leave_other_sizes(wanted: &mut NodeGroups, found: Option<&Document>, asked: &BTreeSet<String>) {
    let Some(wanted) = &mut wanted.document else { return };
    wanted.groups.retain(|group, _| asked.contains(group));
    let others = found.into_iter().flat_map(|found| &found.groups);
    let others = others.filter(|(group, _)| !asked.contains(*group));
    wanted.groups.extend(others.map(|(group, size)| (group.clone(), *size)));
}

impl Step {
    /// The same step where only these are carried out.
    fn after_only(mut self, chosen: &BTreeSet<ResourceId>) -> Self {
        self.after.retain(|earlier| chosen.contains(earlier));
        self
    }
}

/// The choice of a plan's steps.
struct Choice<'a> {
    part: &'a Part,
    cluster: &'a Cluster,
    desired: &'a Desired,
    observed: &'a Observed,
    plan: &'a Plan,
}

/// What becomes of a step.
enum Place {
    /// It is asked for.
    Asked,
    /// It isn't, and comes along where one that is asked for needs it.
    Beside,
    /// It isn't, and must not come along: this is why.
    Barred(String),
    /// It is left alone as it is, whoever needs it.
    Alone,
}

impl Choice<'_> {
    fn made(&self) -> Result<BTreeSet<ResourceId>, PlanError> {
        let mut problems: BTreeSet<String> = self.missing().collect();
        let mut chosen = BTreeSet::new();
        let asked = self.plan.steps.iter().filter(|step| matches!(self.place(step), Place::Asked));
        let mut waiting: Vec<&Step> = asked.filter(|step| step.action != Action::Delete).collect();
        while let Some(step) = waiting.pop() {
            if !chosen.insert(step.resource.clone()) {
                continue;
            }
            for needed in self.steps(&step.after) {
                match self.place(needed) {
                    Place::Asked => waiting.push(needed),
                    Place::Beside if is_in_place(needed) => waiting.push(needed),
                    Place::Beside => drop(problems.insert(format!(
                        "`{}` needs that `{}` is replaced, which others use, too",
                        step.resource, needed.resource
                    ))),
                    Place::Barred(why) => drop(problems.insert(format!(
                        "`{}` needs the step `{} {}`, {why}",
                        step.resource,
                        needed.action.verb(),
                        needed.resource
                    ))),
                    Place::Alone => {}
                }
            }
        }
        // What isn't wanted any more goes where nothing that is left out has to be done first.
        for step in self.plan.steps.iter().filter(|step| step.action == Action::Delete) {
            let asked = matches!(self.place(step), Place::Asked);
            if asked && step.after.iter().all(|earlier| chosen.contains(earlier)) {
                chosen.insert(step.resource.clone());
            }
        }
        problems.extend(self.halves(&chosen));
        if problems.is_empty() {
            return Ok(chosen);
        }
        Err(PlanError::Apart { part: self.part.to_string(), needs: problems.into_iter().collect() })
    }

    fn steps<'s>(&'s self, of: &'s BTreeSet<ResourceId>) -> impl Iterator<Item = &'s Step> {
        self.plan.steps.iter().filter(|step| of.contains(&step.resource))
    }

    /// A replacement is several steps, which are done together or not at all.
    fn halves<'s>(&'s self, chosen: &'s BTreeSet<ResourceId>) -> impl Iterator<Item = String> + 's {
        let replaced = self.plan.steps.iter().filter(|step| chosen.contains(&step.resource));
        replaced.filter(|step| !is_in_place(step)).flat_map(move |step| {
            let found = self.observed.0.get(&step.resource);
            let former = found.map(|found| step.resource.set_aside(&found.identity.id));
            let turned = self.plan.steps.iter().filter(move |other| {
                former.as_ref() == Some(&other.resource) || other.after.contains(&step.resource)
            });
            let left = turned.filter(|other| !chosen.contains(&other.resource));
            left.map(|other| {
                format!(
                    "`{}` is replaced, and the step `{} {}`, which belongs to that, would be left out",
                    step.resource,
                    other.action.verb(),
                    other.resource
                )
            })
        })
    }

    /// What has to be there, and isn't or is otherwise.
    fn missing(&self) -> impl Iterator<Item = String> {
        self.plan.steps.iter().filter_map(|step| {
            match (self.part.left_alone.get(&step.resource.kind)?, &step.action) {
                (LeftAlone::Ignored, _) | (LeftAlone::MustExist, Action::Update(_) | Action::Delete) => None,
                (_, Action::Create(_)) => Some(format!("`{}` has to be there, and isn't", step.resource)),
                (LeftAlone::MustExist, _) => None,
                (LeftAlone::MustBeRight, _) => {
                    Some(format!("`{}` is otherwise than the specification says", step.resource))
                }
            }
        })
    }

    fn place(&self, step: &Step) -> Place {
        if self.part.left_alone.contains_key(&step.resource.kind) {
            return match step.action {
                Action::Create(_) => Place::Barred("which makes what is to be left alone".to_owned()),
                _ => Place::Alone,
            };
        }
        let resource = self.resource(&step.resource);
        if let Some(asked) = self.part.phase {
            let own = phase_of(&step.resource, resource);
            if own < asked {
                return Place::Barred(format!("which is of the phase `{own}`: do that one first"));
            }
            if own > asked {
                return Place::Beside;
            }
        }
        let Some(groups) = &self.part.groups else { return Place::Asked };
        let asked = self.cluster.instance_groups.iter().filter(|group| groups.contains(&group.name));
        let own = resource.is_some_and(|resource| {
            asked.into_iter().any(|group| model::is_of_group(self.cluster, group, resource))
        });
        if own { Place::Asked } else { Place::Beside }
    }

    /// What a step is about: of one that is set aside, what it was.
    fn resource(&self, id: &ResourceId) -> Option<&Resource> {
        let found = |id: &ResourceId| self.observed.0.get(id).map(|found| &found.resource);
        let set_aside = || {
            let (name, _) = id.name.split_once(" (replaced ")?;
            found(&ResourceId::new(id.kind, name))
        };
        self.desired.0.get(id).or_else(|| found(id)).or_else(set_aside)
    }
}

/// Whether a step leaves what refers to its resource as it is.
fn is_in_place(step: &Step) -> bool {
    !matches!(step.action, Action::Replace(_) | Action::CreateBeforeDelete(_))
}

/// The phase of a resource, as kops sorts its tasks.
fn phase_of(id: &ResourceId, resource: Option<&Resource>) -> Phase {
    match (id.kind, resource) {
        (Kind::ElasticIp, Some(resource)) if !model::is_of_a_master(resource) => Phase::Network,
        (Kind::Existing, _) if id.name.starts_with("sg-") => Phase::Security,
        (
            Kind::Existing
            | Kind::Vpc
            | Kind::InternetGateway
            | Kind::EgressOnlyInternetGateway
            | Kind::Subnet
            | Kind::NatGateway
            | Kind::RouteTable
            | Kind::GatewayEndpoint,
            _,
        ) => Phase::Network,
        (
            Kind::SecurityGroup
            | Kind::SecurityGroupRules
            | Kind::ExistingGroupRules
            | Kind::Role
            | Kind::InstanceProfile
            | Kind::DiscoveryDocument
            | Kind::OidcProvider
            | Kind::ServiceAccountRole
            | Kind::KeyPair,
            _,
        ) => Phase::Security,
        _ => Phase::Cluster,
    }
}

impl Phase {
    /// As the command line has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Security => "security",
            Self::Cluster => "cluster",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(groups) = &self.groups {
            let names: Vec<&str> = groups.iter().map(String::as_str).collect();
            let what = if names.len() == 1 { "the instance group" } else { "the instance groups" };
            parts.push(format!("{what} {}", names.join(", ")));
        }
        parts.extend(self.phase.map(|phase| format!("the phase {phase}")));
        if !self.left_alone.is_empty() {
            let kinds: Vec<&str> = self.left_alone.keys().map(|kind| kind.name()).collect();
            parts.push(format!("everything but {}", kinds.join(", ")));
        }
        formatter.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::sample;
    use crate::cloud::gateway_endpoint::GatewayEndpoint;
    use crate::cloud::route_table::RouteTable;
    use crate::cloud::{Effect, Identity, ObservedResource, Reference};

    /// A route table of a team, and the endpoint that leads to it.
    fn resources(team: &str) -> [Resource; 2] {
        let vpc = || Reference::existing("vpc-1");
        let tags = BTreeMap::from([("team".to_owned(), team.to_owned())]);
        let (routes, subnets) = (BTreeMap::new(), BTreeSet::new());
        let table = RouteTable { name: "t".to_owned(), vpc: vpc(), routes, subnets, tags };
        let (name, service, tags) = ("e".to_owned(), "s3".to_owned(), BTreeMap::new());
        let route_tables = [Reference::to("t")].into();
        [table.into(), GatewayEndpoint { name, vpc: vpc(), service, route_tables, tags }.into()]
    }

    /// What is left of a plan that replaces the table, where endpoints are left alone so.
    fn left_of(how: Option<LeftAlone>) -> Result<Plan, PlanError> {
        let mut desired = Desired(resources("b").map(|it| (it.id(), it)).into());
        desired.refer_to_existing("vpc-1");
        let mut observed = Observed::default();
        for resource in resources("a") {
            let (kind, name) = (resource.kind(), resource.name().to_owned());
            let identity = Identity::new(format!("{name}-1"));
            observed.extend(kind, vec![ObservedResource::new(name, resource, identity)]);
        }
        let existing = desired.0.iter().find(|(id, _)| id.kind == Kind::Existing).unwrap().1.clone();
        let found = ObservedResource::new("vpc-1", existing, Identity::new("vpc-1"));
        observed.extend(Kind::Existing, vec![found]);
        let effect = |wanted: &Resource, change: &crate::cloud::Change, found: &Resource| {
            if change.field == "tags.team" {
                Effect::CreateBeforeDelete
            } else {
                wanted.effect(change, found)
            }
        };
        let plan = Plan::update_by(&effect, &desired, &observed).unwrap();
        let left_alone = how.map(|how| (Kind::GatewayEndpoint, how)).into_iter().collect();
        let part = Part { phase: Some(Phase::Network), left_alone, ..Part::default() };
        part.of(plan, &sample::cluster(), &desired, &observed)
    }

    #[test]
    fn a_replacement_is_done_with_all_of_its_steps_or_not_at_all() {
        let whole = left_of(None).unwrap();
        let steps: Vec<String> =
            whole.steps.iter().map(|step| format!("{} {}", step.action.verb(), step.resource)).collect();
        let expected =
            ["replace route-table/t", "update gateway-endpoint/e", "delete route-table/t (replaced t-1)"];
        assert_eq!(steps, expected);
        assert_eq!(whole.left_out.unwrap().steps, Vec::<String>::new());
        let error = left_of(Some(LeftAlone::Ignored)).unwrap_err().to_string();
        let half = "`route-table/t` is replaced, and the step `update gateway-endpoint/e`, which belongs to that, would be left out";
        assert!(error.contains(half), "{error}");
    }

    #[test]
    fn what_is_asked_for_is_said_as_people_read_it() {
        let groups = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        let part = |groups, phase| Part { groups, phase, ..Part::default() }.to_string();
        assert_eq!(part(groups(&["a"]), None), "the instance group a");
        assert_eq!(
            part(groups(&["a", "b"]), Some(Phase::Cluster)),
            "the instance groups a, b, the phase cluster"
        );
        let part = Part { left_alone: [(Kind::Vpc, LeftAlone::Ignored)].into(), ..Part::default() };
        assert_eq!(part.to_string(), "everything but vpc");
    }
}
