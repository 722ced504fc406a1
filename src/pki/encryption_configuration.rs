//! An `EncryptionConfiguration` that a user gives, and whether what is encrypted today can be read with it.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use windlass_bootstrap::keyset::Secret;

use crate::spec::{Problem, Problems, yaml};

/// Providers with keys of their own, and how many bytes a key may have.
const LOCAL_PROVIDERS: [(&str, &[usize]); 3] =
    [("secretbox", &[32]), ("aescbc", &[16, 24, 32]), ("aesgcm", &[16, 24, 32])];

/// A configuration that an API server takes.
#[derive(Clone, Debug)]
pub struct EncryptionConfiguration {
    rules: Vec<Rule>,
    json: Secret,
}

/// How some resources are encrypted: written with the first provider, read with any.
#[derive(Clone, Debug)]
struct Rule {
    resources: Vec<String>,
    providers: Vec<Provider>,
}

/// What encrypts.
#[derive(Clone, Debug, PartialEq)]
enum Provider {
    /// Nothing: as it is.
    Identity,
    /// Keys, of which the first writes.
    Local { kind: &'static str, keys: Vec<Key> },
}

/// A key. Its name stands in front of everything that is encrypted with it.
#[derive(Clone, Debug, PartialEq)]
struct Key {
    name: String,
    secret: Secret,
}

/// What wrote some resource, without the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writer {
    /// The resource, or a pattern of resources.
    pub resource: String,
    /// What the pattern covers and another rule counted for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// Such as `secretbox`; `identity` where nothing was encrypted.
    pub provider: String,
    /// The key's name.
    #[serde(default)]
    pub key: String,
    /// SHA-256 of provider, name and key.
    #[serde(default)]
    pub digest: String,
}

/// The provider that encrypts nothing.
const IDENTITY: &str = "identity";

