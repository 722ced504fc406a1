//! `windlass explain`: what a field means, taken from the documentation of the wire types; and their JSON schema.

use std::fmt::Write as _;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde_json::{Value, json};
use thiserror::Error;

use super::path::{PathError, Segment, steps};
use super::shape::{self, Field, Shape, nearest};
use super::support;
use super::v1alpha2::row::{self, Support};
use super::v1alpha2::{API_VERSION, Cluster, InstanceGroup, Object, SshCredential};

/// Why there is nothing to explain.
#[derive(Debug, Error)]
pub enum ExplainError {
    /// The path does not begin with a kind.
    #[error("there is no kind `{0}`")]
    Kind(String),
    /// The path can't be understood.
    #[error("the path can't be understood")]
    Path(#[from] PathError),
    /// There is no such field.
    #[error("{parent} has no field `{name}`")]
    Field {
        /// What has no such field.
        parent: String,
        /// What was asked for.
        name: String,
        /// The nearest name.
        near: Option<String>,
    },
}

impl ExplainError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Kind(_) => Some("there are cluster, instancegroup and sshcredential".to_owned()),
            Self::Field { parent, near, .. } => Some(match near {
                Some(near) => format!("did you mean `{parent}.{near}`?"),
                None => format!("`windlass explain {parent}` lists its fields"),
            }),
            Self::Path(_) => None,
        }
    }
}

/// The kinds, with the names that a path may begin with.
const KINDS: [(&str, &[&str]); 3] = [
    (Cluster::KIND, &["cluster", "clusters"]),
    (InstanceGroup::KIND, &["instancegroup", "instancegroups", "ig"]),
    (SshCredential::KIND, &["sshcredential", "sshcredentials", "sshpublickey"]),
];

/// Explains a kind or a field, such as `cluster.spec.api`: what it is, what may stand in it, whether windlass honours
/// it, and the fields it has.
pub fn explain(path: &str) -> Result<String, ExplainError> {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let kind = KINDS.iter().find(|(_, names)| names.contains(&first.to_lowercase().as_str()));
    let (kind, names) = kind.ok_or_else(|| ExplainError::Kind(first.to_owned()))?;
    let mut here = Here {
        kind,
        parent: names.first().copied().unwrap_or_default().to_owned(),
        path: String::new(),
        doc: String::new(),
        shape: shape::of_kind(kind).unwrap_or(&Shape::Any),
    };
    for step in steps(rest)? {
        if let Segment::Key(name) = step {
            here = here.into_field(&name)?;
        }
    }
    Ok(here.show())
}

/// Where in the tree of fields an explanation stands.
struct Here<'a> {
    kind: &'a str,
    /// The path so far, from the kind.
    parent: String,
    /// The path so far, in the document.
    path: String,
    doc: String,
    shape: &'a Shape,
}

