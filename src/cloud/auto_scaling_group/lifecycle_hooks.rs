//! Lifecycle hooks: what an instance waits for before it is in service, or ended.

use std::collections::BTreeMap;
use std::fmt;

use aws_sdk_autoscaling::types::{AutoScalingGroup as Answer, LifecycleHookSpecification};

use crate::aws::During;
use crate::aws::tags::{self, Tags};
use crate::cloud::context::Context;
use crate::cloud::ebs::{to_i32, to_u32};
use crate::cloud::error::{CloudError, gone};
use crate::cloud::reference::ResourceId;

/// Hooks by their names.
pub type Hooks = BTreeMap<String, LifecycleHook>;

/// A lifecycle hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleHook {
    /// [`LAUNCHING`] or [`TERMINATING`].
    pub transition: String,
    /// For how many seconds the instance waits, and again at each sign of life.
    pub seconds: u32,
    /// What happens afterwards: [`CONTINUE`] or [`ABANDON`].
    pub otherwise: String,
}

/// An instance waits before it is in service, or in a warm pool.
pub const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";

/// An instance waits before it is ended.
pub const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

/// It goes on as if nothing had been waited for.
pub const CONTINUE: &str = "CONTINUE";

/// An instance that launches is ended and replaced.
pub const ABANDON: &str = "ABANDON";

impl fmt::Display for LifecycleHook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { transition, seconds, otherwise } = self;
        let transition = transition.trim_start_matches("autoscaling:EC2_INSTANCE_");
        write!(formatter, "{transition}, {otherwise} after {seconds} s")
    }
}

/// The value of the tag that says which of a group's hooks windlass made. Names of hooks hold no space
/// (API_PutLifecycleHook).
pub fn tag(hooks: &Hooks) -> Option<(String, String)> {
    let names: Vec<&str> = hooks.keys().map(String::as_str).collect();
    (!names.is_empty()).then(|| (tags::LIFECYCLE_HOOKS.to_owned(), names.join(" ")))
}

/// As a group is created with them, where there are any.
pub(super) fn specifications(hooks: &Hooks) -> Option<Vec<LifecycleHookSpecification>> {
    let specification = |(name, hook): (&String, &LifecycleHook)| {
        LifecycleHookSpecification::builder()
            .lifecycle_hook_name(name)
            .lifecycle_transition(&hook.transition)
            .heartbeat_timeout(to_i32(hook.seconds))
            .default_result(&hook.otherwise)
            .build()
    };
    let all: Vec<_> = hooks.iter().map(specification).collect();
    (!all.is_empty()).then_some(all)
}

/// Makes or changes those that aren't as they are wanted.
pub(super) async fn put(
    group: &str,
    wanted: &Hooks,
    present: &Hooks,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<(), CloudError> {
    for (name, hook) in wanted.iter().filter(|(name, hook)| present.get(*name) != Some(hook)) {
        let call = context.clients.autoscaling.put_lifecycle_hook().auto_scaling_group_name(group);
        let call = call.lifecycle_hook_name(name).lifecycle_transition(&hook.transition);
        let call = call.heartbeat_timeout(to_i32(hook.seconds)).default_result(&hook.otherwise);
        call.send().await.during("autoscaling", "PutLifecycleHook", id)?;
    }
    Ok(())
}

/// Deletes those that aren't wanted any more; what waits for one goes on.
pub(super) async fn remove(
    group: &str,
    wanted: &Hooks,
    present: &Hooks,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<(), CloudError> {
    for name in present.keys().filter(|name| !wanted.contains_key(*name)) {
        let call = context.clients.autoscaling.delete_lifecycle_hook().auto_scaling_group_name(group);
        let call = call.lifecycle_hook_name(name);
        gone(call.send().await.during("autoscaling", "DeleteLifecycleHook", id))?;
    }
    Ok(())
}

/// Those of a group that windlass made, as its tags say. A group without that tag isn't asked about.
pub(super) async fn list(group: &Answer, tags: &Tags, context: &Context<'_>) -> Result<Hooks, CloudError> {
    let Some(ours) = tags.get(tags::LIFECYCLE_HOOKS).filter(|_| context.owner.owns(tags)) else {
        return Ok(Hooks::new());
    };
    let name = group.auto_scaling_group_name().unwrap_or_default();
    let call = context.clients.autoscaling.describe_lifecycle_hooks().auto_scaling_group_name(name);
    let answer = match call.send().await.during("autoscaling", "DescribeLifecycleHooks", name) {
        // The group is gone meanwhile.
        Err(error) if error.is_not_found() => return Ok(Hooks::new()),
        answer => answer?,
    };
    let ours: Vec<&str> = ours.split(' ').collect();
    let hooks = answer.lifecycle_hooks.unwrap_or_default().into_iter();
    let named = hooks.filter_map(|hook| {
        let name = hook.lifecycle_hook_name.filter(|name| ours.contains(&name.as_str()))?;
        let hook = LifecycleHook {
            transition: hook.lifecycle_transition.unwrap_or_default(),
            seconds: to_u32(hook.heartbeat_timeout).unwrap_or_default(),
            otherwise: hook.default_result.unwrap_or_default(),
        };
        Some((name, hook))
    });
    Ok(named.collect())
}
