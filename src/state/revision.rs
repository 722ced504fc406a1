//! Revisions: what was applied, by whom, when, and with which plan.
//!
//! A revision is written before its plan is carried out and never changes; the pointer `applied` moves to it when the
//! plan is done. One that the pointer never reached was not carried out to its end.
//!
//! What instances are made from (node configurations, add-ons) is named by the digest of its content and never written
//! over, so a revision names these objects instead of holding another copy of them. An instance reads exactly what its
//! launch template names, which an update sets: it never sees a specification that was only edited.

use std::collections::BTreeMap;
use std::fmt::Display;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cluster_state::ClusterState;
use super::damage::{Damage, MISSING};
use super::error::StateError;
use super::format::newer;
use super::holder::Holder;
use super::layout;
use super::object::{Condition, Object};
use crate::aws::facts::Image;
use crate::spec::Documents;

/// The version of the format of a revision.
const FORMAT: u32 = 1;

/// How far the number of a revision may be from the one before it, or from the applied one's.
const LARGEST_GAP: u64 = 100;

/// What was applied.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    version: u32,
    /// Counted from 1.
    pub number: u64,
    /// When it was planned.
    pub time: Timestamp,
    /// By whom.
    pub user: String,
    /// On which machine.
    pub host: String,
    /// With which windlass.
    pub windlass: String,
    /// The specification, as the user wrote it.
    #[serde(flatten)]
    pub documents: Documents,
    /// The keys of the node configurations and add-ons that instances were given, sorted.
    #[serde(default)]
    pub objects: Vec<String>,
    /// The image of each instance group, by the group's name: what the specification's words meant at that time. Revisions
    /// of older windlasses don't say it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Image>,
    /// What of the specification was carried out, where that isn't all of it: AWS was never brought to this revision. The
    /// plan says which steps were left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<String>,
    /// The plan that was carried out; it holds no secrets.
    pub plan: Value,
}

/// What is about to be carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Intent {
    /// The plan, as data.
    pub plan: Value,
    /// The keys of the node configurations and add-ons that instances will read.
    pub objects: Vec<String>,
    /// The image of each instance group, by the group's name.
    pub images: BTreeMap<String, Image>,
    /// What of the specification is carried out, where that isn't all of it.
    pub partial: Option<String>,
}

/// Which revision AWS was last brought to.
#[derive(Debug, Serialize, Deserialize)]
struct Applied {
    revision: u64,
}

impl Revision {
    /// How many steps the plan had.
    pub fn steps(&self) -> usize {
        self.plan["steps"].as_array().map_or(0, Vec::len)
    }

    /// The revision with stars for what is secret in its additional objects, for showing it.
    #[must_use]
    pub fn masked(self) -> Self {
        Self { documents: self.documents.masked(), ..self }
    }

    /// Whether it was of these documents.
    pub fn says(&self, documents: &Documents) -> bool {
        self.documents.say_what(documents)
    }
}

impl ClusterState {
    /// Writes down what is about to be applied. Returns its number, for [`ClusterState::mark_applied`].
    pub async fn record(&self, documents: &Documents, intent: Intent) -> Result<u64, StateError> {
        let Holder { user, host, command: _, process: _ } = Holder::this_process("");
        // A number is never given twice, even where its revision was lost.
        let (numbers, applied) = Box::pin(self.numbers_and_applied()).await?;
        let mut revision = Revision {
            version: FORMAT,
            number: numbers.last().copied().max(applied).map_or(1, |last| last + 1),
            time: Timestamp::now(),
            user,
            host,
            windlass: env!("CARGO_PKG_VERSION").to_owned(),
            documents: documents.clone(),
            objects: intent.objects,
            images: intent.images,
            partial: intent.partial,
            plan: intent.plan,
        };
        loop {
            let key = layout::revision(self.name(), revision.number);
            let bytes = serde_json::to_vec_pretty(&revision).map_err(|error| malformed(&key, &error))?;
            match self.store().put(&key, bytes, Condition::Absent).await {
                Ok(_) => return Ok(revision.number),
                Err(error) if error.is_changed() => revision.number += 1,
                Err(error) => return Err(self.failed()(error)),
            }
        }
    }

