//! The static pods that the API needs in order to come up: etcd and the API server.

use std::time::Duration;

use crate::agent::Agent;
use crate::contract::config::{ControlPlaneConfig, NodeConfig};
use crate::control_plane::controllers;
use crate::control_plane::etcd::InitialClusterState;
use crate::host::Host;
use crate::host::file;
use crate::host::root;
use crate::kubernetes::manifests::{CIPHER_SUITES, ManifestError, ensure_static_pod, image, render};
use crate::node::kubelet;
use crate::progress::step::{Done, Step, StepError};
use crate::storage::filesystem;

/// Writes the static pods of etcd and of the API server.
pub const STEP: Step = Step::new("ensure_static_pods", Duration::from_mins(1));

/// The API server's configuration files: name and contents.
const API_SERVER_FILES: [(&str, &str); 3] = [
    ("authentication.yaml", include_str!("../../../manifests/control-plane/authentication.yaml")),
    ("admission.yaml", include_str!("../../../manifests/control-plane/admission.yaml")),
    ("audit-policy.yaml", include_str!("../../../manifests/control-plane/audit-policy.yaml")),
];

/// The step. While the kubelet is down, the static pods that need the API are taken away.
pub async fn run(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    etcd_state: InitialClusterState,
    etcd_quota: u64,
) -> Result<(), StepError> {
    let Agent { host, config, .. } = agent;
    let write = async || {
        let mut changed = ensure(host, config, control_plane, etcd_state, etcd_quota)?;
        if !kubelet::is_active(host).await.unwrap_or(false) {
            changed |= controllers::remove(host)?;
        }
        Ok::<_, ManifestError>(Done::changed_if(changed))
    };
    STEP.run(&agent.reporter, write).await
}

/// Writes them.
fn ensure(
    host: &Host,
    config: &NodeConfig,
    control_plane: &ControlPlaneConfig,
    etcd_state: InitialClusterState,
    etcd_quota: u64,
) -> Result<bool, ManifestError> {
    let mut changed = false;
    for (name, contents) in API_SERVER_FILES {
        let path = host.path(root::KUBERNETES).join("kube-apiserver").join(name);
        changed |= file::ensure(&path, contents, file::PRIVATE).map_err(ManifestError::File)?;
    }
    changed |= file::ensure_folder(&host.path(root::AUDIT_LOG), 0o700).map_err(ManifestError::File)?;
    changed |= ensure_static_pod(host, "etcd", &etcd_pod(config, control_plane, etcd_state, etcd_quota)?)?;
    changed |= ensure_static_pod(host, "kube-apiserver", &api_server_pod(config, control_plane)?)?;
    Ok(changed)
}

fn etcd_pod(
    config: &NodeConfig,
    control_plane: &ControlPlaneConfig,
    state: InitialClusterState,
    quota: u64,
) -> Result<String, ManifestError> {
    let etcd = &control_plane.etcd;
    let members: Vec<String> =
        etcd.members.iter().map(|(name, address)| format!("{name}=https://{address}:2380")).collect();
    let context = serde_json::json!({
        "image": image(&control_plane.images, "etcd")?,
        "cluster": config.cluster,
        "etcd": etcd,
        "address": etcd.address()?,
        "initial_cluster": members.join(","),
        "initial_cluster_state": state.as_str(),
        "quota": quota.to_string(),
        "data": format!("{}/data", filesystem::mount_point(&etcd.name)),
        "cipher_suites": CIPHER_SUITES.join(","),
        "version_flags": etcd_version_flags(&etcd.version),
    });
    render("etcd", &context)
}

/// Flags whose name changed: etcd 3.6 turned experimental flags into feature gates and plain flags.
fn etcd_version_flags(version: &str) -> [&'static str; 2] {
    if version.starts_with("3.5.") {
        ["--experimental-initial-corrupt-check=true", "--experimental-watch-progress-notify-interval=5s"]
    } else {
        ["--feature-gates=InitialCorruptCheck=true", "--watch-progress-notify-interval=5s"]
    }
}

fn api_server_pod(config: &NodeConfig, control_plane: &ControlPlaneConfig) -> Result<String, ManifestError> {
    let context = serde_json::json!({
        "image": image(&control_plane.images, "kube-apiserver")?,
        "advertise_address": control_plane.etcd.address()?,
        "port": config.api.endpoint.port,
        "service_account_issuer": config.api.service_account_issuer,
        "service_cidr": config.network.service_cidr,
        "cipher_suites": CIPHER_SUITES.join(","),
    });
    render("kube-apiserver", &context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etcd_flags_follow_its_version() {
        assert!(etcd_version_flags("3.5.33")[0].starts_with("--experimental"));
        assert!(etcd_version_flags("3.6.16")[0].starts_with("--feature-gates"));
        assert!(etcd_version_flags("3.7.0")[0].starts_with("--feature-gates"));
    }
}
