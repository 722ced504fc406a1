//! What is done about instances that are going: the queue of events about them and the rules that fill it, what their agents
//! may do, and what Auto Scaling waits for. And warm pools, for whose instances it waits, too.

use serde_json::{Value, json};
use windlass_bootstrap::tags as shared;

use super::{Desired, Inputs, ModelError, group_name, named};
use crate::aws::tags;
use crate::cloud::Reference;
use crate::cloud::auto_scaling_group::lifecycle_hooks::{
    ABANDON, CONTINUE, Hooks, LAUNCHING, LifecycleHook, TERMINATING,
};
use crate::cloud::auto_scaling_group::warm_pool;
use crate::cloud::event_rule::{EventRule, Events};
use crate::cloud::queue::Queue;
use crate::cloud::role;
use crate::spec::cluster::{Cluster, InstanceGroup, WarmPool};

/// For how long AWS keeps an event that nobody has read, and for how long an instance is waited for of which nothing is
/// heard: afterwards there is nothing left to be done about it. As with kops.
const FIVE_MINUTES: u32 = 300;

/// The most characters of a rule's pattern (EventBridge User Guide, "Amazon EventBridge quotas").
const LONGEST_PATTERN: usize = 2048;

/// Adds the queue and the rules, where the specification asks for them.
pub(super) fn add(inputs: &Inputs<'_>, desired: &mut Desired) -> Result<(), ModelError> {
    let cluster = inputs.cluster;
    if !cluster.has_interruption_queue() {
        return Ok(());
    }
    let name = Queue::name_for(&cluster.name);
    let named_by = || Reference::to(role::name_of_masters(&cluster.name));
    for events in Events::ALL {
        let rule = EventRule::name_for(&cluster.name, events);
        desired.insert(EventRule {
            pattern: pattern(inputs, events).to_string(),
            enabled: true,
            queue: Some(Reference::to(&name)),
            other_targets: [].into(),
            named_by: named_by(),
            tags: named(cluster, &rule)?,
            name: rule,
        })?;
    }
    desired.insert(Queue {
        retention_seconds: FIVE_MINUTES,
        encrypted: true,
        policy: Some(policy(inputs, &name)),
        named_by: named_by(),
        tags: named(cluster, &name)?,
        name,
    })
}

/// The tag of the masters' role that says that there is a queue.
pub(super) fn mark(cluster: &Cluster) -> Option<(String, String)> {
    cluster
        .has_interruption_queue()
        .then(|| (tags::INTERRUPTION_QUEUE.to_owned(), Queue::name_for(&cluster.name)))
}

/// Who may put something into the queue: the cluster's rules, as EventBridge does it for them. And nobody may do anything with
/// it that is not encrypted on its way.
fn policy(inputs: &Inputs<'_>, queue: &str) -> Value {
    let rules = Events::ALL.map(|events| EventRule::name_for(&inputs.cluster.name, events));
    let rules = rules.map(|rule| arn(inputs, "events", &format!("rule/{rule}")));
    let queue = arn(inputs, "sqs", queue);
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TakeEvents",
                "Effect": "Allow",
                "Principal": {"Service": "events.amazonaws.com"},
                "Action": "sqs:SendMessage",
                "Resource": queue,
                "Condition": {"ArnEquals": {"aws:SourceArn": rules}},
            },
            {
                "Sid": "OnlyEncrypted",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sqs:*",
                "Resource": queue,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    })
}

/// The events that a rule is about. Those of EC2 and of AWS Health name instances alone, of which EventBridge doesn't know
/// whose they are: the reader of the queue leaves alone what isn't its cluster's.
fn pattern(inputs: &Inputs<'_>, events: Events) -> Value {
    match events {
        Events::Lifecycle => lifecycle_pattern(inputs),
        Events::SpotInterruption => json!({
            "source": ["aws.ec2"],
            "detail-type": ["EC2 Spot Instance Interruption Warning"],
        }),
        Events::StateChange => json!({
            "source": ["aws.ec2"],
            "detail-type": ["EC2 Instance State-change Notification"],
            "detail": {"state": ["shutting-down", "stopping", "stopped", "terminated"]},
        }),
        Events::ScheduledChange => json!({
            "source": ["aws.health"],
            "detail-type": ["AWS Health Event"],
            "detail": {"service": ["EC2"], "eventTypeCategory": ["scheduledChange"]},
        }),
    }
}

