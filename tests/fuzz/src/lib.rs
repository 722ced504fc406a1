//! The specification's own code, without the rest of windlass, and what holds for every input of it.

// Inside of windlass, the lints of its workspace hold for this code; here, its users are two targets.
#![allow(dead_code)]

// What the specification takes from the agent: the contract, the tags, and the form of user data.
extern crate self as windlass_bootstrap;
#[path = "../../../bootstrap/src/contract/backup.rs"]
pub mod backup;
#[path = "../../../bootstrap/src/contract/components.rs"]
pub mod components;
#[path = "../../../bootstrap/src/contract/config.rs"]
pub mod config;
#[path = "../../../bootstrap/src/contract/egress_proxy.rs"]
pub mod egress_proxy;
#[path = "../../../bootstrap/src/contract/endpoint.rs"]
pub mod endpoint;
#[path = "../../../bootstrap/src/contract/image_source.rs"]
pub mod image_source;
#[path = "../../../bootstrap/src/contract/ipv6.rs"]
pub mod ipv6;
#[path = "../../../bootstrap/src/contract/tags.rs"]
pub mod tags;
#[path = "../../../bootstrap/src/contract/user_data.rs"]
pub mod user_data;

#[path = "../../../src/spec/mod.rs"]
pub mod spec;

use spec::v1alpha2::Cluster;
use spec::{Documents, PlacedDocuments, Problems, Source};

/// A specification without a mistake.
pub const GOOD: &str = include_str!("../../../src/spec/tests/good.yaml");

/// Reads a text, and shows what is wrong with it.
pub fn read(name: &str, text: &str) -> Option<PlacedDocuments> {
    shown(spec::read(vec![Source { name: name.to_owned(), text: text.to_owned() }]))
}

/// What came out. Everything that is wrong can be shown, in colour and without, and names places inside of the text.
pub fn shown<T>(result: Result<T, Problems>) -> Option<T> {
    let problems = match result {
        Ok(value) => return Some(value),
        Err(problems) => problems,
    };
    assert!(!problems.0.is_empty(), "a failure without a problem");
    assert!(!problems.render(false).is_empty());
    assert!(!problems.render(true).is_empty());
    for problem in &problems.0 {
        assert!(!problem.message.is_empty(), "a problem without a message: {problem:?}");
        if let Some(location) = &problem.location {
            assert!(location.span.start <= location.span.end && location.span.end <= location.text.len());
            assert!(location.line >= 1 && location.column >= 1, "{location:?}");
            assert!(location.text.get(location.span.clone()).is_some(), "it cuts a character: {location:?}");
        }
    }
    None
}

/// What a text holds, without where it stands.
pub type Parts = Documents<Vec<Cluster>>;

/// The documents as windlass writes them.
pub fn written(parts: &Parts) -> String {
    parts.iter().map(|document| format!("---\n{}", document.to_yaml())).collect()
}

/// What windlass writes, it reads again, and it is the same.
pub fn round_trip(parts: &Parts) {
    let text = written(parts);
    match spec::read(vec![Source { name: "written.yaml".to_owned(), text: text.clone() }]) {
        Ok(again) => assert_eq!(*parts, again.documents, "it changed on its way through\n{text}"),
        Err(problems) => panic!("it can't be read again: {problems}\n{text}"),
    }
}
