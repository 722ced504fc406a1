//! Warm pools. The cluster's says what groups of nodes have that don't say it themselves, as with kops.

use super::{Report, Resolved};
use crate::spec::cluster::WarmPool;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{ClusterSpec, InstanceGroupRole, InstanceGroupSpec, WarmPoolSpec};

const PATH: &str = "spec.warmPool";

/// For how long a first boot is waited for where nothing is said, as with kops.
const FIRST_BOOT: u32 = 600;

/// As many as a cluster can have Nodes.
const MOST: u32 = 5000;

/// How long Auto Scaling's hooks wait (API_PutLifecycleHook).
const WAITS: std::ops::RangeInclusive<u32> = 30..=7200;

/// What the cluster's own may not be, whatever groups there are.
pub(super) fn check(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<()> {
    spec.warm_pool.as_ref().map_or(Ok(()), |pool| values(pool, report).map(drop))
}

/// A group's, where it has one.
pub(super) fn of_group(
    cluster: &ClusterSpec,
    group: &InstanceGroupSpec,
    report: &mut Report<'_>,
) -> Resolved<Option<WarmPool>> {
    let is_node = group.role == Some(InstanceGroupRole::Node);
    let written = match (&group.warm_pool, &cluster.warm_pool) {
        (None, None) => return Ok(None),
        (None, Some(_)) if !is_node => return Ok(None),
        (own, general) => with(own.clone().unwrap_or_default(), general.as_ref()),
    };
    let pool = values(&written, report)?;
    if written.max_size == Some(0) {
        return Ok(None);
    }
    if !is_node {
        let message = "only groups of nodes can have a warm pool";
        return Err(report.push(Problem::at(PATH, message).hint("leave it out")));
    }
    let bought = [
        (group.max_price.is_some(), "spot instances can't be stopped and started by Auto Scaling"),
        (group.mixed_instances_policy.is_some(), "a group of several machine types can't have a warm pool"),
    ];
    if let Some((_, message)) = bought.iter().find(|(is_so, _)| *is_so) {
        let hint = "leave it out; where it is the cluster's, write `warmPool: {maxSize: 0}` here";
        return Err(report.push(Problem::at(PATH, *message).hint(hint)));
    }
    Ok(Some(pool))
}

/// A group's own word goes before the cluster's.
fn with(own: WarmPoolSpec, general: Option<&WarmPoolSpec>) -> WarmPoolSpec {
    let Some(general) = general else { return own };
    WarmPoolSpec {
        min_size: own.min_size.or(general.min_size),
        max_size: own.max_size.or(general.max_size),
        enable_lifecycle_hook: own.enable_lifecycle_hook.or(general.enable_lifecycle_hook),
        lifecycle_hook_timeout: own.lifecycle_hook_timeout.or(general.lifecycle_hook_timeout),
        additional_images: own.additional_images,
    }
}

fn values(written: &WarmPoolSpec, report: &mut Report<'_>) -> Resolved<WarmPool> {
    let min = size("minSize", written.min_size, report);
    let max = size("maxSize", written.max_size, report);
    let seconds = written.lifecycle_hook_timeout.map_or(Some(FIRST_BOOT), |written| written.try_into().ok());
    let seconds = seconds.filter(|seconds| WAITS.contains(seconds)).ok_or_else(|| {
        let message = format!("Auto Scaling waits for {} to {} seconds", WAITS.start(), WAITS.end());
        let hint = format!("leave it out: it is {FIRST_BOOT} then");
        report.push(Problem::at(format!("{PATH}.lifecycleHookTimeout"), message).hint(hint))
    });
    let (min, max) = (min?.unwrap_or_default(), max?);
    if max.is_some_and(|max| max > 0 && max < min) {
        let message = format!("{min} is more than its maxSize ({})", max.unwrap_or_default());
        let hint = "write less, or a larger maxSize: it counts the instances of the group, too";
        return Err(report.push(Problem::at(format!("{PATH}.minSize"), message).hint(hint)));
    }
    let waits = written.enable_lifecycle_hook.unwrap_or(false);
    let seconds = seconds?;
    Ok(WarmPool { min_size: min, max_size: max, first_boot_seconds: waits.then_some(seconds) })
}

fn size(field: &str, written: Option<i64>, report: &mut Report<'_>) -> Resolved<Option<u32>> {
    let Some(written) = written else { return Ok(None) };
    u32::try_from(written).ok().filter(|size| *size <= MOST).map(Some).ok_or_else(|| {
        let message = format!("a warm pool can't have {written} instances");
        report.push(Problem::at(format!("{PATH}.{field}"), message).hint(format!("write 0 to {MOST}")))
    })
}
