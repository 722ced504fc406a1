//! Named checks over a snapshot: a file for each thing that is checked, and its line in `checks!`. Pure.
//!
//! A check's file has a `NAME`, as tables and data show what is checked, and `check`, which makes of the specification and
//! a snapshot any number of [`Check`]s. Reports list them in the order of the lines.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};
use windlass_bootstrap::config::Role;

use super::snapshot::{Group, Instance, Snapshot, harmless};
use crate::spec::cluster::{Cluster, InstanceGroup};

/// Writes the modules of the checks, and [`CheckKind`] with its dispatch, for a list of `module::CheckKind`.
macro_rules! checks {
    ($($module:ident::$kind:ident,)*) => {
        $(mod $module;)*

        /// What a check is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum CheckKind {
            $(#[doc = concat!("See the file `", stringify!($module), ".rs`.")] $kind,)*
        }

        impl CheckKind {
            /// Every kind, in the order of reports.
            const ALL: &'static [Self] = &[$(Self::$kind),*];

            /// As tables and data show it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $module::NAME,)*
                }
            }

            /// The checks of this kind.
            fn check(self, cluster: &Cluster, snapshot: &Snapshot) -> Vec<Check> {
                match self {
                    $(Self::$kind => $module::check(cluster, snapshot),)*
                }
            }
        }
    };
}

checks! {
    api::Api,
    authority::Authority,
    backup::Backup,
    etcd::Etcd,
    instance_group::InstanceGroup,
    machine::Machine,
    node::Node,
    pod::Pod,
    secret::Secret,
}

pub use machine::silent_for;

impl Serialize for CheckKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Pass,
    /// Not yet, and it is expected to come by itself.
    Wait {
        /// What is waited for.
        why: String,
    },
    /// Wrong.
    Fail {
        /// What.
        why: String,
        /// What to do about it.
        hint: Option<String>,
    },
}

/// A named check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is about.
    pub kind: CheckKind,
    /// The name of what it is about.
    pub name: String,
    /// The instance group that it belongs to, if any.
    pub instance_group: Option<String>,
    /// How it went.
    pub outcome: Outcome,
}

/// A node, as `validate` lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeLine {
    /// As the Kubernetes API calls it: the instance's id.
    pub name: String,
    /// Its availability zone.
    pub zone: String,
    /// `control-plane` or `node`.
    pub role: &'static str,
    /// Its host name.
    pub hostname: String,
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
}

/// All checks, by what they are about, in the order of [`CheckKind`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The checks.
    pub checks: Vec<Check>,
    /// The nodes, by name.
    pub nodes: Vec<NodeLine>,
    /// When a backup of etcd was last proven, and what was in it.
    pub backup: Option<String>,
}

impl Report {
    /// Whether every check passes.
    pub fn is_healthy(&self) -> bool {
        !self.checks.is_empty() && self.problems().next().is_none()
    }

    /// The checks that don't pass.
    pub fn problems(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| check.outcome != Outcome::Pass)
    }

    /// The same without the problems of nodes (not masters), if there are at most `limit` of them.
    #[must_use]
    pub fn tolerating(mut self, limit: usize, cluster: &Cluster) -> Self {
        let is_node = |check: &Check| {
            matches!(check.kind, CheckKind::Node | CheckKind::Machine)
                && check.outcome != Outcome::Pass
                && check.instance_group.as_deref().is_some_and(|name| role(cluster, name) == Some(Role::Node))
        };
        let unready: BTreeSet<String> =
            self.checks.iter().filter(|check| is_node(check)).map(|check| check.name.clone()).collect();
        if unready.len() <= limit {
            self.checks.retain(|check| !is_node(check));
        }
        self
    }
}

/// Checks a snapshot against what the specification wants.
pub fn evaluate(cluster: &Cluster, snapshot: &Snapshot) -> Report {
    let mut checks: Vec<Check> =
        CheckKind::ALL.iter().flat_map(|kind| kind.check(cluster, snapshot)).collect();
    checks.iter_mut().for_each(make_harmless);
    checks.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    Report { checks, nodes: node::lines(cluster, snapshot), backup: backup::line(snapshot) }
}

/// Kubelets and containers have their say in what a check says.
fn make_harmless(check: &mut Check) {
    if let Outcome::Wait { why } | Outcome::Fail { why, .. } = &mut check.outcome {
        *why = harmless(why);
    }
}

fn role(cluster: &Cluster, instance_group: &str) -> Option<Role> {
    cluster.instance_groups.iter().find(|group| group.name == instance_group).map(InstanceGroup::role)
}

/// The Auto Scaling group of an instance group.
fn group_of<'a>(wanted: &InstanceGroup, snapshot: &'a Snapshot) -> Option<&'a Group> {
    snapshot.cloud.groups.iter().find(|group| group.instance_group == wanted.name)
}

/// The instances of a group that are there to stay.
fn staying<'a>(group: &'a Group, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Instance> {
    let members = group.members.iter().filter(|member| !member.is_leaving());
    members
        .filter_map(|member| snapshot.cloud.instances.get(&member.instance))
        .filter(|instance| matches!(instance.state.as_str(), "pending" | "running"))
}

#[cfg(test)]
mod tests;
