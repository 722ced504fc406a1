//! What instances are told of the forward proxy through which they reach the Internet.

use ipnet::IpNet;
use windlass_bootstrap::egress_proxy::EgressProxy;

use crate::spec::cluster::Cluster;
use crate::spec::endpoint::{ApiEndpoints, Outputs};

/// The address at which EC2 tells an instance of itself.
const METADATA: &str = "169.254.169.254";

/// What an instance of an IPv6 cluster reaches by such addresses on itself and of EC2.
const IPV6: [&str; 2] = ["::1", "fd00:ec2::254"];

/// What instances are told of the proxy: nothing, where there is none.
pub fn egress_proxy(cluster: &Cluster) -> Option<EgressProxy> {
    let proxy = cluster.egress_proxy.as_ref()?;
    let mut no_proxy: Vec<String> = Vec::new();
    for target in reached_without(cluster).into_iter().chain(proxy.excludes.iter().cloned()) {
        if !no_proxy.contains(&target) {
            no_proxy.push(target);
        }
    }
    Some(EgressProxy { url: proxy.url.clone(), no_proxy })
}

/// The machine itself, the cluster and its API by every name, the VPC; and S3 in the region, to which windlass's own VPC has a
/// way of its own.
fn reached_without(cluster: &Cluster) -> Vec<String> {
    let network = &cluster.network;
    let fixed = ["127.0.0.1", "localhost", METADATA].map(str::to_owned);
    // Webhooks and aggregated APIs are called by `<service>.<namespace>.svc`.
    let domains = [".svc".to_owned(), format!(".{}", network.dns_domain), format!(".{}", cluster.name)];
    let api = &cluster.api;
    let inside = ApiEndpoints::of(cluster, Outputs::default()).inside.host.to_string();
    let written = api.dns.as_ref().map(|dns| &dns.name).into_iter().chain(&api.public_name).cloned();
    let names = written.chain([cluster.internal_name(), inside]);
    let ranges = [network.cidr].into_iter().chain(network.additional_cidrs.iter().copied());
    let own = network.pod_cidr.into_iter().chain([network.service_cidr]);
    let ranges = ranges.map(IpNet::V4).chain(own).map(|range| range.to_string());
    let own = network.existing_vpc.is_none();
    let s3 = own.then(|| format!(".s3.{}.{}", cluster.region, domain_of_aws(&cluster.region)));
    let ipv6 = IPV6.into_iter().filter(|_| network.is_ipv6()).map(str::to_owned);
    fixed.into_iter().chain(ipv6).chain(domains).chain(names).chain(ranges).chain(s3).collect()
}

/// What the names of AWS's services in a region end with.
fn domain_of_aws(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::sample;
    use crate::spec::cluster;

    fn told(cluster: &Cluster) -> Vec<String> {
        egress_proxy(cluster).unwrap().no_proxy
    }

    #[test]
    fn instances_reach_the_cluster_the_vpc_and_aws_s_own_addresses_without_the_proxy() {
        let mut cluster = sample::cluster();
        assert_eq!(egress_proxy(&cluster), None);
        let excludes = vec![".corp.example.com".to_owned(), "localhost".to_owned()];
        cluster.egress_proxy = Some(cluster::EgressProxy { url: "http://proxy:3128".to_owned(), excludes });
        cluster.api.public_name = Some("k8s.example.org".to_owned());
        assert_eq!(
            told(&cluster),
            [
                "127.0.0.1",
                "localhost",
                "169.254.169.254",
                ".svc",
                ".cluster.local",
                ".demo.example.com",
                "k8s.example.org",
                "api.internal.demo.example.com",
                "172.20.32.10",
                "172.20.0.0/16",
                "100.96.0.0/11",
                "100.64.0.0/13",
                ".s3.us-east-1.amazonaws.com",
                ".corp.example.com",
            ]
        );
    }

    #[test]
    fn in_an_ipv6_cluster_an_instance_asks_itself_and_its_metadata_without_the_proxy() {
        let mut cluster = sample::cluster();
        cluster.egress_proxy =
            Some(cluster::EgressProxy { url: "http://proxy".to_owned(), excludes: Vec::new() });
        cluster.network.pod_cidr = None;
        cluster.network.service_cidr = "fd00:5e4f:ce::/108".parse().unwrap();
        let told = told(&cluster);
        for target in ["::1", "fd00:ec2::254", "fd00:5e4f:ce::/108", "169.254.169.254"] {
            assert!(told.iter().any(|it| it == target), "{target}: {told:?}");
        }
    }

    #[test]
    fn s3_is_reached_through_the_proxy_where_the_vpc_is_somebody_else_s() {
        let mut cluster = sample::cluster();
        cluster.egress_proxy =
            Some(cluster::EgressProxy { url: "http://proxy".to_owned(), excludes: Vec::new() });
        cluster.network.existing_vpc = Some("vpc-1".to_owned());
        assert!(told(&cluster).iter().all(|target| !target.contains("s3")));
    }
}
