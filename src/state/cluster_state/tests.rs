use super::*;
use crate::spec::{CreateOptions, create};
use crate::state::Recovery;

fn documents() -> Documents {
    let options = CreateOptions {
        name: "demo.example.com".to_owned(),
        zones: vec!["us-east-1a".to_owned(), "us-east-1b".to_owned()],
        ..CreateOptions::default()
    };
    create(&options).unwrap()
}

fn state() -> ClusterState {
    ClusterState::new(Store::memory(), "demo.example.com")
}

#[tokio::test]
async fn what_is_created_is_read_back_with_its_versions() {
    let (state, documents) = (state(), documents());
    state.create(&documents).await.unwrap();
    let read = state.read().await.unwrap();
    assert!(read.documents.say_what(&documents));
    assert!(read.versions.keys().eq(&documents.names()));
    assert_eq!(clusters(state.store()).await.unwrap(), ["demo.example.com"]);
    read.resolve().unwrap();
}

#[tokio::test]
async fn a_cluster_is_not_created_twice() {
    let (state, documents) = (state(), documents());
    state.create(&documents).await.unwrap();
    let error = state.create(&documents).await.unwrap_err();
    assert!(matches!(error, StateError::Exists { .. }), "{error}");
}

#[tokio::test]
async fn what_an_interrupted_creation_left_is_written_over() {
    let (state, documents) = (state(), documents());
    let name = "demo.example.com";
    for (key, text) in [
        (layout::instance_group(name, "nodes-us-east-1a"), "half"),
        (layout::instance_group(name, "unwanted"), "half"),
    ] {
        state.store().put(&key, text.into(), Condition::Absent).await.unwrap();
    }
    let error = state.read().await.unwrap_err();
    assert!(matches!(error, StateError::Missing { .. }), "{error}");
    state.create(&documents).await.unwrap();
    assert_eq!(state.read().await.unwrap().documents.instance_groups.len(), documents.instance_groups.len());
}

#[tokio::test]
async fn a_prefix_that_kops_wrote_is_refused() {
    for key in ["config", "cluster-completed.spec", "kops-version.txt", "instancegroup/nodes"] {
        let state = state();
        let key = format!("demo.example.com/{key}");
        state.store().put(&key, b"x".to_vec(), Condition::Absent).await.unwrap();
        let error = state.create(&documents()).await.unwrap_err();
        assert!(matches!(error, StateError::OfKops { .. }), "{key}: {error}");
        let error = state.read().await.unwrap_err();
        assert!(matches!(error, StateError::OfKops { .. }), "{key}: {error}");
        assert_eq!(state.store().list("").await.unwrap(), [key]);
    }
}

async fn put(state: &ClusterState, key: &str, text: &str) {
    let found = state.store().get(key).await.unwrap();
    let condition = found.map_or(Condition::Absent, |found| Condition::Unchanged(found.version));
    state.store().put(key, text.into(), condition).await.unwrap();
}

#[tokio::test]
async fn what_others_put_below_a_cluster_is_no_part_of_its_specification() {
    let (state, documents) = (state(), documents());
    state.create(&documents).await.unwrap();
    let before = state.read().await.unwrap();
    for key in [
        "instancegroups/README.md",
        "instancegroups/old/nodes.yaml",
        "instancegroups/nodes.yaml.bak",
        "sshcredentials/.DS_Store",
        "objects/core/Secret/_.yaml",
        "notes.txt",
    ] {
        put(&state, &format!("demo.example.com/{key}"), "{").await;
    }
    assert_eq!(state.read().await.unwrap(), before);
}

#[tokio::test]
async fn a_document_that_is_not_the_one_of_its_name_is_named_and_the_region_is_still_known() {
    let (state, documents) = (state(), documents());
    state.create(&documents).await.unwrap();
    let group = yaml::to_yaml(&documents.instance_groups[0]);
    for text in ["{", "", &group] {
        let key = layout::instance_group("demo.example.com", "stranger");
        put(&state, &key, text).await;
        let error = state.read().await.unwrap_err();
        let StateError::Damaged(damage) = &error else { panic!("{error}") };
        assert_eq!(damage.key, key);
        assert!(error.hint().unwrap().contains("if it is somebody else's, delete it"), "{:?}", error.hint());
        assert_eq!(state.region_amid_damage().await.unwrap().as_deref(), Some("us-east-1"));
    }
}

