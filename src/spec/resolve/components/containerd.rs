//! containerd: what goes into a file beside the machine image's configuration, and the mirrors of registries.

use serde_json::{Map, Value, json};

use super::Said;
use crate::spec::resolve::text;
use crate::spec::support::shown;
use crate::spec::yaml::join;

/// The settings that no row can say: `configAdditions`, `registryMirrors`, `nri`.
pub(super) fn resolve(said: &mut Said, part: &Value) {
    nri(said, &part["nri"]);
    for (name, value) in part["configAdditions"].as_object().into_iter().flatten() {
        addition(said, name, value);
    }
    let mut mirrors = Map::new();
    for (registry, endpoints) in part["registryMirrors"].as_object().into_iter().flatten() {
        mirror(said, registry, endpoints);
        mirrors.insert(registry.clone(), endpoints.clone());
    }
    if !mirrors.is_empty() {
        said.settings.configuration.insert("mirrors".to_owned(), Value::Object(mirrors));
    }
}

/// The plug-in for NRI in every syntax of containerd's configuration.
const NRI: [&str; 3] = ["file", "plugins", "io.containerd.nri.v1.nri"];

fn nri(said: &mut Said, nri: &Value) {
    if let Some(enabled) = nri["enabled"].as_bool() {
        put(said, &[&NRI[..], &["disable"]].concat(), json!(!enabled));
    }
    let durations = [
        ("pluginRegistrationTimeout", "plugin_registration_timeout"),
        ("pluginRequestTimeout", "plugin_request_timeout"),
    ];
    for (field, name) in durations {
        let Some(written) = nri[field].as_str() else { continue };
        if text::milliseconds(written).is_some() {
            put(said, &[&NRI[..], &[name]].concat(), json!(written));
        } else {
            said.push(&join("nri", field), format!("`{written}` is not a duration"), "write it like `5s`");
        }
    }
}

/// What the machine image's configuration says, and Kubernetes relies on.
const OWN: [&str; 4] = ["version", "imports", "root", "state"];

fn addition(said: &mut Said, name: &str, value: &Value) {
    let field = join("configAdditions", name);
    let hint = "write it like `plugins.\"io.containerd.cri.v1.runtime\".max_container_log_line_size`";
    let Some(path) = path(name) else {
        return said.push(&field, format!("`{name}` is not the path of a setting"), hint);
    };
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let is_own = names.first().is_some_and(|first| OWN.contains(first))
        || names.first() == Some(&"grpc")
        || names.last() == Some(&"SystemdCgroup")
        || names.iter().any(|name| ["bin_dir", "bin_dirs", "conf_dir", "config_path"].contains(name));
    if is_own {
        let hint = "leave it out: the kubelet, the pods' network and the machine image go by it";
        return said.push(&field, format!("`{name}` is the machine image's own"), hint);
    }
    let value = match shown(value).as_str() {
        _ if value.is_number() || value.is_boolean() => value.clone(),
        "true" => json!(true),
        "false" => json!(false),
        text if value.is_string() => json!(text),
        _ => return said.push(&field, "it is neither a number nor a text", "write one value for each path"),
    };
    let whole: Vec<&str> = std::iter::once("file").chain(names).collect();
    if !put(said, &whole, value) {
        said.push(&field, "another path ends where this one goes on", "keep one of the two");
    }
}

/// The names of a path, which have dots between them; one with dots of its own stands in quotes.
fn path(text: &str) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text;
    loop {
        let (name, behind) = if let Some(quoted) = rest.strip_prefix('"') {
            let (name, behind) = quoted.split_once('"')?;
            (name, behind)
        } else {
            rest.split_at(rest.find('.').unwrap_or(rest.len()))
        };
        if name.is_empty() || name.contains(|c: char| c.is_control() || c == '"') {
            return None;
        }
        names.push(name.to_owned());
        match behind.strip_prefix('.') {
            Some(behind) => rest = behind,
            None => return behind.is_empty().then_some(names),
        }
    }
}

/// Puts a value at a path. Says no where something else than a table is on its way, or a table at its end.
fn put(said: &mut Said, path: &[&str], value: Value) -> bool {
    let Some((last, tables)) = path.split_last() else { return false };
    let mut here = &mut said.settings.configuration;
    for name in tables {
        let inner = here.entry(*name).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else { return false };
        here = inner;
    }
    if here.get(*last).is_some_and(Value::is_object) {
        return false;
    }
    here.insert((*last).to_owned(), value);
    true
}

/// A registry is a folder's name on the machine; mirrors are URLs.
fn mirror(said: &mut Said, registry: &str, endpoints: &Value) {
    let field = join("registryMirrors", registry);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
    let is_host = !registry.starts_with('.') && !registry.is_empty() && registry.bytes().all(plain);
    if registry != "*" && !is_host {
        let hint = "write its host, such as `docker.io`, or `*` for all that are not named";
        said.push(&field, format!("`{registry}` is not a registry"), hint);
    }
    for (index, endpoint) in endpoints.as_array().into_iter().flatten().enumerate() {
        let url = shown(endpoint);
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or_default();
        let odd = |c: char| c.is_whitespace() || c.is_control() || "\"'\\".contains(c);
        if host.is_empty() || url.contains(odd) {
            let hint = "write it like `https://mirror.example.com`";
            said.push(&format!("{field}[{index}]"), format!("`{url}` is not the URL of a mirror"), hint);
        }
    }
}
