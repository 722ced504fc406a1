//! What somebody else has in the account before there is a cluster: a network, and what specifications of clusters name of it.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{ConnectivityType, DomainType, InstanceType};
use aws_sdk_elasticloadbalancing::types::Listener;
use aws_sdk_elasticloadbalancingv2::types::ProtocolEnum;
use aws_sdk_route53::types::{HostedZoneConfig, Vpc, VpcRegion};
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use serde_json::json;
use windlass::aws::Clients;

/// What scenarios write for the ARN of a target group.
const TARGET_GROUP: &str =
    "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/0123456789abcdef";

/// How ARNs of AWS's own policies begin. The region has none, so that policies of the account stand for them.
const AWS_POLICIES: &str = "arn:aws:iam::aws:policy/";

/// By what a scenario writes: AWS's id of what is there in this region.
pub(super) struct Foreign(BTreeMap<&'static str, String>);

impl Foreign {
    /// Makes it: a VPC (`10.0` stands for its `10.0.0.0/16`) with an Internet gateway, two subnets, a NAT gateway in the
    /// second, addresses, load balancers, buckets, and two hosted zones. With IPv6 the VPC has a block of Amazon's and an
    /// egress-only Internet gateway.
    pub(super) async fn make(clients: &Clients, region: &str, network: &str, ipv6: bool) -> Self {
        let ec2 = &clients.ec2;
        let call = ec2.create_vpc().cidr_block(format!("{network}.0.0/16"));
        let vpc = call.set_amazon_provided_ipv6_cidr_block(ipv6.then_some(true)).send().await.unwrap();
        let vpc = vpc.vpc().unwrap().vpc_id().unwrap().to_owned();
        if ipv6 {
            ec2.create_egress_only_internet_gateway().vpc_id(&vpc).send().await.unwrap();
        }
        let gateway = ec2.create_internet_gateway().send().await.unwrap();
        let gateway = gateway.internet_gateway().unwrap().internet_gateway_id().unwrap().to_owned();
        ec2.attach_internet_gateway().vpc_id(&vpc).internet_gateway_id(&gateway).send().await.unwrap();
        let mut subnets = Vec::new();
        for range in ["64.0/18", "0.0/21"] {
            let call = ec2.create_subnet().vpc_id(&vpc).cidr_block(format!("{network}.{range}"));
            let call = call.availability_zone(format!("{region}a"));
            let made = call.send().await.unwrap();
            subnets.push(made.subnet().unwrap().subnet_id().unwrap().to_owned());
        }
        let free = allocate(clients).await;
        let (nat_address, named) = (allocate(clients).await, allocate(clients).await);
        let call = ec2.create_nat_gateway().subnet_id(&subnets[1]).allocation_id(&nat_address.0);
        let nat = call.connectivity_type(ConnectivityType::Public).send().await.unwrap();
        let nat = nat.nat_gateway().unwrap().nat_gateway_id().unwrap().to_owned();
        let group = ec2.create_security_group().group_name("theirs").description("theirs").vpc_id(&vpc);
        let group = group.send().await.unwrap().group_id().unwrap().to_owned();
        let images = ec2.describe_images().owners("self").send().await.unwrap();
        let image = images.images().first().unwrap().image_id().unwrap();
        let call = ec2.run_instances().image_id(image).instance_type(InstanceType::T3Micro);
        let call = call.min_count(1).max_count(1).subnet_id(&subnets[0]);
        let run = call.send().await.unwrap();
        let instance = run.instances().first().unwrap().instance_id().unwrap().to_owned();
        let zone = clients.route53.create_hosted_zone().name("example.com").caller_reference("1");
        zone.send().await.unwrap();
        let seen_by = Vpc::builder().vpc_region(VpcRegion::from(region)).vpc_id(&vpc).build();
        let private = HostedZoneConfig::builder().private_zone(true).build();
        let zone = clients.route53.create_hosted_zone().name("example.com").caller_reference("2");
        zone.vpc(seen_by).hosted_zone_config(private).send().await.unwrap();
        let transit = ec2.create_transit_gateway().send().await.unwrap();
        let transit = transit.transit_gateway().unwrap().transit_gateway_id().unwrap().to_owned();
        let peering =
            ec2.create_vpc_peering_connection().vpc_id(&vpc).peer_vpc_id(&vpc).send().await.unwrap();
        let peering = peering.vpc_peering_connection().unwrap();
        let peering = peering.vpc_peering_connection_id().unwrap().to_owned();
        make_buckets(clients, region).await;
        let target_group = make_load_balancers(clients, &vpc, &subnets[0]).await;
        let mut ids = BTreeMap::from([
            ("tgw-0123456789abcdef0", transit),
            ("pcx-0123456789abcdef0", peering),
            ("vpc-0123456789abcdef0", vpc),
            ("igw-0123456789abcdef0", gateway),
            ("eipalloc-0123456789abcdef0", free.0),
            ("192.0.2.1", named.1),
            ("nat-0123456789abcdef0", nat),
            ("sg-0123456789abcdef0", group),
            ("i-0123456789abcdef0", instance),
            (TARGET_GROUP, target_group),
            (AWS_POLICIES, make_policies(clients).await),
        ]);
        ids.extend(["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"].into_iter().zip(subnets));
        Self(ids)
    }

    /// A specification with the ids of this region.
    pub(super) fn named_in(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (written, id)| text.replace(written, id))
    }

    /// What EC2 says of the network, ids, tags, routes, addresses, and Route 53 of the zones: records, and who sees them.
    pub(super) async fn seen(&self, clients: &Clients) -> String {
        let ec2 = &clients.ec2;
        let vpc = &self.0["vpc-0123456789abcdef0"];
        let of_vpc = || aws_sdk_ec2::types::Filter::builder().name("vpc-id").values(vpc).build();
        let vpcs = ec2.describe_vpcs().vpc_ids(vpc).send().await.unwrap();
        let subnets = ec2.describe_subnets().filters(of_vpc()).send().await.unwrap();
        let tables = ec2.describe_route_tables().filters(of_vpc()).send().await.unwrap();
        let groups = ec2.describe_security_groups().filters(of_vpc()).send().await.unwrap();
        let addresses = ec2.describe_addresses().send().await.unwrap();
        let gateways = ec2.describe_internet_gateways().send().await.unwrap();
        let target_groups = clients.elbv2.describe_target_groups().names("web").send().await.unwrap();
        let classic =
            clients.elb.describe_load_balancers().load_balancer_names("legacy").send().await.unwrap();
        let parts = [
            format!("{:#?}", target_groups.target_groups()),
            format!("{:#?}", classic.load_balancer_descriptions()),
            format!("{:#?}", vpcs.vpcs()),
            format!("{:#?}", subnets.subnets()),
            format!("{:#?}", tables.route_tables()),
            format!("{:#?}", groups.security_groups()),
            format!("{:#?}", addresses.addresses()),
            format!("{:#?}", gateways.internet_gateways()),
        ];
        parts.concat() + &zones(clients).await
    }
}

