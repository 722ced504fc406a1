//! Whether each authority is good for long enough that it can be replaced in time.

use jiff::SignedDuration;

use super::{Check, CheckKind, Outcome};
use crate::health::snapshot::{Authority, Snapshot};
use crate::spec::cluster::Cluster;
use crate::spec::quantity;

/// As tables and data show what it is about.
pub(super) const NAME: &str = "Authority";

/// How long before its end an authority is told of: long enough to move a cluster that is used.
const NOTICE: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What to do about it.
const HINT: &str = "this windlass can't replace authorities: make another cluster and move there before that day";

/// A check of each authority.
pub(super) fn check(_: &Cluster, snapshot: &Snapshot) -> Vec<Check> {
    let of = |authority: &Authority| Check {
        kind: CheckKind::Authority,
        name: authority.name.clone(),
        instance_group: None,
        outcome: outcome(authority, snapshot.now),
    };
    snapshot.state.authorities.iter().map(of).collect()
}

/// Certificates are signed for no longer than their authority is good, so that near its end they are renewed ever more
/// often, and after it nobody trusts anybody.
fn outcome(Authority { name, expires }: &Authority, now: jiff::Timestamp) -> Outcome {
    let left = expires.duration_since(now);
    let day = expires.strftime("%Y-%m-%d");
    if left > NOTICE {
        return Outcome::Pass;
    }
    let why = if left.is_positive() {
        let days = quantity(left.as_hours() / 24, "day");
        format!("the authority \"{name}\" expires on {day}, in {days}: nothing that it signs is good for longer")
    } else {
        format!("the authority \"{name}\" has expired on {day}: what it signed is trusted by nobody")
    };
    Outcome::Fail { why, hint: Some(HINT.to_owned()) }
}
