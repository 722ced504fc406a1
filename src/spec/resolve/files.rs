//! Files for instances: the cluster's, and those of a group, whose word goes before the cluster's.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use windlass_bootstrap::config::FileConfig;

use super::{Report, Resolved, all};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{ClusterSpec, FileAssetSpec, InstanceGroupRole, InstanceGroupSpec};

const PATH: &str = "spec.fileAssets";

/// What is the agent's and the kernel's, and gone or written anew whatever a file there says.
const TAKEN: [&str; 8] =
    ["/dev", "/etc/windlass", "/proc", "/run", "/srv/kubernetes", "/sys", "/tmp", "/var/lib/windlass"];

/// Checks those of the cluster or of a group.
pub(super) fn check(written: Option<&Vec<FileAssetSpec>>, report: &mut Report<'_>) -> Resolved<()> {
    let mut paths = BTreeSet::new();
    let files = written.into_iter().flatten().enumerate().map(|(index, file)| {
        let at = format!("{PATH}[{index}]");
        let roles: Vec<String> = file.roles.iter().flatten().map(|role| format!("{role:?}")).collect();
        if let Some(path) = &file.path
            && !paths.insert((path, roles))
        {
            let problem = Problem::at(format!("{at}.path"), format!("another file is at `{path}`"));
            report.push(problem.hint("keep one of them"));
        }
        read(&at, file).or_else(|problems| told(problems, report))
    });
    all(files).map(drop)
}

/// Those of a group's instances. What is wrong with the cluster's was told with the cluster.
pub(super) fn of_group(
    cluster: &ClusterSpec,
    group: &InstanceGroupSpec,
    report: &mut Report<'_>,
) -> Resolved<Vec<FileConfig>> {
    check(group.file_assets.as_ref(), report)?;
    let both = cluster.file_assets.iter().chain(&group.file_assets).flatten();
    let own = both.filter(|file| is_for(file.roles.as_ref(), group.role));
    let files: BTreeMap<String, FileConfig> =
        own.filter_map(|file| read("", file).ok()).map(|file| (file.path.clone(), file)).collect();
    Ok(files.into_values().collect())
}

/// Whether something is for instances of a role: where none is named, for all.
pub(super) fn is_for(roles: Option<&Vec<InstanceGroupRole>>, role: Option<InstanceGroupRole>) -> bool {
    roles.is_none_or(|roles| roles.is_empty() || role.is_some_and(|role| roles.contains(&role)))
}

fn read(at: &str, file: &FileAssetSpec) -> Result<FileConfig, Vec<Problem>> {
    const MODE: &str = "0440";
    let mut problems = Vec::new();
    let missing = |field: &str, hint: &str| {
        Problem::at(format!("{at}.{field}"), "this field is missing").hint(hint.to_owned())
    };
    if file.name.as_deref().is_none_or(str::is_empty) {
        problems.push(missing("name", "say what the file is for"));
    }
    match &file.path {
        Some(path) => {
            let problem = path_problem(path);
            problems.extend(problem.map(|problem| Problem { path: format!("{at}.path"), ..problem }));
        }
        None => problems.push(missing("path", "say where it goes, such as `/etc/app/settings.yaml`")),
    }
    let is_base64 = file.is_base64.unwrap_or(false);
    match &file.content {
        Some(content) if is_base64 && STANDARD.decode(content.trim()).is_err() => {
            let problem = Problem::at(format!("{at}.content"), "this is not base64");
            problems.push(problem.hint("leave `isBase64` out where the content is plain"));
        }
        Some(_) => {}
        None => problems.push(missing("content", "write what is in the file")),
    }
    let mode = file.mode.as_deref().unwrap_or(MODE);
    if !((3..=4).contains(&mode.len()) && mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit))) {
        let problem = Problem::at(format!("{at}.mode"), format!("`{mode}` is not a mode in octal"));
        problems.push(problem.hint("write it like `0644`"));
    }
    let (Some(path), Some(content), true) = (&file.path, &file.content, problems.is_empty()) else {
        return Err(problems);
    };
    let content = if is_base64 { content.trim() } else { content };
    Ok(FileConfig { path: path.clone(), mode: mode.to_owned(), content: content.to_owned(), is_base64 })
}

fn path_problem(path: &str) -> Option<Problem> {
    const HINT: &str = "write a path like `/etc/app/settings.yaml`";
    let part = |part: &str| !["", ".", ".."].contains(&part) && !part.contains(char::is_control);
    if !path.strip_prefix('/').is_some_and(|parts| parts.split('/').all(part)) {
        return Some(Problem::at("", format!("`{path}` is not the path of a file")).hint(HINT));
    }
    let is_within =
        |taken: &&str| path.strip_prefix(*taken).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let taken = TAKEN.iter().find(|taken| is_within(taken))?;
    Some(
        Problem::at("", format!("what is in `{taken}` is not kept"))
            .hint("choose a place below `/etc` or `/opt`"),
    )
}

/// Reports all of them.
pub(super) fn told<T>(problems: Vec<Problem>, report: &mut Report<'_>) -> Resolved<T> {
    let reported = problems.into_iter().map(|problem| report.push(problem)).last();
    // There is one at least: whoever fails says why.
    Err(reported.unwrap_or_else(|| report.push(Problem::at(PATH, "this can't be read"))))
}
