//! Versions: which ones windlass runs by default, and which it accepts.

use std::fmt;
use std::sync::LazyLock;

use super::problem::Problem;

/// The list that the image's scripts and the add-ons use, too.
static VERSIONS: LazyLock<serde_json::Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../manifests/versions.json")).unwrap_or_default());

/// The Kubernetes version of new clusters.
pub fn default_kubernetes() -> &'static str {
    VERSIONS["kubernetes"].as_str().unwrap_or_default()
}

/// The etcd version of new clusters.
pub fn default_etcd() -> &'static str {
    VERSIONS["etcd"].as_str().unwrap_or_default()
}

/// The minor versions of Kubernetes 1 that windlass knows how to run.
pub const KUBERNETES_MINORS: std::ops::RangeInclusive<u32> = 33..=36;

/// A version such as `1.36.3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second.
    pub minor: u32,
    /// The third.
    pub patch: u32,
}

impl Version {
    /// Reads `1.36.3` or `v1.36.3`; `None` for anything else, such as a version without a patch or with a suffix.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).split('.').map(number);
        let version = Self { major: numbers.next()??, minor: numbers.next()??, patch: numbers.next()?? };
        numbers.next().is_none().then_some(version)
    }
}

/// Whether a cluster that runs one version may go to another in one step, as Kubernetes's version skew policy has it:
/// within a minor version as one likes, to the next minor version, and no further. Kubelets may be up to three minor
/// versions older than the API server and never newer: they get the cluster's version, so they follow from this.
pub fn check_step(from: Version, to: Version) -> Result<(), Problem> {
    let refused = |why: &str| Problem::at("", format!("`{from}` can't be changed to `{to}`: {why}"));
    if (to.major, to.minor) < (from.major, from.minor) {
        let why =
            "an API server of an older minor version may not read what the newer one has stored in etcd";
        let hint = format!(
            "stay at {}.{}; patches of it can be changed both ways. To run {}.{}, create a new cluster and move \
             workloads to it",
            from.major, from.minor, to.major, to.minor
        );
        return Err(refused(why).hint(hint));
    }
    let next = from.minor + 1;
    if to.major > from.major || to.minor > next {
        let why = "a control plane goes up one minor version at a time";
        return Err(refused(why).hint(format!("first go to {}.{next}, and bring that to AWS", from.major)));
    }
    Ok(())
}

/// Which Kubernetes a control plane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlPlane {
    /// Whose programs masters run.
    pub programs: Version,
    /// As which it acts, which is what it has stored objects as: that one, or the minor version before.
    pub acts_as: Version,
}

impl ControlPlane {
    /// One that acts as what it is.
    pub fn plain(version: Version) -> Self {
        Self { programs: version, acts_as: version }
    }
}

/// Whether a control plane may become another one in one step: as [`check_step`], from the version as which it acts. While
/// that is older than its programs, it can go back to it, and can't go further than they are.
pub fn check_control_plane_step(from: ControlPlane, to: ControlPlane) -> Result<(), Problem> {
    let is_further = to.programs > from.programs && to.acts_as >= from.acts_as;
    // Never older than what it acts as.
    check_step(from.acts_as, to.acts_as).and_then(|()| check_step(from.acts_as, to.programs)).map_err(
        |problem| {
            if !is_further || from.acts_as == from.programs {
                return problem;
            }
            problem.hint(format!("first have it act as {}: windlass upgrade finish", from.programs))
        },
    )
}

/// The first patch of etcd 3.5 from which members go to 3.6: until then some members can be there in the old store of members
/// alone, and are there again in 3.6, which reads the new one only (etcd, "Upgrade etcd from v3.5 to v3.6").
const ETCD_BEFORE_3_6: Version = Version { major: 3, minor: 5, patch: 32 };

/// Whether an etcd cluster that runs one version may go to another in one step: within a minor version as one likes, and to
/// the next minor version, as etcd's upgrade guides have it. A member of an older minor version doesn't open the data of a newer one.
pub fn check_etcd_step(from: Version, to: Version) -> Result<(), Problem> {
    let refused = |why: &str| Problem::at("", format!("etcd `{from}` can't be changed to `{to}`: {why}"));
    let (before, after) = ((from.major, from.minor), (to.major, to.minor));
    let next = (from.major, from.minor + 1);
    if after < before {
        let hint = format!("stay at {}.{}; patches of it can be changed both ways", from.major, from.minor);
        return Err(refused("a member doesn't open what a newer minor version has written").hint(hint));
    }
    if after > next {
        let hint = format!("first go to {}.{}, and replace all masters", next.0, next.1);
        return Err(refused("members go up one minor version at a time").hint(hint));
    }
    if after == (3, 6) && from < ETCD_BEFORE_3_6 {
        let hint = format!("first go to {ETCD_BEFORE_3_6} or a later patch of 3.5, and replace all masters");
        return Err(refused("members that were removed long ago could be there again").hint(hint));
    }
    Ok(())
}

