//! What is done about instances that are going.

use super::{Report, Resolved};
use crate::spec::cluster::Interruption;
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::ClusterSpec;

const PATH: &str = "spec.nodeTerminationHandler";

/// What is done about them, where anything is.
pub(super) fn interruption(spec: &ClusterSpec, report: &mut Report<'_>) -> Resolved<Option<Interruption>> {
    let Some(written) = spec.node_termination_handler.as_ref() else { return Ok(None) };
    if written.enabled != Some(true) {
        return Ok(None);
    }
    let queue = written.enable_sqs_termination_draining.unwrap_or(false);
    let path = || format!("{PATH}.enableScheduledEventDraining");
    match written.enable_scheduled_event_draining {
        // As with kops.
        Some(false) if queue => {
            let message = "with a queue, nodes are always drained before scheduled maintenance";
            Err(report.push(Problem::at(path(), message).hint("leave it out")))
        }
        Some(true) if !queue => {
            let message = "only AWS's events tell of scheduled maintenance, and nobody reads them";
            let hint = "set `enableSQSTerminationDraining: true`, too, or leave it out";
            Err(report.push(Problem::at(path(), message).hint(hint)))
        }
        _ => Ok(Some(Interruption { queue })),
    }
}
