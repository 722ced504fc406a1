//! A located tree held to a shape: a value, and every place that does not fit.

use serde_json::{Map, Value};

use super::tree::{Content, Entry, File, Node};
use crate::spec::problem::{ObjectId, Problem, Problems};
use crate::spec::shape::{Fields, Shape, Word, nearest};

/// Decodes one document.
pub(super) struct Decoder<'a> {
    pub(super) file: &'a File,
    pub(super) object: &'a ObjectId,
    pub(super) problems: &'a mut Problems,
}

impl Decoder<'_> {
    /// The value of a node; a stand-in where it does not fit, in which case there is a problem.
    pub(super) fn value(&mut self, node: &Node, shape: &Shape, path: &str) -> Value {
        if let Shape::Any = shape {
            return anything(node);
        }
        if node.is_null() {
            return Value::Null;
        }
        match (&node.content, shape) {
            (Content::Scalar { text, plain }, _) => self.scalar(node, text, *plain, shape, path),
            (Content::Sequence(items), Shape::List(item)) => {
                let items = items.iter().enumerate();
                items.map(|(index, node)| self.item(node, item, &format!("{path}[{index}]"))).collect()
            }
            (Content::Mapping(entries), Shape::Map(value)) => {
                let pair = |entry: &Entry| {
                    let path = join(path, &entry.key);
                    (entry.key.clone(), self.item(&entry.value, value, &path))
                };
                Value::Object(entries.iter().map(pair).collect())
            }
            (Content::Mapping(entries), Shape::Object(fields)) => self.object(entries, fields, path),
            (content, shape) => {
                let found = if let Content::Sequence(_) = content { "a list" } else { "a mapping" };
                self.report(node, path, format!("expected {}, found {found}", shape.noun()), None);
                Value::Null
            }
        }
    }

    /// An item of a list or a value of a map, which can't be left empty.
    fn item(&mut self, node: &Node, shape: &Shape, path: &str) -> Value {
        if node.is_null() && !matches!(shape, Shape::Any) {
            self.report(node, path, format!("expected {}, found nothing", shape.noun()), None);
        }
        self.value(node, shape, path)
    }

    fn object(&mut self, entries: &[Entry], fields: &Fields, path: &str) -> Value {
        let mut mapping = Map::with_capacity(entries.len());
        for entry in entries {
            let path = join(path, &entry.key);
            match fields.fields.get(&entry.key) {
                Some(field) => {
                    let value = self.value(&entry.value, &field.shape, &path);
                    if !value.is_null() {
                        mapping.insert(entry.key.clone(), value);
                    }
                }
                None => self.unknown(entry, fields, &path),
            }
        }
        Value::Object(mapping)
    }

    fn unknown(&mut self, entry: &Entry, fields: &Fields, path: &str) {
        let names = fields.fields.keys().map(String::as_str);
        let hint = match nearest(&entry.key, names.clone()) {
            Some(name) => Some(format!("did you mean `{name}`?")),
            None if fields.fields.is_empty() => Some("there are no fields here: write `{}`".to_owned()),
            None if fields.fields.len() <= 12 => {
                Some(format!("there are: {}", names.collect::<Vec<_>>().join(", ")))
            }
            None => None,
        };
        let location = Some(Box::new(self.file.locate(entry.key_span.clone())));
        let problem =
            Problem { hint, location, ..Problem::at(path, format!("unknown field `{}`", entry.key)) };
        self.problems.push(problem.of(self.object));
    }

    fn scalar(&mut self, node: &Node, text: &str, plain: bool, shape: &Shape, path: &str) -> Value {
        scalar(text, plain, shape).unwrap_or_else(|(message, hint)| {
            self.report(node, path, message, hint);
            Value::Null
        })
    }

    fn report(&mut self, node: &Node, path: &str, message: String, hint: Option<String>) {
        let location = Some(Box::new(self.file.locate(node.span.clone())));
        self.problems.push(Problem { hint, location, ..Problem::at(path, message) }.of(self.object));
    }
}

/// A field's path; keys that are no plain names stand in brackets.
pub(crate) fn join(path: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    match (path.is_empty(), plain) {
        (true, true) => key.to_owned(),
        (false, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{}]", serde_json::Value::from(key)),
    }
}

