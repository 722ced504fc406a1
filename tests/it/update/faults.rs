//! AWS that throttles, loses replies and shows late what was made, and updates that are killed: the next one ends in one
//! cluster, with nothing twice.

use super::*;
use crate::support::sample::sample;

/// How many of an update's calls are tried where each takes a whole update.
const SAMPLE: usize = 16;

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn throttling_and_lost_replies_of_every_kind_of_call_end_in_one_cluster() {
        survives_faults(World::new().await).await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn throttling_and_lost_replies_of_every_kind_of_call_end_in_one_private_cluster() {
        survives_faults(World::of(private()).await).await;
    }

    async fn survives_faults(mut world: World) {
        world.update().await.succeeded();
        let mut actions = world.journal(true).await;
        actions.sort();
        actions.dedup();
        assert!(actions.len() > 15, "{actions:?}");
        let expected = world.region.get::<Value>("world").await.unwrap()["vpcs"].as_array().unwrap().len();
        let faults: Vec<_> =
            actions.iter().flat_map(|action| [false, true].map(|after| (action, after))).collect();
        for (action, after) in sample(&faults, SAMPLE) {
            let (service, name) = action.split_once(':').unwrap();
            world.reset().await;
            let fault = json!({
                "service": service, "action": format!("^{name}$"), "code": "ServiceUnavailable", "status": 503,
                "times": 1, "rate": 1.0, "latencyMs": 0, "after": after,
            });
            inject(&world, &fault).await;
            let outcome = world.update().await.succeeded();
            assert!(!outcome.events.is_empty(), "{action} was not hit");
            let again = world.plan().await;
            assert!(again.is_empty(), "{action}, lost reply: {after}:\n{again}");
            let vpcs = world.region.get::<Value>("world").await.unwrap()["vpcs"].as_array().unwrap().len();
            assert_eq!(vpcs, expected, "{action}, lost reply: {after}");
        }
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_is_seen_only_after_a_while_is_made_once() {
        is_made_once(World::new().await).await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_of_a_private_cluster_is_seen_only_after_a_while_is_made_once() {
        is_made_once(World::of(private()).await).await;
    }

    async fn is_made_once(mut world: World) {
        world.update().await.succeeded();
        let expected = counts(&world).await;
        world.reset().await;
        let unseen =
            json!({"action": "Create.*|AllocateAddress|ImportKeyPair", "unseenMs": 3000, "times": null});
        inject(&world, &unseen).await;
        let outcome = world.update().await.succeeded();
        assert!(!outcome.events.is_empty(), "nothing was unseen");
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert_eq!(counts(&world).await, expected);
        let again = world.plan().await;
        assert!(again.is_empty(), "{again}");
        world.region.clear_faults().await.unwrap();
        world.delete().await.succeeded();
        assert_eq!(leftovers(&world).await, Vec::<String>::new());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_a_lost_reply_has_made_and_is_seen_only_after_a_while_is_made_once() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let expected = counts(&world).await;
        world.reset().await;
        let action = "CreateVpc|CreateInternetGateway|CreateSubnet|CreateSubnetCidrReservation|CreateSecurityGroup|\
                      AllocateAddress|ImportKeyPair|CreateVolume|CreateRouteTable|CreateLaunchTemplate";
        let lost = json!({
            "action": action, "code": "ServiceUnavailable", "status": 503, "after": true, "unseenMs": 2000,
            "times": 10,
        });
        inject(&world, &lost).await;
        let outcome = world.update().await.succeeded();
        assert!(!outcome.events.is_empty(), "no reply was lost");
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert_eq!(counts(&world).await, expected);
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_volume_that_a_killed_run_made_and_nobody_sees_yet_is_not_made_again_by_the_next_run() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        let expected = counts(&world).await;
        world.reset().await;
        inject(&world, &json!({"action": "CreateVolume", "unseenMs": 6000, "times": null})).await;
        world.forget_journal().await;
        let killer = async {
            while !world.journal(true).await.contains(&"ec2:CreateVolume".to_owned()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = killer => {}
            _ = Box::pin(world.update_under_lease()) => panic!("it was done before it was killed"),
        }
        world.update().await.succeeded();
        tokio::time::sleep(std::time::Duration::from_secs(6)).await;
        assert_eq!(counts(&world).await, expected);
        let again = world.plan().await;
        assert!(again.is_empty(), "{again}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn killed_at_any_changing_call_the_next_run_ends_in_the_same_place() {
        survives_being_killed(World::new().await).await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn killed_at_any_changing_call_for_a_private_cluster_the_next_run_ends_in_the_same_place() {
        survives_being_killed(World::of(private()).await).await;
    }

    async fn survives_being_killed(mut world: World) {
        world.update().await.succeeded();
        let calls = world.journal(true).await.len();
        assert!(calls > 30);
        for kill_after in sample(&(0..calls).collect::<Vec<_>>(), SAMPLE) {
            world.reset().await;
            world.update_killed_after(kill_after).await;
            world.update().await.succeeded();
            let again = world.plan().await;
            assert!(again.is_empty(), "killed after {kill_after} calls:\n{again}");
        }
        world.delete().await.succeeded();
        assert_eq!(leftovers(&world).await, Vec::<String>::new());
    }
}
