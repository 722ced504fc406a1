//! The lifecycle hooks of the instance's Auto Scaling group, as the agent that they wait for answers them.

use std::time::Duration;

use aws_sdk_autoscaling::Client;

use crate::aws::{self, Access, AwsError};
use crate::contract::auto_scaling::group_name;
use crate::contract::config::{NodeConfig, Role};

/// How often a hook hears that its work goes on: the shortest time-out that Auto Scaling takes is 30 seconds
/// (API_PutLifecycleHook).
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// Auto Scaling, seen from one instance of a group.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    client: Client,
    group: String,
    instance: String,
}

impl Lifecycle {
    /// Of this instance, in its region.
    pub async fn open(region: &str, access: &Access, config: &NodeConfig, instance: &str) -> Self {
        let sdk = aws::configuration(region, access).await;
        Self::with_client(Client::new(&sdk), config, instance)
    }

    /// Of an instance of another group of the cluster, by the Auto Scaling group's name.
    pub async fn of(region: &str, access: &Access, config: &NodeConfig, group: &str, instance: &str) -> Self {
        Self { group: group.to_owned(), ..Self::open(region, access, config, instance).await }
    }

    /// Auto Scaling as a test brings it.
    pub(crate) fn with_client(client: Client, config: &NodeConfig, instance: &str) -> Self {
        let role = match &config.control_plane {
            Some(_) => Role::ControlPlane,
            None if config.bastion => Role::Bastion,
            None if config.api_server.is_some() => Role::ApiServer,
            None => Role::Node,
        };
        let group = group_name(&config.cluster, &config.instance_group, role);
        Self { client, group, instance: instance.to_owned() }
    }

    /// The hook waits no more, and what it held up goes on. Returns whether it waited: not where it waits no more already, or
    /// doesn't yet.
    pub async fn complete(&self, hook: &str) -> Result<bool, AwsError> {
        let completed = self
            .client
            .complete_lifecycle_action()
            .auto_scaling_group_name(&self.group)
            .lifecycle_hook_name(hook)
            .instance_id(&self.instance)
            .lifecycle_action_result("CONTINUE")
            .send()
            .await;
        match completed.map_err(|error| AwsError::new("CompleteLifecycleAction", self.target(hook), error)) {
            Ok(_) => Ok(true),
            Err(error) if does_not_wait(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The hook's time-out begins anew. A hook that waits no more has none.
    pub async fn heartbeat(&self, hook: &str) -> Result<(), AwsError> {
        let recorded = self
            .client
            .record_lifecycle_action_heartbeat()
            .auto_scaling_group_name(&self.group)
            .lifecycle_hook_name(hook)
            .instance_id(&self.instance)
            .send()
            .await;
        match recorded
            .map_err(|error| AwsError::new("RecordLifecycleActionHeartbeat", self.target(hook), error))
        {
            Ok(_) => Ok(()),
            Err(error) if does_not_wait(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn target(&self, hook: &str) -> String {
        format!("the hook {hook} of {} for {}", self.group, self.instance)
    }
}

/// Auto Scaling's words for an action that was completed, has timed out, or hasn't begun; they have no code of their own.
fn does_not_wait(error: &AwsError) -> bool {
    matches!(error, AwsError::Refused { code, message, .. }
        if code == "ValidationError" && message.contains("No active Lifecycle Action"))
}
