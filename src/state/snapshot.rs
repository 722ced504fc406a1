//! What was below a cluster's prefix when it was last listed: one list call answers what dozens of reads would ask.
//!
//! A plan is made from a few dozen objects, and most of what it asks for isn't there. So an operator who begins lists the
//! prefix once ([`super::Store::look`]); from then on an object that wasn't listed isn't asked for, and one that was read
//! is not read again while the list names the same version of it, be it a later list.
//!
//! That something is older than the last look is no danger to anybody: every write names the version of the object that
//! it was planned from, and the store refuses it when another one is there. Whoever takes the lease looks again, and what
//! the operator writes is known without a look. After a write that failed nothing is known any more, and every read goes
//! to the store, until the next look.
//!
//! What is written again and again, also by instances (the lease, the token of joining nodes, all reports), is always asked
//! for; only lists of more than that name it, as it was at the look.
//!
//! An answer of the store counts only if this operator wrote nothing while it was on its way: it may be older than that.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::listing::{Fingerprint, Listing};
use super::object::Object;
use super::versions::ObjectVersion;

/// What one operator knows of a store.
#[derive(Clone, Default)]
pub(super) struct Snapshot(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// By prefix, none of which is below another.
    listed: BTreeMap<String, Listed>,
    /// What was read, by key, whatever was listed.
    read: BTreeMap<String, Object>,
    /// How often this operator has written, or tried to.
    writes: u64,
}

/// How often an operator had written when it asked for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked(u64);

impl Known {
    /// The list in which a key, or all that starts with a prefix, would be.
    fn list_of(&self, key: &str) -> Option<(&str, &Listed)> {
        let (prefix, listed) =
            self.listed.range::<str, _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        key.starts_with(prefix.as_str()).then_some((prefix.as_str(), listed))
    }

    /// The list that tells of a key.
    fn list_that_tells_of(&mut self, key: &str) -> Option<&mut Listed> {
        let (_, listed) = self
            .listed
            .range_mut::<str, _>((Bound::Unbounded, Bound::Included(key)))
            .next_back()
            .filter(|(prefix, listed)| key.starts_with(prefix.as_str()) && listed.tells_of(key))?;
        Some(listed)
    }
}

/// A list of what is below a prefix.
struct Listed {
    /// What below it is always asked for.
    volatile: Vec<String>,
    objects: BTreeMap<String, Fingerprint>,
    /// The versions that are kept of what isn't there.
    gone: BTreeMap<String, Vec<ObjectVersion>>,
}

/// What is known of an object.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// What is there, or that nothing is.
    Known(Option<Object>),
    /// Only the store can tell.
    Ask,
}

impl Listed {
    /// Whether a key of its prefix is not of what is always asked for.
    fn tells_of(&self, key: &str) -> bool {
        !self.volatile.iter().any(|volatile| key.starts_with(volatile))
    }
}

impl Snapshot {
    fn known(&self) -> MutexGuard<'_, Known> {
        // What is known is whole between two statements, whatever happened to a thread that held the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called before the store is asked; what it answers is then remembered with this.
    pub(super) fn asking(&self) -> Asked {
        Asked(self.known().writes)
    }

    /// Remembers a list of all that is below a prefix. What is below those in `volatile` is asked for all the same.
    pub(super) fn list(&self, asked: Asked, prefix: &str, volatile: &[String], found: Vec<Listing>) {
        let objects = found.into_iter().filter_map(|listing| Some((listing.key, listing.fingerprint?)));
        let (volatile, gone) = (volatile.to_vec(), BTreeMap::new());
        let listed = Listed { volatile, objects: objects.collect(), gone };
        let mut known = self.known();
        if known.writes != asked.0 {
            return;
        }
        known.read.retain(|key, object| {
            let is_the_same = |found: &Fingerprint| found.etag == object.version.0;
            !key.starts_with(prefix) || listed.objects.get(key).is_some_and(is_the_same)
        });
        known.listed.insert(prefix.to_owned(), listed);
    }

    /// From now on, everything is asked for.
    pub(super) fn forget(&self) {
        let mut known = self.known();
        *known = Known { writes: known.writes + 1, ..Known::default() };
    }

    /// Whether a prefix was listed, and not forgotten since.
    pub(super) fn has_listed(&self, prefix: &str) -> bool {
        self.known().listed.contains_key(prefix)
    }

