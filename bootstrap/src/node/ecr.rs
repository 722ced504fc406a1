//! Credentials for ECR. The kubelet runs a program of the image's whenever it pulls from such a registry, and that asks
//! ECR for a token with the instance's role (Kubernetes documentation, "Configure a kubelet image credential
//! provider"; the program is `ecr-credential-provider` of kubernetes/cloud-provider-aws).

use serde_json::{Value, json};

use crate::aws::identity::InstanceIdentity;
use crate::contract::config::NodeConfig;
use crate::host::Host;
use crate::host::file::{self, FileError};
use crate::progress::retry::{Class, Classed};

/// The folder of the image that holds the programs; the kubelet takes a program's name for the provider's.
const PROGRAMS: &str = "/usr/local/lib/windlass/credential-providers";
const PROVIDER: &str = "ecr-credential-provider";
const CONFIGURATION: &str = "/etc/kubernetes/credential-provider.json";

/// The hosts of private registries, in every partition of AWS; a star stands for one part of a name. They are those
/// that the program itself knows.
const REGISTRIES: [&str; 9] = [
    "*.dkr.ecr.*.amazonaws.com",
    "*.dkr.ecr.*.amazonaws.com.cn",
    "*.dkr.ecr.*.amazonaws.eu",
    "*.dkr.ecr-fips.*.amazonaws.com",
    "*.dkr-ecr.*.on.aws",
    "*.dkr-ecr-fips.*.on.aws",
    "*.dkr-ecr.*.on.amazonwebservices.com.cn",
    "*.dkr.ecr.*.c2s.ic.gov",
    "*.dkr.ecr.*.sc2s.sgov.gov",
];

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum EcrError {
    /// The specification wants credentials for ECR, and the image has nothing that gets them.
    #[error(
        "the specification allows container registries (iam.allowContainerRegistry), and this image has no {0}: make the \
         image anew with this windlass's template"
    )]
    NoProvider(String),
    /// A file.
    #[error("the kubelet's configuration can't be written")]
    File(#[source] FileError),
}

impl Classed for EcrError {
    fn class(&self) -> Class {
        match self {
            Self::NoProvider(_) => Class::Permanent,
            Self::File(_) => Class::Passing,
        }
    }
}

/// Writes what the kubelet must know of the provider, where the specification wants it. Fails where the image has no
/// such program: a kubelet that doesn't find it never starts.
pub(crate) fn ensure(
    host: &Host,
    config: &NodeConfig,
    identity: &InstanceIdentity,
) -> Result<bool, EcrError> {
    if !config.kubelet.ecr_credentials {
        return Ok(false);
    }
    let program = format!("{PROGRAMS}/{PROVIDER}");
    if !host.path(&program).is_file() {
        return Err(EcrError::NoProvider(program));
    }
    let text = format!("{:#}\n", configuration(identity));
    file::ensure(&host.path(CONFIGURATION), text, file::PRIVATE).map_err(EcrError::File)
}

/// The flags for it; the kubelet's configuration file has no fields for them.
pub(crate) fn arguments(config: &NodeConfig) -> Vec<String> {
    if !config.kubelet.ecr_credentials {
        return Vec::new();
    }
    vec![
        format!("--image-credential-provider-config={CONFIGURATION}"),
        format!("--image-credential-provider-bin-dir={PROGRAMS}"),
    ]
}

fn configuration(identity: &InstanceIdentity) -> Value {
    let mut provider = json!({
        "name": PROVIDER,
        "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "args": ["get-credentials"],
        "matchImages": REGISTRIES,
        // Of ECR's twelve hours; the program's own answer goes first.
        "defaultCacheDuration": "6h",
    });
    if identity.private_address.is_none() {
        // Without an IPv4 address it reaches the metadata service by IPv6, which AWS's tools do only where they are told to.
        provider["env"] = json!([{"name": "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "value": "IPv6"}]);
    }
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1",
        "kind": "CredentialProviderConfig",
        "providers": [provider],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_asks_for_the_instance_s_role_by_ipv6_where_there_is_no_ipv4() {
        let identity = crate::testing::identity();
        assert_eq!(configuration(&identity)["providers"][0]["env"], Value::Null);
        let ipv6 = InstanceIdentity { private_address: None, ..identity };
        let env = &configuration(&ipv6)["providers"][0]["env"][0];
        assert_eq!(env["name"], "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
        assert_eq!(env["value"], "IPv6");
    }
}