impl EncryptionConfiguration {
    /// Reads a configuration in YAML or JSON. Fails with everything that is wrong with it; no key is ever shown.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let value = yaml::secret_to_json(text)
            .map_err(|reason| Problems(vec![Problem::at("", reason).hint(FORM)]))?;
        let mut problems = Problems::new();
        for (field, expected) in
            [("apiVersion", "apiserver.config.k8s.io/v1"), ("kind", "EncryptionConfiguration")]
        {
            if value[field] != expected {
                problems.push(
                    Problem::at(field, format!("it is not `{expected}`")).hint(format!("write `{expected}`")),
                );
            }
        }
        let rules: Vec<Rule> = items(&value, "resources", "", &mut problems)
            .iter()
            .enumerate()
            .map(|(index, rule)| read_rule(rule, &format!("resources[{index}]"), &mut problems))
            .collect();
        problems.or(Self { rules, json: Secret::new(value.to_string()) })
    }

    /// As JSON, which is how the state keeps it.
    pub fn json(&self) -> &Secret {
        &self.json
    }

    /// Whether Secrets are written as they are.
    pub fn leaves_secrets_open(&self) -> bool {
        let rule = self.rule_of("secrets");
        rule.is_none_or(|rule| rule.providers.first().is_none_or(|first| *first == Provider::Identity))
    }

    /// What is written in a way today that this configuration can't read any more: one line for each resource.
    pub fn can_not_read(&self, today: &Self) -> Vec<String> {
        self.lost(&today.writers(), "is", "today")
    }

    /// What may still be as one of these wrote it, and can't be read with this configuration: one line for each.
    pub fn can_not_read_of(&self, writers: &[Writer]) -> Vec<String> {
        self.lost(writers, "was", "and nothing says that all of it was written again")
    }

    /// What this configuration makes write, for each resource that it names.
    pub fn writers(&self) -> Vec<Writer> {
        let mut writers = Vec::new();
        let mut earlier: Vec<String> = Vec::new();
        for rule in &self.rules {
            for resource in &rule.resources {
                // The first rule that names a resource counts for it.
                if earlier.iter().any(|pattern| covers(pattern, resource)) {
                    continue;
                }
                let except = earlier.iter().filter(|other| covers(resource, other)).cloned().collect();
                writers.extend(rule.providers.first().and_then(|first| first.writer(resource, except)));
            }
            earlier.extend(rule.resources.iter().cloned());
        }
        writers
    }

    fn lost(&self, writers: &[Writer], is: &str, when: &str) -> Vec<String> {
        let mut lost = Vec::new();
        for writer in writers {
            let named = self.rules.iter().flat_map(|rule| &rule.resources);
            let narrower = named.filter(|name| {
                **name != writer.resource
                    && covers(&writer.resource, name)
                    && !writer.except.iter().any(|other| covers(other, name))
            });
            for resource in std::iter::once(&writer.resource).chain(narrower) {
                let line = match writer.provider.as_str() {
                    _ if self.reads(resource, writer) => continue,
                    IDENTITY => {
                        format!(
                            "`{resource}` {is} written without encryption {when}, and there is no `identity`"
                        )
                    }
                    provider => {
                        format!("`{resource}` {is} written with the {provider} key `{}` {when}", writer.key)
                    }
                };
                if !lost.contains(&line) {
                    lost.push(line);
                }
            }
        }
        lost.sort();
        lost
    }

    /// Whether what was written of a resource can be read.
    fn reads(&self, resource: &str, writer: &Writer) -> bool {
        // Without any provider a resource is read as it is.
        let Some(rule) = self.rule_of(resource) else { return writer.provider == IDENTITY };
        rule.providers.iter().any(|provider| match provider {
            Provider::Identity => writer.provider == IDENTITY,
            Provider::Local { kind, keys } => {
                *kind == writer.provider
                    && keys.iter().any(|key| key.name == writer.key && key.digest(kind) == writer.digest)
            }
        })
    }

    /// The same with today's providers behind its own, so that everything can be read that is written today.
    pub fn keeping_keys_of(&self, today: &Self) -> Result<Self, Problems> {
        let read = |configuration: &Self| yaml::secret_to_json(configuration.json.expose());
        let (Ok(mut value), Ok(old)) = (read(self), read(today)) else { return Ok(self.clone()) };
        let Some(rules) = value["resources"].as_array_mut() else { return Ok(self.clone()) };
        for (rule, old) in today.rules.iter().zip(old["resources"].as_array().into_iter().flatten()) {
            let place = |resource: &String| self.rules.iter().position(|rule| rule.covers(resource));
            for index in rule.resources.iter().filter_map(place).collect::<BTreeSet<usize>>() {
                let Some(providers) = rules[index]["providers"].as_array_mut() else { continue };
                for provider in old["providers"].as_array().into_iter().flatten() {
                    if !providers.contains(provider) {
                        providers.push(provider.clone());
                    }
                }
            }
            let uncovered: Vec<&String> =
                rule.resources.iter().filter(|resource| place(resource).is_none()).collect();
            if !uncovered.is_empty() {
                rules.push(serde_json::json!({"resources": uncovered, "providers": old["providers"]}));
            }
        }
        Self::parse(&value.to_string())
    }

    /// The rule that counts for a resource: the first that names it.
    fn rule_of(&self, resource: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.covers(resource))
    }
}

impl Provider {
    fn writer(&self, resource: &str, except: Vec<String>) -> Option<Writer> {
        let (provider, key, digest) = match self {
            Self::Identity => (IDENTITY, String::new(), String::new()),
            Self::Local { kind, keys } => {
                let key = keys.first()?;
                (*kind, key.name.clone(), key.digest(kind))
            }
        };
        Some(Writer { resource: resource.to_owned(), except, provider: provider.to_owned(), key, digest })
    }
}

impl Key {
    /// Tells keys apart, and nothing of the key itself.
    fn digest(&self, kind: &str) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [kind, self.name.as_str(), self.secret.expose()] {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        context.finish().as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }
}

impl Rule {
    fn covers(&self, resource: &str) -> bool {
        self.resources.iter().any(|pattern| covers(pattern, resource))
    }
}

const FORM: &str = "write an `EncryptionConfiguration` of `apiserver.config.k8s.io/v1`";

/// `secrets`, `deployments.apps`, or with a star: `*.apps`, `*.` for the core group, `*.*` for all.
fn covers(pattern: &str, resource: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some("*") => true,
        Some(group) => resource.split_once('.').map_or("", |(_, group)| group) == group,
        None => pattern == resource,
    }
}

