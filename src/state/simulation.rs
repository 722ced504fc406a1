//! A bucket behind a network where everything goes wrong that can, and operators whose clocks do too.
//!
//! A request is sent, travels, and takes effect when the schedule delivers it: also after whoever sent it was killed.
//! On its way it may be answered 409 or 412, or with 503 before it took effect, after it, or long before it does.
//! Everything follows from one seed.

mod operators;

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use super::clock::Clock;
use super::layout;
use super::memory::holds;
use super::object::digest;
use super::object::{Condition, Object, Version};
use super::requests::{Answer, Requests};
use super::store_error::StoreError;
use crate::aws::AwsError;

const CLUSTER: &str = "demo.example.com";

/// How often the SDK sends a request that is answered with 503.
const ATTEMPTS: usize = 3;

/// A sequence that is the same in every run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % limit as u64).unwrap()
    }
}

/// What an operator asks of the bucket.
#[derive(Clone, Debug, PartialEq)]
enum Request {
    Get(String),
    Put(String, Vec<u8>, Condition),
    Delete(String, Version),
    List(String),
}

/// What it is answered.
#[derive(Debug)]
enum Reply {
    Object(Option<Object>),
    Written(Answer<Version>),
    Deleted(Answer<()>),
    Keys(Vec<String>),
    Unavailable,
}

/// A request on its way.
struct Sent {
    id: u64,
    operator: usize,
    request: Request,
    /// Its sender has been told 503 and waits no longer; it takes effect nevertheless.
    given_up: bool,
}

/// A write that took effect.
struct Effect {
    key: String,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
}

/// An operator, as the network and the clocks know it.
#[derive(Default)]
struct Seat {
    /// How wrong its clock is.
    skew: SignedDuration,
    /// How long its machine has slept, which its steady clock doesn't know.
    slept: Duration,
    /// The lease that it holds, as far as it knows.
    lease: Option<String>,
    /// When it asked to write what it has not sent yet, by key and in events.
    asked: BTreeMap<String, u64>,
    /// Whose lease it was, by the last answer that the operator got, and the event when that look was sent.
    looked: Option<(u64, Option<String>)>,
    /// What it wrote last, by key.
    wrote: BTreeMap<String, Request>,
}

/// How often what happened: a schedule in which nothing goes wrong proves nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    busy: u64,
    refused: u64,
    lost_requests: u64,
    lost_replies: u64,
    late_requests: u64,
    takeovers: u64,
    after_the_lease: u64,
}

/// Everything outside the operators.
struct World {
    chance: Chance,
    /// The true time since the beginning.
    now: Duration,
    /// Whether no two clocks differ by more than is allowed for, and nobody uses force.
    orderly: bool,
    seats: Vec<Seat>,
    objects: BTreeMap<String, Object>,
    on_the_way: Vec<Sent>,
    replies: BTreeMap<u64, Reply>,
    last_event: u64,
    effects: Vec<Effect>,
    tally: Tally,
    stormy: bool,
}

impl World {
    fn send(&mut self, operator: usize, request: Request) -> u64 {
        self.check_start(operator, &request);
        let id = self.next_event();
        self.on_the_way.push(Sent { id, operator, request, given_up: false });
        id
    }

    fn next_event(&mut self) -> u64 {
        self.last_event += 1;
        self.last_event
    }

    /// Of two holders, one writes: whoever starts a write has seen that the lease is its own, by a look that was sent
    /// after it asked to write, and in orderly times it is, now. Writes side by side may share a look.
    fn check_start(&mut self, operator: usize, request: &Request) {
        let (Request::Put(key, ..) | Request::Delete(key, _)) = request else { return };
        if *key == layout::lock(CLUSTER) {
            return;
        }
        let owner = self.owner();
        let seat = &mut self.seats[operator];
        let Some(lease) = &seat.lease else { return };
        // The same request once more is no new write.
        let Some(asked) = seat.asked.remove(key) else {
            assert_eq!(seat.wrote.get(key), Some(request), "{operator} wrote {key} past the fence");
            return;
        };
        let seen = seat.looked.as_ref().filter(|(sent, _)| *sent > asked).and_then(|(_, seen)| seen.as_ref());
        assert_eq!(seen, Some(lease), "{operator} wrote {key} without its lease");
        assert!(
            !self.orderly || owner.as_ref() == Some(lease),
            "{operator} wrote {key} while {owner:?} held"
        );
        seat.wrote.insert(key.clone(), request.clone());
    }

    /// Whose lease it is.
    fn owner(&self) -> Option<String> {
        self.objects.get(&layout::lock(CLUSTER)).map(|lock| id_of(&lock.bytes))
    }

    /// Lets one request arrive, or something happen to it on its way.
    fn deliver(&mut self) {
        if self.on_the_way.is_empty() {
            return;
        }
        let index = self.chance.below(self.on_the_way.len());
        let sent = self.on_the_way.swap_remove(index);
        let fate = if self.stormy && !sent.given_up { self.chance.below(1000) } else { usize::MAX };
        let reply = match (fate, &sent.request) {
            (0..20, Request::Put(..)) => self.tallied(|tally| &mut tally.busy, Reply::Written(Answer::Busy)),
            (0..20, Request::Delete(..)) => Reply::Deleted(Answer::Busy),
            (20..30, Request::Put(..)) => {
                self.tallied(|tally| &mut tally.refused, Reply::Written(Answer::Refused))
            }
            (20..30, Request::Delete(..)) => Reply::Deleted(Answer::Refused),
            (30..50, _) => self.tallied(|tally| &mut tally.lost_requests, Reply::Unavailable),
            (50..90, _) => {
                self.take_effect(sent.operator, &sent.request);
                self.tallied(|tally| &mut tally.lost_replies, Reply::Unavailable)
            }
            (90..110, _) => {
                self.on_the_way.push(Sent { given_up: true, request: sent.request, ..sent });
                self.tallied(|tally| &mut tally.late_requests, Reply::Unavailable)
            }
            _ => self.take_effect(sent.operator, &sent.request),
        };
        if !sent.given_up {
            self.replies.insert(sent.id, reply);
        }
    }