impl<'a> Here<'a> {
    fn into_field(self, name: &str) -> Result<Self, ExplainError> {
        let field: Option<&'a Field> = match inner(self.shape) {
            Shape::Object(fields) => fields.fields.get(name),
            _ => None,
        };
        let Some(field) = field else {
            let near = match inner(self.shape) {
                Shape::Object(fields) => nearest(name, fields.fields.keys().map(String::as_str)),
                _ => None,
            };
            let near = near.map(str::to_owned);
            return Err(ExplainError::Field { parent: self.parent, name: name.to_owned(), near });
        };
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        let parent = format!("{}.{name}", self.parent);
        Ok(Self { kind: self.kind, parent, path, doc: field.doc.clone(), shape: &field.shape })
    }

    fn show(&self) -> String {
        let mut text = format!("KIND:     {}\nVERSION:  {API_VERSION}\n", self.kind);
        if !self.path.is_empty() {
            let _ = writeln!(text, "FIELD:    {} <{}>", self.path, type_name(self.shape));
            let _ = writeln!(text, "SUPPORT:  {}", support_name(self.kind, &self.path));
        }
        let doc = match inner(self.shape) {
            Shape::Object(fields) if self.doc.is_empty() => &fields.doc,
            _ => &self.doc,
        };
        let _ = write!(text, "\nDESCRIPTION:\n{}", wrapped(doc, "    "));
        if let Shape::Choice(words) = inner(self.shape) {
            text.push_str("\nVALUES:\n");
            for word in words.iter() {
                let _ = write!(text, "  {}\n{}", word.word, wrapped(&word.doc, "    "));
            }
        }
        self.fields(&mut text);
        text
    }

    fn fields(&self, text: &mut String) {
        let Shape::Object(fields) = inner(self.shape) else { return };
        if fields.fields.is_empty() {
            text.push_str("\nIt has no fields: write `{}`.\n");
            return;
        }
        text.push_str("\nFIELDS:\n");
        for (name, field) in &fields.fields {
            let path = if self.path.is_empty() { name.clone() } else { format!("{}.{name}", self.path) };
            let note = match support::of_field(self.kind, &path) {
                Support::NotYet => " (not supported yet)",
                Support::Refused(_) => " (not supported)",
                _ => "",
            };
            let _ = writeln!(text, "  {name} <{}>{note}", type_name(&field.shape));
            text.push_str(&wrapped(&field.doc, "    "));
        }
    }
}

/// What lists and maps are made of.
fn inner(shape: &Shape) -> &Shape {
    match shape {
        Shape::List(item) | Shape::Map(item) => inner(item),
        shape => shape,
    }
}

fn type_name(shape: &Shape) -> String {
    match shape {
        Shape::Any => "any".to_owned(),
        Shape::Text | Shape::Choice(_) => "string".to_owned(),
        Shape::Integer { .. } => "integer".to_owned(),
        Shape::Number => "number".to_owned(),
        Shape::Boolean => "boolean".to_owned(),
        Shape::IntOrText => "integer or string".to_owned(),
        Shape::List(item) => format!("[]{}", type_name(item)),
        Shape::Map(item) => format!("map[string]{}", type_name(item)),
        Shape::Object(_) => "object".to_owned(),
    }
}

fn support_name(kind: &str, path: &str) -> String {
    match support::of_field(kind, path) {
        Support::NotYet => "not supported yet".to_owned(),
        Support::Refused(why) => format!("not supported: {why}"),
        Support::InPart => "in part: see its fields".to_owned(),
        Support::Honoured => "honoured".to_owned(),
        Support::Kept => "kept, and without a meaning for windlass".to_owned(),
        Support::Only(values) => {
            let values: Vec<String> = values.iter().map(support::shown).collect();
            format!("only {} for now", values.join(" or "))
        }
    }
}

/// A text in lines of at most 100 characters.
fn wrapped(text: &str, indentation: &str) -> String {
    const WIDTH: usize = 100;
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indentation.len() + line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(lines, "{indentation}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        let _ = writeln!(lines, "{indentation}{line}");
    }
    lines
}

/// The JSON schema of a document, for editors: any of the kinds.
pub fn json_schema() -> Value {
    let rows = RecursiveTransform(|schema: &mut Schema| {
        schema.remove(row::KEY);
    });
    let mut generator = SchemaSettings::draft2020_12().with_transform(rows).into_generator();
    generator.subschema_for::<Cluster>();
    generator.subschema_for::<InstanceGroup>();
    generator.subschema_for::<SshCredential>();
    let mut definitions = Value::Object(generator.take_definitions(true));
    let mut kinds = Vec::new();
    for (name, kind) in [
        ("Cluster", Cluster::KIND),
        ("InstanceGroup", InstanceGroup::KIND),
        ("SshCredential", SshCredential::KIND),
    ] {
        definitions[name]["properties"]["apiVersion"]["const"] = json!(API_VERSION);
        definitions[name]["properties"]["kind"]["const"] = json!(kind);
        kinds.push(json!({ "$ref": format!("#/$defs/{name}") }));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A document of a windlass specification",
        "oneOf": kinds,
        "$defs": definitions,
    })
}
