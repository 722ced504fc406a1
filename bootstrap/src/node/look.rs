//! A look from time to time at what the boot made right on the machine itself.

use std::sync::Arc;
use std::time::Duration;

use crate::agent::Agent;
use crate::background::every::{Every, every};
use crate::node::{api_name, kernel, kubelet};

/// The task. What it finds is reported under the names of the steps.
pub const TASK: Every = every("look_at_machine", Duration::from_mins(1));

/// Looks at the kernel, at the API's name and at the kubelet, and puts right what isn't.
pub async fn look(agent: Arc<Agent>) {
    let mut rounds = TASK.rounds(&agent.reporter);
    loop {
        rounds.next().await;
        agent
            .reporter
            .tell(kernel::STEP.name(), kernel::ensure(&agent.host, &agent.config, &agent.identity).await);
        if api_name::is_kept(&agent.config) {
            let written = api_name::ensure(&agent.host, &agent.config, &agent.identity);
            agent.reporter.tell(api_name::STEP.name(), written);
        }
        agent.reporter.tell(kubelet::STEP.name(), kubelet::look(&agent).await);
    }
}
