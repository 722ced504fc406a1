//! Node configurations that nothing was made from any more.

use windlass::spec::v1alpha2::WarmPoolSpec;

use super::*;

/// The node configurations of the nodes' group, as the state lists them.
async fn configurations(world: &World) -> Vec<String> {
    let of_nodes = |key: &str| {
        windlass_bootstrap::keys::of_node_config(key).is_some_and(|(group, _)| group == "nodes-us-east-1a")
    };
    world.state.look().await.unwrap();
    let keys = world.state.store().list(NAME).await.unwrap();
    keys.into_iter().filter(|key| of_nodes(key)).collect()
}

/// The group of nodes in the first zone.
fn nodes(world: &mut World) -> &mut v1alpha2::InstanceGroup {
    let mut groups = world.documents.instance_groups.iter_mut();
    groups.find(|group| group.name() == "nodes-us-east-1a").unwrap()
}

/// Another size, which is a change that no instance needs to know of.
fn resize(world: &mut World) {
    *nodes(world).spec.max_size.as_mut().unwrap() += 1;
}

/// Terminates the group's instances, as a rolling update does, and waits until others are there in their place.
async fn replace_instances(world: &World) {
    let old = instances(world).await;
    assert!(!old.is_empty());
    for instance in &old {
        let end = world.clients.autoscaling.terminate_instance_in_auto_scaling_group();
        let end = end.instance_id(instance).should_decrement_desired_capacity(false);
        end.send().await.unwrap();
    }
    for _ in 0..300 {
        let new = instances(world).await;
        if new.len() == old.len() && old.iter().all(|gone| !new.contains(gone)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the old instances are still there");
}

async fn instances(world: &World) -> Vec<String> {
    let call = world.clients.autoscaling.describe_auto_scaling_groups();
    let answer = call.auto_scaling_group_names(format!("nodes-us-east-1a.{NAME}")).send().await.unwrap();
    let instances = answer.auto_scaling_groups()[0].instances();
    instances.iter().map(|instance| instance.instance_id().unwrap().to_owned()).collect()
}

/// The instances of the group's warm pool, once there are so many.
async fn warm(world: &World, count: usize) -> Vec<String> {
    for _ in 0..300 {
        let call = world.clients.autoscaling.describe_warm_pool();
        let answer = call.auto_scaling_group_name(format!("nodes-us-east-1a.{NAME}")).send().await.unwrap();
        let found = answer.instances().iter().map(|instance| instance.instance_id().unwrap().to_owned());
        let found: Vec<String> = found.collect();
        if found.len() == count {
            return found;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("there are not {count} instances in the pool");
}

/// The keys of the node configurations that a plan deletes.
fn pruned(plan: &Plan) -> Vec<String> {
    let deletions = plan.steps.iter().filter(|step| step.action == windlass::plan::Action::Delete);
    deletions.map(|step| step.resource.name.clone()).collect()
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_node_configuration_goes_with_the_next_change_once_no_instance_was_launched_with_it() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let first = configurations(&world).await;
        assert_eq!(first.len(), 1, "{first:?}");
        let labels = nodes(&mut world).spec.node_labels.get_or_insert_default();
        labels.insert("team".to_owned(), "a".to_owned());
        let outcome = world.update().await.succeeded();
        assert_eq!(pruned(&outcome.plan), [""; 0], "the old template names it: {}", outcome.plan);

        resize(&mut world);
        let outcome = world.update().await.succeeded();
        assert_eq!(pruned(&outcome.plan), [""; 0], "instances were launched with it: {}", outcome.plan);
        assert_eq!(configurations(&world).await.len(), 2);

        replace_instances(&world).await;
        let outcome = world.update().await.succeeded();
        assert!(outcome.plan.is_empty(), "by itself it makes nobody run an update: {}", outcome.plan);

        resize(&mut world);
        let outcome = world.update().await.succeeded();
        assert_eq!(pruned(&outcome.plan), first, "{}", outcome.plan);
        let left = configurations(&world).await;
        assert!(left.len() == 1 && left != first, "{left:?}");
        assert!(world.plan().await.is_empty());
    }
    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_node_configuration_stays_while_an_instance_of_a_warm_pool_was_launched_with_it() {
        let mut world = World::new().await;
        let pool = WarmPoolSpec { min_size: Some(1), max_size: Some(1), ..WarmPoolSpec::default() };
        let group = &mut nodes(&mut world).spec;
        (group.min_size, group.warm_pool) = (Some(0), Some(pool));
        world.update().await.succeeded();
        let first = configurations(&world).await;
        let warm = warm(&world, 1).await;
        assert_eq!(instances(&world).await, [""; 0], "all that there is is in the pool");

        let labels = nodes(&mut world).spec.node_labels.get_or_insert_default();
        labels.insert("team".to_owned(), "a".to_owned());
        world.update().await.succeeded();
        resize(&mut world);
        let outcome = world.update().await.succeeded();
        assert_eq!(
            pruned(&outcome.plan),
            [""; 0],
            "it starts with what it was launched with: {}",
            outcome.plan
        );
        assert_eq!(self::warm(&world, 1).await, warm);

        nodes(&mut world).spec.warm_pool = None;
        world.update().await.succeeded();
        self::warm(&world, 0).await;
        resize(&mut world);
        let outcome = world.update().await.succeeded();
        assert_eq!(pruned(&outcome.plan), first, "{}", outcome.plan);
        assert!(world.plan().await.is_empty());
    }
}
