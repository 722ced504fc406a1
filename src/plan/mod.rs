//! Planning: what is wanted × what was observed → an ordered list of steps. Pure and deterministic: the same two give
//! the same plan, byte for byte. The dry run, `--yes`, `-o json` and the golden tests show this one value.

mod check;
mod display;
mod lost;
mod lost_address;
mod order;
mod part;
mod replacement;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use thiserror::Error;

pub use self::check::{Violation, check};
pub use self::lost::{Lost, replace_lost_volumes};
pub use self::lost_address::LostAddress;
pub use self::part::{LeftAlone, LeftOut, Part, Phase};
pub use self::replacement::EffectOf;
use crate::aws::tags;
use crate::cloud::{Change, Kind, Observed, ObservedResource, Resource, ResourceId, Unwanted};
use crate::model::Desired;

/// What has to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// In an order in which they could be done one after the other.
    pub steps: Vec<Step>,
    /// What isn't wanted any more and stays nevertheless: volumes, because data is on them, and addresses, because
    /// others may know them.
    pub kept: Vec<ResourceId>,
    /// What isn't wanted any more and stays until nothing uses it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub occupied: Vec<Occupied>,
    /// What somebody set on AWS that a plan doesn't change and its reader should know of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// Where only a part of the specification was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
}

/// Something that can't be deleted yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Occupied {
    /// The resource.
    pub resource: ResourceId,
    /// What uses it.
    pub by: Vec<String>,
}

/// One thing to do to one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The resource.
    pub resource: ResourceId,
    /// What to do.
    #[serde(flatten)]
    pub action: Action,
    /// The resources whose steps must be done first.
    pub after: BTreeSet<ResourceId>,
}

/// What to do to a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "action", content = "changes")]
pub enum Action {
    /// Make it, with these fields.
    Create(Vec<Change>),
    /// Change these fields.
    Update(Vec<Change>),
    /// Delete it and make it again, because of these changes.
    Replace(Vec<Change>),
    /// Make another one in its place because of these changes. What refers to it has a step that turns it to the new one,
    /// and the old one, which is called [`ResourceId::set_aside`] from then on, a step that deletes it.
    CreateBeforeDelete(Vec<Change>),
    /// Delete it.
    Delete,
}

/// Why there is no plan.
#[derive(Debug, Error)]
pub enum PlanError {
    /// Some changes aren't possible.
    #[error("{}", describe(refusals))]
    Refused {
        /// All of them.
        refusals: Vec<Refusal>,
    },
    /// AWS has two of something that there must be one of.
    #[error("there are {} of `{resource}` in AWS:\n  {}", alike.len(), alike.join("\n  "))]
    Duplicate {
        /// Which.
        resource: ResourceId,
        /// All of them: AWS's ids, with what is known of each.
        alike: Vec<String>,
    },
    /// Volumes are missing on which the cluster's data is.
    #[error(
        "the data of etcd is not where it was, and a new volume would be blank:\n{}",
        lost.iter().map(Lost::to_string).collect::<Vec<_>>().join("\n")
    )]
    VolumesLost {
        /// All of them.
        lost: Vec<Lost>,
        /// The tags that make another volume the first one of them, as the AWS CLI takes them.
        marks: String,
    },
    /// A lost volume can't be made anew.
    #[error("{volume} can't be made anew: {why}")]
    Irreplaceable {
        /// Its name.
        volume: String,
        /// Why not.
        why: String,
    },
    /// The API's address isn't found any more.
    #[error("a master's Elastic IP is not found by its tags, and a new one would be another address:\n{0}")]
    AddressLost(LostAddress),
    /// A part of the specification can't be brought to AWS without the rest.
    #[error("{part} can't be updated alone:\n{}", needs.iter().map(|need| format!("  {need}")).collect::<Vec<_>>().join("\n"))]
    Apart {
        /// What was asked for.
        part: String,
        /// What it needs of the rest.
        needs: Vec<String>,
    },
    /// The plan would do harm: a defect of windlass, found before anything was changed.
    #[error("the plan is not sound:\n{}", violations.iter().map(|violation| format!("  {violation}")).collect::<Vec<_>>().join("\n"))]
    Unsound {
        /// What is wrong with it.
        violations: Vec<Violation>,
    },
}