async fn zones(clients: &Clients) -> String {
    let mut seen = Vec::new();
    for zone in clients.route53.list_hosted_zones().send().await.unwrap().hosted_zones() {
        let found = clients.route53.get_hosted_zone().id(zone.id()).send().await.unwrap();
        let records =
            clients.route53.list_resource_record_sets().hosted_zone_id(zone.id()).send().await.unwrap();
        let tags = clients.route53.list_tags_for_resource();
        let kind = aws_sdk_route53::types::TagResourceType::Hostedzone;
        let id = zone.id().trim_start_matches("/hostedzone/");
        let tags = tags.resource_type(kind).resource_id(id).send().await.unwrap();
        let (vpcs, records) = (found.vpcs(), records.resource_record_sets());
        seen.push(format!("{vpcs:#?}{records:#?}{:#?}", tags.resource_tag_set()));
    }
    seen.concat()
}

/// A bucket for access logs, and one for the documents of an issuer of tokens, which everybody reads.
async fn make_buckets(clients: &Clients, region: &str) {
    let place = (region != "us-east-1").then(|| {
        let place = BucketLocationConstraint::from(region);
        CreateBucketConfiguration::builder().location_constraint(place).build()
    });
    for bucket in ["logs.example.com", "discovery"] {
        let call = clients.s3.create_bucket().bucket(bucket);
        call.set_create_bucket_configuration(place.clone()).send().await.unwrap();
    }
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::discovery/*",
    }]});
    clients.s3.put_bucket_policy().bucket("discovery").policy(policy.to_string()).send().await.unwrap();
}

/// Policies with the names of AWS's own that scenarios write; returns how their ARNs begin.
async fn make_policies(clients: &Clients) -> String {
    let document = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*",
    }]});
    let mut beginning = String::new();
    for name in ["AmazonS3ReadOnlyAccess", "AmazonSSMManagedInstanceCore", "CloudWatchAgentServerPolicy"] {
        let call = clients.iam.create_policy().policy_name(name).policy_document(document.to_string());
        let made = call.send().await.unwrap();
        beginning = made.policy().unwrap().arn().unwrap().trim_end_matches(name).to_owned();
    }
    beginning
}

/// A target group, whose ARN is returned, and a Classic Load Balancer.
async fn make_load_balancers(clients: &Clients, vpc: &str, subnet: &str) -> String {
    let call = clients.elbv2.create_target_group().name("web").vpc_id(vpc).protocol(ProtocolEnum::Tcp);
    let made = call.port(80).send().await.unwrap();
    let listener = Listener::builder().protocol("tcp").load_balancer_port(80).instance_port(30080);
    let call = clients.elb.create_load_balancer().load_balancer_name("legacy").subnets(subnet);
    call.listeners(listener.build().unwrap()).send().await.unwrap();
    made.target_groups()[0].target_group_arn().unwrap().to_owned()
}

/// An Elastic IP: its allocation and its address.
async fn allocate(clients: &Clients) -> (String, String) {
    let made = clients.ec2.allocate_address().domain(DomainType::Vpc).send().await.unwrap();
    (made.allocation_id().unwrap().to_owned(), made.public_ip().unwrap().to_owned())
}
