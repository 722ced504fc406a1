//! A document of another kind as Kubernetes's own tools read it.
//!
//! They read plain words as YAML 1.1 does (`sigs.k8s.io/yaml` over go-yaml 2): `on` is true and `0644` is octal. Who
//! moves a file from kubectl to windlass must get the same object.

use serde_json::{Number, Value};

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
    /// Beyond it, not every whole number is a float.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() < EXACT {
        return format!("{value:.0}").parse::<i64>().ok().map(Number::from);
    }
    Number::from_f64(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::spec::AdditionalObject;
    use crate::spec::yaml::{Source, read, to_yaml};

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
        let source = Source { name: "-".to_owned(), text: to_yaml(object) };
        read(vec![source]).ok()?.additional_objects.pop()
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
                to_yaml(&object(text))
            );
        }
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
