//! The kubeconfig: a cluster with its user and context, merged into the file that kubectl reads.
//!
//! Everything else in the file is kept as it is, unknown fields included. The file is written as YAML in which every
//! text is quoted, so that kubectl's YAML reader sees no number or truth value where there is a text.

use std::env;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use super::client::ClientCertificate;
use crate::spec::yaml;

/// How many links a path may lead over, as the kernel has it.
const LINKS: usize = 40;

/// How long another writer of the file is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A cluster as the kubeconfig knows it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name of the cluster, of its user, and of its context.
    pub name: String,
    /// `https://<address>[:<port>]`.
    pub server: String,
    /// PEM of the authorities that the server's certificate is checked with.
    pub authorities: String,
    /// The user's credential; without one the entry's user stays as it is.
    pub user: Option<ClientCertificate>,
    /// The name of a user that the file has already, which the context is to have in place of one of its own.
    pub existing_user: Option<String>,
}

/// Why the kubeconfig was not written.
#[derive(Debug, Error)]
pub enum KubeconfigError {
    /// Neither `KUBECONFIG` nor `HOME` says where it is.
    #[error("where is the kubeconfig? neither KUBECONFIG nor HOME is set")]
    Nowhere,
    /// It could not be read or written.
    #[error("could not {act} `{path}`")]
    File {
        /// Such as `write`.
        act: &'static str,
        /// The file that `KUBECONFIG` or the default names.
        path: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// What is there isn't a file, and is left alone.
    #[error("`{path}` is {what}, and no kubeconfig can be kept there")]
    NoFile {
        /// The file that `KUBECONFIG` or the default names.
        path: String,
        /// Such as `a device`.
        what: &'static str,
    },
    /// What is there is not a kubeconfig, and is left alone.
    #[error("`{path}` is not a kubeconfig: {reason}")]
    Malformed {
        /// The file that `KUBECONFIG` or the default names.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It has no user of that name.
    #[error("`{path}` has no user `{user}`")]
    NoUser {
        /// The file that `KUBECONFIG` or the default names.
        path: String,
        /// The name.
        user: String,
        /// Those that it has.
        users: Vec<String>,
    },
    /// Another program is writing it.
    #[error("another program is writing the kubeconfig: `{lock}` exists")]
    Locked {
        /// The lock's path.
        lock: String,
    },
}

impl KubeconfigError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Nowhere => Some("name the file with --kubeconfig".to_owned()),
            Self::NoFile { .. } => {
                Some("name a file with --kubeconfig or KUBECONFIG, or one that isn't there yet".to_owned())
            }
            Self::Malformed { .. } => {
                Some("mend it, or name another file with --kubeconfig or KUBECONFIG".to_owned())
            }
            Self::NoUser { users, .. } if users.is_empty() => {
                Some("it has none; `--admin` makes a credential".to_owned())
            }
            Self::NoUser { users, .. } => Some(format!("it has: {}", users.join(", "))),
            Self::Locked { lock } => Some(format!("if no kubectl is running, delete {lock}")),
            Self::File { .. } => None,
        }
    }
}

/// The file that kubectl would write: the first of `KUBECONFIG`'s that exists, else its last, else `~/.kube/config`.
pub fn default_path() -> Result<PathBuf, KubeconfigError> {
    let listed = env::var_os("KUBECONFIG").unwrap_or_default();
    let files: Vec<PathBuf> = env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    if let Some(file) = files.iter().find(|file| file.exists()).or(files.last()) {
        return Ok(file.clone());
    }
    let home = env::var_os("HOME").filter(|home| !home.is_empty()).ok_or(KubeconfigError::Nowhere)?;
    Ok(Path::new(&home).join(".kube/config"))
}

/// Adds a cluster to the file, or replaces it there, and makes it the current one.
///
/// # Errors
///
/// Fails where the file can't be changed, or hasn't the user that it is to have already.
pub fn add(path: &Path, entry: &Entry) -> Result<(), KubeconfigError> {
    if let Some(user) = &entry.existing_user {
        check_user(path, user)?;
    }
    change(path, |config| {
        merge(config, entry)?;
        Ok(true)
    })
}

/// Checks that the file has a user of this name.
pub fn check_user(path: &Path, user: &str) -> Result<(), KubeconfigError> {
    let config = Wiped(read(path)?);
    if find(&config.0, "users", user).is_some() {
        return Ok(());
    }
    let users = config.0.get("users").and_then(Value::as_array).into_iter().flatten();
    let users = users.filter_map(|item| item["name"].as_str().map(str::to_owned)).collect();
    Err(KubeconfigError::NoUser { path: path.display().to_string(), user: user.to_owned(), users })
}