    /// What is known of an object.
    pub(super) fn object(&self, key: &str) -> Answer {
        let known = self.known();
        let listed = known.list_of(key).filter(|(_, listed)| listed.tells_of(key));
        let Some((_, listed)) = listed else { return Answer::Ask };
        match (listed.objects.get(key), known.read.get(key)) {
            (None, _) => Answer::Known(None),
            (Some(found), Some(object)) if found.etag == object.version.0 => {
                Answer::Known(Some(object.clone()))
            }
            (Some(_), _) => Answer::Ask,
        }
    }

    /// What is below a prefix, where that is known, sorted: also what is written again and again, as it was at the look.
    pub(super) fn listing(&self, prefix: &str) -> Option<Vec<Listing>> {
        let known = self.known();
        let (_, listed) = known.list_of(prefix).filter(|(_, listed)| listed.tells_of(prefix))?;
        let from = listed.objects.range(prefix.to_owned()..);
        let below = from.take_while(|(key, _)| key.starts_with(prefix));
        let listings = below
            .map(|(key, found)| Listing { key: key.clone(), fingerprint: Some(found.clone()) })
            .collect();
        Some(listings)
    }

    /// The versions that are kept of an object that isn't there, where somebody has asked before.
    pub(super) fn versions_of_gone(&self, key: &str) -> Option<Vec<ObjectVersion>> {
        self.known().list_of(key)?.1.gone.get(key).cloned()
    }

    /// These versions are kept of an object. It is remembered of what isn't there.
    pub(super) fn keeps(&self, asked: Asked, key: &str, versions: &[ObjectVersion]) {
        let mut known = self.known();
        if known.writes != asked.0 {
            return;
        }
        let listed = known.list_that_tells_of(key).filter(|listed| !listed.objects.contains_key(key));
        if let Some(listed) = listed {
            listed.gone.insert(key.to_owned(), versions.to_vec());
        }
    }

    /// An object was read, or found to be absent.
    pub(super) fn read(&self, asked: Asked, key: &str, found: Option<&Object>) {
        let mut known = self.known();
        if known.writes == asked.0 {
            known.is(key, found);
        }
    }

    /// An object was written, or deleted.
    pub(super) fn wrote(&self, key: &str, now: Option<&Object>) {
        let mut known = self.known();
        known.writes += 1;
        known.is(key, now);
    }
}

impl Known {
    /// What there is of an object.
    fn is(&mut self, key: &str, found: Option<&Object>) {
        let Some(listed) = self.list_that_tells_of(key) else { return };
        listed.gone.remove(key);
        let Some(object) = found else {
            listed.objects.remove(key);
            self.read.remove(key);
            return;
        };
        let (size, etag) = (object.bytes.len() as u64, object.version.0.clone());
        listed.objects.insert(key.to_owned(), Fingerprint { size, etag });
        self.read.insert(key.to_owned(), object.clone());
    }
}

