//! Additional objects: Kubernetes objects that stand beside the `Cluster` in a file, are kept with it, and are applied
//! to the cluster by `update cluster --yes`.
//!
//! They are kept as they were written. Checked is what windlass relies on: that each says what it is and what it is
//! called, and that no API server has left its own marks on it. What is in a `Secret` is shown nowhere but where the
//! whole object is asked for.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::problem::{ObjectId, Problem, Problems};

/// A Kubernetes object. It always has an API version, a kind and a name.
#[derive(Clone, PartialEq, Eq)]
pub struct AdditionalObject {
    key: ObjectKey,
    value: Value,
}

/// What tells an object from every other one of a cluster. The API's version is no part of it, and no namespace means
/// `default`, as for kubectl.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey {
    /// The API group; empty for Kubernetes's core.
    pub group: String,
    /// Such as `ConfigMap`.
    pub kind: String,
    /// The namespace, if it is not `default`.
    pub namespace: Option<String>,
    /// As its metadata says it.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectId { kind, name } = self.id();
        write!(formatter, "{kind} {name}")
    }
}

impl ObjectKey {
    /// The key as problems name documents: `Deployment.apps`, `kube-system/web`.
    pub fn id(&self) -> ObjectId {
        let kind =
            if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) };
        let name = match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        };
        ObjectId { kind, name }
    }

    /// The key as kubectl takes it: `deployment.apps/web`.
    pub fn resource(&self) -> String {
        format!("{}/{}", self.id().kind.to_lowercase(), self.name)
    }
}

/// Only what it is, never what is in it.
impl fmt::Debug for AdditionalObject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AdditionalObject({})", self.key)
    }
}

impl Serialize for AdditionalObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AdditionalObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Self::new(value).map_err(|problems| {
            let headlines = problems.0.iter().map(Problem::headline);
            serde::de::Error::custom(headlines.collect::<Vec<_>>().join("; "))
        })
    }
}

/// What an API server writes into an object, and refuses or misunderstands when it gets it again.
const SERVERS_OWN: [&str; 3] = ["managedFields", "resourceVersion", "uid"];

/// The longest name that Kubernetes gives anything.
const LONGEST_NAME: usize = 253;

impl AdditionalObject {
    /// Takes an object. Fails with everything that keeps it from being one that can be kept and applied.
    pub fn new(value: Value) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (version, kind) = (text("/apiVersion"), text("/kind"));
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        check_kind(&version, &kind, &value, &mut problems);
        check_metadata(&value, &kind, &mut problems);
        if kind == "Secret" {
            check_secret(&value, &mut problems);
        }
        let group = version.split_once('/').map_or("", |(group, _)| group).to_owned();
        let namespace = (!namespace.is_empty() && namespace != "default").then_some(namespace);
        let key = ObjectKey { group, kind, namespace, name };
        let secret = key.kind == "Secret";
        for problem in &mut problems.0 {
            problem.object = Some(Box::new(key.id()));
            problem.secret = secret;
        }
        problems.or(Self { key, value })
    }

    /// What tells it from others.
    pub fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// The object itself; it may hold a secret.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The object as YAML, which windlass and kubectl read back as this very object.
    pub fn to_yaml(&self) -> String {
        super::yaml::kubernetes::to_yaml(&self.value)
    }

    /// The place in which it is applied: what others need goes first, what may get in the way of others last.
    pub fn rank(&self) -> u8 {
        match self.key.kind.as_str() {
            "Namespace" => 0,
            "CustomResourceDefinition" => 1,
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => 3,
            _ => 2,
        }
    }

    /// The object with stars for what is secret in it. Where `other`, the same object at another time, holds another
    /// secret, the stars say so, with the words `mark`.
    #[must_use]
    pub fn masked(&self, other: Option<&Self>, mark: &str) -> Self {
        let mut masked = self.clone();
        if self.key.kind != "Secret" {
            return masked;
        }
        for field in SECRET_FIELDS {
            let Some(Value::Object(values)) = masked.value.get_mut(field) else { continue };
            for (key, value) in values {
                let before = other.and_then(|other| other.value.get(field)?.get(key));
                let same = before.is_none_or(|before| before == value);
                *value = Value::from(if same { "***".to_owned() } else { format!("*** ({mark})") });
            }
        }
        // kubectl keeps the whole object in it.
        if let Some(Value::Object(annotations)) = masked.value.pointer_mut("/metadata/annotations")
            && let Some(last) = annotations.get_mut(LAST_APPLIED)
        {
            *last = Value::from("***");
        }
        masked
    }
}

