//! Lines of `--set path=value` and `--unset path` (those that begin with `-`) on a good specification.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use windlass_fuzz::spec::set::{SetError, set, unset};
use windlass_fuzz::spec::v1alpha2::Object;
use windlass_fuzz::{GOOD, Parts, read, round_trip, shown};

static PARTS: LazyLock<Parts> =
    LazyLock::new(|| read("good.yaml", GOOD).map(|placed| placed.documents).unwrap_or_default());

fuzz_target!(|text: &str| {
    let mut parts = PARTS.clone();
    for line in text.lines().take(16) {
        for cluster in &mut parts.cluster {
            change(cluster, line);
        }
        for group in &mut parts.instance_groups {
            change(group, line);
        }
    }
    round_trip(&parts);
    if let Some(documents) = parts.whole() {
        let _ = shown(documents.resolve());
    }
});

/// A change that is refused says why, and changes nothing.
fn change<T: Object + Clone + PartialEq + std::fmt::Debug>(document: &mut T, line: &str) {
    let before = document.clone();
    let result: Result<(), SetError> = match line.strip_prefix('-') {
        Some(path) => unset(document, path),
        None => set(document, line),
    };
    if let Err(error) = result {
        assert!(!error.to_string().is_empty());
        assert_ne!(error.hint().as_deref(), Some(""));
        assert_eq!(*document, before, "{error}");
    }
}
