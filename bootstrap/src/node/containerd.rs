//! containerd: its service is the image's, and the agent starts it. What the specification says of it goes into files beside
//! the image's configuration: one that is read with it, and one for each registry that has mirrors.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::agent::Agent;
use crate::contract::components::{CONTAINERD, ComponentSettings};
use crate::host::Host;
use crate::host::command::{Command, CommandError};
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Starts containerd.
pub const STEP: Step = Step::new("ensure_containerd", Duration::from_mins(2));

/// The image's configuration.
const CONFIGURATION: &str = "/etc/containerd/config.toml";
/// What it reads besides: the last in order.
const SPECIFIED: &str = "/etc/containerd/conf.d/99-windlass-specification.toml";
/// Where it looks for the mirrors of a registry.
const REGISTRIES: &str = "/etc/containerd/certs.d";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum ContainerdError {
    /// A file.
    #[error("containerd's configuration can't be written")]
    File(#[source] FileError),
    /// containerd 1 reads the section of a plug-in in a file beside the image's in the place of the image's.
    #[error(
        "what `configAdditions` says of {0} would replace all that the machine image says of it: this image's containerd \
         is of version 1; build one with containerd 2"
    )]
    Section(String),
    /// systemd.
    #[error("containerd can't be started")]
    Start(#[source] CommandError),
}

impl Classed for ContainerdError {
    fn class(&self) -> Class {
        match self {
            Self::Section(_) => Class::Permanent,
            Self::File(_) | Self::Start(_) => Class::Passing,
        }
    }
}

/// The step.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let settings = agent.config.component(CONTAINERD);
    STEP.run(&agent.reporter, async || ensure(&agent.host, settings).await.map(Done::changed_if)).await
}

/// Writes what the specification says, and has containerd started without waiting for it: it comes up while the agent waits
/// for other things. One that runs already reads its configuration anew where that has changed.
async fn ensure(host: &Host, settings: &ComponentSettings) -> Result<bool, ContainerdError> {
    let changed = ensure_files(host, settings)?;
    let verb = if changed { "restart" } else { "start" };
    let arguments = [verb, "--no-block", "containerd.service"];
    let start = Command::new("/usr/bin/systemctl").arguments(arguments).limit(Duration::from_mins(2));
    host.run(start).await.map_err(ContainerdError::Start)?;
    Ok(changed)
}

/// Writes them, in the syntax of the image's configuration: containerd's 1 and 2 have different ones. Returns whether what it reads only when it starts has changed.
fn ensure_files(host: &Host, settings: &ComponentSettings) -> Result<bool, ContainerdError> {
    for (registry, mirrors) in settings.field(&["mirrors"]).and_then(Value::as_object).into_iter().flatten() {
        // All that have no folder of their own.
        let folder = if registry == "*" { "_default" } else { registry };
        let path = host.path(REGISTRIES).join(folder).join("hosts.toml");
        file::ensure(&path, hosts(mirrors), file::PUBLIC).map_err(ContainerdError::File)?;
    }
    let path = host.path(SPECIFIED);
    let Some(Value::Object(specified)) = settings.field(&["file"]) else {
        return file::ensure_absent(&path).map_err(ContainerdError::File);
    };
    let own = file::read(&host.path(CONFIGURATION)).map_err(ContainerdError::File)?.unwrap_or_default();
    let own = String::from_utf8_lossy(&own);
    let version = own.lines().find_map(|line| line.strip_prefix("version = ")).unwrap_or("3");
    let plugins = specified.get("plugins").and_then(Value::as_object);
    let replaced =
        plugins.into_iter().flatten().find(|(name, _)| own.contains(&format!("[plugins.\"{name}\"")));
    if let Some((plugin, _)) = replaced.filter(|_| version == "2") {
        return Err(ContainerdError::Section(plugin.clone()));
    }
    let mut text = format!("version = {version}\n");
    write_tables(&mut text, &mut Vec::new(), specified);
    file::ensure(&path, text, file::PUBLIC).map_err(ContainerdError::File)
}

