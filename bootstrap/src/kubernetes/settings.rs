//! How what the specification says of a component gets into its static pod: flags, the environment, resources, and what its
//! container must see of the machine.

use serde::Serialize;
use serde_json::{Value, json};

use crate::contract::components::ComponentSettings;
use crate::kubernetes::manifests::{ManifestError, render};

/// The pod of a component: its template, and what it is of its own.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a> {
    /// The template.
    pub name: &'static str,
    /// What its container asks the scheduler for, unless the specification says otherwise.
    pub cpu: &'static str,
    /// The folders of the machine that its container sees anyway.
    pub folders: &'a [&'a str],
}

impl Pod<'_> {
    /// Renders it with its context and with what the specification says.
    pub fn render(&self, mut context: Value, settings: &ComponentSettings) -> Result<String, ManifestError> {
        let flags = settings.flags.iter().map(|(name, value)| format!("--{name}={value}"));
        context["flags"] = json!(flags.collect::<Vec<_>>());
        context["said"] = json!(settings.flags.keys().collect::<Vec<_>>());
        let variable = |(name, value): (&String, &String)| json!({"name": name, "value": value});
        context["environment"] = settings.environment.iter().map(variable).collect();
        context["amounts"] = json!(self.amounts(settings));
        context["mounts"] = json!(self.mounts(settings));
        let text = render(self.name, &context)?;
        match settings.flags.keys().find(|name| times(&text, name) != 1) {
            Some(name) => Err(ManifestError::Twice(self.name, name.clone())),
            None => Ok(text),
        }
    }

    /// Requests and limits, where the specification names any: with windlass's own request, unless it may be more than the
    /// limit.
    fn amounts(&self, settings: &ComponentSettings) -> Vec<Amounts> {
        let ComponentSettings { requests, limits, .. } = settings;
        if requests.is_empty() && limits.is_empty() {
            return Vec::new();
        }
        let mut requests = requests.clone();
        if !limits.contains_key("cpu") {
            requests.entry("cpu".to_owned()).or_insert_with(|| self.cpu.to_owned());
        }
        let amounts = |kind, of: &std::collections::BTreeMap<String, String>| Amounts {
            kind,
            amounts: of.iter().map(|(resource, amount)| [resource.clone(), amount.clone()]).collect(),
        };
        let both = [amounts("requests", &requests), amounts("limits", limits)];
        both.into_iter().filter(|amounts| !amounts.amounts.is_empty()).collect()
    }

    fn mounts(&self, settings: &ComponentSettings) -> Vec<Mount> {
        let seen = |path: &str| {
            self.folders.iter().any(|folder| {
                path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let files = settings.files.iter().map(|path| (path, "File", true));
        let folders = settings.folders.iter().map(|path| (path, "DirectoryOrCreate", false));
        let unseen = files.chain(folders).filter(|(path, _, _)| !seen(path));
        let mount = |(index, (path, kind, read_only)): (usize, (&String, &'static str, bool))| Mount {
            name: format!("specified-{index}"),
            path: path.clone(),
            kind,
            read_only,
        };
        unseen.enumerate().map(mount).collect()
    }
}

/// How often a flag stands in a manifest.
fn times(manifest: &str, name: &str) -> usize {
    let flag = format!("--{name}=");
    let is_it = |line: &&str| {
        let item = line.trim_start().strip_prefix("- ").unwrap_or_default();
        item.trim_start_matches('"').starts_with(&flag)
    };
    manifest.lines().filter(is_it).count()
}

#[derive(Serialize)]
struct Amounts {
    kind: &'static str,
    amounts: Vec<[String; 2]>,
}

#[derive(Serialize)]
struct Mount {
    name: String,
    path: String,
    kind: &'static str,
    read_only: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::retry::{Class, Classed};

    const POD: Pod<'_> = Pod {
        name: "kube-controller-manager",
        cpu: "200m",
        folders: &["/srv/kubernetes/kube-controller-manager"],
    };

    fn rendered(settings: &ComponentSettings) -> Result<Value, ManifestError> {
        let context = json!({
            "image": "i", "cluster": "c", "pod_cidr": "p", "service_cidr": "s", "cipher_suites": "t",
            "signing_duration": "1h", "leader_elect": "false",
        });
        POD.render(context, settings).map(|text| serde_yaml::from_str(&text).unwrap())
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> std::collections::BTreeMap<String, String> {
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn a_flag_of_the_specification_stands_in_the_place_of_a_default() {
        let flags = pairs([("profiling", "true"), ("concurrent-job-syncs", "9")]);
        let pod = rendered(&ComponentSettings { flags, ..ComponentSettings::default() }).unwrap();
        let command = pod["spec"]["containers"][0]["command"].to_string();
        assert!(command.contains("--profiling=true") && !command.contains("--profiling=false"), "{command}");
        assert!(command.contains("--concurrent-job-syncs=9"), "{command}");
    }

    #[test]
    fn a_flag_that_windlass_gives_itself_is_refused_by_name_and_never_given_twice() {
        let flags = pairs([("root-ca-file", "/mine")]);
        let error = rendered(&ComponentSettings { flags, ..ComponentSettings::default() }).unwrap_err();
        assert!(error.to_string().contains("--root-ca-file"), "{error}");
        assert_eq!(error.class(), Class::Permanent);
    }

    #[test]
    fn a_limit_below_windlass_s_own_request_takes_its_place() {
        let limits = pairs([("cpu", "50m")]);
        let pod = rendered(&ComponentSettings { limits, ..ComponentSettings::default() }).unwrap();
        assert_eq!(pod["spec"]["containers"][0]["resources"], json!({"limits": {"cpu": "50m"}}));
        let requests = pairs([("memory", "1Gi")]);
        let pod = rendered(&ComponentSettings { requests, ..ComponentSettings::default() }).unwrap();
        let resources = &pod["spec"]["containers"][0]["resources"];
        assert_eq!(*resources, json!({"requests": {"cpu": "200m", "memory": "1Gi"}}));
    }

    #[test]
    fn a_container_sees_the_files_that_its_flags_name_and_the_folders_that_it_writes_into() {
        let settings = ComponentSettings {
            files: ["/etc/audit.yaml", "/srv/kubernetes/kube-controller-manager/x"].map(str::to_owned).into(),
            folders: ["/var/log/audit".to_owned()].into(),
            ..ComponentSettings::default()
        };
        let pod = rendered(&settings).unwrap();
        let mounts = &pod["spec"]["containers"][0]["volumeMounts"];
        assert_eq!(
            mounts[1],
            json!({"name": "specified-0", "mountPath": "/etc/audit.yaml", "readOnly": true})
        );
        assert_eq!(mounts[2], json!({"name": "specified-1", "mountPath": "/var/log/audit"}));
        assert_eq!(mounts.as_array().unwrap().len(), 3, "what it sees anyway is not mounted again");
        let volume = json!({"name": "specified-1", "hostPath": {"path": "/var/log/audit", "type": "DirectoryOrCreate"}});
        assert_eq!(pod["spec"]["volumes"][2], volume);
    }
}
