//! Versions that are asked for, and those that masters run as long as they aren't replaced.

use super::*;

/// The group of masters on AWS.
const MASTERS: &str = "control-plane-us-east-1a.masters.demo.example.com";

/// A cluster that was made with a version of Kubernetes.
async fn made_with(version: &str) -> World {
    let kubernetes_version = Some(version.to_owned());
    let world = World::of(create(&CreateOptions { kubernetes_version, ..options() }).unwrap()).await;
    world.update().await.succeeded();
    world
}

/// Asks for another version, of which there is an image.
async fn ask_for(world: &mut World, version: &str) {
    world.region.post("images", &machine_image(version)).await.unwrap();
    ask_again_for(world, version);
}

fn ask_again_for(world: &mut World, version: &str) {
    world.documents.cluster.spec.kubernetes_version = Some(version.to_owned());
}

/// The masters' instances.
async fn masters(world: &World) -> Vec<String> {
    let call = world.clients.autoscaling.describe_auto_scaling_groups();
    let groups = call.send().await.unwrap();
    let groups = groups.auto_scaling_groups().iter();
    let is_of_masters =
        |tag: &aws_sdk_autoscaling::types::TagDescription| tag.key() == Some("k8s.io/role/control-plane");
    let masters = groups.filter(|group| group.tags().iter().any(is_of_masters));
    let instances = masters.flat_map(aws_sdk_autoscaling::types::AutoScalingGroup::instances);
    instances.map(|instance| instance.instance_id().unwrap().to_owned()).collect()
}

/// Ends the masters, and waits until others are there in their place.
async fn replace_masters(world: &World) {
    let old = masters(world).await;
    for instance in &old {
        let end = world.clients.autoscaling.terminate_instance_in_auto_scaling_group();
        end.instance_id(instance).should_decrement_desired_capacity(false).send().await.unwrap();
    }
    for _ in 0..300 {
        let new = masters(world).await;
        if new.len() == old.len() && old.iter().all(|gone| !new.contains(gone)) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the old masters are still there");
}

async fn refusal(world: &World) -> String {
    match world.try_plan().await {
        Err(OperationError::Skew(refused)) => format!("{refused} (hint: {})", refused.hint),
        Err(error) => panic!("another refusal: {error:?}"),
        Ok(plan) => panic!("it can be made:\n{plan}"),
    }
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn the_next_minor_version_waits_until_masters_run_the_one_before() {
        let mut world = made_with("1.34.4").await;
        ask_for(&mut world, "1.35.4").await;
        world.update().await.succeeded();
        // Nobody has replaced the master.
        ask_for(&mut world, "1.36.3").await;
        let master = masters(&world).await.pop().unwrap();
        let told = refusal(&world).await;
        let expected = format!("{master} ({MASTERS}): `1.34.4` can't be changed to `1.36.3`");
        assert!(told.contains(&expected), "{told}");
        assert!(told.ends_with("windlass validate cluster demo.example.com --wait 10m)"), "{told}");

        ask_again_for(&mut world, "1.35.4");
        replace_masters(&world).await;
        ask_again_for(&mut world, "1.36.3");
        world.update().await.succeeded();
        world.has_nothing_to_do().await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_a_master_runs_is_known_from_the_revisions_where_its_image_is_gone() {
        let mut world = made_with("1.34.4").await;
        ask_for(&mut world, "1.35.4").await;
        world.update().await.succeeded();
        let images = world.clients.ec2.describe_images().owners("self").send().await.unwrap();
        let first = images.images().iter().find(|image| image.name().unwrap().contains("1.34.4")).unwrap();
        world.clients.ec2.deregister_image().image_id(first.image_id().unwrap()).send().await.unwrap();
        ask_for(&mut world, "1.36.3").await;
        let told = refusal(&world).await;
        assert!(told.contains("`1.34.4` can't be changed to `1.36.3`"), "{told}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn an_update_that_was_begun_is_not_taken_back_once_a_master_runs_the_newer_version() {
        let mut world = made_with("1.35.4").await;
        ask_for(&mut world, "1.36.3").await;
        // It dies after the templates are changed, before it is marked as applied.
        let update = world.prepare().await.unwrap();
        let desired = update.prepared.desired;
        let observed = update.input.observed;
        world.state.record(&world.documents, windlass::state::revision::Intent::default()).await.unwrap();
        world.carry_out(update.prepared.plan, &desired, &observed).await.succeeded();
        ask_again_for(&mut world, "1.35.4");
        assert!(!world.plan().await.is_empty(), "no master runs the newer one yet");
        replace_masters(&world).await;
        let told = refusal(&world).await;
        assert!(told.contains("`1.36.3` can't be changed to `1.35.4`: an API server of an older"), "{told}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn machines_are_looked_at_only_where_another_minor_version_is_asked_for() {
        let mut world = made_with("1.35.4").await;
        ask_for(&mut world, "1.35.7").await;
        let instances = async |world: &World| {
            world.forget_journal().await;
            world.plan().await;
            world.journal(false).await.iter().filter(|call| *call == "ec2:DescribeInstances").count()
        };
        let before = instances(&world).await;
        ask_for(&mut world, "1.36.3").await;
        assert_eq!(instances(&world).await, before + 1);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_soak_gives_masters_the_new_version_and_nodes_the_old_one_and_can_be_taken_back_until_it_is_finished()
     {
        let mut world = made_with("1.35.4").await;
        let before = world.documents.clone();
        let set = |world: &mut World, version: &str, emulated: Option<&str>| {
            let spec = &mut world.documents.cluster.spec;
            spec.kubernetes_version = Some(version.to_owned());
            spec.emulated_version = emulated.map(str::to_owned);
        };
        ask_for(&mut world, "1.36.3").await;
        set(&mut world, "1.36.3", Some("1.35.4"));
        let plan = world.update().await.succeeded().plan.to_string();
        assert!(plan.contains("launch-template/control-plane"), "{plan}");
        assert!(!plan.contains("launch-template/nodes"), "nodes stay as they are: {plan}");
        replace_masters(&world).await;
        world.has_nothing_to_do().await;

        // And back, with masters of the newer version.
        world.documents = before;
        world.update().await.succeeded();
        replace_masters(&world).await;

        set(&mut world, "1.36.3", Some("1.35.4"));
        world.update().await.succeeded();
        replace_masters(&world).await;
        set(&mut world, "1.36.3", None);
        let plan = world.update().await.succeeded().plan.to_string();
        assert!(plan.contains("launch-template/nodes"), "{plan}");
        set(&mut world, "1.35.4", None);
        let refused = world.try_plan().await.unwrap_err();
        assert!(matches!(refused, OperationError::Unreachable { .. }), "{refused}");
    }
}
