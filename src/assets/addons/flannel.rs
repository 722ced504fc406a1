//! The pod network of a cluster that asks for flannel.

use super::{Declared, Values};
use crate::spec::cluster::{Cluster, NetworkPlugin};
use crate::spec::endpoint::{ApiEndpoints, Outputs};

/// flannel, over vxlan.
pub(super) struct Flannel;

impl Declared for Flannel {
    fn values(cluster: &Cluster) -> Option<Values> {
        match cluster.plugin {
            NetworkPlugin::External => None,
            NetworkPlugin::Flannel => {
                let api = ApiEndpoints::of(cluster, Outputs::default()).inside;
                let values = Values::default()
                    .text("network", &cluster.network.non_masquerade_cidr)
                    .text("api_address", &api.host)
                    .text("api_port", &api.port);
                Some(values)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::addons::render;
    use crate::assets::addons::tests::manifest;
    use crate::assets::sample::cluster;

    #[test]
    fn a_cluster_that_brings_its_own_network_gets_no_flannel() {
        let addons = render(&Cluster { plugin: NetworkPlugin::External, ..cluster() }).unwrap();
        assert_eq!(addons.iter().map(|addon| addon.name.as_str()).collect::<Vec<_>>(), ["coredns"]);
    }

    #[test]
    fn what_pods_send_into_the_non_masquerade_range_keeps_their_addresses() {
        let mut cluster = cluster();
        cluster.network.non_masquerade_cidr = "10.0.0.0/8".parse().unwrap();
        cluster.network.pod_cidr = Some("10.128.0.0/9".parse().unwrap());
        let manifest = manifest("flannel", &cluster);
        assert!(manifest.contains("\"Network\": \"10.0.0.0/8\""), "{manifest}");
    }
}