/// Removes a cluster from the file, if it is there. Returns whether it was. What isn't a file holds no cluster.
pub fn remove(path: &Path, name: &str) -> Result<bool, KubeconfigError> {
    if !path.is_file() {
        return Ok(false);
    }
    let mut found = false;
    change(path, |config| {
        found = forget(config, name);
        Ok(found)
    })?;
    Ok(found)
}

/// Whether the file has a credential for a cluster, of whatever age.
pub fn has_credential(path: &Path, name: &str) -> bool {
    let Ok(config) = read(path).map(Wiped) else { return false };
    let user = find(&config.0, "contexts", name).and_then(|item| item["context"]["user"].as_str());
    find(&config.0, "users", user.unwrap_or(name)).is_some()
}

/// The name of the current context, if there is one.
pub fn current_context(path: &Path) -> Option<String> {
    let config = Wiped(read(path).ok()?);
    let name = config.0.get("current-context")?.as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

type Config = Map<String, Value>;

/// A kubeconfig with keys in it, which are wiped from memory with it.
struct Wiped(Config);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

/// Wipes every text.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(fields) => fields.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Reads, changes and writes the file under kubectl's own lock; writes only what the change says was changed.
fn change(
    path: &Path,
    work: impl FnOnce(&mut Config) -> Result<bool, String>,
) -> Result<(), KubeconfigError> {
    let path = &followed(path);
    check_file(path)?;
    let failed = |act, source| KubeconfigError::File { act, path: path.display().to_string(), source };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|source| failed("make the folder of", source))?;
    }
    let _lock = Lock::take(path)?;
    let mut config = Wiped(read(path)?);
    let malformed = |reason| KubeconfigError::Malformed { path: path.display().to_string(), reason };
    if work(&mut config.0).map_err(malformed)? {
        write(path, &to_yaml(&config.0)).map_err(|source| failed("write", source))?;
    }
    Ok(())
}

/// A link is followed, so that it stays one: to a file that isn't there yet, too.
fn followed(path: &Path) -> PathBuf {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let Ok(target) = std::fs::read_link(&path) else { break };
        path = path.parent().map_or_else(|| target.clone(), |folder| folder.join(&target));
    }
    path
}

/// Fails where there is something that isn't a file: a device would be replaced by a file with a key in it, and reading
/// a FIFO waits for whoever writes into it.
fn check_file(path: &Path) -> Result<(), KubeconfigError> {
    let kind = match std::fs::metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(KubeconfigError::File { act: "look at", path: path.display().to_string(), source });
        }
    };
    let what = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a FIFO",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(KubeconfigError::NoFile { path: path.display().to_string(), what })
}

fn read(path: &Path) -> Result<Config, KubeconfigError> {
    check_file(path)?;
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == ErrorKind::NotFound => Zeroizing::default(),
        Err(source) => {
            return Err(KubeconfigError::File { act: "read", path: path.display().to_string(), source });
        }
    };
    let malformed = |reason| KubeconfigError::Malformed { path: path.display().to_string(), reason };
    match yaml::to_json(&text).map_err(malformed)? {
        Value::Null => Ok(Map::new()),
        Value::Object(config) => Ok(config),
        _ => Err(malformed("it is not a mapping".to_owned())),
    }
}

/// The name of kubectl's lock on a kubeconfig is the file's with `.lock` behind it.
struct Lock(PathBuf);