    fn tallied(&mut self, count: impl FnOnce(&mut Tally) -> &mut u64, reply: Reply) -> Reply {
        *count(&mut self.tally) += 1;
        reply
    }

    fn take_effect(&mut self, operator: usize, request: &Request) -> Reply {
        match request {
            Request::Get(key) => Reply::Object(self.objects.get(key).cloned()),
            Request::List(prefix) => Reply::Keys(
                self.objects.keys().filter(|key| key.starts_with(prefix.as_str())).cloned().collect(),
            ),
            Request::Put(key, bytes, condition) => {
                let found = self.objects.get(key);
                if !holds(condition, found) {
                    return Reply::Written(Answer::Refused);
                }
                let before = found.map(|found| found.bytes.to_vec());
                // As S3's ETag: the same content is the same version.
                let version = Version(digest(bytes));
                self.objects
                    .insert(key.clone(), Object { bytes: bytes.clone().into(), version: version.clone() });
                self.note(operator, key, before, Some(bytes.clone()));
                Reply::Written(Answer::Done(version))
            }
            Request::Delete(key, version) => match self.objects.get(key) {
                Some(found) if found.version == *version => {
                    let before = self.objects.remove(key).map(|found| found.bytes.into_vec());
                    self.note(operator, key, before, None);
                    Reply::Deleted(Answer::Done(()))
                }
                _ => Reply::Deleted(Answer::Refused),
            },
        }
    }

    fn note(&mut self, operator: usize, key: &str, before: Option<Vec<u8>>, after: Option<Vec<u8>>) {
        if key == layout::lock(CLUSTER) {
            if let (Some(before), Some(after)) = (&before, &after)
                && id_of(before) != id_of(after)
            {
                self.tally.takeovers += 1;
            }
        } else if self.seats[operator].lease.is_none() || self.seats[operator].lease != self.owner() {
            self.tally.after_the_lease += 1;
        }
        self.effects.push(Effect { key: key.to_owned(), before, after });
    }
}

/// The id in a lease.
fn id_of(lock: &[u8]) -> String {
    let lock: serde_json::Value = serde_json::from_slice(lock).unwrap();
    lock["id"].as_str().unwrap().to_owned()
}

/// The way of one operator to the bucket.
#[derive(Clone)]
pub(super) struct Network {
    world: Arc<Mutex<World>>,
    operator: usize,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Network({})", self.operator)
    }
}

impl Network {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Its operator asks to write an object.
    pub(super) fn asks_to_write(&self, key: &str) {
        let mut world = self.world();
        let now = world.next_event();
        world.seats[self.operator].asked.insert(key.to_owned(), now);
    }

    /// Sends a request as the SDK does: again after a 503, a few times.
    async fn ask(&self, key: &str, request: Request) -> Result<Reply, StoreError> {
        for _ in 0..ATTEMPTS {
            let id = self.world().send(self.operator, request.clone());
            match self.when(|network| network.world().replies.remove(&id)).await {
                Reply::Unavailable => {}
                reply => return Ok(reply),
            }
        }
        let source = AwsError::unexpected("s3", "request", key, "503");
        Err(StoreError::Aws { act: "reach", key: key.to_owned(), source })
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        match self.ask(prefix, Request::List(prefix.to_owned())).await? {
            Reply::Keys(keys) => Ok(keys),
            other => panic!("{other:?}"),
        }
    }

    /// Ends when a look finds something. Whoever waits looks whenever the schedule lets it.
    fn when<T>(&self, look: impl Fn(&Self) -> Option<T>) -> impl Future<Output = T> {
        poll_fn(move |context| {
            if let Some(found) = look(self) {
                return Poll::Ready(found);
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
    }
}

impl Requests for Network {
    async fn get(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let sent = self.world().last_event + 1;
        match self.ask(key, Request::Get(key.to_owned())).await? {
            Reply::Object(found) => {
                if key == layout::lock(CLUSTER) {
                    let owner = found.as_ref().map(|lock| id_of(&lock.bytes));
                    self.world().seats[self.operator].looked = Some((sent, owner));
                }
                Ok(found)
            }
            other => panic!("{other:?}"),
        }
    }

    async fn try_put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        condition: &Condition,
    ) -> Result<Answer<Version>, StoreError> {
        match self.ask(key, Request::Put(key.to_owned(), bytes, condition.clone())).await? {
            Reply::Written(answer) => Ok(answer),
            other => panic!("{other:?}"),
        }
    }

    async fn try_delete(&self, key: &str, version: &Version) -> Result<Answer<()>, StoreError> {
        match self.ask(key, Request::Delete(key.to_owned(), version.clone())).await? {
            Reply::Deleted(answer) => Ok(answer),
            other => panic!("{other:?}"),
        }
    }

    async fn pause(&self, conflicts: u32) {
        self.sleep(Duration::from_millis(50) * conflicts).await;
    }
}

/// An operator's clocks.
impl Clock for Network {
    fn now(&self) -> Timestamp {
        let world = self.world();
        Timestamp::from_second(1_800_000_000).unwrap() + world.now + world.seats[self.operator].skew
    }

    fn elapsed(&self) -> Duration {
        let world = self.world();
        world.now.saturating_sub(world.seats[self.operator].slept)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let (network, end) = (self.clone(), self.elapsed() + duration);
        Box::pin(async move { network.when(|network| (network.elapsed() >= end).then_some(())).await })
    }
}
