//! Where a cluster's API is reached, by whom. It is decided here, and nowhere else:
//!
//! | who | goes to |
//! |---|---|
//! | what runs on a master | the API on its own machine (`NodeConfig::api_endpoint` of the agent) |
//! | nodes, and pods that have no network of their own yet | the master's stable private address, whoever the instance is; of several masters, and in an IPv6 cluster, the internal name, which their `/etc/hosts` gives all those addresses |
//! | API servers beside the masters, for what is a node's | the masters, as nodes without a load balancer |
//! | windlass | the load balancer, the Elastic IP, or the stable private address, which it needs a way into the VPC for |
//! | kubeconfigs | the API's name where there is one, else as windlass |

use std::net::Ipv4Addr;

use windlass_bootstrap::endpoint::{Endpoint, ServerName};
use windlass_bootstrap::ipv6::MasterIpv6;

use super::cluster::{Api, Cluster, LoadBalancer, Master};

/// What AWS decides of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// The Elastic IP's address; none as long as there is no Elastic IP.
    pub elastic_ip: Option<Ipv4Addr>,
    /// The load balancer's DNS name; none as long as there is no load balancer.
    pub load_balancer: Option<String>,
}

/// Where a cluster's API is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiEndpoints {
    /// By instances, and by their pods that have no network of their own yet.
    pub inside: Endpoint,
    /// The stable addresses of all masters, where `inside` is a name that instances keep for them.
    pub masters: MasterAddresses,
    /// By windlass: it knows the address from EC2, also before every resolver knows the name. `None` as long as the
    /// address doesn't exist.
    pub outside: Option<Endpoint>,
    /// By those who have a kubeconfig. `None` as long as the address doesn't exist.
    pub kubeconfig: Option<Endpoint>,
    /// By those who have one and are in the VPC, or have a way into it: the API's internal name where a hosted zone has it, else
    /// the first master's stable private address.
    pub internal: Endpoint,
}

/// The masters' stable addresses: of one family or the other, as a cluster's pods and services are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MasterAddresses {
    /// Their private IPv4 addresses.
    pub ipv4: Vec<Ipv4Addr>,
    /// Where their IPv6 addresses are.
    pub ipv6: Vec<MasterIpv6>,
}

impl ApiEndpoints {
    /// Decides it.
    pub fn of(cluster: &Cluster, outputs: Outputs) -> Self {
        let api = &cluster.api;
        let at = |host: ServerName| Endpoint { host, port: api.port };
        let first = at(cluster.etcd.first().members.first().private_address.into());
        let (inside, masters) = inside(cluster);
        let internal = match &api.dns {
            Some(dns) if dns.zone.may_hold(&cluster.internal_name()) => {
                Endpoint { host: ServerName::Dns(cluster.internal_name()), port: inside.port }
            }
            _ => first.clone(),
        };
        let outside = if let Some(balancer) = &api.load_balancer {
            let name = outputs.load_balancer.map(ServerName::Dns);
            name.map(|host| Endpoint { host, port: balancer.port_for_clients(api.port) })
        } else if api.elastic_ip {
            // Of several masters' addresses, one may be of a master that is gone: clients of the name try the others.
            let named = api.name().filter(|_| cluster.masters().count() > 1);
            let host = |address: Ipv4Addr| named.map_or(address.into(), ServerName::from);
            outputs.elastic_ip.map(|address| at(host(address)))
        } else {
            Some(first)
        };
        let named = |by_address: &Endpoint| match api.name() {
            Some(name) => Endpoint { host: ServerName::Dns(name.to_owned()), port: by_address.port },
            None => by_address.clone(),
        };
        Self { kubeconfig: outside.as_ref().map(named), inside, masters, outside, internal }
    }
}

/// Where instances reach it, and the masters' addresses where that is a name which they keep for them.
fn inside(cluster: &Cluster) -> (Endpoint, MasterAddresses) {
    let api = &cluster.api;
    match &api.load_balancer {
        Some(balancer) if balancer.for_nodes => {
            let host = ServerName::Dns(cluster.internal_name());
            (Endpoint { host, port: balancer.port_for_clients(api.port) }, MasterAddresses::default())
        }
        _ => at_masters(cluster),
    }
}

/// The same of API servers beside the masters, which go to the masters themselves also where nodes go by a load balancer: that
/// could lead an instance to itself, which its packets don't survive (Network Load Balancers User Guide, "Client IP
/// preservation").
pub fn at_masters(cluster: &Cluster) -> (Endpoint, MasterAddresses) {
    let port = cluster.api.port;
    let named = Endpoint { host: ServerName::Dns(cluster.internal_name()), port };
    if cluster.network.is_ipv6() {
        // A node may have no IPv4 address.
        return (named, MasterAddresses { ipv4: Vec::new(), ipv6: masters_ipv6(cluster) });
    }
    let ipv4: Vec<Ipv4Addr> =
        cluster.etcd.first().members.iter().map(|member| member.private_address).collect();
    match ipv4.as_slice() {
        [only] => (Endpoint { host: (*only).into(), port }, MasterAddresses::default()),
        _ => (named, MasterAddresses { ipv4, ipv6: Vec::new() }),
    }
}

