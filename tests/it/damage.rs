//! What is damaged in the state is named, with the version to bring back; all else goes on working.

use crate::support::user::{User, refused, stderr, stdout};

#[test]
fn a_store_in_a_folder_says_that_it_keeps_no_versions() {
    let user = User::new();
    user.create();
    let key = "demo.example.com/control-plane/keysets/etcd-ca.json";
    std::fs::write(user.path("state").join(key), "").unwrap();
    let listed = user.run("get secrets --name demo.example.com").code(1);
    assert!(stdout(&listed).contains("kubernetes-ca"), "the others are listed");
    for words in [key, "it is empty", "keeps no versions", "from a copy of your own"] {
        assert!(stderr(&listed).contains(words), "{words}: {}", stderr(&listed));
    }
    refused(user.run(&format!("toolbox restore-object {key}")), 1, &["keeps no versions"]);
    refused(user.run("toolbox restore-object applied"), 1, &["no key of a cluster"]);
    refused(user.run("toolbox restore-object demo.example.com/lock"), 1, &["windlass unlock"]);
}

#[test]
fn one_damaged_cluster_does_not_keep_the_others_from_being_listed() {
    let user = User::new();
    user.create();
    user.run("create cluster --name other.example.com --zones us-east-1a").code(0);
    std::fs::write(user.path("state/demo.example.com/instancegroups/stranger.yaml"), "{").unwrap();
    let listed = user.run("get clusters").code(1);
    assert_eq!(stdout(&listed), "NAME\t\t\tCLOUD\tZONES\nother.example.com\taws\tus-east-1a\n");
    let told = stderr(&listed);
    assert!(told.contains("demo.example.com/instancegroups/stranger.yaml"), "{told}");
    user.run("get clusters other.example.com").code(0);
}

