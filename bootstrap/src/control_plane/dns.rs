//! Spreads cluster DNS over the machines that there are.
//!
//! The add-on's manifest says nothing about groups of nodes, because each of their changes would then change the
//! masters' configuration. What follows from the groups is set here, under a field manager of its own:
//!
//! - `minDomains`: where there are always two nodes, the second replica rather waits for the second node than joins the
//!   first replica on the first;
//! - an annotation of the pods that says whether they run on nodes or on masters. When that changes, the Deployment
//!   rolls, and so leaves the masters when the first nodes come.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::contract::node_groups::NodeGroups;
use crate::kubernetes::api::ApiError;

/// The annotation: `nodes` or `masters`.
const RUNS_ON: &str = "windlass.dev/runs-on";
const FIELD_MANAGER: &str = "windlass-node-groups";
const NAMESPACE: &str = "kube-system";
const NAME: &str = "coredns";
const HOST: &str = "kubernetes.io/hostname";
/// As many replicas as the manifest has.
const REPLICAS: u32 = 2;

/// Sets what follows from the groups. Returns whether cluster DNS is there and was already, or is now, as it should be;
/// `false` where the add-on isn't applied yet.
pub async fn ensure(client: &Client, groups: &NodeGroups) -> Result<bool, ApiError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let found = deployments.get_opt(NAME).await;
    let found = found.map_err(|error| ApiError::request("show cluster DNS", error))?;
    let Some(found) = found else { return Ok(false) };
    if is_spread(&found, groups) {
        return Ok(true);
    }
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    let patched = deployments.patch(NAME, &parameters, &Patch::Apply(patch(groups))).await;
    patched.map_err(|error| ApiError::request("spread cluster DNS", error))?;
    tracing::info!(runs_on = runs_on(groups), min_domains = min_domains(groups), "spread cluster DNS");
    Ok(true)
}

fn runs_on(groups: &NodeGroups) -> &'static str {
    if groups.any() { "nodes" } else { "masters" }
}

fn min_domains(groups: &NodeGroups) -> u32 {
    groups.least().clamp(1, REPLICAS)
}

fn is_spread(found: &Deployment, groups: &NodeGroups) -> bool {
    let Some(template) = found.spec.as_ref().map(|spec| &spec.template) else { return false };
    let annotations = template.metadata.as_ref().and_then(|metadata| metadata.annotations.as_ref());
    let annotated = annotations.and_then(|annotations| annotations.get(RUNS_ON));
    let constraints = template.spec.iter().flat_map(|spec| spec.topology_spread_constraints.iter().flatten());
    let min = constraints.filter(|constraint| constraint.topology_key == HOST).map(|found| found.min_domains);
    let wanted = i32::try_from(min_domains(groups)).ok();
    annotated.is_some_and(|annotated| annotated == runs_on(groups)) && min.eq([wanted])
}

/// Only what is set here; the rest of the Deployment belongs to the add-on's manifest.
fn patch(groups: &NodeGroups) -> Value {
    let spread = json!({
        "topologyKey": HOST,
        "whenUnsatisfiable": "DoNotSchedule",
        "maxSkew": 1,
        "minDomains": min_domains(groups),
    });
    let template = json!({
        "metadata": {"annotations": {RUNS_ON: runs_on(groups)}},
        "spec": {"topologySpreadConstraints": [spread]},
    });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"template": template},
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::node_groups::Size;

    fn groups(min: u32, max: u32) -> NodeGroups {
        NodeGroups::new([("nodes".to_owned(), Size { min, max })])
    }

    fn patched(groups: &NodeGroups) -> Deployment {
        let mut deployment = patch(groups);
        deployment["spec"]["selector"] = json!({});
        deployment["spec"]["template"]["spec"]["containers"] = json!([]);
        serde_json::from_value(deployment).unwrap()
    }

    #[test]
    fn cluster_dns_waits_for_a_second_node_only_where_there_always_is_one() {
        let min = |min, max| {
            patch(&groups(min, max))["spec"]["template"]["spec"]["topologySpreadConstraints"][0]["minDomains"]
                .clone()
        };
        assert_eq!((min(0, 0), min(0, 5), min(1, 5)), (json!(1), json!(1), json!(1)));
        assert_eq!((min(2, 2), min(300, 300)), (json!(2), json!(2)));
    }

    #[test]
    fn cluster_dns_is_moved_when_the_first_nodes_come_and_when_the_last_go() {
        let (none, one, many) = (groups(0, 0), groups(1, 1), groups(5, 5));
        assert!(is_spread(&patched(&none), &none));
        assert!(!is_spread(&patched(&none), &one), "it leaves the masters");
        assert!(!is_spread(&patched(&one), &none), "it has to go to the masters");
        assert!(!is_spread(&patched(&one), &many));
        assert!(is_spread(&patched(&many), &groups(2, 9)), "nothing changes for it");
        assert!(!is_spread(&Deployment::default(), &none), "nothing is set yet");
    }
}