/// Where the masters' stable IPv6 addresses are, as far as their subnets have IPv6 ranges.
fn masters_ipv6(cluster: &Cluster) -> Vec<MasterIpv6> {
    let of_master = |master: &Master| {
        let private_address = master.members.first().member.private_address;
        Some(MasterIpv6 { subnet: master.subnet.ipv6?, private_address })
    };
    cluster.masters().filter_map(of_master).collect()
}

impl LoadBalancer {
    /// The port for those who prove who they are with a certificate of their own: where it shows another one on the API's
    /// port, that is another port.
    fn port_for_clients(&self, api: u16) -> u16 {
        self.certificate.as_ref().map_or(api, |_| Self::CLIENT_CERTIFICATES_PORT)
    }
}

impl Api {
    /// The API's name, where a hosted zone has one or the operator has written one, and keeps it elsewhere.
    fn name(&self) -> Option<&str> {
        let in_zone = self.dns.as_ref().map(|dns| &dns.name);
        in_zone.or(self.public_name.as_ref()).map(String::as_str)
    }

    /// The names and addresses of the serving certificate besides those that the agent knows itself, in a region.
    pub fn certificate_names(&self, region: &str) -> Vec<String> {
        let in_zone = self.dns.as_ref().filter(|_| self.load_balancer.is_some()).map(|dns| &dns.name);
        let in_zone = in_zone.filter(|name| self.public_name.as_ref() != Some(*name));
        let balancer = self.load_balancer.as_ref().map(|_| load_balancers_of(region));
        let names = self.public_name.iter().chain(&self.internal_name).chain(in_zone);
        let written = self.additional_sans.iter().chain(names).cloned();
        written.chain(balancer).collect()
    }
}

