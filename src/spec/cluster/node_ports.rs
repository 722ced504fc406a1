//! Who may reach services by the ports of nodes.

use serde::Serialize;

use super::AccessSource;

/// Who may reach services by the ports of nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodePortAccess {
    /// From where.
    pub sources: Vec<AccessSource>,
    /// The first and the last port.
    pub ports: (u16, u16),
}