/// Of the cluster's groups that have a hook. Where their names don't fit into a pattern, of all whose names end like the
/// cluster's, which those of a cluster may do, too, whose name ends in this one's.
fn lifecycle_pattern(inputs: &Inputs<'_>) -> Value {
    let cluster = inputs.cluster;
    let with = |groups: Value| {
        json!({
            "source": ["aws.autoscaling"],
            "detail-type": ["EC2 Instance-terminate Lifecycle Action"],
            "detail": {"AutoScalingGroupName": groups},
        })
    };
    let groups = cluster.instance_groups.iter();
    let groups = groups.filter(|group| cluster.lifecycle_hooks(group).terminating.is_some());
    let names: Vec<String> = groups.map(|group| group_name(cluster, group)).collect();
    let all = with(json!(names));
    let ending = || with(json!([{"suffix": format!(".{}", cluster.name)}]));
    // A pattern takes no empty list.
    if names.is_empty() || all.to_string().len() > LONGEST_PATTERN { ending() } else { all }
}

/// What masters may do with the queue.
pub(super) fn read_queue(inputs: &Inputs<'_>) -> Option<Value> {
    inputs.cluster.has_interruption_queue().then(|| {
        json!({
            "Sid": "ReadQueue",
            "Effect": "Allow",
            "Action": ["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"],
            "Resource": arn(inputs, "sqs", &Queue::name_for(&inputs.cluster.name)),
        })
    })
}

/// What nodes may do for which Auto Scaling waits. IAM knows no narrower resource than a group; those of other clusters it
/// tells by their tags.
pub(super) fn complete_actions(inputs: &Inputs<'_>) -> Option<Value> {
    let cluster = inputs.cluster;
    let mut groups = cluster.instance_groups.iter();
    groups.any(|group| !cluster.lifecycle_hooks(group).is_empty()).then(|| {
        json!({
            "Sid": "CompleteActions",
            "Effect": "Allow",
            "Action": ["autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"],
            "Resource": arn(inputs, "autoscaling", "autoScalingGroup:*:autoScalingGroupName/*"),
            "Condition": {"StringEquals": {format!("aws:ResourceTag/{}", shared::CLUSTER): cluster.name}},
        })
    })
}

fn arn(inputs: &Inputs<'_>, service: &str, resource: &str) -> String {
    let facts = inputs.facts;
    format!("arn:{}:{service}:{}:{}:{resource}", facts.partition, facts.region, facts.account)
}

/// The lifecycle hooks of a group, as with kops: an instance that isn't drained in time is ended all the same, and one whose
/// first boot isn't through in time is replaced.
pub(super) fn hooks(cluster: &Cluster, group: &InstanceGroup) -> Hooks {
    let names = cluster.lifecycle_hooks(group);
    let hook = |transition: &str, seconds: u32, otherwise: &str| LifecycleHook {
        transition: transition.to_owned(),
        seconds,
        otherwise: otherwise.to_owned(),
    };
    let terminating = names.terminating.map(|name| (name, hook(TERMINATING, FIVE_MINUTES, CONTINUE)));
    let first_boot = group.warm_pool.and_then(|pool| pool.first_boot_seconds);
    let launching = names.launching.zip(first_boot.map(|seconds| hook(LAUNCHING, seconds, ABANDON)));
    terminating.into_iter().chain(launching).collect()
}

/// A group's warm pool as Auto Scaling has it.
pub(super) fn warm_pool(pool: WarmPool) -> warm_pool::WarmPool {
    warm_pool::WarmPool { min_size: pool.min_size, max_prepared: pool.max_size, stopped: true }
}
