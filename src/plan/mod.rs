//! Planning: what is wanted × what was observed → an ordered list of steps. Pure and deterministic: the same two give
//! the same plan, byte for byte. The dry run, `--yes`, `-o json` and the golden tests show this one value.

mod check;
mod display;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use thiserror::Error;

pub use self::check::{Violation, check};
use crate::cloud::{Change, Effect, Found, Kind, Observed, Resource, ResourceId};
use crate::model::Desired;

/// What has to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// In an order in which they could be done one after the other.
    pub steps: Vec<Step>,
    /// What isn't wanted any more and stays nevertheless, because data is on it.
    pub kept: Vec<ResourceId>,
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
    /// Delete it.
    Delete,
}

/// Why there is no plan.
#[derive(Debug, Error)]
pub enum PlanError {
    /// Some changes aren't possible.
    #[error("the specification asks for changes that can't be made:\n{}", refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("\n"))]
    Refused {
        /// All of them.
        refusals: Vec<Refusal>,
    },
    /// AWS has two of something that there must be one of.
    #[error("there are two of `{resource}` in AWS: {} and another one", ids.join(", "))]
    Double {
        /// Which.
        resource: String,
        /// AWS's ids of those that are one too many.
        ids: Vec<String>,
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
            Self::Refused { .. } => Some(
                "undo these changes with `windlass edit cluster` or `windlass edit instancegroup`; nothing was changed \
                 in AWS"
                    .to_owned(),
            ),
            Self::Double { ids, .. } => {
                Some(format!("delete the one that nothing uses, probably {}, and run the same command", ids.join(", ")))
            }
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
    /// is deleted, but for volumes, and for objects that running instances were made from.
    pub fn update(desired: &Desired, observed: &Observed) -> Result<Self, PlanError> {
        refuse_doubles(observed)?;
        let mut actions = BTreeMap::new();
        let mut refusals = Vec::new();
        for (id, wanted) in &desired.0 {
            let action = match observed.0.get(id) {
                None => Some(Action::Create(wanted.fields().additions())),
                Some(found) => change(id, wanted, found, &mut refusals),
            };
            if let Some(action) = action {
                actions.insert(id.clone(), action);
            }
        }
        if !refusals.is_empty() {
            return Err(PlanError::Refused { refusals });
        }
        let mut kept = Vec::new();
        for id in observed.0.keys().filter(|id| !desired.0.contains_key(*id)) {
            match id.kind {
                Kind::StateObject => {}
                Kind::Volume => kept.push(id.clone()),
                _ => {
                    actions.insert(id.clone(), Action::Delete);
                }
            }
        }
        let plan = Self { steps: order::steps(actions, desired, observed), kept };
        let violations = check(&plan, desired);
        if violations.is_empty() { Ok(plan) } else { Err(PlanError::Unsound { violations }) }
    }

    /// Plans the end of a cluster: everything that was found, volumes too. Objects of the state aren't steps; the
    /// state goes as a whole, when nothing is left that could read it.
    pub fn deletion(observed: &Observed) -> Self {
        let in_state = |kind| matches!(kind, Kind::StateObject | Kind::AdditionalObjects);
        let doomed = observed.0.keys().filter(|id| !in_state(id.kind));
        let actions = doomed.map(|id| (id.clone(), Action::Delete)).collect();
        Self { steps: order::steps(actions, &Desired::default(), observed), kept: Vec::new() }
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
            Self::Replace(_) => "replace",
            Self::Delete => "delete",
        }
    }
}

fn refuse_doubles(observed: &Observed) -> Result<(), PlanError> {
    let doubles: Vec<(&ResourceId, &Found)> = observed.0.iter().filter(|(_, found)| found.double).collect();
    let Some((id, first)) = doubles.first() else {
        return Ok(());
    };
    let alike = doubles.iter().filter(|(other, found)| other.kind == id.kind && found.name == first.name);
    Err(PlanError::Double {
        resource: ResourceId::new(id.kind, &first.name).to_string(),
        ids: alike.map(|(_, found)| found.identity.id.clone()).collect(),
    })
}

fn change(id: &ResourceId, wanted: &Resource, found: &Found, refusals: &mut Vec<Refusal>) -> Option<Action> {
    let changes = wanted.changes_from(&found.resource);
    let mut replace = false;
    for change in &changes {
        match wanted.effect(change, &found.resource) {
            Effect::InPlace => {}
            Effect::Replace => replace = true,
            Effect::Refused(why) => {
                refusals.push(Refusal { resource: id.clone(), change: change.clone(), why });
            }
        }
    }
    match (changes.is_empty(), replace) {
        (true, _) => None,
        (false, true) => Some(Action::Replace(changes)),
        (false, false) => Some(Action::Update(changes)),
    }
}