/// The objects may be secret, so only their number is shown.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.known();
        let listed: usize = known.listed.values().map(|listed| listed.objects.len()).sum();
        f.debug_struct("Snapshot").field("listed", &listed).field("read", &known.read.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::object::Version;
    use crate::state::{Condition, Store};

    const PREFIX: &str = "demo.example.com/";

    fn object(text: &str, version: &str) -> Object {
        Object { bytes: text.as_bytes().to_vec().into(), version: Version(version.to_owned()) }
    }

    fn listing(key: &str, etag: &str) -> Listing {
        let fingerprint = Some(Fingerprint { size: 1, etag: etag.to_owned() });
        Listing { key: format!("{PREFIX}{key}"), fingerprint }
    }

    fn listed(objects: &[(&str, &str)]) -> Snapshot {
        let snapshot = Snapshot::default();
        look(&snapshot, objects);
        snapshot
    }

    fn look(snapshot: &Snapshot, objects: &[(&str, &str)]) {
        let found = objects.iter().map(|(key, etag)| listing(key, etag)).collect();
        snapshot.list(
            snapshot.asking(),
            PREFIX,
            &[format!("{PREFIX}lock"), format!("{PREFIX}status/")],
            found,
        );
    }

    #[test]
    fn what_was_not_listed_is_not_asked_for_and_what_was_read_is_read_once_per_version() {
        let key = format!("{PREFIX}a");
        assert_eq!(Snapshot::default().object(&key), Answer::Ask);
        let snapshot = listed(&[("a", "1")]);
        assert_eq!(snapshot.object(&format!("{PREFIX}b")), Answer::Known(None));
        assert_eq!(snapshot.object("other.example.com/a"), Answer::Ask);
        assert_eq!(snapshot.object(&key), Answer::Ask);
        snapshot.read(snapshot.asking(), &key, Some(&object("x", "1")));
        assert_eq!(snapshot.object(&key), Answer::Known(Some(object("x", "1"))));
        look(&snapshot, &[("a", "1")]);
        assert_eq!(snapshot.object(&key), Answer::Known(Some(object("x", "1"))), "a later look");
        look(&snapshot, &[("a", "2")]);
        assert_eq!(snapshot.object(&key), Answer::Ask, "another version is there");
        look(&snapshot, &[]);
        assert_eq!(snapshot.object(&key), Answer::Known(None));
        snapshot.forget();
        assert_eq!(snapshot.object(&key), Answer::Ask);
    }

    #[test]
    fn an_answer_that_was_on_its_way_during_a_write_does_not_count() {
        let (snapshot, key) = (listed(&[("a", "1")]), format!("{PREFIX}a"));
        let asked = snapshot.asking();
        snapshot.wrote(&key, Some(&object("new", "2")));
        snapshot.read(asked, &key, Some(&object("old", "1")));
        snapshot.list(asked, PREFIX, &[], vec![]);
        assert_eq!(snapshot.object(&key), Answer::Known(Some(object("new", "2"))));
        snapshot.wrote(&key, None);
        snapshot.keeps(asked, &key, &[]);
        assert_eq!(snapshot.versions_of_gone(&key), None, "a version more is kept by now");
    }

    #[test]
    fn what_is_written_again_and_again_is_always_asked_for() {
        let snapshot = listed(&[("a", "1"), ("lock", "1"), ("status/i-1.json", "1")]);
        for key in ["lock", "status/i-1.json", "status/i-2.json"] {
            assert_eq!(snapshot.object(&format!("{PREFIX}{key}")), Answer::Ask, "{key}");
        }
        assert!(snapshot.listing(&format!("{PREFIX}status/")).is_none());
        assert_eq!(snapshot.listing(PREFIX).unwrap().len(), 3);
        assert!(snapshot.listing("other.example.com/").is_none());
        assert_eq!(snapshot.listing(&format!("{PREFIX}a")).unwrap(), [listing("a", "1")]);
    }

    #[tokio::test]
    async fn an_operator_sees_what_it_wrote_and_after_a_write_that_was_refused_what_is_there() {
        let (store, key) = (Store::memory(), format!("{PREFIX}a"));
        let another = store.without_snapshot();
        store.look(PREFIX, &[]).await.unwrap();
        let first = another.put(&key, b"theirs".to_vec(), Condition::Absent).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), None, "it is as it was at the look");
        let refused = store.put(&key, b"mine".to_vec(), Condition::Absent).await;
        assert!(refused.unwrap_err().is_changed());
        assert_eq!(store.get(&key).await.unwrap().unwrap().bytes, b"theirs");
        store.look(PREFIX, &[]).await.unwrap();
        let second = store.put(&key, b"mine".to_vec(), Condition::Unchanged(first)).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap().unwrap().bytes, b"mine");
        assert_eq!(store.list(PREFIX).await.unwrap(), [key.as_str()]);
        store.delete(&key, &second).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap(), None);
        assert_eq!(store.children(PREFIX).await.unwrap(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn the_versions_of_what_is_not_there_are_asked_for_once_between_two_looks() {
        let (store, key) = (Store::memory(), format!("{PREFIX}a"));
        let another = store.without_snapshot();
        store.look(PREFIX, &[]).await.unwrap();
        assert_eq!(store.versions(&key).await.unwrap().unwrap(), []);
        let version = another.put(&key, b"x".to_vec(), Condition::Absent).await.unwrap();
        another.delete(&key, &version).await.unwrap();
        assert_eq!(store.versions(&key).await.unwrap().unwrap(), []);
        store.look(PREFIX, &[]).await.unwrap();
        assert_eq!(store.versions(&key).await.unwrap().unwrap().len(), 2);
        store.put(&key, b"x".to_vec(), Condition::Absent).await.unwrap();
        assert_eq!(store.versions(&key).await.unwrap().unwrap().len(), 3);
    }

    #[test]
    fn what_is_shown_of_it_holds_nothing_secret() {
        let snapshot = listed(&[("a", "1")]);
        snapshot.read(snapshot.asking(), &format!("{PREFIX}a"), Some(&object("secret", "1")));
        assert_eq!(format!("{snapshot:?}"), "Snapshot { listed: 1, read: 1 }");
    }
}
