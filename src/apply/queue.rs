//! The ready-queue: which steps may start. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::cloud::ResourceId;
use crate::plan::Plan;

/// The steps of a plan that aren't started yet.
#[derive(Debug)]
pub(super) struct Queue {
    /// Steps that may start, by their place in the plan.
    ready: BTreeSet<usize>,
    /// For each step that may not start yet, how many steps it waits for.
    waiting: BTreeMap<usize, usize>,
    /// For each step, those that wait for it.
    dependants: BTreeMap<usize, Vec<usize>>,
}

impl Queue {
    pub(super) fn new(plan: &Plan) -> Self {
        let places: BTreeMap<&ResourceId, usize> =
            plan.steps.iter().enumerate().map(|(at, step)| (&step.resource, at)).collect();
        let mut queue =
            Self { ready: BTreeSet::new(), waiting: BTreeMap::new(), dependants: BTreeMap::new() };
        for (at, step) in plan.steps.iter().enumerate() {
            let after: Vec<usize> = step.after.iter().filter_map(|id| places.get(id).copied()).collect();
            if after.is_empty() {
                queue.ready.insert(at);
            } else {
                queue.waiting.insert(at, after.len());
            }
            for before in after {
                queue.dependants.entry(before).or_default().push(at);
            }
        }
        queue
    }

    /// The next step that may start; it is then under way.
    pub(super) fn take(&mut self) -> Option<usize> {
        self.ready.pop_first()
    }

    /// Whether a step may start.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A step is done: those that waited only for it may start. A step that fails is never reported, so that what
    /// comes after it never starts.
    pub(super) fn done(&mut self, at: usize) {
        for dependant in self.dependants.remove(&at).unwrap_or_default() {
            if let Some(count) = self.waiting.get_mut(&dependant) {
                *count -= 1;
                if *count == 0 {
                    self.waiting.remove(&dependant);
                    self.ready.insert(dependant);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::Kind;
    use crate::plan::{Action, Step};

    fn plan(steps: &[(&str, &[&str])]) -> Plan {
        let id = |name: &str| ResourceId::new(Kind::Vpc, name);
        let steps = steps.iter().map(|(name, after)| Step {
            resource: id(name),
            action: Action::Delete,
            after: after.iter().map(|name| id(name)).collect(),
        });
        Plan { steps: steps.collect(), ..Plan::default() }
    }

    #[test]
    fn a_step_starts_when_its_last_predecessor_is_done() {
        let mut queue = Queue::new(&plan(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]));
        assert_eq!((queue.take(), queue.take(), queue.take()), (Some(0), Some(1), None));
        queue.done(1);
        assert_eq!(queue.take(), None);
        queue.done(0);
        assert_eq!(queue.take(), Some(2));
    }

    #[test]
    fn a_failed_step_blocks_only_what_comes_after_it() {
        let mut queue = Queue::new(&plan(&[("a", &[]), ("b", &["a"]), ("c", &[]), ("d", &["c"])]));
        assert_eq!((queue.take(), queue.take()), (Some(0), Some(2)));
        queue.done(2);
        assert_eq!((queue.take(), queue.take()), (Some(3), None));
    }
}
