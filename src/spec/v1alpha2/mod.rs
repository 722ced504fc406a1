//! The wire types: what stands in a `kops.k8s.io/v1alpha2` file, field by field.
//!
//! Every field is optional: what a field means when it is left out is said once, in `default`. Unknown fields are
//! refused. A field's row holds its words, which `windlass explain` shows, its type, which the decoder holds files to,
//! and what windlass makes of it ([`row`]). A field that is not here does not exist.
//!
//! Windlass's own fields, which kops does not have, follow the same style: `spec.api.elasticIP`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Declares wire types: every field optional and left out when absent, names in camelCase unless renamed. Behind a
/// field's type stands what windlass makes of it.
macro_rules! wire {
    ($($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty $(= $row:expr)?,)*
    })*) => { $(
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                $(#[schemars(extend("x-windlass-row" = $row))])?
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<$type>,
            )*
        }
    )* };
}

mod access;
mod addons;
mod cluster;
mod component;
mod etcd;
mod instance_group;
mod networking;
pub mod row;
mod scalar;
pub mod setting;

pub use access::*;
pub use addons::*;
pub use cluster::*;
pub use component::*;
pub use etcd::*;
pub use instance_group::*;
pub use networking::*;
pub use scalar::*;

/// The API version of every document.
pub const API_VERSION: &str = "kops.k8s.io/v1alpha2";

/// The label with which an instance group names its cluster.
pub const CLUSTER_LABEL: &str = "kops.k8s.io/cluster";

/// A `Cluster`, an `InstanceGroup` or an `SSHCredential`: what they have in common.
pub trait Object: Serialize + for<'de> Deserialize<'de> + schemars::JsonSchema {
    /// The `kind` of the document.
    const KIND: &'static str;

    /// `metadata.name`, or an empty string.
    fn name(&self) -> &str;
}

/// One document: the envelope around a specification.
macro_rules! object {
    ($(#[$meta:meta])* $name:ident, $kind:literal, $spec:ty = $row:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            /// The version of the format: `kops.k8s.io/v1alpha2`.
            #[schemars(extend("x-windlass-row" = row::HONOURED))]
            pub api_version: String,
            /// What this document is.
            #[schemars(extend("x-windlass-row" = row::HONOURED))]
            pub kind: String,
            /// The name, and labels and annotations.
            #[schemars(extend("x-windlass-row" = row::HONOURED))]
            #[serde(default)]
            pub metadata: Metadata,
            /// What is wanted.
            #[schemars(extend("x-windlass-row" = $row))]
            #[serde(default)]
            pub spec: $spec,
        }

        impl $name {
            /// A document of this kind with a name and nothing else.
            pub fn named(name: &str) -> Self {
                Self {
                    api_version: API_VERSION.to_owned(),
                    kind: $kind.to_owned(),
                    metadata: Metadata { name: Some(name.to_owned()), ..Metadata::default() },
                    spec: <$spec>::default(),
                }
            }
        }

        impl Object for $name {
            const KIND: &'static str = $kind;

            fn name(&self) -> &str {
                self.metadata.name.as_deref().unwrap_or_default()
            }
        }
    };
}

object!(
    /// A cluster: everything that its instance groups have in common.
    Cluster, "Cluster", ClusterSpec = row::IN_PART
);
object!(
    /// A group of instances that are alike.
    InstanceGroup, "InstanceGroup", InstanceGroupSpec = row::IN_PART
);
object!(
    /// A public key that is put on every instance.
    SshCredential, "SSHCredential", SshCredentialSpec = row::HONOURED
);

/// The name of a cluster's SSH key where its document has none, as kops calls it.
pub const SSH_CREDENTIAL_NAME: &str = "admin";

wire! {
    /// What names a document.
    pub struct Metadata {
        /// The name: of a cluster a DNS name such as `demo.example.com`, of a group a DNS label.
        name: String,
        /// Ignored: clusters have no namespace.
        namespace: String,
        /// Labels; `kops.k8s.io/cluster` names the cluster that an instance group belongs to.
        labels: BTreeMap<String, String>,
        /// Annotations, kept as they are.
        annotations: BTreeMap<String, String>,
        /// When the document was first written; kept as it is.
        creation_timestamp: String,
        /// Counted up by whoever keeps the document; kept as it is.
        generation: i64,
        /// Set by a Kubernetes API server; kept as it is.
        resource_version: String,
        /// Set by a Kubernetes API server; kept as it is.
        uid: String,
        /// Set by a Kubernetes API server.
        generate_name: String,
        /// Set by a Kubernetes API server.
        self_link: String,
        /// Set by a Kubernetes API server.
        deletion_timestamp: String,
        /// Set by a Kubernetes API server.
        deletion_grace_period_seconds: i64,
        /// Set by a Kubernetes API server.
        owner_references: Vec<serde_json::Value>,
        /// Set by a Kubernetes API server.
        finalizers: Vec<String>,
        /// Set by a Kubernetes API server.
        managed_fields: Vec<serde_json::Value>,
    }

    /// A public key.
    pub struct SshCredentialSpec {
        /// The key in OpenSSH's form, such as `ssh-ed25519 AAAA… me@example.com`.
        public_key: String,
    }
}
