//! Operators at work on one cluster, one step of one of them at a time: each sends a request, or hears the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::task::Context;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use futures::task::noop_waker_ref;
use jiff::SignedDuration;
use serde_json::json;

use super::super::fence::TAKEN_AWAY;
use super::super::lease::{self, CLOCK_SKEW, Lease, LeaseError, TERMS};
use super::super::revision::Intent;
use super::super::{ClusterState, Holder, Specification, StateError, Store, StoreError, Write, layout};
use super::{CLUSTER, Chance, Network, Seat, Tally, World};
use crate::spec::v1alpha2::{Cluster, InstanceGroup, Metadata, Object};
use crate::spec::{Document, Documents, to_yaml};

/// How many interleavings are tried.
const SCHEDULES: u64 = 10_000;

/// The steps of one.
const STEPS: usize = 900;

/// How many leases an operator takes in a schedule.
const ROUNDS: usize = 3;

/// Two groups that are only ever changed together.
const HALVES: [&str; 2] = ["left", "right"];

/// What kind of times a schedule is set in.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Times {
    /// Clocks differ by no more than is allowed for.
    Orderly,
    /// Somebody uses `unlock --force`.
    Forceful,
    /// Clocks differ by more than is allowed for.
    OutOfStep,
}

impl Times {
    fn of(seed: u64) -> Self {
        match seed % 4 {
            0 | 1 => Self::Orderly,
            2 => Self::Forceful,
            _ => Self::OutOfStep,
        }
    }
}

/// What an operator does.
type Work = BoxFuture<'static, ()>;

/// What renews its lease meanwhile, while it has one.
type Renewal = Arc<Mutex<Option<Work>>>;

/// What an operator was told that it wrote: key, mark, generation.
type Claim = (String, String, i64);

/// What was told to operators, over all schedules.
#[derive(Debug, Default)]
struct Told {
    written: u64,
    refused: u64,
    fenced: u64,
    lost: u64,
    finished: u64,
}

/// An operator; a killed one starts again, and remembers nothing.
struct Operator {
    number: usize,
    life: usize,
    network: Network,
    state: ClusterState,
    chance: Chance,
    times: Times,
    renewal: Renewal,
    claims: Arc<Mutex<Vec<Claim>>>,
    told: Arc<Mutex<Told>>,
    writes: u64,
}

impl Operator {
    async fn run(mut self) {
        for _ in 0..ROUNDS {
            let pause = Duration::from_secs(self.chance.below(40) as u64);
            self.until_later(pause).await;
            if self.chance.below(3) == 0 {
                self.look().await;
            }
            if self.times == Times::Forceful && self.chance.below(3) == 0 {
                let _ = lease::take_away(&self.state).await;
            }
            self.work_under_a_lease().await;
        }
    }

    async fn until_later(&self, pause: Duration) {
        super::Clock::sleep(&self.network, pause).await;
    }

    /// Reading needs no lease and never meets anything half written.
    async fn look(&self) {
        if let Err(error) = self.state.read().await {
            assert!(is_weather(&error), "{error:?}");
        }
    }

