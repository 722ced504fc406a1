//! Collects the instance's report, and tells the journal, the console and systemd of it as it happens. What writes it to
//! the state is told that it has changed.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;

use crate::contract::config::CONFIG_VERSION;
use crate::contract::etcd_upkeep::EtcdAlarm;
use crate::contract::report::{BootState, FailingTask, Status, StepReport};
use crate::progress::notify::Notify;
use crate::progress::retry::{Class, chain};

/// How often systemd hears that the agent is alive.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// How much more time systemd is asked for with each heartbeat.
const MORE_TIME: Duration = Duration::from_mins(2);
/// The kernel counts process start times in hundredths of a second, on every architecture.
const TICKS_A_SECOND: f64 = 100.0;

/// Collects what the steps report and passes it on. Clones share it.
#[derive(Clone, Debug)]
pub struct Reporter(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changes: watch::Sender<u64>,
    notify: Notify,
}

#[derive(Debug)]
struct State {
    status: Status,
    /// Steps under way, by their index: why they wait or failed.
    active: BTreeMap<usize, Option<(Class, String)>>,
}

/// A step's place in the report.
#[derive(Clone, Copy, Debug)]
pub struct StepIndex(usize);

impl Reporter {
    /// A report about an instance that is yet to find out what it is.
    pub fn new(notify: Notify) -> Self {
        let status = Status {
            version: CONFIG_VERSION.to_owned(),
            instance: String::new(),
            instance_group: String::new(),
            zone: String::new(),
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            state: BootState::Running,
            step: String::new(),
            reason: None,
            since: Timestamp::now(),
            agent_started_after: since_boot(),
            steps: Vec::new(),
            last_seen: None,
            failing: Vec::new(),
            draining: None,
            notices: Vec::new(),
            etcd_alarms: Vec::new(),
        };
        let state = Mutex::new(State { status, active: BTreeMap::new() });
        Self(Arc::new(Shared { state, changes: watch::Sender::new(0), notify }))
    }

    /// Now it is known which instance this is about.
    pub fn identify(&self, instance: &str, zone: &str, instance_group: &str) {
        let mut state = self.lock();
        instance.clone_into(&mut state.status.instance);
        zone.clone_into(&mut state.status.zone);
        instance_group.clone_into(&mut state.status.instance_group);
    }

    /// The report as it stands.
    pub fn status(&self) -> Status {
        self.lock().status.clone()
    }

    /// A step begins, or begins again.
    pub fn begin(&self, name: &str) -> StepIndex {
        let mut state = self.lock();
        let steps = &mut state.status.steps;
        let index = steps.iter().position(|step| step.name == name).unwrap_or_else(|| {
            let started_after = since_boot();
            let name = name.to_owned();
            let (seconds, attempts, changed, outside) = (None, 0, false, false);
            steps.push(StepReport { name, started_after, seconds, attempts, changed, outside });
            steps.len() - 1
        });
        state.status.steps[index].seconds = None;
        state.active.insert(index, None);
        self.changed(state, Some(index));
        StepIndex(index)
    }

    /// A step's time is mostly that of others.
    pub fn outside(&self, step: StepIndex) {
        self.lock().status.steps[step.0].outside = true;
    }

    /// A step is tried once more.
    pub fn attempt(&self, step: StepIndex) {
        self.lock().status.steps[step.0].attempts += 1;
    }

    /// A step waits, is going to be tried again, or was given up.
    pub fn not_yet(&self, step: StepIndex, class: Class, reason: &str) {
        let mut state = self.lock();
        let known = state.active.get(&step.0).and_then(Option::as_ref);
        if known.is_some_and(|(known_class, known)| *known_class == class && known == reason) {
            return;
        }
        let name = state.status.steps[step.0].name.clone();
        match class {
            Class::Waiting => tracing::info!(step = name, reason, "waiting"),
            Class::Passing => tracing::warn!(step = name, reason, "failed, trying again"),
            Class::Permanent => tracing::error!(step = name, reason, "failed"),
        }
        state.active.insert(step.0, Some((class, reason.to_owned())));
        self.changed(state, Some(step.0));
    }

