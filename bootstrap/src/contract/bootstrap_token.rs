//! The token with which a new node asks for its first certificate: masters write it, nodes read it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::contract::keyset::Secret;

/// What `<cluster>/nodes/bootstrap-token.json` holds: a Kubernetes bootstrap token, valid for an hour, rewritten by
/// the masters every half an hour. It only allows to *ask* for a certificate; every request is checked against EC2
/// before it is approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BootstrapToken {
    /// [`crate::contract::config::CONFIG_VERSION`].
    pub version: String,
    /// `<id>.<secret>`.
    pub token: Secret,
    /// When it stops working, RFC 3339.
    pub expires: Timestamp,
}
