//! Whether the Kubernetes API answers.

use windlass_bootstrap::config::Role;
use windlass_bootstrap::report::BootState;

use super::{Check, CheckKind, Outcome, role, staying};
use crate::health::snapshot::{Instance, Snapshot, Unanswered};
use crate::spec::cluster::Cluster;

/// As tables and data show what it is about.
pub(super) const NAME: &str = "API";

/// One check: of the API.
pub(super) fn check(cluster: &Cluster, snapshot: &Snapshot) -> Vec<Check> {
    let name = format!("api.{}", cluster.name);
    let outcome = match &snapshot.kubernetes {
        Ok(_) => Outcome::Pass,
        Err(unanswered) => api_down(cluster, snapshot, unanswered),
    };
    vec![Check { kind: CheckKind::Api, name, instance_group: None, outcome }]
}

/// While a master boots, its API is not expected to answer.
fn api_down(cluster: &Cluster, snapshot: &Snapshot, unanswered: &Unanswered) -> Outcome {
    let masters = snapshot
        .cloud
        .groups
        .iter()
        .filter(|group| role(cluster, &group.instance_group) == Some(Role::ControlPlane));
    let instances: Vec<&Instance> = masters.flat_map(|group| staying(group, snapshot)).collect();
    let booted = instances.iter().any(|instance| {
        snapshot.boot.get(&instance.id).is_some_and(|status| status.state == BootState::Ready)
    });
    if unanswered.may_come && !booted {
        let masters = match instances.as_slice() {
            [] => "there is no master yet".to_owned(),
            instances => {
                let ids: Vec<&str> = instances.iter().map(|instance| instance.id.as_str()).collect();
                format!("master {} is still booting", ids.join(", "))
            }
        };
        return Outcome::Wait { why: format!("{} ({masters})", unanswered.message) };
    }
    Outcome::Fail { why: unanswered.message.clone(), hint: unanswered.hint.clone() }
}
