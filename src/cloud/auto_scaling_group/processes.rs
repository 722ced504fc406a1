//! Processes of Auto Scaling that are suspended.

use std::collections::BTreeSet;

use aws_sdk_autoscaling::types::AutoScalingGroup as Answer;

use super::stopped::Stopped;
use crate::aws::During;
use crate::aws::tags::{self, Tags};
use crate::cloud::context::Context;
use crate::cloud::error::CloudError;
use crate::cloud::reference::ResourceId;

/// Suspends what is wanted and isn't suspended yet.
pub(super) async fn suspend(
    group: &str,
    wanted: &BTreeSet<String>,
    suspended: &BTreeSet<String>,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<(), CloudError> {
    let new: Vec<String> = wanted.difference(suspended).cloned().collect();
    if new.is_empty() {
        return Ok(());
    }
    let call = context.clients.autoscaling.suspend_processes().auto_scaling_group_name(group);
    let call = call.set_scaling_processes(Some(new));
    call.send().await.during("autoscaling", "SuspendProcesses", id)?;
    Ok(())
}

/// Resumes what windlass has suspended and isn't wanted any more.
pub(super) async fn resume(
    group: &str,
    wanted: &BTreeSet<String>,
    suspended: &BTreeSet<String>,
    context: &Context<'_>,
    id: &ResourceId,
) -> Result<(), CloudError> {
    let gone: Vec<String> = suspended.difference(wanted).cloned().collect();
    // Without a name, all would be resumed (API_ResumeProcesses).
    if gone.is_empty() {
        return Ok(());
    }
    let call = context.clients.autoscaling.resume_processes().auto_scaling_group_name(group);
    let call = call.set_scaling_processes(Some(gone));
    call.send().await.during("autoscaling", "ResumeProcesses", id)?;
    Ok(())
}

/// What windlass has suspended because the specification says so, and what somebody else has. What is suspended while the group
/// is stopped is neither.
pub(super) fn read(
    group: &Answer,
    tags: &Tags,
    stopped: Option<&Stopped>,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let ours: Vec<&str> =
        tags.get(tags::SUSPENDED).map(|names| names.split(' ').collect()).unwrap_or_default();
    let all = group.suspended_processes().iter();
    let all = all.filter_map(|process| process.process_name().map(str::to_owned));
    let (suspended, mut by_others): (_, BTreeSet<String>) =
        all.partition(|process| ours.contains(&process.as_str()));
    by_others.retain(|process| stopped.is_none_or(|stopped| !stopped.processes.contains(process)));
    (suspended, by_others)
}
