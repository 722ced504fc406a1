//! Kernel parameters: the cluster's, and those of a group, whose word goes before the cluster's.

use std::collections::BTreeMap;

use super::{Report, Resolved};
use crate::spec::problem::Problem;

/// The parameters of the cluster or of a group. Of one that stands there twice, the last counts, as with kops.
pub(super) fn kernel_parameters(
    written: Option<&Vec<String>>,
    report: &mut Report<'_>,
) -> Resolved<BTreeMap<String, String>> {
    let read = |(index, text): (usize, &String)| {
        let path = format!("spec.sysctlParameters[{index}]");
        report.read(&path, text, |text| parameter(text).ok_or_else(|| problem(text)))
    };
    super::all(written.into_iter().flatten().enumerate().map(read)).map(|all| all.into_iter().collect())
}

/// Those of a group with those of its cluster, of which what is wrong was told with the cluster.
pub(super) fn with_cluster(
    cluster: Option<&Vec<String>>,
    group: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all: BTreeMap<_, _> = cluster.into_iter().flatten().filter_map(|text| parameter(text)).collect();
    all.extend(group);
    all
}

/// A name and a value, each of one line. In a name, `*` stands for anything.
fn parameter(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/*".contains(&byte);
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(known);
    let is_value = !value.is_empty() && !value.contains(char::is_control);
    (is_name && is_value).then(|| (name.to_owned(), value.to_owned()))
}

fn problem(text: &str) -> Problem {
    Problem::at("", format!("`{text}` is not a kernel parameter"))
        .hint("write it like `net.core.somaxconn=4096`")
}
