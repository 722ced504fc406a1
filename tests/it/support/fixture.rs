//! Clusters that older versions of windlass have made: their state and their world, loaded into an emulated region.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use windlass::state::bucket::create_bucket;
use windlass::state::{Condition, Store};

use super::region::Region;

/// The bucket that the state of every fixture was in.
pub(crate) const BUCKET: &str = "clusters";

/// The folder of a fixture.
pub(crate) fn folder(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(version)
}

/// Loads a fixture. AWS's ids are others in every region: those that a call names are replaced by what this region has
/// answered where they were first named.
pub(crate) async fn load(version: &str, region: &Region) {
    let calls = std::fs::read_to_string(folder(version).join("calls.jsonl")).unwrap();
    let mut ids = BTreeMap::new();
    for line in calls.lines() {
        let call: Value = serde_json::from_str(line).unwrap();
        let answer = if let Some(image) = call.get("image") {
            region.ask("POST", "images", image).to_string()
        } else {
            let body = with_ids(call["body"].as_str().unwrap(), &ids);
            region.call(call["service"].as_str().unwrap(), &body)
        };
        let recorded = call["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned());
        let new: Vec<String> = aws_ids(&answer).map(str::to_owned).collect();
        assert_eq!(recorded.len(), new.len(), "{call} was answered by {answer}");
        ids.extend(recorded.zip(new));
    }
    let clients = region.clients().await;
    create_bucket(&clients, BUCKET, None).await.unwrap();
    let store = Store::open(&format!("s3://{BUCKET}"), &clients).await.unwrap();
    let state = folder(version).join("state");
    for file in files(&state) {
        let key = file.strip_prefix(&state).unwrap().to_str().unwrap();
        store.put(key, std::fs::read(&file).unwrap(), Condition::Absent).await.unwrap();
    }
}

fn with_ids(body: &str, ids: &BTreeMap<String, String>) -> String {
    ids.iter().fold(body.to_owned(), |body, (old, new)| body.replace(old.as_str(), new))
}

/// What looks like an id of AWS's: a word, a dash, and 8 to 17 hexadecimal digits.
fn aws_ids(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| {
        word.split_once('-').is_some_and(|(kind, digits)| {
            kind.bytes().all(|byte| byte.is_ascii_lowercase())
                && (8..=17).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        })
    })
}

/// All files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}
