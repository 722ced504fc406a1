//! Calls that AWS refuses for good: denied, or because something about them is wrong. They are told at once, with the call and the
//! request's id, and not tried again.

use super::killed::{fresh, three_private_masters};
use super::*;
use crate::support::sample::sample;

/// How many of the calls are tried where each takes an update, and there aren't all of them to be tried.
const SAMPLE: usize = 8;

/// How a service denies a call: EC2 has a code of its own.
fn denied(service: &str) -> (&'static str, u16) {
    (if service == "ec2" { "UnauthorizedOperation" } else { "AccessDenied" }, 403)
}

async fn is_told_at_once(mut world: World) {
    fresh(&mut world).await;
    world.forget_journal().await;
    world.update().await.succeeded();
    let calls = world.journal(true).await;
    let mut made: BTreeMap<&str, usize> = BTreeMap::new();
    for call in calls.iter().filter(|call| !call.starts_with("s3:")) {
        *made.entry(call).or_default() += 1;
    }
    let all: Vec<(&str, usize)> = made.into_iter().collect();
    for (number, (call, times)) in sample(&all, SAMPLE).into_iter().enumerate() {
        let (service, action) = call.split_once(':').unwrap();
        let (code, status) = if number % 2 == 0 { denied(service) } else { ("InvalidParameterValue", 400) };
        fresh(&mut world).await;
        let fault =
            json!({"service": service, "action": action, "code": code, "status": status, "times": null});
        inject(&world, &fault).await;
        let outcome = world.update().await;
        let asked = world.journal(true).await.iter().filter(|asked| *asked == call).count();
        world.region.clear_faults().await.unwrap();

        let failed = &outcome.summary.failed;
        assert!(!failed.is_empty(), "{call}: nothing failed");
        assert!(
            (1..=times).contains(&asked),
            "{call} was asked {asked} times where {times} resources need it"
        );
        for failure in failed {
            let told = failure.error.to_string();
            assert!(told.contains(action) && told.contains(code) && told.contains("request id"), "{told}");
        }
        world.update().await.succeeded();
        let again = world.plan().await;
        assert!(again.is_empty(), "after {call} was refused:\n{again}");
    }
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_call_that_is_denied_or_invalid_is_told_at_once_with_its_request_id() {
        is_told_at_once(World::new().await).await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_call_for_three_private_masters_that_is_denied_or_invalid_is_told_at_once_with_its_request_id()
    {
        is_told_at_once(World::of(three_private_masters()).await).await;
    }
}
