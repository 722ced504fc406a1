//! The order of a plan's steps, out of the references between resources.

use std::collections::{BTreeMap, BTreeSet};

use super::replacement::SetAside;
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
    set_aside: &SetAside,
) -> Vec<Step> {
    let mut after = edges(&actions, desired, observed);
    add_set_aside(&actions, observed, set_aside, &mut after);
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

/// What kinds declare of the order of their steps, besides what references say.
fn add_declared(
    actions: &BTreeMap<ResourceId, Action>,
    after: &mut BTreeMap<ResourceId, BTreeSet<ResourceId>>,
) {
    let mut steps: BTreeMap<Kind, Vec<&ResourceId>> = BTreeMap::new();
    let mut deletions: BTreeMap<Kind, Vec<&ResourceId>> = BTreeMap::new();
    for (id, action) in actions {
        steps.entry(id.kind).or_default().push(id);
        if *action == Action::Delete {
            deletions.entry(id.kind).or_default().push(id);
        }
    }
    let mut add = |later: &[&ResourceId], kinds: &[Kind], earlier: &BTreeMap<Kind, Vec<&ResourceId>>| {
        for id in later {
            let earlier = kinds.iter().filter_map(|kind| earlier.get(kind)).flatten().copied().cloned();
            after.entry((*id).clone()).or_default().extend(earlier);
        }
    };
    for (kind, ids) in &deletions {
        let declared = kind.declaration();
        add(ids, declared.deleted_after, &deletions);
        add(ids, declared.deleted_after_steps_of, &steps);
    }
    for (kind, ids) in &steps {
        add(ids, kind.declaration().changed_after_deletion_of, &deletions);
    }
}

/// What is set aside goes when there is another one in its place, and nothing refers to it any more: neither what is turned
/// to the new one nor what is set aside itself.
fn add_set_aside(
    actions: &BTreeMap<ResourceId, Action>,
    observed: &Observed,
    set_aside: &SetAside,
    after: &mut BTreeMap<ResourceId, BTreeSet<ResourceId>>,
) {
    for (id, former) in set_aside {
        after.entry(former.clone()).or_default().insert(id.clone());
    }
    for (id, found) in observed.0.iter().filter(|_| !set_aside.is_empty()) {
        let formers = found.resource.references().into_iter().filter_map(|referred| set_aside.get(&referred));
        for former in formers {
            let steps = set_aside.get(id).into_iter().chain(actions.contains_key(id).then_some(id));
            after.entry(former.clone()).or_default().extend(steps.cloned());
        }
    }
}

/// What each step comes after: making or changing a resource comes after the steps of all it refers to; deleting one
/// comes after the steps of all that referred to it. Kinds declare what is to be known besides.
fn edges(
    actions: &BTreeMap<ResourceId, Action>,
    desired: &Desired,
    observed: &Observed,
) -> BTreeMap<ResourceId, BTreeSet<ResourceId>> {
    let mut after: BTreeMap<ResourceId, BTreeSet<ResourceId>> = BTreeMap::new();
    let is_deleted = |id: &ResourceId| matches!(actions.get(id), Some(Action::Delete));
    add_declared(actions, &mut after);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which steps are listed that nothing refers to or from.
    fn ordered(actions: &[(Kind, &str, Action)]) -> Vec<String> {
        let actions =
            actions.iter().map(|(kind, name, action)| (ResourceId::new(*kind, *name), action.clone()));
        let steps = steps(actions.collect(), &Desired::default(), &Observed::default(), &SetAside::new());
        steps.iter().map(|step| format!("{} {}", step.action.verb(), step.resource)).collect()
    }

    #[test]
    fn what_instances_hold_and_what_controllers_make_again_goes_after_the_last_instance_group() {
        let deletions = [
            (Kind::Volume, "v", Action::Delete),
            (Kind::InternetGateway, "g", Action::Delete),
            (Kind::AutoScalingGroup, "a", Action::Delete),
            (Kind::AutoScalingGroup, "b", Action::Delete),
            (Kind::LoadBalancer, "l", Action::Delete),
        ];
        assert_eq!(
            ordered(&deletions),
            [
                "delete auto-scaling-group/a",
                "delete auto-scaling-group/b",
                "delete volume/v",
                "delete load-balancer/l",
                "delete internet-gateway/g"
            ]
        );
    }

    #[test]
    fn what_the_api_said_is_written_down_before_the_api_goes() {
        let marks = Action::Update(Vec::new());
        let steps = [(Kind::AutoScalingGroup, "a", Action::Delete), (Kind::ReclaimMarks, "marks", marks)];
        assert_eq!(ordered(&steps), ["update reclaim-marks/marks", "delete auto-scaling-group/a"]);
    }

    #[test]
    fn an_elastic_ip_says_where_its_record_set_is_until_that_is_gone() {
        let retagged = Action::Update(Vec::new());
        let steps = |of_record| {
            ordered(&[(Kind::ElasticIp, "api", retagged.clone()), (Kind::RecordSet, "zone/api", of_record)])
        };
        assert_eq!(steps(Action::Delete), ["delete record-set/zone/api", "update elastic-ip/api"]);
        let changed = Action::Update(Vec::new());
        assert_eq!(steps(changed), ["update elastic-ip/api", "update record-set/zone/api"]);
    }
}
