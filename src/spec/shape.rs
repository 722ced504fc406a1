//! The shapes of the wire types, taken from their JSON schemas: what the decoder holds documents to, what paths of
//! `--set` are checked against, and what `explain` shows.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde_json::Value;

use super::v1alpha2::row::{self, Row};
use super::v1alpha2::{Cluster, InstanceGroup, Object, SshCredential};

/// What may stand in a place.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Anything.
    Any,
    /// A text.
    Text,
    /// A whole number in a range.
    Integer {
        /// The least.
        min: i128,
        /// The most.
        max: i128,
    },
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A whole number or a text.
    IntOrText,
    /// One of some words.
    Choice(Arc<[Word]>),
    /// A list.
    List(Arc<Shape>),
    /// A mapping from any text.
    Map(Arc<Shape>),
    /// A mapping with known fields.
    Object(Arc<Fields>),
}

/// A word that may be chosen.
#[derive(Clone, Debug)]
pub struct Word {
    /// The word.
    pub word: String,
    /// What it means.
    pub doc: String,
}

/// The fields of an object.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// What the object is.
    pub doc: String,
    /// Its fields by name.
    pub fields: BTreeMap<String, Field>,
}

/// A field.
#[derive(Clone, Debug)]
pub struct Field {
    /// What it means.
    pub doc: String,
    /// What may stand in it.
    pub shape: Shape,
    /// What windlass makes of it.
    pub row: Row,
}

static CLUSTER: LazyLock<Shape> = LazyLock::new(of::<Cluster>);
static INSTANCE_GROUP: LazyLock<Shape> = LazyLock::new(of::<InstanceGroup>);
static SSH_CREDENTIAL: LazyLock<Shape> = LazyLock::new(of::<SshCredential>);

/// The shape of the documents of a kind; `None` for a kind that windlass does not know.
pub fn of_kind(kind: &str) -> Option<&'static Shape> {
    match kind {
        Cluster::KIND => Some(&CLUSTER),
        InstanceGroup::KIND => Some(&INSTANCE_GROUP),
        SshCredential::KIND => Some(&SSH_CREDENTIAL),
        _ => None,
    }
}

fn of<T: schemars::JsonSchema>() -> Shape {
    let schema = schemars::schema_for!(T).to_value();
    compile(&schema, &schema)
}

/// Types don't contain themselves, so this ends.
fn compile(schema: &Value, root: &Value) -> Shape {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return compile(&root["$defs"][name], root);
    }
    if let Some(alternatives) = schema["anyOf"].as_array() {
        let value = alternatives.iter().find(|alternative| alternative["type"] != "null");
        return value.map_or(Shape::Any, |value| compile(value, root));
    }
    if let Some(words) = words(schema) {
        return Shape::Choice(words);
    }
    match kinds(schema).as_slice() {
        ["string"] => Shape::Text,
        ["boolean"] => Shape::Boolean,
        ["number"] => Shape::Number,
        ["integer"] => integer(schema),
        ["integer", "string"] => Shape::IntOrText,
        ["array"] => Shape::List(Arc::new(compile(&schema["items"], root))),
        ["object"] => object(schema, root),
        _ => Shape::Any,
    }
}

fn kinds(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => {
            kinds.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
        }
        _ => Vec::new(),
    }
}

/// The words of a unit enum; schemars writes `enum`, or `oneOf` with a `const` each where variants are documented.
fn words(schema: &Value) -> Option<Arc<[Word]>> {
    if let Some(words) = schema["enum"].as_array() {
        let words = words.iter().filter_map(Value::as_str);
        return Some(words.map(|word| Word { word: word.to_owned(), doc: String::new() }).collect());
    }
    let alternatives = schema["oneOf"].as_array()?;
    let word = |alternative: &Value| {
        Some(Word { word: alternative["const"].as_str()?.to_owned(), doc: doc(alternative) })
    };
    alternatives.iter().map(word).collect()
}

fn integer(schema: &Value) -> Shape {
    let bits = match schema["format"].as_str() {
        Some("uint16") => Some((0, i128::from(u16::MAX))),
        Some("uint32") => Some((0, i128::from(u32::MAX))),
        Some("uint64") => Some((0, i128::from(u64::MAX))),
        Some("int32") => Some((i128::from(i32::MIN), i128::from(i32::MAX))),
        _ => None,
    };
    let (min, max) = bits.unwrap_or((i128::from(i64::MIN), i128::from(i64::MAX)));
    Shape::Integer { min, max }
}

fn object(schema: &Value, root: &Value) -> Shape {
    // `true` where a mapping's values may be anything.
    let values = &schema["additionalProperties"];
    if values.is_object() || values == &Value::Bool(true) {
        return Shape::Map(Arc::new(compile(&schema["additionalProperties"], root)));
    }
    let mut fields = BTreeMap::new();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let field = Field { doc: doc(property), shape: compile(property, root), row: row_of(property) };
        fields.insert(name.clone(), field);
    }
    Shape::Object(Arc::new(Fields { doc: doc(schema), fields }))
}

/// The row of a field, which stands in its schema; a field without one is not supported yet.
fn row_of(property: &Value) -> Row {
    Row::deserialize(&property[row::KEY]).unwrap_or_default()
}

fn doc(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().replace('\n', " ")
}

impl Shape {
    /// What it is called in messages.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Text | Self::Choice(_) => "a text",
            Self::Integer { .. } => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "`true` or `false`",
            Self::IntOrText => "a number or a text",
            Self::List(_) => "a list",
            Self::Map(_) | Self::Object(_) => "a mapping",
        }
    }
}

/// The candidate nearest to a word, if one is near enough to be a slip of the pen.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    candidates
        // Comparing takes as long as both are; a word of another length is no slip of the pen anyway.
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= candidate.len().max(word.len()) / 3)
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(word.len()) / 3)
        .min_by_key(|(distance, candidate)| (*distance, candidate.len()))
        .map(|(_, candidate)| candidate)
}
