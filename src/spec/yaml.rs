//! YAML in, YAML out: the only user of serde_yaml.
//!
//! Reading is strict, and reports every problem of all documents at once. A text field takes a plain scalar as it is
//! written: `kubernetesVersion: 1.30` is `1.30`, not `1.3`. Aliases and merge keys are resolved; tags have no
//! meaning.

mod decode;
pub(super) mod kubernetes;
mod tree;
pub(super) mod write;

use std::collections::HashMap;

use serde::de::DeserializeOwned;

use self::decode::Decoder;
pub(crate) use self::decode::join;
use self::tree::{Content, File, Node};
pub use self::write::to_yaml;
use super::additional::AdditionalObject;
use super::documents::Documents;
use super::problem::{Location, ObjectId, Problem, Problems};
use super::shape::{self, nearest};
use super::v1alpha2::{API_VERSION, Cluster, InstanceGroup, Object, SSH_CREDENTIAL_NAME, SshCredential};

/// A file, or what came from standard input.
#[derive(Clone, Debug)]
pub struct Source {
    /// What it is called in messages: a file's name, or `-` for standard input.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A file that was read as bytes. Fails with a problem where it is not UTF-8.
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, Problems> {
        String::from_utf8(bytes).map(|text| Self { name: name.to_owned(), text }).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..at]).into_owned();
            let file = File::new(name, &text);
            let location = Some(Box::new(file.locate(file.end())));
            let problem = Problem { location, ..Problem::at("", format!("byte {at} is not UTF-8")) };
            Problems(vec![problem.hint("save the file as UTF-8")])
        })
    }
}

/// What the sources held, and where it stands.
#[derive(Clone, Debug, Default)]
pub struct PlacedDocuments {
    /// The documents, in their order.
    pub documents: Documents<Vec<Cluster>>,
    files: Vec<File>,
    /// Of every document the file it is in, and its tree.
    places: HashMap<ObjectId, (usize, Node)>,
}

/// Reads all documents of all sources. Fails with every problem that they have.
pub fn read(sources: Vec<Source>) -> Result<PlacedDocuments, Problems> {
    let mut documents = PlacedDocuments::default();
    let mut problems = Problems::new();
    for (index, source) in sources.into_iter().enumerate() {
        let file = File::new(&source.name, &source.text);
        let (nodes, errors) = file.documents();
        problems.extend(errors);
        for node in nodes {
            documents.add(index, &file, node, &mut problems);
        }
        documents.files.push(file);
    }
    problems.sort();
    problems.or(documents)
}

impl PlacedDocuments {
    fn add(&mut self, index: usize, file: &File, node: Node, problems: &mut Problems) {
        if node.is_null() {
            return;
        }
        let Some(mut object) = identify(file, &node, problems) else { return };
        let ours = node.get("apiVersion").and_then(Node::text) == Some(API_VERSION);
        let documents = &mut self.documents;
        match object.kind.as_str() {
            _ if !ours => {
                let Some(found) = additional(file, &node, problems) else { return };
                object = found.key().id();
                documents.additional_objects.push(found);
            }
            Cluster::KIND => documents.cluster.extend(decode(file, &node, &object, problems)),
            InstanceGroup::KIND => documents.instance_groups.extend(decode(file, &node, &object, problems)),
            SshCredential::KIND => {
                let found = decode(file, &node, &object, problems).map(with_its_name);
                if let Some(found) = &found {
                    found.name().clone_into(&mut object.name);
                }
                documents.ssh_credentials.extend(found);
            }
            // There is no other kind of ours: it has been refused.
            _ => {}
        }
        if let Some((first, earlier)) = self.places.get(&object) {
            let first = self.files.get(*first).unwrap_or(file).locate(earlier.span.clone());
            let location = Some(Box::new(file.locate(node.span.clone())));
            let message = format!("{} {} stands here a second time", object.kind, object.name);
            let hint = format!("the first is at {}:{}", first.source, first.line);
            let secret = object.kind == "Secret";
            problems.push(Problem { location, secret, ..Problem::at("", message) }.hint(hint));
        }
        self.places.entry(object).or_insert((index, node));
    }

    /// Adds to problems that name a document and a field where that field stands.
    pub fn locate(&self, mut problems: Problems) -> Problems {
        for problem in &mut problems.0 {
            if problem.location.is_none() {
                problem.location =
                    problem.object.as_ref().and_then(|object| self.place(object, &problem.path));
            }
        }
        problems.sort();
        problems
    }

    fn place(&self, object: &ObjectId, path: &str) -> Option<Box<Location>> {
        let (file, root) = self.places.get(object)?;
        Some(Box::new(self.files.get(*file)?.locate(find(root, path))))
    }
}

/// An SSH key, which kops's documentation writes without a name.
fn with_its_name(mut credential: SshCredential) -> SshCredential {
    credential.metadata.name.get_or_insert_with(|| SSH_CREDENTIAL_NAME.to_owned());
    credential
}

