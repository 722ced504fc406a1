//! Who this instance is and what it shall be: IMDSv2, the user data, the node configuration.

use std::net::Ipv4Addr;
use std::time::Duration;

use aws_config::imds::client::error::ImdsError;
use aws_config::imds::client::{Client, ImdsResponseRetryClassifier};
use aws_smithy_runtime_api::client::retries::classifiers::SharedRetryClassifier;

use crate::aws::state::{StateError, StateStore, sha256};
use crate::aws::{self, AwsError};
use crate::contract::config::{self, BootConfig, DocumentError, NodeConfig};
use crate::contract::keys;
use crate::host::Host;
use crate::host::file;
use crate::host::root;
use crate::progress::retry::{Class, Classed, chain};

/// What can go wrong while the instance finds out what it is.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    /// The metadata service refused or didn't answer.
    #[error("the instance metadata service did not give {path}")]
    Metadata {
        /// The path that was asked for.
        path: String,
        /// Why.
        #[source]
        source: Box<ImdsError>,
    },
    /// An answer isn't what it should be.
    #[error("the instance metadata service gives `{value}` for {path}")]
    Value {
        /// The path that was asked for.
        path: String,
        /// The answer.
        value: String,
    },
    /// The user data is not a boot configuration.
    #[error("the user data is not a boot configuration of windlass")]
    UserData(#[source] DocumentError),
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

impl Classed for InstanceError {
    fn class(&self) -> Class {
        match self {
            Self::Metadata { .. } => Class::Passing,
            Self::Read(error) => error.class(),
            _ => Class::Permanent,
        }
    }
}

/// What EC2 says about this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `i-…`; also the Node's name.
    pub id: String,
    /// The region.
    pub region: String,
    /// The availability zone.
    pub zone: String,
    /// Such as `t3.medium`.
    pub machine_type: String,
    /// The primary private address.
    pub private_address: Ipv4Addr,
    /// The primary network interface's hardware address.
    pub mac: String,
    /// The primary network interface's id, `eni-…`.
    pub network_interface: String,
}

impl Identity {
    /// The id by which Kubernetes' cloud integrations know the instance.
    pub fn provider_id(&self) -> String {
        format!("aws:///{}/{}", self.zone, self.id)
    }
}

/// The client of IMDSv2. Unlike the SDK's default it also retries connection time-outs: early in a boot the network
/// may be up and the metadata service not.
pub fn metadata_client() -> Client {
    let classifier = ImdsResponseRetryClassifier::default().with_retry_connect_timeouts(true);
    Client::builder()
        .operation_timeout(Duration::from_secs(30))
        .retry_classifier(SharedRetryClassifier::new(classifier))
        .build()
}

/// Asks who this instance is.
pub async fn identify(metadata: &Client) -> Result<Identity, InstanceError> {
    let mac = get(metadata, "mac").await?;
    let address = get(metadata, "local-ipv4").await?;
    let interface = format!("network/interfaces/macs/{mac}/interface-id");
    Ok(Identity {
        id: get(metadata, "instance-id").await?,
        region: get(metadata, "placement/region").await?,
        zone: get(metadata, "placement/availability-zone").await?,
        machine_type: get(metadata, "instance-type").await?,
        private_address: address
            .parse()
            .map_err(|_| InstanceError::Value { path: "local-ipv4".into(), value: address.clone() })?,
        network_interface: get(metadata, &interface).await?,
        mac,
    })
}

/// What IAM calls `aws:userid`, for this instance `<role id>:<instance id>`: the name under which it may write its report.
/// Nothing on the machine knows the role's id.
pub async fn user_id(region: &str) -> Result<String, AwsError> {
    let sts = aws_sdk_sts::Client::new(&aws::configuration(region).await);
    let identity = sts.get_caller_identity().send().await;
    let identity =
        identity.map_err(|error| AwsError::new("GetCallerIdentity", "this instance's role", error))?;
    Ok(identity.user_id().unwrap_or_default().to_owned())
}

