//! What this instance shall be: the node configuration that its user data names.

use std::time::Duration;

use crate::aws::identity::{InstanceIdentity, Origin};
use crate::aws::state::{StateError, StateStore, sha256};
use crate::contract::config::{BootConfig, DocumentError, NodeConfig};
use crate::contract::ipv6::SubnetIpv6;
use crate::contract::keys;
use crate::host::Host;
use crate::host::file;
use crate::host::root;
use crate::progress::reporter::Reporter;
use crate::progress::retry::{Class, Classed, chain};
use crate::progress::step::{Done, Step, StepError};

/// Finds out what the instance shall be.
pub const STEP: Step = Step::new("ensure_configuration", Duration::from_mins(5)).outside();

/// What can go wrong while the instance finds out what it shall be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// The node configuration can't be read.
    #[error("the node configuration can't be read from the state")]
    Read(#[source] StateError),
    /// The node configuration is not one.
    #[error("{key} is not a node configuration that this agent understands")]
    NodeConfig {
        /// Its key in the state.
        key: String,
        /// Where and why.
        #[source]
        source: DocumentError,
    },
    /// What the instance shall be needs an address that it doesn't have.
    #[error("this instance has no {family} address, and {need}: its subnet has to give it one")]
    Address {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// What needs it.
        need: &'static str,
    },
    /// The VPC isn't the one that the masters' subnets are in.
    #[error("the metadata tell of no block of the VPC's that holds a master's subnet, {0}")]
    Master(SubnetIpv6),
    /// The documents contradict each other.
    #[error("the node configuration is for {found}, the user data for {expected}")]
    Mismatch {
        /// `<cluster>/<instance group>` of the user data.
        expected: String,
        /// `<cluster>/<instance group>` of the node configuration.
        found: String,
    },
}

impl Classed for ConfigurationError {
    fn class(&self) -> Class {
        match self {
            Self::Read(error) => error.class(),
            _ => Class::Permanent,
        }
    }
}

/// The step.
pub async fn run(host: &Host, reporter: &Reporter, origin: &Origin) -> Result<NodeConfig, StepError> {
    let read = async || {
        let (value, changed) = node_config(host, &origin.store, &origin.boot).await?;
        check_addresses(&value, &origin.identity)?;
        Ok::<_, ConfigurationError>(Done { value, changed })
    };
    STEP.run(reporter, read).await
}

/// Reads the node configuration that the boot configuration names: from this machine's disk, where an earlier start of
/// the agent has kept it, else from the state. Its digest is checked either way, so that the two can't differ; and a
/// restart or a reboot doesn't need the state for it. Returns whether it had to be fetched.
async fn node_config(
    host: &Host,
    store: &StateStore,
    boot: &BootConfig,
) -> Result<(NodeConfig, bool), ConfigurationError> {
    let key = keys::node_config(&boot.cluster, &boot.instance_group, &boot.node_config_sha256);
    let kept = host.path(root::NODE_CONFIGURATION);
    if let Ok(Some(bytes)) = file::read(&kept)
        && sha256(&bytes) == boot.node_config_sha256
    {
        return Ok((parse_node_config(&bytes, &key, boot)?, false));
    }
    let bytes =
        store.require_digest(&key, &boot.node_config_sha256).await.map_err(ConfigurationError::Read)?;
    let config = parse_node_config(&bytes, &key, boot)?;
    // A full disk is no reason not to boot.
    if let Err(error) = file::ensure(&kept, &bytes, file::PRIVATE) {
        tracing::warn!(error = chain(&error), "the node configuration can't be kept for the next start");
    }
    Ok((config, true))
}