    /// A step is done.
    pub fn done(&self, step: StepIndex, changed: bool) {
        let mut state = self.lock();
        state.active.remove(&step.0);
        let report = &mut state.status.steps[step.0];
        let seconds = round(since_boot() - report.started_after);
        report.seconds = Some(seconds);
        report.changed |= changed;
        tracing::info!(step = report.name, seconds, changed, attempts = report.attempts, "done");
        self.changed(state, None);
    }

    /// Every step is done.
    pub fn ready(&self) {
        let mut state = self.lock();
        state.active.clear();
        state.status.state = BootState::Ready;
        state.status.reason = None;
        state.status.since = Timestamp::now();
        tracing::info!(after = since_boot(), "the instance is ready");
        let line = ready_line(&state.status.failing);
        drop(state);
        self.0.notify.status(&line);
        self.0.notify.ready();
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// Goes on telling systemd that the agent is alive, and asks for more time while the boot isn't done.
    pub async fn keep_alive(&self) {
        loop {
            if self.status().state != BootState::Ready {
                self.0.notify.extend_start(MORE_TIME);
            }
            self.0.notify.alive();
            tokio::time::sleep(HEARTBEAT).await;
        }
    }

    /// Changes whenever the report does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Puts into the report how a task that goes on after the boot went. Returns its value, if it went well.
    pub fn tell<T, E: Error + 'static>(&self, task: &str, outcome: Result<T, E>) -> Option<T> {
        let problem = outcome.as_ref().err().map(|error| chain(error));
        self.task(task, problem.as_deref());
        outcome.ok()
    }

