//! How a state store behaves: the same for all of them.

use windlass::state::{Condition, Store, StoreError};

/// Everything that is asked of a store. Each store is empty at first.
async fn behaves(store: &Store) {
    what_is_written_is_read_back(store).await;
    nothing_is_written_over_what_is_there(store).await;
    only_the_version_that_was_read_is_replaced(store).await;
    the_same_write_twice_is_one_write(store).await;
    only_the_version_that_was_read_is_deleted(store).await;
    keys_are_listed_by_prefix_in_order(store).await;
    of_many_writers_one_wins(store).await;
    a_purged_prefix_is_empty_and_its_neighbour_is_not(store).await;
}

async fn what_is_written_is_read_back(store: &Store) {
    assert_eq!(store.get("read/none").await.unwrap(), None);
    let bytes = [0, 255, b'\n'].to_vec();
    let version = store.put("read/some", bytes.clone(), Condition::Absent).await.unwrap();
    let object = store.get("read/some").await.unwrap().unwrap();
    assert_eq!((object.bytes, object.version), (bytes, version));
    let keys = ["read/some", "read/none", "read/some"].map(str::to_owned);
    let found: Vec<bool> = store.get_all(&keys).await.unwrap().iter().map(Option::is_some).collect();
    assert_eq!(found, [true, false, true]);
}

async fn nothing_is_written_over_what_is_there(store: &Store) {
    store.put("absent/x", b"first".to_vec(), Condition::Absent).await.unwrap();
    let error = store.put("absent/x", b"second".to_vec(), Condition::Absent).await.unwrap_err();
    assert!(error.is_changed(), "{error}");
    assert_eq!(store.get("absent/x").await.unwrap().unwrap().bytes, b"first");
}

async fn only_the_version_that_was_read_is_replaced(store: &Store) {
    let first = store.put("match/x", b"first".to_vec(), Condition::Absent).await.unwrap();
    let second = store.put("match/x", b"second".to_vec(), Condition::Unchanged(first.clone())).await.unwrap();
    let error =
        store.put("match/x", b"third".to_vec(), Condition::Unchanged(first.clone())).await.unwrap_err();
    assert!(error.is_changed(), "{error}");
    store.put("match/x", b"third".to_vec(), Condition::Unchanged(second)).await.unwrap();
    assert_eq!(store.get("match/x").await.unwrap().unwrap().bytes, b"third");
    let error = store.put("match/none", b"first".to_vec(), Condition::Unchanged(first)).await.unwrap_err();
    assert!(error.is_changed(), "{error}");
    assert_eq!(store.get("match/none").await.unwrap(), None);
}

async fn the_same_write_twice_is_one_write(store: &Store) {
    let first = store.put("twice/x", b"same".to_vec(), Condition::Absent).await.unwrap();
    let again = store.put("twice/x", b"same".to_vec(), Condition::Absent).await.unwrap();
    assert_eq!(first, again);
}

async fn only_the_version_that_was_read_is_deleted(store: &Store) {
    let first = store.put("delete/x", b"first".to_vec(), Condition::Absent).await.unwrap();
    let second =
        store.put("delete/x", b"second".to_vec(), Condition::Unchanged(first.clone())).await.unwrap();
    let error = store.delete("delete/x", &first).await.unwrap_err();
    assert!(error.is_changed(), "{error}");
    store.delete("delete/x", &second).await.unwrap();
    assert_eq!(store.get("delete/x").await.unwrap(), None);
    store.delete("delete/x", &second).await.unwrap();
    store.put("delete/x", b"again".to_vec(), Condition::Absent).await.unwrap();
}

async fn keys_are_listed_by_prefix_in_order(store: &Store) {
    for key in ["list/b/2", "list/a", "list/b/10", "listed"] {
        store.put(key, key.as_bytes().to_vec(), Condition::Absent).await.unwrap();
    }
    assert_eq!(store.list("list/").await.unwrap(), ["list/a", "list/b/10", "list/b/2"]);
    assert_eq!(store.list("list/b/1").await.unwrap(), ["list/b/10"]);
    assert_eq!(store.list("nothing/").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.children("list/").await.unwrap(), ["a", "b/"]);
    let top = store.children("").await.unwrap();
    assert!(top.contains(&"list/".to_owned()) && top.contains(&"listed".to_owned()), "{top:?}");
}

async fn of_many_writers_one_wins(store: &Store) {
    let start = store.put("race/x", b"start".to_vec(), Condition::Absent).await.unwrap();
    let writers = (0..16).map(|writer| {
        let (store, start) = (store.clone(), start.clone());
        tokio::spawn(async move {
            let bytes = format!("writer {writer}").into_bytes();
            let created = store.put("race/new", bytes.clone(), Condition::Absent).await;
            let replaced = store.put("race/x", bytes, Condition::Unchanged(start)).await;
            (won(&created), won(&replaced))
        })
    });
    let mut wins = (0, 0);
    for writer in writers.collect::<Vec<_>>() {
        let (created, replaced) = writer.await.unwrap();
        wins = (wins.0 + u32::from(created), wins.1 + u32::from(replaced));
    }
    assert_eq!(wins, (1, 1));
}

fn won<T>(result: &Result<T, StoreError>) -> bool {
    match result {
        Ok(_) => true,
        Err(error) => {
            assert!(error.is_changed(), "{error:?}");
            false
        }
    }
}

