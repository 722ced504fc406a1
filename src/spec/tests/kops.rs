//! Every field that kops knows is honoured, or refused by name where it stands.

use serde_json::{Map, Value, json};

use crate::spec::shape::{self, Shape};
use crate::spec::support;
use crate::spec::v1alpha2::API_VERSION;
use crate::spec::v1alpha2::row::Support;
use crate::spec::{Problems, Source, read};

/// The paths of all fields of kops's objects; what made the file stands in it.
const FIELDS: &str = include_str!("kops/fields.txt");

/// A path as kind and rest: `Cluster` and `spec.subnets[].zone`.
fn fields() -> impl Iterator<Item = (&'static str, &'static str)> {
    FIELDS.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('.'))
}

/// A document of a kind in which nothing but one field is written.
fn document(kind: &str, path: &str) -> String {
    let known = shape::of_kind(kind).unwrap_or(&Shape::Any);
    let mut document = value(known, path);
    document["apiVersion"] = json!(API_VERSION);
    document["kind"] = json!(kind);
    if document["metadata"]["name"].is_null() {
        document["metadata"]["name"] = json!("demo.example.com");
    }
    serde_json::to_string_pretty(&document).unwrap()
}

/// A value of a shape with one field in it: `a.b[].c{}` is a list of objects in an object. What the shape doesn't know
/// is written all the same, so that the reader can say so.
fn value(known: &Shape, path: &str) -> Value {
    if path.is_empty() {
        return sample(known);
    }
    if let Some(rest) = path.strip_prefix("[]") {
        let item = if let Shape::List(item) = known { item } else { &Shape::Any };
        return json!([value(item, rest)]);
    }
    if let Some(rest) = path.strip_prefix("{}") {
        let item = if let Shape::Map(item) = known { item } else { &Shape::Any };
        return json!({"key": value(item, rest)});
    }
    let path = path.trim_start_matches('.');
    let end = path.find(['.', '[', '{']).unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    let field = if let Shape::Object(fields) = known { fields.fields.get(name) } else { None };
    let inner = value(field.map_or(&Shape::Any, |field| &field.shape), rest);
    Value::Object(Map::from_iter([(name.to_owned(), inner)]))
}

fn sample(known: &Shape) -> Value {
    match known {
        Shape::Any | Shape::Text => json!("x"),
        Shape::Integer { .. } | Shape::Number | Shape::IntOrText => json!(1),
        Shape::Boolean => json!(true),
        Shape::Choice(words) => json!(words[0].word),
        Shape::List(item) => json!([sample(item)]),
        Shape::Map(_) | Shape::Object(_) => json!({}),
    }
}

/// What is wrong with a document, each problem at its place. What a cluster must have besides is not asked for.
fn problems(kind: &str, text: &str) -> Problems {
    let documents = match read(vec![Source { name: "cluster.yaml".to_owned(), text: text.to_owned() }]) {
        Ok(documents) => documents,
        Err(problems) => return problems,
    };
    let problems = match kind {
        "Cluster" => support::check_cluster(&documents.documents.cluster[0]),
        "InstanceGroup" => support::check_instance_group(&documents.documents.instance_groups[0]),
        _ => Problems::new(),
    };
    documents.locate(problems)
}

#[test]
fn every_field_of_kops_is_honoured_or_refused_as_not_supported_yet_at_its_place() {
    let mut wrong = Vec::new();
    let (mut count, mut refused) = (0, 0);
    for (kind, path) in fields() {
        count += 1;
        let text = document(kind, path);
        let names = path.replace("[]", "").replace("{}", "");
        let problems = problems(kind, &text).0;
        let known = support::of_field(kind, &names) != Support::NotYet;
        for problem in &problems {
            let said = problem.message.ends_with("not supported yet")
                || problem.message.starts_with("this field is not supported: ");
            let of_field = path.replace("[]", "[0]").starts_with(&problem.path);
            if !said || !of_field || problem.location.is_none() || problem.hint.is_none() {
                wrong.push(format!("{kind}.{path}: {}", problem.headline()));
            }
        }
        refused += usize::from(!problems.is_empty());
        if problems.is_empty() && !known {
            wrong.push(format!("{kind}.{path}: passed over in silence"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 1300 && refused > 700, "{count} fields, of which {refused} are refused");
}

#[test]
fn what_kops_calls_otherwise_is_not_known_under_another_name() {
    for (wrong, right) in [
        ("spec: {topology: {bastion: {publicName: x}}}", "bastionPublicName"),
        ("spec: {nodeTerminationHandler: {deleteSqsMsgIfNodeNotFound: true}}", "deleteSQSMsgIfNodeNotFound"),
        ("spec: {networking: {amazonvpc: {networkPolicyAgentImageName: x}}}", "networkPolicyAgentImage"),
    ] {
        let text = format!("apiVersion: {API_VERSION}\nkind: Cluster\nmetadata: {{name: a.b}}\n{wrong}\n");
        let told = problems("Cluster", &text).to_string();
        assert!(told.contains("unknown field") && told.contains(right), "{told}");
    }
}
