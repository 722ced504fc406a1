//! What the specification says of components: flags, fields of their configuration files, resources of their pods. Which field
//! sets what stands in the fields' own rows (`v1alpha2::setting`); what no single field can say, in [`rules`].

mod containerd;
mod rules;
mod value;

use serde::Serialize;
use serde_json::Value;
use windlass_bootstrap::components::{
    API_SERVER, CONTAINERD, CONTROLLER_MANAGER, ComponentSettings, Components, KUBELET, PROXY, SCHEDULER,
};

use super::{Report, Resolved, ranges};
use crate::spec::default;
use crate::spec::problem::Problem;
use crate::spec::shape::{self, Fields, Shape};
use crate::spec::support::shown;
use crate::spec::v1alpha2::setting::{Kind, Setting, Target};
use crate::spec::v1alpha2::{Cluster, InstanceGroup};
use crate::spec::v1alpha2::{ClusterSpec, InstanceGroupRole, InstanceGroupSpec, Object};
use crate::spec::versions::Version;
use crate::spec::yaml::join;

/// What a part of a document says of a component.
#[derive(Debug)]
struct Said {
    /// Where it stands.
    path: String,
    settings: ComponentSettings,
    problems: Vec<Problem>,
}

impl Said {
    fn push(&mut self, field: &str, message: impl Into<String>, hint: impl Into<String>) {
        self.problems.push(Problem::at(format!("{}.{field}", self.path), message).hint(hint));
    }
}

/// What holds for a component as a whole.
type Rules = fn(&mut Said);

/// The components of the control plane: where they stand in a cluster, and what holds for them as a whole.
const OF_MASTERS: [(&str, &str, Rules); 3] = [
    (API_SERVER, "kubeAPIServer", rules::api_server),
    (CONTROLLER_MANAGER, "kubeControllerManager", rules::controller_manager),
    (SCHEDULER, "kubeScheduler", rules::leader_election),
];

