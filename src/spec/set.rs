//! `--set path=value` and `--unset path`.
//!
//! A path names a field by the names it has in a file: `spec.networkCIDR`, `spec.subnets[0].zone`,
//! `spec.etcdClusters[*].version`, `spec.cloudLabels["example.com/team"]`. A leading `cluster.` is allowed, as in
//! kops. The value is read the way a file would be, with commas between the items of a list.
//!
//! One flag may hold several, with commas between them, as in kops; `"…"` around one of them keeps its commas.

use serde_json::{Map, Value};
use thiserror::Error;

use super::path::{PathError, Segment, steps};
use super::quantity;
use super::shape::{self, Fields, Shape, nearest};
use super::v1alpha2::Object;
use super::yaml;

/// Why a field can't be set.
#[derive(Debug, Error)]
pub enum SetError {
    /// There is no `=`.
    #[error("`{0}` is not of the form `path=value`")]
    Form(String),
    /// The path can't be understood.
    #[error("the path can't be understood")]
    Path(#[from] PathError),
    /// There is no such field.
    #[error("there is no field `{name}` in `{path}`")]
    Unknown {
        /// The part of the path that no field is called.
        name: String,
        /// The whole path, as it was given.
        path: String,
        /// The nearest name.
        near: Option<String>,
    },
    /// The path goes on behind something that has no fields or items.
    #[error("`{path}` goes on behind {noun}")]
    Beyond {
        /// The whole path, as it was given.
        path: String,
        /// What has no fields.
        noun: &'static str,
    },
    /// An index is beyond the end of a list.
    #[error("`{path}` has {}, and there is no item {index}", quantity(*length, "item"))]
    Index {
        /// The path of the list.
        path: String,
        /// How many items there are.
        length: usize,
        /// The index.
        index: usize,
    },
    /// The value does not fit.
    #[error("`{path}`: {message}")]
    Value {
        /// The whole path, as it was given.
        path: String,
        /// Why.
        message: String,
    },
    /// The path stops at something that has fields or items of its own.
    #[error("`{path}` is {noun}, and can't be set as a whole")]
    Whole {
        /// The whole path, as it was given.
        path: String,
        /// What it is.
        noun: &'static str,
    },
}

impl SetError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Form(text) => Some(format!("write `--set {text}=<value>`")),
            Self::Unknown { near, .. } => near.as_ref().map(|near| format!("did you mean `{near}`?")),
            Self::Index { length, .. } => Some(format!("index {length} adds an item")),
            Self::Whole { path, noun } => {
                let index = if *noun == "a list" { "[0]" } else { "" };
                Some(format!("set its fields, such as `{path}{index}.<name>`, or edit the file"))
            }
            Self::Path(_) | Self::Beyond { .. } | Self::Value { .. } => None,
        }
    }
}

/// Sets a field: `path=value`. Everything on the way that is not there is made; the index behind the last item of a
/// list adds one.
pub fn set<T: Object>(document: &mut T, assignment: &str) -> Result<(), SetError> {
    let (path, text) = assignment.split_once('=').ok_or_else(|| SetError::Form(assignment.to_owned()))?;
    change(document, path, &Edit::Set(text))
}

/// Removes a field, an item of a list, or an entry of a map. What is not there already is no error.
pub fn unset<T: Object>(document: &mut T, path: &str) -> Result<(), SetError> {
    change(document, path, &Edit::Unset)
}

/// The assignments in the value of one `--set`: `a=1,b=2` are two. What follows a comma and doesn't begin with a
/// field's path and `=` goes on with the list before it, as in `spec.sshAccess=10.0.0.0/8,::/0`.
pub fn assignments(flag: &str) -> Vec<String> {
    let begins = |part: &str| {
        part.split_once('=').is_some_and(|(path, _)| ROOTS.iter().any(|root| path.trim().starts_with(root)))
    };
    let mut found: Vec<String> = Vec::new();
    for (part, quoted) in parts(flag) {
        match found.last_mut().filter(|_| !quoted && !begins(&part)) {
            Some(list) => {
                list.push(',');
                list.push_str(&part);
            }
            None => found.push(part),
        }
    }
    found
}

/// The paths in the value of one `--unset`: `a,b` are two.
pub fn paths(flag: &str) -> Vec<String> {
    parts(flag).into_iter().map(|(part, _)| part).collect()
}

/// What paths begin with.
const ROOTS: [&str; 3] = ["spec.", "metadata.", "cluster.spec."];

/// What stands between commas, and whether it was in quotes. Commas in brackets, as in `spec.cloudLabels["a,b"]`,
/// separate nothing.
fn parts(flag: &str) -> Vec<(String, bool)> {
    let mut parts = Vec::new();
    let mut rest = flag;
    loop {
        let (part, quoted, length) = quoted_part(rest).unwrap_or_else(|| plain_part(rest));
        parts.push((part, quoted));
        match rest[length..].strip_prefix(',') {
            Some(behind) => rest = behind,
            None => return parts,
        }
    }
}

/// A part in quotes, in which `""` is a quote, and the bytes that it takes.
fn quoted_part(text: &str) -> Option<(String, bool, usize)> {
    let body = text.strip_prefix('"')?;
    let mut from = 0;
    loop {
        let end = from + body[from..].find('"')?;
        let behind = &body[end + 1..];
        if behind.is_empty() || behind.starts_with(',') {
            return Some((body[..end].replace("\"\"", "\""), true, end + 2));
        }
        from = end + 1 + usize::from(behind.starts_with('"'));
    }
}

