//! A document of another kind as Kubernetes's own tools read it, and written so that they, too, read it as it is meant.
//!
//! They read plain words as YAML 1.1 does (`sigs.k8s.io/yaml` over go-yaml 2): `on` is true and `0644` is octal. Who
//! moves a file from kubectl to windlass must get the same object.

use serde_json::{Map, Number, Value};

use super::tree::{Content, Entry, Node};

/// A node without a shape.
pub(super) fn value(node: &Node) -> Value {
    match &node.content {
        Content::Scalar { text, plain: true } => plain(text),
        Content::Scalar { text, plain: false } => Value::from(text.as_str()),
        Content::Sequence(items) => items.iter().map(value).collect(),
        Content::Mapping(entries) => {
            let pair = |entry: &Entry| (entry.key.clone(), value(&entry.value));
            Value::Object(entries.iter().map(pair).collect())
        }
    }
}

/// What a plain scalar means.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true.into(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false.into(),
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    let text = text.replace('_', "");
    integer(&text).or_else(|| float(&text))
}

/// An integer, in whichever base its first characters say.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, base) = match digits.get(..2) {
        Some("0x" | "0X") => (&digits[2..], 16),
        Some("0b" | "0B") => (&digits[2..], 2),
        Some("0o" | "0O") => (&digits[2..], 8),
        Some(_) if digits.starts_with('0') => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if !digits.chars().all(|c| c.is_digit(base)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if negative { 0_i64.checked_sub_unsigned(magnitude).map(Number::from) } else { Some(magnitude.into()) }
}

/// Beyond it, not every whole number is a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A decimal fraction. A whole one is written without a point, as Go writes it.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.chars().all(|c| c.is_ascii_digit());
    let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
    let well_formed = digits(whole) && digits(fraction) && digits(exponent) && !exponent.is_empty();
    if !well_formed || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    if value.fract() == 0.0 && value.abs() < EXACT {
        return format!("{value:.0}").parse::<i64>().ok().map(Number::from);
    }
    Number::from_f64(value)
}

/// An object as YAML. Whatever could be taken for something else than a text is in quotes.
pub(in crate::spec) fn to_yaml(value: &Value) -> String {
    match value {
        Value::Object(fields) if !fields.is_empty() => fields_at(0, fields),
        Value::Array(items) if !items.is_empty() => items_at(0, items),
        scalar => inline(scalar, STEP) + "\n",
    }
}

fn fields_at(indent: usize, fields: &Map<String, Value>) -> String {
    let lines = fields.iter().map(|(key, value)| {
        let key = format!("{:indent$}{}:", "", quoted_unless_plain(key));
        match value {
            Value::Object(fields) if !fields.is_empty() => key + "\n" + &fields_at(indent + STEP, fields),
            Value::Array(items) if !items.is_empty() => key + "\n" + &items_at(indent, items),
            scalar => key + " " + &inline(scalar, indent + STEP) + "\n",
        }
    });
    lines.collect()
}

fn items_at(indent: usize, items: &[Value]) -> String {
    let lines = items.iter().map(|item| {
        let dash = format!("{:indent$}- ", "");
        // The dash takes the place of the first line's indentation.
        match item {
            Value::Object(fields) if !fields.is_empty() => {
                dash + &fields_at(indent + STEP, fields)[indent + STEP..]
            }
            Value::Array(items) if !items.is_empty() => {
                dash + &items_at(indent + STEP, items)[indent + STEP..]
            }
            scalar => dash + &inline(scalar, indent + STEP) + "\n",
        }
    });
    lines.collect()
}

/// How far what belongs to something is indented.
const STEP: usize = 2;

/// A value that stands behind its key: lines of a text stand below it.
fn inline(value: &Value, indent: usize) -> String {
    match value {
        Value::String(text) => block(text, indent).unwrap_or_else(|| quoted_unless_plain(text)),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A text of several lines as it is, where that is the same.
fn block(text: &str, indent: usize) -> Option<String> {
    let body = text.trim_end_matches('\n');
    let odd = |line: &str| line.starts_with('\t') || (!line.is_empty() && line.trim().is_empty());
    let plain = |c: char| c == '\n' || c == '\t' || is_printable(c);
    if !text.contains('\n')
        || text.starts_with(['\n', ' '])
        || !text.chars().all(plain)
        || text.lines().any(odd)
    {
        return None;
    }
    let chomping = match text.len() - body.len() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    };
    let lines = text
        .lines()
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("\n{:indent$}{line}", "") });
    Some(format!("{chomping}{}", lines.collect::<String>()))
}