/// Reports what is wrong with what a cluster says of its components.
pub(super) fn check(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<()> {
    let mut of_all = of_masters(spec);
    of_all.push((PROXY, proxy(spec)));
    of_all.push((CONTAINERD, containerd(&written(spec.containerd.as_ref()))));
    let (kubelet, version) = (written(spec.kubelet.as_ref()), version(spec));
    of_all.push((KUBELET, kubelet_of::<Cluster>("kubelet", &kubelet, &kubelet, version)));
    let masters = written(spec.master_kubelet.as_ref());
    of_all
        .push((KUBELET, kubelet_of::<Cluster>("masterKubelet", &masters, &over(kubelet, &masters), version)));
    let problems = of_all.into_iter().flat_map(|(_, said)| said.problems);
    all_right(problems.chain(ranges_of_nodes(spec)), report)
}

/// In an IPv6 cluster no controller cuts a range into the Nodes' own.
fn ranges_of_nodes(spec: &ClusterSpec) -> Vec<Problem> {
    let manager = spec.kube_controller_manager.as_ref().filter(|_| ranges::is_ipv6(spec));
    let said = manager.into_iter().flat_map(|manager| {
        [
            ("allocateNodeCIDRs", manager.allocate_node_cid_rs.is_some()),
            ("cidrAllocatorType", manager.cidr_allocator_type.is_some()),
            ("nodeCIDRMaskSize", manager.node_cidr_mask_size.is_some()),
        ]
    });
    let problem = |(field, _): (&str, bool)| {
        let message = "in an IPv6 cluster EC2 says which addresses a Node's pods have";
        Problem::at(format!("spec.kubeControllerManager.{field}"), message).hint("leave it out")
    };
    said.filter(|(_, is_said)| *is_said).map(problem).collect()
}

/// What the instances of a group are told. What is wrong with the cluster's part is told by [`check`].
pub(super) fn of_group(
    cluster: &ClusterSpec,
    group: &InstanceGroupSpec,
    report: &mut Report<'_>,
) -> Resolved<Components> {
    let is_master = group.role == Some(InstanceGroupRole::Master);
    let is_api_server = group.role == Some(InstanceGroupRole::ApiServer);
    let mut of_all = of_masters(cluster);
    of_all.retain(|(component, _)| is_master || (is_api_server && *component == API_SERVER));
    of_all.push((PROXY, proxy(cluster)));
    for (_, said) in &mut of_all {
        said.problems.clear();
    }
    let mut kubelet = written(cluster.kubelet.as_ref());
    if is_master {
        kubelet = over(kubelet, &written(cluster.master_kubelet.as_ref()));
    }
    let own = written(group.kubelet.as_ref());
    of_all.push((
        KUBELET,
        kubelet_of::<InstanceGroup>(
            "kubelet",
            &own,
            &over(kubelet, &own),
            default::version_of(cluster, group.role).and_then(Version::parse),
        ),
    ));
    let own = written(group.containerd.as_ref());
    let mut whole = containerd(&over(written(cluster.containerd.as_ref()), &own));
    whole.problems = containerd(&own).problems;
    of_all.push((CONTAINERD, whole));
    let mut components = Components::new();
    let mut problems = Vec::new();
    for (name, said) in of_all {
        problems.extend(said.problems);
        if !said.settings.is_empty() {
            components.insert(name.to_owned(), said.settings);
        }
    }
    all_right(problems, report)?;
    Ok(components)
}

fn all_right(problems: impl IntoIterator<Item = Problem>, report: &mut Report<'_>) -> Resolved<()> {
    problems.into_iter().map(|problem| report.push(problem)).last().map_or(Ok(()), Err)
}

/// A part of a document as it is written; nothing where it is left out.
fn written<T: Serialize>(part: Option<&T>) -> Value {
    let value = part.and_then(|part| serde_json::to_value(part).ok());
    value.unwrap_or_else(|| Value::Object(serde_json::Map::new()))
}

/// One part over another: what the other says holds where the one says nothing. Mappings are put together, as in kops.
fn over(mut below: Value, above: &Value) -> Value {
    if let Value::Object(above) = above {
        windlass_bootstrap::components::merge(&mut below, above);
    }
    below
}

fn of_masters(spec: &ClusterSpec) -> Vec<(&'static str, Said)> {
    let parts = [
        written(spec.kube_api_server.as_ref()),
        written(spec.kube_controller_manager.as_ref()),
        written(spec.kube_scheduler.as_ref()),
    ];
    let said = OF_MASTERS.into_iter().zip(parts).map(|((component, field, rules), part)| {
        let mut said = read(component, Cluster::KIND, field, &part);
        rules::resources(&mut said);
        rules(&mut said);
        if let Some(emulated) = spec.emulated_version.as_deref().and_then(Version::parse) {
            // All three act as it, or one would ask for what another doesn't know.
            let minor = format!("{}.{}", emulated.major, emulated.minor);
            said.settings.flags.insert("emulated-version".to_owned(), minor);
        }
        (component, said)
    });
    said.collect()
}

fn proxy(spec: &ClusterSpec) -> Said {
    let mut said = read(PROXY, Cluster::KIND, "kubeProxy", &written(spec.kube_proxy.as_ref()));
    rules::resources(&mut said);
    rules::proxy(&mut said, spec);
    said
}

/// The cluster's version of Kubernetes, where it is one.
fn version(spec: &ClusterSpec) -> Option<Version> {
    spec.kubernetes_version.as_deref().and_then(Version::parse)
}

/// A kubelet: what is wrong with what this part says itself, and with the whole where this part says something.
fn kubelet_of<T: Object>(field: &str, own: &Value, whole: &Value, version: Option<Version>) -> Said {
    let said = read(KUBELET, T::KIND, field, own);
    let mut of_whole = read(KUBELET, T::KIND, field, whole);
    of_whole.problems.clear();
    if own.as_object().is_some_and(|own| !own.is_empty()) {
        rules::kubelet(&mut of_whole, version);
    }
    of_whole.problems.splice(0..0, said.problems);
    of_whole
}

fn containerd(part: &Value) -> Said {
    let mut said = read(CONTAINERD, Cluster::KIND, "containerd", part);
    containerd::resolve(&mut said, part);
    said
}

/// Reads all that a part of `spec` sets.
fn read(component: &str, kind: &str, field: &str, part: &Value) -> Said {
    let mut said =
        Said { path: format!("spec.{field}"), settings: ComponentSettings::default(), problems: Vec::new() };
    if let (Some(fields), Value::Object(_)) = (fields(kind, field), part) {
        Walk { component, said: &mut said }.fields("", fields, part);
    }
    said
}

/// The fields of a part of `spec`.
pub(in crate::spec) fn fields(kind: &str, field: &str) -> Option<&'static Fields> {
    let Shape::Object(document) = shape::of_kind(kind)? else { return None };
    let Shape::Object(spec) = &document.fields.get("spec")?.shape else { return None };
    match &spec.fields.get(field)?.shape {
        Shape::Object(fields) => Some(fields),
        Shape::List(item) => match item.as_ref() {
            Shape::Object(fields) => Some(fields),
            _ => None,
        },
        _ => None,
    }
}

