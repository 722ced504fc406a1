//! What is done again and again, at a period of its own.

use std::error::Error;
use std::time::Duration;

use crate::progress::reporter::Reporter;

/// How long to wait after an error at most, unless the task says otherwise.
const AFTER_ERROR: Duration = Duration::from_secs(15);

/// A task's name in the report, and when it is due.
#[derive(Clone, Copy, Debug)]
pub struct Every {
    name: &'static str,
    period: Duration,
    first: Duration,
    after_error: Duration,
}

/// A task that is done at this period, the first time when that has passed once. After an error it is done again within
/// fifteen seconds.
pub const fn every(name: &'static str, period: Duration) -> Every {
    Every { name, period, first: period, after_error: AFTER_ERROR }
}

impl Every {
    /// Its name in the report.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// It is done the first time as soon as it is started.
    #[must_use]
    pub const fn at_once(mut self) -> Self {
        self.first = Duration::ZERO;
        self
    }

    /// After an error it is done again within this time.
    #[must_use]
    pub const fn after_error(mut self, pause: Duration) -> Self {
        self.after_error = pause;
        self
    }

    /// Does the work, for as long as it is let.
    pub async fn run<E, F>(self, reporter: &Reporter, mut work: impl FnMut() -> F)
    where
        E: Error + 'static,
        F: Future<Output = Result<(), E>>,
    {
        let mut rounds = self.rounds(reporter);
        loop {
            rounds.next().await;
            rounds.tell(work().await);
        }
    }

    /// The same, round by round, for work that remembers something from one to the next.
    pub fn rounds(self, reporter: &Reporter) -> Rounds<'_> {
        Rounds { task: self, reporter, pause: self.first }
    }
}

/// When a task is due next.
#[derive(Debug)]
pub struct Rounds<'a> {
    task: Every,
    reporter: &'a Reporter,
    pause: Duration,
}

impl Rounds<'_> {
    /// Waits until the task is due.
    pub async fn next(&mut self) {
        tokio::time::sleep(std::mem::replace(&mut self.pause, self.task.period)).await;
    }

    /// Puts into the report how the round went; after an error the next one comes sooner. Returns the round's value, if
    /// it went well.
    pub fn tell<T, E: Error + 'static>(&mut self, outcome: Result<T, E>) -> Option<T> {
        let value = self.reporter.tell(self.task.name, outcome);
        if value.is_none() {
            self.pause = self.task.period.min(self.task.after_error);
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::progress::notify::Notify;

    const TASK: Every = every("renew", Duration::from_hours(1)).after_error(Duration::from_millis(5));

    #[tokio::test]
    async fn after_an_error_it_is_done_again_soon_and_after_a_success_at_its_period() {
        let (reporter, rounds) = (Reporter::new(Notify::nobody()), AtomicU32::new(0));
        let work = async || match rounds.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => Err(std::io::Error::other("no space")),
            _ => Ok(()),
        };
        let going = TASK.at_once().run(&reporter, work);
        assert!(tokio::time::timeout(Duration::from_millis(300), going).await.is_err(), "it goes on");
        assert_eq!(rounds.load(Ordering::SeqCst), 3);
        assert_eq!(reporter.status().failing, [], "it works again");
    }

    #[tokio::test]
    async fn unless_it_is_to_begin_at_once_a_period_passes_first() {
        let reporter = Reporter::new(Notify::nobody());
        let started = Instant::now();
        every("look", Duration::from_millis(40)).rounds(&reporter).next().await;
        assert!(started.elapsed() >= Duration::from_millis(40));
        let first =
            tokio::time::timeout(Duration::from_millis(50), async { TASK.rounds(&reporter).next().await });
        assert!(first.await.is_err());
    }
}
