//! The arrows between modules point one way: each may use only what stands above it in `src/lib.rs`.

use std::path::Path;

/// Lowest first, as in the crate's documentation.
const LAYERS: [&str; 13] = [
    "spec", "pki", "aws", "state", "cloud", "assets", "model", "plan", "apply", "kube", "health", "ops",
    "cli",
];

/// What must not know of AWS's clients: these are given facts and observations, and decide.
const PURE: [&str; 4] = ["spec", "model", "plan", "assets"];

#[test]
fn no_module_uses_one_that_stands_below_it() {
    let mut upward = Vec::new();
    for (height, layer) in LAYERS.iter().enumerate() {
        for (file, text) in sources(layer) {
            for used in used_modules(&text) {
                match LAYERS.iter().position(|layer| *layer == used) {
                    Some(other) if other > height => upward.push(format!("{file}: uses crate::{used}")),
                    Some(_) => {}
                    None => upward.push(format!("{file}: crate::{used} is not among the layers")),
                }
            }
        }
    }
    assert!(upward.is_empty(), "arrows that point the wrong way:\n{}", upward.join("\n"));
}

#[test]
fn pure_modules_do_not_touch_the_sdk() {
    let mut impure = Vec::new();
    for layer in PURE {
        for (file, text) in sources(layer) {
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                if line.contains("aws_sdk_") || line.contains("tokio::") || line.contains("async fn") {
                    impure.push(format!("{file}: {}", line.trim()));
                }
            }
        }
    }
    assert!(impure.is_empty(), "I/O in a pure module:\n{}", impure.join("\n"));
}

#[test]
fn only_one_file_uses_serde_yaml() {
    let users: Vec<String> = LAYERS
        .iter()
        .flat_map(|layer| sources(layer))
        .filter(|(_, text)| {
            text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("serde_yaml::"))
        })
        .map(|(file, _)| file)
        .collect();
    assert!(users.iter().all(|file| file == "src/spec/yaml.rs"), "serde_yaml is used in {users:?}");
}

/// Every source file of a layer with its path from the root.
fn sources(layer: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join("src").join(layer)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "the layer {layer} has no source file");
    found
}

/// The first path segment after each `crate::` of a file, outside comments.
fn used_modules(text: &str) -> Vec<String> {
    let mut used = Vec::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for rest in line.split("crate::").skip(1) {
            let segment: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !segment.is_empty() {
                used.push(segment);
            }
        }
    }
    used
}
