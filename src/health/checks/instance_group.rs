//! Whether each instance group is there, as large as it shall be, and replaces what dies.

use super::{Check, CheckKind, Outcome, group_of, staying};
use crate::health::snapshot::{Group, Snapshot};
use crate::spec::cluster::{Cluster, InstanceGroup};

/// As tables and data show what it is about.
pub(super) const NAME: &str = "InstanceGroup";

/// A check of each group that is wanted.
pub(super) fn check(cluster: &Cluster, snapshot: &Snapshot) -> Vec<Check> {
    let groups = cluster.instance_groups.iter();
    groups.map(|wanted| size(wanted, group_of(wanted, snapshot), snapshot)).collect()
}

fn size(wanted: &InstanceGroup, group: Option<&Group>, snapshot: &Snapshot) -> Check {
    let name = &wanted.name;
    let outcome = match group {
        None => Outcome::Fail {
            why: format!("instance group \"{name}\" is missing from AWS"),
            hint: Some("`windlass update cluster` shows what is missing, and makes it with --yes".to_owned()),
        },
        Some(group) => {
            let there = staying(group, snapshot).count();
            if there < group.desired as usize {
                let desired = group.desired;
                let why =
                    format!("instance group \"{name}\" does not have enough instances: {there} of {desired}");
                Outcome::Wait { why }
            } else {
                Outcome::Pass
            }
        }
    };
    // Who waits for an instance that never comes must know why.
    let outcome =
        group.and_then(|group| stopped(group).or_else(|| suspended(wanted, group))).unwrap_or(outcome);
    Check { kind: CheckKind::InstanceGroup, name: name.clone(), instance_group: Some(name.clone()), outcome }
}

/// What keeps a group as large and as alive as it shall be; the other processes of Auto Scaling may rest.
const ESSENTIAL: [&str; 4] = ["HealthCheck", "Launch", "ReplaceUnhealthy", "Terminate"];

fn stopped(group: &Group) -> Option<Outcome> {
    let stopped = group.stopped.as_ref()?;
    let (name, since) = (&group.instance_group, stopped.since());
    Some(Outcome::Fail {
        why: format!("instance group \"{name}\" is stopped since {since}, by `windlass stop cluster`"),
        hint: Some("windlass start cluster --yes".to_owned()),
    })
}

fn suspended(wanted: &InstanceGroup, group: &Group) -> Option<Outcome> {
    let name = &wanted.name;
    let unwanted = group.suspended.iter().filter(|process| !wanted.suspended_processes.contains(*process));
    let processes: Vec<&str> =
        unwanted.map(String::as_str).filter(|process| ESSENTIAL.contains(process)).collect();
    (!processes.is_empty()).then(|| Outcome::Fail {
        why: format!(
            "instance group \"{name}\" doesn't replace what dies: {} suspended on AWS",
            match processes.as_slice() {
                [one] => format!("{one} is"),
                several => format!("{} are", several.join(", ")),
            }
        ),
        hint: Some(format!(
            "aws autoscaling resume-processes --auto-scaling-group-name {} --scaling-processes {}",
            group.name,
            processes.join(" ")
        )),
    })
}