impl PlanError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Refused { refusals } if refusals.iter().all(|refusal| refusal.on_aws) => Some(
                "put it back there, or write what is there into the specification with `windlass edit cluster` or \
                 `windlass edit instancegroup`; nothing was changed in AWS"
                    .to_owned(),
            ),
            Self::Refused { .. } => Some(
                "undo these changes with `windlass edit cluster` or `windlass edit instancegroup`; nothing was changed \
                 in AWS"
                    .to_owned(),
            ),
            Self::Duplicate { resource, .. } => Some(format!(
                "nothing was changed. Find out which one is in use; take the tag `{}` from the other one, or delete it \
                 if nothing is on it, and run the same command{}",
                tags::MANAGED,
                if resource.kind == Kind::Volume { ". etcd's data may be on one that is not attached" } else { "" }
            )),
            Self::VolumesLost { marks, lost } => Some(format!(
                "nothing was changed. If it is lost and a majority of its etcd's members lives, the same command with \
                 `--replace-lost-volume {}` makes a blank one, which they fill; without them, `windlass restore cluster` \
                 restores a backup. If one of the above is it, or you make one of its last snapshot, mark it and run the \
                 same command: aws ec2 create-tags --resources VOLUME --tags {marks}",
                lost.first().map_or("NAME", |lost| lost.volume.name.as_str())
            )),
            Self::Irreplaceable { .. } => Some(
                "nothing was changed. A member comes back through the majority of the others; without one, its data comes \
                 from a backup: windlass restore cluster"
                    .to_owned(),
            ),
            Self::AddressLost(lost) => Some(lost.hint()),
            Self::Apart { .. } => Some(
                "`windlass update cluster` without `--instance-group`, `--instance-group-roles`, `--phase` and \
                 `--lifecycle-overrides` updates all of it; nothing was changed in AWS"
                    .to_owned(),
            ),
            Self::Unsound { .. } => {
                Some("this is a defect of windlass, please report it; nothing was changed in AWS".to_owned())
            }
        }
    }
}

/// A change that isn't made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The resource.
    pub resource: ResourceId,
    /// The change.
    pub change: Change,
    /// Why not.
    pub why: &'static str,
    /// Whether the specification didn't ask for it: somebody changed what is on AWS.
    pub on_aws: bool,
}

impl PlanError {
    /// Tells apart what the specification asks for from what somebody changed on AWS: that is what was `applied`, and is
    /// wanted still.
    #[must_use]
    pub fn told_apart(mut self, applied: &Desired) -> Self {
        if let Self::Refused { refusals } = &mut self {
            for refusal in refusals {
                let Some(applied) = applied.0.get(&refusal.resource) else { continue };
                refusal.on_aws =
                    applied.fields().value(&refusal.change.field) == refusal.change.to.as_deref();
            }
        }
        self
    }
}

fn describe(refusals: &[Refusal]) -> String {
    let (on_aws, asked): (Vec<_>, Vec<_>) = refusals.iter().partition(|refusal| refusal.on_aws);
    let list =
        |refusals: &[&Refusal]| refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let mut parts = Vec::new();
    if !asked.is_empty() {
        parts.push(format!("the specification asks for changes that can't be made:\n{}", list(&asked)));
    }
    if !on_aws.is_empty() {
        parts.push(format!("somebody changed on AWS what windlass can't change back:\n{}", list(&on_aws)));
    }
    parts.join("\n")
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let absent = "(none)";
        let from = self.change.from.as_deref().unwrap_or(absent);
        let to = self.change.to.as_deref().unwrap_or(absent);
        write!(formatter, "  {}: {} {from} → {to}: {}", self.resource, self.change.field, self.why)
    }
}

impl Plan {
    /// Plans what makes `desired` of what is there. What windlass made and the specification doesn't ask for any more
    /// is deleted, but for volumes, for addresses, which nobody gets back, and for objects that running instances were
    /// made from.
    pub fn update(desired: &Desired, observed: &Observed) -> Result<Self, PlanError> {
        Self::update_by(&Resource::effect, desired, observed)
    }

