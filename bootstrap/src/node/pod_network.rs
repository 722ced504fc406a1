//! The pod network's configuration on this instance.
//!
//! With flannel, the agent writes it as soon as flannel has said which addresses the node's pods have; the kubelet is
//! Ready only then. With `external` whoever brings the network plug-in writes it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::Ipv4Net;
use serde_json::json;

use crate::agent::Agent;
use crate::background::every::{Every, every};
use crate::contract::config::NetworkConfig;
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::host::root;
use crate::kubernetes::manifests::{self, ManifestError};
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Writes the configuration once flannel has said what belongs there.
pub const STEP: Step =
    Step::new("ensure_pod_network", Duration::from_mins(10)).poll(Duration::from_millis(50)).outside();

/// The configuration follows flannel.
pub const TASK: Every = every("keep_pod_network", Duration::from_secs(10));

/// Sorted before what others may leave there.
const CONFIGURATION: &str = "10-windlass.conflist";

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum PodNetworkError {
    /// Flannel hasn't started.
    #[error("flannel has not written {} yet", root::FLANNEL_SUBNET)]
    NoSubnet,
    /// Flannel wrote something unexpected.
    #[error("flannel's {} has no usable {name}", root::FLANNEL_SUBNET)]
    Subnet {
        /// The variable.
        name: &'static str,
    },
    /// A network plug-in that this agent doesn't know.
    #[error("`{0}` is not a network plug-in that this agent knows: flannel, external")]
    Plugin(String),
    /// Rendering.
    #[error("the network's configuration can't be rendered")]
    Render(#[source] ManifestError),
    /// A file.
    #[error("the network's configuration can't be written")]
    File(#[source] FileError),
}

impl Classed for PodNetworkError {
    fn class(&self) -> Class {
        match self {
            Self::NoSubnet => Class::Waiting,
            // Flannel may be in the middle of writing it.
            Self::Subnet { .. } | Self::File(_) => Class::Passing,
            Self::Plugin(_) | Self::Render(_) => Class::Permanent,
        }
    }
}

/// The step.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    let write = async || ensure(&agent.host, &agent.config.network).map(Done::changed_if);
    STEP.run(&agent.reporter, write).await
}

/// The task.
pub async fn follow(agent: Arc<Agent>) {
    let (host, network) = (&agent.host, &agent.config.network);
    TASK.run(&agent.reporter, || async { ensure(host, network).map(drop) }).await;
}

/// Writes the configuration.
fn ensure(host: &Host, network: &NetworkConfig) -> Result<bool, PodNetworkError> {
    match network.plugin.as_str() {
        "flannel" => ensure_flannel(host),
        "external" => Ok(false),
        other => Err(PodNetworkError::Plugin(other.to_owned())),
    }
}

fn ensure_flannel(host: &Host) -> Result<bool, PodNetworkError> {
    let environment = file::read(&host.path(root::FLANNEL_SUBNET))
        .map_err(PodNetworkError::File)?
        .ok_or(PodNetworkError::NoSubnet)?;
    let (subnet, mtu) = parse(&String::from_utf8_lossy(&environment))?;
    let text =
        manifests::render("cni", &json!({"subnet": subnet, "mtu": mtu})).map_err(PodNetworkError::Render)?;
    file::ensure(&host.path(root::CNI).join(CONFIGURATION), text, file::PUBLIC).map_err(PodNetworkError::File)
}

/// The node's pod range and the largest packet that fits through the overlay.
fn parse(environment: &str) -> Result<(Ipv4Net, u16), PodNetworkError> {
    let value = |name: &'static str| {
        let line = environment.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='));
        line.ok_or(PodNetworkError::Subnet { name })
    };
    // Flannel writes the gateway's address in the range: 100.96.1.1/24.
    let subnet: Ipv4Net =
        value("FLANNEL_SUBNET")?.parse().map_err(|_| PodNetworkError::Subnet { name: "FLANNEL_SUBNET" })?;
    let mtu: u16 =
        value("FLANNEL_MTU")?.parse().map_err(|_| PodNetworkError::Subnet { name: "FLANNEL_MTU" })?;
    if mtu < 576 || subnet.addr() == Ipv4Addr::UNSPECIFIED {
        return Err(PodNetworkError::Subnet { name: "FLANNEL_MTU" });
    }
    Ok((subnet.trunc(), mtu))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBNET: &str = "FLANNEL_NETWORK=100.96.0.0/11\nFLANNEL_SUBNET=100.96.1.1/24\nFLANNEL_MTU=8951\nFLANNEL_IPMASQ=true\n";

    fn network(plugin: &str) -> NetworkConfig {
        NetworkConfig {
            pod_cidr: Some("100.96.0.0/11".parse().unwrap()),
            service_cidr: "100.64.0.0/13".parse().unwrap(),
            dns_address: "100.64.0.10".parse().unwrap(),
            dns_domain: "cluster.local".into(),
            plugin: plugin.into(),
        }
    }

    #[test]
    fn the_configuration_follows_what_flannel_says() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        let error = ensure(&host, &network("flannel")).unwrap_err();
        assert_eq!(error.class(), Class::Waiting);
        file::ensure(&host.path(root::FLANNEL_SUBNET), SUBNET, file::PUBLIC).unwrap();
        assert!(ensure(&host, &network("flannel")).unwrap());
        assert!(!ensure(&host, &network("flannel")).unwrap());
        let written = std::fs::read(host.path("/etc/cni/net.d/10-windlass.conflist")).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
        assert_eq!(written["plugins"][0]["ipam"]["ranges"][0][0]["subnet"], "100.96.1.0/24");
        assert_eq!(written["plugins"][0]["mtu"], 8951);
    }

    #[test]
    fn a_half_written_subnet_is_looked_at_again() {
        for text in [
            "",
            "FLANNEL_SUBNET=100.96.1.1/24\n",
            "FLANNEL_SUBNET=100.96.1.1/24\nFLANNEL_MTU=1",
            "FLANNEL_SUBNET=x\nFLANNEL_MTU=1450",
        ] {
            assert_eq!(parse(text).unwrap_err().class(), Class::Passing, "{text}");
        }
    }

    #[test]
    fn an_external_plugin_is_left_alone_and_an_unknown_one_refused() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path());
        assert!(!ensure(&host, &network("external")).unwrap());
        assert_eq!(ensure(&host, &network("weave")).unwrap_err().class(), Class::Permanent);
    }
}