/// The objects of two times as they are shown side by side: of secrets only whether they changed.
pub fn masked_pair(
    old: &[AdditionalObject],
    new: &[AdditionalObject],
) -> (Vec<AdditionalObject>, Vec<AdditionalObject>) {
    let find = |among: &'_ [AdditionalObject], object: &AdditionalObject| {
        among.iter().find(|other| other.key == object.key).cloned()
    };
    let before = old.iter().map(|object| object.masked(find(new, object).as_ref(), "before"));
    let after = new.iter().map(|object| object.masked(find(old, object).as_ref(), "after"));
    (before.collect(), after.collect())
}

/// Where a `Secret` keeps what is secret.
const SECRET_FIELDS: [&str; 2] = ["data", "stringData"];

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn check_kind(version: &str, kind: &str, value: &Value, problems: &mut Problems) {
    let (group, number) = version.rsplit_once('/').unwrap_or(("", version));
    let plain = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if !plain(number, "") || !(group.is_empty() || plain(group, ".-")) || version.starts_with('/') {
        let message = format!("`{version}` is not an API version");
        problems.push(Problem::at("apiVersion", message).hint("write one such as `v1` or `apps/v1`"));
    }
    if !plain(kind, "") {
        problems.push(Problem::at("kind", format!("`{kind}` is not a kind")));
    } else if kind.ends_with("List") && value.get("items").is_some() {
        let hint = "write each of its items as a document of its own, separated by `---`";
        problems.push(Problem::at("kind", "a list is not an object").hint(hint));
    }
}

fn check_metadata(value: &Value, kind: &str, problems: &mut Problems) {
    let none = Map::new();
    let metadata = match value.get("metadata") {
        None => &none,
        Some(Value::Object(metadata)) => metadata,
        Some(_) => return problems.push(Problem::at("metadata", "expected a mapping")),
    };
    match metadata.get("name") {
        Some(Value::String(name)) => check_name("metadata.name", name, problems),
        Some(other) if !other.is_null() => {
            let message = format!("expected a text, found `{other}`");
            problems.push(Problem::at("metadata.name", message).hint("write it in quotes"));
        }
        _ if kind.ends_with("List") => {}
        _ if metadata.contains_key("generateName") => {
            let message = "an object that is applied again and again needs a name of its own";
            problems
                .push(Problem::at("metadata.generateName", message).hint("write `metadata.name` instead"));
        }
        _ => problems
            .push(Problem::at("metadata.name", "the object has no name").hint("write `metadata.name`")),
    }
    match metadata.get("namespace") {
        Some(Value::String(namespace)) => {
            if let Err(problem) = super::resolve::dns_label(namespace) {
                problems.push(Problem { path: "metadata.namespace".to_owned(), ..problem });
            }
        }
        Some(other) if !other.is_null() => {
            problems.push(Problem::at("metadata.namespace", format!("expected a text, found `{other}`")));
        }
        _ => {}
    }
    for field in SERVERS_OWN {
        if metadata.get(field).is_some_and(|value| !value.is_null()) {
            let message = format!("`{field}` is set by the API server and can't be applied");
            problems.push(Problem::at(format!("metadata.{field}"), message).hint("remove it"));
        }
    }
}

/// What Kubernetes takes as a part of a path; most kinds allow less, and their API says so.
fn check_name(path: &str, name: &str, problems: &mut Problems) {
    let bad = |c: char| matches!(c, '/' | '%' | '\\') || c.is_whitespace() || c.is_control();
    if name.is_empty() || name == "." || name == ".." || name.contains(bad) {
        problems.push(Problem::at(path, format!("`{name}` is not a name")));
    } else if name.len() > LONGEST_NAME {
        let message = format!("the name has {} characters, and {LONGEST_NAME} is the most", name.len());
        problems.push(Problem::at(path, message));
    }
}

