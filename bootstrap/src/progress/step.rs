//! A step of the boot: named, idempotent, timed, retried within its own limit, reported.

use std::time::{Duration, Instant};

use crate::progress::reporter::Reporter;
use crate::progress::retry::{Backoff, Class, Classed, chain};

/// A step's name and limits.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    name: &'static str,
    limit: Duration,
    poll: Duration,
    outside: bool,
}

/// What an attempt came to: a value, and whether anything had to be changed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// What later steps need.
    pub value: T,
    /// Whether the step changed anything, or found all as it should be.
    pub changed: bool,
}

impl<T> Done<T> {
    /// All was as it should be.
    pub fn unchanged(value: T) -> Self {
        Self { value, changed: false }
    }
}

impl Done<()> {
    /// Nothing to hand on.
    pub fn changed_if(changed: bool) -> Self {
        Self { value: (), changed }
    }
}

/// A step that was given up.
#[derive(Debug, thiserror::Error)]
#[error("{step} {}", if *permanent { "can't be done".to_owned() } else { format!("was given up after {} s", limit.as_secs()) })]
pub struct StepError {
    /// The step's name.
    pub step: &'static str,
    /// Whether trying again can't help.
    pub permanent: bool,
    /// How long it was tried at most.
    pub limit: Duration,
    /// The last attempt's error.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Step {
    /// A step that is given up after this time, and looks every second for what it waits for.
    pub const fn new(name: &'static str, limit: Duration) -> Self {
        Self { name, limit, poll: Duration::from_secs(1), outside: false }
    }

    /// A step that is never given up: it needs the state, and would only be begun anew if it were. A state that is away is
    /// waited for.
    pub const fn until_done(name: &'static str) -> Self {
        Self::new(name, Duration::MAX)
    }

    /// The step's name in the report.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Most of its time it waits for AWS, for the API, or for what runs in the cluster. The report says so: what a boot
    /// takes beside that is the agent's own.
    #[must_use]
    pub const fn outside(mut self) -> Self {
        self.outside = true;
        self
    }

    /// Looks this often for what it waits for.
    #[must_use]
    pub const fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Tries until it is done, can't be done, or its time is over.
    ///
    /// An attempt is never cut short: what it does to AWS or to a disk is bounded by its own limits.
    pub async fn run<T, E: Classed>(
        self,
        reporter: &Reporter,
        mut attempt: impl AsyncFnMut() -> Result<Done<T>, E>,
    ) -> Result<T, StepError> {
        let started = Instant::now();
        let mut backoff = Backoff::new(self.poll);
        let report = reporter.begin(self.name);
        if self.outside {
            reporter.outside(report);
        }
        loop {
            reporter.attempt(report);
            let error = match attempt().await {
                Ok(done) => {
                    reporter.done(report, done.changed);
                    return Ok(done.value);
                }
                Err(error) => error,
            };
            let class = error.class();
            let wait = match error.again() {
                Some(again) if class == Class::Waiting => again,
                _ => backoff.next(class),
            };
            let permanent = class == Class::Permanent;
            let over = permanent || started.elapsed() + wait > self.limit;
            reporter.not_yet(report, if over { Class::Permanent } else { class }, &chain(&error));
            if over {
                let source = Box::new(error);
                return Err(StepError { step: self.name, permanent, limit: self.limit, source });
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Leaves the step out, because this is a folder and not a machine.
    pub fn leave_out(self, reporter: &Reporter) {
        tracing::info!(step = self.name, "left out: this is a folder, not a machine");
        let report = reporter.begin(self.name);
        reporter.done(report, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::report::BootState;
    use crate::progress::notify::Notify;

    #[derive(Debug, thiserror::Error)]
    #[error("not yet: {0:?}")]
    struct NotYet(Class);

    impl Classed for NotYet {
        fn class(&self) -> Class {
            self.0
        }
    }

    const STEP: Step = Step::new("ensure_test", Duration::from_mins(1)).poll(Duration::from_millis(1));

    #[tokio::test]
    async fn a_step_is_tried_until_it_is_done() {
        let reporter = Reporter::new(Notify::nobody());
        let mut tries = 0;
        let value = STEP
            .run(&reporter, async || {
                tries += 1;
                if tries < 4 { Err(NotYet(Class::Waiting)) } else { Ok(Done { value: tries, changed: true }) }
            })
            .await
            .unwrap();
        assert_eq!(value, 4);
        let status = reporter.status();
        assert_eq!((status.steps[0].attempts, status.steps[0].changed), (4, true));
        assert!(status.steps[0].seconds.is_some());
        assert_eq!((status.state, status.reason), (BootState::Running, None));
    }

    #[tokio::test]
    async fn what_can_not_be_done_is_not_tried_again() {
        let reporter = Reporter::new(Notify::nobody());
        let error =
            STEP.run(&reporter, async || Err::<Done<()>, _>(NotYet(Class::Permanent))).await.unwrap_err();
        assert_eq!(error.to_string(), "ensure_test can't be done");
        let status = reporter.status();
        assert_eq!((status.state, status.steps[0].attempts), (BootState::Failed, 1));
        assert_eq!(status.reason.as_deref(), Some("not yet: Permanent"));
    }

    #[tokio::test]
    async fn a_step_is_given_up_when_its_time_is_over() {
        let step = Step::new("ensure_test", Duration::from_millis(20)).poll(Duration::from_millis(5));
        let reporter = Reporter::new(Notify::nobody());
        let error =
            step.run(&reporter, async || Err::<Done<()>, _>(NotYet(Class::Waiting))).await.unwrap_err();
        assert!(!error.permanent);
        assert!(reporter.status().steps[0].attempts > 1);
    }
}
