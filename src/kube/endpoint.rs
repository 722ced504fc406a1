//! Where a cluster's API is reached from outside.

use std::net::Ipv4Addr;

use aws_sdk_ec2::types::Filter;
use windlass_bootstrap::tags;

use crate::aws::{AwsError, Clients, During};
use crate::spec::cluster::Cluster;

/// The address at which operators reach a cluster's API: its Elastic IP, or else the stable private address, which
/// they need a way into the VPC for. `None` as long as the Elastic IP has not been made.
pub async fn address(clients: &Clients, cluster: &Cluster) -> Result<Option<Ipv4Addr>, AwsError> {
    if !cluster.api.elastic_ip {
        return Ok(cluster
            .etcd
            .iter()
            .flat_map(|etcd| &etcd.members)
            .map(|member| member.private_address)
            .next());
    }
    let of_cluster = Filter::builder().name(format!("tag:{}", tags::CLUSTER)).values(&cluster.name).build();
    let of_a_master = Filter::builder().name("tag-key").values(tags::MASTER).build();
    let call = clients.ec2.describe_addresses().filters(of_cluster).filters(of_a_master);
    let answer = call.send().await.during("ec2", "DescribeAddresses", &cluster.name)?;
    let address = answer.addresses().iter().find_map(|address| address.public_ip());
    Ok(address.and_then(|address| address.parse().ok()))
}

/// The server's URL, by its address.
pub fn server(address: Ipv4Addr, port: u16) -> String {
    url(&address.to_string(), port)
}

/// The server's URL in a kubeconfig: by the API's name where a hosted zone has one or the operator has written one (and
/// keeps it elsewhere), else by its address. Windlass itself goes by the address: it knows it from EC2, also before every
/// resolver knows the name.
pub fn kubeconfig_server(cluster: &Cluster, address: Ipv4Addr) -> String {
    let in_zone = cluster.api.dns.as_ref().map(|api| &api.name);
    match in_zone.or(cluster.api.public_name.as_ref()) {
        Some(name) => url(name, cluster.api.port),
        None => server(address, cluster.api.port),
    }
}

fn url(host: &str, port: u16) -> String {
    match port {
        443 => format!("https://{host}"),
        port => format!("https://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_has_the_name_that_is_written_also_where_no_hosted_zone_has_it() {
        let mut cluster = crate::assets::sample::cluster();
        let address = Ipv4Addr::new(203, 0, 113, 7);
        assert_eq!(kubeconfig_server(&cluster, address), "https://203.0.113.7");
        cluster.api.public_name = Some("k8s.example.com".to_owned());
        assert_eq!(kubeconfig_server(&cluster, address), "https://k8s.example.com");
    }

    #[test]
    fn the_usual_port_is_not_spelled_out() {
        let address = Ipv4Addr::new(203, 0, 113, 7);
        assert_eq!(server(address, 443), "https://203.0.113.7");
        assert_eq!(server(address, 6443), "https://203.0.113.7:6443");
    }
}
