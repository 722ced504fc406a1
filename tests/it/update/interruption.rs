//! What hears of instances that are going: lifecycle hooks, the queue and the rules that fill it; and warm pools. Made, set back
//! where somebody changed it, and gone when the specification doesn't ask for it any more.

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use windlass::spec::v1alpha2::{NodeTerminationHandlerSpec, WarmPoolSpec};

use super::*;

const QUEUE: &str = "demo-example-com-nth";
const RULES: [&str; 4] = [
    "demo.example.com-ASGLifecycle",
    "demo.example.com-InstanceScheduledChange",
    "demo.example.com-InstanceStateChange",
    "demo.example.com-SpotInterruption",
];

/// A region with an empty cluster, whose specification asks for hooks, and for the queue.
async fn heeding_world() -> World {
    let mut world = World::new().await;
    world.documents.cluster.spec.node_termination_handler = handler(true);
    world
}

#[expect(clippy::unnecessary_wraps, reason = "as the specification has it")]
fn handler(queue: bool) -> Option<NodeTerminationHandlerSpec> {
    Some(NodeTerminationHandlerSpec {
        enabled: Some(true),
        enable_sqs_termination_draining: Some(queue),
        ..NodeTerminationHandlerSpec::default()
    })
}

/// The steps of a plan as `verb kind`.
fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{} {}", step.action.verb(), step.resource.kind)).collect()
}

/// The names of the queues, and of the rules that have a target, each with where its events go.
async fn picture(world: &World) -> (Vec<String>, Vec<String>) {
    let Clients { sqs, events, .. } = &world.clients;
    let urls = sqs.list_queues().send().await.unwrap().queue_urls.unwrap_or_default();
    let queues = urls.iter().filter_map(|url| url.rsplit('/').next().map(str::to_owned)).collect();
    let mut rules = Vec::new();
    for rule in events.list_rules().send().await.unwrap().rules.unwrap_or_default() {
        let name = rule.name.unwrap();
        let targets = events.list_targets_by_rule().rule(&name).send().await.unwrap().targets;
        let arns = targets.unwrap_or_default();
        let arns = arns.iter().map(|target| target.arn.rsplit(':').next().unwrap());
        rules.push(format!("{name} {}", arns.collect::<Vec<_>>().join(" ")));
    }
    (queues, rules)
}

/// The same where all that is asked for is there.
fn everything() -> (Vec<String>, Vec<String>) {
    (vec![QUEUE.to_owned()], RULES.map(|rule| format!("{rule} {QUEUE}")).to_vec())
}

/// The same where nothing is.
fn nothing() -> (Vec<String>, Vec<String>) {
    (Vec::new(), Vec::new())
}

async fn url(world: &World) -> String {
    world.clients.sqs.get_queue_url().queue_name(QUEUE).send().await.unwrap().queue_url.unwrap()
}

async fn attribute(world: &World, name: Attribute) -> Option<String> {
    let call = world.clients.sqs.get_queue_attributes().queue_url(url(world).await);
    let answer = call.attribute_names(Attribute::All).send().await.unwrap();
    answer.attributes.unwrap_or_default().remove(&name)
}

