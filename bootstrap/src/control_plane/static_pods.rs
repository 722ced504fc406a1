//! The static pods that the API needs in order to come up: etcd and the API server.

use std::time::Duration;

use crate::agent::Agent;
use crate::contract::components::API_SERVER;
use crate::contract::config::{ControlPlaneConfig, EtcdConfig, EtcdPorts, NodeConfig};
use crate::control_plane::api_server_pod::ApiServer;
use crate::control_plane::controllers;
use crate::control_plane::etcd::{self, InitialClusterState, Start, Starts};
use crate::host::Host;
use crate::host::file;
use crate::kubernetes::manifests::{
    CIPHER_SUITES, ManifestError, ensure_static_pod, image, render, static_pod,
};
use crate::node::kubelet;
use crate::progress::step::{Done, Step, StepError};
use crate::storage::etcd_data;
use crate::storage::volume::AttachedVolumes;

/// Writes the static pods of etcd and of the API server.
pub const STEP: Step = Step::new("ensure_static_pods", Duration::from_mins(1));

/// The step. While the kubelet is down, the static pods that need the API are taken away.
pub async fn run(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    starts: &Starts,
    volumes: &AttachedVolumes,
) -> Result<(), StepError> {
    let Agent { host, config, identity, .. } = agent;
    let write = async || {
        let mut changed = ensure_etcd(host, config, control_plane, starts, volumes)?;
        changed |= ApiServer::of_master(control_plane, config, identity)?.ensure(host, config)?;
        if !kubelet::is_active(host).await.unwrap_or(false) {
            changed |= controllers::remove(host)?;
        }
        Ok::<_, ManifestError>(Done::changed_if(changed))
    };
    STEP.run(&agent.reporter, write).await
}

/// Writes those of etcd.
fn ensure_etcd(
    host: &Host,
    config: &NodeConfig,
    control_plane: &ControlPlaneConfig,
    starts: &Starts,
    volumes: &AttachedVolumes,
) -> Result<bool, ManifestError> {
    let mut changed = false;
    for etcd in control_plane.etcd_clusters() {
        // Without a decision it never begins anew.
        let existing = Start { state: InitialClusterState::Existing, initial_cluster: None };
        let start = starts.get(&etcd.name).unwrap_or(&existing);
        let size = volumes.get(&etcd.name).map(|attached| attached.volume.size);
        let pod = etcd_pod(config, control_plane, etcd, start, etcd::quota(size))?;
        changed |= ensure_static_pod(host, &manifest(etcd), &pod)?;
    }
    Ok(changed)
}

/// Takes those of etcd and of the API server away, so that the kubelet ends them.
pub fn remove(host: &Host, control_plane: &ControlPlaneConfig) -> Result<bool, ManifestError> {
    let mut changed = false;
    // The API server first: it is of no use without etcd, and would only complain.
    for name in std::iter::once(API_SERVER.to_owned()).chain(control_plane.etcd_clusters().map(manifest)) {
        changed |= file::ensure_absent(&static_pod(host, &name)).map_err(ManifestError::File)?;
    }
    Ok(changed)
}

/// The name of an etcd cluster's manifest: `etcd` for `main`, whose file had that name before there were others.
fn manifest(etcd: &EtcdConfig) -> String {
    if etcd.is_main() { "etcd".to_owned() } else { format!("etcd-{}", etcd.name) }
}

fn etcd_pod(
    config: &NodeConfig,
    control_plane: &ControlPlaneConfig,
    etcd: &EtcdConfig,
    start: &Start,
    quota: u64,
) -> Result<String, ManifestError> {
    let EtcdPorts { client, peer, metrics } = etcd.ports;
    let (address, client_url) = (etcd.address()?, format!("https://127.0.0.1:{client}"));
    let mut listen = vec![client_url.clone()];
    // Masters ask each other's members, too: a member that has lost its volume is replaced through the others.
    if control_plane.further_api_servers || etcd.members.len() > 1 {
        listen.push(format!("https://{address}:{client}"));
    }
    let founders = etcd.members.iter().filter(|(name, _)| !etcd.joining.contains(*name));
    let members = founders.map(|(name, address)| format!("{name}=https://{address}:{peer}"));
    let mut more_flags = etcd_version_flags(&etcd.version).map(str::to_owned).to_vec();
    more_flags.extend(etcd_timing_flags(etcd));
    let context = serde_json::json!({
        "image": image(&control_plane.images, "etcd")?,
        "cluster": config.cluster,
        "etcd": etcd,
        "requests": etcd.requests,
        "client_url": client_url,
        "listen_client_urls": listen.join(","),
        "peer_url": format!("https://{address}:{peer}"),
        "metrics_url": format!("http://127.0.0.1:{metrics}"),
        "metrics_port": metrics,
        "initial_cluster": start.initial_cluster.clone().unwrap_or_else(|| members.collect::<Vec<_>>().join(",")),
        "initial_cluster_state": start.state.as_str(),
        "quota": quota.to_string(),
        "data": format!("{}/data", etcd_data::mount_point(&etcd.name)),
        "cipher_suites": CIPHER_SUITES.join(","),
        "more_flags": more_flags,
    });
    render("etcd", &context)
}

/// What the user says of heartbeats and elections, as etcd takes it.
fn etcd_timing_flags(etcd: &EtcdConfig) -> Vec<String> {
    let flag = |name: &str, value: Option<u32>| value.map(|milliseconds| format!("--{name}={milliseconds}"));
    let flags = [
        flag("heartbeat-interval", etcd.heartbeat_milliseconds),
        flag("election-timeout", etcd.election_milliseconds),
    ];
    flags.into_iter().flatten().collect()
}

/// Flags whose name changed: etcd 3.6 turned experimental flags into feature gates and plain flags.
fn etcd_version_flags(version: &str) -> [&'static str; 2] {
    if version.starts_with("3.5.") {
        ["--experimental-initial-corrupt-check=true", "--experimental-watch-progress-notify-interval=5s"]
    } else {
        ["--feature-gates=InitialCorruptCheck=true", "--watch-progress-notify-interval=5s"]
    }
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
