//! Which values settings take, and how components spell them.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use crate::spec::resolve::text;
use crate::spec::support::shown;
use crate::spec::v1alpha2::setting::Kind;

/// What is wrong with a value, and how it is written instead.
pub(super) type Wrong = (String, String);

fn wrong<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err((message.into(), hint.into()))
}

/// A value as the component takes it.
pub(super) fn read(kind: &Kind, value: &Value) -> Result<Value, Wrong> {
    let text = shown(value);
    match kind {
        // What variables are, the walk looks at one by one.
        Kind::Boolean | Kind::Variables => Ok(value.clone()),
        Kind::Word | Kind::Path | Kind::Log => word(kind, &text),
        Kind::Words => items(value, |item| list_word(item).map(Value::from)),
        Kind::OneOf(words) => one_of(words, &text),
        Kind::SomeOf(words) => items(value, |item| one_of(words, item)),
        Kind::CommaSeparated(words) => {
            text.split(',').map(|item| one_of(words, item)).collect::<Result<Vec<_>, _>>().map(Value::from)
        }
        Kind::Integer(least, most) => integer(value, *least, *most),
        Kind::Decimal => decimal(&text),
        Kind::Duration => duration(&text).map(Value::from),
        Kind::Quantity => quantity(&text).map(Value::from),
        Kind::Ports => ports(&text),
        Kind::Socket => socket(&text),
        Kind::Gates => object(value, |_, value| gate(&shown(value))).map(without_graduated),
        Kind::Pairs => object(value, |_, value| list_word(&shown(value)).map(Value::from)),
        Kind::Reservations => object(value, reservation),
        Kind::Thresholds => signals(&text, '<', amount),
        Kind::Amounts => signals(&text, '=', amount),
        Kind::GracePeriods => signals(&text, '=', duration),
    }
}

/// Gates of features that Kubernetes has for good: it refuses to start with one that it no longer knows, and does what it
/// asked for.
const GRADUATED: [&str; 1] = ["ServiceAccountIssuerDiscovery"];

fn without_graduated(mut gates: Value) -> Value {
    if let Some(gates) = gates.as_object_mut() {
        gates.retain(|name, on| !GRADUATED.contains(&name.as_str()) || shown(on) != "true");
    }
    gates
}

/// The text of a flag.
pub(super) fn flag_text(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(","),
        Value::Object(pairs) => {
            let pair = |(name, value): (&String, &Value)| format!("{name}={}", shown(value));
            pairs.iter().map(pair).collect::<Vec<_>>().join(",")
        }
        value => shown(value),
    }
}

fn is_word(text: &str) -> bool {
    let odd = |character: char| {
        character.is_whitespace() || character.is_control() || "\"'\\$`".contains(character)
    };
    !text.is_empty() && !text.contains(odd)
}

fn word(kind: &Kind, text: &str) -> Result<Value, Wrong> {
    if !is_word(text) {
        return wrong(format!("`{text}` has blanks or quotes, or is empty"), "write one word");
    }
    let is_path = text.starts_with('/') && !text.ends_with('/') && !text.split('/').any(|part| part == "..");
    let fits = match kind {
        Kind::Path => is_path,
        Kind::Log => (is_path && text.starts_with("/var/log/")) || text == "-",
        _ => true,
    };
    if fits {
        return Ok(text.into());
    }
    let hint = match kind {
        Kind::Log => {
            "write one below `/var/log`, such as `/var/log/audit/requests.log`, or `-` for the standard output"
        }
        _ => "write it from the root, such as `/etc/kubernetes/file.yaml`",
    };
    wrong(format!("`{text}` is not the path of a file"), hint)
}

/// A word of a list that is written with commas.
fn list_word(text: &str) -> Result<String, Wrong> {
    if is_word(text) && !text.contains(',') {
        return Ok(text.to_owned());
    }
    wrong(format!("`{text}` has blanks, quotes or commas, or is empty"), "write one word for each item")
}

fn items(value: &Value, mut read: impl FnMut(&str) -> Result<Value, Wrong>) -> Result<Value, Wrong> {
    let items = value.as_array().into_iter().flatten();
    items.map(|item| read(&shown(item))).collect::<Result<Vec<_>, _>>().map(Value::from)
}

fn object(value: &Value, mut read: impl FnMut(&str, &Value) -> Result<Value, Wrong>) -> Result<Value, Wrong> {
    let pairs = value.as_object().into_iter().flatten().map(|(name, value)| {
        if !is_word(name) || name.contains([',', '=']) {
            return wrong(format!("`{name}` is not a name"), "write a word");
        }
        Ok((name.clone(), read(name, value)?))
    });
    pairs.collect::<Result<Map<_, _>, _>>().map(Value::Object)
}