async fn a_purged_prefix_is_empty_and_its_neighbour_is_not(store: &Store) {
    for key in ["purge/a", "purge/b/c", "purged"] {
        let first = store.put(key, b"1".to_vec(), Condition::Absent).await.unwrap();
        store.put(key, b"2".to_vec(), Condition::Unchanged(first)).await.unwrap();
    }
    store.purge("purge/", &["purge/a".to_owned()]).await.unwrap();
    assert_eq!(store.list("purge").await.unwrap(), ["purged"]);
    store.purge("purge/", &["purge/a".to_owned()]).await.unwrap();
}

#[tokio::test]
async fn a_store_in_memory_behaves() {
    behaves(&Store::memory()).await;
}

#[tokio::test]
async fn a_store_in_a_folder_behaves_and_leaves_no_empty_folders() {
    let folder = tempfile::tempdir().unwrap();
    behaves(&Store::file(folder.path())).await;
    assert!(!folder.path().join("purge").exists());
}

#[tokio::test]
async fn a_store_in_a_folder_keeps_its_objects_to_its_owner() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    Store::file(folder.path()).put("x/key", b"secret".to_vec(), Condition::Absent).await.unwrap();
    let mode = std::fs::metadata(folder.path().join("x/key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

mod with_region {
    use windlass::state::bucket_encryption::KmsKey;
    use windlass::state::s3::create_bucket;

    use super::*;
    use crate::support::region::Region;

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn a_store_in_a_bucket_behaves() {
        let region = Region::start();
        let clients = region.clients().await;
        assert!(create_bucket(&clients, "clusters", None).await.unwrap());
        behaves(&Store::open("s3://clusters", &clients).await.unwrap()).await;
        let below = Store::open("s3://clusters/team/a", &clients).await.unwrap();
        behaves(&below).await;
        assert_eq!(below.url(), "s3://clusters/team/a");
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn a_purged_bucket_keeps_no_earlier_version() {
        let region = Region::start();
        let clients = region.clients().await;
        create_bucket(&clients, "clusters", None).await.unwrap();
        let store = Store::open("s3://clusters", &clients).await.unwrap();
        a_purged_prefix_is_empty_and_its_neighbour_is_not(&store).await;
        let left = clients.s3.list_object_versions().bucket("clusters").send().await.unwrap();
        let keys: Vec<_> = left.versions().iter().filter_map(|version| version.key()).collect();
        assert_eq!(keys, ["purged", "purged"]);
        assert!(left.delete_markers().is_empty());
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn a_bucket_that_is_missing_or_forgetful_is_refused_with_what_to_type() {
        let region = Region::start();
        let clients = region.clients().await;
        let error = Store::open("s3://no-such-bucket", &clients).await.unwrap_err();
        assert_eq!(error.to_string(), "there is no bucket `no-such-bucket`");
        assert!(error.hint().unwrap().contains("--create-state-store"));
        clients.s3.create_bucket().bucket("forgetful").send().await.unwrap();
        let error = Store::open("s3://forgetful", &clients).await.unwrap_err();
        assert_eq!(error.to_string(), "the bucket `forgetful` does not keep versions of its objects");
        assert!(error.hint().unwrap().contains("put-bucket-versioning --bucket forgetful"));
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn a_bucket_keeps_its_encryption_and_gets_the_key_that_is_asked_for() {
        let region = Region::start();
        let clients = region.clients().await;
        let key: KmsKey = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd".parse().unwrap();
        assert!(create_bucket(&clients, "clusters", Some(&key)).await.unwrap());
        let store = Store::open("s3://clusters", &clients).await.unwrap();
        assert_eq!(store.bucket().unwrap().kms_key().await.unwrap(), Some(key.clone()));
        behaves(&store).await;
        assert!(!create_bucket(&clients, "clusters", None).await.unwrap());
        assert_eq!(
            store.bucket().unwrap().kms_key().await.unwrap(),
            Some(key.clone()),
            "the key was taken away"
        );
        create_bucket(&clients, "plain", None).await.unwrap();
        let plain = Store::open("s3://plain", &clients).await.unwrap();
        assert_eq!(plain.bucket().unwrap().kms_key().await.unwrap(), None);
        create_bucket(&clients, "plain", Some(&key)).await.unwrap();
        assert_eq!(plain.bucket().unwrap().kms_key().await.unwrap(), Some(key));
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn a_created_bucket_is_versioned_encrypted_and_closed() {
        let region = Region::start();
        let clients = region.clients().await;
        assert!(create_bucket(&clients, "clusters", None).await.unwrap());
        assert!(!create_bucket(&clients, "clusters", None).await.unwrap(), "made twice");
        let s3 = &clients.s3;
        let encryption = s3.get_bucket_encryption().bucket("clusters").send().await.unwrap();
        assert_eq!(encryption.server_side_encryption_configuration().unwrap().rules().len(), 1);
        let closed = s3.get_public_access_block().bucket("clusters").send().await.unwrap();
        let closed = closed.public_access_block_configuration().unwrap();
        assert_eq!(
            [
                closed.block_public_acls(),
                closed.ignore_public_acls(),
                closed.block_public_policy(),
                closed.restrict_public_buckets()
            ],
            [Some(true); 4]
        );
    }
}
