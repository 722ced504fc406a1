//! Services that the VPC reaches by endpoints: made with the cluster, mended, gone when they aren't asked for any more.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{VpcEndpoint, VpcEndpointType};

use super::*;

mod with_region {
    use super::*;

    async fn interfaces(world: &World) -> Vec<VpcEndpoint> {
        let call = world.clients.ec2.describe_vpc_endpoints();
        let all = call.send().await.unwrap().vpc_endpoints.unwrap_or_default();
        all.into_iter().filter(|it| it.vpc_endpoint_type() == Some(&VpcEndpointType::Interface)).collect()
    }

    fn ask_for(world: &mut World, services: &[&str]) {
        let services = services.iter().map(|&service| service.to_owned()).collect();
        world.documents.cluster.spec.interface_endpoints = Some(services);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_service_is_reached_by_an_endpoint_that_is_mended_and_goes_when_nobody_asks_for_it() {
        let mut world = World::new().await;
        ask_for(&mut world, &["ec2", "ecr.api"]);
        world.update().await.succeeded();
        let made = interfaces(&world).await;
        let services: BTreeSet<&str> = made.iter().filter_map(VpcEndpoint::service_name).collect();
        assert_eq!(services, ["com.amazonaws.us-east-1.ec2", "com.amazonaws.us-east-1.ecr.api"].into());
        assert!(made.iter().all(|it| it.private_dns_enabled() == Some(true) && it.groups().len() == 1));
        world.has_nothing_to_do().await;

        let (id, subnets) = (made[0].vpc_endpoint_id().unwrap(), made[0].subnet_ids());
        let call = world.clients.ec2.modify_vpc_endpoint().vpc_endpoint_id(id).private_dns_enabled(false);
        call.remove_subnet_ids(&subnets[0]).send().await.unwrap();
        let mended = world.update().await.succeeded().plan.to_string();
        assert!(mended.contains("false → true") && mended.contains("+ subnets"), "{mended}");
        let now = interfaces(&world).await;
        let now = now.iter().find(|it| it.vpc_endpoint_id() == Some(id)).unwrap();
        let sorted = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
        assert_eq!((now.private_dns_enabled(), sorted(now.subnet_ids())), (Some(true), sorted(subnets)));

        ask_for(&mut world, &["ecr.api"]);
        world.update().await.succeeded();
        assert_eq!(interfaces(&world).await.len(), 1);
        ask_for(&mut world, &[]);
        world.update().await.succeeded();
        assert_eq!(interfaces(&world).await.len(), 0);
        world.has_nothing_to_do().await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_subnet_and_the_cluster_go_after_their_endpoints() {
        let mut world = World::new().await;
        ask_for(&mut world, &["ec2"]);
        world.update().await.succeeded();
        world.delete().await.succeeded();
        assert_eq!(interfaces(&world).await.len(), 0);
    }
}