/// The hooks of the group of nodes, as `name transition seconds otherwise`.
async fn hooks(world: &World) -> Vec<String> {
    let group = world.id(Kind::AutoScalingGroup, "nodes").await;
    let call = world.clients.autoscaling.describe_lifecycle_hooks().auto_scaling_group_name(group);
    let hooks = call.send().await.unwrap().lifecycle_hooks.unwrap_or_default();
    let shown = hooks.iter().map(|hook| {
        let transition = hook.lifecycle_transition().unwrap().trim_start_matches("autoscaling:EC2_INSTANCE_");
        let (seconds, otherwise) = (hook.heartbeat_timeout().unwrap(), hook.default_result().unwrap());
        format!("{} {transition} {seconds} {otherwise}", hook.lifecycle_hook_name().unwrap())
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort();
    shown
}

/// The name of the hook of the group of nodes.
fn hook_of_nodes(world: &mut World) -> String {
    format!("{}-NTHLifecycleHook", world.nodes().metadata.name.as_deref().unwrap())
}

/// The fewest and most of the group of nodes' warm pool, and what its instances are.
async fn pool(world: &World) -> Option<(i32, Option<i32>, String)> {
    let group = world.id(Kind::AutoScalingGroup, "nodes").await;
    let call = world.clients.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(group);
    let answer = call.send().await.unwrap();
    let pool = answer.auto_scaling_groups()[0].warm_pool_configuration()?.clone();
    Some((
        pool.min_size.unwrap_or_default(),
        pool.max_group_prepared_capacity,
        pool.pool_state.unwrap().to_string(),
    ))
}

/// A queue's name is free a minute after its end: makes that minute pass.
async fn a_minute_passes(world: &World) {
    world.region.post(&format!("queues/{QUEUE}/age"), &json!({"seconds": 61})).await.unwrap();
}

mod with_region {
    use super::*;

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn the_queue_its_rules_and_the_hooks_are_made_and_a_second_update_has_nothing_to_do() {
        let mut world = heeding_world().await;
        world.update().await.succeeded();
        assert_eq!(picture(&world).await, everything());
        assert_eq!(attribute(&world, Attribute::MessageRetentionPeriod).await.as_deref(), Some("300"));
        assert_eq!(attribute(&world, Attribute::SqsManagedSseEnabled).await.as_deref(), Some("true"));
        let hook = hook_of_nodes(&mut world);
        assert_eq!(hooks(&world).await, [format!("{hook} TERMINATING 300 CONTINUE")]);
        world.has_nothing_to_do().await;
        let asked = world.journal(false).await;
        let about = |what: &str| asked.iter().filter(|call| call.contains(what)).count();
        assert_eq!(about("ListRules"), 1, "{asked:?}");
        assert!(about("sqs:") <= 3, "{asked:?}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn hooks_are_on_a_group_before_it_has_an_instance() {
        let world = heeding_world().await;
        world.update().await.succeeded();
        let put = world.journal(true).await.iter().filter(|call| call.contains("PutLifecycleHook")).count();
        assert_eq!(put, 0, "they come with the group");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_deletion_takes_the_queue_and_its_rules_and_leaves_those_of_others() {
        let world = heeding_world().await;
        let before = picture(&world).await;
        let call = world.clients.sqs.create_queue().queue_name("others");
        call.send().await.unwrap();
        let pattern = r#"{"source": ["aws.ec2"]}"#;
        let call = world.clients.events.put_rule().name("demo.example.com-mine").event_pattern(pattern);
        call.send().await.unwrap();
        world.update().await.succeeded();
        assert_ne!(picture(&world).await, before);
        world.delete().await.succeeded();
        let left = leftovers(&world).await;
        assert_eq!(left, ["eventRules demo.example.com-mine", "queues others"]);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_is_taken_out_of_the_specification_goes_and_can_come_back() {
        let mut world = heeding_world().await;
        world.update().await.succeeded();
        world.documents.cluster.spec.node_termination_handler = handler(false);
        let outcome = world.update().await.succeeded();
        assert_eq!(picture(&world).await, nothing(), "{}", outcome.plan);
        assert_eq!(hooks(&world).await.len(), 1);
        assert!(world.plan().await.is_empty());
        world.documents.cluster.spec.node_termination_handler = None;
        world.update().await.succeeded();
        assert_eq!(hooks(&world).await, Vec::<String>::new());
        assert!(world.plan().await.is_empty());

        // Its name isn't free yet: the update waits for that.
        world.documents.cluster.spec.node_termination_handler = handler(true);
        let aged = async {
            while !world.journal(true).await.iter().any(|call| call == "sqs:CreateQueue") {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            a_minute_passes(&world).await;
        };
        world.forget_journal().await;
        let (outcome, ()) = futures::join!(world.update(), aged);
        let outcome = outcome.succeeded();
        assert!(outcome.events.iter().any(|told| told.contains("60 seconds")), "{:?}", outcome.events);
        assert_eq!(picture(&world).await, everything());
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_somebody_changed_of_the_queue_and_its_rules_is_set_back() {
        let world = heeding_world().await;
        world.update().await.succeeded();
        let Clients { sqs, events, .. } = &world.clients;
        let policy = attribute(&world, Attribute::Policy).await.unwrap();

        let call = sqs.set_queue_attributes().queue_url(url(&world).await);
        let call =
            call.attributes(Attribute::Policy, "").attributes(Attribute::MessageRetentionPeriod, "600");
        call.send().await.unwrap();
        let call = sqs.untag_queue().queue_url(url(&world).await).tag_keys("Name");
        call.send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["update queue"], "{}", outcome.plan);
        assert_eq!(attribute(&world, Attribute::Policy).await.as_ref(), Some(&policy));
        assert!(world.plan().await.is_empty());

        let call = events.put_rule().name(RULES[0]).event_pattern(r#"{"source": ["aws.autoscaling"]}"#);
        call.send().await.unwrap();
        events.disable_rule().name(RULES[1]).send().await.unwrap();
        events.remove_targets().rule(RULES[2]).ids("windlass").send().await.unwrap();
        let other = aws_sdk_eventbridge::types::Target::builder().id("other");
        let other = other.arn("arn:aws:sqs:us-east-1:123456789012:others").build().unwrap();
        events.put_targets().rule(RULES[3]).targets(other).send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["update event-rule"; 4], "{}", outcome.plan);
        assert_eq!(picture(&world).await, everything());
        assert!(world.plan().await.is_empty());

        events.remove_targets().rule(RULES[0]).ids("windlass").send().await.unwrap();
        events.delete_rule().name(RULES[0]).send().await.unwrap();
        sqs.delete_queue().queue_url(url(&world).await).send().await.unwrap();
        a_minute_passes(&world).await;
        world.update().await.succeeded();
        assert_eq!(picture(&world).await, everything());
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn hooks_that_somebody_changed_are_set_back_and_those_of_others_stay() {
        let mut world = heeding_world().await;
        world.update().await.succeeded();
        let (group, hook) = (world.id(Kind::AutoScalingGroup, "nodes").await, hook_of_nodes(&mut world));
        let autoscaling = world.clients.autoscaling.clone();
        let put = |name: &str| {
            let call =
                autoscaling.put_lifecycle_hook().auto_scaling_group_name(&group).lifecycle_hook_name(name);
            call.lifecycle_transition("autoscaling:EC2_INSTANCE_TERMINATING").heartbeat_timeout(60)
        };
        put(&hook).send().await.unwrap();
        put("mine").default_result("CONTINUE").send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["update auto-scaling-group"], "{}", outcome.plan);
        let ours = format!("{hook} TERMINATING 300 CONTINUE");
        let theirs = "mine TERMINATING 60 CONTINUE".to_owned();
        assert_eq!(hooks(&world).await, [theirs.clone(), ours.clone()]);
        assert!(world.plan().await.is_empty());

        let call = autoscaling.delete_lifecycle_hook().auto_scaling_group_name(&group);
        call.lifecycle_hook_name(&hook).send().await.unwrap();
        world.update().await.succeeded();
        assert_eq!(hooks(&world).await, [theirs.clone(), ours]);
        world.documents.cluster.spec.node_termination_handler = None;
        world.update().await.succeeded();
        assert_eq!(hooks(&world).await, [theirs]);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_others_have_of_that_name_is_refused_before_anything_is_made() {
        let world = heeding_world().await;
        let refused = async || {
            let error = world.try_plan().await.unwrap_err();
            assert_eq!(world.journal(true).await, Vec::<String>::new());
            let causes =
                std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
        };
        world.clients.sqs.create_queue().queue_name(QUEUE).send().await.unwrap();
        world.forget_journal().await;
        let told = refused().await;
        assert!(told.contains(&format!("queue/{QUEUE}")) && told.contains("isn't this cluster's"), "{told}");
        world.clients.sqs.delete_queue().queue_url(url(&world).await).send().await.unwrap();
        let call = world.clients.events.put_rule().name(RULES[0]).event_pattern(r#"{"source": ["aws.ec2"]}"#);
        call.send().await.unwrap();
        world.forget_journal().await;
        let told = refused().await;
        assert!(told.contains(&format!("event-rule/{}", RULES[0])), "{told}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_the_cluster_lost_the_mark_of_is_found_again_by_its_name() {
        let world = heeding_world().await;
        world.update().await.succeeded();
        let call = world.clients.iam.untag_role().role_name(format!("masters.{NAME}"));
        call.tag_keys(tags::INTERRUPTION_QUEUE).send().await.unwrap();
        let group = world.id(Kind::AutoScalingGroup, "nodes").await;
        let tag = aws_sdk_autoscaling::types::Tag::builder().resource_id(group);
        let tag = tag.resource_type("auto-scaling-group").key(tags::LIFECYCLE_HOOKS).build();
        world.clients.autoscaling.delete_tags().tags(tag).send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["update role", "update auto-scaling-group"], "{}", outcome.plan);
        assert_eq!(picture(&world).await, everything());
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn killed_at_any_changing_call_the_next_update_ends_in_the_same_place() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        for (to, from, expected) in [(true, false, everything()), (false, true, nothing())] {
            for kill_after in (0..15).step_by(3) {
                world.documents.cluster.spec.node_termination_handler =
                    if from { handler(true) } else { None };
                a_queue_can_be_made(&world).await;
                world.update().await.succeeded();
                world.documents.cluster.spec.node_termination_handler = if to { handler(true) } else { None };
                a_queue_can_be_made(&world).await;
                world.update_killed_after(kill_after).await;
                a_queue_can_be_made(&world).await;
                world.update().await.succeeded();
                let again = world.plan().await;
                assert!(again.is_empty(), "killed after {kill_after} calls:\n{again}");
                assert_eq!(picture(&world).await, expected, "killed after {kill_after} calls");
                assert_eq!(hooks(&world).await.len(), usize::from(to), "killed after {kill_after} calls");
            }
        }
    }

    async fn a_queue_can_be_made(world: &World) {
        // There may be none that went.
        let _ = world.region.post(&format!("queues/{QUEUE}/age"), &json!({"seconds": 61})).await;
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn lost_replies_end_in_one_of_each() {
        let world = heeding_world().await;
        let fault = json!({
            "action": "^(CreateQueue|PutRule|PutTargets|PutLifecycleHook)$", "code": "ServiceUnavailable",
            "status": 503, "times": 6, "rate": 0.5, "latencyMs": 0, "after": true,
        });
        inject(&world, &fault).await;
        world.update().await.succeeded();
        assert_eq!(picture(&world).await, everything());
        assert!(world.plan().await.is_empty());
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_cluster_without_any_of_it_asks_for_none_of_it() {
        let world = World::new().await;
        world.update().await.succeeded();
        world.update().await.succeeded();
        world.delete().await.succeeded();
        let asked = world.journal(false).await;
        let about = ["sqs:", "events:", "LifecycleHook", "WarmPool"];
        assert!(!asked.iter().any(|call| about.iter().any(|about| call.contains(about))), "{asked:?}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_warm_pool_comes_changes_and_goes_with_the_specification_and_is_set_back() {
        let mut world = World::new().await;
        world.update().await.succeeded();
        assert_eq!(pool(&world).await, None);
        let wanted = |min, max, waits| {
            Some(WarmPoolSpec {
                min_size: Some(min),
                max_size: max,
                enable_lifecycle_hook: Some(waits),
                ..WarmPoolSpec::default()
            })
        };
        world.nodes().spec.warm_pool = wanted(1, Some(5), true);
        world.forget_journal().await;
        world.update().await.succeeded();
        let calls = world.journal(true).await;
        let at = |action: &str| calls.iter().position(|call| call.ends_with(action)).unwrap();
        assert!(
            at("PutLifecycleHook") < at("PutWarmPool"),
            "without the hook an instance is stopped in the middle of its first boot: {calls:?}"
        );
        let stopped = || "Stopped".to_owned();
        assert_eq!(pool(&world).await, Some((1, Some(5), stopped())));
        assert_eq!(hooks(&world).await, ["kops-warmpool LAUNCHING 600 ABANDON"]);
        world.has_nothing_to_do().await;

        let group = world.id(Kind::AutoScalingGroup, "nodes").await;
        let call = world.clients.autoscaling.put_warm_pool().auto_scaling_group_name(&group);
        let running = aws_sdk_autoscaling::types::WarmPoolState::Running;
        call.min_size(3).max_group_prepared_capacity(9).pool_state(running).send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert_eq!(steps(&outcome.plan), ["update auto-scaling-group"], "{}", outcome.plan);
        assert_eq!(pool(&world).await, Some((1, Some(5), stopped())));

        world.nodes().spec.warm_pool = wanted(2, None, false);
        world.update().await.succeeded();
        assert_eq!(pool(&world).await, Some((2, None, stopped())));
        assert_eq!(hooks(&world).await, Vec::<String>::new());
        assert!(world.plan().await.is_empty());

        world.nodes().spec.warm_pool = None;
        world.update().await.succeeded();
        assert_eq!(pool(&world).await, None);
        world.has_nothing_to_do().await;

        // One that somebody made by hand is a setting of the group like any other.
        let call = world.clients.autoscaling.put_warm_pool().auto_scaling_group_name(&group);
        call.send().await.unwrap();
        let outcome = world.update().await.succeeded();
        assert!(outcome.plan.to_string().contains("warmPool.minSize"), "{}", outcome.plan);
        assert_eq!(pool(&world).await, None);
    }
}
