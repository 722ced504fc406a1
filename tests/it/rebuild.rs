//! `state rebuild`: what a bucket has lost is put back from its versions, and the cluster's next plan is empty.

mod with_region {
    use std::collections::BTreeMap;
    use std::process::{Command, Output, Stdio};
    use std::time::{Duration, Instant};

    use jiff::Timestamp;
    use serde_json::json;
    use windlass::aws::Clients;
    use windlass::state::Store;
    use windlass::state::bucket::create_bucket;

    use crate::support::region::Region;
    use crate::support::sample::sample;

    const NAME: &str = "demo.example.com";
    const BUCKET: &str = "clusters";
    const STATE: &str = "s3://clusters/team";
    const FOLDER: &str = "team/demo.example.com";

    /// How many points a push kills a rebuild at, or a few more.
    const SAMPLE: usize = 6;

    struct World {
        region: Region,
        clients: Clients,
        home: tempfile::TempDir,
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    impl World {
        /// An applied cluster.
        async fn new() -> Self {
            let region = Region::start();
            region.register_image("1.36.3");
            let clients = region.clients().await;
            create_bucket(&clients, BUCKET, None).await.unwrap();
            let world = Self { region, clients, home: tempfile::tempdir().unwrap() };
            world.ends("create cluster --zones us-east-1a --kubernetes-version 1.36.3", 0);
            world.ends("update cluster --yes --create-kube-config=false", 0);
            world
        }

        fn command(&self, line: &str) -> Command {
            let mut command = self.region.operator(self.home.path(), STATE);
            command.args(line.split_whitespace()).args(["--name", NAME]);
            command
        }

        /// Runs a command that must end with a code; returns what it wrote.
        fn ends(&self, line: &str, code: i32) -> String {
            let output: Output = self.command(line).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{line}: {said}");
            String::from_utf8_lossy(&output.stdout).into_owned() + &said
        }

        fn plan_is_empty(&self) {
            let planned = self.ends("update cluster --detailed-exitcode", 0);
            assert_eq!(planned, "Nothing to do.\n");
        }

        async fn contents(&self) -> BTreeMap<String, String> {
            let store = Store::open(STATE, &self.clients).await.unwrap();
            let keys = store.list("").await.unwrap();
            let objects = store.get_all(&keys).await.unwrap();
            keys.into_iter().zip(objects.into_iter().map(|object| text(&object.unwrap().bytes))).collect()
        }

        /// Deletes an object as anybody would with `aws s3 rm`.
        async fn delete(&self, key: &str) {
            self.clients.s3.delete_object().bucket(BUCKET).key(format!("team/{key}")).send().await.unwrap();
        }

        /// Empties the bucket; returns what was in it.
        async fn empty(&self) -> BTreeMap<String, String> {
            let before = self.contents().await;
            for key in before.keys() {
                self.delete(key).await;
            }
            assert_eq!(self.contents().await, BTreeMap::new());
            before
        }

        /// What changed something in AWS since the journal was last forgotten, other than objects written.
        fn changes(&self) -> Vec<String> {
            let journal = self.region.journal();
            let changing = journal.iter().filter(|call| call["mutating"] == true);
            let names =
                changing.map(|call| format!("{}:{}", call["service"], call["action"]).replace('"', ""));
            names.filter(|name| name != "s3:PutObject").collect()
        }

        /// Kills a command at its so-many-th write; whether it came there.
        fn kill_at(&self, line: &str, write: usize, moment: &str) -> bool {
            self.region
                .inject(&json!([{"service": "s3", "action": "PutObject", "hold": moment, "skip": write}]));
            let mut process = self.command(line).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let deadline = Instant::now() + Duration::from_mins(2);
            let came_there = loop {
                if !self.region.held().is_empty() {
                    break true;
                }
                if process.try_wait().unwrap().is_some() {
                    break false;
                }
                assert!(Instant::now() < deadline, "it neither ends nor comes to its write {write}");
                std::thread::sleep(Duration::from_millis(3));
            };
            process.kill().unwrap();
            process.wait().unwrap();
            self.region.clear_faults();
            came_there
        }
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn an_emptied_bucket_is_filled_again_and_the_next_plan_is_empty() {
        let world = World::new().await;
        let backup = "team/demo.example.com/backups/etcd/daily/2026-11-23T14-05-00Z/backup.json";
        let put = world.clients.s3.put_object().bucket(BUCKET).key(backup);
        put.body(b"a backup".to_vec().into()).send().await.unwrap();
        let before = world.empty().await;
        world.ends("update cluster --yes", 1);
        let shown = world.ends("state rebuild", 0);
        assert!(shown.contains("and 1 files of backups"), "{shown}");
        for key in before.keys().filter(|key| !key.contains("/backups/")) {
            assert!(shown.contains(key.as_str()), "{key}: {shown}");
        }
        assert!(shown.contains("Nothing was written.") && shown.contains(" --yes"), "{shown}");
        assert_eq!(world.contents().await, BTreeMap::new());
        world.region.forget_journal();
        world.ends("state rebuild --yes", 0);
        // The lock is given back.
        assert_eq!(world.changes(), ["s3:CopyObject", "s3:DeleteObject"]);
        assert_eq!(world.contents().await, before);
        world.plan_is_empty();
        let again = world.ends("state rebuild --yes", 0);
        assert!(again.contains("Nothing of the state of demo.example.com is lost."), "{again}");
        assert_eq!(world.contents().await, before);
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn one_key_that_was_deleted_is_put_back_and_nothing_else_is_written() {
        let world = World::new().await;
        let before = world.contents().await;
        let key = format!("{NAME}/control-plane/keysets/kubernetes-ca.json");
        world.delete(&key).await;
        let told = world.ends("update cluster", 1);
        assert!(told.contains(&key), "{told}");
        let shown = world.ends("state rebuild --yes", 0);
        assert!(shown.contains(&key) && shown.contains("Put back 1 objects"), "{shown}");
        assert_eq!(world.contents().await, before);
        world.plan_is_empty();
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn killed_at_any_write_a_second_run_puts_back_the_rest() {
        let world = World::new().await;
        let before = world.empty().await;
        // The lock is written first.
        let points: Vec<(usize, &str)> =
            (0..=before.len()).flat_map(|write| [(write, "before"), (write, "after")]).collect();
        let sampled = sample(&points, SAMPLE);
        let mut reached = 0;
        for (write, moment) in &sampled {
            reached += usize::from(world.kill_at("state rebuild --yes", *write, moment));
            world.ends("state rebuild --yes", 0);
            assert_eq!(world.contents().await, before, "killed {moment} write {write}");
            world.empty().await;
        }
        assert!(reached > 0 && reached + 1 >= sampled.len(), "{reached} of {} were reached", sampled.len());
        world.ends("state rebuild --yes", 0);
        world.plan_is_empty();
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn what_was_deleted_on_purpose_stays_deleted() {
        let world = World::new().await;
        let extra = "create instancegroup more --subnet us-east-1a --role node --edit=false";
        world.ends(extra, 0);
        let document = format!("{NAME}/instancegroups/more.yaml");
        assert!(world.contents().await.contains_key(&document));
        // S3's times are whole seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let there = Timestamp::now();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        world.ends("delete instancegroup more --yes", 0);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let before = world.empty().await;
        world.ends("state rebuild --yes", 0);
        assert_eq!(world.contents().await, before);
        let told = world.ends("state rebuild", 0);
        assert!(told.contains(&document) && told.contains("stays deleted"), "{told}");
        let shown = world.ends(&format!("state rebuild --as-of {there}"), 0);
        assert!(shown.lines().any(|line| line.starts_with(&document)), "{shown}");
        world.plan_is_empty();

        world.ends("delete cluster --yes", 0);
        let told = world.ends("state rebuild --yes", 1);
        assert!(told.contains("not even earlier versions") && told.contains("delete cluster"), "{told}");
        assert_eq!(world.contents().await, BTreeMap::new());
    }

    #[tokio::test]
    #[ignore = "needs the emulated region"]
    async fn a_bucket_whose_versions_may_not_be_listed_says_which_permission_it_takes() {
        let world = World::new().await;
        world.delete(&format!("{NAME}/applied")).await;
        let denied = json!([{"service": "s3", "action": "ListObjectVersions", "code": "AccessDenied", "status": 403, "times": null}]);
        world.region.inject(&denied);
        let told = world.ends("state rebuild", 5);
        assert!(told.contains("s3:ListBucketVersions"), "{told}");
        world.region.clear_faults();
        assert!(
            world
                .clients
                .s3
                .head_object()
                .bucket(BUCKET)
                .key(format!("{FOLDER}/applied"))
                .send()
                .await
                .is_err()
        );
    }
}
