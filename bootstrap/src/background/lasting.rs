//! What goes on by itself until an error ends it, such as following what changes over a connection.

use std::error::Error;
use std::time::Duration;

use crate::progress::reporter::Reporter;

/// How long it goes on until it is begun anew, because a connection keeps the certificate it was made with.
const CONNECTION: Duration = Duration::from_hours(6);
/// How long to wait before something is begun anew that an error ended.
pub const ANEW: Duration = Duration::from_secs(3);
/// How long something that failed must go on without an error until it counts as working again.
const SETTLED: Duration = Duration::from_secs(30);

/// A task's name in the report.
#[derive(Clone, Copy, Debug)]
pub struct Lasting {
    name: &'static str,
}

/// A task that lasts until an error ends it, and is then begun anew.
pub const fn lasting(name: &'static str) -> Lasting {
    Lasting { name }
}

impl Lasting {
    /// Its name in the report.
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// Begins the work, and begins it anew whenever it ends or its connection is old.
    pub async fn run<E, F>(self, reporter: &Reporter, mut work: impl FnMut() -> F)
    where
        E: Error + 'static,
        F: Future<Output = Result<(), E>>,
    {
        loop {
            let mut going = std::pin::pin!(work());
            let outcome = if let Ok(outcome) = tokio::time::timeout(SETTLED, &mut going).await {
                outcome
            } else {
                reporter.task(self.name, None);
                // A connection that is old enough is no error.
                tokio::time::timeout(CONNECTION, going).await.unwrap_or(Ok(()))
            };
            if reporter.tell(self.name, outcome).is_none() {
                tokio::time::sleep(ANEW).await;
            }
        }
    }
}
