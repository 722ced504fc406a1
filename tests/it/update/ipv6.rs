//! IPv6: of a cluster that begins with it, of one that gets it while it lives, and in a VPC of somebody else's.

use aws_sdk_ec2::types::{Instance, Subnet};
use windlass::spec::v1alpha2::SubnetType;

use super::*;

/// What `create cluster --ipv6 --networking cni --bastion` writes, with a load balancer.
fn ipv6() -> Documents {
    let networking = Some("cni".to_owned());
    let api_loadbalancer_type = Some("public".to_owned());
    create(&CreateOptions { ipv6: true, bastion: true, networking, api_loadbalancer_type, ..options() })
        .unwrap()
}

/// Gives each of its subnets an IPv6 range.
fn set_ranges(world: &mut World) {
    let subnets = world.documents.cluster.spec.subnets.iter_mut().flatten();
    for (index, subnet) in subnets.enumerate() {
        subnet.ipv6_cidr = Some(format!("/64#{index:x}"));
    }
}

async fn subnet(world: &World, name: &str) -> Subnet {
    let id = world.id(Kind::Subnet, name).await;
    let found = world.clients.ec2.describe_subnets().subnet_ids(id).send().await.unwrap();
    found.subnets()[0].clone()
}

/// The instances of a group.
async fn instances(world: &World, group: &str) -> Vec<Instance> {
    let these = tags::filter("tag:windlass.dev/instance-group", group);
    let found = world.clients.ec2.describe_instances().filters(these).send().await.unwrap();
    let reservations = found.reservations().iter();
    reservations.flat_map(|reservation| reservation.instances().to_vec()).collect()
}

/// Of the private route table of the first zone: where each destination leads.
async fn routes(world: &World) -> BTreeMap<String, String> {
    let id = world.id(Kind::RouteTable, "private-us-east-1a").await;
    let found = world.clients.ec2.describe_route_tables().route_table_ids(id).send().await.unwrap();
    let routes = found.route_tables()[0].routes().iter().filter_map(|route| {
        let destination = route.destination_cidr_block().or(route.destination_ipv6_cidr_block())?;
        let gateway = route.egress_only_internet_gateway_id().or(route.nat_gateway_id())?;
        Some((destination.to_owned(), gateway.split('-').next()?.to_owned()))
    });
    routes.collect()
}

/// Whether a VPC has IPv6 addresses: its block is its own a moment after it is asked for.
async fn has_block(ec2: &aws_sdk_ec2::Client, vpc: &str) -> bool {
    let found = ec2.describe_vpcs().vpc_ids(vpc).send().await.unwrap();
    windlass::aws::ipv6_ranges::block_of(&found.vpcs()[0]).is_some()
}