/// All names that AWS gives Network Load Balancers of a region, `<name>-<id>.elb.<region>.amazonaws.com`: which one a
/// cluster's will have is known only when it is made, and a master's certificate, which none but the cluster's own clients
/// trust, is made without asking for it.
fn load_balancers_of(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("*.elb.{region}.{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::sample;
    use crate::spec::cluster::{ApiName, Certificate, DnsZone, EtcdMember, LoadBalancerSubnet, Visibility};
    use crate::spec::non_empty::NonEmpty;

    const ELASTIC: Outputs = Outputs { elastic_ip: Some(Ipv4Addr::new(203, 0, 113, 7)), load_balancer: None };

    fn urls(cluster: &Cluster, outputs: Outputs) -> (String, Option<String>, Option<String>) {
        let ApiEndpoints { inside, outside, kubeconfig, .. } = ApiEndpoints::of(cluster, outputs);
        (inside.url(), outside.map(|at| at.url()), kubeconfig.map(|at| at.url()))
    }

    fn said(inside: &str, outside: &str, kubeconfig: &str) -> (String, Option<String>, Option<String>) {
        (inside.to_owned(), Some(outside.to_owned()), Some(kubeconfig.to_owned()))
    }

    const PRIVATE: &str = "https://172.20.32.10";
    const PUBLIC: &str = "https://203.0.113.7";

    #[test]
    fn instances_go_to_the_private_address_and_everybody_else_to_the_elastic_ip() {
        assert_eq!(urls(&sample::cluster(), ELASTIC), said(PRIVATE, PUBLIC, PUBLIC));
    }

    #[test]
    fn who_is_in_the_vpc_goes_by_the_internal_name_where_a_zone_has_it_and_by_a_private_address_elsewhere() {
        let mut cluster = sample::cluster();
        let internal = |cluster: &Cluster| ApiEndpoints::of(cluster, ELASTIC).internal.url();
        assert_eq!(internal(&cluster), PRIVATE);
        let name = "api.demo.example.com".to_owned();
        cluster.api.dns = Some(ApiName { name, zone: DnsZone::Nearest, visibility: Visibility::Public });
        assert_eq!(internal(&cluster), format!("https://{}", cluster.internal_name()));
    }

    #[test]
    fn without_an_elastic_ip_everybody_goes_to_the_private_address() {
        let mut cluster = sample::cluster();
        cluster.api.elastic_ip = false;
        assert_eq!(urls(&cluster, Outputs::default()), said(PRIVATE, PRIVATE, PRIVATE));
    }

    #[test]
    fn as_long_as_there_is_no_elastic_ip_the_api_is_nowhere_to_be_reached_from_outside_also_not_by_a_name() {
        let mut cluster = sample::cluster();
        cluster.api.public_name = Some("k8s.example.com".to_owned());
        assert_eq!(urls(&cluster, Outputs::default()), (PRIVATE.to_owned(), None, None));
    }

    #[test]
    fn a_kubeconfig_has_the_name_that_is_written_also_where_no_hosted_zone_has_it() {
        let mut cluster = sample::cluster();
        cluster.api.public_name = Some("k8s.example.com".to_owned());
        assert_eq!(urls(&cluster, ELASTIC), said(PRIVATE, PUBLIC, "https://k8s.example.com"));
        assert_eq!(cluster.api.certificate_names("us-east-1"), ["k8s.example.com"]);
        cluster.api.public_name = None;
        cluster.api.dns = Some(ApiName {
            name: "api.demo.example.com".to_owned(),
            zone: DnsZone::Nearest,
            visibility: Visibility::Public,
        });
        assert_eq!(urls(&cluster, ELASTIC), said(PRIVATE, PUBLIC, "https://api.demo.example.com"));
    }

    /// The same cluster with two masters more.
    fn with_three_masters() -> Cluster {
        let mut cluster = sample::cluster();
        let members = (10..=12).map(|last| EtcdMember {
            name: format!("m{last}"),
            private_address: Ipv4Addr::new(172, 20, 32, last),
            joins: false,
        });
        cluster.etcd.first_mut().members = NonEmpty::of(members).unwrap();
        cluster
    }

    #[test]
    fn of_several_masters_instances_keep_a_name_with_all_their_addresses() {
        let mut cluster = with_three_masters();
        let endpoints = ApiEndpoints::of(&cluster, ELASTIC);
        assert_eq!(endpoints.inside.url(), "https://api.internal.demo.example.com");
        assert_eq!(
            endpoints.masters.ipv4,
            (10..=12).map(|last| Ipv4Addr::new(172, 20, 32, last)).collect::<Vec<_>>()
        );
        cluster.api.internal_name = Some("kube.example.com".to_owned());
        assert_eq!(ApiEndpoints::of(&cluster, ELASTIC).inside.url(), "https://kube.example.com");
        assert_eq!(cluster.api.certificate_names("us-east-1"), ["kube.example.com"]);
        assert_eq!(ApiEndpoints::of(&sample::cluster(), ELASTIC).masters, MasterAddresses::default());
    }

    #[test]
    fn a_load_balancer_for_nodes_is_known_to_dns_alone_and_reached_at_the_port_for_clients_certificates() {
        let mut cluster = with_three_masters();
        let subnet = cluster.subnets[0].clone();
        cluster.api.load_balancer = Some(LoadBalancer {
            internal: true,
            subnets: LoadBalancerSubnet { subnet, private_address: None, allocation: None }.into(),
            certificate: Some(Certificate { arn: "arn".to_owned(), policy: "policy".to_owned() }),
            cross_zone: false,
            for_nodes: true,
            access_log: None,
            security_group: None,
            additional_security_groups: [].into(),
        });
        let endpoints = ApiEndpoints::of(&cluster, Outputs::default());
        assert_eq!(endpoints.inside.url(), "https://api.internal.demo.example.com:8443");
        assert_eq!(endpoints.masters, MasterAddresses::default());
    }

    #[test]
    fn through_a_load_balancer_everybody_but_instances_goes_by_its_name_and_with_a_certificate_by_another_port()
     {
        const NAME: &str = "api-demo-1.elb.us-east-1.amazonaws.com";
        let mut cluster = sample::cluster();
        let subnet = cluster.subnets[0].clone();
        let mut balancer = LoadBalancer {
            internal: false,
            subnets: LoadBalancerSubnet { subnet, private_address: None, allocation: None }.into(),
            certificate: None,
            cross_zone: false,
            for_nodes: false,
            access_log: None,
            security_group: None,
            additional_security_groups: [].into(),
        };
        cluster.api.elastic_ip = false;
        cluster.api.load_balancer = Some(balancer.clone());
        let outputs = || Outputs { load_balancer: Some(NAME.to_owned()), elastic_ip: None };
        let url = format!("https://{NAME}");
        assert_eq!(urls(&cluster, outputs()), said(PRIVATE, &url, &url));
        assert_eq!(urls(&cluster, Outputs::default()), (PRIVATE.to_owned(), None, None));
        assert_eq!(cluster.api.certificate_names("us-east-1"), ["*.elb.us-east-1.amazonaws.com"]);
        assert_eq!(cluster.api.certificate_names("cn-north-1"), ["*.elb.cn-north-1.amazonaws.com.cn"]);

        balancer.certificate = Some(Certificate { arn: "arn".to_owned(), policy: "policy".to_owned() });
        cluster.api.load_balancer = Some(balancer);
        cluster.api.dns = Some(ApiName {
            name: "api.demo.example.com".to_owned(),
            zone: DnsZone::Nearest,
            visibility: Visibility::Public,
        });
        let named = "https://api.demo.example.com:8443";
        assert_eq!(urls(&cluster, outputs()), said(PRIVATE, &format!("{url}:8443"), named));
        let good_for = cluster.api.certificate_names("us-east-1");
        assert!(good_for.contains(&"api.demo.example.com".to_owned()), "{good_for:?}");
    }
}