    /// A task that goes on after the boot went well, or failed. A failure is told when it begins and when it becomes
    /// another one, not every time.
    pub fn task(&self, task: &str, problem: Option<&str>) {
        let mut state = self.lock();
        let failing = &mut state.status.failing;
        let known = failing.iter().position(|known| known.name == task);
        match (known, problem) {
            (None, None) => return,
            (Some(index), None) => {
                failing.remove(index);
                tracing::info!(task, "works again");
            }
            (Some(index), Some(error)) if failing[index].error == error => return,
            (Some(index), Some(error)) => {
                tracing::warn!(task, error, "still fails");
                error.clone_into(&mut failing[index].error);
            }
            (None, Some(error)) => {
                tracing::warn!(task, error, "fails, and is tried again");
                let (name, error) = (task.to_owned(), error.to_owned());
                failing.push(FailingTask { name, since: Timestamp::now(), error });
                failing.sort_by(|one, other| one.name.cmp(&other.name));
            }
        }
        let line = ready_line(&state.status.failing);
        let ready = state.status.state == BootState::Ready;
        drop(state);
        if ready {
            self.0.notify.status(&line);
        }
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// The instance is going to end, and its node is drained this far.
    pub fn draining(&self, progress: &str) {
        let mut state = self.lock();
        if state.status.draining.as_deref() == Some(progress) {
            return;
        }
        tracing::warn!(progress, "the instance is going to end");
        state.status.draining = Some(progress.to_owned());
        drop(state);
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// What AWS tells of the instance, and nothing follows from.
    pub fn notices(&self, notices: Vec<String>) {
        let mut state = self.lock();
        if state.status.notices == notices {
            return;
        }
        tracing::info!(?notices, "what AWS tells of this instance");
        state.status.notices = notices;
        drop(state);
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// The alarms that etcd has raised.
    pub fn etcd_alarms(&self, alarms: Vec<EtcdAlarm>) {
        let mut state = self.lock();
        if state.status.etcd_alarms == alarms {
            return;
        }
        tracing::warn!(?alarms, "the alarms of etcd");
        state.status.etcd_alarms = alarms;
        drop(state);
        self.0.changes.send_modify(|count| *count += 1);
    }

    /// The boot begins again, and with it every task.
    pub fn begin_again(&self) {
        let mut state = self.lock();
        state.status.failing.clear();
        state.status.etcd_alarms.clear();
    }

    /// Recomputes the whole from its parts and tells who listens.
    fn changed(&self, mut state: MutexGuard<'_, State>, step: Option<usize>) {
        let (boot, worst) = overall(&state.active);
        let named = step.or(worst).or_else(|| state.active.keys().next_back().copied());
        let reason = worst.and_then(|index| state.active[&index].as_ref()).map(|(_, reason)| reason.clone());
        // What waits or failed is what a reader wants to know, more than what happened last.
        if let Some(index) = worst.or(named) {
            let name = state.status.steps[index].name.clone();
            state.status.step = name;
        }
        state.status.state = boot;
        state.status.reason = reason;
        state.status.since = Timestamp::now();
        let line = match &state.status.reason {
            Some(reason) => format!("{}: {reason}", state.status.step),
            None => state.status.step.clone(),
        };
        drop(state);
        self.0.notify.status(&line);
        self.0.changes.send_modify(|count| *count += 1);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an instance that is ready tells systemd: what fails, if anything does.
fn ready_line(failing: &[FailingTask]) -> String {
    if failing.is_empty() {
        return "ready".to_owned();
    }
    let lines = failing.iter().map(|task| format!("{} fails: {}", task.name, task.error));
    lines.collect::<Vec<_>>().join("; ")
}

/// Where the boot stands as a whole, and the step that makes it so.
fn overall(active: &BTreeMap<usize, Option<(Class, String)>>) -> (BootState, Option<usize>) {
    let find = |wanted: fn(Class) -> bool| {
        active
            .iter()
            .find(|(_, why)| why.as_ref().is_some_and(|(class, _)| wanted(*class)))
            .map(|(index, _)| *index)
    };
    if let Some(index) =
        find(|class| class == Class::Permanent).or_else(|| find(|class| class == Class::Passing))
    {
        (BootState::Failed, Some(index))
    } else if let Some(index) = find(|class| class == Class::Waiting) {
        (BootState::Waiting, Some(index))
    } else {
        (BootState::Running, None)
    }
}

/// Seconds since the machine's first process started. In a container that is the container's first process, where
/// the kernel's own start would tell about somebody else's machine.
pub(crate) fn since_boot() -> f64 {
    let uptime = std::fs::read_to_string("/proc/uptime").ok().and_then(|text| parse_uptime(&text));
    let first = std::fs::read_to_string("/proc/1/stat").ok().and_then(|text| parse_start(&text));
    round(uptime.unwrap_or_default() - first.unwrap_or_default())
}

fn parse_uptime(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The 22nd field of `/proc/<pid>/stat`; the second is in parentheses and may hold blanks.
fn parse_start(text: &str) -> Option<f64> {
    let ticks: f64 = text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    Some(ticks / TICKS_A_SECOND)
}

fn round(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_the_steps_under_way_is_what_the_report_says() {
        let reporter = Reporter::new(Notify::nobody());
        let secrets = reporter.begin("ensure_secrets");
        let volume = reporter.begin("ensure_volume");
        assert_eq!(reporter.status().state, BootState::Running);
        reporter.not_yet(volume, Class::Waiting, "held by i-1");
        let status = reporter.status();
        assert_eq!((status.state, status.step.as_str()), (BootState::Waiting, "ensure_volume"));
        reporter.not_yet(secrets, Class::Passing, "throttled");
        let status = reporter.status();
        assert_eq!((status.state, status.step.as_str()), (BootState::Failed, "ensure_secrets"));
        assert_eq!(status.reason.as_deref(), Some("throttled"));
        reporter.done(secrets, true);
        let status = reporter.status();
        assert_eq!((status.state, status.reason.as_deref()), (BootState::Waiting, Some("held by i-1")));
        reporter.done(volume, true);
        reporter.ready();
        assert_eq!(reporter.status().state, BootState::Ready);
    }

    #[test]
    fn a_step_that_begins_again_keeps_its_place() {
        let reporter = Reporter::new(Notify::nobody());
        for _ in 0..2 {
            let step = reporter.begin("ensure_kernel");
            reporter.attempt(step);
            reporter.done(step, false);
        }
        let status = reporter.status();
        assert_eq!((status.steps.len(), status.steps[0].attempts), (1, 2));
    }

    #[test]
    fn process_start_times_are_read_past_a_name_with_blanks() {
        let stat = "1 (sys temd) x) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 1234 5 6";
        assert_eq!(parse_start(stat), Some(12.34));
        assert_eq!(parse_uptime("56.78 12.00\n"), Some(56.78));
    }
}
