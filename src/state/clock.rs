//! What a lease knows of time. A parameter, so that a test can give every operator a clock of its own.

use std::fmt::Debug;
use std::sync::LazyLock;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

/// An operator's clocks. Neither alone says how long something took: the time of day can be set, and the other stands
/// still while the machine sleeps.
pub(super) trait Clock: Debug + Send + Sync {
    /// The time of day, which may be wrong, and jump.
    fn now(&self) -> Timestamp;

    /// The time since some moment; it never goes back.
    fn elapsed(&self) -> Duration;

    /// Waits.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clocks.
#[derive(Debug)]
pub(super) struct SystemClock;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        START.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