    async fn work_under_a_lease(&mut self) {
        let holder = Holder {
            user: self.number.to_string(),
            host: "h".to_owned(),
            command: "work".to_owned(),
            process: None,
        };
        let clock = Arc::new(self.network.clone());
        let (lease, renewal) = match Lease::take(&self.state, holder, clock, TERMS).await {
            Ok(taken) => taken,
            Err(LeaseError::Held { .. } | LeaseError::Lost { .. } | LeaseError::Store { .. }) => return,
            Err(error) => panic!("{error:?}"),
        };
        *self.renewal.lock().unwrap() = Some(renewal);
        self.network.world().seats[self.number].lease = Some(lease.id().to_owned());
        let ended = match select(Box::pin(self.work()), Box::pin(lease.lost())).await {
            Either::Left((done, _)) => Ok(done),
            Either::Right((lost, _)) => Err(lost),
        };
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.hear(&error),
            Err(lost) => {
                self.told.lock().unwrap().lost += 1;
                let owner = self.network.world().owner();
                let is_mine = owner.as_deref() == Some(lease.id());
                assert!(!is_mine || !lost.to_string().contains(TAKEN_AWAY), "nobody took it away");
            }
        }
        *self.renewal.lock().unwrap() = None;
        self.network.world().seats[self.number].lease = None;
        let _ = lease.release().await;
    }

    fn hear(&self, error: &StateError) {
        let mut told = self.told.lock().unwrap();
        match error {
            StateError::Store { source: StoreError::Changed { .. }, .. } => told.refused += 1,
            StateError::Store { source: StoreError::LeaseLost { .. }, .. } => told.fenced += 1,
            error => assert!(is_weather(error), "{error:?}"),
        }
    }

    async fn work(&mut self) -> Result<(), StateError> {
        if let Some(journal) = self.state.finish_change().await? {
            assert_ne!(journal.user, "", "a journal says who began it");
            self.told.lock().unwrap().finished += 1;
        }
        let mut read = self.state.read().await?;
        if self.times == Times::Orderly {
            assert_eq!(halves(&read)[0], halves(&read)[1], "a change is half done, and nobody says so");
        }
        for _ in 0..=self.chance.below(3) {
            let pause = Duration::from_secs(self.chance.below(30) as u64);
            self.until_later(pause).await;
            match self.chance.below(6) {
                0 | 1 => {
                    let mut group = read.documents.instance_groups[0].clone();
                    let claim = self.mark(layout::instance_group(CLUSTER, group.name()), &mut group.metadata);
                    self.put_over(&mut read, Document::InstanceGroup(&group)).await?;
                    read.documents.instance_groups[0] = group;
                    self.claim(claim);
                }
                2 => {
                    let mut cluster = read.documents.cluster.clone();
                    let claim = self.mark(layout::cluster(CLUSTER), &mut cluster.metadata);
                    self.put_over(&mut read, Document::Cluster(&cluster)).await?;
                    read.documents.cluster = cluster;
                    self.claim(claim);
                }
                3 => {
                    self.writes += 1;
                    let mark = self.name();
                    let number = self
                        .state
                        .record(&read.documents, Intent { plan: json!({"by": mark}), ..Intent::default() })
                        .await?;
                    self.claim((layout::revision(CLUSTER, number), mark, 0));
                    self.state.mark_applied(number).await?;
                }
                4 => {
                    self.change_both_halves(&read).await?;
                    read = self.state.read().await?;
                }
                _ => {
                    self.writes += 1;
                    let mut group = InstanceGroup::named(&self.name());
                    let claim = self.mark(layout::instance_group(CLUSTER, group.name()), &mut group.metadata);
                    let version = self.state.put_document(Document::InstanceGroup(&group), None).await?;
                    self.claim(claim);
                    self.state.delete_document(&Document::InstanceGroup(&group).name(), &version).await?;
                }
            }
        }
        Ok(())
    }

    /// Writes a document over the version that was read, and remembers the new one.
    async fn put_over(&self, read: &mut Specification, document: Document<'_>) -> Result<(), StateError> {
        let name = document.name();
        let version = self.state.put_document(document, read.versions.get(&name)).await?;
        read.versions.insert(name, version);
        Ok(())
    }

    /// Changes two documents that are only ever changed together.
    async fn change_both_halves(&mut self, read: &Specification) -> Result<(), StateError> {
        let (mut writes, mut claims) = (Vec::new(), Vec::new());
        self.writes += 1;
        for half in HALVES {
            let key = layout::instance_group(CLUSTER, half);
            let mut groups = read.documents.instance_groups.iter();
            let mut group = groups.find(|group| group.name() == half).unwrap().clone();
            let before = read.versions.get(&Document::InstanceGroup(&group).name()).cloned();
            self.writes -= 1;
            claims.push(self.mark(key.clone(), &mut group.metadata));
            writes.push(Write { key, before, after: Some(to_yaml(&group)) });
        }
        self.state.change("work", writes).await?;
        for claim in claims {
            self.claim(claim);
        }
        Ok(())
    }

    fn name(&self) -> String {
        format!("by-{}-{}-{}", self.number, self.life, self.writes)
    }

    /// Counts a document up, and marks it so that nobody else's is the same.
    fn mark(&mut self, key: String, metadata: &mut Metadata) -> Claim {
        self.writes += 1;
        let generation = metadata.generation.unwrap_or_default() + 1;
        metadata.generation = Some(generation);
        metadata.annotations = Some(BTreeMap::from([("by".to_owned(), self.name())]));
        (key, self.name(), generation)
    }

    fn claim(&self, claim: Claim) {
        self.told.lock().unwrap().written += 1;
        self.claims.lock().unwrap().push(claim);
    }
}

