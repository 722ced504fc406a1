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
    assert!(object.bytes == bytes && object.version == version, "{object:?}");
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
    use aws_sdk_s3::types::{
        BucketCannedAcl, BucketVersioningStatus, CreateBucketConfiguration, PublicAccessBlockConfiguration,
        Tag, VersioningConfiguration,
    };
    use windlass::state::bucket::create_bucket;
    use windlass::state::bucket_encryption::KmsKey;

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
        let error = create_bucket(&clients, "plain", Some(&key)).await.unwrap_err();
        assert!(error.to_string().contains("does not encrypt with arn:aws:kms:"), "{error}");
        assert_eq!(
            plain.bucket().unwrap().kms_key().await.unwrap(),
            None,
            "a bucket that was there is changed"
        );
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn a_bucket_that_is_there_is_never_changed_and_one_whose_making_was_interrupted_is_finished() {
        let region = Region::start();
        let clients = region.clients().await;
        clients.s3.create_bucket().bucket("theirs").send().await.unwrap();
        region.forget_journal();
        assert!(!create_bucket(&clients, "theirs", None).await.unwrap());
        let journal = region.journal();
        assert!(journal.iter().all(|call| call["mutating"] == false), "{journal:?}");

        let tag = Tag::builder().key("windlass.dev/state-store").value("unfinished").build().unwrap();
        let configuration = CreateBucketConfiguration::builder().tags(tag).build();
        let create = clients.s3.create_bucket().bucket("half").create_bucket_configuration(configuration);
        create.send().await.unwrap();
        assert!(create_bucket(&clients, "half", None).await.unwrap());
        Store::open("s3://half", &clients).await.unwrap();
        assert!(!create_bucket(&clients, "half", None).await.unwrap(), "it is finished now");
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn every_call_names_the_bucket_s_owner_and_another_s_bucket_is_refused() {
        let region = Region::start();
        let user = crate::support::user::User::new().with("WINDLASS_STATE_STORE", "s3://clusters");
        let user = region.environment().iter().fold(user, |user, (name, value)| user.with(name, value));
        region.forget_journal();
        let create = "create cluster --name demo.example.com --zones us-east-1a --create-state-store";
        user.run(create).code(0);
        user.run("get clusters").code(0);
        user.run("edit cluster demo.example.com --set spec.channel=alpha").code(0);
        user.run("toolbox restore-object demo.example.com/cluster.yaml").code(1);
        let journal = region.journal();
        let calls = journal.iter().filter(|call| call["service"] == "s3");
        let unnamed: Vec<&serde_json::Value> = calls
            .filter(|call| call["action"] != "CreateBucket" && call["expectedBucketOwner"] != "123456789012")
            .collect();
        assert!(unnamed.is_empty(), "{unnamed:?}");
        let other = [("WINDLASS_STATE_STORE_ACCOUNT", "999999999999")];
        let refused = user.run_with("get clusters", &other).code(5);
        let told = crate::support::user::stderr(&refused);
        assert!(told.contains("isn't the account 999999999999's") && told.contains("hint: "), "{told}");
        let wrong = user.run_with("get clusters", &[("WINDLASS_STATE_STORE_ACCOUNT", "me")]);
        assert!(crate::support::user::stderr(&wrong).contains("twelve digits"));
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn a_public_bucket_is_refused_until_it_is_closed() {
        let region = Region::start();
        let clients = region.clients().await;
        let s3 = &clients.s3;
        for bucket in ["by-policy", "by-acl"] {
            s3.create_bucket().bucket(bucket).send().await.unwrap();
            let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            s3.put_bucket_versioning()
                .bucket(bucket)
                .versioning_configuration(versions)
                .send()
                .await
                .unwrap();
            Store::open(&format!("s3://{bucket}"), &clients).await.unwrap();
        }
        let policy = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*",
            "Action": "s3:GetObject", "Resource": "arn:aws:s3:::by-policy/*"}]}"#;
        s3.put_bucket_policy().bucket("by-policy").policy(policy).send().await.unwrap();
        s3.put_bucket_acl().bucket("by-acl").acl(BucketCannedAcl::PublicRead).send().await.unwrap();
        for (bucket, how) in [("by-policy", "its policy"), ("by-acl", "its access control list")] {
            let url = format!("s3://{bucket}");
            let error = Store::open(&url, &clients).await.unwrap_err();
            assert!(error.to_string().contains(how), "{error}");
            assert!(error.hint().unwrap().contains("put-public-access-block"), "{:?}", error.hint());
            let closed = PublicAccessBlockConfiguration::builder()
                .ignore_public_acls(true)
                .restrict_public_buckets(true)
                .build();
            let close = s3.put_public_access_block().bucket(bucket).public_access_block_configuration(closed);
            close.send().await.unwrap();
            Store::open(&url, &clients).await.unwrap();
        }
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn earlier_versions_of_the_lock_expire_by_a_rule_or_are_pruned_and_no_others() {
        let region = Region::start();
        let clients = region.clients().await;
        create_bucket(&clients, "ours", None).await.unwrap();
        let rules = clients.s3.get_bucket_lifecycle_configuration().bucket("ours").send().await.unwrap();
        let [rule] = rules.rules() else { panic!("{rules:?}") };
        let tag = rule.filter().unwrap().tag().unwrap();
        let days = rule.noncurrent_version_expiration().unwrap().noncurrent_days();
        assert_eq!((tag.key(), tag.value(), days), ("windlass.dev/earlier-versions", "expire", Some(1)));

        clients.s3.create_bucket().bucket("theirs").send().await.unwrap();
        let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = clients.s3.put_bucket_versioning().bucket("theirs").versioning_configuration(versions);
        request.send().await.unwrap();
        let now = jiff::SignedDuration::from_secs(-5);
        for (bucket, pruned) in [("ours", 0), ("theirs", 4)] {
            let store = Store::open(&format!("s3://{bucket}"), &clients).await.unwrap();
            for key in ["demo/lock", "demo/status/i-1.json", "demo/cluster.yaml"] {
                let mut condition = Condition::Absent;
                for round in 0..3_u8 {
                    condition = Condition::Unchanged(store.put(key, vec![round], condition).await.unwrap());
                }
            }
            let tags = clients.s3.get_object_tagging().bucket(bucket).key("demo/lock").send().await.unwrap();
            assert_eq!(tags.tag_set()[0].key(), "windlass.dev/earlier-versions");
            let tags = clients.s3.get_object_tagging().bucket(bucket).key("demo/cluster.yaml").send().await;
            assert!(tags.unwrap().tag_set().is_empty());
            let prefixes = ["demo/lock".to_owned(), "demo/status/".to_owned()];
            let young = store.prune(&prefixes, jiff::SignedDuration::from_hours(24)).await.unwrap();
            assert_eq!((young, store.prune(&prefixes, now).await.unwrap()), (0, pruned), "{bucket}");
            assert_eq!(store.get("demo/lock").await.unwrap().unwrap().bytes, [2]);
            assert_eq!(store.versions("demo/cluster.yaml").await.unwrap().unwrap().len(), 3);
        }
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn earlier_versions_of_all_reports_are_pruned_however_many_there_are() {
        let region = Region::start();
        let clients = region.clients().await;
        clients.s3.create_bucket().bucket("theirs").send().await.unwrap();
        let versions = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = clients.s3.put_bucket_versioning().bucket("theirs").versioning_configuration(versions);
        request.send().await.unwrap();
        let keys: Vec<String> = (0..4).map(|instance| format!("demo/status/i-{instance}.json")).collect();
        let s3 = &clients.s3;
        let writes = keys.iter().map(|key| async move {
            for round in 0..400_u16 {
                let put = s3.put_object().bucket("theirs").key(key);
                put.body(round.to_be_bytes().to_vec().into()).send().await.unwrap();
            }
        });
        futures::future::join_all(writes).await;
        let store = Store::open("s3://theirs", &clients).await.unwrap();
        let now = jiff::SignedDuration::from_secs(-5);
        let pruned = store.prune(&["demo/status/".to_owned()], now).await.unwrap();
        assert_eq!(pruned, 4 * 399);
        for key in &keys {
            assert_eq!(store.versions(key).await.unwrap().unwrap().len(), 1);
            assert_eq!(store.get(key).await.unwrap().unwrap().bytes, 399_u16.to_be_bytes());
        }
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
