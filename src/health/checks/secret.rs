//! Whether the keys, and other secrets, that the state holds can be used.

use super::{Check, CheckKind, Outcome};
use crate::health::snapshot::Snapshot;
use crate::spec::cluster::Cluster;
use crate::state::Damage;

/// As tables and data show what it is about.
pub(super) const NAME: &str = "Secret";

/// A check of each that can't: a secret that is sound has none.
pub(super) fn check(_: &Cluster, snapshot: &Snapshot) -> Vec<Check> {
    snapshot.state.damaged_secrets.iter().map(secret).collect()
}

/// What machines are made with, and can't be read any more, shows only when the next one boots.
fn secret(damage: &Damage) -> Check {
    let outcome = Outcome::Fail { why: damage.to_string(), hint: Some(damage.hint()) };
    let name = damage.key.rsplit('/').next().unwrap_or_default().trim_end_matches(".json").to_owned();
    Check { kind: CheckKind::Secret, name, instance_group: None, outcome }
}
