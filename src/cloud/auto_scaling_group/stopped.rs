//! What says of a group that `windlass stop cluster` has stopped it: a tag, so that it is known wherever the group is seen,
//! and is gone with the group.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::aws::tags::{self, Tags};

/// The processes that are suspended while a group is stopped: all but those that only concern load balancers. Each would
/// launch an instance, or end one that is stopped on purpose (EC2 Auto Scaling User Guide, "Suspend and resume processes").
pub const PROCESSES: [&str; 8] = [
    "AZRebalance",
    "AlarmNotification",
    "HealthCheck",
    "InstanceRefresh",
    "Launch",
    "ReplaceUnhealthy",
    "ScheduledActions",
    "Terminate",
];

/// That a group is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Since when, in whole seconds.
    pub since: Timestamp,
    /// What was suspended for it, and is to be resumed. What somebody else had suspended before isn't among it.
    pub processes: BTreeSet<String>,
}

impl Stopped {
    /// A group that is stopped at a moment, of which somebody has suspended some processes already.
    pub fn now(now: Timestamp, suspended_by_others: &BTreeSet<String>) -> Self {
        let processes = PROCESSES.iter().map(|process| (*process).to_owned());
        Self {
            since: Timestamp::from_second(now.as_second()).unwrap_or(now),
            processes: processes.filter(|process| !suspended_by_others.contains(process)).collect(),
        }
    }

    /// What the tags of a group say. Where somebody has edited the tag so that no time can be read from it, it was stopped all
    /// the same.
    pub fn of(tags: &Tags) -> Option<Self> {
        let mut words = tags.get(tags::STOPPED)?.split(' ').filter(|word| !word.is_empty()).peekable();
        let since = words.next_if(|word| word.parse::<Timestamp>().is_ok());
        let since = since.and_then(|word| word.parse().ok()).unwrap_or(Timestamp::UNIX_EPOCH);
        Some(Self { since, processes: words.map(str::to_owned).collect() })
    }

    /// The tag's value: at most some 130 of the 256 characters that it may have.
    pub fn value(&self) -> String {
        let processes: Vec<&str> = self.processes.iter().map(String::as_str).collect();
        format!("{} {}", self.since, processes.join(" "))
    }

    /// Since when, for people.
    pub fn since(&self) -> String {
        self.since.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_is_stopped_says_since_when_and_what_is_to_be_resumed() {
        let now: Timestamp = "2026-11-23T10:05:06.7Z".parse().unwrap();
        let stopped = Stopped::now(now, &BTreeSet::from(["Launch".to_owned()]));
        let value = stopped.value();
        assert!(
            value.starts_with("2026-11-23T10:05:06Z AZRebalance ") && !value.contains("Launch"),
            "{value}"
        );
        assert!(Stopped::now(now, &BTreeSet::new()).value().len() < 200);
        let read = Stopped::of(&Tags::from([(tags::STOPPED.to_owned(), value)])).unwrap();
        assert_eq!((read.since(), &read), ("2026-11-23 10:05 UTC".to_owned(), &stopped));
        assert_eq!(Stopped::of(&Tags::new()), None);
        let edited = Stopped::of(&Tags::from([(tags::STOPPED.to_owned(), "yes Launch".to_owned())])).unwrap();
        assert!(edited.processes.contains("Launch"), "{edited:?}");
    }
}