/// Reads the boot configuration from the user data.
pub async fn boot_config(metadata: &Client) -> Result<BootConfig, InstanceError> {
    let path = "/latest/user-data";
    let user_data = metadata
        .get(path)
        .await
        .map_err(|source| InstanceError::Metadata { path: path.into(), source: Box::new(source) })?;
    parse_boot_config(user_data.as_ref())
}

fn parse_boot_config(user_data: &str) -> Result<BootConfig, InstanceError> {
    config::read(user_data.as_bytes()).map_err(InstanceError::UserData)
}

/// Reads the node configuration that the boot configuration names: from this machine's disk, where an earlier start of
/// the agent has kept it, else from the state. Its digest is checked either way, so that the two can't differ; and a
/// restart or a reboot doesn't need the state for it. Returns whether it had to be fetched.
pub async fn node_config(
    host: &Host,
    store: &StateStore,
    boot: &BootConfig,
) -> Result<(NodeConfig, bool), InstanceError> {
    let key = keys::node_config(&boot.cluster, &boot.instance_group, &boot.node_config_sha256);
    let kept = host.path(root::NODE_CONFIGURATION);
    if let Ok(Some(bytes)) = file::read(&kept)
        && sha256(&bytes) == boot.node_config_sha256
    {
        return Ok((parse_node_config(&bytes, &key, boot)?, false));
    }
    let bytes = store.require_digest(&key, &boot.node_config_sha256).await.map_err(InstanceError::Read)?;
    let config = parse_node_config(&bytes, &key, boot)?;
    // A full disk is no reason not to boot.
    if let Err(error) = file::ensure(&kept, &bytes, file::PRIVATE) {
        tracing::warn!(error = chain(&error), "the node configuration can't be kept for the next start");
    }
    Ok((config, true))
}

fn parse_node_config(bytes: &[u8], key: &str, boot: &BootConfig) -> Result<NodeConfig, InstanceError> {
    let config: NodeConfig =
        config::read(bytes).map_err(|source| InstanceError::NodeConfig { key: key.to_owned(), source })?;
    let expected = format!("{}/{}", boot.cluster, boot.instance_group);
    let found = format!("{}/{}", config.cluster, config.instance_group);
    if expected != found {
        return Err(InstanceError::Mismatch { expected, found });
    }
    Ok(config)
}

async fn get(metadata: &Client, path: &str) -> Result<String, InstanceError> {
    let value = metadata
        .get(format!("/latest/meta-data/{path}"))
        .await
        .map_err(|source| InstanceError::Metadata { path: path.to_owned(), source: Box::new(source) })?;
    let value = value.as_ref().trim().to_owned();
    if value.is_empty() {
        return Err(InstanceError::Value { path: path.to_owned(), value });
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER_DATA: &str = r#"{"version":"windlass/v1","cluster":"demo.example.com","instanceGroup":"nodes",
        "stateStore":"s3://bucket","region":"us-east-1","nodeConfigSha256":"00"}"#;

    #[test]
    fn user_data_of_another_major_version_is_refused_by_name() {
        assert_eq!(parse_boot_config(USER_DATA).unwrap().cluster, "demo.example.com");
        let error = parse_boot_config(&USER_DATA.replace("windlass/v1", "windlass/v2")).unwrap_err();
        assert!(
            matches!(&error, InstanceError::UserData(DocumentError::Version(found)) if found == "windlass/v2")
        );
        assert_eq!(error.class(), Class::Permanent);
        assert!(parse_boot_config(&USER_DATA.replace("\"region\"", "\"zone\"")).is_err());
        assert!(parse_boot_config("#cloud-config").is_err());
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
            ..parse_boot_config(USER_DATA).unwrap()
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
        assert!(matches!(error, InstanceError::Read(_)) && error.class() == Class::Passing);
    }

    #[test]
    fn the_provider_id_holds_zone_and_instance() {
        let identity = Identity {
            id: "i-1".into(),
            region: "us-east-1".into(),
            zone: "us-east-1a".into(),
            machine_type: "t3.medium".into(),
            private_address: Ipv4Addr::LOCALHOST,
            mac: String::new(),
            network_interface: String::new(),
        };
        assert_eq!(identity.provider_id(), "aws:///us-east-1a/i-1");
    }
}
