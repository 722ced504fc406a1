//! Waiting for AWS: the pauses between looks, and the deadline that ends them.
//!
//! The SDK retries what failed on the way (throttling, 5xx, connections). This is for what is *right, but not yet*: a
//! volume that isn't `available`, a role that EC2 doesn't see, an interface that something still uses.

use std::collections::hash_map::RandomState;
use std::fmt::{self, Display};
use std::future::Future;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use super::error::AwsError;

/// How long to wait, and how often to look.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// When to give up, counted from the first look.
    pub limit: Duration,
    /// The first pause; each next one is half as long again, up to `longest`.
    pub first: Duration,
    /// The longest pause.
    pub longest: Duration,
}

impl Patience {
    /// Looks after half a second first, at most every five seconds, until `limit`.
    pub const fn of(limit: Duration) -> Self {
        Self { limit, first: Duration::from_millis(500), longest: Duration::from_secs(5) }
    }

    /// The pauses until the limit has passed, not counting what is done between them.
    pub fn pauses(self) -> impl Iterator<Item = Duration> {
        let mut left = self.limit;
        (0..).map_while(move |looks| {
            let pause = self.pause(looks);
            left = left.checked_sub(pause)?;
            Some(pause)
        })
    }

    /// The pause after the given number of looks, with up to a quarter of jitter taken off, so that many waiters
    /// don't look at the same moment.
    fn pause(&self, looks: u32) -> Duration {
        let factor = 1.5_f64.powi(i32::try_from(looks.min(32)).unwrap_or(32));
        let pause = self.first.mul_f64(factor).min(self.longest);
        let jitter = RandomState::new().build_hasher().finish() % 256;
        pause.mul_f64(1.0 - f64::from(u8::try_from(jitter).unwrap_or(0)) / 1024.0)
    }
}

/// What a look found.
#[derive(Debug)]
pub enum Look<T> {
    /// It is as it should be.
    Done(T),
    /// Not yet, for this reason.
    Wait(String),
}

/// Waiting ended without what was waited for.
#[derive(Debug, Error)]
pub enum WaitError {
    /// A look failed with something that waiting doesn't heal.
    #[error("could not look at {what}")]
    Look {
        /// What was waited for.
        what: String,
        /// What AWS said.
        #[source]
        source: AwsError,
    },
    /// The limit passed.
    #[error("gave up waiting for {what} after {} s: {reason}", limit.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What the last look found.
        reason: String,
    },
}

/// Looks until it is done, a look fails for good, or patience ends. A transient failure of a look counts as "not yet".
pub async fn wait_for<T, F, W>(what: impl Display, patience: Patience, mut look: F) -> Result<T, WaitError>
where
    F: FnMut() -> W,
    W: Future<Output = Result<Look<T>, AwsError>>,
{
    let deadline = Instant::now() + patience.limit;
    let mut looks = 0;
    loop {
        let reason = match look().await {
            Ok(Look::Done(found)) => return Ok(found),
            Ok(Look::Wait(reason)) => reason,
            Err(error) if error.is_transient() => error.to_string(),
            Err(source) => return Err(WaitError::Look { what: what.to_string(), source }),
        };
        let pause = patience.pause(looks);
        if Instant::now() + pause > deadline {
            return Err(WaitError::Late { what: what.to_string(), limit: patience.limit, reason });
        }
        tokio::time::sleep(pause).await;
        looks += 1;
    }
}

impl fmt::Display for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.limit.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Patience = Patience {
        limit: Duration::from_millis(40),
        first: Duration::from_millis(1),
        longest: Duration::from_millis(4),
    };

    #[test]
    fn pauses_grow_to_a_limit_and_are_never_zero() {
        let patience = Patience::of(Duration::from_mins(1));
        assert!(patience.pause(0) <= Duration::from_millis(500));
        assert!(patience.pause(0) >= Duration::from_millis(375));
        assert!(patience.pause(40) <= Duration::from_secs(5));
        assert!(patience.pause(40) >= Duration::from_millis(3750));
    }

    #[test]
    fn all_pauses_together_fill_the_limit_and_no_more() {
        let together: Duration = Patience::of(Duration::from_mins(1)).pauses().sum();
        assert!(together <= Duration::from_mins(1) && together > Duration::from_secs(54), "{together:?}");
    }

    #[tokio::test]
    async fn waiting_ends_with_the_reason_of_the_last_look() {
        let mut looks = 0;
        let waited = wait_for("the volume", SHORT, || {
            looks += 1;
            let reason = format!("state is creating ({looks})");
            async move { Ok::<Look<()>, AwsError>(Look::Wait(reason)) }
        })
        .await;
        let error = waited.unwrap_err().to_string();
        assert!(looks > 1, "only one look");
        assert!(error.contains(&format!("state is creating ({looks})")), "{error}");
    }

    #[tokio::test]
    async fn a_look_that_is_denied_ends_the_waiting_at_once() {
        let mut looks = 0;
        let waited = wait_for("the volume", SHORT, || {
            looks += 1;
            let mut error = AwsError::unexpected("ec2", "DescribeVolumes", "vol-1", "no");
            error.class = super::super::error::Class::Denied;
            async move { Err::<Look<()>, AwsError>(error) }
        })
        .await;
        assert!(matches!(waited, Err(WaitError::Look { .. })));
        assert_eq!(looks, 1);
    }
}
