//! What this instance shall be: the node configuration that its user data names.

use std::time::Duration;

use crate::aws::identity::Origin;
use crate::aws::state::{StateError, StateStore, sha256};
use crate::contract::config::{BootConfig, DocumentError, NodeConfig};
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
