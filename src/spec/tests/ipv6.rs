//! IPv6 clusters: what is written, and what it means.

use super::complete;
use crate::spec::cluster::{Cluster, Subnet, SubnetKind};
use crate::spec::endpoint::{ApiEndpoints, Outputs};
use crate::spec::{CreateOptions, create};

/// What `create cluster --ipv6` writes.
fn written() -> String {
    let options = CreateOptions {
        name: "six.example.com".to_owned(),
        zones: ["us-test-1a", "us-test-1b"].map(str::to_owned).into(),
        control_plane_count: Some(1),
        networking: Some("cni".to_owned()),
        bastion: true,
        ipv6: true,
        ..CreateOptions::default()
    };
    create(&options).unwrap_or_else(|problems| panic!("{problems}")).to_yaml()
}

fn cluster(text: &str) -> Cluster {
    complete(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// What is said of it with another text in one place.
fn told(from: &str, to: &str) -> String {
    let text = written();
    assert!(text.contains(from), "{from}: {text}");
    complete(&text.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn its_services_have_ipv6_addresses_its_pods_their_nodes_and_its_private_subnets_no_others() {
    let cluster = cluster(&written());
    let network = &cluster.network;
    assert!(network.is_ipv6());
    assert_eq!((network.service_cidr.to_string().as_str(), network.pod_cidr), ("fd00:5e4f:ce::/108", None));
    assert_eq!(network.dns_address.to_string(), "fd00:5e4f:ce::a");
    let kinds = |kind| cluster.subnets.iter().filter(move |subnet| subnet.kind == kind);
    let shown = |subnet: &Subnet| {
        (subnet.ipv6.map(|range| range.to_string()), subnet.cidr.is_some(), subnet.name.clone())
    };
    let six =
        |number: u8, with_ipv4: bool, name: &str| (Some(format!("/64#{number}")), with_ipv4, name.to_owned());
    let private: Vec<_> = kinds(SubnetKind::Private).map(shown).collect();
    assert_eq!(private, [six(0, false, "us-test-1a"), six(1, false, "us-test-1b")]);
    let both: Vec<_> = kinds(SubnetKind::DualStack).map(shown).collect();
    assert_eq!(both, [six(2, true, "dualstack-us-test-1a"), six(3, true, "dualstack-us-test-1b")]);
}

#[test]
fn its_nodes_go_to_the_masters_stable_ipv6_addresses_by_a_name_that_they_keep() {
    let cluster = cluster(&written());
    let endpoints = ApiEndpoints::of(&cluster, Outputs::default());
    assert_eq!(endpoints.inside.url(), "https://api.internal.six.example.com");
    assert_eq!(endpoints.masters.ipv4, Vec::<std::net::Ipv4Addr>::new());
    let vpc = "2600:1f18:aaaa:bb00::/56".parse().unwrap();
    let addresses: Vec<_> = endpoints.masters.ipv6.iter().filter_map(|master| master.address(vpc)).collect();
    assert_eq!(addresses, ["2600:1f18:aaaa:bb02::ac14:200a".parse::<std::net::Ipv6Addr>().unwrap()]);
}

#[test]
fn what_an_ipv6_cluster_cant_be_is_refused_by_its_field() {
    for (from, to, expected) in [
        ("nonMasqueradeCIDR: ::/0", "nonMasqueradeCIDR: fd00::/8", "spec.nonMasqueradeCIDR: `fd00::/8`"),
        ("nonMasqueradeCIDR: ::/0", "nonMasqueradeCIDR: ::/0\n  podCIDR: fd00::/64", "spec.podCIDR: pods"),
        (
            "nonMasqueradeCIDR: ::/0",
            "nonMasqueradeCIDR: ::/0\n  serviceClusterIPRange: fd00::/64",
            "spec.serviceClusterIPRange: `fd00::/64`",
        ),
        (
            "nonMasqueradeCIDR: ::/0",
            "nonMasqueradeCIDR: ::/0\n  serviceClusterIPRange: 10.0.0.0/16",
            "spec.serviceClusterIPRange: `10.0.0.0/16` is an IPv4 range",
        ),
        (
            "nonMasqueradeCIDR: ::/0",
            "nonMasqueradeCIDR: ::/0\n  kubeControllerManager: {allocateNodeCIDRs: true}",
            "spec.kubeControllerManager.allocateNodeCIDRs: in an IPv6 cluster EC2 says",
        ),
        ("    cni: {}", "    flannel: {}", "spec.networking.flannel: flannel knows nothing"),
        (
            "ipv6CIDR: /64#1",
            "ipv6CIDR: /64#0",
            "spec.subnets[1].ipv6CIDR: `/64#0` is the range of spec.subnets[0]",
        ),
        ("ipv6CIDR: /64#1", "ipv6CIDR: /56#0", "spec.subnets[1].ipv6CIDR: `/56#0` is neither"),
        ("    ipv6CIDR: /64#2\n", "", "spec.subnets[2].ipv6CIDR: this field is missing"),
        (
            "    ipv6CIDR: /64#0\n",
            "    cidr: 172.20.128.0/19\n",
            "pods have IPv6 addresses, and the subnet `us-test-1a`",
        ),
        (
            "  - dualstack-us-test-1a",
            "  - us-test-1a",
            "a master has an IPv4 address, and the subnet `us-test-1a`",
        ),
        (
            "nonMasqueradeCIDR: ::/0",
            "nonMasqueradeCIDR: 100.64.0.0/10",
            "spec.subnets[0].cidr: instances would",
        ),
    ] {
        let told = told(from, to);
        assert!(told.contains(expected), "{to}: {told}");
    }
}

#[test]
fn subnets_of_an_ipv4_cluster_may_have_ipv6_ranges_besides() {
    let good = include_str!("good.yaml");
    let text = good.replacen("    name: us-east-1a", "    ipv6CIDR: /64#a\n    name: us-east-1a", 1);
    let cluster = cluster(&text);
    assert!(!cluster.network.is_ipv6());
    let ranges: Vec<_> =
        cluster.subnets.iter().filter_map(|subnet| subnet.ipv6).map(|it| it.to_string()).collect();
    assert_eq!(ranges, ["/64#a"]);
}

#[test]
fn private_subnets_have_further_routes_of_both_families_and_an_egress_only_gateway_is_for_ipv6_alone() {
    let further = |cidr: &str, target: &str| {
        let routes =
            format!("    additionalRoutes: [{{cidr: \"{cidr}\", target: {target}-0123456789abcdef0}}]\n");
        written().replacen("    ipv6CIDR: /64#0\n", &format!("    ipv6CIDR: /64#0\n{routes}"), 1)
    };
    for (cidr, target) in [("2001:db8::/32", "eigw"), ("2001:db8::/32", "tgw"), ("10.0.0.0/8", "pcx")] {
        let cluster = cluster(&further(cidr, target));
        let routes = cluster.subnets.iter().flat_map(|subnet| &subnet.additional_routes);
        let shown: Vec<String> = routes.map(|(cidr, target)| format!("{cidr} {target}")).collect();
        assert_eq!(shown, [format!("{cidr} {target}-0123456789abcdef0")]);
    }
    let told = complete(&further("10.0.0.0/8", "eigw")).unwrap_err().to_string();
    assert!(
        told.contains("spec.subnets[0].additionalRoutes[0].target: an egress-only Internet gateway"),
        "{told}"
    );
}
