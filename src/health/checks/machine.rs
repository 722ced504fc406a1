//! What each instance says of itself: whether it boots, has become a node, and goes on.

use windlass_bootstrap::config::Role;
use windlass_bootstrap::report::{self, BootState, FailingTask, Status};

use super::{Check, CheckKind, Outcome, group_of, node, staying};
use crate::health::snapshot::{Instance, Snapshot};
use crate::spec::cluster::{Cluster, InstanceGroup};
use crate::spec::quantity;

/// As tables and data show what it is about.
pub(super) const NAME: &str = "Machine";

/// How long an instance may run before it must have reported that its boot has begun. The agent is the last step of
/// the boot, which takes less than a minute.
const SILENCE: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);

/// How long an instance may be silent that has reported that it reports: three reports, and a minute for a write that is
/// tried again.
const SILENCE_AFTERWARDS: jiff::SignedDuration =
    jiff::SignedDuration::from_secs(3 * report::HEARTBEAT.as_secs().cast_signed() + 60);

/// What fails shorter than this is not told: it is tried again meanwhile.
const PASSING: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// Where the agent says what it does.
const JOURNAL: &str = "on the instance, `systemctl status windlass-bootstrap` and `journalctl -u windlass-bootstrap` tell \
                       it in full";

/// A check of each instance that is there to stay.
pub(super) fn check(cluster: &Cluster, snapshot: &Snapshot) -> Vec<Check> {
    let of_group = |wanted| {
        let instances =
            group_of(wanted, snapshot).into_iter().flat_map(|group| staying(group, snapshot));
        instances.map(|instance| machine(wanted, instance, snapshot)).collect::<Vec<_>>()
    };
    cluster.instance_groups.iter().flat_map(of_group).collect()
}

fn machine(wanted: &InstanceGroup, instance: &Instance, snapshot: &Snapshot) -> Check {
    let boot = snapshot.boot.get(&instance.id);
    let joined = match &snapshot.kubernetes {
        // It becomes no node; its own word counts.
        _ if wanted.role() == Role::Bastion => boot.is_some(),
        Ok(view) => view.node_of(&instance.id).is_some(),
        // Nobody knows; then the boot's own word counts.
        Err(_) => boot.is_some_and(|status| status.state == BootState::Ready),
    };
    let outcome = match boot {
        Some(status) => reported(instance, status, joined, snapshot.now),
        None if joined => Outcome::Pass,
        None => silent(instance, snapshot),
    };
    Check {
        kind: CheckKind::Machine,
        name: instance.id.clone(),
        instance_group: Some(wanted.name.clone()),
        outcome,
    }
}

/// What an instance says about itself, and whether it still says anything.
fn reported(instance: &Instance, status: &Status, joined: bool, now: jiff::Timestamp) -> Outcome {
    match (silent_for(status, now), booting(instance, status, joined)) {
        (Some(silence), Outcome::Pass) => gone_silent(instance, silence),
        (Some(silence), Outcome::Wait { why }) => Outcome::Wait {
            why: format!("{why}; it last reported {} ago", quantity(silence.as_mins(), "minute")),
        },
        (None, Outcome::Pass) => keeping(instance, status, now),
        (_, outcome) => outcome,
    }
}

/// For how long an instance has been silent that should have reported by now. Agents that don't say when they wrote
/// their report write none once they are ready.
pub fn silent_for(status: &Status, now: jiff::Timestamp) -> Option<jiff::SignedDuration> {
    let silence = now.duration_since(status.last_seen?);
    (silence > SILENCE_AFTERWARDS).then_some(silence)
}

fn gone_silent(instance: &Instance, silence: jiff::SignedDuration) -> Outcome {
    let id = &instance.id;
    Outcome::Fail {
        why: format!(
            "machine \"{id}\" has not reported for {}: its agent has stopped, or can't reach the state",
            quantity(silence.as_mins(), "minute")
        ),
        hint: Some(JOURNAL.to_owned()),
    }
}

/// What goes on after the boot, and fails for longer than a request that was refused once. A machine that is going to end
/// is waited for, or for its successor.
fn keeping(instance: &Instance, status: &Status, now: jiff::Timestamp) -> Outcome {
    if let Some(draining) = &status.draining {
        return Outcome::Wait { why: format!("machine \"{}\" is going to end: {draining}", instance.id) };
    }
    let lasting = |task: &&FailingTask| now.duration_since(task.since) >= PASSING;
    let failing: Vec<String> = status
        .failing
        .iter()
        .filter(lasting)
        .map(|task| format!("{} has failed since {:.0}: {}", task.name, task.since, task.error))
        .collect();
    if failing.is_empty() {
        return Outcome::Pass;
    }
    let why = format!("on machine \"{}\" {}", instance.id, failing.join("; "));
    Outcome::Fail { why, hint: Some(JOURNAL.to_owned()) }
}

fn booting(instance: &Instance, status: &Status, joined: bool) -> Outcome {
    let id = &instance.id;
    let subject = if joined {
        format!("the boot of machine \"{id}\" is not done")
    } else {
        format!("machine \"{id}\" has not yet joined the cluster")
    };
    let step = &status.step;
    let reason = status.reason.as_deref().unwrap_or("no reason given");
    match status.state {
        BootState::Ready if joined => Outcome::Pass,
        BootState::Ready => {
            Outcome::Wait { why: format!("{subject}: its boot is done, its node is not there yet") }
        }
        BootState::Running => Outcome::Wait { why: format!("{subject}: it is at {step}") },
        BootState::Waiting => Outcome::Wait { why: format!("{subject}: {step} waits: {}", awaited(reason)) },
        BootState::Failed => Outcome::Fail {
            why: format!("{subject}: {step} failed: {reason}"),
            hint: Some(format!(
                "on the instance, `journalctl -u windlass-bootstrap` tells it in full; from outside, `aws ec2 \
                 get-console-output --latest --instance-id {id}`"
            )),
        },
    }
}

/// An instance that has said nothing so far.
fn silent(instance: &Instance, snapshot: &Snapshot) -> Outcome {
    let id = &instance.id;
    let age = instance.launched.map(|launched| snapshot.now.duration_since(launched)).unwrap_or_default();
    if age < SILENCE {
        return Outcome::Wait {
            why: format!("machine \"{id}\" has not yet joined the cluster: no boot report so far"),
        };
    }
    Outcome::Fail {
        why: format!(
            "machine \"{id}\" has not yet joined the cluster, and has sent no boot report in the {} since its \
             launch",
            quantity(age.as_mins(), "minute")
        ),
        hint: Some(format!(
            "`aws ec2 get-console-output --latest --instance-id {id}` shows how far it came; without a word of \
             windlass-bootstrap there, the image is not windlass's"
        )),
    }
}

/// What a boot step waits for; where that is the kubelet, in the reader's words.
pub(super) fn awaited(reason: &str) -> String {
    match reason.split_once(" is not Ready: ") {
        Some((node, why)) => format!("{node} is not Ready: {}", node::not_ready(why)),
        None => reason.to_owned(),
    }
}
