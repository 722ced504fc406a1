use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::*;
use crate::spec::{CreateOptions, DocumentName, create};
use crate::state::Store;
use crate::state::identity::Place;
use crate::state::revision::Intent;

const NAME: &str = "demo.example.com";

/// A cluster to which something was applied, and what its state holds.
async fn applied() -> (ClusterState, BTreeMap<String, Vec<u8>>) {
    let state = ClusterState::new(Store::memory(), NAME);
    let zones = vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()];
    let options = CreateOptions { name: NAME.to_owned(), zones, ..CreateOptions::default() };
    state.create(&create(&options).unwrap()).await.unwrap();
    state
        .settle(&Place { account: "123456789012".to_owned(), region: "us-east-1".to_owned() })
        .await
        .unwrap();
    state.ensure_secrets(SystemTime::now()).await.unwrap();
    let text = b"{}".to_vec();
    let config = keys::node_config(NAME, "nodes-us-east-1a", &crate::state::object::digest(&text));
    state.store().put(&config, text, Condition::Absent).await.unwrap();
    let marker = keys::etcd_initialised(NAME, "main", "a");
    state.store().put(&marker, b"{}".to_vec(), Condition::Absent).await.unwrap();
    let documents = state.read().await.unwrap().documents;
    let intent = Intent { plan: json!({}), objects: vec![config], ..Intent::default() };
    let number = state.record(&documents, intent).await.unwrap();
    state.mark_applied(number).await.unwrap();
    let whole = contents(&state).await;
    (state, whole)
}

async fn contents(state: &ClusterState) -> BTreeMap<String, Vec<u8>> {
    state.store().forget();
    let mut contents = BTreeMap::new();
    for key in state.store().list(&layout::cluster_prefix(NAME)).await.unwrap() {
        contents.insert(key.clone(), state.store().get(&key).await.unwrap().unwrap().bytes.into_vec());
    }
    contents
}

async fn delete(state: &ClusterState, key: &str) {
    state.store().forget();
    let found = state.store().get(key).await.unwrap().unwrap();
    state.store().delete(key, &found.version).await.unwrap();
    // What was deleted and what was deleted next have different times.
    tokio::time::sleep(Duration::from_millis(2)).await;
}

async fn delete_all(state: &ClusterState) {
    for key in contents(state).await.into_keys() {
        delete(state, &key).await;
    }
}

async fn rebuild(state: &ClusterState) -> Vec<String> {
    state.store().forget();
    let losses = state.losses(None).await.unwrap();
    state.put_back(&losses).await.unwrap();
    losses.lost.into_iter().map(|lost| lost.key).collect()
}

async fn refused(state: &ClusterState) -> String {
    state.store().forget();
    let error = state.losses(None).await.unwrap_err();
    format!("{error}\n{}", error.hint().unwrap_or_default())
}

#[tokio::test]
async fn an_emptied_bucket_is_filled_again_with_what_was_there_and_a_second_run_finds_nothing_to_do() {
    let (state, whole) = applied().await;
    delete_all(&state).await;
    let put_back = rebuild(&state).await;
    assert_eq!(put_back.len(), whole.len());
    assert_eq!(put_back.last(), Some(&layout::cluster(NAME)));
    assert_eq!(contents(&state).await, whole);
    assert_eq!(rebuild(&state).await, Vec::<String>::new());
}

#[tokio::test]
async fn killed_after_any_write_the_next_run_puts_back_the_rest() {
    for killed_after in 0_i64.. {
        let (state, whole) = applied().await;
        delete_all(&state).await;
        let losses = state.losses(None).await.unwrap();
        let left = AtomicI64::new(killed_after);
        let alive_again = Arc::new(AtomicBool::new(false));
        let is_alive = alive_again.clone();
        let is_killed = move || !is_alive.load(Ordering::SeqCst) && left.fetch_sub(1, Ordering::SeqCst) <= 0;
        state.store().stop_when(Arc::new(is_killed));
        let ended = state.put_back(&losses).await.is_ok();
        alive_again.store(true, Ordering::SeqCst);
        if ended {
            assert!(killed_after >= i64::try_from(whole.len()).unwrap());
            return;
        }
        rebuild(&state).await;
        assert_eq!(contents(&state).await, whole, "killed after {killed_after} writes");
    }
}

#[tokio::test]
async fn every_object_that_is_never_deleted_is_put_back_where_it_alone_is_gone_or_damaged() {
    let (state, whole) = applied().await;
    let lasting = whole.keys().filter(|key| stay(NAME, key) == Stay::Always);
    let lasting: Vec<&String> = lasting.collect();
    assert!(
        lasting.contains(&&keys::keyset(NAME, "etcd-ca")) && lasting.contains(&&layout::revision(NAME, 1))
    );
    for key in lasting {
        delete(&state, key).await;
        assert_eq!(rebuild(&state).await, [key.as_str()]);
        assert_eq!(contents(&state).await, whole);
        let read = state.store().get(key).await.unwrap().unwrap();
        state.store().put(key, Vec::new(), Condition::Unchanged(read.version)).await.unwrap();
        assert_eq!(rebuild(&state).await, [key.as_str()], "empty");
        assert_eq!(contents(&state).await, whole);
    }
}

