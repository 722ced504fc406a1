//! Pauses between tries.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

/// The first pause's upper bound. Most of what passes by itself passes in a second.
const FIRST: Duration = Duration::from_millis(400);

/// The longest pause: a person who watches shouldn't wait much longer than AWS does.
const LONGEST: Duration = Duration::from_secs(10);

/// The pause before the given try (the second one is 2): between half and all of a bound that doubles, so that steps
/// that were throttled together don't come back together.
pub(super) fn pause(attempt: u32) -> Duration {
    let doubled = FIRST.saturating_mul(1 << attempt.saturating_sub(2).min(10)).min(LONGEST);
    let random = u32::try_from(RandomState::new().build_hasher().finish() % 1024).unwrap_or(0);
    doubled / 2 + doubled / 2 * random / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        assert!(pause(2) >= FIRST / 2 && pause(2) <= FIRST);
        assert!(pause(4) >= FIRST * 2 && pause(4) <= FIRST * 4);
        assert!(pause(40) >= LONGEST / 2 && pause(40) <= LONGEST);
    }
}
