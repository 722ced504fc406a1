//! How many calls looking at a cluster takes, and how many of them wait for each other.

use std::collections::BTreeMap;

use windlass::aws::facts;
use windlass::cloud;

use super::*;
use crate::support::region::rounds;

/// How late every answer is: much more than what lies between two calls of one round.
const LATENCY: f64 = 1.0;

/// What was asked of AWS while something was done, but for the state's bucket.
struct Asked {
    /// How often, by action.
    calls: BTreeMap<String, usize>,
    /// The longest chain of calls of which each began when the one before had ended.
    rounds: usize,
}

impl Asked {
    fn times(&self, action: &str) -> usize {
        self.calls.get(action).copied().unwrap_or_default()
    }
}

/// Listens while something is done in a region whose answers are late.
async fn asked_while<T>(world: &World, work: impl Future<Output = T>) -> Asked {
    inject(world, &json!({"latencyMs": LATENCY * 1000.0, "times": null})).await;
    world.forget_journal().await;
    work.await;
    let entries = world.region.journal().await.unwrap();
    world.region.delete("faults").await.unwrap();
    let mut calls = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry["service"] != "s3") {
        *calls.entry(entry["action"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    Asked { calls, rounds: rounds(&entries) }
}

/// A look at everything, where it is known already whose everything is, and what objects the state has.
async fn look(world: &World) -> Asked {
    let located = world.located().await;
    world.state.look().await.unwrap();
    let looking = async { planning::observe(&located, &world.state, Strangers::Refuse).await.unwrap() };
    asked_while(world, Box::pin(looking)).await
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_look_at_everything_is_two_calls_deep_and_asks_nothing_twice() {
        let world = World::new().await;
        let asked = look(&world).await;
        assert_eq!(asked.rounds, 1, "where there is nothing: {:?}", asked.calls);
        world.update().await.succeeded();
        let asked = look(&world).await;
        assert_eq!(asked.rounds, 2, "{:?}", asked.calls);
        for (action, times) in &asked.calls {
            let expected = match action.as_str() {
                // That there are no bastions and no API servers is known only once their roles were asked for.
                "GetRole" | "GetInstanceProfile" => 4,
                // There are two roles, two attributes and two subnets.
                "ListRolePolicies"
                | "ListAttachedRolePolicies"
                | "GetRolePolicy"
                | "DescribeVpcAttribute"
                | "GetSubnetCidrReservations" => 2,
                _ => 1,
            };
            assert_eq!(*times, expected, "{action}");
        }
        assert_eq!(asked.calls.values().sum::<usize>(), 35, "{:?}", asked.calls);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_look_at_what_controllers_made_asks_nothing_twice() {
        let world = World::new().await;
        world.update().await.succeeded();
        let (located, mut observed) = (world.located().await, world.observe().await);
        let (owner, ids, departures) =
            (located.owner(&world.state), Identities::default(), Departures::default());
        let context = Context::new(&located.clients, world.state.store(), &owner, &ids, &departures);
        let asked = asked_while(&world, cloud::observe_for_deletion(&context, &mut observed)).await;
        assert_eq!(asked.rounds, 1, "{:?}", asked.calls);
        for action in ["DescribeVolumes", "DescribeTargetGroups", "DescribeSecurityGroups"] {
            assert_eq!(asked.times(action), 1, "{action}: {:?}", asked.calls);
        }
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn the_facts_are_asked_for_at_once() {
        let world = World::new().await;
        let cluster = world.documents.resolve().unwrap();
        let clients = Clients::for_endpoint(REGION, &format!("http://{}", world.region.address())).await;
        let asked = asked_while(&world, async {
            facts::gather(&cluster, &clients).await.unwrap();
            facts::gather(&cluster, &clients).await.unwrap();
        })
        .await;
        assert_eq!(asked.rounds, 2, "one of each look: {:?}", asked.calls);
        assert_eq!(asked.times("GetCallerIdentity"), 1, "credentials don't change");
        assert_eq!(asked.times("DescribeImages"), 2);
    }
}
