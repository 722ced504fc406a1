use snapbox::{assert_data_eq, file};

use crate::spec::explain::{explain, json_schema};
use crate::spec::shape::{Shape, of_kind};

fn shown(path: &str) -> String {
    match explain(path) {
        Ok(text) => text,
        Err(error) => format!("{error}\n  hint: {}\n", error.hint().unwrap_or_default()),
    }
}

#[test]
fn a_field_is_explained_with_its_fields() {
    assert_data_eq!(shown("cluster.spec.api"), file!["explain/cluster.spec.api.txt"]);
}

#[test]
fn a_word_is_explained_with_the_words_there_are() {
    assert_data_eq!(shown("ig.spec.role"), file!["explain/instancegroup.spec.role.txt"]);
}

#[test]
fn a_field_in_a_list_is_explained() {
    let shown = shown("cluster.spec.etcdClusters.etcdMembers");
    assert_data_eq!(shown, file!["explain/cluster.spec.etcdClusters.etcdMembers.txt"]);
}

#[test]
fn what_there_is_not_is_not_explained() {
    assert_eq!(
        shown("cluster.spec.apis"),
        "cluster.spec has no field `apis`\n  hint: did you mean `cluster.spec.api`?\n"
    );
    assert_eq!(
        shown("cluster.spec.channel.x"),
        "cluster.spec.channel has no field `x`\n  hint: `windlass explain cluster.spec.channel` lists its fields\n"
    );
    assert_eq!(
        shown("pod"),
        "there is no kind `pod`\n  hint: there are cluster, instancegroup and sshcredential\n"
    );
}

/// Calls `visit` with the path and the documentation of every field of a shape.
fn fields(shape: &Shape, path: &str, visit: &mut impl FnMut(&str, &str)) {
    match shape {
        Shape::List(item) | Shape::Map(item) => fields(item, path, visit),
        Shape::Object(object) => {
            for (name, field) in &object.fields {
                let path = format!("{path}.{name}");
                visit(&path, &field.doc);
                fields(&field.shape, &path, visit);
            }
        }
        _ => {}
    }
}

#[test]
fn every_field_is_documented_and_can_be_explained() {
    let mut count = 0;
    for kind in ["Cluster", "InstanceGroup", "SSHCredential"] {
        let shape = of_kind(kind).unwrap_or(&Shape::Any);
        fields(shape, &kind.to_lowercase(), &mut |path, doc| {
            assert!(doc.ends_with(['.', '`']), "{path}: {doc:?} is no sentence");
            assert!(explain(path).is_ok(), "{path}");
            count += 1;
        });
    }
    assert!(count > 900, "only {count} fields");
}

#[test]
fn the_checked_in_schema_is_the_types() {
    let schema = serde_json::to_string_pretty(&json_schema()).unwrap_or_default();
    assert_data_eq!(format!("{schema}\n"), file!["../../../docs/specification.schema.json"].raw());
}
