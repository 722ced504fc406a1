//! kube-proxy: a static pod with a kubeconfig of the host.

use std::time::Duration;

use serde_json::json;

use crate::agent::Agent;
use crate::aws::identity::InstanceIdentity;
use crate::contract::components::{self, PROXY};
use crate::contract::config::NodeConfig;
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::kubernetes::manifests::{self, Credentials, Folder, ManifestError};
use crate::kubernetes::settings::Pod;
use crate::node::kubelet;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Writes kube-proxy's pod, and what it reads.
pub const STEP: Step = Step::new("ensure_kube_proxy", Duration::from_mins(1));

const FOLDER: &str = "/etc/kubernetes/kube-proxy";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The pod or the kubeconfig.
    #[error("kube-proxy's pod can't be written")]
    Manifest(#[source] ManifestError),
    /// A file.
    #[error("kube-proxy's configuration can't be written")]
    File(#[source] FileError),
}

impl Classed for ProxyError {
    fn class(&self) -> Class {
        match self {
            Self::Manifest(error) => error.class(),
            Self::File(_) => Class::Passing,
        }
    }
}

/// The step.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let Agent { host, config, identity, .. } = agent;
    let write = async || {
        if config.component(PROXY).configuration.get("enabled") == Some(&json!(false)) {
            let pod = manifests::static_pod(host, PROXY);
            return file::ensure_absent(&pod).map(Done::changed_if).map_err(ProxyError::File);
        }
        let changed = match &config.control_plane {
            Some(_) => ensure_on_master(host, config, identity),
            None => ensure_on_node(host, config, identity),
        };
        changed.map(Done::changed_if)
    };
    STEP.run(&agent.reporter, write).await
}

/// On a master kube-proxy has a certificate of its own, on tmpfs, and talks to the API on this machine.
fn ensure_on_master(
    host: &Host,
    config: &NodeConfig,
    identity: &InstanceIdentity,
) -> Result<bool, ProxyError> {
    let credentials = Folder { name: "credentials", path: "/srv/kubernetes/kube-proxy" };
    let kubeconfig = format!("{}/kubeconfig", credentials.path);
    let mut changed = ensure_configuration(host, config, identity, &kubeconfig)?;
    changed |= ensure_pod(host, config, &[credentials])?;
    Ok(changed)
}

/// On a node it uses the kubelet's own certificate, which the kubelet rotates.
fn ensure_on_node(host: &Host, config: &NodeConfig, identity: &InstanceIdentity) -> Result<bool, ProxyError> {
    let server = config.api_endpoint().url_with_port();
    // The pod sees this folder, and not the one in which the kubelet's copy of it is.
    let authority = format!("{FOLDER}/ca.crt");
    let credentials =
        Credentials { certificate: kubelet::CLIENT_CERTIFICATE, key: kubelet::CLIENT_CERTIFICATE };
    let text = manifests::kubeconfig(&config.cluster, &server, &authority, "kubelet", &credentials)
        .map_err(ProxyError::Manifest)?;
    let kubeconfig = format!("{FOLDER}/kubeconfig");
    let mut changed = file::ensure(&host.path(&kubeconfig), text, file::PRIVATE).map_err(ProxyError::File)?;
    changed |= file::ensure(&host.path(&authority), &config.kubernetes_ca, file::PUBLIC)
        .map_err(ProxyError::File)?;
    changed |= ensure_configuration(host, config, identity, &kubeconfig)?;
    changed |= ensure_pod(host, config, &[Folder { name: "credentials", path: kubelet::CERTIFICATES }])?;
    Ok(changed)
}

fn ensure_pod(host: &Host, config: &NodeConfig, credentials: &[Folder]) -> Result<bool, ProxyError> {
    let mut folders = vec![Folder { name: "configuration", path: FOLDER }];
    folders.extend_from_slice(credentials);
    ensure_static_pod(host, config, &folders).map_err(ProxyError::Manifest)
}

/// Writes kube-proxy's static pod, which sees these folders of the host.
fn ensure_static_pod(host: &Host, config: &NodeConfig, folders: &[Folder]) -> Result<bool, ManifestError> {
    let image = manifests::image(&config.images, "kube-proxy")?;
    let pod = Pod { name: PROXY, cpu: "100m", folders: &[] };
    let pod = pod.render(json!({"image": image, "folders": folders}), config.component(PROXY))?;
    manifests::ensure_static_pod(host, "kube-proxy", &pod)
}

fn ensure_configuration(
    host: &Host,
    config: &NodeConfig,
    identity: &InstanceIdentity,
    kubeconfig: &str,
) -> Result<bool, ProxyError> {
    let mut configuration = json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": identity.id,
        "clientConnection": {"kubeconfig": kubeconfig},
        "metricsBindAddress": "127.0.0.1:10249",
        // Node ports answer at the instance's own address, not at those that move with a master.
        "nodePortAddresses": ["primary"],
        // It has no right to set the sizes and time-outs of the connection table: the image and the agent do.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    });
    match &config.network.pod_cidr {
        Some(range) => configuration["clusterCIDR"] = json!(range),
        None => {
            // No one range holds the prefixes of all nodes, out of which pods have their addresses. Without a range, kube-proxy
            // tells no packets of pods from others, and never puts its node's address in the sender's place: everybody in the
            // VPC has a way to every pod. This address it binds nowhere: it says which family comes first, also as long as no
            // Node says it.
            configuration["bindAddress"] = json!(identity.ipv6_address(config));
        }
    }
    let mut specified = config.component(PROXY).configuration.clone();
    // How many connections are tracked, the agent sets.
    specified.remove("conntrack");
    components::merge(&mut configuration, &specified);
    let path = host.path(root::KUBERNETES).join("kube-proxy/config.json");
    file::ensure(&path, format!("{configuration:#}\n"), file::PRIVATE).map_err(ProxyError::File)
}