/// Why a scalar does not fit, and what to do about it.
pub(super) type Refused = (String, Option<String>);

/// A scalar held to a shape.
pub(super) fn scalar(text: &str, plain: bool, shape: &Shape) -> Result<Value, Refused> {
    match shape {
        Shape::Text => Ok(Value::from(text)),
        Shape::Boolean => boolean(text, plain),
        Shape::Integer { min, max } => integer(text, plain, *min, *max),
        Shape::Number => number(text, plain),
        Shape::IntOrText => Ok(int_or_text(text, plain)),
        Shape::Choice(words) => choice(text, words),
        Shape::Any => Ok(super::plain(text)),
        Shape::List(_) | Shape::Map(_) | Shape::Object(_) => {
            Err((format!("expected {}, found {}", shape.noun(), found(text, plain)), None))
        }
    }
}

fn boolean(text: &str, plain: bool) -> Result<Value, Refused> {
    match (text, plain) {
        ("true" | "True" | "TRUE", true) => Ok(Value::from(true)),
        ("false" | "False" | "FALSE", true) => Ok(Value::from(false)),
        _ => {
            let meant = match text.to_ascii_lowercase().as_str() {
                "yes" | "y" | "on" | "true" => Some("write `true`, without quotes".to_owned()),
                "no" | "n" | "off" | "false" => Some("write `false`, without quotes".to_owned()),
                _ => None,
            };
            Err((format!("expected `true` or `false`, found {}", found(text, plain)), meant))
        }
    }
}

fn integer(text: &str, plain: bool, min: i128, max: i128) -> Result<Value, Refused> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let decimal = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !decimal || !plain {
        let hint = decimal.then(|| format!("remove the quotes: {text}"));
        return Err((format!("expected a whole number, found {}", found(text, plain)), hint));
    }
    match text.trim_start_matches('+').parse::<i128>() {
        Ok(number) if number < min => Err((format!("{number} is less than {min}"), None)),
        Ok(number) if number <= max => Ok(to_number(number)),
        _ => Err((format!("{text} is more than {max}"), None)),
    }
}

fn to_number(number: i128) -> Value {
    match (u64::try_from(number), i64::try_from(number)) {
        (Ok(number), _) => Value::from(number),
        (_, Ok(number)) => Value::from(number),
        _ => Value::Null,
    }
}

fn number(text: &str, plain: bool) -> Result<Value, Refused> {
    match text.parse::<f64>() {
        Ok(number) if plain && number.is_finite() => Ok(Value::from(number)),
        _ => Err((format!("expected a number, found {}", found(text, plain)), None)),
    }
}

fn int_or_text(text: &str, plain: bool) -> Value {
    match text.parse::<i64>() {
        Ok(number) if plain => Value::from(number),
        _ => Value::from(text),
    }
}

fn choice(text: &str, words: &[Word]) -> Result<Value, Refused> {
    if words.iter().any(|word| word.word == text) {
        return Ok(Value::from(text));
    }
    let list = words.iter().map(|word| format!("`{}`", word.word)).collect::<Vec<_>>().join(", ");
    let hint = nearest(text, words.iter().map(|word| word.word.as_str()));
    let hint = hint.map(|word| format!("did you mean `{word}`?"));
    Err((format!("expected one of {list}, found {}", found(text, true)), hint))
}

/// A scalar as it is shown in messages.
fn found(text: &str, plain: bool) -> String {
    const LONGEST: usize = 60;
    let shown: String = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    let dots = if text.chars().count() > LONGEST { "…" } else { "" };
    if plain { format!("`{shown}{dots}`") } else { format!("the text \"{shown}{dots}\"") }
}

/// A value that no shape says anything about: plain scalars mean what serde_yaml takes them for.
pub(super) fn anything(node: &Node) -> Value {
    match &node.content {
        Content::Scalar { text, plain: true } => super::plain(text),
        Content::Scalar { text, plain: false } => Value::from(text.as_str()),
        Content::Sequence(items) => items.iter().map(anything).collect(),
        Content::Mapping(entries) => {
            let pair = |entry: &Entry| (entry.key.clone(), anything(&entry.value));
            Value::Object(entries.iter().map(pair).collect())
        }
    }
}
