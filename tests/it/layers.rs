//! The arrows point one way: between modules each may use only what stands above it in `src/lib.rs`, and
//! `bootstrap/src/lib.rs` for the agent; and no two files use each other, by whatever way round.

use std::path::Path;

mod uses;

use uses::{Sources, Uses, circles, uses};

/// The CLI's modules, lowest first, as in the crate's documentation.
const LAYERS: [&str; 13] = [
    "spec", "pki", "aws", "state", "cloud", "assets", "model", "plan", "apply", "kube", "health", "ops",
    "cli",
];

/// The agent's rooms, lowest first, as in the crate's documentation.
const ROOMS: [&str; 13] = [
    "contract",
    "progress",
    "background",
    "host",
    "aws",
    "agent",
    "storage",
    "address",
    "kubernetes",
    "secrets",
    "node",
    "control_plane",
    "boot",
];

/// What must not know of AWS's clients: these are given facts and observations, and decide.
const PURE: [&str; 4] = ["spec", "model", "plan", "assets"];

/// What is still to be turned round in the CLI: who uses whom the wrong way, so that files of it are in a circle. A line
/// whose circle is gone is struck off.
const WRONG_WAY: &[(&str, &str)] = &[
    ("cloud/blockers.rs", "cloud/context.rs"),
    ("cloud/blockers.rs", "cloud/error.rs"),
    ("cloud/blockers.rs", "cloud/reference.rs"),
    ("cloud/context.rs", "cloud/departures.rs"),
    ("cloud/context.rs", "cloud/kinds.rs"),
    ("cloud/context.rs", "cloud/reference.rs"),
    ("cloud/context.rs", "cloud/resource_kind.rs"),
    ("cloud/error.rs", "cloud/reference.rs"),
    ("cloud/fields.rs", "cloud/reference.rs"),
    ("cloud/kinds.rs", "cloud/namesakes.rs"),
    ("cloud/kinds.rs", "cloud/reference.rs"),
    ("cloud/kinds.rs", "cloud/resource_kind.rs"),
    ("cloud/reference.rs", "cloud/resource_kind.rs"),
    ("cloud/resource_kind.rs", "cloud/namesakes.rs"),
    ("state/bucket.rs", "state/bucket_encryption.rs"),
    ("state/bucket.rs", "state/store_error.rs"),
    ("state/cluster_state.rs", "state/damage.rs"),
    ("state/cluster_state.rs", "state/journal.rs"),
    ("state/cluster_state.rs", "state/specification.rs"),
    ("state/damage.rs", "state/revision.rs"),
    ("state/damage.rs", "state/secrets.rs"),
    ("state/error.rs", "state/damage.rs"),
    ("state/error.rs", "state/format.rs"),
    ("state/error.rs", "state/identity.rs"),
    ("state/secrets.rs", "state/object_kind.rs"),
];

#[test]
fn no_module_uses_one_that_stands_below_it() {
    let upward = [upward("src", &LAYERS), upward("bootstrap/src", &ROOMS)].concat();
    assert!(upward.is_empty(), "arrows that point the wrong way:\n{}", upward.join("\n"));
}

#[test]
fn no_files_of_the_agent_use_each_other_in_a_circle() {
    let uses = uses(&sources("bootstrap/src"));
    let found: Vec<String> = circles(&uses).iter().map(|circle| shown(circle, &uses)).collect();
    assert!(found.is_empty(), "circles between files of bootstrap/src:\n{}", found.join("\n"));
}

#[test]
fn no_files_of_the_cli_use_each_other_in_a_circle_but_for_what_is_listed() {
    let mut uses = without_own_module(uses(&sources("src")));
    for (file, used) in WRONG_WAY {
        let known = uses.get_mut(*file).is_some_and(|known| known.remove(*used));
        assert!(known, "{file} doesn't use {used} any more: strike it off WRONG_WAY");
    }
    let found: Vec<String> = circles(&uses).iter().map(|circle| shown(circle, &uses)).collect();
    assert!(found.is_empty(), "circles between files of src:\n{}", found.join("\n"));
    for (file, used) in WRONG_WAY {
        let mut uses = uses.clone();
        uses.entry((*file).to_owned()).or_default().insert((*used).to_owned());
        assert!(!circles(&uses).is_empty(), "{file} and {used} are in no circle: strike them off WRONG_WAY");
    }
}

/// The uses without those of a file of what the module defines that it is a part of (`cloud/mod.rs` for `cloud/vpc.rs`):
/// in the CLI the two count as one thing.
fn without_own_module(mut uses: Uses) -> Uses {
    for (file, used) in &mut uses {
        used.retain(|used| {
            let module = used.trim_end_matches(".rs").trim_end_matches("/mod");
            !file.starts_with(&format!("{module}/"))
        });
    }
    uses
}

#[test]
fn pure_modules_do_not_touch_the_sdk() {
    let mut impure = Vec::new();
    for (file, text) in sources("src").iter().filter(|(file, _)| PURE.contains(&layer(file))) {
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            if line.contains("aws_sdk_") || line.contains("tokio::") || line.contains("async fn") {
                impure.push(format!("{file}: {}", line.trim()));
            }
        }
    }
    assert!(impure.is_empty(), "I/O in a pure module:\n{}", impure.join("\n"));
}

#[test]
fn only_one_module_uses_serde_yaml() {
    let names_it = |text: &str| {
        text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("serde_yaml::"))
    };
    let users: Vec<String> =
        sources("src").into_iter().filter(|(_, text)| names_it(text)).map(|(file, _)| file).collect();
    assert!(users.iter().all(|file| file.starts_with("spec/yaml")), "serde_yaml is used in {users:?}");
}

/// The uses of a crate that lead from a layer to one that stands below it in the list.
fn upward(folder: &str, layers: &[&str]) -> Vec<String> {
    let height = |file: &str| layers.iter().position(|known| *known == layer(file));
    let mut upward = Vec::new();
    for (file, used) in uses(&sources(folder)) {
        let Some(own) = height(&file) else {
            upward.push(format!("{folder}/{file} is in none of the layers {layers:?}"));
            continue;
        };
        let above = used.into_iter().filter(|used| height(used).is_none_or(|other| other > own));
        upward.extend(above.map(|used| format!("{folder}/{file}: uses {used}")));
    }
    upward
}

/// The first part of a file's path: its layer.
fn layer(file: &str) -> &str {
    file.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

/// A circle with what makes it one.
fn shown(circle: &[String], uses: &Uses) -> String {
    let within = circle.iter().map(|file| {
        let others: Vec<&str> =
            uses[file].iter().filter(|used| circle.contains(used)).map(String::as_str).collect();
        format!("    {file} uses {}", others.join(", "))
    });
    format!("  {circle:?}\n{}", within.collect::<Vec<_>>().join("\n"))
}

/// Every source file of a crate, by its path below its folder, but for the crate's own roots and what only tests use.
fn sources(folder: &str) -> Sources {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Sources::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            let is_root = ["lib.rs", "main.rs"].contains(&name.as_str());
            let is_test = name.ends_with("tests.rs") || name == "testing" || name.ends_with("/tests");
            if path.is_dir() && !is_test {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !is_root && !is_test {
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    assert!(found.len() > 20, "{folder} has hardly any source file");
    found
}
