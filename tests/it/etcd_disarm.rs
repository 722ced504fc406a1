//! `etcd disarm`: what it shows, what it orders, and how it ends.

mod with_region {
    use std::process::{Child, Output, Stdio};
    use std::time::{Duration, Instant};

    use aws_sdk_ec2::types::Reservation;
    use serde_json::{Value, json};
    use windlass::aws::Clients;
    use windlass::state::bucket::create_bucket;

    use crate::support::region::Region;

    const NAME: &str = "demo.example.com";
    const BUCKET: &str = "clusters";
    const FOLDER: &str = "team/demo.example.com";

    /// A region with a cluster of a master.
    struct World {
        region: Region,
        clients: Clients,
        home: tempfile::TempDir,
        master: String,
    }

    impl World {
        async fn new() -> Self {
            let region = Region::start();
            let clients = region.clients().await;
            let home = tempfile::tempdir().unwrap();
            let mut world = Self { region, clients, home, master: String::new() };
            world.region.register_image("1.36.3");
            create_bucket(&world.clients, BUCKET, None).await.unwrap();
            let create = "create cluster --zones us-east-1a --node-count 1 --kubernetes-version 1.36.3";
            world.ends(create, 0);
            world.ends("update cluster --yes --create-kube-config=false", 0);
            let answer = world.clients.ec2.describe_instances().send().await.unwrap();
            let mut all = answer.reservations().iter().flat_map(Reservation::instances);
            let is_master = |tag: &aws_sdk_ec2::types::Tag| tag.key() == Some("k8s.io/role/control-plane");
            let master = all.find(|instance| instance.tags().iter().any(is_master));
            master.unwrap().instance_id().unwrap().clone_into(&mut world.master);
            world
        }

        fn command(&self, line: &str) -> std::process::Command {
            let mut command = self.region.operator(self.home.path(), &format!("s3://{BUCKET}/team"));
            command.args(line.split_whitespace()).args(["--name", NAME]);
            command
        }

        fn ends(&self, line: &str, code: i32) -> String {
            told(&self.command(line).output().unwrap(), code)
        }

        fn begins(&self, line: &str) -> Child {
            self.command(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        }

        /// The master reports these alarms.
        async fn report(&self, alarms: Value) {
            let report = json!({
                "version": "windlass/v1", "instance": self.master, "zone": "us-east-1a", "agent": "0.1.0",
                "instanceGroup": "control-plane-us-east-1a", "state": "ready", "step": "ensure_joined",
                "reason": null, "since": "2026-11-23T14:05:00Z", "agentStartedAfter": 1.0, "steps": [],
                "etcdAlarms": alarms,
            });
            let key = format!("{FOLDER}/status/{}.json", self.master);
            let put = self.clients.s3.put_object().bucket(BUCKET).key(key);
            put.body(serde_json::to_vec(&report).unwrap().into()).send().await.unwrap();
        }

        async fn order(&self) -> Option<Value> {
            let key = format!("{FOLDER}/control-plane/etcd-upkeep.json");
            let found = self.clients.s3.get_object().bucket(BUCKET).key(key).send().await.ok()?;
            serde_json::from_slice(&found.body.collect().await.unwrap().into_bytes()).ok()
        }

        async fn is_ordered_after(&self, last: Option<&Value>) -> Value {
            let deadline = Instant::now() + Duration::from_mins(1);
            loop {
                if let Some(order) = self.order().await.filter(|order| Some(order) != last) {
                    return order;
                }
                assert!(Instant::now() < deadline, "nothing is ordered");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    fn told(output: &Output, code: i32) -> String {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        String::from_utf8_lossy(&output.stdout).into_owned() + &said
    }

    fn full(note: Option<&str>) -> Value {
        let mut alarm = json!({
            "etcd": "main", "member": "a", "kind": "noSpace", "bytes": 2_147_483_648_u64,
            "bytesInUse": 40_000_000, "quota": 2_147_483_648_u64,
        });
        if let Some(note) = note {
            alarm["note"] = note.into();
        }
        json!([alarm])
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn an_alarm_is_shown_ordered_to_be_cleared_and_waited_for_until_it_is_gone() {
        let world = World::new().await;
        let said = world.ends("etcd disarm --yes", 0);
        assert!(said.contains("report no alarm that could be cleared"), "{said}");
        world.report(full(None)).await;
        let said = world.ends("etcd disarm", 0);
        assert!(
            said.contains("etcd main: NOSPACE by member a: 40000000 of 2147483648 bytes are in use"),
            "{said}"
        );
        assert!(said.trim_end().ends_with("--yes") && said.contains("windlass etcd disarm"), "{said}");
        assert_eq!(world.order().await, None, "it was only shown");

        let disarming = world.begins("etcd disarm --yes");
        let first = world.is_ordered_after(None).await;
        assert_eq!(first["cluster"], NAME);
        world.report(json!([])).await;
        let said = told(&disarming.wait_with_output().unwrap(), 0);
        assert!(said.contains("The alarm is cleared"), "{said}");

        // Another day, with more in it than there is room for.
        world.report(full(None)).await;
        let disarming = world.begins("etcd disarm --yes");
        world.is_ordered_after(Some(&first)).await;
        world.report(full(Some("2100000000 of 2147483648 bytes are still in use: delete objects"))).await;
        let said = told(&disarming.wait_with_output().unwrap(), 1);
        assert!(said.contains("etcd main: 2100000000 of 2147483648 bytes are still in use"), "{said}");
        assert!(
            said.contains("hint: ") && said.contains("windlass validate cluster demo.example.com"),
            "{said}"
        );
        // Validation says it, too.
        let said = world.ends("validate cluster", 2);
        assert!(said.contains("etcd main takes no writes"), "{said}");
        assert!(said.contains("windlass etcd disarm demo.example.com --yes"), "{said}");
    }
}