#[tokio::test]
async fn what_was_deleted_before_the_loss_stays_deleted_unless_an_earlier_time_is_named() {
    let (state, whole) = applied().await;
    let before = Timestamp::now();
    tokio::time::sleep(Duration::from_millis(2)).await;
    let group = DocumentName::InstanceGroup("nodes-us-east-1b".to_owned());
    let group = layout::document(NAME, &group);
    delete(&state, &group).await;
    state.store().forget();
    let losses = state.losses(None).await.unwrap();
    assert_eq!((losses.lost.len(), losses.left.as_slice()[0].0.as_str()), (0, group.as_str()));
    delete_all(&state).await;
    assert!(!rebuild(&state).await.contains(&group));
    assert_eq!(contents(&state).await.len(), whole.len() - 1);
    state.store().forget();
    let losses = state.losses(Some(before)).await.unwrap();
    assert_eq!(losses.lost.iter().map(|lost| lost.key.as_str()).collect::<Vec<_>>(), [group.as_str()]);
    state.put_back(&losses).await.unwrap();
    assert_eq!(contents(&state).await, whole);
}

#[tokio::test]
async fn backups_that_were_lost_come_back_unread_and_those_that_had_expired_do_not() {
    let (state, _) = applied().await;
    let file = |id: &str| format!("{}daily/{id}/backup.json", keys::backups_prefix(NAME));
    let (expired, lost) = (file("2026-11-01T00-00-00Z"), file("2026-11-23T00-00-00Z"));
    for key in [&expired, &lost] {
        state.store().put(key, b"not looked at".to_vec(), Condition::Absent).await.unwrap();
    }
    delete(&state, &expired).await;
    let whole = contents(&state).await;
    delete_all(&state).await;
    assert!(rebuild(&state).await.contains(&lost));
    assert_eq!(contents(&state).await, whole);
}

#[tokio::test]
async fn a_cluster_that_is_or_was_being_deleted_or_never_was_is_refused() {
    let (state, _) = applied().await;
    state.begin_deletion("delete cluster").await.unwrap();
    let told = refused(&state).await;
    assert!(told.contains("is being deleted") && told.contains("--undelete"), "{told}");
    delete_all(&state).await;
    let told = refused(&state).await;
    assert!(told.contains("was being deleted when its state was lost") && told.contains("--as-of"), "{told}");
    state.purge().await.unwrap();
    let told = refused(&state).await;
    assert!(told.contains("not even earlier versions"), "{told}");
    assert_eq!(contents(&state).await, BTreeMap::new());
}

#[tokio::test]
async fn a_deletion_that_was_given_up_and_a_change_that_was_finished_are_not_begun_again() {
    let (state, whole) = applied().await;
    state.begin_deletion("delete cluster").await.unwrap();
    state.give_up_deletion().await.unwrap();
    delete_all(&state).await;
    rebuild(&state).await;
    assert_eq!(contents(&state).await, whole);
}

#[tokio::test]
async fn what_would_not_be_whole_is_refused_and_nothing_is_written() {
    let (state, _) = applied().await;
    let key = keys::keyset(NAME, "kubernetes-ca");
    let other = ClusterState::new(Store::memory(), NAME);
    other.ensure_secrets(SystemTime::now()).await.unwrap();
    let (found, strange) = (state.store().get(&key).await.unwrap().unwrap(), contents(&other).await);
    // A certificate of one authority with the key of another.
    let mut mixed: serde_json::Value = serde_json::from_slice(&found.bytes).unwrap();
    let foreign: serde_json::Value = serde_json::from_slice(&strange[&key]).unwrap();
    for (mine, theirs) in
        mixed["keys"].as_array_mut().unwrap().iter_mut().zip(foreign["keys"].as_array().unwrap())
    {
        mine["private"] = theirs["private"].clone();
    }
    let bytes = serde_json::to_vec(&mixed).unwrap();
    for lost in [key.clone(), layout::revision(NAME, 1)] {
        state.store().purge(&lost, &[]).await.unwrap();
    }
    state.store().put(&key, bytes, Condition::Absent).await.unwrap();
    delete(&state, &layout::applied(NAME)).await;
    let before = contents(&state).await;
    let told = refused(&state).await;
    assert!(told.contains("would not be whole") && told.contains(&key) && told.contains("applied"), "{told}");
    assert_eq!(contents(&state).await, before);
}

#[tokio::test]
async fn what_somebody_wrote_meanwhile_is_not_written_over() {
    let (state, _) = applied().await;
    let key = keys::node_groups(NAME);
    let groups = |size| {
        serde_json::to_vec(&json!({"version": "windlass/v1", "groups": {"x": {"min": size, "max": 9}}}))
    };
    state.store().put(&key, groups(1).unwrap(), Condition::Absent).await.unwrap();
    delete(&state, &key).await;
    state.store().forget();
    let losses = state.losses(None).await.unwrap();
    state.store().put(&key, groups(2).unwrap(), Condition::Absent).await.unwrap();
    let error = state.put_back(&losses).await.unwrap_err();
    assert!(matches!(&error, StateError::Store { source, .. } if source.is_changed()), "{error}");
    assert_eq!(state.store().get(&key).await.unwrap().unwrap().bytes, groups(2).unwrap());
}

#[tokio::test]
async fn a_store_that_keeps_no_versions_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let told = refused(&ClusterState::new(Store::file(folder.path()), NAME)).await;
    assert!(told.contains("keeps no versions"), "{told}");
}
