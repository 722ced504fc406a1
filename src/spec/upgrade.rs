//! What an upgrade to another Kubernetes version changes in a specification.
//!
//! The version is the cluster's. An instance group follows it by itself unless its image is named with the old version
//! in it.

use serde::Serialize;

use super::default;
use super::documents::Documents;
use super::problem::Problem;
use super::resolve::text::is_of_a_distribution;
use super::v1alpha2::{Cluster, InstanceGroup, InstanceGroupRole, Object};
use super::versions::{self, KUBERNETES_MINORS, Version};

/// The field that holds the version.
const VERSION_PATH: &str = "spec.kubernetesVersion";
/// The field that holds the version as which the control plane acts.
const EMULATED_PATH: &str = "spec.emulatedVersion";

/// What an upgrade changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Upgrade {
    /// The version that the cluster has now.
    pub from: Version,
    /// The version that it shall have.
    pub to: Version,
    /// Each change, in the order in which it is shown.
    pub changes: Vec<PropertyChange>,
    /// The documents that change, as they shall be.
    pub written: Documents<Option<Cluster>>,
    /// Groups whose image is named by its id, or by a parameter that holds one, which doesn't say what is in it.
    pub unknown_images: Vec<String>,
}

/// One property that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PropertyChange {
    /// `Cluster`, or `InstanceGroup/<name>`.
    pub item: String,
    /// `KubernetesVersion`, `EmulatedVersion` or `Image`.
    pub property: &'static str,
    /// What it is.
    pub old: String,
    /// What it shall be.
    pub new: String,
}

/// How an upgrade is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// At once.
    #[default]
    Direct,
    /// First masters run the new version and act as the old one, at which nodes stay.
    Soak,
}

/// Makes out what an upgrade changes: to the wanted version, or to the newest that windlass knows. Fails when the
/// version is none, is not an upgrade, or can't be reached in one step.
pub fn propose(documents: &Documents, wanted: Option<&str>, way: Way) -> Result<Upgrade, Problem> {
    let (from, emulated) = versions_of(documents)?;
    let to = match wanted {
        Some(wanted) => parse(wanted)?,
        None => newest(from)?,
    };
    if let Some(emulated) = emulated {
        let message = format!("the control plane is on its way from {emulated} to {from}");
        return Err(Problem::at(EMULATED_PATH, message)
            .hint("end that first: windlass upgrade finish, or windlass upgrade back"));
    }
    check(from, to)?;
    let is_soak = way == Way::Soak;
    if is_soak && from.minor == to.minor && from != to {
        let message = format!("{to} is of the same minor version as {from}, and acts as that in any case");
        return Err(Problem::at(VERSION_PATH, message).hint("leave --soak out"));
    }
    let mut upgrade = Upgrade::between(from, to);
    if from != to {
        upgrade.cluster(documents, to, is_soak.then_some(from));
        upgrade.instance_groups(documents, |group| !is_soak || is_master(group));
    }
    Ok(upgrade)
}

/// Makes out what ends a soak: the control plane acts as what it is, and nodes get it, too. Fails where there is none.
pub fn finish(documents: &Documents) -> Result<Upgrade, Problem> {
    let (to, from) = soaking(documents)?;
    let mut upgrade = Upgrade::between(from, to);
    upgrade.cluster(documents, to, None);
    upgrade.instance_groups(documents, |group| !is_master(group));
    Ok(upgrade)
}

/// Makes out what takes a soak back: masters run the old version again. Fails where there is none.
pub fn back(documents: &Documents) -> Result<Upgrade, Problem> {
    let (from, to) = soaking(documents)?;
    let mut upgrade = Upgrade::between(from, to);
    upgrade.cluster(documents, to, None);
    upgrade.instance_groups(documents, is_master);
    Ok(upgrade)
}

/// The version of masters, and the one as which they act.
fn soaking(documents: &Documents) -> Result<(Version, Version), Problem> {
    let (version, emulated) = versions_of(documents)?;
    let none = || {
        let message = format!("the control plane acts as {version}, which it is: no upgrade is under way");
        Problem::at(EMULATED_PATH, message)
            .hint("one in two steps is begun with: windlass upgrade cluster --soak")
    };
    Ok((version, emulated.ok_or_else(none)?))
}

