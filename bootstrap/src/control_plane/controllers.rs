//! The static pods that need the API: the controller manager and the scheduler.

use std::time::Duration;

use crate::agent::Agent;
use crate::contract::components::{self, CONTROLLER_MANAGER, ComponentSettings, SCHEDULER};
use crate::contract::config::{ControlPlaneConfig, NodeConfig};
use crate::host::Host;
use crate::host::file;
use crate::kubernetes::manifests::{CIPHER_SUITES, ManifestError, ensure_static_pod, image, static_pod};
use crate::kubernetes::settings::Pod;
use crate::progress::step::{Done, Step, StepError};

/// Writes the static pods of the controller manager and of the scheduler.
pub const STEP: Step = Step::new("ensure_controllers", Duration::from_mins(1));

/// The pods that start once the API answers.
const CONTROLLERS: [&str; 2] = [CONTROLLER_MANAGER, SCHEDULER];

/// kube-scheduler's configuration file, where the specification says something that no flag does.
const SCHEDULER_CONFIGURATION: &str = "/etc/kubernetes/kube-scheduler/config.json";

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
        let mut settings = config.component(name).clone();
        if name == SCHEDULER {
            changed |= ensure_scheduler_configuration(host, &mut settings)?;
        }
        let pod = controller_pod(name, config, control_plane, &settings)?;
        changed |= ensure_static_pod(host, name, &pod)?;
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

/// Beside its configuration file, kube-scheduler reads neither its kubeconfig nor whether it can be profiled from flags.
fn ensure_scheduler_configuration(
    host: &Host,
    settings: &mut ComponentSettings,
) -> Result<bool, ManifestError> {
    let path = host.path(SCHEDULER_CONFIGURATION);
    if settings.configuration.is_empty() {
        return file::ensure_absent(&path).map_err(ManifestError::File);
    }
    let mut configuration = serde_json::json!({
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "clientConnection": {"kubeconfig": "/srv/kubernetes/kube-scheduler/kubeconfig"},
        "enableProfiling": false,
    });
    components::merge(&mut configuration, &settings.configuration);
    settings.flags.insert("config".to_owned(), SCHEDULER_CONFIGURATION.to_owned());
    settings.files.insert(SCHEDULER_CONFIGURATION.to_owned());
    file::ensure(&path, format!("{configuration:#}\n"), file::PRIVATE).map_err(ManifestError::File)
}

fn controller_pod(
    name: &'static str,
    config: &NodeConfig,
    control_plane: &ControlPlaneConfig,
    settings: &ComponentSettings,
) -> Result<String, ManifestError> {
    let context = serde_json::json!({
        "image": image(&control_plane.images, name)?,
        "cluster": config.cluster,
        "pod_cidr": config.network.pod_cidr.as_ref().map(ToString::to_string).unwrap_or_default(),
        "service_cidr": config.network.service_cidr,
        "cipher_suites": CIPHER_SUITES.join(","),
        "signing_duration": format!("{}s", control_plane.certificate_lifetime().as_secs()),
        // A lone master has nobody to elect against, and would only wait out its predecessor's lease.
        "leader_elect": if control_plane.masters > 1 { "true" } else { "false" },
    });
    let (cpu, folder) = match name {
        SCHEDULER => ("100m", "/srv/kubernetes/kube-scheduler"),
        _ => ("200m", "/srv/kubernetes/kube-controller-manager"),
    };
    Pod { name, cpu, folders: &[folder] }.render(context, settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_an_ipv6_cluster_the_controller_manager_hands_out_no_ranges_for_pods() {
        let flags = |config: &NodeConfig| -> Vec<String> {
            let control_plane = config.control_plane.as_ref().unwrap();
            let pod =
                controller_pod(CONTROLLER_MANAGER, config, control_plane, &ComponentSettings::default());
            let pod: serde_json::Value = serde_yaml::from_str(&pod.unwrap()).unwrap();
            let command = pod["spec"]["containers"][0]["command"].as_array().unwrap().clone();
            let about = ["--allocate-node-cidrs", "--cluster-cidr", "--service-cluster-ip-range"];
            let flags = command.iter().filter_map(|flag| flag.as_str()).map(str::to_owned);
            flags.filter(|flag| about.iter().any(|name| flag.starts_with(name))).collect()
        };
        let mut config = crate::testing::master_config();
        let ipv4 = [
            "--allocate-node-cidrs=true",
            "--cluster-cidr=100.96.0.0/11",
            "--service-cluster-ip-range=100.64.0.0/13",
        ];
        assert_eq!(flags(&config), ipv4);
        config.network = crate::testing::ipv6_network();
        assert_eq!(flags(&config), ["--allocate-node-cidrs=false"]);
    }

    #[test]
    fn the_scheduler_has_a_configuration_file_only_where_the_specification_says_what_no_flag_does() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let configuration = serde_json::json!({"clientConnection": {"qps": 75}, "enableProfiling": true});
        let serde_json::Value::Object(configuration) = configuration else { panic!("no object") };
        let mut settings = ComponentSettings { configuration, ..ComponentSettings::default() };
        assert!(ensure_scheduler_configuration(&host, &mut settings).unwrap());
        assert_eq!(settings.flags["config"], SCHEDULER_CONFIGURATION);
        assert!(settings.files.contains(SCHEDULER_CONFIGURATION), "its pod sees it");
        let text = std::fs::read(host.path(SCHEDULER_CONFIGURATION)).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let connection =
            serde_json::json!({"kubeconfig": "/srv/kubernetes/kube-scheduler/kubeconfig", "qps": 75});
        assert_eq!(written["clientConnection"], connection);
        assert_eq!(written["enableProfiling"], true);
        let mut nothing = ComponentSettings::default();
        assert!(ensure_scheduler_configuration(&host, &mut nothing).unwrap(), "it is taken away");
        assert!(nothing.is_empty() && !host.path(SCHEDULER_CONFIGURATION).exists());
    }
}