#[test]
fn a_lost_secret_that_is_asked_for_by_name_is_told_of_as_damage() {
    let user = User::new();
    user.create();
    user.file("state/demo.example.com/applied", r#"{"revision": 1}"#);
    let key = "demo.example.com/control-plane/keysets/etcd-ca.json";
    std::fs::remove_file(user.path("state").join(key)).unwrap();
    for name in ["etcd-ca", "etcd-ca kubernetes-ca"] {
        let said = user.run(&format!("get secrets {name} --name demo.example.com")).code(1);
        assert!(stderr(&said).contains(key) && !stderr(&said).contains("has no secret"), "{}", stderr(&said));
    }
    let said = user.run("get secrets nothing --name demo.example.com").code(1);
    assert!(stderr(&said).contains("has no secret `nothing`") && stderr(&said).contains(key));
}

#[test]
fn a_damaged_lock_is_taken_away_by_force_and_a_lost_cluster_is_not_made_anew() {
    let user = User::new();
    user.create();
    user.file("state/demo.example.com/lock", "garbage");
    refused(
        user.run("edit cluster demo.example.com --set spec.channel=alpha"),
        1,
        &["demo.example.com/lock", "windlass unlock demo.example.com --force"],
    );
    let said = user.run("unlock demo.example.com --force").code(0);
    assert!(stderr(&said).contains("could not be read"), "{}", stderr(&said));
    assert!(!user.path("state/demo.example.com/lock").exists());
    user.file("state/demo.example.com/applied", r#"{"revision": 1}"#);
    std::fs::remove_file(user.path("state/demo.example.com/cluster.yaml")).unwrap();
    let create = "create cluster demo.example.com --zones us-east-1a";
    refused(user.run(create), 1, &["demo.example.com/cluster.yaml", "a copy of your own"]);
}

mod with_region {
    use std::process::{Command, Output};

    use localcloud::process::Owned;
    use localcloud::region::Region;
    use serde_json::{Value, json};
    use windlass::aws::Clients;
    use windlass::state::{Condition, Store};

    use crate::support::operator;
    use crate::support::region::machine_image;

    const NAME: &str = "demo.example.com";
    const STATE: &str = "s3://clusters-of-a-test";

    struct World {
        region: Region,
        _process: Owned,
        home: tempfile::TempDir,
        store: Store,
    }

    impl World {
        /// An applied cluster.
        async fn new() -> Self {
            let (region, process) = Region::fork("us-east-1").await.unwrap();
            let home = tempfile::tempdir().unwrap();
            let version = windlass::spec::versions::default_kubernetes();
            region.post("images", &machine_image(version)).await.unwrap();
            let url = format!("http://{}", region.address());
            let clients = Clients::for_endpoint("us-east-1", &url).await;
            let created = command(&url, home.path())
                .args(["create", "cluster", NAME, "--zones", "us-east-1a", "--create-state-store", "--yes"])
                .output()
                .unwrap();
            assert!(created.status.success(), "{created:?}");
            let store = Store::open(STATE, &clients).await.unwrap();
            Self { region, _process: process, home, store }
        }

        fn windlass(&self, arguments: &[&str]) -> Output {
            let url = format!("http://{}", self.region.address());
            command(&url, self.home.path()).args(arguments).output().unwrap()
        }

        /// Runs a command that must succeed; returns what it wrote to stdout and stderr.
        fn run(&self, arguments: &[&str]) -> (String, String) {
            let output = self.windlass(arguments);
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            (text(&output.stdout), text(&output.stderr))
        }

        /// Runs a command that must end with a code; returns what it wrote to stderr.
        fn fails(&self, code: i32, arguments: &[&str]) -> String {
            let output = self.windlass(arguments);
            assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
            text(&output.stderr)
        }

        /// Writes over an object, or deletes it.
        async fn spoil(&self, key: &str, bytes: Option<&[u8]>) {
            let found = self.store.get(key).await.unwrap().unwrap();
            match bytes {
                Some(bytes) => {
                    let condition = Condition::Unchanged(found.version);
                    self.store.put(key, bytes.to_vec(), condition).await.unwrap();
                }
                None => self.store.delete(key, &found.version).await.unwrap(),
            }
        }
    }

    fn command(url: &str, home: &std::path::Path) -> Command {
        let mut command = operator::command_in("us-east-1", url, home, STATE);
        command.env("WINDLASS_CLUSTER_NAME", NAME);
        command
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The command that a hint says to type, without `windlass` itself.
    fn hinted(told: &str) -> Vec<&str> {
        let start =
            told.find("windlass toolbox restore-object").unwrap_or_else(|| panic!("no way back: {told}"));
        told[start..].lines().next().unwrap().split_whitespace().skip(1).collect()
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn no_key_of_an_applied_cluster_is_made_anew_and_the_hint_brings_the_old_one_back() {
        let world = World::new().await;
        let names = ["kubernetes-ca", "etcd-ca", "front-proxy-ca", "service-account"];
        let mut keys: Vec<String> =
            names.iter().map(|name| format!("{NAME}/control-plane/keysets/{name}.json")).collect();
        keys.push(format!("{NAME}/control-plane/encryption-configuration.json"));
        for key in &keys {
            let original = world.store.get(key).await.unwrap().unwrap().bytes;
            for bytes in [None, Some(&b""[..]), Some(b"{}")] {
                world.spoil(key, bytes).await;
                for arguments in [
                    &["update", "cluster"][..],
                    &["update", "cluster", "--yes"],
                    &["create", "cluster", NAME, "--zones", "us-east-1a"],
                ] {
                    let told = world.fails(1, arguments);
                    assert!(told.contains(key) && told.contains("restore-object"), "{arguments:?}: {told}");
                }
                let listed = world.windlass(&["get", "secrets"]);
                assert_eq!(listed.status.code(), Some(1), "{listed:?}");
                assert!(
                    text(&listed.stdout).contains("SINCE") && text(&listed.stderr).contains(key),
                    "{listed:?}"
                );
                let validated = world.windlass(&["validate", "cluster", "-o", "json"]);
                let report: Value = serde_json::from_slice(&validated.stdout).unwrap();
                let failures = report["failures"].as_array().unwrap();
                let found = failures.iter().filter(|failure| failure["type"] == "Secret");
                assert!(found.clone().count() == 1, "{report}");
                assert!(found.into_iter().all(|failure| failure["message"].as_str().unwrap().contains(key)));
                let now = world.store.get(key).await.unwrap().map(|object| object.bytes.into_vec());
                assert_eq!(now.as_deref(), bytes, "something was made in its place");

                let told = world.fails(1, &["update", "cluster", "--yes"]);
                world.run(&hinted(&told));
                assert_eq!(world.store.get(key).await.unwrap().unwrap().bytes, original);
            }
        }
        world.run(&["get", "secrets"]);
        let (planned, _) = world.run(&["update", "cluster", "--yes"]);
        assert_eq!(planned, "Nothing to do.\n");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn an_overwritten_node_configuration_and_add_on_are_seen_and_written_again() {
        let world = World::new().await;
        let keys = world.store.list(&format!("{NAME}/")).await.unwrap();
        let spoiled = ["/public/instance-groups/nodes-us-east-1a/", "/addons/"];
        let spoiled = spoiled.map(|part| keys.iter().find(|key| key.contains(part)).unwrap());
        let calls = async || {
            let journal = world.region.journal().await.unwrap();
            world.region.forget_journal().await.unwrap();
            journal.iter().filter(|call| call["service"] == "s3").count()
        };
        calls().await;
        world.run(&["update", "cluster", "--detailed-exitcode"]);
        let right_calls = calls().await;
        let mut originals = Vec::new();
        // Of the same length, and of another.
        for (key, as_long) in spoiled.into_iter().zip([true, false]) {
            let original = world.store.get(key).await.unwrap().unwrap().bytes;
            let foreign = if as_long { vec![b' '; original.len()] } else { b"kind: List".to_vec() };
            world.spoil(key, Some(&foreign)).await;
            originals.push((key, original));
        }

        calls().await;
        let planned = world.windlass(&["update", "cluster", "--detailed-exitcode"]);
        assert_eq!(planned.status.code(), Some(2), "{planned:?}");
        assert_eq!(calls().await, right_calls + 2, "only what differs is read");
        let planned = text(&planned.stdout);
        assert!(planned.contains("Will change 2 resources"), "{planned}");
        assert_eq!(planned.matches("somebody has overwritten it").count(), 2, "{planned}");
        for (key, _) in &originals {
            assert!(planned.contains(&format!("  ~ state-object/{key}\n      content ")), "{planned}");
        }

        world.run(&["update", "cluster", "--yes"]);
        for (key, original) in &originals {
            assert_eq!(world.store.get(key).await.unwrap().unwrap().bytes, *original, "{key}");
        }
        calls().await;
        let (planned, _) = world.run(&["update", "cluster", "--detailed-exitcode"]);
        assert_eq!((planned.as_str(), calls().await), ("Nothing to do.\n", right_calls));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn the_marker_of_the_format_is_brought_back_and_one_of_a_newer_windlass_is_left() {
        let world = World::new().await;
        let marker = format!("{NAME}/format.json");
        let original = world.store.get(&marker).await.unwrap().unwrap().bytes;
        for bytes in [None, Some(&b""[..]), Some(b"{}")] {
            world.spoil(&marker, bytes).await;
            let told = world.fails(1, &["edit", "ig", "nodes-us-east-1a", "--set", "spec.maxSize=3"]);
            assert!(told.contains(&marker), "{told}");
            world.run(&hinted(&told));
            assert_eq!(world.store.get(&marker).await.unwrap().unwrap().bytes, original);
        }
        let sound = world.store.versions(&marker).await.unwrap().unwrap().remove(0).id;
        world.spoil(&marker, Some(br#"{"version": 1, "writtenBy": "999.0.0"}"#)).await;
        let restore = ["toolbox", "restore-object", &marker, "--version-id", &sound, "--yes"];
        let told = world.fails(1, &restore);
        assert!(told.contains("999.0.0") && told.contains("--allow-windlass-downgrade"), "{told}");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn damage_has_a_way_out_and_a_damaged_cluster_can_be_deleted() {
        let world = World::new().await;
        let applied = format!("{NAME}/applied");
        world.spoil(&applied, Some(b"")).await;
        let history = world.windlass(&["history"]);
        assert_eq!(history.status.code(), Some(1), "{history:?}");
        assert!(text(&history.stdout).lines().count() == 2 && text(&history.stderr).contains(&applied));
        let told = world.fails(1, &["update", "cluster"]);
        assert!(told.contains(&applied), "{told}");
        let hint = hinted(&told);
        let (shown, said) = world.run(&["toolbox", "restore-object", &applied]);
        assert!(
            shown.contains("VERSION") && shown.contains('*') && said.contains("Nothing was changed"),
            "{shown}"
        );
        let before = world.store.get(&applied).await.unwrap().unwrap();
        assert!(before.bytes.is_empty(), "only listing changed it");
        world.run(&hint);
        let told = world.fails(1, &["toolbox", "restore-object", &applied]);
        assert!(told.contains("is there and sound"), "{told}");
        world.run(&hint);
        world.fails(1, &["toolbox", "restore-object", &applied, "--version-id", "none", "--yes"]);

        world.spoil(&applied, None).await;
        let told = world.fails(1, &["update", "cluster"]);
        world.run(&hinted(&told));
        let revision = format!("{NAME}/revisions/00000001.json");
        world.spoil(&revision, None).await;
        let told = world.fails(1, &["update", "cluster"]);
        assert!(told.contains(&revision), "{told}");
        let history = world.windlass(&["history"]);
        assert_eq!(history.status.code(), Some(1));
        world.run(&hinted(&text(&history.stderr)));
        world.run(&["history"]);

        let cluster = format!("{NAME}/cluster.yaml");
        world.spoil(&cluster, None).await;
        let told = world.fails(1, &["get", "clusters"]);
        assert!(told.contains(&cluster), "{told}");
        world.run(&hinted(&told));
        world.run(&["get", "clusters"]);

        world
            .store
            .put(&format!("{NAME}/instancegroups/x.yaml"), b"{".to_vec(), Condition::Absent)
            .await
            .unwrap();
        let told = world.fails(1, &["update", "cluster"]);
        assert!(told.contains("instancegroups/x.yaml"), "{told}");
        world.run(&["delete", "cluster", NAME, "--yes"]);
        assert_eq!(world.store.list("").await.unwrap(), Vec::<String>::new());
        assert_eq!(world.store.versions(&applied).await.unwrap(), Some(Vec::new()));
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_lost_identity_orphans_nothing_and_is_named_with_the_version_to_bring_back() {
        let world = World::new().await;
        let key = format!("{NAME}/identity.json");
        for bytes in [None, Some(&b"{}"[..])] {
            let original = world.store.get(&key).await.unwrap().unwrap().bytes;
            world.spoil(&key, bytes).await;
            let before = world.store.list("").await.unwrap();
            for arguments in [
                &["delete", "cluster", NAME][..],
                &["delete", "cluster", NAME, "--yes"],
                &["update", "cluster"],
                &["update", "cluster", "--yes"],
                &["validate", "cluster"],
            ] {
                let told = world.fails(1, arguments);
                assert!(told.contains(&key) && told.contains("restore-object"), "{arguments:?}: {told}");
            }
            assert_eq!(world.store.list("").await.unwrap(), before);
            let told = world.fails(1, &["delete", "cluster", NAME, "--yes"]);
            world.run(&hinted(&told));
            assert_eq!(world.store.get(&key).await.unwrap().unwrap().bytes, original);
        }
        let (planned, _) = world.run(&["update", "cluster"]);
        assert_eq!(planned, "Nothing to do.\n");
        let (deleted, _) = world.run(&["delete", "cluster", NAME, "--yes"]);
        assert!(deleted.contains("role/"), "{deleted}");
        assert_eq!(world.store.list("").await.unwrap(), Vec::<String>::new());
        world.run(&["create", "cluster", NAME, "--zones", "us-east-1a", "--yes"]);
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn a_cluster_that_lost_its_cluster_file_is_not_written_over() {
        let world = World::new().await;
        let key = format!("{NAME}/cluster.yaml");
        world.spoil(&key, None).await;
        let before = world.store.list("").await.unwrap();
        let told = world.fails(1, &["create", "cluster", NAME, "--zones", "us-east-1b"]);
        assert_eq!(world.store.list("").await.unwrap(), before);
        assert!(told.contains(&key), "{told}");
        world.run(&hinted(&told));
        let (planned, _) = world.run(&["update", "cluster"]);
        assert_eq!(planned, "Nothing to do.\n");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn all_that_an_applied_cluster_consists_of_is_known_by_kind_and_its_damage_has_a_way_out() {
        use windlass::state::object_kind::{fault, is_known};

        let world = World::new().await;
        for key in world.store.list("").await.unwrap() {
            let bytes = world.store.get(&key).await.unwrap().unwrap().bytes;
            assert!(is_known(NAME, &key), "{key}");
            assert_eq!(fault(NAME, &key, &bytes), None, "{key}");
        }
        let journal = format!("{NAME}/journal");
        world.store.put(&journal, b"garbage".to_vec(), Condition::Absent).await.unwrap();
        for arguments in [&["update", "cluster"][..], &["toolbox", "restore-object", &journal]] {
            let told = world.fails(1, arguments);
            assert!(told.contains(&format!("aws s3 rm {STATE}/{journal}")), "{arguments:?}: {told}");
        }
        world.spoil(&journal, None).await;
        let (planned, _) = world.run(&["update", "cluster"]);
        assert_eq!(planned, "Nothing to do.\n");
    }

    #[tokio::test]
    #[ignore = "starts the emulated region"]
    async fn what_was_lost_does_not_count_as_never_made_where_versions_may_not_be_seen() {
        let world = World::new().await;
        world.spoil(&format!("{NAME}/applied"), None).await;
        let denied = |action: &str| json!([{"service": "s3", "action": action, "code": "AccessDenied", "status": 403, "times": null}]);
        world.region.inject(&denied("ListObjectVersions")).await.unwrap();
        for arguments in [&["update", "cluster"][..], &["update", "cluster", "--yes"]] {
            let told = world.fails(5, arguments);
            assert!(told.contains("`s3:ListBucketVersions`"), "{arguments:?}: {told}");
        }
        world.run(&["get", "clusters"]);
        // A cluster of which nothing was ever made has lost nothing.
        world.run(&["create", "cluster", "new.example.com", "--zones", "us-east-1a"]);
        world.run(&["update", "cluster", "--name", "new.example.com"]);
        world.region.clear_faults().await.unwrap();
        let told = world.fails(1, &["update", "cluster"]);
        world.run(&hinted(&told));
    }
}
