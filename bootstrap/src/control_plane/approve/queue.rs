//! The requests that are to be decided, and when each is looked at next.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::certificates::v1::CertificateSigningRequest;

use crate::control_plane::approve::request::Request;

/// How long a new request waits for others that come with it, to be looked up together.
const GATHER: Duration = Duration::from_millis(50);
/// How long it is until the second look; then twice as long each time.
const SECOND: Duration = Duration::from_millis(500);
/// The longest time between two looks.
const LONGEST: Duration = Duration::from_secs(30);

/// A request that is to be decided.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// What matters of it.
    pub request: Request,
    /// It, as it was seen last: a verdict is written over exactly this.
    pub object: CertificateSigningRequest,
    /// When it was seen first.
    pub since: Instant,
    due: Instant,
    looks: u32,
}

/// The requests by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(BTreeMap<String, Pending>);

impl Queue {
    /// Adds a request, or takes note of what it is now.
    pub(super) fn add(
        &mut self,
        name: String,
        request: Request,
        object: CertificateSigningRequest,
        now: Instant,
    ) {
        let pending = Pending { request, object, since: now, due: now + GATHER, looks: 0 };
        self.0
            .entry(name)
            .and_modify(|known| {
                known.request = pending.request.clone();
                known.object = pending.object.clone();
            })
            .or_insert(pending);
    }

    pub(super) fn get(&self, name: &str) -> Option<&Pending> {
        self.0.get(name)
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.values().map(|pending| pending.due).min()
    }

    /// The names of so many that are due, those first that have waited longest.
    pub(super) fn due(&self, now: Instant, most: usize) -> Vec<String> {
        let mut due: Vec<(&Instant, &String)> = self
            .0
            .iter()
            .filter(|(_, pending)| pending.due <= now)
            .map(|(name, pending)| (&pending.due, name))
            .collect();
        due.sort_unstable();
        due.into_iter().take(most).map(|(_, name)| name.clone()).collect()
    }

    /// Looks at it again later.
    pub(super) fn postpone(&mut self, name: &str, now: Instant) {
        if let Some(pending) = self.0.get_mut(name) {
            pending.due = now + (SECOND * (1 << pending.looks.min(10))).min(LONGEST);
            pending.looks += 1;
        }
    }

    /// Looks at all of them again later.
    pub(super) fn postpone_all(&mut self, names: &[String], now: Instant) {
        for name in names {
            self.postpone(name, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(queue: &mut Queue, name: &str, now: Instant) {
        queue.add(name.to_owned(), Request::default(), CertificateSigningRequest::default(), now);
    }

    #[test]
    fn requests_that_come_together_are_looked_at_together_and_at_most_so_many() {
        let mut queue = Queue::default();
        let now = Instant::now();
        assert_eq!(queue.next_due(), None);
        (0..300).for_each(|number| add(&mut queue, &format!("csr-{number:03}"), now));
        assert!(queue.due(now, 200).is_empty());
        let now = queue.next_due().unwrap();
        let due = queue.due(now, 200);
        assert_eq!((due.len(), due[0].as_str()), (200, "csr-000"));
        queue.0.retain(|name, _| !due.contains(name));
        assert_eq!(queue.due(now, 200).len(), 100, "the others are not forgotten");
    }

    #[test]
    fn each_request_is_looked_at_less_and_less_often() {
        let mut queue = Queue::default();
        let start = Instant::now();
        add(&mut queue, "a", start);
        let mut now = queue.next_due().unwrap();
        let mut waits = Vec::new();
        for _ in 0..9 {
            queue.postpone("a", now);
            let next = queue.next_due().unwrap();
            waits.push((next - now).as_millis());
            now = next;
        }
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
        add(&mut queue, "a", now);
        assert_eq!(queue.get("a").unwrap().since, start, "a change of the request doesn't begin anew");
        assert_eq!(queue.next_due(), Some(now));
    }
}