/// Where a field stands; where it is left out, the nearest thing around it that is there.
fn find(root: &Node, path: &str) -> std::ops::Range<usize> {
    let mut node = root;
    let mut span = root.span.start..root.span.start;
    for step in super::path::steps(path).unwrap_or_default() {
        let next = match (&node.content, &step) {
            (Content::Sequence(items), super::path::Segment::Index(index)) => items.get(*index),
            (_, super::path::Segment::Key(key)) => node.entry(key).map(|entry| {
                span = entry.key_span.clone();
                &entry.value
            }),
            _ => None,
        };
        let Some(next) = next else { return span };
        node = next;
        if let Content::Scalar { .. } = node.content {
            if !node.span.is_empty() {
                span = node.span.clone();
            }
        } else if let super::path::Segment::Index(_) = step {
            span = node.span.start..node.span.start;
        }
    }
    span
}

/// The kind and name of a document, if it is one that can be decoded.
fn identify(file: &File, node: &Node, problems: &mut Problems) -> Option<ObjectId> {
    let mut report = |span: std::ops::Range<usize>, path: &str, message: String, hint: Option<String>| {
        problems.push(Problem {
            location: Some(Box::new(file.locate(span))),
            hint,
            ..Problem::at(path, message)
        });
        None
    };
    let top = node.span.start..node.span.start;
    let Content::Mapping(_) = node.content else {
        return report(top, "", "expected a document with `apiVersion` and `kind`".to_owned(), None);
    };
    let text = |key: &str| node.get(key).and_then(Node::text).unwrap_or_default();
    let span = |key: &str| node.get(key).map_or(top.clone(), |value| value.span.clone());
    let (version, kind) = (text("apiVersion"), text("kind"));
    let ours =
        version.starts_with("kops.k8s.io/") || (shape::of_kind(kind).is_some() && !is_foreign(version));
    if version.is_empty() || (ours && version != API_VERSION) {
        let message = match version {
            "" => "the document does not say its API version".to_owned(),
            version => format!("windlass does not read `{version}`"),
        };
        return report(span("apiVersion"), "apiVersion", message, Some(format!("write `{API_VERSION}`")));
    }
    if kind.is_empty() || (ours && shape::of_kind(kind).is_none()) {
        let kinds = [Cluster::KIND, InstanceGroup::KIND, SshCredential::KIND];
        let hint = match nearest(kind, kinds.into_iter()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", kinds.join(", ")),
        };
        let message = match kind {
            "" => "the document does not say its kind".to_owned(),
            kind => format!("unknown kind `{kind}`"),
        };
        return report(span("kind"), "kind", message, Some(hint));
    }
    let name = node.get("metadata").and_then(|metadata| metadata.get("name")).and_then(Node::text);
    Some(ObjectId { kind: kind.to_owned(), name: name.unwrap_or_default().to_owned() })
}

/// Whether an API version is clearly one of somebody else's, who may call a kind as kops does.
fn is_foreign(version: &str) -> bool {
    let group = version.rsplit_once('/').map_or("", |(group, _)| group);
    group.contains('.') && nearest(group, std::iter::once("kops.k8s.io")).is_none()
}

/// A document of any other kind.
fn additional(file: &File, node: &Node, problems: &mut Problems) -> Option<AdditionalObject> {
    match AdditionalObject::new(kubernetes::value(node)) {
        Ok(object) => Some(object),
        Err(wrong) => {
            problems.extend(wrong.0.into_iter().map(|problem| {
                let location = Some(Box::new(file.locate(find(node, &problem.path))));
                Problem { location, ..problem }
            }));
            None
        }
    }
}

fn decode<T: Object + DeserializeOwned>(
    file: &File,
    node: &Node,
    object: &ObjectId,
    problems: &mut Problems,
) -> Option<T> {
    let shape = shape::of_kind(T::KIND)?;
    let before = problems.0.len();
    let value = Decoder { file, object, problems }.value(node, shape, "");
    if problems.0.len() > before {
        return None;
    }
    match serde_json::from_value(value) {
        Ok(value) => Some(value),
        Err(error) => {
            let location = Some(Box::new(file.locate(node.span.start..node.span.start)));
            problems.push(Problem { location, ..Problem::at("", error.to_string()) });
            None
        }
    }
}

/// A scalar as it would be read from a file, for `--set`; why it does not fit.
pub(super) fn scalar(text: &str, shape: &shape::Shape) -> Result<serde_json::Value, String> {
    decode::scalar(text, true, shape).map_err(|(message, hint)| match hint {
        Some(hint) => format!("{message} ({hint})"),
        None => message,
    })
}

/// What a plain scalar means where nothing says what it must be.
pub(super) fn plain(text: &str) -> serde_json::Value {
    match serde_yaml::from_str(text) {
        Ok(value @ (serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_))) => {
            value
        }
        _ => serde_json::Value::from(text),
    }
}

/// All documents of a YAML text as JSON. Fails with what is wrong and where.
pub fn all_to_json(text: &str) -> Result<Vec<serde_json::Value>, String> {
    use serde::Deserialize as _;
    let documents = serde_yaml::Deserializer::from_str(text).map(serde_json::Value::deserialize);
    documents.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// A YAML document that may hold secrets as JSON; `null` when there is nothing in it. Fails with where it is wrong, and
/// quotes nothing.
pub fn secret_to_json(text: &str) -> Result<serde_json::Value, String> {
    serde_yaml::from_str(text).map_err(|error| match error.location() {
        Some(place) => format!("line {}, column {} is not YAML", place.line(), place.column()),
        None => "it is not one YAML document".to_owned(),
    })
}

/// Any YAML document as JSON; `null` when there is nothing in it. Fails with what is wrong and where.
pub fn to_json(text: &str) -> Result<serde_json::Value, String> {
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}