impl Lock {
    fn take(path: &Path) -> Result<Self, KubeconfigError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let lock = PathBuf::from(name);
        let until = Instant::now() + PATIENCE;
        loop {
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&lock) {
                Ok(_) => return Ok(Self(lock)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    return Err(KubeconfigError::Locked { lock: lock.display().to_string() });
                }
                Err(source) => {
                    let path = lock.display().to_string();
                    return Err(KubeconfigError::File { act: "lock", path, source });
                }
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Nothing else can be done; the next writer says which file is in the way.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// By renaming, so that a reader sees the old or the new file; only the owner may read it. What could not be written to
/// its end is removed again.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut unfinished = tempfile::Builder::new()
        .prefix(".windlass-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    unfinished.write_all(text.as_bytes())?;
    unfinished.as_file().sync_all()?;
    unfinished.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

fn merge(config: &mut Config, entry: &Entry) -> Result<(), String> {
    let Entry { name, server, authorities, user, existing_user } = entry;
    config.entry("apiVersion").or_insert_with(|| json!("v1"));
    config.entry("kind").or_insert_with(|| json!("Config"));
    let cluster = json!({"server": server, "certificate-authority-data": STANDARD.encode(authorities)});
    put(config, "clusters", name, "cluster", cluster)?;
    let earlier = find(config, "contexts", name).map(|item| &item["context"]);
    let mut context = json!({"cluster": name, "user": existing_user.as_ref().unwrap_or(name)});
    if let Some(namespace) = earlier.and_then(|earlier| earlier["namespace"].as_str()) {
        context["namespace"] = json!(namespace);
    }
    // A user that was chosen before stays chosen, where none is made or chosen now.
    let chosen = earlier.and_then(|earlier| earlier["user"].as_str());
    if let Some(chosen) = chosen.filter(|chosen| find(config, "users", chosen).is_some())
        && user.is_none()
        && existing_user.is_none()
    {
        context["user"] = json!(chosen);
    }
    put(config, "contexts", name, "context", context)?;
    if let Some(ClientCertificate { certificate, key, expires: _ }) = user {
        let user = json!({
            "client-certificate-data": STANDARD.encode(certificate),
            "client-key-data": STANDARD.encode(key.expose()),
        });
        put(config, "users", name, "user", user)?;
    }
    config.insert("current-context".to_owned(), json!(name));
    Ok(())
}

fn find<'a>(config: &'a Config, list: &str, name: &str) -> Option<&'a Value> {
    config.get(list)?.as_array()?.iter().find(|item| item["name"] == name)
}

/// Puts `{name, <key>: value}` into a list, in the place of the one of that name.
fn put(config: &mut Config, list: &str, name: &str, key: &str, value: Value) -> Result<(), String> {
    let items = config.entry(list).or_insert(Value::Null);
    if items.is_null() {
        *items = json!([]);
    }
    let items = items.as_array_mut().ok_or_else(|| format!("`{list}` is not a list"))?;
    let mut item = Map::new();
    item.insert("name".to_owned(), json!(name));
    item.insert(key.to_owned(), value);
    let item = Value::Object(item);
    match items.iter_mut().find(|item| item["name"] == name) {
        Some(place) => *place = item,
        None => items.push(item),
    }
    Ok(())
}

/// Removes everything of a name; returns whether there was anything.
fn forget(config: &mut Config, name: &str) -> bool {
    let mut found = false;
    for list in ["clusters", "contexts", "users"] {
        if let Some(items) = config.get_mut(list).and_then(Value::as_array_mut) {
            let before = items.len();
            items.retain(|item| item["name"] != name);
            found |= items.len() < before;
        }
    }
    if config.get("current-context").is_some_and(|current| current == name) {
        config.insert("current-context".to_owned(), json!(""));
        found = true;
    }
    found
}

/// YAML in which every text is quoted, in JSON's way.
fn to_yaml(config: &Config) -> Zeroizing<String> {
    // With its whole capacity from the start: a text that grows leaves its beginnings behind.
    let size: usize = config.iter().map(|(key, value)| size(key, value, 0)).sum();
    let mut text = Zeroizing::new(String::with_capacity(size));
    write_fields(&mut text, config, 0);
    text
}

/// How many bytes a field takes at most: every character of a text may become six.
fn size(key: &str, value: &Value, indent: usize) -> usize {
    let nested: usize = match value {
        Value::String(text) => text.len() * 6,
        Value::Array(items) => items.iter().map(|item| size("", item, indent + 2)).sum(),
        Value::Object(fields) => fields.iter().map(|(key, value)| size(key, value, indent + 2)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 32,
    };
    nested + key.len() * 6 + 2 * indent + 16
}

fn write_value(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(fields) if !fields.is_empty() => write_fields(text, fields, indent),
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                let _ = write!(text, "{:indent$}- ", "");
                write_value(text, item, indent + 2);
            }
        }
        leaf => {
            let _ = writeln!(text, "{leaf}");
        }
    }
}

fn write_fields(text: &mut String, fields: &Config, indent: usize) {
    for (index, (key, value)) in fields.iter().enumerate() {
        // The first key of an item of a list stands behind its dash.
        if index > 0 || text.ends_with('\n') || text.is_empty() {
            let _ = write!(text, "{:indent$}", "");
        }
        let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphabetic() || c == '-');
        let key = if plain { key.clone() } else { json!(key).to_string() };
        let _ = write!(text, "{key}:");
        write_nested(text, value, indent);
    }
}

