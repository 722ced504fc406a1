//! Who this instance is and what it shall be: IMDSv2, the user data, the node configuration.

use std::net::Ipv4Addr;
use std::time::Duration;

use aws_config::imds::client::error::ImdsError;
use aws_config::imds::client::{Client, ImdsResponseRetryClassifier};
use aws_smithy_runtime_api::client::retries::classifiers::SharedRetryClassifier;

use crate::config::{BootConfig, CONFIG_VERSION, NodeConfig};
use crate::keys;
use crate::retry::{Class, Classed};
use crate::state::{StateError, StateStore};

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
    UserData(#[source] serde_json::Error),
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
        source: serde_json::Error,
    },
    /// A document of another version.
    #[error("the {document} is of version `{found}`; this agent reads `{CONFIG_VERSION}`")]
    Version {
        /// Which document.
        document: &'static str,
        /// Its version.
        found: String,
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
    let config: BootConfig = serde_json::from_str(user_data).map_err(InstanceError::UserData)?;
    check_version("user data", &config.version)?;
    Ok(config)
}

/// Reads the node configuration that the boot configuration names.
pub async fn node_config(store: &StateStore, boot: &BootConfig) -> Result<NodeConfig, InstanceError> {
    let key = keys::node_config(&boot.cluster, &boot.instance_group, &boot.node_config_sha256);
    let bytes = store.require_digest(&key, &boot.node_config_sha256).await.map_err(InstanceError::Read)?;
    parse_node_config(&bytes, &key, boot)
}

fn parse_node_config(bytes: &[u8], key: &str, boot: &BootConfig) -> Result<NodeConfig, InstanceError> {
    let config: NodeConfig = serde_json::from_slice(bytes)
        .map_err(|source| InstanceError::NodeConfig { key: key.to_owned(), source })?;
    check_version("node configuration", &config.version)?;
    let expected = format!("{}/{}", boot.cluster, boot.instance_group);
    let found = format!("{}/{}", config.cluster, config.instance_group);
    if expected != found {
        return Err(InstanceError::Mismatch { expected, found });
    }
    Ok(config)
}

fn check_version(document: &'static str, found: &str) -> Result<(), InstanceError> {
    if found == CONFIG_VERSION {
        return Ok(());
    }
    Err(InstanceError::Version { document, found: found.to_owned() })
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
    fn user_data_of_another_version_or_with_unknown_fields_is_refused() {
        assert_eq!(parse_boot_config(USER_DATA).unwrap().cluster, "demo.example.com");
        let error = parse_boot_config(&USER_DATA.replace("windlass/v1", "windlass/v2")).unwrap_err();
        assert!(matches!(&error, InstanceError::Version { found, .. } if found == "windlass/v2"));
        assert_eq!(error.class(), Class::Permanent);
        assert!(parse_boot_config(&USER_DATA.replace("\"region\"", "\"zone\"")).is_err());
        assert!(parse_boot_config("#cloud-config").is_err());
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
