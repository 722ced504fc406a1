//! Subnets that aren't asked for any more.

use super::*;

/// What is in the subnets that an update keeps because of it.
fn occupants(plan: &Plan) -> Vec<&String> {
    plan.occupied.iter().flat_map(|occupied| &occupied.by).collect()
}

/// Wants all nodes in a subnet, by its name.
fn move_nodes(world: &mut World, subnet: &str) {
    let groups = world.documents.instance_groups.iter_mut();
    groups
        .filter(|group| is_of_nodes(group))
        .for_each(|group| group.spec.subnets = Some(vec![subnet.to_owned()]));
}

/// Wants no subnet but this one.
fn keep_only(world: &mut World, subnet: &str) {
    let subnets = world.documents.cluster.spec.subnets.as_mut().unwrap();
    subnets.retain(|it| it.name.as_deref() == Some(subnet));
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_removed_subnet_is_kept_with_its_route_until_it_is_empty() {
        let mut world = World::new().await;
        move_nodes(&mut world, "us-east-1b");
        world.update().await.succeeded();
        // Nodes move to the other zone; those that run stay where they are until they are replaced.
        move_nodes(&mut world, "us-east-1a");
        keep_only(&mut world, "us-east-1a");
        let first = world.update().await.succeeded().plan;
        let by = occupants(&first);
        assert!(!by.is_empty() && by.iter().all(|instance| instance.starts_with("i-")), "{by:?}");
        assert!(!first.to_string().contains("- subnet/us-east-1b"), "{first}");
        let table = world.clients.ec2.describe_route_tables().send().await.unwrap();
        let subnet = world.id(Kind::Subnet, "us-east-1b").await;
        let uses = |table: &aws_sdk_ec2::types::RouteTable| {
            table.associations().iter().any(|association| association.subnet_id() == Some(&subnet))
        };
        assert!(table.route_tables().iter().any(uses), "its instances lost their way to the Internet");

        for instance in by {
            world.clients.ec2.terminate_instances().instance_ids(instance).send().await.unwrap();
        }
        let second = world.update().await.succeeded().plan;
        assert!(occupants(&second).is_empty(), "{second}");
        assert!(second.to_string().contains("- subnet/us-east-1b.demo.example.com"), "{second}");
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_removed_private_subnet_is_kept_with_its_nat_gateway_until_it_is_empty() {
        let mut world = World::of(private()).await;
        move_nodes(&mut world, "us-east-1b");
        world.update().await.succeeded();
        move_nodes(&mut world, "us-east-1a");
        let subnets = world.documents.cluster.spec.subnets.as_mut().unwrap();
        // The load balancer stays in the utility subnet.
        subnets.retain(|it| it.name.as_deref() != Some("us-east-1b"));
        let first = world.update().await.succeeded().plan;
        let by = occupants(&first);
        assert!(!by.is_empty(), "{first}");
        for kept in ["subnet/us-east-1b", "route-table/private-us-east-1b", "nat-gateway/us-east-1b"] {
            assert!(!first.to_string().contains(&format!("- {kept}")), "{kept}: {first}");
        }
        for instance in by {
            world.clients.ec2.terminate_instances().instance_ids(instance).send().await.unwrap();
        }
        let second = world.update().await.succeeded().plan.to_string();
        for gone in ["subnet/us-east-1b", "route-table/private-us-east-1b", "nat-gateway/us-east-1b"] {
            assert!(second.contains(&format!("- {gone}")), "{gone}: {second}");
        }
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_subnet_goes_together_with_the_only_group_that_is_in_it() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let removed = world.documents.instance_groups.pop().unwrap();
        assert_eq!(removed.spec.subnets, Some(vec!["us-east-1b".to_owned()]));
        assert!(is_of_nodes(&removed));
        keep_only(&mut world, "us-east-1a");
        let plan = world.update().await.succeeded().plan;
        assert!(occupants(&plan).is_empty(), "{plan}");
        assert!(plan.to_string().contains("- subnet/us-east-1b.demo.example.com"), "{plan}");
    }
}
