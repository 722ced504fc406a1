//! What happens during a run, for whoever listens, and how it ended.

use std::time::Duration;

use crate::cloud::{CloudError, ResourceId};
use crate::plan::Step;

/// Something that happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step is being done.
    Started {
        /// The step.
        step: &'a Step,
    },
    /// A step failed with something that passes, and will be tried again.
    Waiting {
        /// The step.
        step: &'a Step,
        /// Why.
        error: &'a CloudError,
        /// How long until the next try.
        pause: Duration,
    },
    /// A step is done.
    Done {
        /// The step.
        step: &'a Step,
        /// How long it took.
        took: Duration,
    },
    /// A step failed for good.
    Failed {
        /// The step.
        step: &'a Step,
        /// Why.
        error: &'a CloudError,
    },
}

/// How a run ended.
#[derive(Debug, Default)]
#[must_use]
pub struct Summary {
    /// How many steps were done.
    pub done: usize,
    /// What failed.
    pub failed: Vec<Failure>,
    /// How many steps were not done, because what they come after failed, or because the run was stopped.
    pub not_done: usize,
    /// Whether the run was asked to stop.
    pub stopped: bool,
    /// How long it all took.
    pub took: Duration,
}

/// A step that failed for good.
#[derive(Debug)]
pub struct Failure {
    /// The resource.
    pub resource: ResourceId,
    /// What was to be done: `create`, `update`, `replace`, `delete`.
    pub verb: &'static str,
    /// Why it failed.
    pub error: CloudError,
}

impl Summary {
    /// Whether all that was planned is done, and the caller may go on. A run that was asked to stop during its last step
    /// is not: what comes after it isn't begun any more, and the next run finds nothing left to do but that.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.not_done == 0 && !self.stopped
    }
}
