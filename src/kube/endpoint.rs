//! Asks EC2 for what decides where a cluster's API is reached.

use aws_sdk_ec2::types::Filter;
use windlass_bootstrap::tags;

use crate::aws::{AwsError, Clients, During};
use crate::cloud::load_balancing::name_of_api;
use crate::spec::cluster::Cluster;
use crate::spec::endpoint::{ApiEndpoints, Outputs};

/// Where a cluster's API is reached, as far as AWS has what it takes.
pub async fn find(clients: &Clients, cluster: &Cluster) -> Result<ApiEndpoints, AwsError> {
    Ok(ApiEndpoints::of(cluster, outputs(clients, cluster).await?))
}

async fn outputs(clients: &Clients, cluster: &Cluster) -> Result<Outputs, AwsError> {
    if let Some(balancer) = &cluster.api.load_balancer {
        let load_balancer = dns_name(clients, &name_of_api(cluster, balancer)).await?;
        return Ok(Outputs { load_balancer, ..Outputs::default() });
    }
    if !cluster.api.elastic_ip {
        return Ok(Outputs::default());
    }
    let of_cluster = Filter::builder().name(format!("tag:{}", tags::CLUSTER)).values(&cluster.name).build();
    let of_a_master = Filter::builder().name("tag-key").values(tags::MASTER).build();
    let call = clients.ec2.describe_addresses().filters(of_cluster).filters(of_a_master);
    let answer = call.send().await.during("ec2", "DescribeAddresses", &cluster.name)?;
    let address = answer.addresses().iter().find_map(|address| address.public_ip());
    let elastic_ip = address.and_then(|address| address.parse().ok());
    Ok(Outputs { elastic_ip, ..Outputs::default() })
}

/// The DNS name of a load balancer, where it is there.
async fn dns_name(clients: &Clients, balancer: &str) -> Result<Option<String>, AwsError> {
    let call = clients.elbv2.describe_load_balancers().names(balancer);
    match call.send().await.during("elasticloadbalancing", "DescribeLoadBalancers", balancer) {
        Ok(answer) => Ok(answer.load_balancers().first().and_then(|it| it.dns_name().map(str::to_owned))),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
