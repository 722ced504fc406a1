//! What lets everybody read the discovery documents of service accounts, in a cluster whose API server shows them.

use super::{Declared, Values};
use crate::spec::cluster::Cluster;

/// The binding of Kubernetes' own role for it.
pub(super) struct IssuerDiscovery;

impl Declared for IssuerDiscovery {
    fn values(cluster: &Cluster) -> Option<Values> {
        cluster.service_accounts.anonymous_discovery.then(Values::default)
    }
}