fn versions_of(documents: &Documents) -> Result<(Version, Option<Version>), Problem> {
    let (full, _) = default::fill(&documents.cluster, &documents.instance_groups);
    let emulated = full.spec.emulated_version.as_deref().map(parse).transpose()?;
    Ok((parse(full.spec.kubernetes_version.as_deref().unwrap_or_default())?, emulated))
}

fn is_master(group: &InstanceGroup) -> bool {
    group.spec.role == Some(InstanceGroupRole::Master)
}

fn parse(text: &str) -> Result<Version, Problem> {
    Version::parse(text).ok_or_else(|| {
        Problem::at(VERSION_PATH, format!("`{text}` is not a Kubernetes version"))
            .hint("write all three numbers, such as `1.36.3`")
    })
}

/// The newest version that can be gone to without being named.
fn newest(from: Version) -> Result<Version, Problem> {
    let newest = parse(versions::default_kubernetes())?;
    if newest <= from {
        return Ok(from);
    }
    if from.major == newest.major && newest.minor - from.minor <= 1 {
        return Ok(newest);
    }
    let next = from.minor + 1;
    Err(Problem::at(VERSION_PATH, format!("Kubernetes {newest} is more than one minor version above {from}"))
        .hint(format!("go one up at a time: --kubernetes-version 1.{next}.<patch>")))
}

fn check(from: Version, to: Version) -> Result<(), Problem> {
    if to < from && (to.major, to.minor) == (from.major, from.minor) {
        return Err(Problem::at(VERSION_PATH, format!("{to} is older than {from}: that is no upgrade"))
            .hint(format!("to go back to it: windlass edit cluster --set {VERSION_PATH}={to}")));
    }
    versions::check_step(from, to).map_err(|problem| Problem { path: VERSION_PATH.to_owned(), ..problem })?;
    if from != to && (to.major != 1 || !KUBERNETES_MINORS.contains(&to.minor)) {
        let (first, last) = (KUBERNETES_MINORS.start(), KUBERNETES_MINORS.end());
        return Err(Problem::at(VERSION_PATH, format!("Kubernetes {to} is not supported"))
            .hint(format!("windlass runs 1.{first} to 1.{last}")));
    }
    Ok(())
}

impl Upgrade {
    fn between(from: Version, to: Version) -> Self {
        Self { from, to, changes: Vec::new(), written: Documents::default(), unknown_images: Vec::new() }
    }

    /// The cluster says `version`, and acts as another one if so.
    fn cluster(&mut self, documents: &Documents, version: Version, emulated: Option<Version>) {
        let old = documents.cluster.spec.clone();
        let mut new = documents.cluster.clone();
        new.spec.kubernetes_version = Some(version.to_string());
        new.spec.emulated_version = emulated.map(|emulated| emulated.to_string());
        let written =
            |text: Option<&String>| text.map_or_else(String::new, |it| it.trim_start_matches('v').into());
        let before = match &old.kubernetes_version {
            None => self.from.to_string(),
            Some(_) => written(old.kubernetes_version.as_ref()),
        };
        let emulated = written(new.spec.emulated_version.as_ref());
        for (property, old, new) in [
            ("KubernetesVersion", before, version.to_string()),
            ("EmulatedVersion", written(old.emulated_version.as_ref()), emulated),
        ] {
            if old != new {
                self.changes.push(PropertyChange { item: Cluster::KIND.to_owned(), property, old, new });
            }
        }
        self.written.cluster = Some(new);
    }

    fn instance_groups(&mut self, documents: &Documents, is_meant: impl Fn(&InstanceGroup) -> bool) {
        for group in documents.instance_groups.iter().filter(|group| is_meant(group)) {
            self.instance_group(group);
        }
    }

    fn instance_group(&mut self, group: &InstanceGroup) {
        let Some(old) = group.spec.image.as_deref() else { return };
        if old.starts_with("ami-") {
            return self.unknown_images.push(group.name().to_owned());
        }
        let Some(image) = self.image(old) else {
            if old.starts_with("ssm:") && !is_of_a_distribution(old) {
                self.unknown_images.push(group.name().to_owned());
            }
            return;
        };
        let mut new = group.clone();
        // The default follows the version by itself, the next time as well.
        new.spec.image = (image != default::image(&self.to.to_string())).then(|| image.clone());
        self.written.instance_groups.push(new);
        self.changes.push(PropertyChange {
            item: format!("{}/{}", InstanceGroup::KIND, group.name()),
            property: "Image",
            old: old.to_owned(),
            new: image,
        });
    }

