//! Credentials for image registries, in the form of docker's `config.json`, as a user gives them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use windlass_bootstrap::keyset::Secret;

use crate::spec::{Problem, Problems};

/// Reads a `config.json`. Fails with everything that would keep the kubelet from pulling with it; nothing of the
/// content but registries' names is shown.
pub fn parse(text: &str) -> Result<Secret, Problems> {
    let mut problems = Problems::new();
    match serde_json::from_str(text) {
        Ok(Value::Object(config)) => check(&config, &mut problems),
        Ok(_) => problems.push(Problem::at("", "it is not a JSON object").hint(FORM)),
        Err(error) => {
            // serde_json's own words may quote what it found.
            let place = format!("line {}, column {} is not JSON", error.line(), error.column());
            problems.push(Problem::at("", place).hint(FORM));
        }
    }
    problems.or(Secret::new(text))
}

const FORM: &str = "write docker's config.json: {\"auths\": {\"registry.example.com\": {\"auth\": \"<base64 of user:password>\"}}}";

fn check(config: &Map<String, Value>, problems: &mut Problems) {
    for helper in ["credsStore", "credHelpers"] {
        if config.get(helper).is_some_and(|value| !value.is_null() && *value != Value::Object(Map::new())) {
            let message = "the kubelet runs no credential helpers: what they keep is not in this file";
            let hint = "log in on a machine without one, or write `auths` yourself";
            problems.push(Problem::at(helper, message).hint(hint));
        }
    }
    match config.get("auths") {
        Some(Value::Object(registries)) if !registries.is_empty() => {
            for (registry, entry) in registries {
                if let Err(message) = check_entry(entry) {
                    let path = format!("auths[\"{registry}\"]");
                    problems.push(Problem::at(path, message).hint("write `auth`: base64 of user:password"));
                }
            }
        }
        Some(Value::Object(_)) => problems.push(Problem::at("auths", "it names no registry").hint(FORM)),
        Some(_) => problems.push(Problem::at("auths", "it is not an object").hint(FORM)),
        None => problems.push(Problem::at("auths", "it is missing").hint(FORM)),
    }
}

fn check_entry(entry: &Value) -> Result<(), &'static str> {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    if let Some(auth) = text("auth") {
        let decoded = STANDARD.decode(auth).map(zeroize::Zeroizing::new);
        return match decoded {
            Ok(decoded) if decoded.contains(&b':') => Ok(()),
            Ok(_) => Err("its `auth` holds no `:` between user and password"),
            Err(_) => Err("its `auth` is not base64"),
        };
    }
    if text("username").is_some() && text("password").is_some() {
        return Ok(());
    }
    Err("it holds no credentials")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        parse(text).expect_err("it is wrong").to_string()
    }

    #[test]
    fn credentials_for_registries_are_read_as_they_are() {
        let text = r#"{"auths": {"registry.example.com": {"auth": "YWRhOnMzY3JldA=="},
                       "other.example.com": {"username": "ada", "password": "s3cret"}}, "credHelpers": {}}"#;
        let secret = parse(text).unwrap();
        assert_eq!(secret.expose(), text);
        assert!(!format!("{secret:?}").contains("YWRhOnMzY3JldA"));
    }

    #[test]
    fn what_the_kubelet_can_not_use_is_told_and_nothing_secret_with_it() {
        for (text, words) in [
            ("s3cret", "line 1, column 1 is not JSON"),
            ("[\"s3cret\"]", "not a JSON object"),
            (r#"{"registry.example.com": {"auth": "czNjcmV0"}}"#, "auths: it is missing"),
            (r#"{"auths": {}}"#, "names no registry"),
            (r#"{"auths": {"r": {"auth": "s3cret!"}}}"#, "auths[\"r\"]: its `auth` is not base64"),
            (r#"{"auths": {"r": {"auth": "czNjcmV0"}}}"#, "no `:`"),
            (r#"{"auths": {"r": {"password": "s3cret"}}}"#, "holds no credentials"),
            (r#"{"auths": {"r": {}}, "credsStore": "desktop"}"#, "credential helpers"),
        ] {
            let told = told(text);
            assert!(told.contains(words) && told.contains("hint: "), "{text}: {told}");
            assert!(!told.contains("s3cret") && !told.contains("czNjcmV0"), "{told}");
        }
    }
}