/// How the load balancer of the API is reached.
async fn address_type(world: &World) -> String {
    let arn = world.id(Kind::NetworkLoadBalancer, "api").await;
    let found = world.clients.elbv2.describe_load_balancers().load_balancer_arns(arn).send().await.unwrap();
    found.load_balancers()[0].ip_address_type().unwrap().as_str().to_owned()
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn nodes_of_an_ipv6_cluster_have_ipv6_addresses_alone_and_its_master_and_bastion_both() {
        let world = World::of(ipv6()).await;
        world.update().await.succeeded();
        world.has_nothing_to_do().await;
        let only = subnet(&world, "us-east-1a").await;
        assert_eq!(
            (only.ipv6_native(), only.enable_dns64(), only.cidr_block()),
            (Some(true), Some(true), None)
        );
        let range = &only.ipv6_cidr_block_association_set()[0];
        let prefix = range.ipv6_cidr_block().unwrap().trim_end_matches("::/64").to_owned();
        for (group, count) in [("nodes-us-east-1a", 0), ("control-plane-us-east-1a", 1), ("bastions", 1)] {
            let found = instances(&world, group).await;
            let interface = &found[0].network_interfaces()[0];
            assert_eq!(
                (interface.ipv6_addresses().len(), interface.private_ip_addresses().len()),
                (1, count)
            );
            let options = found[0].metadata_options().unwrap();
            assert_eq!(options.http_protocol_ipv6().unwrap().as_str(), "enabled", "{group}");
        }
        let node = &instances(&world, "nodes-us-east-1a").await[0];
        let address = node.network_interfaces()[0].ipv6_addresses()[0].ipv6_address().unwrap();
        assert!(address.starts_with(&prefix), "{address} in {prefix}::/64");
        let expected = [("0.0.0.0/0", "nat"), ("64:ff9b::/96", "nat"), ("::/0", "eigw")];
        assert_eq!(routes(&world).await, expected.map(|(to, by)| (to.to_owned(), by.to_owned())).into());
        assert_eq!(address_type(&world).await, "dualstack");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_cluster_that_lives_gets_ipv6_ranges_and_goes_with_them() {
        let mut world = World::of(private()).await;
        world.update().await.succeeded();
        set_ranges(&mut world);
        world.update().await.succeeded();
        world.has_nothing_to_do().await;
        let zone = subnet(&world, "us-east-1a").await;
        assert_eq!(zone.assign_ipv6_address_on_creation(), Some(true));
        assert_eq!(zone.ipv6_cidr_block_association_set().len(), 1);
        let expected = [("0.0.0.0/0", "nat"), ("::/0", "eigw")];
        assert_eq!(routes(&world).await, expected.map(|(to, by)| (to.to_owned(), by.to_owned())).into());
        assert_eq!(address_type(&world).await, "dualstack");
        let outcome = world.delete().await;
        assert!(outcome.summary.is_complete(), "{:#?}", outcome.summary);
        assert_eq!(counts(&world).await["egressOnlyInternetGateways"], 0);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_of_ipv6_is_changed_by_hand_is_found_and_put_right() {
        let world = World::of(ipv6()).await;
        world.update().await.succeeded();
        let ec2 = &world.clients.ec2;
        let gateway = world.id(Kind::EgressOnlyInternetGateway, NAME).await;
        let call = ec2.delete_egress_only_internet_gateway().egress_only_internet_gateway_id(gateway);
        call.send().await.unwrap();
        let changed = subnet(&world, "us-east-1a").await;
        let off = aws_sdk_ec2::types::AttributeBooleanValue::builder().value(false).build();
        let call = ec2.modify_subnet_attribute().subnet_id(changed.subnet_id().unwrap());
        call.enable_dns64(off).send().await.unwrap();
        let arn = world.id(Kind::NetworkLoadBalancer, "api").await;
        let call = world.clients.elbv2.set_ip_address_type().load_balancer_arn(arn);
        call.ip_address_type("ipv4".into()).send().await.unwrap();
        let outcome = world.update().await.succeeded();
        let mut kinds: Vec<Kind> = outcome.plan.steps.iter().map(|step| step.resource.kind).collect();
        kinds.dedup();
        for kind in
            [Kind::EgressOnlyInternetGateway, Kind::RouteTable, Kind::Subnet, Kind::NetworkLoadBalancer]
        {
            assert!(kinds.contains(&kind), "{kind}: {}", outcome.plan);
        }
        world.has_nothing_to_do().await;
        assert_eq!(routes(&world).await["::/0"], "eigw");
        assert_eq!(subnet(&world, "us-east-1a").await.enable_dns64(), Some(true));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_vpc_that_exists_must_have_what_its_ipv6_ranges_are_counted_from_and_lead_to() {
        let mut world = World::of(private()).await;
        let ec2 = world.clients.ec2.clone();
        let made = ec2.create_vpc().cidr_block("172.20.0.0/16").send().await.unwrap();
        let vpc = made.vpc().unwrap().vpc_id().unwrap().to_owned();
        let gateway = ec2.create_internet_gateway().send().await.unwrap();
        let gateway = gateway.internet_gateway().unwrap().internet_gateway_id().unwrap().to_owned();
        ec2.attach_internet_gateway().vpc_id(&vpc).internet_gateway_id(gateway).send().await.unwrap();
        world.documents.cluster.spec.network_id = Some(vpc.clone());
        set_ranges(&mut world);
        let error = world.refusal().await;
        assert!(error.to_string().contains("spec.subnets[0].ipv6CIDR: the VPC"), "{error}");
        let call = ec2.associate_vpc_cidr_block().vpc_id(&vpc).amazon_provided_ipv6_cidr_block(true);
        call.send().await.unwrap();
        while !has_block(&ec2, &vpc).await {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let error = world.refusal().await;
        assert!(error.to_string().contains("has no egress-only Internet gateway"), "{error}");
        ec2.create_egress_only_internet_gateway().vpc_id(&vpc).send().await.unwrap();
        let written = world.documents.clone();
        let mut subnets = world.documents.cluster.spec.subnets.iter_mut().flatten();
        let utility = subnets.find(|subnet| subnet.r#type == Some(SubnetType::Utility)).unwrap();
        utility.ipv6_cidr = Some("2001:db8::/64".to_owned());
        let error = world.refusal().await.to_string();
        assert!(error.contains("ipv6CIDR") && error.contains("says 2001:db8::/64"), "{error}");
        world.documents = written;
        world.update().await.succeeded();
        world.has_nothing_to_do().await;
    }
}
