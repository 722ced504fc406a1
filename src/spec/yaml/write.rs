//! Values as YAML.

use serde::Serialize;

/// What breaks a line in YAML 1.1, which serde_yaml writes, and in YAML 1.2, which is read, does not.
const OLD_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// A value as YAML, for people. Never for a Kubernetes component: it reads some plain words otherwise.
///
/// A text with a line break of YAML 1.1 would be folded there, and be another text when it is read again. Where one
/// would stand, the document is written as JSON, which is YAML, too, with those characters escaped.
pub fn to_yaml(value: &impl Serialize) -> String {
    let refused = |error: &dyn std::fmt::Display| format!("# can't be written as YAML: {error}\n");
    match serde_yaml::to_string(value) {
        Ok(yaml) if !yaml.contains(OLD_BREAKS) => yaml,
        Ok(_) => match serde_json::to_string_pretty(value) {
            Ok(json) => format!("{}\n", escape_old_breaks(&json)),
            Err(error) => refused(&error),
        },
        Err(error) => refused(&error),
    }
}

/// JSON has such characters in texts only, where an escape means the same.
fn escape_old_breaks(json: &str) -> String {
    let escape = |text: String, of: char| text.replace(of, &format!("\\u{:04x}", u32::from(of)));
    OLD_BREAKS.into_iter().fold(json.to_owned(), escape)
}
