//! Cluster DNS, which every cluster has.

use super::{Declared, Values};
use crate::spec::cluster::Cluster;

/// CoreDNS.
pub(super) struct Coredns;

impl Declared for Coredns {
    fn values(cluster: &Cluster) -> Option<Values> {
        let network = &cluster.network;
        let values = Values::default()
            .text("dns_domain", &network.dns_domain)
            .text("dns_address", &network.dns_address)
            .text("address_family", &if network.is_ipv6() { "IPv6" } else { "IPv4" });
        Some(values)
    }
}

#[cfg(test)]
mod tests {
    use crate::assets::addons::tests::manifest;
    use crate::assets::sample::cluster;
    use crate::spec::cluster::Cluster;

    #[test]
    fn a_value_that_is_yaml_itself_stays_a_text() {
        let mut cluster = cluster();
        cluster.network.dns_domain = "x\"\n  evil: true".to_owned();
        let manifest = manifest("coredns", &cluster);
        assert!(manifest.contains(r#"kubernetes "x\"\n  evil: true" in-addr.arpa"#), "{manifest}");
    }

    #[test]
    fn in_an_ipv6_cluster_names_are_asked_for_by_ipv6_and_who_has_ipv4_alone_gets_an_address_by_dns64() {
        let corefile = |cluster: &Cluster| {
            let manifest = manifest("coredns", cluster);
            let objects = crate::spec::yaml::all_to_json(&manifest).unwrap();
            let text = |object: &serde_json::Value| object["data"]["Corefile"].as_str().map(str::to_owned);
            let address = objects.iter().find_map(|object| object["spec"]["clusterIP"].as_str());
            (objects.iter().find_map(text).unwrap(), address.unwrap().to_owned())
        };
        let mut cluster = cluster();
        let (usual, _) = corefile(&cluster);
        assert!(usual.contains("forward . /etc/resolv.conf {") && !usual.contains("dns64"), "{usual}");
        cluster.network.pod_cidr = None;
        cluster.network.service_cidr = "fd00:5e4f:ce::/108".parse().unwrap();
        cluster.network.dns_address = "fd00:5e4f:ce::a".parse().unwrap();
        let (corefile, address) = corefile(&cluster);
        assert_eq!(address, "fd00:5e4f:ce::a");
        let lines: Vec<&str> = corefile.lines().map(str::trim).collect();
        assert!(lines.contains(&"forward . fd00:ec2::253 {") && lines.contains(&"dns64"), "{corefile}");
        assert!(!corefile.contains("resolv.conf"), "{corefile}");
    }
}