/// The marks of the two documents that are only ever changed together.
fn halves(read: &Specification) -> [Option<BTreeMap<String, String>>; 2] {
    HALVES.map(|half| {
        let group = read.documents.instance_groups.iter().find(|group| group.name() == half);
        group.unwrap().metadata.annotations.clone()
    })
}

fn is_weather(error: &StateError) -> bool {
    matches!(error, StateError::Store { source: StoreError::Aws { .. }, .. })
}

/// One schedule: who does what when follows from its seed.
struct Schedule {
    world: Arc<Mutex<World>>,
    times: Times,
    claims: Arc<Mutex<Vec<Claim>>>,
    told: Arc<Mutex<Told>>,
    operators: Vec<(Work, Renewal)>,
    lives: usize,
}

impl Schedule {
    fn new(seed: u64, told: &Arc<Mutex<Told>>) -> Self {
        let times = Times::of(seed);
        let mut chance = Chance(seed);
        let most = match times {
            Times::Orderly | Times::Forceful => CLOCK_SKEW / 2,
            Times::OutOfStep => CLOCK_SKEW * 5,
        };
        let most = usize::try_from(most.as_secs()).unwrap();
        let seats = (0..2 + chance.below(2)).map(|_| {
            let skew = i64::try_from(chance.below(2 * most + 1)).unwrap() - i64::try_from(most).unwrap();
            Seat { skew: SignedDuration::from_secs(skew), ..Seat::default() }
        });
        let world = World {
            seats: seats.collect(),
            chance,
            now: Duration::from_hours(1),
            orderly: times == Times::Orderly,
            objects: BTreeMap::new(),
            on_the_way: Vec::new(),
            replies: BTreeMap::new(),
            last_event: 0,
            effects: Vec::new(),
            tally: Tally::default(),
            stormy: false,
        };
        let world = Arc::new(Mutex::new(world));
        let claims = Arc::default();
        Self { world, times, claims, told: told.clone(), operators: Vec::new(), lives: 0 }
    }

    /// An operator who knows nothing yet.
    fn start(&mut self, number: usize) -> (Work, Renewal) {
        self.lives += 1;
        let network = Network { world: self.world.clone(), operator: number };
        let state = ClusterState::new(Store::simulated(network.clone()), CLUSTER);
        let chance = Chance(self.world.lock().unwrap().chance.below(usize::MAX) as u64);
        let renewal = Arc::default();
        let operator = Operator {
            number,
            life: self.lives,
            network,
            state,
            chance,
            times: self.times,
            renewal: Arc::clone(&renewal),
            claims: self.claims.clone(),
            told: self.told.clone(),
            writes: 0,
        };
        (Box::pin(operator.run()), renewal)
    }