#[tokio::test]
async fn a_lost_cluster_file_is_named_with_the_version_to_bring_back_and_still_listed() {
    let (state, documents) = (state(), documents());
    state.create(&documents).await.unwrap();
    let read = state.read().await.unwrap();
    let key = layout::cluster("demo.example.com");
    let of_cluster = &read.versions[&DocumentName::Cluster("demo.example.com".to_owned())];
    state.store().delete(&key, of_cluster).await.unwrap();
    let error = state.read().await.unwrap_err();
    let StateError::Damaged(damage) = &error else { panic!("{error}") };
    let Recovery::Version(version) = &damage.recovery else { panic!("{damage}") };
    assert_eq!((&damage.key, &version.id), (&key, &of_cluster.0));
    assert_eq!(clusters(state.store()).await.unwrap(), ["demo.example.com"]);
    state.restore(&key, version).await.unwrap();
    assert_eq!(state.read().await.unwrap().documents, read.documents);
}

/// A cluster that was applied, and then lost its `cluster.yaml`.
async fn lost(store: Store, more: &[String]) -> ClusterState {
    let state = ClusterState::new(store, "demo.example.com");
    state.create(&documents()).await.unwrap();
    for key in more {
        put(&state, key, "{}").await;
    }
    let key = layout::cluster("demo.example.com");
    let found = state.store().get(&key).await.unwrap().unwrap();
    state.store().delete(&key, &found.version).await.unwrap();
    state
}

#[tokio::test]
async fn a_new_cluster_is_not_written_over_one_that_was_applied_and_lost_its_cluster_file() {
    let name = "demo.example.com";
    let folder = tempfile::tempdir().unwrap();
    let (applied, identity) = (layout::applied(name), layout::identity(name));
    for (store, more) in [
        (Store::memory(), vec![layout::revision(name, 1), applied.clone()]),
        (Store::memory(), vec![identity.clone()]),
        (Store::file(folder.path()), vec![applied.clone()]),
    ] {
        let state = lost(store, &more).await;
        let before = state.store().list("").await.unwrap();
        for error in [
            state.check_free().await.unwrap_err(),
            state.create(&documents()).await.unwrap_err(),
            state.read().await.unwrap_err(),
        ] {
            let StateError::Damaged(damage) = &error else { panic!("{error}") };
            assert_eq!(damage.key, layout::cluster(name));
        }
        assert_eq!(state.store().list("").await.unwrap(), before);
        state.purge().await.unwrap();
        state.create(&documents()).await.unwrap();
    }
    // All that it consisted of was deleted, and none of the versions.
    let state = lost(Store::memory(), &[applied, identity]).await;
    for key in state.store().list("").await.unwrap() {
        let found = state.store().get(&key).await.unwrap().unwrap();
        state.store().delete(&key, &found.version).await.unwrap();
    }
    let error = state.create(&documents()).await.unwrap_err();
    assert!(matches!(error, StateError::Damaged(_)), "{error}");
    // One that was never applied may be deleted by hand.
    lost(Store::memory(), &[]).await.create(&documents()).await.unwrap();
}

#[tokio::test]
async fn a_state_of_a_newer_windlass_is_refused() {
    let state = state();
    let marker = r#"{"version": 2, "writtenBy": "9.1.0"}"#;
    let key = layout::format("demo.example.com");
    state.store().put(&key, marker.into(), Condition::Absent).await.unwrap();
    for error in [state.read().await.unwrap_err(), state.create(&documents()).await.unwrap_err()] {
        assert!(matches!(error, StateError::Newer { found: 2, .. }), "{error}");
        assert_eq!(error.hint().as_deref(), Some("use windlass 9.1.0 or newer"));
    }
}

#[tokio::test]
async fn a_write_from_an_older_version_is_refused() {
    let state = state();
    state.create(&documents()).await.unwrap();
    let read = state.read().await.unwrap();
    let of_cluster = read.versions.get(&DocumentName::Cluster("demo.example.com".to_owned()));
    let mut first = read.documents.cluster.clone();
    first.spec.kubernetes_version = Some("1.36.2".to_owned());
    state.put_document(Document::Cluster(&first), of_cluster).await.unwrap();
    let mut second = read.documents.cluster.clone();
    second.spec.channel = Some("alpha".to_owned());
    let error = state.put_document(Document::Cluster(&second), of_cluster).await.unwrap_err();
    assert!(matches!(&error, StateError::Store { source, .. } if source.is_changed()), "{error}");
    assert_eq!(state.read().await.unwrap().documents.cluster, first);
}

#[tokio::test]
async fn a_purged_cluster_leaves_its_neighbours() {
    let state = state();
    state.create(&documents()).await.unwrap();
    let neighbour = "demo.example.com.au/cluster.yaml";
    state.store().put(neighbour, b"x".to_vec(), Condition::Absent).await.unwrap();
    state.purge().await.unwrap();
    assert_eq!(state.store().list("").await.unwrap(), [neighbour]);
}
