//! containerd: its service is the image's, and the agent starts it.

use std::time::Duration;

use crate::agent::Agent;
use crate::host::Host;
use crate::host::command::{Command, CommandError};
use crate::progress::step::{Done, Step, StepError};

/// Starts containerd.
pub const STEP: Step = Step::new("ensure_containerd", Duration::from_mins(2));

/// The step.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    STEP.run(&agent.reporter, async || start(&agent.host).await.map(Done::unchanged)).await
}

/// Has it started without waiting for it: it comes up while the agent waits for other things.
async fn start(host: &Host) -> Result<(), CommandError> {
    let arguments = ["start", "--no-block", "containerd.service"];
    let start = Command::new("/usr/bin/systemctl").arguments(arguments).limit(Duration::from_mins(2));
    host.run(start).await.map(drop)
}