/// Mirrors, in the order in which they are asked.
fn hosts(mirrors: &Value) -> String {
    let mut text = String::new();
    for mirror in mirrors.as_array().into_iter().flatten() {
        let _ = writeln!(text, "[host.{mirror}]\n  capabilities = [\"pull\", \"resolve\"]");
    }
    text
}

/// Tables as TOML, each with its values; texts and names are quoted as in JSON.
fn write_tables(text: &mut String, path: &mut Vec<String>, table: &Map<String, Value>) {
    let is_table = |value: &&Value| value.is_object();
    let mut values = table.iter().filter(|(_, value)| !is_table(value)).peekable();
    if values.peek().is_some() && !path.is_empty() {
        let _ = writeln!(text, "[{}]", path.join("."));
    }
    for (name, value) in values {
        let _ = writeln!(text, "{} = {value}", Value::from(name.as_str()));
    }
    for (name, inner) in table {
        if let Value::Object(inner) = inner {
            path.push(Value::from(name.as_str()).to_string());
            write_tables(text, path, inner);
            path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(configuration: Value) -> ComponentSettings {
        let Value::Object(configuration) = configuration else { panic!("no object") };
        ComponentSettings { configuration, ..ComponentSettings::default() }
    }

    fn read(host: &Host, path: &str) -> Option<String> {
        file::read(&host.path(path)).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[tokio::test]
    async fn what_containerd_1_would_replace_is_refused_and_containerd_2_merges_it() {
        let specified = settings(serde_json::json!({"file": {"plugins": {"cri": {"x": 1}}}}));
        for (version, fits) in [(2, false), (3, true)] {
            let folder = tempfile::tempdir().unwrap();
            let host = Host::folder(folder.path());
            let own = format!("version = {version}\n[plugins.\"cri\".registry]\n");
            file::ensure(&host.path(CONFIGURATION), own, file::PUBLIC).unwrap();
            let outcome = ensure(&host, &specified).await;
            assert_eq!(outcome.is_ok(), fits);
            if let Err(error) = outcome {
                assert_eq!(error.class(), Class::Permanent);
                assert!(error.to_string().contains("says of cri would replace"), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_specified_is_written_in_the_image_s_syntax_and_containerd_reads_it_anew() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        file::ensure(&host.path(CONFIGURATION), "# For 1.x.\nversion = 2\n", file::PUBLIC).unwrap();
        assert!(!ensure(&host, &ComponentSettings::default()).await.unwrap());
        let specified = settings(serde_json::json!({
            "file": {
                "debug": {"level": "warn"},
                "plugins": {"io.containerd.nri.v1.nri": {"disable": false, "plugin_request_timeout": "2s"}},
            },
            "mirrors": {"*": ["http://10.0.0.1:5000"], "docker.io": ["https://a.example.com", "https://b"]},
        }));
        assert!(ensure(&host, &specified).await.unwrap());
        assert!(!ensure(&host, &specified).await.unwrap());
        assert_eq!(
            read(&host, SPECIFIED).unwrap(),
            "version = 2\n[\"debug\"]\n\"level\" = \"warn\"\n[\"plugins\".\"io.containerd.nri.v1.nri\"]\n\
             \"disable\" = false\n\"plugin_request_timeout\" = \"2s\"\n"
        );
        assert_eq!(
            read(&host, "/etc/containerd/certs.d/docker.io/hosts.toml").unwrap(),
            "[host.\"https://a.example.com\"]\n  capabilities = [\"pull\", \"resolve\"]\n\
             [host.\"https://b\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
        );
        assert!(
            read(&host, "/etc/containerd/certs.d/_default/hosts.toml").unwrap().contains("10.0.0.1:5000")
        );
        assert!(ensure(&host, &ComponentSettings::default()).await.unwrap(), "it is taken away again");
        assert_eq!(read(&host, SPECIFIED), None);
        let commands = read(&host, "/run/windlass/commands").unwrap();
        assert_eq!(commands.matches("restart --no-block containerd").count(), 2, "{commands}");
    }
}
