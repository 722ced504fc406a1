//! Units for instances: the cluster's, and those of a group, whose word goes before the cluster's.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use windlass_bootstrap::config::UnitConfig;

use super::files::{is_for, told};
use super::{Report, Resolved, all, text};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{ClusterSpec, ExecContainerSpec, HookSpec, InstanceGroupSpec};

const PATH: &str = "spec.hooks";

/// What units' names end with; a name without an ending is that of a service.
const ENDINGS: [&str; 5] = [".service", ".timer", ".path", ".socket", ".mount"];

/// What the machine image and the agent start.
const TAKEN: [&str; 3] = ["containerd.service", "kubelet.service", "windlass-bootstrap.service"];

/// Checks those of the cluster or of a group.
pub(super) fn check(written: Option<&Vec<HookSpec>>, report: &mut Report<'_>) -> Resolved<()> {
    let mut names = BTreeSet::new();
    let units = written.into_iter().flatten().enumerate().map(|(index, hook)| {
        let at = format!("{PATH}[{index}]");
        if hook.name.as_ref().is_some_and(|name| !names.insert(full_name(name))) {
            let problem = Problem::at(format!("{at}.name"), "another hook has this name");
            report.push(problem.hint("choose another one"));
        }
        unit(&at, "", index, hook).or_else(|problems| told(problems, report))
    });
    all(units).map(drop)
}

/// Those of a group's instances, its own first, as with kops. What is wrong with the cluster's was told with the cluster.
pub(super) fn of_group(
    cluster: &ClusterSpec,
    group: &InstanceGroupSpec,
    report: &mut Report<'_>,
) -> Resolved<Vec<UnitConfig>> {
    check(group.hooks.as_ref(), report)?;
    let own = group.hooks.iter().flatten().enumerate().map(|(index, hook)| ("-ig", index, hook));
    let shared = cluster.hooks.iter().flatten().enumerate().map(|(index, hook)| ("", index, hook));
    let mut units: Vec<UnitConfig> = Vec::new();
    for (mark, index, hook) in own.chain(shared) {
        let Ok(unit) = unit("", mark, index, hook) else { continue };
        let is_new = units.iter().all(|other| other.name != unit.name);
        if is_new && is_for(hook.roles.as_ref(), group.role) {
            units.push(unit);
        }
    }
    Ok(units)
}

fn full_name(name: &str) -> String {
    let has_ending = ENDINGS.iter().any(|ending| name.ends_with(ending));
    if has_ending { name.to_owned() } else { format!("{name}.service") }
}

/// One that has no name is called by its place; `mark` tells a group's from the cluster's.
fn unit(at: &str, mark: &str, index: usize, hook: &HookSpec) -> Result<UnitConfig, Vec<Problem>> {
    let mut problems = Vec::new();
    let name = match &hook.name {
        Some(name) => full_name(name),
        None => format!("windlass-hook-{index}{mark}.service"),
    };
    if !is_unit(&name) || TAKEN.contains(&name.as_str()) {
        let problem = Problem::at(format!("{at}.name"), format!("a hook can't be called `{name}`"));
        problems.push(
            problem.hint("use letters, digits, `-`, `_`, `.` and `@`, and no name of Kubernetes' own units"),
        );
    }
    if hook.disabled == Some(true) {
        if hook.name.is_none() {
            let problem = Problem::at(format!("{at}.name"), "this field is missing");
            problems.push(problem.hint("name the unit that is to be stopped"));
        }
        return if problems.is_empty() { Ok(UnitConfig { name, text: None }) } else { Err(problems) };
    }
    for (field, units) in [("requires", &hook.requires), ("before", &hook.before)] {
        for (index, unit) in units.iter().flatten().enumerate().filter(|(_, unit)| !is_unit(unit)) {
            let problem =
                Problem::at(format!("{at}.{field}[{index}]"), format!("`{unit}` is not a unit's name"));
            problems.push(problem.hint("write it with its ending, like `kubelet.service`"));
        }
    }
    let text = match (&hook.manifest, &hook.exec_container) {
        (Some(manifest), None) => manifest_unit(at, &name, manifest, hook, &mut problems),
        (None, Some(container)) => container_unit(at, &name, container, hook, &mut problems),
        _ => {
            let problem = Problem::at(at, "a hook runs either a manifest or a container");
            problems.push(problem.hint("write one of `manifest` and `execContainer`"));
            String::new()
        }
    };
    if problems.is_empty() { Ok(UnitConfig { name, text: Some(text) }) } else { Err(problems) }
}

/// A unit's name (systemd.unit(5)).
fn is_unit(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b":_.\\-@".contains(&byte);
    let stem = name.rsplit_once('.').map_or("", |(stem, _)| stem);
    !stem.is_empty() && name.len() <= 200 && name.bytes().all(known)
}

