//! Cluster DNS, which every cluster has.

use super::{Declared, Values};
use crate::spec::cluster::Cluster;

/// CoreDNS.
pub(super) struct Coredns;

impl Declared for Coredns {
    fn values(cluster: &Cluster) -> Option<Values> {
        let network = &cluster.network;
        let values =
            Values::default().text("dns_domain", &network.dns_domain).text("dns_address", &network.dns_address);
        Some(values)
    }
}

#[cfg(test)]
mod tests {
    use crate::assets::addons::tests::manifest;
    use crate::assets::sample::cluster;

    #[test]
    fn a_value_that_is_yaml_itself_stays_a_text() {
        let mut cluster = cluster();
        cluster.network.dns_domain = "x\"\n  evil: true".to_owned();
        let manifest = manifest("coredns", &cluster);
        assert!(manifest.contains(r#"kubernetes "x\"\n  evil: true" in-addr.arpa"#), "{manifest}");
    }
}
