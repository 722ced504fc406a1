//! Volumes that somebody deleted, whose client tokens EC2 remembers.

use windlass::plan::PlanError;

use super::*;

mod with_region {
    use super::*;

    /// Deletes etcd's volume as in a console, an hour after it was made; returns its id.
    async fn delete_by_hand(world: &World) -> String {
        let volume = world.id(Kind::Volume, "").await;
        world.region.post(&format!("volumes/{volume}/age"), &json!({"seconds": 3600})).await.unwrap();
        world.clients.ec2.delete_volume().volume_id(&volume).send().await.unwrap();
        volume
    }

    async fn calls(world: &World) -> usize {
        world.journal(true).await.iter().filter(|call| *call == "ec2:CreateVolume").count()
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_volume_that_was_deleted_by_hand_is_made_again_with_the_next_token_each_time() {
        let world = World::new().await;
        world.update().await.succeeded();
        let desired = world.prepare().await.unwrap().prepared.desired;
        for expected in [2, 3] {
            let gone = delete_by_hand(&world).await;
            // An update refuses to make it anew, with a hint of what to do where it is really gone.
            let refused = world.try_plan().await.unwrap_err();
            assert!(matches!(refused, OperationError::Plan(PlanError::VolumesLost { .. })), "{refused}");
            let observed = world.observe().await;
            let plan = Plan::update(&desired, &observed).unwrap();
            world.forget_journal().await;
            let outcome = world.carry_out(plan, &desired, &observed).await.succeeded();
            let made: Vec<_> =
                outcome.plan.steps.iter().map(|step| (step.resource.kind, step.action.verb())).collect();
            assert_eq!(made, [(Kind::Volume, "create")], "{}", outcome.plan);
            // EC2 answers each spent token with the volume that it made, which isn't there any more.
            assert_eq!(calls(&world).await, expected);
            assert_ne!(world.id(Kind::Volume, "").await, gone);
            assert!(world.plan().await.is_empty());
        }
        let volumes =
            world.clients.ec2.describe_volumes().filters(tags::of_cluster(NAME)).send().await.unwrap();
        assert_eq!(volumes.volumes().len(), 1, "{volumes:?}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_token_whose_volume_is_answered_as_not_found_is_spent_as_well() {
        let world = World::new().await;
        let gone =
            json!({"action": "CreateVolume", "code": "InvalidVolume.NotFound", "status": 400, "times": 1});
        inject(&world, &gone).await;
        let outcome = world.update().await.succeeded();
        assert_eq!(outcome.events, Vec::<String>::new(), "it was waited for");
        assert_eq!(calls(&world).await, 2);
        assert!(world.plan().await.is_empty());
    }
}
