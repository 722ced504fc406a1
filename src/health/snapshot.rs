//! What was seen of a cluster at one moment.

use std::collections::BTreeMap;

use jiff::Timestamp;
use windlass_bootstrap::backup::{BackupId, Proof};
use windlass_bootstrap::report::Status;

use crate::cloud::auto_scaling_group::stopped::Stopped;
use crate::kube::{self, Node, Pod};
use crate::state::Damage;

/// What is shown at most of a text that a machine of the cluster wrote, in characters.
const TEXT_LIMIT: usize = 2000;

/// A text that a machine of the cluster wrote, as a terminal may see it: without control characters and those that change
/// the direction of what stands around them (Unicode's UAX #9), and not so long that it floods one.
pub fn harmless(text: &str) -> String {
    let is_harmful =
        |one: char| one.is_control() || matches!(one, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().take(TEXT_LIMIT).map(|one| if is_harmful(one) { ' ' } else { one }).collect()
}

/// What was seen of a cluster at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When.
    pub now: Timestamp,
    /// AWS's part.
    pub cloud: CloudView,
    /// Whether AWS's part was seen for this snapshot, in contrast to some seconds ago.
    pub cloud_is_new: bool,
    /// The state's part.
    pub state: StateView,
    /// The backups of etcd.
    pub backups: BackupsView,
    /// Boot reports by instance id.
    pub boot: BTreeMap<String, Status>,
    /// The Kubernetes API's part, or why there is none.
    pub kubernetes: Result<KubernetesView, Unanswered>,
}

/// The backups of etcd, as far as their health goes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackupsView {
    /// The newest that is whole.
    pub newest: Option<BackupId>,
    /// The newest proof that went well.
    pub newest_proof: Option<Proof>,
    /// The newest backup that was tried, where it can't be restored, and why.
    pub failure: Option<(BackupId, String)>,
}

/// What the state holds that machines are made with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateView {
    /// What is wrong with the cluster's secrets.
    pub damaged_secrets: Vec<Damage>,
    /// The authorities whose keysets can be read.
    pub authorities: Vec<Authority>,
}

/// What signs certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Its keyset, such as `kubernetes-ca`.
    pub name: String,
    /// Until when its certificate is good.
    pub expires: Timestamp,
}

/// Groups and instances as AWS has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloudView {
    /// The Auto Scaling groups.
    pub groups: Vec<Group>,
    /// The instances, terminated ones left out, by id.
    pub instances: BTreeMap<String, Instance>,
}

impl CloudView {
    /// Whether an instance is in a warm pool.
    pub fn is_warm(&self, instance: &str) -> bool {
        self.groups.iter().flat_map(|group| &group.warm).any(|member| member.instance == instance)
    }
}

/// An Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name on AWS.
    pub name: String,
    /// The instance group it was made for.
    pub instance_group: String,
    /// How many instances it wants.
    pub desired: u32,
    /// The launch template version that it launches instances with.
    pub template_version: Option<String>,
    /// Processes that somebody suspended.
    pub suspended: Vec<String>,
    /// Whether `windlass stop cluster` has stopped it, and since when.
    pub stopped: Option<Stopped>,
    /// Its instances.
    pub members: Vec<Member>,
    /// Those of its warm pool, which count for nothing until the group takes them into service.
    pub warm: Vec<Member>,
}

/// An instance of an Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The instance's id.
    pub instance: String,
    /// `Pending`, `InService`, `Terminating:Wait`, `Warmed:Stopped`, …
    pub lifecycle: String,
    /// The launch template version that it was launched with.
    pub template_version: Option<String>,
}

impl Member {
    /// Whether it is on its way out.
    pub fn is_leaving(&self) -> bool {
        ["Terminating", "Terminated", "Detaching", "Detached"]
            .iter()
            .any(|way| self.lifecycle.starts_with(way))
    }
}

/// An EC2 instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// `i-…`.
    pub id: String,
    /// `pending`, `running`, `shutting-down`, `stopping`, `stopped`.
    pub state: String,
    /// The instance group that its tag names.
    pub instance_group: Option<String>,
    /// Its availability zone.
    pub zone: String,
    /// Such as `t3.medium`.
    pub machine_type: String,
    /// Its primary private address; its IPv6 address where it has no other.
    pub private_address: Option<String>,
    /// Its public address.
    pub public_address: Option<String>,
    /// When it was launched.
    pub launched: Option<Timestamp>,
}

/// What the Kubernetes API says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesView {
    /// All nodes.
    pub nodes: Vec<Node>,
    /// The pods that the cluster can't do without.
    pub pods: Vec<Pod>,
}

impl KubernetesView {
    /// The node of an instance.
    pub fn node_of(&self, instance: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.instance.as_deref() == Some(instance))
    }
}

/// Why the Kubernetes API says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// What happened, with the address that was asked.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether it may only not be there yet: nobody answers, in contrast to somebody who says no.
    pub may_come: bool,
}

impl From<&kube::Error> for Unanswered {
    fn from(error: &kube::Error) -> Self {
        Self {
            message: error.to_string(),
            hint: error.hint(),
            may_come: matches!(error, kube::Error::Unreachable { .. }),
        }
    }
}
