//! The real programs of Kubernetes and etcd.

#![expect(clippy::unwrap_used, reason = "what a test stands on may fail the test")]

use std::path::PathBuf;

/// One of the programs that `tests/kubernetes/build` makes.
pub(crate) fn program(name: &str) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("WINDLASS_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|cache| cache.join("windlass")))
        .unwrap_or_else(|| variable("HOME").unwrap().join(".cache/windlass"));
    let built = std::fs::read_dir(cache.join("kubernetes")).unwrap().flatten().map(|entry| entry.path());
    let of_version = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("1.36.");
    built.filter(of_version).max().expect("run tests/kubernetes/build").join("bin").join(name)
}
