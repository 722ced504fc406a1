//! What a lease knows of time. A parameter, so that a test can give every operator a clock of its own.

use std::fmt::Debug;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::Instant;

/// An operator's clocks. The time of day can be set, and on some systems the other one stands still while the machine
/// sleeps, so a lease is good only by both.
pub(super) trait Clock: Debug + Send + Sync {
    /// The time of day, which may be wrong, and jump.
    fn now(&self) -> Timestamp;

    /// The time since some moment; it never goes back. On Linux it counts the time that the machine sleeps.
    fn elapsed(&self) -> Duration;

    /// Waits.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clocks.
#[derive(Debug)]
pub(super) struct SystemClock;

/// A timer of the runtime stands still while the machine sleeps, so long waits are made of short ones.
const NAP: Duration = Duration::from_secs(1);

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

static BOOT: LazyLock<Option<(File, Duration)>> = LazyLock::new(|| {
    let file = File::open("/proc/uptime").ok()?;
    let start = uptime(&file)?;
    Some((file, start))
});

/// The time since the boot, with that spent asleep (proc(5), `/proc/uptime`): what `CLOCK_BOOTTIME` says, in hundredths
/// of a second.
fn uptime(file: &File) -> Option<Duration> {
    let mut text = [0_u8; 64];
    let length = file.read_at(&mut text, 0).ok()?;
    let seconds = std::str::from_utf8(text.get(..length)?).ok()?.split_whitespace().next()?;
    Duration::try_from_secs_f64(seconds.parse().ok()?).ok()
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        let awake = START.elapsed();
        let since_boot = BOOT.as_ref().and_then(|(file, start)| Some(uptime(file)?.saturating_sub(*start)));
        since_boot.map_or(awake, |since_boot| since_boot.max(awake))
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let end = Self.elapsed() + duration;
            loop {
                let left = end.saturating_sub(Self.elapsed());
                if left.is_zero() {
                    return;
                }
                tokio::time::sleep(left.min(NAP)).await;
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_clock_of_a_lease_is_the_one_that_counts_sleep() {
        let before = SystemClock.elapsed();
        let (file, start) = BOOT.as_ref().expect("/proc/uptime can be read");
        std::thread::sleep(Duration::from_millis(50));
        let passed = SystemClock.elapsed().saturating_sub(before);
        assert!(passed >= Duration::from_millis(40) && passed < Duration::from_secs(30), "{passed:?}");
        let by_kernel = uptime(file).unwrap().saturating_sub(*start);
        assert!(by_kernel.abs_diff(SystemClock.elapsed()) < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_wait_is_as_long_as_it_is_asked_to_be() {
        let before = SystemClock.elapsed();
        SystemClock.sleep(Duration::from_millis(60)).await;
        assert!(SystemClock.elapsed().saturating_sub(before) >= Duration::from_millis(60));
    }
}
