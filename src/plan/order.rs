//! The order of a plan's steps, out of the references between resources.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Step};
use crate::cloud::{Kind, Observed, ResourceId};
use crate::model::Desired;

/// Makes steps of actions: each knows the steps it comes after, and the list is in an order in which they could be
/// done one by one. Of steps that could come next, the one whose resource comes first does.
///
/// A cycle can't be ordered; its steps come last, and `check` reports them.
pub(super) fn steps(
    actions: BTreeMap<ResourceId, Action>,
    desired: &Desired,
    observed: &Observed,
) -> Vec<Step> {
    let mut after = edges(&actions, desired, observed);
    let mut waiting: BTreeMap<ResourceId, Action> = actions;
    let mut done: BTreeSet<ResourceId> = BTreeSet::new();
    let mut steps = Vec::with_capacity(waiting.len());
    while let Some(next) = next(&waiting, &after, &done) {
        let Some(action) = waiting.remove(&next) else { break };
        done.insert(next.clone());
        steps.push(Step { after: after.remove(&next).unwrap_or_default(), resource: next, action });
    }
    steps
}

/// The first resource whose predecessors are all done; of a cycle, the first at all.
fn next(
    waiting: &BTreeMap<ResourceId, Action>,
    after: &BTreeMap<ResourceId, BTreeSet<ResourceId>>,
    done: &BTreeSet<ResourceId>,
) -> Option<ResourceId> {
    let ready = |id: &&ResourceId| after.get(*id).is_none_or(|after| after.is_subset(done));
    waiting.keys().find(ready).or_else(|| waiting.keys().next()).cloned()
}

/// What each step comes after: making or changing a resource comes after the steps of all it refers to; deleting one
/// comes after the steps of all that referred to it.
fn edges(
    actions: &BTreeMap<ResourceId, Action>,
    desired: &Desired,
    observed: &Observed,
) -> BTreeMap<ResourceId, BTreeSet<ResourceId>> {
    let mut after: BTreeMap<ResourceId, BTreeSet<ResourceId>> = BTreeMap::new();
    let is_deleted = |id: &ResourceId| matches!(actions.get(id), Some(Action::Delete));
    let groups: BTreeSet<ResourceId> =
        actions.keys().filter(|id| id.kind == Kind::AutoScalingGroup && is_deleted(id)).cloned().collect();
    // Instances take these by their tags, not by a reference, and must be gone before what they hold is free.
    for held in
        actions.keys().filter(|id| matches!(id.kind, Kind::Volume | Kind::ElasticIp) && is_deleted(id))
    {
        after.entry(held.clone()).or_default().extend(groups.iter().cloned());
    }
    // The tags of an Elastic IP say where its record set is: that must be gone before they say something else.
    let records: Vec<&ResourceId> =
        actions.keys().filter(|id| id.kind == Kind::RecordSet && is_deleted(id)).collect();
    for address in actions.keys().filter(|id| id.kind == Kind::ElasticIp) {
        after.entry(address.clone()).or_default().extend(records.iter().map(|id| (*id).clone()));
    }
    for (id, action) in actions {
        if let (false, Some(wanted)) = (*action == Action::Delete, desired.0.get(id)) {
            let needed = wanted.references().into_iter();
            let needed =
                needed.filter(|needed| actions.contains_key(needed) && !is_deleted(needed) && needed != id);
            after.entry(id.clone()).or_default().extend(needed);
        }
        if let Some(found) = observed.0.get(id) {
            for referred in found.resource.references() {
                if is_deleted(&referred) && referred != *id {
                    after.entry(referred).or_default().insert(id.clone());
                }
            }
        }
    }
    after
}
