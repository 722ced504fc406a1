//! Subnets that aren't asked for any more.

use std::collections::BTreeSet;

use windlass::cloud::subnet;

use super::*;

/// A wish from which a subnet was taken, as `update cluster` makes it.
async fn plan(world: &World) -> (Plan, Desired, Observed, Vec<String>) {
    let mut desired = world.desired().await;
    let mut observed = world.observe().await;
    let ids = Identities::default();
    let groups: BTreeSet<&str> =
        world.cluster.instance_groups.iter().map(|group| group.name.as_str()).collect();
    let wanted = model::subnet_names(&world.cluster);
    let context = world.context(&world.clients, &ids);
    subnet::find_occupants(&context, &wanted, &groups, &mut observed).await.unwrap();
    let kept = desired.keep_occupied(&observed);
    let plan = Plan::update(&desired, &observed).unwrap();
    (plan, desired, observed, kept.into_iter().flat_map(|(_, by)| by).collect())
}

/// Wants all nodes in a subnet, by its name.
fn move_nodes(cluster: &mut Cluster, subnet: &str) {
    let subnet = cluster.subnets.iter().find(|known| known.name == subnet).unwrap().clone();
    for group in &mut cluster.instance_groups {
        if let Instances::Node(nodes) = &mut group.instances {
            nodes.subnets = subnet.clone().into();
        }
    }
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_removed_subnet_is_kept_with_its_route_until_it_is_empty() {
        let mut world = World::new().await;
        move_nodes(&mut world.cluster, "us-east-1b");
        world.update().await.succeeded();
        // Nodes move to the other zone; those that run stay where they are until they are replaced.
        move_nodes(&mut world.cluster, "us-east-1a");
        world.cluster.subnets.retain(|subnet| subnet.name != "us-east-1b");
        let (first, desired, observed, by) = plan(&world).await;
        assert!(!by.is_empty() && by.iter().all(|instance| instance.starts_with("i-")), "{by:?}");
        assert!(!first.to_string().contains("- subnet/us-east-1b"), "{first}");
        world.apply(first, &desired, &observed).await.succeeded();
        let table = world.clients.ec2.describe_route_tables().send().await.unwrap();
        let subnet = world.id(Kind::Subnet, "us-east-1b").await;
        let uses = |table: &aws_sdk_ec2::types::RouteTable| {
            table.associations().iter().any(|association| association.subnet_id() == Some(&subnet))
        };
        assert!(table.route_tables().iter().any(uses), "its instances lost their way to the Internet");

        for instance in by {
            world.clients.ec2.terminate_instances().instance_ids(instance).send().await.unwrap();
        }
        let (second, desired, observed, by) = plan(&world).await;
        assert_eq!(by, Vec::<String>::new());
        assert!(second.to_string().contains("- subnet/us-east-1b.demo.example.com"), "{second}");
        world.apply(second, &desired, &observed).await.succeeded();
        assert!(plan(&world).await.0.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_subnet_goes_together_with_the_only_group_that_is_in_it() {
        let mut world = World::new().await;
        let removed = world.cluster.instance_groups.pop().unwrap();
        let stays = "us-east-1a".to_owned();
        let stays_there = removed.subnets().iter().any(|subnet| subnet.name == stays);
        assert!(!stays_there && removed.role() == Role::Node, "{removed:?}");
        world.cluster.instance_groups.push(removed.clone());
        world.update().await.succeeded();
        world.cluster.instance_groups.retain(|group| group.name != removed.name);
        world.cluster.subnets.retain(|subnet| subnet.name == stays);
        let (plan, desired, observed, by) = plan(&world).await;
        assert_eq!(by, Vec::<String>::new());
        assert!(plan.to_string().contains("- subnet/us-east-1b.demo.example.com"), "{plan}");
        world.apply(plan, &desired, &observed).await.succeeded();
    }
}
