//! Whether machines can go from what they run to what is asked for.

use std::collections::BTreeMap;

use crate::aws::facts::ImageVersions;
use crate::cloud::fleet::Instance;
use crate::spec::problem::Problem;
use crate::spec::versions::{ControlPlane, Version, check_control_plane_step, check_etcd_step};

/// What a machine runs, by its image.
pub type Versions = ImageVersions;

/// What a specification asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its Kubernetes, where that can be read.
    pub kubernetes: Option<ControlPlane>,
    /// Its etcd.
    pub etcd: Option<Version>,
}

/// Why masters can't be given what is asked for yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("masters of `{cluster}` run something else than what was applied last: {}", machines.join("; "))]
pub struct Refused {
    /// The cluster's name.
    pub cluster: String,
    /// Each machine that can't take the step, and why.
    pub machines: Vec<String>,
    /// What to do about it.
    pub hint: String,
}

/// Whether two are of the same minor versions.
pub(super) fn is_of_the_same_minors(one: Wanted, other: Wanted) -> bool {
    let minor = |version: Version| (version.major, version.minor);
    let minors = |wanted: Wanted| {
        let kubernetes = wanted.kubernetes.map(|it| (minor(it.programs), minor(it.acts_as)));
        (kubernetes, wanted.etcd.map(minor))
    };
    minors(one) == minors(other)
}

/// Refuses where a machine can't go from what it runs to what is wanted in one step. `reached` is the newest version as which a
/// control plane of this cluster was ever asked to act, where that is known: programs that are newer act as it.
pub(super) fn judge(
    cluster: &str,
    machines: &[Instance],
    held: &BTreeMap<String, Versions>,
    reached: Option<Version>,
    wanted: Wanted,
) -> Result<(), Refused> {
    let refused: Vec<(String, Option<String>)> = machines
        .iter()
        .filter_map(|machine| {
            let problem =
                step(machine, held.get(&machine.image).copied().unwrap_or_default(), reached, wanted)?;
            Some((format!("{} ({}): {}", machine.id, machine.group, problem.message), problem.hint))
        })
        .collect();
    let Some((_, first)) = refused.first() else { return Ok(()) };
    let hint = format!(
        "{}; machines get what was applied when they are replaced: one after the other, end each in EC2, and wait until its \
         successor is there: windlass validate cluster {cluster} --wait 10m",
        first.as_deref().unwrap_or("stay with what was applied")
    );
    let machines = refused.into_iter().map(|(told, _)| told).collect();
    Err(Refused { cluster: cluster.to_owned(), machines, hint })
}