fn one_of<T: AsRef<str>>(words: &[T], text: &str) -> Result<Value, Wrong> {
    if words.iter().any(|word| word.as_ref() == text) {
        return Ok(text.into());
    }
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    wrong(format!("`{text}` can't be chosen"), format!("there are: {}", words.join(", ")))
}

fn integer(value: &Value, least: i64, most: i64) -> Result<Value, Wrong> {
    let number = value.as_i64();
    if number.is_some_and(|number| (least..=most).contains(&number)) {
        return Ok(value.clone());
    }
    let hint =
        if most == i64::MAX { format!("{least} is the least") } else { format!("from {least} to {most}") };
    wrong(format!("`{}` is too small or too large", shown(value)), hint)
}

/// A number that Kubernetes counts with, out of a quantity such as `3.14` or `500m`.
pub(super) fn number(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 15] = [
        ("", 1.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
    ];
    if let Ok(number) = text.parse::<f64>() {
        return (number.is_finite() && number >= 0.0).then_some(number);
    }
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    text[..text.len() - unit.len()].parse::<f64>().ok().map(|number| number * factor)
}

fn decimal(text: &str) -> Result<Value, Wrong> {
    let Some(number) = number(text) else {
        return wrong(format!("`{text}` is not a number"), "write it like `3.14` or `500m`");
    };
    // Whole numbers are shown without a point.
    match format!("{number}").parse::<u64>() {
        Ok(whole) => Ok(json!(whole)),
        Err(_) => Ok(json!(number)),
    }
}

fn duration(text: &str) -> Result<String, Wrong> {
    match text::milliseconds(text) {
        Some(_) => Ok(text.to_owned()),
        None => wrong(format!("`{text}` is not a duration"), "write it like `1h30m`, `10s` or `500ms`"),
    }
}

fn quantity(text: &str) -> Result<String, Wrong> {
    text::quantity(text).map_err(|problem| (problem.message, problem.hint.unwrap_or_default()))
}

fn ports(text: &str) -> Result<Value, Wrong> {
    let range = text.split_once('-');
    let range = range.and_then(|(first, last)| Some((first.parse::<u16>().ok()?, last.parse::<u16>().ok()?)));
    if range.is_some_and(|(first, last)| first > 0 && first <= last) {
        return Ok(text.into());
    }
    wrong(format!("`{text}` is not a range of ports"), "write it like `30000-32767`")
}

fn socket(text: &str) -> Result<Value, Wrong> {
    match text.parse::<SocketAddr>() {
        Ok(_) => Ok(text.into()),
        Err(_) => wrong(format!("`{text}` is not an address with a port"), "write it like `0.0.0.0:10249`"),
    }
}

fn gate(text: &str) -> Result<Value, Wrong> {
    match text.parse::<bool>() {
        Ok(on) => Ok(on.into()),
        Err(_) => wrong(format!("`{text}` is neither `true` nor `false`"), "a feature is on or off"),
    }
}

fn reservation(name: &str, value: &Value) -> Result<Value, Wrong> {
    one_of(&["cpu", "memory", "ephemeral-storage", "pid"], name)?;
    quantity(&shown(value)).map(Value::from)
}

/// A quantity or a share such as `10%`.
fn amount(text: &str) -> Result<String, Wrong> {
    let Some(share) = text.strip_suffix('%') else { return quantity(text) };
    match share.parse::<f64>() {
        Ok(share) if (0.0..=100.0).contains(&share) => Ok(text.to_owned()),
        _ => wrong(format!("`{text}` is not a percentage"), "write it like `10%`"),
    }
}

/// What the kubelet watches in order to evict pods.
const SIGNALS: [&str; 10] = [
    "memory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
    "containerfs.available",
    "containerfs.inodesFree",
    "allocatableMemory.available",
    "pid.available",
    "allocatableNodeFs.available",
];

fn signals(text: &str, between: char, read: impl Fn(&str) -> Result<String, Wrong>) -> Result<Value, Wrong> {
    let mut signals = Map::new();
    for item in text.split(',').filter(|item| !item.is_empty()) {
        let Some((signal, value)) = item.split_once(between) else {
            let hint = format!("write a signal, `{between}` and a value, with commas between");
            return wrong(format!("`{item}` has no `{between}`"), hint);
        };
        one_of(&SIGNALS, signal)?;
        if signals.insert(signal.to_owned(), read(value)?.into()).is_some() {
            return wrong(format!("`{signal}` stands here twice"), "keep one of them");
        }
    }
    Ok(Value::Object(signals))
}
