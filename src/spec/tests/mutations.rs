//! Every line of a good specification made wrong in turn, and every rule broken once: what is told about it.

mod broken;

use std::fmt::Write as _;

use snapbox::{assert_data_eq, file};

use self::broken::RULES;
use super::{complete, told};

/// A specification without a mistake, which uses most of what windlass honours.
const GOOD: &str = include_str!("good.yaml");

/// Lines under which any key is right.
const FREE: [&str; 3] = ["team:", "example.com/tier:", "kops.k8s.io/cluster:"];

/// The lines of the good specification that are `key: value`: number, indentation with dashes, key, value.
fn fields() -> Vec<(usize, &'static str, &'static str, &'static str)> {
    let line = |(number, line): (usize, &'static str)| {
        let bare = line.trim_start_matches([' ', '-']);
        let (key, value) = bare.split_once(": ")?;
        Some((number, &line[..line.len() - bare.len()], key, value))
    };
    let free = |key: &str| FREE.iter().any(|free| free.trim_end_matches(':') == key);
    GOOD.lines().enumerate().filter_map(line).filter(|(.., key, _)| !free(key)).collect()
}

/// The good specification with one line replaced.
fn with_line(number: usize, line: &str) -> String {
    let lines = GOOD.lines().enumerate().map(|(index, good)| if index == number { line } else { good });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// What is told about each of some bad specifications, which must all be refused.
fn corpus(cases: impl IntoIterator<Item = (String, String)>) -> (usize, String) {
    let (mut count, mut all) = (0, String::new());
    for (title, text) in cases {
        assert!(complete(&text).is_err(), "nothing is wrong with {title}");
        let _ = write!(all, "### {title}\n{}\n", told(&text));
        count += 1;
    }
    (count, all)
}

#[test]
fn the_good_specification_is_good() {
    assert!(complete(GOOD).is_ok(), "{}", told(GOOD));
}

#[test]
fn every_misspelled_field_is_told() {
    let misspelled = |(number, indentation, key, value): (usize, &str, &str, &str)| {
        let half = key.len() / 2;
        let wrong = format!("{}{}", &key[..half], &key[half + 1..]);
        (format!("{key} as {wrong}"), with_line(number, &format!("{indentation}{wrong}: {value}")))
    };
    let (count, told) = corpus(fields().into_iter().map(misspelled));
    assert!(count >= 70, "only {count}");
    assert_data_eq!(told, file!["mutations/misspelled.txt"]);
}

#[test]
fn every_field_of_the_wrong_type_is_told() {
    let wrong = |(number, indentation, key, _): (usize, &str, &str, &str)| {
        let line = format!("{indentation}{key}: [[{{}}]]");
        (format!("{key} as a list"), with_line(number, &line))
    };
    let (count, told) = corpus(fields().into_iter().map(wrong));
    assert!(count >= 70, "only {count}");
    assert_data_eq!(told, file!["mutations/wrong-type.txt"]);
}

#[test]
fn every_field_that_stands_twice_is_told() {
    let twice = |(number, indentation, key, value): (usize, &str, &str, &str)| {
        let again = indentation.replace('-', " ");
        let line = format!("{indentation}{key}: {value}\n{again}{key}: {value}");
        (format!("{key} twice"), with_line(number, &line))
    };
    let (count, told) = corpus(fields().into_iter().map(twice));
    assert!(count >= 70, "only {count}");
    assert_data_eq!(told, file!["mutations/twice.txt"]);
}

#[test]
fn every_field_with_a_value_that_makes_no_sense_is_told() {
    /// What may be any text.
    const ANY: [&str; 4] = ["channel", "configBase", "sshKeyName", "publicKey"];
    let nonsense = |(number, indentation, key, _): (usize, &str, &str, &str)| {
        (format!("{key} as ?!"), with_line(number, &format!("{indentation}{key}: '?!'")))
    };
    let cases = fields().into_iter().filter(|(.., key, _)| !ANY.contains(key)).map(nonsense);
    let (count, told) = corpus(cases);
    assert!(count >= 60, "only {count}");
    assert_data_eq!(told, file!["mutations/nonsense.txt"]);
}

#[test]
fn every_broken_rule_is_told() {
    let broken = |(title, good, bad): &(&str, &str, &str)| {
        assert!(GOOD.contains(good), "{title}: {good:?} does not stand in the good specification");
        ((*title).to_owned(), GOOD.replacen(good, bad, 1))
    };
    let (count, told) = corpus(RULES.iter().map(broken));
    assert!(count >= 90, "only {count}");
    assert_data_eq!(told, file!["mutations/rules.txt"]);
}
