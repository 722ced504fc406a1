//! How a run shows itself: one line for each step that is done, and on a terminal a last line that says what is under
//! way.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output;
use crate::apply::{Event, Summary};
use crate::cloud::blockers::Blocker;
use crate::cloud::{CloudError, ResourceId};
use crate::ops::one_line;
use crate::plan::{Plan, Step};
use crate::spec::quantity;

/// How often the last line moves.
const TICK: Duration = Duration::from_millis(120);

/// Shows a run.
pub(crate) struct Progress {
    bar: ProgressBar,
    running: Mutex<BTreeSet<ResourceId>>,
    blocked: Mutex<BTreeSet<(ResourceId, String)>>,
}

impl Progress {
    /// Shows the run of a plan.
    pub(crate) fn new(plan: &Plan) -> Self {
        let steps = u64::try_from(plan.steps.len()).unwrap_or(u64::MAX);
        let bar = if io::stderr().is_terminal() {
            ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr())
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos}/{len} {wide_msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self { bar, running: Mutex::default(), blocked: Mutex::default() }
    }

    /// Shows what happened.
    pub(crate) fn show(&self, event: &Event<'_>) {
        match event {
            Event::Started { step } => self.running(|running| running.insert(step.resource.clone())),
            Event::Waiting { step, error, pause } => {
                let pause = pause.as_secs_f64();
                tracing::info!("{}: trying again in {pause:.1} s: {error}", step.resource);
                self.bar.set_message(format!("{} waits: {error}", step.resource));
                if let CloudError::Blocked { by, .. } = error {
                    self.say_what_is_in_the_way(step, by);
                }
            }
            Event::Done { step, took } => {
                self.say(&format!("  {} {} ({:.1} s)", past(step), step.resource, took.as_secs_f64()));
                self.bar.inc(1);
                self.running(|running| running.remove(&step.resource));
            }
            Event::Failed { step, error } => {
                self.say(&format!(
                    "  failed to {} {}: {}",
                    step.action.verb(),
                    step.resource,
                    one_line(error)
                ));
                self.running(|running| running.remove(&step.resource));
            }
        }
    }

    /// Ends the last line.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Says what a deletion waits for, once for each thing: some of it may be for the reader to take away.
    fn say_what_is_in_the_way(&self, step: &Step, by: &[Blocker]) {
        let mut blocked = self.blocked.lock().unwrap_or_else(PoisonError::into_inner);
        for blocker in by {
            if blocked.insert((step.resource.clone(), blocker.id.clone())) {
                self.say(&format!("  waiting  {} is used by {blocker}", step.resource));
            }
        }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| output::say(line));
    }

    fn running(&self, change: impl FnOnce(&mut BTreeSet<ResourceId>) -> bool) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut running);
        let names: Vec<String> = running.iter().map(ToString::to_string).collect();
        self.bar.set_message(names.join(", "));
    }
}

/// What a run that did not do everything leaves to say.
pub(crate) fn shortfall(summary: &Summary) -> String {
    let Summary { done, failed, not_done, stopped, took: _ } = summary;
    let mut text =
        if *stopped { "stopped".to_owned() } else { format!("{} failed", quantity(failed.len(), "step")) };
    let _ = write!(text, "; {} done, {not_done} not begun", quantity(*done, "step"));
    text
}

fn past(step: &Step) -> &'static str {
    match step.action.verb() {
        "create" => "created ",
        "update" => "changed ",
        "replace" => "replaced",
        _ => "deleted ",
    }
}
