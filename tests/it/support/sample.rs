//! What is tried at one point after another takes as many runs as there are points: a sample of them at every run of the
//! tests, all of them on request.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// About so many of the points, at equal distances, from one on that chance says, or `WINDLASS_TEST_SEED`; all with
/// `WINDLASS_TEST_ALL=1`. The seed is printed, for the report of a test that fails.
#[expect(clippy::print_stdout, reason = "the seed belongs to the report of a test that fails")]
pub(crate) fn sample<T: Clone>(points: &[T], count: usize) -> Vec<T> {
    if std::env::var_os("WINDLASS_TEST_ALL").is_some() {
        return points.to_vec();
    }
    let step = (points.len() / count).max(1);
    let given = std::env::var("WINDLASS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 16);
    let first = usize::try_from(seed % 10_007).unwrap() % step;
    println!("every {step}th of {} points, from number {first} on: WINDLASS_TEST_SEED={seed}", points.len());
    points.iter().skip(first).step_by(step).cloned().collect()
}
