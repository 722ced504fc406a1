//! The instance's report: which step of its boot it is in, since when, and why it waits or failed; after the boot, that
//! the agent is alive, and which of the tasks that go on fail.
//!
//! It goes to the journal, to the console (the only view into an instance that never joined), and to the state
//! ([`crate::contract::keys::status`]), where `windlass get instances` and `windlass validate cluster` read it.

use serde::{Deserialize, Serialize};

use super::etcd_upkeep::EtcdAlarm;

/// What `<cluster>/status/<instance>.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// [`crate::contract::config::CONFIG_VERSION`].
    pub version: String,
    /// The EC2 instance id.
    pub instance: String,
    /// The instance group's name.
    pub instance_group: String,
    /// The availability zone.
    pub zone: String,
    /// The agent's own version.
    pub agent: String,
    /// Where the boot stands as a whole.
    pub state: BootState,
    /// The step that is under way, or the last one.
    pub step: String,
    /// Why it waits or failed; one line, no secrets.
    pub reason: Option<String>,
    /// When `state`, `step` or `reason` last changed, RFC 3339.
    pub since: jiff::Timestamp,
    /// Seconds from the kernel's start to the agent's start.
    pub agent_started_after: f64,
    /// The steps so far, in order.
    pub steps: Vec<StepReport>,
    /// When the agent last wrote the report. It goes on doing so every [`HEARTBEAT`] while the machine lives; agents
    /// before that say nothing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<jiff::Timestamp>,
    /// Which of the tasks that go on after the boot fail, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<FailingTask>,
    /// Why the instance ends, and how far its node is drained; one line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draining: Option<String>,
    /// What AWS has told of the instance, and nothing follows from: that it may be taken, or what is scheduled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// The alarms that etcd has raised, on a master.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub etcd_alarms: Vec<EtcdAlarm>,
}

/// How often an instance that is ready writes its report anew: some 22,000 small writes a month, a tenth of a dollar.
pub const HEARTBEAT: std::time::Duration = std::time::Duration::from_mins(2);

/// A task that goes on after the boot, and fails.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailingTask {
    /// The task's name, such as `renew_certificates`.
    pub name: String,
    /// Since when it has failed, RFC 3339.
    pub since: jiff::Timestamp,
    /// Its last error; one line, no secrets.
    pub error: String,
}

/// Where a boot stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BootState {
    /// Steps are being done.
    Running,
    /// A step waits for something outside the instance, such as a volume its predecessor still holds.
    Waiting,
    /// A step failed and is being retried, or needs an operator.
    Failed,
    /// Every step is done.
    Ready,
}

/// One step of the boot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// The step's name, such as `ensure_volume`.
    pub name: String,
    /// Seconds from the kernel's start to the step's start.
    pub started_after: f64,
    /// Seconds it took; absent while it is under way.
    pub seconds: Option<f64>,
    /// How many tries it took so far.
    pub attempts: u32,
    /// Whether it changed anything, or found all as it should be.
    pub changed: bool,
    /// Whether its time is mostly that of others: of AWS, of the API, of what runs in the cluster.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outside: bool,
}