/// The value of a key: on the key's line if it is short, else below it.
fn write_nested(text: &mut String, value: &Value, indent: usize) {
    let below = match value {
        Value::Object(fields) if !fields.is_empty() => indent + 2,
        Value::Array(items) if !items.is_empty() => indent,
        leaf => {
            let _ = writeln!(text, " {leaf}");
            return;
        }
    };
    text.push('\n');
    write_value(text, value, below);
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use windlass_bootstrap::keyset::Secret;

    use super::*;

    fn entry(name: &str) -> Entry {
        Entry {
            name: name.to_owned(),
            server: "https://198.51.100.7".to_owned(),
            authorities: "CA".to_owned(),
            existing_user: None,
            user: Some(ClientCertificate {
                certificate: "C".to_owned(),
                key: Secret::new("K"),
                expires: SystemTime::now(),
            }),
        }
    }

    #[test]
    fn a_new_file_holds_the_cluster_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".kube/config");
        add(&path, &entry("demo")).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = "\
apiVersion: \"v1\"
clusters:
- cluster:
    certificate-authority-data: \"Q0E=\"
    server: \"https://198.51.100.7\"
  name: \"demo\"
contexts:
- context:
    cluster: \"demo\"
    user: \"demo\"
  name: \"demo\"
current-context: \"demo\"
kind: \"Config\"
users:
- name: \"demo\"
  user:
    client-certificate-data: \"Qw==\"
    client-key-data: \"Sw==\"
";
        assert_eq!(text, expected);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "a lock or an unfinished file is left: {left:?}");
    }

    #[test]
    fn what_others_have_in_the_file_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let before = "
apiVersion: v1
kind: Config
preferences: {colors: true}
extra: [1, {x: 'yes'}]
clusters:
- {name: other, cluster: {server: 'https://other'}}
- {name: demo, cluster: {server: 'https://old'}}
contexts:
- {name: demo, context: {cluster: demo, user: demo, namespace: web}}
users: null
current-context: other
";
        std::fs::write(&path, before).unwrap();
        add(&path, &entry("demo")).unwrap();
        let after = read(&path).unwrap();
        assert_eq!(after["preferences"], json!({"colors": true}));
        assert_eq!(after["extra"], json!([1, {"x": "yes"}]));
        assert_eq!(after["clusters"][0]["cluster"]["server"], "https://other");
        assert_eq!(after["clusters"][1]["cluster"]["server"], "https://198.51.100.7");
        assert_eq!(after["contexts"][0]["context"]["namespace"], "web");
        assert_eq!(after["users"].as_array().unwrap().len(), 1);
        assert_eq!(current_context(&path).as_deref(), Some("demo"));
        assert!(remove(&path, "demo").unwrap());
        assert!(!remove(&path, "demo").unwrap());
        let after = read(&path).unwrap();
        assert_eq!(after["clusters"].as_array().unwrap().len(), 1);
        assert_eq!(current_context(&path), None);
    }

    #[test]
    fn a_file_that_is_no_kubeconfig_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        for text in ["- a list", "clusters: {}\n", "a: [", "\u{0}"] {
            std::fs::write(&path, text).unwrap();
            let error = add(&path, &entry("demo")).unwrap_err();
            assert!(matches!(error, KubeconfigError::Malformed { .. }), "{text:?}: {error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_file_is_refused_by_what_it_is_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        let before = std::fs::read_dir(folder.path()).unwrap().count();
        for (path, what) in [
            (Path::new("/dev/null"), "a device"),
            (&link, "a device"),
            (folder.path(), "a folder"),
            (&folder.path().join("socket"), "a socket"),
        ] {
            let error = add(path, &entry("demo")).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
            assert_eq!(current_context(path), None);
            assert!(!remove(path, "demo").unwrap());
        }
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before, "something was left");
    }

    #[test]
    fn a_link_stays_one_also_to_a_file_that_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("config");
        std::os::unix::fs::symlink("one/two", &link).unwrap();
        std::fs::create_dir(folder.path().join("one")).unwrap();
        std::os::unix::fs::symlink("../real", folder.path().join("one/two")).unwrap();
        for name in ["demo", "other"] {
            add(&link, &entry(name)).unwrap();
            assert!(link.is_symlink() && folder.path().join("one/two").is_symlink());
            assert_eq!(current_context(&folder.path().join("real")).as_deref(), Some(name));
        }
    }

    #[test]
    fn words_that_yaml_would_read_otherwise_stay_texts() {
        let value =
            json!({"a": ["yes", "1e3", "", "x: y", "\"q\"\n"], "no": {"é 1": null}, "n": 1, "e": [{}, []]});
        let text = to_yaml(value.as_object().unwrap());
        assert_eq!(yaml::to_json(&text).unwrap(), value, "{}", *text);
    }
}