    /// The same by other rules of what changes do than the kinds' own.
    pub fn update_by(
        effect: &EffectOf<'_>,
        desired: &Desired,
        observed: &Observed,
    ) -> Result<Self, PlanError> {
        refuse_duplicates(observed)?;
        let (mut actions, set_aside) = replacement::actions(effect, desired, observed)?;
        let mut kept = Vec::new();
        for (id, found) in observed.0.iter().filter(|(id, _)| !desired.0.contains_key(*id)) {
            match found.resource.unwanted() {
                Unwanted::LeftAlone | Unwanted::Pruned => {}
                Unwanted::Kept(_) => kept.push(id.clone()),
                Unwanted::Deleted => drop(actions.insert(id.clone(), Action::Delete)),
            }
        }
        if !actions.is_empty() {
            actions.extend(unused(desired, observed).map(|id| (id.clone(), Action::Delete)));
        }
        let remarks = remarks(desired, observed);
        let steps = order::steps(actions, desired, observed, &set_aside);
        let plan = Self { steps, kept, occupied: Vec::new(), remarks, left_out: None };
        let violations = check(&plan, desired);
        if violations.is_empty() { Ok(plan) } else { Err(PlanError::Unsound { violations }) }
    }

    /// Plans the end of a cluster: everything that was found, etcd's volumes too, but volumes of PersistentVolumes only
    /// where they go with the cluster. Objects of the state aren't steps; the state goes as a whole, when nothing is left
    /// that could read it.
    ///
    /// `reclaim_marks` is what has to be written down before the rest goes ([`crate::cloud::by_controllers::ReclaimMarks`]),
    /// or nothing.
    pub fn deletion(reclaim_marks: &Desired, observed: &Observed) -> Self {
        let (mut actions, mut kept) = (BTreeMap::new(), Vec::new());
        for (id, found) in observed.0.iter().filter(|(id, _)| id.kind.declaration().has_deletion_step) {
            if found.resource.goes_with_cluster() {
                actions.insert(id.clone(), Action::Delete);
            } else {
                kept.push(id.clone());
            }
        }
        for (id, wanted) in &reclaim_marks.0 {
            let changes = match observed.0.get(id) {
                Some(found) => wanted.changes_from(&found.resource),
                None => wanted.fields().additions(),
            };
            // A mark more than is wanted was set by an earlier run, which knew.
            let changes: Vec<Change> = changes.into_iter().filter(|change| change.to.is_some()).collect();
            if !changes.is_empty() {
                actions.insert(id.clone(), Action::Update(changes));
            }
        }
        let steps = order::steps(actions, reclaim_marks, observed, &BTreeMap::new());
        Self { steps, kept, ..Self::default() }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Action {
    /// `create`, `update`, `replace`, `delete`.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Update(_) => "update",
            Self::Replace(_) | Self::CreateBeforeDelete(_) => "replace",
            Self::Delete => "delete",
        }
    }
}

/// What isn't wanted any more and goes when nothing may need it, and nothing does.
fn unused<'a>(desired: &'a Desired, observed: &'a Observed) -> impl Iterator<Item = &'a ResourceId> {
    let prunable = observed.0.iter().filter(|(id, found)| {
        !desired.0.contains_key(id) && !found.duplicate && found.resource.unwanted() == Unwanted::Pruned
    });
    let referred: BTreeSet<ResourceId> =
        observed.0.values().flat_map(|found| found.resource.references()).collect();
    let may_be_needed = |id: &ResourceId| observed.0.values().any(|other| other.resource.may_need(id));
    prunable.map(|(id, _)| id).filter(move |id| !referred.contains(id) && !may_be_needed(id))
}

fn remarks(desired: &Desired, observed: &Observed) -> Vec<String> {
    let wanted = desired.0.keys().filter_map(|id| observed.0.get(id));
    wanted.filter_map(|found| found.resource.remark()).collect()
}

fn refuse_duplicates(observed: &Observed) -> Result<(), PlanError> {
    let duplicates: Vec<(&ResourceId, &ObservedResource)> =
        observed.0.iter().filter(|(_, found)| found.duplicate).collect();
    let Some((id, first)) = duplicates.first() else {
        return Ok(());
    };
    let alike = observed.0.iter().filter(|(other, found)| other.kind == id.kind && found.name == first.name);
    Err(PlanError::Duplicate {
        resource: ResourceId::new(id.kind, &first.name),
        alike: alike.map(|(_, found)| found.described()).collect(),
    })
}