struct Walk<'a> {
    component: &'a str,
    said: &'a mut Said,
}

impl Walk<'_> {
    fn fields(&mut self, path: &str, known: &Fields, part: &Value) {
        for (name, value) in part.as_object().into_iter().flatten() {
            let path = join(path, name);
            match known.fields.get(name).map(|field| (&field.row.setting, &field.shape)) {
                Some((Some(setting), _)) => self.set(&path, setting, value),
                Some((None, Shape::Object(inner))) => self.fields(&path, inner, value),
                _ => {}
            }
        }
    }

    fn set(&mut self, path: &str, setting: &Setting, value: &Value) {
        // An empty list or mapping asks for nothing.
        if value.as_array().is_some_and(Vec::is_empty)
            || value.as_object().is_some_and(serde_json::Map::is_empty)
        {
            return;
        }
        let read = match value::read(&setting.kind, value) {
            Ok(read) => read,
            Err((message, hint)) => return self.said.push(path, message, hint),
        };
        let settings = &mut self.said.settings;
        let text = value::flag_text(&read);
        let former = match &setting.to {
            Target::Flag(name) => {
                mounts(self.component, &setting.kind, &text, settings);
                settings.flags.insert(name.to_string(), text.clone()).map(|former| former == text)
            }
            Target::Request(resource) => settings.requests.insert(resource.to_string(), text).map(|_| true),
            Target::Limit(resource) => settings.limits.insert(resource.to_string(), text).map(|_| true),
            Target::File(name) => put(&mut settings.configuration, name, read),
            Target::Environment => return self.environment(path, value),
        };
        if former == Some(false) {
            let hint = "keep one of the two fields: they are the same setting";
            self.said.push(path, "another field says otherwise", hint);
        }
    }

    fn environment(&mut self, path: &str, variables: &Value) {
        for (index, variable) in variables.as_array().into_iter().flatten().enumerate() {
            let path = format!("{path}[{index}]");
            let name = variable["name"].as_str().unwrap_or_default();
            let is_name = !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            if !is_name {
                let path = join(&path, "name");
                self.said.push(
                    &path,
                    format!("`{name}` is not the name of a variable"),
                    "write it like `GOGC`",
                );
            } else if !variable["valueFrom"].is_null() {
                self.said.push(
                    &join(&path, "valueFrom"),
                    "a static pod's variables have plain values",
                    "write `value`",
                );
            } else {
                let value = variable["value"].as_str().unwrap_or_default();
                self.said.settings.environment.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// What the pod of a component must see of the machine for a flag.
fn mounts(component: &str, kind: &Kind, path: &str, settings: &mut ComponentSettings) {
    if component == KUBELET {
        return;
    }
    match kind {
        Kind::Path => {
            settings.files.insert(path.to_owned());
        }
        Kind::Log if path != "-" => {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            settings.folders.insert(folder.to_owned());
        }
        _ => {}
    }
}

/// Puts a value into a configuration, at a path with dots between its names. Returns whether it was the same before, where
/// there was one.
fn put(configuration: &mut serde_json::Map<String, Value>, path: &str, value: Value) -> Option<bool> {
    let Some((first, rest)) = path.split_once('.') else {
        let same = configuration.get(path).map(|former| *former == value);
        configuration.insert(path.to_owned(), value);
        return same;
    };
    let inner = configuration.entry(first).or_insert_with(|| Value::Object(serde_json::Map::new()));
    inner.as_object_mut().and_then(|inner| put(inner, rest, value))
}

/// A text of a configuration.
fn text_at<'a>(settings: &'a ComponentSettings, path: &[&str]) -> Option<&'a str> {
    settings.field(path).and_then(Value::as_str)
}

/// The items of a list in a configuration, as texts.
fn list_at(settings: &ComponentSettings, path: &[&str]) -> Vec<String> {
    settings.field(path).and_then(Value::as_array).into_iter().flatten().map(shown).collect()
}
