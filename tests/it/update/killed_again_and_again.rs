//! Commands that get no further than one changing call of AWS each, from the first to the last: one run is killed before its call
//! takes effect, the next one after, and so on until a run has nothing left to do. Every prefix of what a command does is once
//! what the next run finds.

use std::future::Future;

use super::killed::{ends_while_held, fresh, names, picture, three_private_masters};
use super::*;

/// More runs than any cluster of these tests takes.
const MOST: usize = 400;

/// The changing calls that something makes, of AWS: the state's own are tried elsewhere.
async fn actions(world: &World, work: impl Future<Output = Outcome>) -> String {
    world.forget_journal().await;
    work.await.succeeded();
    let calls = world.journal(true).await;
    let mut actions: Vec<&str> = calls
        .iter()
        .filter(|call| !call.starts_with("s3:"))
        .filter_map(|call| Some(call.split_once(':')?.1))
        .collect();
    actions.sort_unstable();
    actions.dedup();
    actions.join("|")
}

/// Runs a command, killed at its first changing call, until one comes to its end. Returns how many were killed.
async fn killed_runs<T>(world: &World, actions: &str, work: impl AsyncFn() -> T) -> usize {
    for killed in 0..MOST {
        // Of calls that are made at once, one takes effect in every other run.
        let before = json!({"action": actions, "hold": "before", "times": null});
        let one_after = json!({"action": actions, "hold": "after", "times": killed % 2});
        world.region.inject(&json!([one_after, before])).await.unwrap();
        if !ends_while_held(world, work()).await {
            return killed;
        }
    }
    panic!("{MOST} runs, and there is still something to do");
}

async fn update(world: &World) -> Outcome {
    world.update_under_lease().await.unwrap()
}

/// A deletion as it is under its lease.
async fn delete(world: &World) -> Outcome {
    world.state.look().await.unwrap();
    let located = Box::pin(deletion::locate(&world.state)).await.unwrap();
    let prepared = Box::pin(PreparedDeletion::look(&world.state, located.as_ref(), false)).await.unwrap();
    world.delete_prepared(located.as_ref(), prepared).await.unwrap()
}

async fn crawls_to_a_cluster_and_back(mut world: World) {
    fresh(&mut world).await;
    let making = actions(&world, update(&world)).await;
    let expected = picture(&world).await;
    let deleting = actions(&world, delete(&world)).await;
    fresh(&mut world).await;

    let killed = killed_runs(&world, &making, async || drop(Box::pin(update(&world)).await)).await;
    assert!(killed > 60, "{killed} runs were killed");
    assert_eq!(picture(&world).await, expected, "made in {killed} runs");
    let again = world.plan().await;
    assert!(again.is_empty(), "made in {killed} runs:\n{again}");

    let killed = killed_runs(&world, &deleting, async || drop(Box::pin(delete(&world)).await)).await;
    assert!(killed > 40, "{killed} runs were killed");
    assert_eq!(names(&world).await, Vec::<String>::new(), "deleted in {killed} runs");
    assert_eq!(leftovers(&world).await, Vec::<String>::new());
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_cluster_is_made_and_deleted_by_runs_that_are_each_killed_at_their_first_changing_call() {
        crawls_to_a_cluster_and_back(World::new().await).await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn three_private_masters_are_made_and_deleted_by_runs_that_are_each_killed_at_their_first_changing_call()
     {
        crawls_to_a_cluster_and_back(World::of(three_private_masters()).await).await;
    }
}
