//! The forward proxy through which instances reach the Internet.

use serde::Serialize;

/// `spec.egressProxy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressProxy {
    /// Such as `http://proxy.example.com:3128`.
    pub url: String,
    /// What the specification names besides what instances never go through a proxy for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
}