    /// Runs something to its end, in good weather.
    fn complete<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            if let std::task::Poll::Ready(done) =
                work.as_mut().poll(&mut Context::from_waker(noop_waker_ref()))
            {
                return done;
            }
            self.world.lock().unwrap().deliver();
        }
    }

    fn run(mut self) -> Tally {
        let state = {
            let network = Network { world: self.world.clone(), operator: 0 };
            ClusterState::new(Store::simulated(network), CLUSTER)
        };
        self.complete(state.create(&smallest())).unwrap();
        self.world.lock().unwrap().stormy = true;
        let number_of_operators = self.world.lock().unwrap().seats.len();
        for number in 0..number_of_operators {
            let operator = self.start(number);
            self.operators.push(operator);
        }
        let mut done = BTreeSet::new();
        for _ in 0..STEPS {
            if done.len() == self.operators.len() {
                break;
            }
            let (number, what) = {
                let mut world = self.world.lock().unwrap();
                (world.chance.below(number_of_operators), world.chance.below(1000))
            };
            match what {
                0..500 if !done.contains(&number) && is_ready(&mut self.operators[number].0) => {
                    done.insert(number);
                }
                500..620 => self.renew(number),
                620..850 => self.world.lock().unwrap().deliver(),
                850..994 => self.pass(None, 1_500),
                994..998 => self.pass(Some(number), 400_000),
                998.. => {
                    self.world.lock().unwrap().seats[number].lease = None;
                    let again = self.start(number);
                    self.operators[number] = again;
                    done.remove(&number);
                }
                _ => {}
            }
        }
        self.operators.clear();
        self.world.lock().unwrap().stormy = false;
        while !self.world.lock().unwrap().on_the_way.is_empty() {
            self.world.lock().unwrap().deliver();
        }
        // Whatever happened, the next command finds or makes a change whole. It works alone, and without a lease.
        self.world.lock().unwrap().seats.iter_mut().for_each(|seat| seat.lease = None);
        self.complete(state.finish_change()).unwrap();
        let last = self.complete(state.read()).unwrap();
        assert_eq!(halves(&last)[0], halves(&last)[1], "a change was done by half");
        assert!(last.documents.cluster.metadata.name.is_some());
        self.check_history();
        self.world.lock().unwrap().tally
    }

    fn renew(&mut self, number: usize) {
        let slot = &self.operators[number].1;
        let Some(mut renewal) = slot.lock().unwrap().take() else { return };
        if !is_ready(&mut renewal) {
            *slot.lock().unwrap() = Some(renewal);
        }
    }

    /// Time passes, up to so many milliseconds; one machine may sleep meanwhile.
    fn pass(&self, asleep: Option<usize>, milliseconds: usize) {
        let mut world = self.world.lock().unwrap();
        let passed = Duration::from_millis(world.chance.below(milliseconds) as u64);
        world.now += passed;
        if let Some(number) = asleep {
            world.seats[number].slept += passed;
        }
    }

    /// Every document was counted up by one by every write; what an operator was told that it wrote, it did, once.
    /// Revisions never change, and the pointer to the applied one never goes back.
    fn check_history(&self) {
        let world = self.world.lock().unwrap();
        let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap_or_default()).unwrap();
        let claims = self.claims.lock().unwrap();
        let mut written: BTreeMap<(&String, &String), u32> = BTreeMap::new();
        for effect in &world.effects {
            let (before, after) = (text(&effect.before), text(&effect.after));
            if [layout::lock(CLUSTER), layout::format(CLUSTER), layout::journal(CLUSTER)]
                .contains(&effect.key)
            {
                continue;
            }
            if effect.key == layout::applied(CLUSTER) {
                assert!(number_in(&before, "\"revision\":") < number_in(&after, "\"revision\":"), "{after}");
                continue;
            }
            if effect.key.starts_with(&layout::revisions_prefix(CLUSTER)) {
                assert!(effect.before.is_none() && effect.after.is_some(), "{} was changed", effect.key);
            } else if effect.after.is_some() {
                let (before, after) = (number_in(&before, "generation: "), number_in(&after, "generation: "));
                assert!(after == before + 1 || after == 0, "{}: {before}, then {after}", effect.key);
            }
            for (key, mark, generation) in claims.iter() {
                let same = *key == effect.key
                    && (*generation == 0 || *generation == number_in(&after, "generation: "));
                if same && after.split(['"', ' ', '\n']).any(|word| word == mark) {
                    *written.entry((key, mark)).or_default() += 1;
                }
            }
        }
        for (key, mark, _) in claims.iter() {
            let times = written.get(&(key, mark)).copied().unwrap_or_default();
            // What was deleted is absent again, which is all that a late copy of the request that made it asks for.
            let again = key.contains("/by-") && times > 0;
            assert!(
                times == 1 || again,
                "{key} was told to be written by {mark}, which it was {times} times"
            );
        }
    }
}