/// The items of a list that must not be empty.
fn items<'a>(value: &'a Value, field: &str, path: &str, problems: &mut Problems) -> &'a [Value] {
    let path = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
    match value.get(field) {
        Some(Value::Array(items)) if !items.is_empty() => return items,
        Some(Value::Array(_)) => problems.push(Problem::at(path, "the list is empty").hint(FORM)),
        Some(_) => problems.push(Problem::at(path, "it is not a list").hint(FORM)),
        None => problems.push(Problem::at(path, "it is missing").hint(FORM)),
    }
    &[]
}

fn read_rule(rule: &Value, path: &str, problems: &mut Problems) -> Rule {
    let mut resources = Vec::new();
    for (index, resource) in items(rule, "resources", path, problems).iter().enumerate() {
        let name = resource.as_str().unwrap_or_default();
        let plain = name.strip_prefix("*.").unwrap_or(name);
        let plain = if plain == "*" && name != plain { "" } else { plain };
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        if name.is_empty() || !plain.chars().all(good) {
            let path = format!("{path}.resources[{index}]");
            let problem = Problem::at(path, "it is not a resource such as `secrets` or `deployments.apps`");
            problems.push(problem.hint("`*.apps` is all of a group, `*.*` is everything"));
        }
        resources.push(name.to_owned());
    }
    let mut providers = Vec::new();
    for (index, provider) in items(rule, "providers", path, problems).iter().enumerate() {
        providers.extend(read_provider(provider, &format!("{path}.providers[{index}]"), problems));
    }
    Rule { resources, providers }
}

fn read_provider(provider: &Value, path: &str, problems: &mut Problems) -> Option<Provider> {
    const KINDS: &str = "name one of `secretbox`, `aescbc`, `aesgcm` and `identity`";
    let empty = Map::new();
    let fields = provider.as_object().unwrap_or(&empty);
    let (Some((kind, settings)), 1) = (fields.iter().next(), fields.len()) else {
        problems.push(Problem::at(path, "a provider is exactly one of several kinds").hint(KINDS));
        return None;
    };
    if kind == "identity" {
        return Some(Provider::Identity);
    }
    let path = format!("{path}.{kind}");
    let Some((kind, lengths)) = LOCAL_PROVIDERS.iter().find(|(known, _)| known == kind) else {
        let message = match kind.as_str() {
            "kms" => "the API server can't reach a KMS plug-in: windlass runs none on masters",
            _ => "there is no such provider",
        };
        problems.push(Problem::at(path, message).hint(KINDS));
        return None;
    };
    let mut keys: Vec<Key> = Vec::new();
    for (index, key) in items(settings, "keys", &path, problems).iter().enumerate() {
        let path = format!("{path}.keys[{index}]");
        let Some(key) = read_key(key, lengths, &path, problems) else { continue };
        if keys.iter().any(|other| other.name == key.name) {
            let problem = Problem::at(format!("{path}.name"), "two keys have this name");
            problems.push(problem.hint("the name tells which key something is encrypted with: rename one"));
        }
        keys.push(key);
    }
    Some(Provider::Local { kind, keys })
}