fn is_printable(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

fn quoted_unless_plain(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    // JSON's quotes are YAML's; what isn't printable must be escaped besides.
    let escape = |c: char| match c {
        c if is_printable(c) || c.is_ascii_control() && c != '\u{7f}' => c.to_string(),
        c => format!("\\u{:04x}", u32::from(c)),
    };
    Value::from(text).to_string().chars().map(escape).collect()
}

/// Whether nobody takes a text for anything else when it stands without quotes.
fn is_plain(text: &str) -> bool {
    let first =
        text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.'));
    let known = |c: char| c.is_ascii_alphanumeric() || "_-./@+=,:()$ ".contains(c);
    let number_like = !text.contains(|c: char| c.is_ascii_alphabetic());
    first
        && text.chars().all(known)
        && !number_like
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && matches!(plain(text), Value::String(_))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::spec::AdditionalObject;
    use crate::spec::yaml::{Source, read};

    #[test]
    fn plain_words_mean_what_kubectl_takes_them_for() {
        for (text, meaning) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("yes", json!(true)),
            ("off", json!(false)),
            ("y", json!(true)),
            ("0644", json!(420)),
            ("0o644", json!(420)),
            ("-017", json!(-15)),
            ("0x1F", json!(31)),
            ("0b11", json!(3)),
            ("1_000", json!(1000)),
            ("+5", json!(5)),
            ("0", json!(0)),
            ("-0", json!(0)),
            ("08", json!(8)),
            ("1e3", json!(1000)),
            ("1.50", json!(1.5)),
            (".5", json!(0.5)),
            ("5.", json!(5)),
            ("18446744073709551615", json!(u64::MAX)),
            ("-9223372036854775808", json!(i64::MIN)),
            ("1.2.3", json!("1.2.3")),
            ("100m", json!("100m")),
            ("1Gi", json!("1Gi")),
            ("-", json!("-")),
            (".", json!(".")),
            ("0x", json!("0x")),
            ("12e", json!("12e")),
            ("2026-01-01", json!("2026-01-01")),
            ("10.0.0.0/8", json!("10.0.0.0/8")),
            ("yEs", json!("yEs")),
            (".inf", json!(".inf")),
        ] {
            assert_eq!(plain(text), meaning, "{text}");
        }
    }

    fn object(text: &str) -> AdditionalObject {
        let value =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": text}});
        AdditionalObject::new(value).unwrap()
    }

    fn read_back(object: &AdditionalObject) -> Option<AdditionalObject> {
        let source = Source { name: "-".to_owned(), text: object.to_yaml() };
        read(vec![source]).ok()?.documents.additional_objects.pop()
    }

    #[test]
    fn a_text_that_looks_like_something_else_is_written_so_that_it_stays_a_text() {
        for text in [
            "yes",
            "Yes",
            "y",
            "N",
            "on",
            "OFF",
            "null",
            "~",
            "",
            " ",
            "0644",
            "0x1F",
            "1_000",
            "+5",
            "-5",
            "1e3",
            ".5",
            "5.",
            "0b1",
            "0o7",
            "08",
            ".",
            "-",
            "- a",
            "a: b",
            "a #b",
            "# a",
            "'",
            "\"",
            "\n",
            "a\n",
            "a\n\n",
            "\na",
            " a\nb",
            "a\n  b\n",
            "a\r\nb",
            "\t",
            "a\tb",
            "---",
            "--- a",
            "...",
            "%a",
            "@a",
            "`a",
            "!a",
            "&a",
            "*a",
            "<<",
            "=",
            "{a",
            "[a",
            "\u{85}",
            "\u{2028}a",
            "\u{feff}a",
            "\u{7f}",
            "é",
            "🦀",
            "1:30",
            "2026-01-01",
        ] {
            assert_eq!(
                read_back(&object(text)).as_ref(),
                Some(&object(text)),
                "{text:?}:\n{}",
                object(text).to_yaml()
            );
        }
    }

    #[test]
    fn an_object_is_written_as_people_write_it() {
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {}},
            "spec": {"replicas": 2, "script": "set -e\necho yes\n", "containers": [
                {"name": "web", "args": ["--a", "yes", ["x: y"], []], "on": null}]}});
        let text = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  labels: {}
  name: web
spec:
  containers:
  - args:
    - \"--a\"
    - \"yes\"
    - - \"x: y\"
    - []
    name: web
    \"on\": null
  replicas: 2
  script: |
    set -e
    echo yes
";
        let object = AdditionalObject::new(value).unwrap();
        assert_eq!(object.to_yaml(), text);
        assert_eq!(read_back(&object), Some(object));
    }

    proptest! {
        #[test]
        fn whatever_a_text_is_it_comes_back(text in "[ -~\n\t\u{80}-\u{ff}\u{2020}-\u{2030}]{0,40}") {
            let object = object(&text);
            prop_assert_eq!(read_back(&object), Some(object));
        }

        #[test]
        fn whatever_a_number_looks_like_it_comes_back(text in "[-+.0-9exob_]{1,8}") {
            let value = json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "spec": [plain(&text), text]});
            let object = AdditionalObject::new(value).unwrap();
            prop_assert_eq!(read_back(&object), Some(object));
        }
    }
}
