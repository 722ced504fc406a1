//! Whether etcd takes writes: the alarms that it has raised, as masters report them.

use std::collections::BTreeMap;

use windlass_bootstrap::config::Role;
use windlass_bootstrap::etcd_upkeep::{AlarmKind, EtcdAlarm};

use super::{Check, CheckKind, Outcome, role};
use crate::health::snapshot::Snapshot;
use crate::spec::cluster::Cluster;

/// As tables and data show what it is about.
pub(super) const NAME: &str = "Etcd";

/// A check of each etcd cluster that has an alarm, whichever master tells of it.
pub(super) fn check(cluster: &Cluster, snapshot: &Snapshot) -> Vec<Check> {
    let mut worst: BTreeMap<&str, &EtcdAlarm> = BTreeMap::new();
    let is_master = |instance: &String| {
        let group = snapshot.cloud.instances.get(instance).and_then(|found| found.instance_group.as_deref());
        group.and_then(|group| role(cluster, group)) == Some(Role::ControlPlane)
    };
    let masters = snapshot.boot.iter().filter(|(instance, _)| is_master(instance));
    for alarm in masters.flat_map(|(_, status)| &status.etcd_alarms) {
        let told = worst.entry(&alarm.etcd).or_insert(alarm);
        // What came of an order is known to the leader's master alone.
        if alarm.note.is_some() && told.note.is_none() {
            *told = alarm;
        }
    }
    let check = |(etcd, alarm): (&str, &EtcdAlarm)| Check {
        kind: CheckKind::Etcd,
        name: etcd.to_owned(),
        instance_group: None,
        outcome: outcome(&cluster.name, alarm),
    };
    worst.into_iter().map(check).collect()
}

fn outcome(cluster: &str, alarm: &EtcdAlarm) -> Outcome {
    let EtcdAlarm { etcd, member, kind, bytes, bytes_in_use, quota, note } = alarm;
    let (why, hint) = match (kind, note) {
        (AlarmKind::NoSpace, note) => {
            let of = if *quota == 0 { String::new() } else { format!(" of {quota} that it may have") };
            let why = format!(
                "etcd {etcd} takes no writes: the database of member {member} is full (alarm NOSPACE; here it has {bytes} \
                 bytes{of}, {bytes_in_use} of them in use)"
            );
            let why = note.as_ref().map_or(why.clone(), |note| format!("{why}; {note}"));
            (why, format!("to make room and clear the alarm: windlass etcd disarm {cluster} --yes"))
        }
        (AlarmKind::Corrupt, _) => (
            format!("etcd {etcd} takes no writes: member {member} holds something else than the others (alarm CORRUPT)"),
            format!("bring it back from a backup: windlass restore cluster {cluster}"),
        ),
        (AlarmKind::Other, _) => (
            format!("etcd {etcd} has raised an alarm by member {member} that this windlass doesn't know"),
            "on a master, `etcdctl alarm list` says what it is".to_owned(),
        ),
    };
    Outcome::Fail { why, hint: Some(hint) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::sample::cluster;
    use crate::health::checks::tests::healthy;

    fn alarm(kind: AlarmKind, note: Option<&str>) -> EtcdAlarm {
        EtcdAlarm {
            etcd: "main".to_owned(),
            member: "a".to_owned(),
            kind,
            bytes: 2_147_483_648,
            bytes_in_use: 1000,
            quota: 2_147_483_648,
            note: note.map(str::to_owned),
        }
    }

    fn told(alarms: &[EtcdAlarm]) -> Vec<(String, String)> {
        let mut snapshot = healthy();
        for (instance, status) in &mut snapshot.boot {
            let group = snapshot.cloud.instances[instance].instance_group.as_deref();
            let is_master = group.and_then(|group| role(&cluster(), group)) == Some(Role::ControlPlane);
            // Nobody believes what a node says of etcd.
            let lie = alarm(AlarmKind::Corrupt, None);
            status.etcd_alarms = if is_master { alarms.to_vec() } else { vec![lie] };
        }
        let checks = check(&cluster(), &snapshot).into_iter();
        let told = checks.map(|check| match check.outcome {
            Outcome::Fail { why, hint } => (why, hint.unwrap()),
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    #[test]
    fn a_full_etcd_is_told_once_with_the_command_that_clears_it_and_what_came_of_it() {
        assert_eq!(told(&[]), []);
        let full = alarm(AlarmKind::NoSpace, None);
        let tried = alarm(AlarmKind::NoSpace, Some("1900000000 of 2147483648 bytes are still in use"));
        let [(why, hint)] = told(&[full, tried]).try_into().unwrap();
        assert!(why.starts_with("etcd main takes no writes: the database of member a is full"), "{why}");
        assert!(why.ends_with("are still in use"), "{why}");
        assert!(hint.ends_with(&format!("windlass etcd disarm {} --yes", cluster().name)), "{hint}");
    }

    #[test]
    fn a_corrupt_etcd_is_not_to_be_disarmed() {
        let [(why, hint)] = told(&[alarm(AlarmKind::Corrupt, None)]).try_into().unwrap();
        assert!(why.contains("CORRUPT") && hint.contains("windlass restore cluster"), "{why} {hint}");
    }
}