fn read_key(key: &Value, lengths: &[usize], path: &str, problems: &mut Problems) -> Option<Key> {
    let text = |field: &str| key.get(field).and_then(Value::as_str).unwrap_or_default();
    let (name, secret) = (text("name"), text("secret"));
    if name.is_empty() || name.contains(':') {
        let problem = Problem::at(format!("{path}.name"), "a key has a name without a colon");
        problems.push(problem.hint("the name stands in front of what is encrypted with the key"));
        return None;
    }
    let length = STANDARD.decode(secret).map(zeroize::Zeroizing::new).map(|bytes| bytes.len());
    if !length.is_ok_and(|length| lengths.contains(&length)) {
        let lengths = lengths.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let problem = Problem::at(format!("{path}.secret"), format!("it is not base64 of {lengths} bytes"));
        problems.push(problem.hint("make one: head -c 32 /dev/urandom | base64"));
        return None;
    }
    Some(Key { name: name.to_owned(), secret: Secret::new(secret) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::encryption;

    const OLD: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const NEW: &str = "//////////////////////////////////////////8=";

    /// A configuration of `secrets` with these providers, each a line of YAML.
    fn configuration(providers: &[&str]) -> String {
        let providers: Vec<String> = providers.iter().map(|provider| format!("  - {provider}\n")).collect();
        let providers = providers.concat();
        format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
             - resources: [secrets]\n  providers:\n{providers}"
        )
    }

    fn secretbox(keys: &[(&str, &str)]) -> String {
        let keys: Vec<String> =
            keys.iter().map(|(name, secret)| format!("{{name: {name}, secret: {secret}}}")).collect();
        format!("secretbox: {{keys: [{}]}}", keys.join(", "))
    }

    fn parse(providers: &[&str]) -> EncryptionConfiguration {
        EncryptionConfiguration::parse(&configuration(providers)).unwrap()
    }

    #[test]
    fn what_windlass_makes_itself_is_read_and_written_as_it_is() {
        let made = encryption::generate().unwrap();
        let read = EncryptionConfiguration::parse(made.expose()).unwrap();
        let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(value(read.json().expose()), value(made.expose()));
        assert!(read.can_not_read(&read).is_empty() && !read.leaves_secrets_open());
    }

    #[test]
    fn the_key_that_writes_today_must_be_there_tomorrow_under_its_name() {
        let today = parse(&[&secretbox(&[("key1", OLD)]), "identity: {}"]);
        let rotated = parse(&[&secretbox(&[("key2", NEW), ("key1", OLD)]), "identity: {}"]);
        assert!(rotated.can_not_read(&today).is_empty());
        let later = parse(&[&secretbox(&[("key2", NEW)]), "identity: {}"]);
        assert!(later.can_not_read(&rotated).is_empty(), "a key that doesn't write any more may go");
        for other in [
            later,
            parse(&[&secretbox(&[("renamed", OLD)])]),
            parse(&[&secretbox(&[("key1", NEW)])]),
            parse(&[&format!("aescbc: {{keys: [{{name: key1, secret: {OLD}}}]}}")]),
            parse(&["identity: {}"]),
        ] {
            assert_eq!(
                other.can_not_read(&today),
                ["`secrets` is written with the secretbox key `key1` today"]
            );
        }
    }

    #[test]
    fn what_is_not_encrypted_today_must_be_readable_and_every_resource_counts() {
        let today = parse(&["identity: {}"]);
        let told = parse(&[&secretbox(&[("key1", NEW)])]).can_not_read(&today);
        assert_eq!(told, ["`secrets` is written without encryption today, and there is no `identity`"]);
        assert!(parse(&[&secretbox(&[("key1", NEW)]), "identity: {}"]).can_not_read(&today).is_empty());
        let both = configuration(&[&secretbox(&[("key1", OLD)])])
            .replace("[secrets]", "[secrets, widgets.example.com]");
        let both = EncryptionConfiguration::parse(&both).unwrap();
        assert_eq!(
            parse(&[&secretbox(&[("key1", OLD)])]).can_not_read(&both),
            ["`widgets.example.com` is written with the secretbox key `key1` today"]
        );
        for wildcard in ["'*.*'", "'*.', '*.example.com'"] {
            let all =
                configuration(&[&secretbox(&[("key1", OLD)])]).replace("[secrets]", &format!("[{wildcard}]"));
            assert!(
                EncryptionConfiguration::parse(&all).unwrap().can_not_read(&both).is_empty(),
                "{wildcard}"
            );
        }
    }

    #[test]
    fn today_s_keys_can_be_put_behind_the_new_ones() {
        let old = configuration(&[&secretbox(&[("key1", OLD)]), "identity: {}"])
            .replace("[secrets]", "[secrets, widgets.example.com]");
        let today = EncryptionConfiguration::parse(&old).unwrap();
        let new = parse(&[&secretbox(&[("key2", NEW)]), "identity: {}"]);
        assert_eq!(new.can_not_read(&today).len(), 2);
        let kept = new.keeping_keys_of(&today).unwrap();
        assert!(kept.can_not_read(&today).is_empty());
        let value: Value = serde_json::from_str(kept.json().expose()).unwrap();
        let providers = &value["resources"][0]["providers"];
        assert_eq!(providers[0]["secretbox"]["keys"][0]["name"], "key2", "the new key writes");
        assert_eq!(providers[2]["secretbox"]["keys"][0]["name"], "key1");
        assert_eq!(providers.as_array().map(Vec::len), Some(3), "`identity` is there once");
        assert_eq!(value["resources"][1]["resources"], serde_json::json!(["widgets.example.com"]));
        let again = kept.keeping_keys_of(&today).unwrap();
        assert_eq!(again.json(), kept.json());
    }

    #[test]
    fn what_a_pattern_wrote_must_be_readable_by_the_rules_that_are_narrower_now() {
        let all = configuration(&[&secretbox(&[("key1", OLD)])]).replace("[secrets]", "['*.*']");
        let all = EncryptionConfiguration::parse(&all).unwrap();
        let narrower = format!(
            "{}- resources: ['*.*']\n  providers:\n  - {}\n",
            configuration(&[&secretbox(&[("key2", NEW)])]),
            secretbox(&[("key1", OLD)])
        );
        let narrower = EncryptionConfiguration::parse(&narrower).unwrap();
        assert_eq!(narrower.can_not_read(&all), ["`secrets` is written with the secretbox key `key1` today"]);
        assert!(narrower.can_not_read(&narrower).is_empty(), "{:?}", narrower.can_not_read(&narrower));
        let shown = format!("{:?}", narrower.writers());
        assert!(!shown.contains(OLD) && !shown.contains(NEW), "{shown}");
    }

    #[test]
    fn secrets_that_are_not_encrypted_are_noticed() {
        assert!(parse(&["identity: {}", &secretbox(&[("key1", NEW)])]).leaves_secrets_open());
        let others = configuration(&[&secretbox(&[("key1", OLD)])]).replace("[secrets]", "[configmaps]");
        assert!(EncryptionConfiguration::parse(&others).unwrap().leaves_secrets_open());
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field_and_no_key_is_shown() {
        let good = configuration(&[&secretbox(&[("key1", OLD)])]);
        for (from, to, words) in [
            ("resources:\n", "resources: [\n", "is not YAML"),
            ("apiserver.config.k8s.io/v1", "v1", "apiVersion: it is not `apiserver.config.k8s.io/v1`"),
            ("EncryptionConfiguration", "Secret", "kind: it is not `EncryptionConfiguration`"),
            ("[secrets]", "[]", "resources[0].resources: the list is empty"),
            ("[secrets]", "[Secrets]", "resources[0].resources[0]: it is not a resource"),
            ("[secrets]", "['*']", "resources[0].resources[0]: it is not a resource"),
            ("secretbox:", "kms:", "resources[0].providers[0].kms: the API server can't reach a KMS plug-in"),
            ("secretbox:", "rot13:", "resources[0].providers[0].rot13: there is no such provider"),
            ("secretbox:", "identity: {}, secretbox:", "is not YAML"),
            ("name: key1", "name: 'a:b'", "keys[0].name: a key has a name without a colon"),
            (OLD, "c2VjcmV0", "keys[0].secret: it is not base64 of 32 bytes"),
            (OLD, "[c2VjcmV0]", "keys[0].secret: it is not base64 of 32 bytes"),
        ] {
            assert!(good.contains(from), "{from}");
            let told = EncryptionConfiguration::parse(&good.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(told.contains(words), "{to}: {told}");
            assert!(!told.contains(OLD) && !told.contains("c2VjcmV0"), "{told}");
        }
        let twice = configuration(&[&secretbox(&[("key1", OLD), ("key1", NEW)])]);
        assert!(
            EncryptionConfiguration::parse(&twice)
                .unwrap_err()
                .to_string()
                .contains("two keys have this name")
        );
        let shown = format!("{:?}", parse(&[&secretbox(&[("key1", OLD)])]));
        assert!(!shown.contains(OLD), "{shown}");
    }
}
