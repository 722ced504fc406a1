//! What somebody else has in the account before there is a cluster: a network, and what specifications of clusters name of it.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{ConnectivityType, DomainType, InstanceType};
use aws_sdk_route53::types::{HostedZoneConfig, Vpc, VpcRegion};
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use windlass::aws::Clients;

/// By what a scenario writes: AWS's id of what is there in this region.
pub(super) struct Foreign(BTreeMap<&'static str, String>);

impl Foreign {
    /// Makes it: a VPC with an Internet gateway, two subnets, a NAT gateway in the second, addresses, and two hosted zones.
    pub(super) async fn make(clients: &Clients, region: &str) -> Self {
        let ec2 = &clients.ec2;
        let vpc = ec2.create_vpc().cidr_block("10.0.0.0/16").send().await.unwrap();
        let vpc = vpc.vpc().unwrap().vpc_id().unwrap().to_owned();
        let gateway = ec2.create_internet_gateway().send().await.unwrap();
        let gateway = gateway.internet_gateway().unwrap().internet_gateway_id().unwrap().to_owned();
        ec2.attach_internet_gateway().vpc_id(&vpc).internet_gateway_id(&gateway).send().await.unwrap();
        let mut subnets = Vec::new();
        for range in ["10.0.64.0/18", "10.0.0.0/21"] {
            let call =
                ec2.create_subnet().vpc_id(&vpc).cidr_block(range).availability_zone(format!("{region}a"));
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
        let place = (region != "us-east-1").then(|| {
            let place = BucketLocationConstraint::from(region);
            CreateBucketConfiguration::builder().location_constraint(place).build()
        });
        let logs = clients.s3.create_bucket().bucket("logs.example.com");
        logs.set_create_bucket_configuration(place).send().await.unwrap();
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
        let parts = [
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

/// An Elastic IP: its allocation and its address.
async fn allocate(clients: &Clients) -> (String, String) {
    let made = clients.ec2.allocate_address().domain(DomainType::Vpc).send().await.unwrap();
    (made.allocation_id().unwrap().to_owned(), made.public_ip().unwrap().to_owned())
}