    /// The image of the new version; `None` where the name doesn't hold the old one. Of windlass's own images the
    /// newest one is meant: when it was built stands in the name, too.
    fn image(&self, old: &str) -> Option<String> {
        let (before, after) = around(old, &self.from.to_string())?;
        match before.split_once('/') {
            Some((owner, "windlass-")) if after.starts_with("-debian-13-") => {
                Some(format!("{owner}/windlass-{}-debian-13-*", self.to))
            }
            _ => Some(format!("{before}{}{after}", self.to)),
        }
    }
}

/// What stands before and after a version in a name; `1.36.3` does not stand in `1.36.31` or `11.36.3`.
fn around<'a>(name: &'a str, version: &str) -> Option<(&'a str, &'a str)> {
    let digit = |character: char| character.is_ascii_digit();
    name.match_indices(version).find_map(|(at, found)| {
        let (before, after) = (&name[..at], &name[at + found.len()..]);
        (!before.ends_with(digit) && !after.starts_with(digit)).then_some((before, after))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn documents(version: Option<&str>, groups: &[InstanceGroup]) -> Documents {
        let mut cluster = Cluster::named("demo.example.com");
        cluster.spec.kubernetes_version = version.map(str::to_owned);
        let (ssh_credentials, additional_objects) = (Vec::new(), Vec::new());
        Documents { cluster, instance_groups: groups.to_vec(), ssh_credentials, additional_objects }
    }

    fn group(name: &str, image: &str) -> InstanceGroup {
        let mut group = InstanceGroup::named(name);
        group.spec.image = (!image.is_empty()).then(|| image.to_owned());
        group
    }

    fn told(from: &str, wanted: Option<&str>) -> String {
        match propose(&documents(Some(from), &[]), wanted, Way::Direct) {
            Ok(upgrade) => upgrade.to.to_string(),
            Err(problem) => {
                format!("{} ({})", problem.message, problem.hint.expect("a refusal says what to do"))
            }
        }
    }

    #[test]
    fn without_a_version_the_newest_that_is_one_step_away_is_meant() {
        let newest = versions::default_kubernetes();
        assert_eq!(told("1.36.0", None), newest);
        assert_eq!(told("1.35.7", None), newest);
        assert_eq!(told(newest, None), newest);
        assert_eq!(told("1.36.99", None), "1.36.99", "a newer patch is kept");
        assert!(
            told("1.34.1", None).contains("--kubernetes-version 1.35.<patch>"),
            "{}",
            told("1.34.1", None)
        );
    }

    #[test]
    fn what_is_no_upgrade_or_too_far_is_refused_with_what_to_do() {
        assert_eq!(told("1.35.2", Some("v1.36.1")), "1.36.1");
        assert_eq!(told("1.33.13", Some("1.34.4")), "1.34.4");
        for (from, wanted, words) in [
            ("1.36.3", "1.36.2", "no upgrade (to go back to it: windlass edit cluster --set"),
            ("1.36.3", "1.35.9", "older minor version"),
            ("1.34.0", "1.36.0", "one minor version at a time"),
            ("1.36.3", "1.37.0", "1.37.0 is not supported (windlass runs 1.33 to 1.36"),
            ("1.36.3", "1.37", "`1.37` is not a Kubernetes version"),
        ] {
            let told = told(from, Some(wanted));
            assert!(told.contains(words), "{from} to {wanted}: {told}");
        }
    }

    #[test]
    fn images_that_are_named_by_the_old_version_are_named_by_the_new_one() {
        let groups = vec![
            group("default", ""),
            group("pinned", "self/windlass-1.36.1-debian-13-amd64-20261101120000"),
            group("shared", "123456789012/windlass-1.36.1-debian-13-arm64-*"),
            group("own", "self/k8s-1.36.1-hardened"),
            group("other", "self/k8s-1.36.11"),
            group("id", "ami-0123456789abcdef0"),
            group("parameter", "ssm:/images/1.36.1/kubernetes"),
            group("latest", "ssm:/images/kubernetes"),
            group("theirs", "ssm:/aws/service/debian/release/13/latest/arm64"),
        ];
        let upgrade = propose(&documents(Some("1.36.1"), &groups), Some("1.36.3"), Way::Direct).unwrap();
        let changes: Vec<_> =
            upgrade.changes.iter().map(|change| (change.item.as_str(), change.new.as_str())).collect();
        assert_eq!(
            changes,
            [
                ("Cluster", "1.36.3"),
                ("InstanceGroup/pinned", "self/windlass-1.36.3-debian-13-*"),
                ("InstanceGroup/shared", "123456789012/windlass-1.36.3-debian-13-*"),
                ("InstanceGroup/own", "self/k8s-1.36.3-hardened"),
                ("InstanceGroup/parameter", "ssm:/images/1.36.3/kubernetes"),
            ]
        );
        assert_eq!(upgrade.unknown_images, ["id", "latest"]);
        let images: Vec<_> =
            upgrade.written.instance_groups.iter().map(|group| group.spec.image.as_deref()).collect();
        assert_eq!(
            images,
            [
                None,
                Some("123456789012/windlass-1.36.3-debian-13-*"),
                Some("self/k8s-1.36.3-hardened"),
                Some("ssm:/images/1.36.3/kubernetes")
            ]
        );
    }

    fn shown(upgrade: &Upgrade) -> Vec<(&str, &str, &str, &str)> {
        let changes = upgrade.changes.iter();
        changes.map(|it| (it.item.as_str(), it.property, it.old.as_str(), it.new.as_str())).collect()
    }

    /// The documents as an upgrade leaves them.
    fn after(documents: &Documents, upgrade: &Upgrade) -> Documents {
        documents.changed(&BTreeSet::new(), &upgrade.written)
    }

    #[test]
    fn a_soak_gives_masters_the_new_version_and_is_finished_for_nodes_or_taken_back() {
        let image = |version: &str| format!("self/k8s-{version}-hardened");
        let mut masters = group("masters", &image("1.35.4"));
        masters.spec.role = Some(InstanceGroupRole::Master);
        let before = documents(Some("1.35.4"), &[masters, group("nodes", &image("1.35.4"))]);
        let soak = propose(&before, Some("1.36.3"), Way::Soak).unwrap();
        assert_eq!(
            shown(&soak),
            [
                ("Cluster", "KubernetesVersion", "1.35.4", "1.36.3"),
                ("Cluster", "EmulatedVersion", "", "1.35.4"),
                ("InstanceGroup/masters", "Image", &image("1.35.4"), &image("1.36.3")),
            ]
        );
        let soaking = after(&before, &soak);
        assert_eq!(
            shown(&finish(&soaking).unwrap()),
            [
                ("Cluster", "EmulatedVersion", "1.35.4", ""),
                ("InstanceGroup/nodes", "Image", &image("1.35.4"), &image("1.36.3")),
            ]
        );
        let taken_back = back(&soaking).unwrap();
        assert!(after(&soaking, &taken_back).say_what(&before), "{:?}", shown(&taken_back));
        let further = propose(&soaking, Some("1.36.4"), Way::Direct).unwrap_err();
        assert!(further.message.contains("on its way from 1.35.4 to 1.36.3"), "{further:?}");
    }

    #[test]
    fn what_is_not_under_way_is_neither_finished_nor_taken_back_and_a_patch_does_not_soak() {
        let documents = documents(Some("1.36.1"), &[]);
        for end in [finish, back] {
            let refused = end(&documents).unwrap_err();
            assert!(refused.hint.unwrap().ends_with("windlass upgrade cluster --soak"));
        }
        let refused = propose(&documents, Some("1.36.3"), Way::Soak).unwrap_err();
        assert_eq!(refused.hint.as_deref(), Some("leave --soak out"));
    }

    #[test]
    fn a_cluster_that_says_no_version_has_the_default_one() {
        let upgrade = propose(&documents(None, &[]), None, Way::Direct).unwrap();
        assert_eq!((upgrade.changes.len(), upgrade.written.is_empty()), (0, true));
    }
}