/// An API server that refuses a secret repeats it in its answer, so it is looked at here. The problems name keys, never
/// values.
fn check_secret(value: &Value, problems: &mut Problems) {
    use base64::Engine as _;
    for field in SECRET_FIELDS {
        let values = match value.get(field) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(values)) => values,
            Some(_) => {
                problems.push(Problem::at(field, "expected a mapping"));
                continue;
            }
        };
        for (key, value) in values {
            let path = super::yaml::join(field, key);
            let Some(text) = value.as_str() else {
                problems.push(Problem::at(path, "expected a text").hint("write it in quotes"));
                continue;
            };
            let decoded = base64::engine::general_purpose::STANDARD.decode(text.replace(['\n', '\r'], ""));
            if field == "data" && decoded.is_err() {
                let hint = "encode it, or write it as it is under `stringData`";
                problems.push(Problem::at(path, "this is not Base64").hint(hint));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> AdditionalObject {
        AdditionalObject::new(value).unwrap()
    }

    fn secret(value: &str) -> AdditionalObject {
        object(
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "data": {"a": value}}),
        )
    }

    #[test]
    fn the_version_is_no_part_of_the_key_and_no_namespace_is_the_default_one() {
        let key = |version: &str, metadata: Value| {
            object(json!({"apiVersion": version, "kind": "Deployment", "metadata": metadata})).key().clone()
        };
        let web = key("apps/v1", json!({"name": "web"}));
        assert_eq!(web.to_string(), "Deployment.apps web");
        assert_eq!(web.resource(), "deployment.apps/web");
        assert_eq!(web, key("apps/v1beta1", json!({"name": "web", "namespace": "default"})));
        assert_ne!(web, key("extensions/v1", json!({"name": "web"})));
        let system = key("apps/v1", json!({"name": "web", "namespace": "kube-system"}));
        assert_eq!(system.to_string(), "Deployment.apps kube-system/web");
    }

    #[test]
    fn what_cannot_be_kept_or_applied_is_refused_with_its_field() {
        for (value, path) in [
            (json!({"apiVersion": "v1", "kind": "ConfigMap"}), "metadata.name"),
            (json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": []}), "metadata"),
            (json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": 5}}), "metadata.name"),
            (json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a/b"}}), "metadata.name"),
            (json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": ".."}}), "metadata.name"),
            (
                json!({"apiVersion": "v1", "kind": "Job", "metadata": {"generateName": "a-"}}),
                "metadata.generateName",
            ),
            (
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "A/b"}}),
                "metadata.namespace",
            ),
            (
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "uid": "x"}}),
                "metadata.uid",
            ),
            (json!({"apiVersion": "a/b/c", "kind": "X", "metadata": {"name": "a"}}), "apiVersion"),
            (json!({"apiVersion": "v1", "kind": "a b", "metadata": {"name": "a"}}), "kind"),
            (json!({"apiVersion": "v1", "kind": "List", "items": []}), "kind"),
        ] {
            let problems = AdditionalObject::new(value.clone()).unwrap_err();
            let paths: Vec<&str> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
            assert_eq!(paths, [path], "{value}");
        }
    }

    #[test]
    fn what_is_in_a_secret_is_neither_in_debug_nor_in_a_problem() {
        let debug = format!("{:?}", secret("aHVudGVyMg=="));
        assert_eq!(debug, "AdditionalObject(Secret key)");
        let wrong = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"},
            "data": {"a": "hunter2!"}, "stringData": {"b": 12_345_678}});
        let problems = AdditionalObject::new(wrong).unwrap_err();
        let paths: Vec<&str> = problems.0.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["data.a", "stringData.b"]);
        assert!(problems.0.iter().all(|problem| problem.secret));
        let shown = format!("{problems:?}{problems}");
        assert!(!shown.contains("hunter2") && !shown.contains("12345678"), "{shown}");
    }

    #[test]
    fn a_masked_secret_shows_that_it_changed_and_not_what() {
        let (old, new) = (secret("b2xk"), secret("bmV3"));
        assert_eq!(old.masked(Some(&old), "before").value()["data"]["a"], "***");
        assert_eq!(old.masked(Some(&new), "before").value()["data"]["a"], "*** (before)");
        assert_eq!(new.masked(None, "after").value()["data"]["a"], "***");
        let map = object(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "b"}}),
        );
        assert_eq!(map.masked(None, "before"), map);
    }

    #[test]
    fn what_was_kept_is_checked_again_when_it_is_read() {
        let text = serde_json::to_string(&secret("b2xk")).unwrap();
        assert_eq!(serde_json::from_str::<AdditionalObject>(&text).unwrap(), secret("b2xk"));
        let error = serde_json::from_str::<AdditionalObject>(r#"{"apiVersion": "v1", "kind": "Secret"}"#);
        assert!(error.unwrap_err().to_string().contains("metadata.name"));
    }
}