/// Whether the instance has the addresses that its work needs. A bastion is no part of the cluster's network.
fn check_addresses(config: &NodeConfig, identity: &InstanceIdentity) -> Result<(), ConfigurationError> {
    if config.bastion {
        return Ok(());
    }
    let (ipv4, ipv6) = (identity.private_address.is_some(), identity.ipv6_address(config).is_some());
    let goes_to_etcd = config.control_plane.is_some() || config.api_server.is_some();
    let lacking = |family, need| Err(ConfigurationError::Address { family, need });
    match config.network.is_ipv6() {
        true if !ipv6 => lacking("IPv6", "the cluster's nodes, pods and services have such addresses"),
        true if goes_to_etcd && !ipv4 => lacking("IPv4", "the members of etcd are reached by such addresses"),
        false if !ipv4 => lacking("IPv4", "the cluster's nodes, pods and services have such addresses"),
        _ => {
            let mut masters = config.api.masters_ipv6.iter();
            let lost = masters.find(|master| identity.address_of(**master).is_none());
            lost.map_or(Ok(()), |master| Err(ConfigurationError::Master(master.subnet)))
        }
    }
}

fn parse_node_config(bytes: &[u8], key: &str, boot: &BootConfig) -> Result<NodeConfig, ConfigurationError> {
    let config = NodeConfig::read(bytes)
        .map_err(|source| ConfigurationError::NodeConfig { key: key.to_owned(), source })?;
    let expected = format!("{}/{}", boot.cluster, boot.instance_group);
    let found = format!("{}/{}", config.cluster, config.instance_group);
    if expected != found {
        return Err(ConfigurationError::Mismatch { expected, found });
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER_DATA: &str = r#"{"version":"windlass/v1","cluster":"demo.example.com","instanceGroup":"nodes",
        "stateStore":"s3://bucket","region":"us-east-1","nodeConfigSha256":"00"}"#;

    #[test]
    fn an_instance_without_the_addresses_that_its_work_needs_says_so() {
        let ipv6 = |config: NodeConfig| NodeConfig { network: crate::testing::ipv6_network(), ..config };
        let identity = |ipv4: bool, ipv6: bool| InstanceIdentity {
            private_address: ipv4.then_some(std::net::Ipv4Addr::LOCALHOST),
            ipv6_addresses: ipv6.then_some(std::net::Ipv6Addr::LOCALHOST).into_iter().collect(),
            ..crate::testing::identity()
        };
        let (node, master) = (crate::testing::node_config(), crate::testing::master_config());
        for (config, has, lacks) in [
            (node.clone(), (true, false), None),
            (node.clone(), (false, true), Some("IPv4")),
            (ipv6(node.clone()), (false, true), None),
            (ipv6(node.clone()), (true, false), Some("IPv6")),
            (ipv6(master.clone()), (true, true), None),
            (ipv6(master), (false, true), Some("IPv4")),
            (NodeConfig { bastion: true, ..ipv6(node) }, (true, false), None),
        ] {
            let error = check_addresses(&config, &identity(has.0, has.1)).err();
            let said = error.map(|error| error.to_string());
            let expected = lacks.map(|family| format!("this instance has no {family} address"));
            assert!(
                said.as_deref().map(|said| said.split(',').next().unwrap_or_default()) == expected.as_deref(),
                "{has:?}: {said:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_kept_node_configuration_is_used_without_the_state_and_a_changed_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let host = Host::folder(folder.path().join("machine"));
        let state = folder.path().join("state");
        let store = StateStore::Folder(state.clone());
        let bytes = serde_json::to_vec(&crate::testing::node_config()).unwrap();
        let boot = BootConfig {
            cluster: "demo".into(),
            node_config_sha256: sha256(&bytes),
            ..crate::contract::config::read(USER_DATA.as_bytes()).unwrap()
        };
        let key = keys::node_config("demo", "nodes", &boot.node_config_sha256);
        store.put(&key, bytes.clone()).await.unwrap();
        assert!(node_config(&host, &store, &boot).await.unwrap().1, "fetched");
        // No answer from the state any more.
        std::fs::remove_dir_all(&state).unwrap();
        std::fs::write(&state, "not a folder").unwrap();
        let (config, fetched) = node_config(&host, &store, &boot).await.unwrap();
        assert_eq!((config, fetched), (crate::testing::node_config(), false));
        // Whoever changed it on the disk, the launch names another.
        std::fs::write(host.path(root::NODE_CONFIGURATION), [&bytes[..], b" "].concat()).unwrap();
        let error = node_config(&host, &store, &boot).await.unwrap_err();
        assert!(matches!(error, ConfigurationError::Read(_)) && error.class() == Class::Passing);
    }
}
