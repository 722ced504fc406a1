//! Whether there is a backup of etcd that is young enough, and that could be restored.

use jiff::Timestamp;
use windlass_bootstrap::config::Role;

use super::{Check, CheckKind, Outcome, role};
use crate::health::snapshot::{BackupsView, Snapshot};
use crate::spec::cluster::Cluster;
use crate::spec::quantity;

/// As tables and data show what it is about.
pub(super) const NAME: &str = "Backup";

/// How many backups may be missing in a row, and how many intervals a proof may take: a leader that changes costs one.
const MISSED: i64 = 3;

/// A proof takes a while with a large etcd, whatever the interval.
const PROOF_SECONDS: i64 = 60 * 60;

/// One check, where something is wrong, or a master has run for long enough that there must be a backup.
pub(super) fn check(cluster: &Cluster, snapshot: &Snapshot) -> Vec<Check> {
    let outcome = outcome(cluster, snapshot);
    let check = |outcome| Check {
        kind: CheckKind::Backup,
        name: cluster.name.clone(),
        instance_group: None,
        outcome,
    };
    outcome.map(check).into_iter().collect()
}

fn outcome(cluster: &Cluster, snapshot: &Snapshot) -> Option<Outcome> {
    let BackupsView { newest, newest_proof, failure } = &snapshot.backups;
    let patience = i64::from(cluster.backups.interval_seconds) * MISSED;
    if let Some((id, why)) = failure {
        return Some(Outcome::Fail {
            why: format!("the backup {id} can't be restored: {why}"),
            hint: Some(format!("windlass get backups {}", cluster.name)),
        });
    }
    let running = running_for(cluster, snapshot)?;
    let age = newest.map(|newest| seconds(snapshot.now, newest.moment()));
    if age.is_none_or(|age| age > patience) && running > patience {
        let why = match age {
            None => "there is no backup of etcd".to_owned(),
            Some(age) => format!("the newest backup of etcd is {} old", minutes(age)),
        };
        let hint = "the report of a master says why none is made: windlass get instances -o yaml; an image with an older agent \
                    makes none";
        return Some(Outcome::Fail { why, hint: Some(hint.to_owned()) });
    }
    let proven = newest_proof.as_ref().map(|proof| seconds(snapshot.now, proof.proven));
    let longest = patience.max(PROOF_SECONDS);
    if newest.is_some() && proven.is_none_or(|age| age > longest) && running > longest {
        let why = match proven {
            None => "no backup of etcd has been tried".to_owned(),
            Some(age) => format!("the newest backup of etcd that could be restored was tried {} ago", minutes(age)),
        };
        let hint = "the report of a master says why: windlass get instances -o yaml";
        return Some(Outcome::Fail { why, hint: Some(hint.to_owned()) });
    }
    newest.map(|_| Outcome::Pass)
}

/// For how many seconds the cluster has had a master, by the one that runs for longest; nothing without one.
fn running_for(cluster: &Cluster, snapshot: &Snapshot) -> Option<i64> {
    let masters = snapshot.cloud.instances.values().filter(|instance| {
        let group = instance.instance_group.as_deref();
        instance.state == "running" && group.and_then(|it| role(cluster, it)) == Some(Role::ControlPlane)
    });
    masters.filter_map(|master| Some(seconds(snapshot.now, master.launched?))).max()
}

fn seconds(now: Timestamp, then: Timestamp) -> i64 {
    now.as_second().saturating_sub(then.as_second())
}

fn minutes(seconds: i64) -> String {
    quantity(u64::try_from(seconds / 60).unwrap_or_default(), "minute")
}

/// The newest backup that could be restored, in a line: `proven 12 minutes ago, 1,204 keys, 4 s`.
pub(super) fn line(snapshot: &Snapshot) -> Option<String> {
    let proof = snapshot.backups.newest_proof.as_ref()?;
    let age = minutes(seconds(snapshot.now, proof.proven));
    let keys = thousands(proof.keys.values().sum());
    Some(format!("proven {age} ago, {keys} keys, {:.0} s", proof.seconds))
}

/// A number with its thousands apart.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use windlass_bootstrap::backup::BackupId;

    use super::*;
    use crate::assets::sample::cluster;
    use crate::health::checks::tests::{healthy, now, proof};

    /// A cluster whose masters have run for two hours.
    fn old() -> Snapshot {
        let mut snapshot = healthy();
        snapshot.cloud.instances.values_mut().for_each(|instance| instance.launched = Some(ago(120)));
        snapshot
    }

    fn told(view: BackupsView) -> Option<String> {
        match outcome(&cluster(), &Snapshot { backups: view, ..old() }) {
            Some(Outcome::Fail { why, hint }) => {
                assert!(hint.is_some());
                Some(why)
            }
            Some(Outcome::Pass) => None,
            other => panic!("{other:?}"),
        }
    }

    fn ago(minutes: i64) -> Timestamp {
        Timestamp::from_second(now().as_second() - minutes * 60).unwrap()
    }

    #[test]
    fn a_backup_must_be_there_be_young_and_be_proven() {
        let none = BackupsView::default();
        assert_eq!(told(none.clone()).unwrap(), "there is no backup of etcd");
        let young = BackupsView { newest: Some(BackupId::at(ago(20))), ..none.clone() };
        assert_eq!(told(young.clone()).unwrap(), "no backup of etcd has been tried");
        let good = BackupsView { newest_proof: Some(proof(ago(20))), ..young.clone() };
        assert_eq!(told(good), None);
        let stale = BackupsView { newest_proof: Some(proof(ago(70))), ..young.clone() };
        assert!(told(stale).unwrap().ends_with("was tried 70 minutes ago"));
        let newest = Some(BackupId::at(ago(50)));
        let old = BackupsView { newest, newest_proof: Some(proof(ago(50))), ..none };
        assert_eq!(told(old).unwrap(), "the newest backup of etcd is 50 minutes old");
        let bad = BackupsView { failure: Some((BackupId::at(ago(20)), "torn".to_owned())), ..young };
        assert!(told(bad).unwrap().ends_with("can't be restored: torn"));
    }

    #[test]
    fn a_cluster_that_has_just_come_up_needs_no_backup_yet() {
        let mut young = healthy();
        young.backups = BackupsView::default();
        young.cloud.instances.values_mut().for_each(|instance| instance.launched = Some(ago(5)));
        assert_eq!(outcome(&cluster(), &young), None);
    }

    #[test]
    fn a_line_says_when_a_backup_was_proven_and_what_was_in_it() {
        let mut snapshot = healthy();
        snapshot.backups.newest_proof = Some(proof(ago(12)));
        assert_eq!(line(&snapshot).unwrap(), "proven 12 minutes ago, 1,204 keys, 4 s");
        assert_eq!(["0", "999", "1,000", "1,234,567"], [0, 999, 1000, 1_234_567].map(thousands).as_slice());
    }
}
