//! The agent of one instance: what every step of its boot, and every task that goes on afterwards, works with.

use crate::aws::Access;
use crate::aws::ec2::Ec2;
use crate::aws::identity::InstanceIdentity;
use crate::aws::state::StateStore;
use crate::contract::config::NodeConfig;
use crate::host::Host;
use crate::progress::reporter::Reporter;
use crate::progress::retry::Classed;
use crate::progress::step::{Done, Step, StepError};

/// An agent that knows which instance it is on, and what that shall be.
#[derive(Clone, Debug)]
pub struct Agent {
    /// The machine, or the folder that stands for one.
    pub host: Host,
    /// Who hears about it.
    pub reporter: Reporter,
    /// Which instance it is.
    pub identity: InstanceIdentity,
    /// What it shall be.
    pub config: NodeConfig,
    /// The state store.
    pub store: StateStore,
    /// EC2.
    pub ec2: Ec2,
    /// How it reaches what else there is of AWS.
    pub access: Access,
}

impl Agent {
    /// Runs a step on a machine. In a folder the step is left out, and the value is `None`.
    pub async fn on_machine<T, E: Classed>(
        &self,
        step: Step,
        attempt: impl AsyncFnMut() -> Result<Done<T>, E>,
    ) -> Result<Option<T>, StepError> {
        if !self.host.is_machine() {
            step.leave_out(&self.reporter);
            return Ok(None);
        }
        step.run(&self.reporter, attempt).await.map(Some)
    }
}