fn manifest_unit(
    at: &str,
    name: &str,
    manifest: &str,
    hook: &HookSpec,
    problems: &mut Vec<Problem>,
) -> String {
    if manifest.trim().is_empty() {
        let problem = Problem::at(format!("{at}.manifest"), "there is nothing in it");
        problems.push(problem.hint("write the lines of the `[Service]` section"));
    }
    if hook.use_raw_manifest == Some(true) {
        for (field, written) in [("requires", &hook.requires), ("before", &hook.before)] {
            if written.as_ref().is_some_and(|units| !units.is_empty()) {
                let problem = Problem::at(format!("{at}.{field}"), "a raw manifest says this itself");
                problems.push(problem.hint("write it into the manifest's `[Unit]` section"));
            }
        }
        return manifest.to_owned();
    }
    if manifest.lines().any(|line| line.trim_start().starts_with('[')) {
        let problem = Problem::at(format!("{at}.manifest"), "it has sections of its own");
        problems.push(
            problem.hint("write `useRawManifest: true`, or the lines of the `[Service]` section alone"),
        );
    }
    format!("{}\n[Service]\n{}\n", head(name, hook, &[]), manifest.trim_end())
}

/// The `[Unit]` section.
fn head(name: &str, hook: &HookSpec, after: &[&str]) -> String {
    let mut text = format!("[Unit]\nDescription=Hook {name} of the specification\n");
    let listed = [("Requires", hook.requires.as_deref()), ("Before", hook.before.as_deref())];
    for (key, units) in listed {
        for unit in units.unwrap_or_default() {
            let _ = writeln!(text, "{key}={unit}");
        }
    }
    for unit in after {
        let _ = writeln!(text, "Requires={unit}\nAfter={unit}");
    }
    text
}

/// A unit that runs a container, with the machine's network and all of its rights, as with kops: the machine's root is at
/// `/rootfs`.
fn container_unit(
    at: &str,
    name: &str,
    container: &ExecContainerSpec,
    hook: &HookSpec,
    problems: &mut Vec<Problem>,
) -> String {
    let field = |field: &str| format!("{at}.execContainer.{field}");
    if hook.use_raw_manifest == Some(true) {
        let problem = Problem::at(format!("{at}.useRawManifest"), "a container has no manifest");
        problems.push(problem.hint("leave it out"));
    }
    let image = match container.image.as_deref().map(text::image_reference) {
        Some(Ok(image)) => full_reference(&image),
        Some(Err(problem)) => {
            problems.push(Problem { path: field("image"), ..problem });
            String::new()
        }
        None => {
            let problem = Problem::at(field("image"), "this field is missing");
            problems.push(problem.hint("name the container's image"));
            String::new()
        }
    };
    let environment = container.environment.iter().flatten();
    let environment: Vec<String> = environment.map(|(name, value)| format!("{name}={value}")).collect();
    let words = container.command.iter().flatten();
    if words.chain(&environment).any(|word| word.contains(char::is_control)) {
        let problem = Problem::at(at, "a word of the command or the environment has more than one line");
        problems.push(problem.hint("write a `manifest`, or put it into a file with `fileAssets`"));
    }
    let id = name.trim_end_matches(".service").replace(['@', ':', '\\'], "-");
    let mut run = String::from(
        "ctr --namespace k8s.io run --rm --privileged --net-host --mount type=bind,src=/,dst=/rootfs,options=rbind:rslave",
    );
    for variable in &environment {
        let _ = write!(run, " --env {}", quoted(variable));
    }
    let _ = write!(run, " {image} {id}");
    for word in container.command.iter().flatten() {
        let _ = write!(run, " {}", quoted(word));
    }
    let head = head(name, hook, &["containerd.service"]);
    // A container of that name may be left of a machine that lost power.
    let clean = format!("-ctr --namespace k8s.io containers delete {id}");
    format!(
        "{head}\n[Service]\nType=oneshot\nExecStartPre={clean}\nExecStartPre=ctr --namespace k8s.io images pull {image}\n\
         ExecStart={run}\n"
    )
}

/// As containerd knows an image, to which no registry but Docker's has no name.
fn full_reference(image: &str) -> String {
    let (first, rest) = image.split_once('/').unwrap_or(("", image));
    let with_registry = if first.contains(['.', ':']) || first == "localhost" {
        image.to_owned()
    } else if first.is_empty() {
        format!("docker.io/library/{rest}")
    } else {
        format!("docker.io/{image}")
    };
    let name = with_registry.rsplit('/').next().unwrap_or_default();
    if name.contains([':', '@']) { with_registry } else { format!("{with_registry}:latest") }
}

/// A word as systemd reads it again as the same (systemd.service(5), "Command lines").
fn quoted(word: &str) -> String {
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_as_containerd_names_them() {
        for (written, named) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("team/tool:v1", "docker.io/team/tool:v1"),
            ("registry.example.com:5000/tool", "registry.example.com:5000/tool:latest"),
            ("quay.io/a/b@sha256:0", "quay.io/a/b@sha256:0"),
        ] {
            assert_eq!(full_reference(written), named);
        }
    }

    #[test]
    fn a_word_of_a_command_is_one_word_for_systemd_and_means_nothing_else() {
        assert_eq!(quoted(r#"a "b" \ %n $HOME"#), r#""a \"b\" \\ %%n $$HOME""#);
    }
}
