//! EC2's check of source and destination, which drops the packets that carry pods' addresses.

use std::time::Duration;

use crate::agent::Agent;
use crate::aws::AwsError;
use crate::aws::ec2::Ec2;
use crate::aws::identity::InstanceIdentity;
use crate::progress::retry::{Class, Classed};
use crate::progress::step::{Done, Step, StepError};

/// Turns the check off.
pub const STEP: Step = Step::new("ensure_no_source_dest_check", Duration::from_mins(2)).outside();

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum SourceDestCheckError {
    /// EC2 doesn't know this instance yet.
    #[error("EC2 does not show this instance as one of the cluster's yet")]
    NoInstance,
    /// EC2 refused or didn't answer.
    #[error("EC2 did not do what is needed for the address")]
    Aws(#[source] AwsError),
}

impl Classed for SourceDestCheckError {
    fn class(&self) -> Class {
        match self {
            Self::NoInstance => Class::Waiting,
            Self::Aws(error) => error.class(),
        }
    }
}

/// The step, where the configuration wants it.
pub async fn run(agent: &Agent) -> Result<(), StepError> {
    if !agent.config.disable_source_dest_check {
        return Ok(());
    }
    let turn_off = async || ensure(&agent.ec2, &agent.identity).await.map(Done::changed_if);
    agent.on_machine(STEP, turn_off).await.map(drop)
}

/// Turns off EC2's source/destination check.
async fn ensure(ec2: &Ec2, identity: &InstanceIdentity) -> Result<bool, SourceDestCheckError> {
    let me = ec2
        .instance(&identity.id)
        .await
        .map_err(SourceDestCheckError::Aws)?
        .ok_or(SourceDestCheckError::NoInstance)?;
    if !me.source_dest_check {
        return Ok(false);
    }
    ec2.disable_source_dest_check(&identity.network_interface).await.map_err(SourceDestCheckError::Aws)?;
    Ok(true)
}
