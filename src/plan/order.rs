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

fn outlives_instances(kind: Kind) -> bool {
    let held = [Kind::Volume, Kind::ElasticIp, Kind::RouteTable, Kind::InternetGateway];
    held.contains(&kind) || kind.is_made_by_controllers()
}

/// A controllers' group is named by rules in the cluster's own, which windlass knows by their group only. And a load
/// balancer has public addresses, with which an Internet gateway can't be detached.
fn after_rules(
    actions: &BTreeMap<ResourceId, Action>,
    after: &mut BTreeMap<ResourceId, BTreeSet<ResourceId>>,
) {
    let deleted = |kinds: &[Kind]| -> BTreeSet<ResourceId> {
        let doomed = actions.iter().filter(|(_, action)| **action == Action::Delete);
        doomed.map(|(id, _)| id).filter(|id| kinds.contains(&id.kind)).cloned().collect()
    };
    for group in deleted(&[Kind::ControllersSecurityGroup]) {
        after.entry(group).or_default().extend(deleted(&[Kind::SecurityGroupRules]));
    }
    let balancers = deleted(&[Kind::LoadBalancer, Kind::ClassicLoadBalancer]);
    for gateway in deleted(&[Kind::InternetGateway]) {
        after.entry(gateway).or_default().extend(balancers.clone());
    }
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
    // Instances take these by their tags, not by a reference, and must be gone before what they hold is free. Pods on
    // them reach the Internet to the end; and a controller that lives would make again what was deleted.
    for held in actions.keys().filter(|id| is_deleted(id) && outlives_instances(id.kind)) {
        after.entry(held.clone()).or_default().extend(groups.iter().cloned());
    }
    // What the Kubernetes API said is written down before the API goes.
    for marks in actions.keys().filter(|id| id.kind == Kind::ReclaimMarks) {
        for group in &groups {
            after.entry(group.clone()).or_default().insert(marks.clone());
        }
    }
    after_rules(actions, &mut after);
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
