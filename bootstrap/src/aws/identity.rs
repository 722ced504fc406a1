//! Who this instance is: IMDSv2 and the user data.

use std::net::Ipv4Addr;
use std::time::Duration;

use aws_config::imds::client::error::ImdsError;
use aws_config::imds::client::{Client, ImdsResponseRetryClassifier};
use aws_smithy_runtime_api::client::retries::classifiers::SharedRetryClassifier;

use crate::aws::state::{StateError, StateStore};
use crate::aws::{self, AwsError};
use crate::contract::config::{self, BootConfig, DocumentError};
use crate::contract::egress_proxy::EgressProxy;
use crate::contract::user_data;
use crate::progress::reporter::Reporter;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Finds out who the instance is, and where its state is.
pub const STEP: Step = Step::new("ensure_identity", Duration::from_mins(2)).outside();

/// What can go wrong while the instance finds out who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
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
    /// The state store that the user data names can't be opened.
    #[error("the node configuration can't be read from the state")]
    Store(#[source] StateError),
}

impl Classed for IdentityError {
    fn class(&self) -> Class {
        match self {
            Self::Metadata { .. } => Class::Passing,
            Self::Store(error) => error.class(),
            _ => Class::Permanent,
        }
    }
}

/// What an instance knows before it has read its configuration: enough to report.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Who it is.
    pub identity: InstanceIdentity,
    /// Its user data.
    pub boot: BootConfig,
    /// The state store.
    pub store: StateStore,
}

/// The step. From then on the report says whose it is.
pub async fn run(reporter: &Reporter) -> Result<Origin, StepError> {
    let metadata = metadata_client();
    let find = async || {
        let (identity, boot) = futures::try_join!(identify(&metadata), boot_config(&metadata))?;
        let store = StateStore::open(&boot).await.map_err(IdentityError::Store)?;
        Ok::<_, IdentityError>(Done::unchanged(Origin { identity, boot, store }))
    };
    let origin = STEP.run(reporter, find).await?;
    let Origin { identity, boot, .. } = &origin;
    reporter.identify(&identity.id, &identity.zone, &boot.instance_group);
    Ok(origin)
}

/// What EC2 says about this instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceIdentity {
    /// `i-…`; also the Node's name.
    pub id: String,
    /// Such as `eu-west-1`.
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

impl InstanceIdentity {
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
pub async fn identify(metadata: &Client) -> Result<InstanceIdentity, IdentityError> {
    let mac = get(metadata, "mac").await?;
    let address = get(metadata, "local-ipv4").await?;
    let interface = format!("network/interfaces/macs/{mac}/interface-id");
    Ok(InstanceIdentity {
        id: get(metadata, "instance-id").await?,
        region: get(metadata, "placement/region").await?,
        zone: get(metadata, "placement/availability-zone").await?,
        machine_type: get(metadata, "instance-type").await?,
        private_address: address
            .parse()
            .map_err(|_| IdentityError::Value { path: "local-ipv4".into(), value: address.clone() })?,
        network_interface: get(metadata, &interface).await?,
        mac,
    })
}

/// What IAM calls `aws:userid`, for this instance `<role id>:<instance id>`: the name under which it may write its report.
/// Nothing on the machine knows the role's id.
pub async fn user_id(region: &str, proxy: Option<&EgressProxy>) -> Result<String, AwsError> {
    let sts = aws_sdk_sts::Client::new(&aws::configuration(region, proxy).await);
    let identity = sts.get_caller_identity().send().await;
    let identity =
        identity.map_err(|error| AwsError::new("GetCallerIdentity", "this instance's role", error))?;
    Ok(identity.user_id().unwrap_or_default().to_owned())
}

/// Reads the boot configuration from the user data.
pub async fn boot_config(metadata: &Client) -> Result<BootConfig, IdentityError> {
    let path = "/latest/user-data";
    let user_data = metadata
        .get(path)
        .await
        .map_err(|source| IdentityError::Metadata { path: path.into(), source: Box::new(source) })?;
    parse_boot_config(user_data.as_ref())
}

fn parse_boot_config(user_data: &str) -> Result<BootConfig, IdentityError> {
    config::read(user_data::boot_config(user_data).as_bytes()).map_err(IdentityError::UserData)
}

async fn get(metadata: &Client, path: &str) -> Result<String, IdentityError> {
    let value = metadata
        .get(format!("/latest/meta-data/{path}"))
        .await
        .map_err(|source| IdentityError::Metadata { path: path.to_owned(), source: Box::new(source) })?;
    let value = value.as_ref().trim().to_owned();
    if value.is_empty() {
        return Err(IdentityError::Value { path: path.to_owned(), value });
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
            matches!(&error, IdentityError::UserData(DocumentError::Version(found)) if found == "windlass/v2")
        );
        assert_eq!(error.class(), Class::Permanent);
        assert!(parse_boot_config(&USER_DATA.replace("\"region\"", "\"zone\"")).is_err());
        assert!(parse_boot_config("#cloud-config").is_err());
    }

    #[test]
    fn the_boot_configuration_may_be_one_part_of_the_user_data() {
        let script = user_data::Part {
            name: "hello.sh",
            media_type: "text/x-shellscript",
            content: "#!/bin/sh\n\necho hello\n",
        };
        let parts = user_data::write(USER_DATA, &[script]);
        assert_eq!(parse_boot_config(&parts).unwrap(), parse_boot_config(USER_DATA).unwrap());
    }

    #[test]
    fn the_provider_id_holds_zone_and_instance() {
        let identity = InstanceIdentity {
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
