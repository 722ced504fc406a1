//! Warm pools: instances that have booted once and are stopped until the group needs them.

use aws_sdk_autoscaling::types::{AutoScalingGroup as Answer, Instance, WarmPoolState, WarmPoolStatus};

use crate::aws::During;
use crate::cloud::context::Context;
use crate::cloud::ebs::{to_i32, to_u32};
use crate::cloud::error::{CloudError, gone};
use crate::cloud::fields::Fields;
use crate::cloud::reference::ResourceId;

/// A warm pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmPool {
    /// Fewest instances in it.
    pub min_size: u32,
    /// Most instances in it and in the group together; the group's own maximum when absent.
    pub max_prepared: Option<u32>,
    /// Whether its instances are stopped, as windlass's are.
    pub stopped: bool,
}

/// How a limit is taken away (API_PutWarmPool).
const NO_LIMIT: i32 = -1;

/// How it is shown.
pub(super) fn add_fields(fields: Fields, pool: Option<&WarmPool>) -> Fields {
    let Some(WarmPool { min_size, max_prepared, stopped }) = pool else { return fields };
    fields
        .one("warmPool.minSize", min_size)
        .maybe("warmPool.maxPreparedCapacity", *max_prepared)
        .one("warmPool.stopped", stopped)
}

/// Makes it, changes it, or takes it away with its instances.
pub(super) async fn set(
    group: &str,
    wanted: Option<&WarmPool>,
    present: Option<&WarmPool>,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<(), CloudError> {
    let autoscaling = &context.clients.autoscaling;
    match (wanted, present) {
        (Some(wanted), present) if Some(wanted) != present => {
            let call = autoscaling.put_warm_pool().auto_scaling_group_name(group);
            let call = call.min_size(to_i32(wanted.min_size)).pool_state(WarmPoolState::Stopped);
            let limit = wanted.max_prepared.map(to_i32);
            let before = present.and_then(|pool| pool.max_prepared);
            let call =
                call.set_max_group_prepared_capacity(limit.or_else(|| before.is_some().then_some(NO_LIMIT)));
            call.send().await.during("autoscaling", "PutWarmPool", id)?;
            Ok(())
        }
        (None, Some(_)) => {
            let call = autoscaling.delete_warm_pool().auto_scaling_group_name(group).force_delete(true);
            gone(call.send().await.during("autoscaling", "DeleteWarmPool", id))
        }
        _ => Ok(()),
    }
}

/// The one that a group has. One that is being deleted is there no more.
pub(super) fn read(group: &Answer) -> Option<WarmPool> {
    let pool = group.warm_pool_configuration()?;
    if pool.status() == Some(&WarmPoolStatus::PendingDelete) {
        return None;
    }
    Some(WarmPool {
        min_size: to_u32(pool.min_size()).unwrap_or_default(),
        max_prepared: to_u32(pool.max_group_prepared_capacity()),
        stopped: pool.pool_state().is_none_or(|state| *state == WarmPoolState::Stopped),
    })
}

/// The instances in the warm pool of a group, which Auto Scaling tells of no other way. Groups without one aren't asked for.
pub(in crate::cloud) async fn instances(
    group: &Answer,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<Vec<Instance>, CloudError> {
    if group.warm_pool_configuration().is_none() {
        return Ok(Vec::new());
    }
    let name = group.auto_scaling_group_name().unwrap_or_default();
    let call = context.clients.autoscaling.describe_warm_pool().auto_scaling_group_name(name);
    let found = call.into_paginator().items().send().try_collect().await;
    match found.during("autoscaling", "DescribeWarmPool", id) {
        // The group is gone meanwhile.
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        found => Ok(found?),
    }
}