/// Why a machine can't take the step.
fn step(machine: &Instance, runs: Versions, reached: Option<Version>, wanted: Wanted) -> Option<Problem> {
    let Some(kubernetes) = runs.kubernetes else {
        let image = &machine.image;
        let message = format!("neither its image {image} nor a revision says which Kubernetes it runs");
        return Some(Problem::at("", message).hint("its successor's image says it"));
    };
    let minor = |version: Version| (version.major, version.minor);
    let acts_as = reached.filter(|reached| minor(*reached) < minor(kubernetes)).unwrap_or(kubernetes);
    let runs_now = ControlPlane { programs: kubernetes, acts_as };
    if let Err(problem) = check_control_plane_step(runs_now, wanted.kubernetes?) {
        return Some(problem);
    }
    let (true, Some(etcd), Some(wanted)) = (machine.is_master, runs.etcd, wanted.etcd) else { return None };
    check_etcd_step(etcd, wanted).err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::fleet::State;

    fn versions(kubernetes: &str, etcd: &str) -> Versions {
        Versions { kubernetes: Version::parse(kubernetes), etcd: Version::parse(etcd) }
    }

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    fn wanted(kubernetes: &str, etcd: &str) -> Wanted {
        Wanted { kubernetes: Some(ControlPlane::plain(version(kubernetes))), etcd: Some(version(etcd)) }
    }

    fn machine(id: &str, image: &str) -> Instance {
        Instance {
            id: id.to_owned(),
            group: "masters.demo".to_owned(),
            state: State::Running,
            is_master: true,
            runs_api_server: true,
            image: image.to_owned(),
            is_spot: false,
            is_pooled: false,
        }
    }

    fn told(held: &[(&str, &str, &str)], kubernetes: &str, etcd: &str) -> String {
        let machines: Vec<Instance> =
            held.iter().map(|(id, _, _)| machine(id, &format!("ami-{id}"))).collect();
        let held =
            held.iter().map(|(id, kubernetes, etcd)| (format!("ami-{id}"), versions(kubernetes, etcd)));
        match judge("demo", &machines, &held.collect(), None, wanted(kubernetes, etcd)) {
            Ok(()) => "nothing is wrong".to_owned(),
            Err(refused) => format!("{refused} (hint: {})", refused.hint),
        }
    }

    #[test]
    fn every_master_must_be_able_to_take_the_step() {
        let up = told(&[("a", "1.35.4", "3.6.16"), ("b", "1.36.0", "3.6.16")], "1.36.3", "3.6.16");
        assert_eq!(up, "nothing is wrong");
        let skipped = told(&[("a", "1.35.4", "3.6.16"), ("b", "1.34.1", "3.6.16")], "1.36.3", "3.6.16");
        assert!(skipped.contains("b (masters.demo): `1.34.1` can't be changed to `1.36.3`"), "{skipped}");
        assert!(!skipped.contains("a (masters.demo)"), "{skipped}");
        assert!(skipped.contains("first go to 1.35"), "{skipped}");
        assert!(skipped.ends_with("windlass validate cluster demo --wait 10m)"), "{skipped}");
        let down = told(&[("a", "1.35.4", "3.6.16"), ("b", "1.36.0", "3.6.16")], "1.35.4", "3.6.16");
        assert!(down.contains("b (masters.demo): `1.36.0` can't be changed to `1.35.4`"), "{down}");
    }

    #[test]
    fn etcd_s_members_must_be_able_to_take_theirs() {
        let old = told(&[("a", "1.35.4", "3.5.21"), ("b", "1.35.4", "3.5.33")], "1.36.3", "3.6.16");
        assert!(old.contains("a (masters.demo): etcd `3.5.21` can't be changed to `3.6.16`"), "{old}");
        assert!(!old.contains("b (masters.demo)"), "{old}");
    }

    #[test]
    fn masters_that_never_acted_as_their_own_version_can_go_back() {
        let held = BTreeMap::from([("ami-1".to_owned(), versions("1.36.3", "3.6.16"))]);
        let machines = [machine("i-1", "ami-1")];
        let back = wanted("1.35.4", "3.6.16");
        let judged = |reached| judge("demo", &machines, &held, reached, back);
        assert_eq!(judged(Some(version("1.35.4"))), Ok(()));
        judged(Some(version("1.36.3"))).unwrap_err();
        judged(None).unwrap_err();
    }

    #[test]
    fn a_machine_of_which_nothing_says_what_it_runs_is_refused() {
        let wanted = wanted("1.36.3", "3.6.16");
        let machines = [machine("i-1", "ami-gone")];
        let refused = judge("demo", &machines, &BTreeMap::new(), None, wanted).unwrap_err();
        assert!(refused.to_string().contains("neither its image ami-gone nor a revision"), "{refused}");
    }

    #[test]
    fn only_another_minor_version_is_a_step() {
        let now = wanted("1.36.3", "3.6.16");
        assert!(is_of_the_same_minors(now, wanted("1.36.1", "3.6.1")));
        assert!(!is_of_the_same_minors(now, wanted("1.35.3", "3.6.16")));
        assert!(!is_of_the_same_minors(now, wanted("1.36.3", "3.5.33")));
        let kubernetes = now.kubernetes.map(|it| ControlPlane { acts_as: version("1.35.4"), ..it });
        assert!(!is_of_the_same_minors(now, Wanted { kubernetes, ..now }), "it acts as another");
    }
}
