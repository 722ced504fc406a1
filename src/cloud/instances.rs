//! Instances. They are Auto Scaling's to make; here they are only waited for.

use std::time::Duration;

use aws_sdk_ec2::types::{InstanceStateName, Reservation};

use super::context::Context;
use super::error::CloudError;
use super::reference::ResourceId;
use crate::aws::During;
use crate::aws::retry::{Look, Patience, wait_for};

/// How long instances may take to shut down.
const TERMINATION: Duration = Duration::from_mins(20);

/// EC2's limit of ids in one call is 1,000; this keeps the answer to a page.
const IDS_PER_CALL: usize = 200;

/// Waits until all of the instances are terminated, so that what they used is free.
pub(super) async fn wait_until_terminated(
    context: &Context<'_>,
    id: &ResourceId,
    instances: Vec<String>,
) -> Result<(), CloudError> {
    for some in instances.chunks(IDS_PER_CALL) {
        let what = format!("the end of {} instances of `{}`", some.len(), id.name);
        wait_for(what, Patience::of(TERMINATION), || async {
            let call = context.clients.ec2.describe_instances().set_instance_ids(Some(some.to_vec()));
            let answer = match call.send().await.during("ec2", "DescribeInstances", id) {
                Ok(answer) => answer,
                // Terminated instances are forgotten after a while.
                Err(error) if error.is_not_found() => return Ok(Look::Done(())),
                Err(error) => return Err(error),
            };
            let instances = answer.reservations().iter().flat_map(Reservation::instances);
            let left: Vec<&str> = instances
                .filter(|instance| {
                    instance.state().and_then(|state| state.name()) != Some(&InstanceStateName::Terminated)
                })
                .filter_map(|instance| instance.instance_id())
                .collect();
            Ok(if left.is_empty() {
                Look::Done(())
            } else {
                Look::Wait(format!("still there: {}", left.join(", ")))
            })
        })
        .await?;
    }
    Ok(())
}