fn is_ready(work: &mut Work) -> bool {
    work.as_mut().poll(&mut Context::from_waker(noop_waker_ref())).is_ready()
}

/// The number behind a word; 0 where there is none.
fn number_in(text: &str, word: &str) -> i64 {
    let Some((_, rest)) = text.split_once(word) else { return 0 };
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}

/// The smallest cluster that can be read back.
fn smallest() -> Documents {
    let cluster = Cluster::named(CLUSTER);
    let instance_groups = ["all", HALVES[0], HALVES[1]].map(InstanceGroup::named).to_vec();
    Documents { cluster, instance_groups, ssh_credentials: Vec::new(), additional_objects: Vec::new() }
}

/// Runs schedules; a failure says the seed of its own.
fn run(seeds: impl Iterator<Item = u64>) -> (Tally, Told) {
    let told = Arc::default();
    let mut sum = Tally::default();
    for seed in seeds {
        let schedule = Schedule::new(seed, &told);
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| schedule.run()));
        let tally =
            ran.unwrap_or_else(|_| panic!("the schedule of seed {seed} failed ({:?})", Times::of(seed)));
        sum.busy += tally.busy;
        sum.refused += tally.refused;
        sum.lost_requests += tally.lost_requests;
        sum.lost_replies += tally.lost_replies;
        sum.late_requests += tally.late_requests;
        sum.takeovers += tally.takeovers;
        sum.after_the_lease += tally.after_the_lease;
    }
    let told = std::mem::take(&mut *told.lock().unwrap());
    (sum, told)
}

/// Where this run's seeds begin: what `WINDLASS_TEST_SEED` says, else somewhere new in every run. It is said past the
/// test runner's capturing of output, so that a run that failed elsewhere can be had again.
fn first_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    use std::io::Write;
    let given = std::env::var("WINDLASS_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let anywhere = || std::collections::hash_map::RandomState::new().build_hasher().finish() >> 16;
    let first = given.unwrap_or_else(anywhere);
    let _ = writeln!(std::io::stderr(), "operators at work: WINDLASS_TEST_SEED={first}");
    first
}

#[test]
fn no_update_is_lost_and_of_two_holders_one_writes() {
    let first = first_seed();
    let seeds = move |half| (first..first + SCHEDULES).filter(move |seed| seed / 4 % 2 == half);
    let halves = [0, 1].map(|half| std::thread::spawn(move || run(seeds(half))));
    for half in halves {
        let (tally, told) = half.join().unwrap();
        let happened = [
            tally.busy,
            tally.refused,
            tally.lost_requests,
            tally.lost_replies,
            tally.late_requests,
            tally.takeovers,
            tally.after_the_lease,
            told.refused,
            told.fenced,
            told.lost,
            told.finished,
        ];
        assert!(happened.iter().all(|times| *times > SCHEDULES / 1000), "{tally:?} {told:?}");
        // A change of two documents takes more requests than one, so fewer come to their end in as many steps.
        assert!(told.written > SCHEDULES / 3, "{told:?}");
    }
}
