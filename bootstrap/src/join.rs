//! How a node gets its first certificate.

use serde::{Deserialize, Serialize};

use crate::keyset::Secret;

/// What `<cluster>/nodes/bootstrap-token.json` holds: a Kubernetes bootstrap token, valid for an hour, rewritten by
/// the masters every half an hour. It only allows to *ask* for a certificate; every request is checked against EC2
/// before it is approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BootstrapToken {
    /// [`crate::config::CONFIG_VERSION`].
    pub version: String,
    /// `<id>.<secret>`.
    pub token: Secret,
    /// When it stops working, RFC 3339.
    pub expires: jiff::Timestamp,
}
