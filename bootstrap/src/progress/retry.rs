//! Which errors are worth another try, and how long to wait before it.

use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Something that passes by itself: throttling, a time-out, a reply that was lost.
    Passing,
    /// Nothing is wrong: something outside the instance is not there yet.
    Waiting,
    /// Trying again can't help; somebody has to change something.
    Permanent,
}

/// An error that knows its class.
pub trait Classed: Error + Send + Sync + 'static {
    /// Whether trying again can help.
    fn class(&self) -> Class;

    /// How soon it is worth looking again for what is waited for, where the error knows better than the step.
    fn again(&self) -> Option<Duration> {
        None
    }
}

/// What can't fail.
impl Classed for std::convert::Infallible {
    fn class(&self) -> Class {
        match *self {}
    }
}

/// The whole chain of an error on one line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Libraries like to repeat their source's text in their own.
        if !line.contains(&text) {
            let _ = write!(line, ": {text}");
        }
        source = cause.source();
    }
    line.replace('\n', " ")
}

/// Waits between tries: after failures doubling from half a second up to 15 s, with jitter; for something outside
/// that is not there yet, always the same.
#[derive(Debug)]
pub struct Backoff {
    poll: Duration,
    failures: u32,
}

impl Backoff {
    /// `poll` is how often to look for something outside.
    pub fn new(poll: Duration) -> Self {
        Self { poll, failures: 0 }
    }

    /// How long to wait after an error of this class.
    pub fn next(&mut self, class: Class) -> Duration {
        if class == Class::Waiting {
            self.failures = 0;
            return self.poll;
        }
        let ceiling = Duration::from_millis(500 << self.failures.min(5)).min(Duration::from_secs(15));
        self.failures += 1;
        // Between half and all of it: enough to keep machines that boot together from asking together.
        ceiling / 2 + ceiling.mul_f64(jitter() / 2.0)
    }
}

fn jitter() -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    f64::from(now.subsec_nanos() % 1_000_000) / 1_000_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_back_off_up_to_fifteen_seconds() {
        let mut backoff = Backoff::new(Duration::from_secs(1));
        let waits: Vec<Duration> = (0..40).map(|_| backoff.next(Class::Passing)).collect();
        assert!(waits[0] <= Duration::from_millis(500));
        assert!(waits[0] >= Duration::from_millis(250));
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(15)));
        assert!(waits[39] >= Duration::from_millis(7500));
        assert_eq!(backoff.next(Class::Waiting), Duration::from_secs(1));
        assert!(
            backoff.next(Class::Passing) <= Duration::from_millis(500),
            "a wait starts the back-off anew"
        );
    }
}