/// A number without a sign and leading zeros.
fn number(text: &str) -> Option<u32> {
    let plain = text == "0" || !text.starts_with('0');
    if plain && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_versions_are_ones_that_are_accepted() {
        let kubernetes = Version::parse(default_kubernetes());
        assert!(
            kubernetes.is_some_and(|version| KUBERNETES_MINORS.contains(&version.minor)),
            "{kubernetes:?}"
        );
        assert!(Version::parse(default_etcd()).is_some_and(|version| version.major == 3));
    }

    #[test]
    fn a_step_goes_to_any_patch_and_to_the_next_minor_version_and_nowhere_else() {
        let step = |from: &str, to: &str| {
            check_step(Version::parse(from).unwrap(), Version::parse(to).unwrap())
                .map_err(|problem| problem.message)
        };
        for (from, to) in [
            ("1.36.3", "1.36.3"),
            ("1.36.3", "1.36.0"),
            ("1.36.3", "1.36.9"),
            ("1.35.9", "1.36.0"),
            ("1.33.13", "1.34.4"),
        ] {
            assert_eq!(step(from, to), Ok(()), "{from} to {to}");
        }
        for (from, to, why) in [
            ("1.36.3", "1.35.9", "older minor version"),
            ("1.35.9", "1.37.0", "one minor version at a time"),
            ("1.33.13", "1.35.4", "one minor version at a time"),
            ("1.34.4", "1.33.13", "older minor version"),
            ("1.36.0", "2.0.0", "one minor version at a time"),
            ("2.0.0", "1.99.0", "older minor version"),
        ] {
            assert!(step(from, to).is_err_and(|message| message.contains(why)), "{from} to {to}");
        }
    }

    #[test]
    fn a_control_plane_that_acts_as_the_version_before_goes_on_or_back_and_no_further() {
        let version = |text: &str| Version::parse(text).unwrap();
        let plain = |text: &str| ControlPlane::plain(version(text));
        let soaking =
            |programs, acts_as| ControlPlane { programs: version(programs), acts_as: version(acts_as) };
        let (before, soak, after) = (plain("1.35.4"), soaking("1.36.3", "1.35.4"), plain("1.36.3"));
        for (from, to) in [
            (before, soak),
            (soak, after),
            (soak, before),
            (before, after),
            (soak, plain("1.35.9")),
            (soak, soaking("1.36.4", "1.35.4")),
        ] {
            assert_eq!(check_control_plane_step(from, to), Ok(()), "{from:?} to {to:?}");
        }
        for (from, to, words) in [
            (after, soak, "older minor version"),
            (after, before, "older minor version"),
            (soak, plain("1.34.1"), "older minor version"),
            (soak, plain("1.37.0"), "one minor version at a time"),
            (before, soaking("1.37.0", "1.36.3"), "one minor version at a time"),
        ] {
            let problem = check_control_plane_step(from, to).unwrap_err();
            assert!(problem.message.contains(words), "{from:?} to {to:?}: {problem:?}");
        }
        let further = check_control_plane_step(soak, plain("1.37.0")).unwrap_err();
        assert!(further.hint.unwrap().ends_with("windlass upgrade finish"));
    }

    #[test]
    fn etcd_goes_up_one_minor_version_at_a_time_and_to_3_6_only_from_a_patch_that_has_mended_its_members() {
        let step = |from: &str, to: &str| {
            check_etcd_step(Version::parse(from).unwrap(), Version::parse(to).unwrap())
                .map_err(|problem| problem.message)
        };
        for (from, to) in [
            ("3.6.16", "3.6.16"),
            ("3.6.16", "3.6.1"),
            ("3.5.3", "3.5.33"),
            ("3.5.32", "3.6.16"),
            ("3.6.16", "3.7.0"),
        ] {
            assert_eq!(step(from, to), Ok(()), "{from} to {to}");
        }
        for (from, to, why) in [
            ("3.5.31", "3.6.16", "could be there again"),
            ("3.5.33", "3.7.0", "one minor version at a time"),
            ("3.6.16", "3.5.33", "doesn't open"),
        ] {
            assert!(step(from, to).is_err_and(|message| message.contains(why)), "{from} to {to}");
        }
    }

    #[test]
    fn no_kubelet_can_be_too_old_for_an_api_server_while_there_are_four_minor_versions() {
        // One may be three older; then nobody has to look at nodes before the control plane goes up.
        assert!(KUBERNETES_MINORS.end() - KUBERNETES_MINORS.start() <= 3);
    }

    #[test]
    fn a_version_has_three_plain_numbers() {
        let version = Version { major: 1, minor: 36, patch: 3 };
        assert_eq!(Version::parse("1.36.3"), Some(version));
        assert_eq!(Version::parse("v1.36.3"), Some(version));
        for wrong in
            ["", "v", "1.36", "1.36.3.4", "1.36.x", "1.36.+3", "1.036.3", "1.36.3-rc.1", "99999999999.1.1"]
        {
            assert_eq!(Version::parse(wrong), None, "{wrong}");
        }
    }
}
