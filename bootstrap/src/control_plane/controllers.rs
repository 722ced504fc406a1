//! The static pods that need the API: the controller manager and the scheduler.

use std::time::Duration;

use crate::agent::Agent;
use crate::contract::config::{ControlPlaneConfig, NodeConfig};
use crate::host::Host;
use crate::host::file;
use crate::kubernetes::manifests::{
    CIPHER_SUITES, ManifestError, ensure_static_pod, image, render, static_pod,
};
use crate::progress::step::{Done, Step, StepError};

/// Writes the static pods of the controller manager and of the scheduler.
pub const STEP: Step = Step::new("ensure_controllers", Duration::from_mins(1));

/// The pods that start once the API answers.
const CONTROLLERS: [&str; 2] = ["kube-controller-manager", "kube-scheduler"];

/// The step.
pub async fn run(agent: &Agent, control_plane: &ControlPlaneConfig) -> Result<(), StepError> {
    let write = async || ensure(&agent.host, &agent.config, control_plane).map(Done::changed_if);
    STEP.run(&agent.reporter, write).await
}

/// Writes them.
fn ensure(
    host: &Host,
    config: &NodeConfig,
    control_plane: &ControlPlaneConfig,
) -> Result<bool, ManifestError> {
    let mut changed = false;
    for name in CONTROLLERS {
        changed |= ensure_static_pod(host, name, &controller_pod(name, config, control_plane)?)?;
    }
    Ok(changed)
}

/// Removes them, and kube-proxy's, which needs the API as well. Done while the kubelet is down, so that those of an earlier
/// boot don't start before the API and wait out their crash back-off.
pub fn remove(host: &Host) -> Result<bool, ManifestError> {
    let mut changed = false;
    for name in CONTROLLERS.into_iter().chain(["kube-proxy"]) {
        changed |= file::ensure_absent(&static_pod(host, name)).map_err(ManifestError::File)?;
    }
    Ok(changed)
}

fn controller_pod(
    name: &'static str,
    config: &NodeConfig,
    control_plane: &ControlPlaneConfig,
) -> Result<String, ManifestError> {
    let context = serde_json::json!({
        "image": image(&control_plane.images, name)?,
        "cluster": config.cluster,
        "pod_cidr": config.network.pod_cidr,
        "service_cidr": config.network.service_cidr,
        "cipher_suites": CIPHER_SUITES.join(","),
        "signing_duration": format!("{}s", control_plane.certificate_lifetime().as_secs()),
        // A lone master has nobody to elect against, and would only wait out its predecessor's lease.
        "leader_elect": if control_plane.masters > 1 { "true" } else { "false" },
    });
    render(name, &context)
}
