//! Tests of the whole path: text in, problems or a complete specification out.

mod change;
mod components;
mod create;
mod defects;
mod dns;
mod explain;
mod ipv6;
mod kops;
mod many;
mod mutations;
mod properties;
mod read;
mod resolve;
mod rules;
mod set;

use super::{Problems, Source, read};

/// Reads and completes one file, called `cluster.yaml`.
fn complete(text: &str) -> Result<super::cluster::Cluster, Problems> {
    read(vec![Source { name: "cluster.yaml".to_owned(), text: text.to_owned() }])?.resolve()
}

/// What a bad specification is told.
fn told(text: &str) -> String {
    match complete(text) {
        Ok(cluster) => format!("no problem: {cluster:#?}"),
        Err(problems) => format!("{problems}\n"),
    }
}