    /// Says that AWS is as a revision says. The pointer only moves forward, and never to a revision of which only a part was
    /// carried out.
    pub async fn mark_applied(&self, number: u64) -> Result<(), StateError> {
        if let Some(part) = self.revision(number).await?.partial {
            return Err(StateError::InPart { cluster: self.name().to_owned(), number, part });
        }
        let key = layout::applied(self.name());
        let found = self.store().get(&key).await.map_err(self.failed())?;
        let condition = match found {
            Some(found) if self.explained(applied(&key, &found)).await? >= number => return Ok(()),
            Some(found) => Condition::Unchanged(found.version),
            None => Condition::Absent,
        };
        let bytes =
            serde_json::to_vec(&Applied { revision: number }).map_err(|error| malformed(&key, &error))?;
        self.store().put(&key, bytes, condition).await.map(drop).map_err(self.failed())
    }

    /// The last revision, where it is of these documents and yet isn't marked as applied: whoever carried
    /// it out was killed on the way, perhaps after its last step, or only a part of it was asked for.
    pub async fn unfinished(&self, documents: &Documents) -> Result<Option<Revision>, StateError> {
        Ok(self.begun().await?.filter(|revision| revision.says(documents)))
    }

    /// The last revision, where it isn't marked as applied: something of it may be there in AWS.
    pub async fn begun(&self) -> Result<Option<Revision>, StateError> {
        let (numbers, applied) = self.numbers_and_applied().await?;
        match numbers.last() {
            Some(last) if applied.is_none_or(|applied| applied < *last) => {
                self.revision(*last).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether it was ever begun to bring the specification to AWS.
    pub async fn was_begun(&self) -> Result<bool, StateError> {
        let (numbers, applied) = self.numbers_and_applied().await?;
        Ok(applied.is_some() || !numbers.is_empty())
    }

    /// The number of the revision that AWS was last brought to, if there is one. Fails with the version to bring back
    /// where the pointer can't be read or was deleted.
    pub async fn applied(&self) -> Result<Option<u64>, StateError> {
        let key = layout::applied(self.name());
        match self.store().get(&key).await.map_err(self.failed())? {
            Some(found) => self.explained(applied(&key, &found)).await.map(Some),
            None if self.was_lost(&key).await? => Err(self.lost(&key).await),
            None => Ok(None),
        }
    }

    /// Whether AWS was last brought to these documents.
    pub async fn has_applied(&self, documents: &Documents) -> Result<bool, StateError> {
        let Some(number) = self.applied().await? else { return Ok(false) };
        Ok(self.revision(number).await?.says(documents))
    }

    /// What may be there in AWS: the revision that AWS was last brought to, or, before any was carried out to its end, the
    /// last that was begun. `None` where nothing was ever applied.
    pub async fn running(&self) -> Result<Option<Revision>, StateError> {
        let (numbers, applied) = self.numbers_and_applied().await?;
        match applied.or(numbers.last().copied()) {
            Some(number) => self.revision(number).await.map(Some),
            None => Ok(None),
        }
    }

    /// The etcd clusters and members that a master has once initialised: there is data on their volumes.
    pub async fn initialised_etcd_members(&self) -> Result<Vec<(String, String)>, StateError> {
        let prefix = format!("{}/control-plane/etcd/", self.name());
        let keys = self.store().list(&prefix).await.map_err(self.failed())?;
        let member = |key: &String| {
            let (etcd, member) = key.strip_prefix(&prefix)?.strip_suffix(".json")?.split_once('/')?;
            // Masters write deeper below the prefix, too.
            (!member.contains('/')).then_some(())?;
            Some((etcd.to_owned(), member.to_owned()))
        };
        Ok(keys.iter().filter_map(member).collect())
    }

    /// A revision. Fails when there is none of that number; where the pointer names it all the same, that is damaged.
    pub async fn revision(&self, number: u64) -> Result<Revision, StateError> {
        let keys = [layout::format(self.name()), layout::revision(self.name(), number)];
        let mut found = self.store().get_all(&keys).await.map_err(self.failed())?;
        let revision = found.pop().flatten();
        self.explained(self.check_format(found.pop().flatten().as_ref())).await?;
        let [_, key] = keys;
        match revision {
            Some(found) => match parse(&key, &found) {
                Err(error) => Err(self.explain(error).await),
                revision => revision,
            },
            None if self.was_lost(&key).await? => Err(self.lost(&key).await),
            None => match Box::pin(self.applied()).await {
                Ok(Some(applied)) if applied == number => {
                    let damage = self.damage_of_pointer(number).await;
                    Err(StateError::Damaged(Box::new(damage)))
                }
                _ => Err(StateError::NoRevision { cluster: self.name().to_owned(), number }),
            },
        }
    }

    /// The damage of a pointer that names a revision that isn't there.
    async fn damage_of_pointer(&self, number: u64) -> Damage {
        let fault = format!("it names the revision {number}, and there is none of that number");
        Box::pin(self.damage(&layout::applied(self.name()), fault)).await
    }

    /// What the objects hold that a revision names, by key: an earlier version of one that was deleted since, as updates do
    /// with node configurations that nothing was made from any more. Fails where there is none.
    pub async fn contents(&self, revision: &Revision) -> Result<BTreeMap<String, String>, StateError> {
        let found = self.store().get_all(&revision.objects).await.map_err(self.failed())?;
        let mut contents = BTreeMap::new();
        for (key, object) in revision.objects.iter().zip(found) {
            let object = match object {
                Some(object) => Some(object),
                None => Box::pin(self.last_version(key)).await.map_err(self.failed())?,
            };
            let object = object.ok_or_else(|| malformed(key, &"it is not there any more"))?;
            let text = String::from_utf8(object.bytes.into_vec()).map_err(|error| malformed(key, &error))?;
            contents.insert(key.clone(), text);
        }
        Ok(contents)
    }

    /// All revisions, oldest first. Fails where one of them is damaged.
    pub async fn revisions(&self) -> Result<Vec<Revision>, StateError> {
        let (revisions, mut damages) = Box::pin(self.history()).await?;
        damages.pop().map_or(Ok(revisions), |damage| Err(StateError::Damaged(Box::new(damage))))
    }

    /// The revisions that can be read, oldest first, and what is wrong with the others.
    pub async fn history(&self) -> Result<(Vec<Revision>, Vec<Damage>), StateError> {
        let marker = self.store().get(&layout::format(self.name())).await.map_err(self.failed())?;
        self.explained(self.check_format(marker.as_ref())).await?;
        // A pointer that is damaged is told of by its readers.
        let applied = Box::pin(self.applied()).await.ok().flatten();
        let numbers = self.revision_numbers(applied).await?;
        let (mut revisions, mut damages) = (Vec::new(), Vec::new());
        let key = |number: &u64| layout::revision(self.name(), *number);
        let keys: Vec<String> = numbers.iter().map(key).collect();
        let found = self.store().get_all(&keys).await.map_err(self.failed())?;
        let mut found: BTreeMap<u64, Option<Object>> = numbers.iter().copied().zip(found).collect();
        // There are no gaps in what was never damaged, and the applied one was there, too, whatever became of it.
        for number in (1..=numbers.last().copied().unwrap_or_default()).chain(applied) {
            found.entry(number).or_default();
        }
        for (number, found) in found {
            let key = layout::revision(self.name(), number);
            let Some(found) = found else {
                damages.extend(self.damage_of_gap(number, applied).await?);
                continue;
            };
            match parse(&key, &found) {
                Ok(revision) => revisions.push(revision),
                Err(StateError::Malformed { reason, .. }) => {
                    damages.push(Box::pin(self.damage(&key, reason)).await);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((revisions, damages))
    }

    /// What is damaged where a revision isn't there. Where the store knows that it never was, only the pointer can be
    /// what is wrong.
    async fn damage_of_gap(&self, number: u64, applied: Option<u64>) -> Result<Option<Damage>, StateError> {
        let key = layout::revision(self.name(), number);
        let versions = match Box::pin(self.store().versions(&key)).await {
            Err(error) if error.is_denied() => None,
            versions => versions.map_err(self.failed())?,
        };
        if versions.is_none_or(|versions| !versions.is_empty()) {
            return Ok(Some(Box::pin(self.damage(&key, MISSING)).await));
        }
        if applied == Some(number) { Ok(Some(self.damage_of_pointer(number).await)) } else { Ok(None) }
    }

    /// The numbers of the revisions that are there, in order, and of the applied one.
    async fn numbers_and_applied(&self) -> Result<(Vec<u64>, Option<u64>), StateError> {
        let applied = Box::pin(self.applied()).await?;
        Ok((self.revision_numbers(applied).await?, applied))
    }

    /// The numbers of the revisions that are there, in order, given the applied one's. Revisions are counted on from
    /// that: a number far beyond was given by somebody else.
    async fn revision_numbers(&self, applied: Option<u64>) -> Result<Vec<u64>, StateError> {
        let keys = self.store().list(&layout::revisions_prefix(self.name())).await.map_err(self.failed())?;
        let numbers = keys.iter().filter_map(|key| layout::revision_number(self.name(), key));
        let mut last = applied.unwrap_or_default();
        let mut numbers: Vec<u64> = numbers.collect();
        numbers.sort_unstable();
        let is_near = |number: &u64| {
            let is_near = *number <= last.saturating_add(LARGEST_GAP);
            last = last.max(*number);
            is_near
        };
        Ok(numbers.into_iter().take_while(is_near).collect())
    }
}

fn parse(key: &str, found: &Object) -> Result<Revision, StateError> {
    read(&found.bytes).map_err(|reason| malformed(key, &reason))
}

fn read(bytes: &[u8]) -> Result<Revision, String> {
    let revision: Revision =
        serde_json::from_slice(bytes).map_err(|error| format!("it is no revision: {error}"))?;
    if revision.version <= FORMAT { Ok(revision) } else { Err(newer(revision.version)) }
}

/// What is wrong with the bytes of the revision that is kept at a key.
pub(super) fn check(cluster: &str, key: &str, bytes: &[u8]) -> Result<(), String> {
    let revision = read(bytes)?;
    if layout::revision(cluster, revision.number) == key {
        return Ok(());
    }
    Err(format!("it is the revision {}, not the one that its name says", revision.number))
}

/// The number of the revision that the bytes of a pointer name.
pub(super) fn named_by(bytes: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Applied>(bytes).ok().map(|applied| applied.revision)
}

/// What is wrong with the bytes of the pointer to the applied revision.
pub(super) fn check_applied(bytes: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<Applied>(bytes)
        .map(drop)
        .map_err(|error| format!("it names no revision: {error}"))
}

fn applied(key: &str, found: &Object) -> Result<u64, StateError> {
    let applied: Applied = serde_json::from_slice(&found.bytes).map_err(|error| malformed(key, &error))?;
    Ok(applied.revision)
}

fn malformed(key: &str, reason: &dyn Display) -> StateError {
    StateError::Malformed { key: key.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::{CreateOptions, create};
    use crate::state::Store;

    fn intent(plan: Value) -> Intent {
        Intent { plan, objects: vec!["demo.example.com/public/x".to_owned()], ..Intent::default() }
    }

    async fn state() -> ClusterState {
        let state = ClusterState::new(Store::memory(), "demo.example.com");
        let zones = vec!["us-east-1a".to_owned()];
        let options =
            CreateOptions { name: "demo.example.com".to_owned(), zones, ..CreateOptions::default() };
        state.create(&create(&options).unwrap()).await.unwrap();
        state
    }

    #[tokio::test]
    async fn revisions_are_counted_and_the_applied_one_is_known() {
        let state = state().await;
        let specification = state.read().await.unwrap().documents;
        assert_eq!(state.applied().await.unwrap(), None);
        let first = state.record(&specification, intent(json!({"steps": [1, 2]}))).await.unwrap();
        let second = state.record(&specification, intent(json!({"steps": []}))).await.unwrap();
        assert_eq!((first, second), (1, 2));
        let unfinished = state.unfinished(&specification).await.unwrap();
        assert_eq!(unfinished.map(|revision| revision.number), Some(2));
        state.mark_applied(second).await.unwrap();
        state.mark_applied(first).await.unwrap();
        assert_eq!(state.applied().await.unwrap(), Some(2), "the pointer went back");
        let all = state.revisions().await.unwrap();
        assert_eq!(all.iter().map(Revision::steps).collect::<Vec<_>>(), [2, 0]);
        assert!(all.iter().all(|revision| revision.says(&specification)));
        assert_eq!(state.unfinished(&specification).await.unwrap(), None);
        let error = state.revision(3).await.unwrap_err();
        assert_eq!(error.to_string(), "the cluster `demo.example.com` has no revision 3");
    }

    #[tokio::test]
    async fn a_revision_of_which_only_a_part_was_carried_out_is_never_the_applied_one() {
        let state = state().await;
        let specification = state.read().await.unwrap().documents;
        let whole = state.record(&specification, intent(json!({}))).await.unwrap();
        state.mark_applied(whole).await.unwrap();
        let partial = Some("the instance group nodes".to_owned());
        let part = Intent { partial: partial.clone(), ..intent(json!({"steps": [1]})) };
        let part = state.record(&specification, part).await.unwrap();
        let error = state.mark_applied(part).await.unwrap_err();
        assert!(error.to_string().contains("only the instance group nodes"), "{error}");
        assert_eq!(state.applied().await.unwrap(), Some(whole));
        let unfinished = state.unfinished(&specification).await.unwrap().unwrap();
        assert_eq!((unfinished.number, unfinished.partial), (part, partial));
        let next = state.record(&specification, intent(json!({}))).await.unwrap();
        state.mark_applied(next).await.unwrap();
        assert_eq!(state.unfinished(&specification).await.unwrap(), None);
    }

    async fn spoil(state: &ClusterState, key: &str, bytes: Option<&[u8]>) -> String {
        let found = state.store().get(key).await.unwrap().unwrap();
        match bytes {
            Some(bytes) => {
                let condition = Condition::Unchanged(found.version.clone());
                state.store().put(key, bytes.to_vec(), condition).await.unwrap();
            }
            None => state.store().delete(key, &found.version).await.unwrap(),
        }
        found.version.0
    }

    #[tokio::test]
    async fn a_damaged_or_lost_pointer_is_named_with_the_version_to_bring_back() {
        for bytes in [None, Some(&b""[..]), Some(b"{}")] {
            let state = state().await;
            let specification = state.read().await.unwrap().documents;
            let number = state.record(&specification, intent(json!({}))).await.unwrap();
            assert_eq!(state.applied().await.unwrap(), None, "an interrupted first run is no damage");
            state.mark_applied(number).await.unwrap();
            let key = layout::applied("demo.example.com");
            let version = spoil(&state, &key, bytes).await;
            let error = state.applied().await.unwrap_err();
            let wanted = format!("restore-object {key} --version-id {version} ");
            assert!(error.to_string().contains(&key), "{error}");
            assert!(error.hint().unwrap().contains(&wanted), "{:?}", error.hint());
            assert_eq!(state.history().await.unwrap().0.len(), 1, "the history goes on working");
        }
    }

    #[tokio::test]
    async fn a_damaged_or_lost_revision_is_named_and_the_others_are_listed() {
        for bytes in [None, Some(&b""[..]), Some(b"{}")] {
            let state = state().await;
            let specification = state.read().await.unwrap().documents;
            for _ in 0..3 {
                let number = state.record(&specification, intent(json!({}))).await.unwrap();
                state.mark_applied(number).await.unwrap();
            }
            let key = layout::revision("demo.example.com", 2);
            let version = spoil(&state, &key, bytes).await;
            let (revisions, damages) = state.history().await.unwrap();
            assert_eq!(revisions.iter().map(|revision| revision.number).collect::<Vec<_>>(), [1, 3]);
            assert_eq!((damages.len(), damages[0].key.as_str()), (1, key.as_str()));
            assert!(damages[0].hint().contains(&format!("--version-id {version} ")), "{}", damages[0].hint());
            for error in [state.revision(2).await.unwrap_err(), state.revisions().await.unwrap_err()] {
                assert!(matches!(&error, StateError::Damaged(damage) if damage.key == key), "{error}");
            }
            let last = layout::revision("demo.example.com", 3);
            spoil(&state, &last, None).await;
            let next = state.record(&specification, intent(json!({}))).await.unwrap();
            assert_eq!(next, 4, "the number of the applied revision was given again");
        }
    }

    #[tokio::test]
    async fn what_others_put_among_the_revisions_is_none_of_them() {
        let state = state().await;
        let specification = state.read().await.unwrap().documents;
        let number = state.record(&specification, intent(json!({}))).await.unwrap();
        state.mark_applied(number).await.unwrap();
        for foreign in ["12.json", "20260101.json", "99999999999999999999.json", "notes/1.json", "x"] {
            let key = format!("demo.example.com/revisions/{foreign}");
            state.store().put(&key, b"{}".to_vec(), Condition::Absent).await.unwrap();
            let (revisions, damages) = state.history().await.unwrap();
            assert_eq!((revisions.len(), damages), (1, Vec::new()), "{foreign}");
            assert_eq!(state.unfinished(&specification).await.unwrap(), None, "{foreign}");
            assert_eq!(state.running().await.unwrap().unwrap().number, number, "{foreign}");
        }
        assert_eq!(state.record(&specification, intent(json!({}))).await.unwrap(), number + 1);
    }

    #[tokio::test]
    async fn a_pointer_to_a_revision_that_never_was_is_itself_what_is_damaged() {
        let state = state().await;
        let specification = state.read().await.unwrap().documents;
        let number = state.record(&specification, intent(json!({}))).await.unwrap();
        state.mark_applied(number).await.unwrap();
        let key = layout::applied("demo.example.com");
        let version = spoil(&state, &key, Some(br#"{"revision": 3}"#)).await;
        let wanted = format!("restore-object {key} --version-id {version} ");
        let (revisions, damages) = state.history().await.unwrap();
        assert_eq!((revisions.len(), damages.len()), (1, 1), "{damages:?}");
        assert!(damages[0].hint().contains(&wanted), "{}", damages[0].hint());
        for error in [state.revision(3).await.unwrap_err(), state.running().await.unwrap_err()] {
            assert!(error.to_string().contains(&key), "{error}");
            assert!(error.hint().unwrap().contains(&wanted), "{:?}", error.hint());
        }
        let versions = state.store().versions(&key).await.unwrap().unwrap();
        state.restore(&key, versions.iter().find(|it| it.id == version).unwrap()).await.unwrap();
        assert_eq!(state.running().await.unwrap().unwrap().number, number);
    }

    #[tokio::test]
    async fn a_revision_names_what_instances_were_given_and_shows_it() {
        let state = state().await;
        let specification = state.read().await.unwrap().documents;
        let number = state.record(&specification, intent(json!({}))).await.unwrap();
        let revision = state.revision(number).await.unwrap();
        let error = state.contents(&revision).await.unwrap_err();
        assert!(error.to_string().contains("demo.example.com/public/x"), "{error}");
        let key = &revision.objects[0];
        state.store().put(key, b"configuration".to_vec(), Condition::Absent).await.unwrap();
        let contents = state.contents(&revision).await.unwrap();
        assert_eq!(contents, BTreeMap::from([(key.clone(), "configuration".to_owned())]));
        // An update has deleted it since.
        let found = state.store().get(key).await.unwrap().unwrap();
        state.store().delete(key, &found.version).await.unwrap();
        assert_eq!(state.contents(&revision).await.unwrap(), contents);
    }

    #[tokio::test]
    async fn a_revision_keeps_the_images_that_its_words_meant_and_an_older_one_is_still_read() {
        let state = state().await;
        let specification = state.read().await.unwrap().documents;
        let image = |id: &str| Image {
            id: id.to_owned(),
            name: "windlass".to_owned(),
            root_device: "/dev/xvda".to_owned(),
        };
        let images = BTreeMap::from([("nodes-us-east-1a".to_owned(), image("ami-1"))]);
        let number = state.record(&specification, Intent { images: images.clone(), ..Intent::default() });
        let number = number.await.unwrap();
        assert_eq!(state.revision(number).await.unwrap().images, images);
        let key = layout::revision(state.name(), number);
        let found = state.store().get(&key).await.unwrap().unwrap();
        let mut older: Value = serde_json::from_slice(&found.bytes).unwrap();
        older.as_object_mut().unwrap().remove("images").unwrap();
        let older = serde_json::to_vec(&older).unwrap();
        state.store().put(&key, older, Condition::Unchanged(found.version)).await.unwrap();
        assert_eq!(state.revision(number).await.unwrap().images, BTreeMap::new());
    }

    #[tokio::test]
    async fn what_runs_is_what_was_applied_and_before_that_what_was_begun() {
        let state = state().await;
        let specification = state.read().await.unwrap().documents;
        let running = async || state.running().await.unwrap().map(|revision| revision.number);
        assert_eq!(running().await, None);
        let first = state.record(&specification, intent(json!({}))).await.unwrap();
        assert_eq!(running().await, Some(first));
        state.mark_applied(first).await.unwrap();
        state.record(&specification, intent(json!({}))).await.unwrap();
        assert_eq!(running().await, Some(first));
    }

    #[tokio::test]
    async fn operators_who_record_at_once_write_different_revisions() {
        let state = state().await;
        let specification = state.read().await.unwrap().documents;
        let records =
            (0..8).map(|operator| state.record(&specification, intent(json!({"steps": [operator]}))));
        let mut numbers = futures::future::try_join_all(records).await.unwrap();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=8).collect::<Vec<_>>());
        assert_eq!(state.revisions().await.unwrap().len(), 8);
    }

    #[tokio::test]
    async fn revisions_stay_in_order_beyond_nine() {
        let state = state().await;
        let specification = state.read().await.unwrap().documents;
        for _ in 0..12 {
            state.record(&specification, intent(json!({}))).await.unwrap();
        }
        let numbers: Vec<u64> =
            state.revisions().await.unwrap().iter().map(|revision| revision.number).collect();
        assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    }
}
