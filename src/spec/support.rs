//! What a document asks for that windlass can't do yet, as the rows of its fields say (`v1alpha2::row`).

use serde_json::Value;

use super::problem::{ObjectId, Problem, Problems};
use super::shape::{self, Field, Fields, Shape};
use super::v1alpha2::row::Support;
use super::v1alpha2::{Cluster, InstanceGroup, Object};
use super::yaml::join;

/// What a cluster asks for that windlass can't do yet.
pub fn check_cluster(cluster: &Cluster) -> Problems {
    check(cluster)
}

/// What an instance group asks for that windlass can't do yet.
pub fn check_instance_group(group: &InstanceGroup) -> Problems {
    check(group)
}

fn check<T: Object>(document: &T) -> Problems {
    let object = ObjectId { kind: T::KIND.to_owned(), name: document.name().to_owned() };
    let mut problems = Problems::new();
    match serde_json::to_value(document) {
        Ok(value) => {
            let known = shape::of_kind(T::KIND).unwrap_or(&Shape::Any);
            Walk { hint: "leave it out", problems: &mut problems }.parts(&value, known, "");
        }
        Err(error) => problems.push(Problem::at("", error.to_string())),
    }
    Problems(problems.0.into_iter().map(|problem| problem.of(&object)).collect())
}

/// A walk through a document.
struct Walk<'a> {
    /// What to do instead of a field that is refused here, and has no better hint.
    hint: &'a str,
    problems: &'a mut Problems,
}

impl Walk<'_> {
    /// A field as it is written.
    fn field(&mut self, value: &Value, field: &Field, path: &str) {
        let hint = field.row.hint.as_deref().unwrap_or(self.hint);
        match &field.row.support {
            Support::Honoured | Support::Kept => {}
            Support::Only(values) if values.contains(value) => {}
            Support::Only(values) => {
                let values: Vec<String> = values.iter().map(|value| format!("`{}`", shown(value))).collect();
                let hint = format!("for now it can only be {}", values.join(" or "));
                let message = format!("`{}` is not supported yet", shown(value));
                self.problems.push(Problem::at(path, message).hint(hint));
            }
            Support::InPart => {
                Walk { hint, problems: &mut *self.problems }.parts(value, &field.shape, path);
            }
            // An empty list asks for nothing.
            Support::NotYet | Support::Refused(_) if value.as_array().is_some_and(Vec::is_empty) => {}
            Support::Refused(why) => {
                let message = format!("this field is not supported: {why}");
                self.problems.push(Problem::at(path, message).hint(hint));
            }
            Support::NotYet => {
                self.problems.push(Problem::at(path, "this field is not supported yet").hint(hint));
            }
        }
    }

    /// The fields under a field whose row does not say everything.
    fn parts(&mut self, value: &Value, known: &Shape, path: &str) {
        match (value, known) {
            (Value::Object(values), Shape::Object(fields)) => self.fields(values, fields, path),
            (Value::Array(items), Shape::List(item)) => {
                for (index, value) in items.iter().enumerate() {
                    self.parts(value, item, &format!("{path}[{index}]"));
                }
            }
            _ => {}
        }
    }

    fn fields(&mut self, values: &serde_json::Map<String, Value>, known: &Fields, path: &str) {
        for (name, value) in values {
            if let Some(field) = known.fields.get(name) {
                self.field(value, field, &join(path, name));
            }
        }
    }
}

/// A value as it is shown in a message: a text without quotes.
pub(super) fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// How far windlass supports a field, for `explain`: its path has names only, such as `spec.subnets.zone`.
pub fn of_field(kind: &str, path: &str) -> Support {
    let mut shape = shape::of_kind(kind).unwrap_or(&Shape::Any);
    let mut support = Support::InPart;
    for name in path.split('.') {
        let Some(field) = fields(shape).and_then(|fields| fields.fields.get(name)) else {
            return Support::NotYet;
        };
        // What is above a field speaks for it, unless that leaves it to the field.
        if support == Support::InPart {
            support = field.row.support.clone();
        }
        shape = &field.shape;
    }
    support
}

/// The fields of an object, or of the objects of a list or a mapping.
fn fields(shape: &Shape) -> Option<&Fields> {
    match shape {
        Shape::Object(fields) => Some(fields),
        Shape::List(item) | Shape::Map(item) => fields(item),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(path: &str, written: Value) -> String {
        let mut cluster = Cluster::named("demo.example.com");
        cluster.spec = serde_json::from_value(written).unwrap();
        let problems = check_cluster(&cluster).0;
        let problem = problems.iter().find(|problem| problem.path == path);
        problem.and_then(|problem| problem.hint.clone()).unwrap_or_default()
    }

    #[test]
    fn the_nearest_hint_above_a_field_holds() {
        use serde_json::json;
        let plugin = "use `flannel: {}`, or `cni: {}` and install your own";
        assert_eq!(told("spec.networking.calico", json!({"networking": {"calico": {}}})), plugin);
        let cilium = json!({"networking": {"cilium": {"hubble": {"enabled": true}}}});
        assert_eq!(told("spec.networking.cilium", cilium), plugin);
        let flannel = json!({"networking": {"flannel": {"iptablesResyncSeconds": 5}}});
        assert_eq!(told("spec.networking.flannel.iptablesResyncSeconds", flannel), "leave it out");
        let backups = json!({"etcdClusters": [{"backups": {"image": "x"}}]});
        assert!(told("spec.etcdClusters[0].backups", backups).contains("masters can add but not delete"));
        assert_eq!(told("spec.project", json!({"project": "x"})), "leave it out");
    }

    #[test]
    fn a_field_that_is_supported_in_part_has_fields_of_which_windlass_knows_some() {
        let mut count = 0;
        for kind in [Cluster::KIND, InstanceGroup::KIND] {
            let mut open = vec![(kind.to_owned(), shape::of_kind(kind).unwrap())];
            while let Some((path, shape)) = open.pop() {
                let under = fields(shape).unwrap_or_else(|| panic!("{path} has no fields"));
                let mut known = 0;
                for (name, field) in &under.fields {
                    known += usize::from(field.row.support != Support::NotYet);
                    if field.row.support == Support::InPart {
                        open.push((format!("{path}.{name}"), &field.shape));
                    }
                }
                assert!(known > 0, "nothing under {path} is supported");
                count += 1;
            }
        }
        assert!(count > 20, "{count}");
    }
}
