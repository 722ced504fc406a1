//! The static pods that the API needs in order to come up: etcd and the API server.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::agent::Agent;
use crate::contract::components::API_SERVER;
use crate::contract::config::{ControlPlaneConfig, EtcdConfig, EtcdPorts, NodeConfig};
use crate::control_plane::controllers;
use crate::control_plane::etcd::{self, InitialClusterState, Starts};
use crate::host::Host;
use crate::host::file;
use crate::host::root;
use crate::kubernetes::authentication;
use crate::kubernetes::manifests::{CIPHER_SUITES, ManifestError, ensure_static_pod, image, render};
use crate::kubernetes::settings::Pod;
use crate::node::kubelet;
use crate::progress::step::{Done, Step, StepError};
use crate::storage::etcd_data;
use crate::storage::volume::AttachedVolumes;

/// Writes the static pods of etcd and of the API server.
pub const STEP: Step = Step::new("ensure_static_pods", Duration::from_mins(1));

/// The API server's configuration files that are always the same: name and contents.
const API_SERVER_FILES: [(&str, &str); 2] = [
    ("admission.yaml", include_str!("../../../manifests/control-plane/admission.yaml")),
    ("audit-policy.yaml", include_str!("../../../manifests/control-plane/audit-policy.yaml")),
];

/// Where the API server answers with the issuer's discovery documents. AWS asks without credentials.
const DISCOVERY_PATHS: [&str; 2] = ["/.well-known/openid-configuration", "/openid/v1/jwks"];

/// The API server's pod.
const API_SERVER_POD: Pod<'_> = Pod {
    name: API_SERVER,
    cpu: "250m",
    folders: &["/etc/kubernetes/kube-apiserver", "/srv/kubernetes/kube-apiserver", root::AUDIT_LOG],
};

