//! The VPC's own way to S3: made with the cluster, mended, taken over where somebody made it, gone with the cluster.

use aws_sdk_ec2::types::{VpcEndpoint, VpcEndpointType};

use super::*;

const SERVICE: &str = "com.amazonaws.us-east-1.s3";

async fn endpoints(world: &World) -> Vec<VpcEndpoint> {
    world.clients.ec2.describe_vpc_endpoints().send().await.unwrap().vpc_endpoints.unwrap_or_default()
}

/// Whether the route table of the cluster leads to an endpoint.
async fn is_routed(world: &World, endpoint: &str) -> bool {
    let tables = world.clients.ec2.describe_route_tables().send().await.unwrap();
    let mut routes = tables.route_tables().iter().flat_map(aws_sdk_ec2::types::RouteTable::routes);
    routes.any(|route| route.gateway_id() == Some(endpoint))
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn s3_is_reached_by_an_endpoint_whose_route_is_mended_and_which_goes_with_the_cluster() {
        let world = World::new().await;
        world.update().await.succeeded();
        let made = endpoints(&world).await;
        let [endpoint] = &made[..] else { panic!("{made:#?}") };
        let id = endpoint.vpc_endpoint_id().unwrap();
        assert_eq!(endpoint.service_name(), Some(SERVICE));
        assert!(is_routed(&world, id).await);
        assert!(world.plan().await.is_empty());

        let call = world.clients.ec2.modify_vpc_endpoint().vpc_endpoint_id(id);
        call.remove_route_table_ids(&endpoint.route_table_ids()[0]).send().await.unwrap();
        world.clients.ec2.delete_tags().resources(id).send().await.unwrap();
        world
            .clients
            .ec2
            .create_tags()
            .resources(id)
            .set_tags(Some(mark(&world).await))
            .send()
            .await
            .unwrap();
        let mended = world.update().await.succeeded();
        assert!(
            mended.plan.to_string().contains("~ gateway-endpoint/s3.demo.example.com"),
            "{}",
            mended.plan
        );
        assert!(is_routed(&world, id).await);
        assert!(world.plan().await.is_empty());

        world.delete().await.succeeded();
        assert_eq!(endpoints(&world).await, []);
    }

    /// The tags by which the cluster's own are known, and no others.
    async fn mark(world: &World) -> Vec<aws_sdk_ec2::types::Tag> {
        let located = world.located().await;
        let mark = [(tags::MANAGED, NAME), (tags::UID, located.uid().unwrap())];
        tags::to_ec2(&mark.map(|(key, value)| (key.to_owned(), value.to_owned())).into())
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn an_endpoint_that_somebody_made_for_the_clusters_routes_is_taken_over_and_no_second_one_made() {
        let world = World::new().await;
        world.update().await.succeeded();
        let (vpc, table) = (world.id(Kind::Vpc, NAME).await, world.id(Kind::RouteTable, NAME).await);
        let ec2 = &world.clients.ec2;
        let own = endpoints(&world).await[0].vpc_endpoint_id().unwrap().to_owned();
        ec2.delete_vpc_endpoints().vpc_endpoint_ids(own).send().await.unwrap();
        let call = ec2.create_vpc_endpoint().vpc_endpoint_type(VpcEndpointType::Gateway).vpc_id(&vpc);
        call.service_name(SERVICE).route_table_ids(&table).send().await.unwrap();
        let theirs = endpoints(&world).await;

        let update = world.update().await.succeeded();
        assert!(
            update.plan.to_string().contains("~ gateway-endpoint/s3.demo.example.com"),
            "{}",
            update.plan
        );
        let now = endpoints(&world).await;
        assert_eq!(now.len(), 1);
        assert_eq!(now[0].vpc_endpoint_id(), theirs[0].vpc_endpoint_id());
        let owner = world.located().await.owner(&world.state);
        assert!(owner.owns(&tags::from_ec2(now[0].tags())), "{now:#?}");
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn an_endpoint_of_another_route_table_in_the_vpc_is_left_alone_and_named_when_it_is_in_the_way() {
        let world = World::new().await;
        world.update().await.succeeded();
        let (vpc, ec2) = (world.id(Kind::Vpc, NAME).await, &world.clients.ec2);
        let call = ec2.create_vpc_endpoint().vpc_endpoint_type(VpcEndpointType::Gateway).vpc_id(&vpc);
        let theirs = call.service_name(SERVICE).send().await.unwrap();
        let theirs = theirs.vpc_endpoint().and_then(VpcEndpoint::vpc_endpoint_id).unwrap();
        assert!(world.plan().await.is_empty());

        let outcome = world.delete().await;
        let said = format!("{:#?}\n{:#?}", outcome.summary, outcome.events);
        assert!(said.contains(theirs) && said.contains("VPC endpoint of"), "{said}");
        ec2.delete_vpc_endpoints().vpc_endpoint_ids(theirs).send().await.unwrap();
        world.delete().await.succeeded();
    }
}