fn plain_part(text: &str) -> (String, bool, usize) {
    let mut depth = 0_usize;
    let end = text.char_indices().find(|(_, character)| {
        match character {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *character == ',' && depth == 0
    });
    let end = end.map_or(text.len(), |(index, _)| index);
    (text[..end].to_owned(), false, end)
}

enum Edit<'a> {
    Set(&'a str),
    Unset,
}

fn change<T: Object>(document: &mut T, path: &str, change: &Edit<'_>) -> Result<(), SetError> {
    let path = path.trim();
    let within = path.strip_prefix("cluster.").filter(|rest| rest.starts_with("spec.")).unwrap_or(path);
    let steps = steps(within)?;
    let wrong =
        |error: serde_json::Error| SetError::Value { path: path.to_owned(), message: error.to_string() };
    let mut value = serde_json::to_value(&*document).map_err(wrong)?;
    let shape = shape::of_kind(T::KIND).unwrap_or(&Shape::Any);
    walk(&mut value, shape, &steps, &At { path, change })?;
    *document = serde_json::from_value(value).map_err(wrong)?;
    Ok(())
}

/// What every step of the walk needs to know.
struct At<'a> {
    path: &'a str,
    change: &'a Edit<'a>,
}

fn walk(value: &mut Value, shape: &Shape, steps: &[Segment], at: &At<'_>) -> Result<(), SetError> {
    let Some((step, rest)) = steps.split_first() else { return assign(value, shape, at) };
    let beyond = || SetError::Beyond { path: at.path.to_owned(), noun: shape.noun() };
    match (shape, step) {
        (Shape::Object(fields), Segment::Key(name)) => {
            let field = field(fields, name, at)?;
            entry(object(value).ok_or_else(beyond)?, name, &field.shape, rest, at)
        }
        (Shape::Map(item), Segment::Key(name)) => {
            entry(object(value).ok_or_else(beyond)?, name, item, rest, at)
        }
        (Shape::List(item), Segment::Index(index)) => {
            at_index(list(value).ok_or_else(beyond)?, *index, item, rest, at)
        }
        (Shape::List(item), Segment::All) => each(list(value).ok_or_else(beyond)?, item, rest, at),
        _ => Err(beyond()),
    }
}

fn field<'a>(fields: &'a Fields, name: &str, at: &At<'_>) -> Result<&'a shape::Field, SetError> {
    fields.fields.get(name).ok_or_else(|| SetError::Unknown {
        name: name.to_owned(),
        path: at.path.to_owned(),
        near: nearest(name, fields.fields.keys().map(String::as_str)).map(str::to_owned),
    })
}

/// The value as an object, which it becomes when it is nothing yet.
fn object(value: &mut Value) -> Option<&mut Map<String, Value>> {
    if value.is_null() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut()
}

/// The value as a list, which it becomes when it is nothing yet.
fn list(value: &mut Value) -> Option<&mut Vec<Value>> {
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut()
}

fn entry(
    fields: &mut Map<String, Value>,
    name: &str,
    shape: &Shape,
    rest: &[Segment],
    at: &At<'_>,
) -> Result<(), SetError> {
    if let Edit::Unset = at.change {
        if rest.is_empty() {
            fields.remove(name);
            return Ok(());
        }
        return fields.get_mut(name).map_or(Ok(()), |value| walk(value, shape, rest, at));
    }
    let value = fields.entry(name).or_insert(Value::Null);
    walk(value, shape, rest, at)
}

fn at_index(
    items: &mut Vec<Value>,
    index: usize,
    shape: &Shape,
    rest: &[Segment],
    at: &At<'_>,
) -> Result<(), SetError> {
    let length = items.len();
    let missing = SetError::Index { path: at.path.to_owned(), length, index };
    match at.change {
        Edit::Unset if index >= length => Err(missing),
        Edit::Unset if rest.is_empty() => {
            items.remove(index);
            Ok(())
        }
        Edit::Set(_) if index > length => Err(missing),
        Edit::Set(_) | Edit::Unset => {
            if index == length {
                items.push(Value::Null);
            }
            walk(&mut items[index], shape, rest, at)
        }
    }
}

fn each(items: &mut Vec<Value>, shape: &Shape, rest: &[Segment], at: &At<'_>) -> Result<(), SetError> {
    if matches!(at.change, Edit::Unset) && rest.is_empty() {
        items.clear();
        return Ok(());
    }
    items.iter_mut().try_for_each(|item| walk(item, shape, rest, at))
}

fn assign(value: &mut Value, shape: &Shape, at: &At<'_>) -> Result<(), SetError> {
    let Edit::Set(text) = at.change else { return Ok(()) };
    let scalar = |text: &str, shape: &Shape| {
        yaml::scalar(text, shape).map_err(|message| SetError::Value { path: at.path.to_owned(), message })
    };
    *value = match shape {
        Shape::List(item) => match **item {
            Shape::List(_) | Shape::Map(_) | Shape::Object(_) => return Err(whole(shape, at)),
            _ if text.is_empty() => Value::Array(Vec::new()),
            _ => text.split(',').map(|text| scalar(text, item)).collect::<Result<_, _>>()?,
        },
        Shape::Object(_) | Shape::Map(_) if *text == "{}" => Value::Object(Map::new()),
        Shape::Object(_) | Shape::Map(_) => return Err(whole(shape, at)),
        shape => scalar(text, shape)?,
    };
    Ok(())
}

fn whole(shape: &Shape, at: &At<'_>) -> SetError {
    SetError::Whole { path: at.path.to_owned(), noun: shape.noun() }
}