/// The step. While the kubelet is down, the static pods that need the API are taken away.
pub async fn run(
    agent: &Agent,
    control_plane: &ControlPlaneConfig,
    starts: &Starts,
    volumes: &AttachedVolumes,
) -> Result<(), StepError> {
    let Agent { host, config, .. } = agent;
    let write = async || {
        let mut changed = ensure(host, config, control_plane, starts, volumes)?;
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
    starts: &Starts,
    volumes: &AttachedVolumes,
) -> Result<bool, ManifestError> {
    let mut changed = false;
    let folder = host.path(root::KUBERNETES).join("kube-apiserver");
    for (name, contents) in API_SERVER_FILES {
        changed |= file::ensure(&folder.join(name), contents, file::PRIVATE).map_err(ManifestError::File)?;
    }
    let own = authentication(control_plane)?;
    let authentication = authentication::configuration(host, config.component(API_SERVER), &own)?;
    let path = folder.join("authentication.yaml");
    changed |= file::ensure(&path, authentication, file::PRIVATE).map_err(ManifestError::File)?;
    changed |= file::ensure_folder(&host.path(root::AUDIT_LOG), 0o700).map_err(ManifestError::File)?;
    for etcd in control_plane.etcd_clusters() {
        // Without a decision it never begins anew.
        let start = starts.get(&etcd.name).copied().unwrap_or(InitialClusterState::Existing);
        let size = volumes.get(&etcd.name).map(|attached| attached.volume.size);
        let pod = etcd_pod(config, &control_plane.images, etcd, start, etcd::quota(size))?;
        changed |= ensure_static_pod(host, &manifest(etcd), &pod)?;
    }
    changed |= ensure_static_pod(host, "kube-apiserver", &api_server_pod(config, control_plane)?)?;
    Ok(changed)
}

/// The name of an etcd cluster's manifest: `etcd` for `main`, whose file had that name before there were others.
fn manifest(etcd: &EtcdConfig) -> String {
    if etcd.is_main() { "etcd".to_owned() } else { format!("etcd-{}", etcd.name) }
}

fn etcd_pod(
    config: &NodeConfig,
    images: &BTreeMap<String, String>,
    etcd: &EtcdConfig,
    state: InitialClusterState,
    quota: u64,
) -> Result<String, ManifestError> {
    let EtcdPorts { client, peer, metrics } = etcd.ports;
    let members = etcd.members.iter().map(|(name, address)| format!("{name}=https://{address}:{peer}"));
    let mut more_flags = etcd_version_flags(&etcd.version).map(str::to_owned).to_vec();
    more_flags.extend(etcd_timing_flags(etcd));
    let context = serde_json::json!({
        "image": image(images, "etcd")?,
        "cluster": config.cluster,
        "etcd": etcd,
        "requests": etcd.requests,
        "client_url": format!("https://127.0.0.1:{client}"),
        "peer_url": format!("https://{}:{peer}", etcd.address()?),
        "metrics_url": format!("http://127.0.0.1:{metrics}"),
        "metrics_port": metrics,
        "initial_cluster": members.collect::<Vec<_>>().join(","),
        "initial_cluster_state": state.as_str(),
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

/// What the API server keeps elsewhere than in `main`: `<group>/<resource>#<server>` each, with commas between (its flag
/// `--etcd-servers-overrides`).
fn etcd_servers_overrides(further: &[EtcdConfig]) -> String {
    let overrides = further.iter().flat_map(|etcd| {
        let client = etcd.ports.client;
        etcd.holds.iter().map(move |resource| format!("{resource}#https://127.0.0.1:{client}"))
    });
    overrides.collect::<Vec<_>>().join(",")
}

/// Who need not say who they are, and for what.
fn authentication(control_plane: &ControlPlaneConfig) -> Result<String, ManifestError> {
    let discovery = control_plane.service_accounts.anonymous_discovery;
    let more_paths: &[&str] = if discovery { &DISCOVERY_PATHS } else { &[] };
    render("authentication", &serde_json::json!({"more_paths": more_paths}))
}

fn api_server_pod(config: &NodeConfig, control_plane: &ControlPlaneConfig) -> Result<String, ManifestError> {
    let EtcdPorts { client, .. } = control_plane.etcd.ports;
    let service_accounts = &control_plane.service_accounts;
    let context = serde_json::json!({
        "image": image(&control_plane.images, "kube-apiserver")?,
        "etcd_servers": format!("https://127.0.0.1:{client}"),
        "etcd_servers_overrides": etcd_servers_overrides(&control_plane.further_etcd),
        "advertise_address": control_plane.etcd.address()?,
        "port": config.api.endpoint.port,
        "service_account_issuer": config.api.service_account_issuer,
        "further_issuers": service_accounts.further_issuers,
        "jwks_uri": service_accounts.jwks_uri.as_deref().unwrap_or_default(),
        "api_audiences": service_accounts.audiences.join(","),
        "service_cidr": config.network.service_cidr,
        "cipher_suites": CIPHER_SUITES.join(","),
    });
    API_SERVER_POD.render(context, config.component(API_SERVER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::config::ServiceAccountsConfig;
    use crate::testing;

    /// The flags of the API server of a master, and the paths that it answers to anybody.
    fn told(service_accounts: ServiceAccountsConfig) -> (Vec<String>, Vec<String>) {
        let mut config = testing::master_config();
        let mut control_plane = config.control_plane.take().unwrap();
        control_plane.service_accounts = service_accounts;
        control_plane.images.insert("kube-apiserver".to_owned(), "kube-apiserver:v1".to_owned());
        let pod = api_server_pod(&config, &control_plane).unwrap();
        let about = ["--service-account-issuer", "--service-account-jwks-uri", "--api-audiences"];
        let flags = pod.lines().map(|line| line.trim_start().trim_start_matches("- ").trim_matches('"'));
        let flags = flags.filter(|flag| about.iter().any(|about| flag.starts_with(about)));
        let file = authentication(&control_plane).unwrap();
        let paths = file.lines().filter_map(|line| line.trim().strip_prefix("- path: "));
        let paths = paths.map(|path| path.trim_matches('"').to_owned()).collect();
        (flags.map(str::to_owned).collect(), paths)
    }

    #[test]
    fn an_api_server_of_which_nothing_is_said_has_one_issuer_and_tells_strangers_of_its_health_alone() {
        let (flags, paths) = told(ServiceAccountsConfig::default());
        assert_eq!(flags, ["--service-account-issuer=https://api.internal.demo"]);
        assert_eq!(paths, ["/livez", "/readyz", "/healthz"]);
    }

    #[test]
    fn issuers_of_before_stay_good_behind_the_one_that_signs_and_strangers_read_discovery_documents_alone() {
        let (flags, paths) = told(ServiceAccountsConfig {
            jwks_uri: Some("https://a.example.com/openid/v1/jwks".to_owned()),
            further_issuers: vec!["https://b.example.com".to_owned()],
            audiences: vec!["one".to_owned(), "two".to_owned()],
            anonymous_discovery: true,
        });
        assert_eq!(
            flags,
            [
                "--service-account-issuer=https://api.internal.demo",
                "--service-account-issuer=https://b.example.com",
                "--service-account-jwks-uri=https://a.example.com/openid/v1/jwks",
                "--api-audiences=one,two",
            ]
        );
        assert_eq!(
            paths,
            ["/livez", "/readyz", "/healthz", "/.well-known/openid-configuration", "/openid/v1/jwks"]
        );
    }

    #[test]
    fn etcd_flags_follow_its_version() {
        assert!(etcd_version_flags("3.5.33")[0].starts_with("--experimental"));
        assert!(etcd_version_flags("3.6.16")[0].starts_with("--feature-gates"));
        assert!(etcd_version_flags("3.7.0")[0].starts_with("--feature-gates"));
    }
}
