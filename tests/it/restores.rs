//! `restore cluster`: what is refused before anything is stopped, and how an order goes on.

mod with_region {
    use std::io::Write as _;
    use std::process::{Child, Output, Stdio};
    use std::time::{Duration, Instant};

    use aws_sdk_ec2::types::Reservation;
    use serde_json::{Value, json};
    use windlass::aws::Clients;
    use windlass::state::bucket::create_bucket;

    use crate::support::region::Region;

    const NAME: &str = "demo.example.com";
    const ID: &str = "2026-11-23T14-05-00Z";
    const BUCKET: &str = "clusters";
    const FOLDER: &str = "team/demo.example.com";
    const ETCD: [&str; 1] = ["main"];

    struct World {
        region: Region,
        clients: Clients,
        home: tempfile::TempDir,
    }

    /// A windlass that runs, until it is dropped.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn digest(bytes: &[u8]) -> Vec<u8> {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref().to_vec()
    }

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }

    /// What etcd would give, compressed, and how it is described.
    fn snapshot() -> (Vec<u8>, Value) {
        let content = vec![7; 4096];
        let whole = [content.clone(), digest(&content)].concat();
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&whole).unwrap();
        let compressed = encoder.finish().unwrap();
        let described = json!({
            "member": "a", "etcdVersion": "3.5.0", "etcdClusterId": "1f", "revision": 70, "keys": 12,
            "sha256": hexadecimal(&digest(&compressed)), "compressedBytes": compressed.len(),
            "bytes": whole.len(),
        });
        (compressed, described)
    }

    impl World {
        /// A region with a cluster of a master.
        async fn new() -> Self {
            let region = Region::start();
            let clients = region.clients().await;
            let world = Self { region, clients, home: tempfile::tempdir().unwrap() };
            world.region.register_image("1.36.3");
            create_bucket(&world.clients, BUCKET, None).await.unwrap();
            world.ends(
                "create cluster --zones us-east-1a --node-count 1 --kubernetes-version 1.36.3 --networking flannel",
                0,
            );
            world.ends("update cluster --yes --create-kube-config=false", 0);
            world
        }

        fn command(&self, line: &str) -> std::process::Command {
            let mut command = self.region.operator(self.home.path(), &format!("s3://{BUCKET}/team"));
            command.args(line.split_whitespace()).args(["--name", NAME]);
            command
        }

        fn ends(&self, line: &str, code: i32) -> String {
            let output: Output = self.command(line).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(code), "{line}: {said}");
            String::from_utf8_lossy(&output.stdout).into_owned() + &said
        }

        fn begins(&self, line: &str) -> Running {
            let mut command = self.command(line);
            let said = std::fs::File::create(self.home.path().join("said")).unwrap();
            Running(command.stdout(Stdio::null()).stderr(said).spawn().unwrap())
        }

        /// What the windlass that was begun last has said.
        fn said(&self) -> String {
            std::fs::read_to_string(self.home.path().join("said")).unwrap()
        }

        async fn put(&self, key: &str, bytes: Vec<u8>) {
            let put = self.clients.s3.put_object().bucket(BUCKET).key(format!("{FOLDER}/{key}"));
            put.body(bytes.into()).send().await.unwrap();
        }

        async fn get(&self, key: &str) -> Option<Value> {
            let get = self.clients.s3.get_object().bucket(BUCKET).key(format!("{FOLDER}/{key}"));
            let bytes = get.send().await.ok()?.body.collect().await.unwrap().into_bytes();
            serde_json::from_slice(&bytes).ok()
        }

        /// Puts a backup there, as a master would, but for what is changed of its description and its files.
        async fn back_up(&self, change: impl Fn(&mut Value, &mut Vec<u8>)) {
            let (mut compressed, snapshot) = snapshot();
            let sha256 = snapshot["sha256"].as_str().unwrap().to_owned();
            let etcd: serde_json::Map<String, Value> =
                ETCD.iter().map(|etcd| ((*etcd).to_owned(), snapshot.clone())).collect();
            let mut description = json!({
                "version": "windlass/v1", "cluster": NAME, "id": ID, "taken": "2026-11-23T14:05:01Z",
                "kubernetesVersion": "1.36.3", "etcd": etcd,
            });
            change(&mut description, &mut compressed);
            for etcd in ETCD {
                let name = windlass_bootstrap::backup::snapshot(etcd, &sha256);
                self.put(&format!("backups/etcd/daily/{ID}/{name}"), compressed.clone()).await;
            }
            let description = serde_json::to_vec(&description).unwrap();
            self.put(&format!("backups/etcd/daily/{ID}/backup.json"), description).await;
        }

        async fn order(&self) -> Option<Value> {
            self.get("control-plane/restore.json").await
        }

        async fn phase_becomes(&self, phase: &str) -> Value {
            let deadline = Instant::now() + Duration::from_mins(2);
            loop {
                let order = self.order().await;
                if let Some(order) = order.as_ref().filter(|order| order["phase"] == phase) {
                    return order.clone();
                }
                assert!(Instant::now() < deadline, "{order:?}: {}", self.said());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }

        async fn master(&self) -> String {
            let answer = self.clients.ec2.describe_instances().send().await.unwrap();
            let mut all = answer.reservations().iter().flat_map(Reservation::instances);
            let is_master = |tag: &aws_sdk_ec2::types::Tag| tag.key() == Some("k8s.io/role/control-plane");
            let master = all.find(|instance| instance.tags().iter().any(is_master));
            master.unwrap().instance_id().unwrap().to_owned()
        }

        async fn answers(&self, generation: u64, what: &str) {
            self.put(&format!("control-plane/etcd/restores/{generation}/{what}.json"), b"{}".to_vec()).await;
        }

        /// The volumes that hold etcd's data, by name.
        async fn volumes(&self) -> Vec<(String, String)> {
            let answer = self.clients.ec2.describe_volumes().send().await.unwrap();
            let name = |volume: &aws_sdk_ec2::types::Volume| {
                let mut tags = volume.tags().iter();
                let tag = tags.find(|tag| tag.key() == Some("Name"))?;
                tag.value().filter(|name| name.contains(".etcd-")).map(str::to_owned)
            };
            let named = answer.volumes().iter();
            let mut named: Vec<(String, String)> = named
                .filter_map(|volume| Some((name(volume)?, volume.volume_id().unwrap().to_owned())))
                .collect();
            named.sort();
            named
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_backup_that_can_not_be_restored_is_refused_by_name_before_anything_is_stopped() {
        let world = World::new().await;
        let refused = |expected: &str| {
            let said = world.ends("restore cluster --yes", 1);
            assert!(said.contains(expected), "{expected}: {said}");
            assert!(expected == "no backup" || said.contains(ID), "{said}");
        };
        refused("no backup");
        world.back_up(|_, bytes| bytes[100] ^= 1).await;
        refused("has the SHA-256");
        world.back_up(|_, bytes| bytes.truncate(50)).await;
        refused("has 50 bytes instead of");
        world.back_up(|description, _| description["cluster"] = json!("other.example.com")).await;
        refused("is of the cluster `other.example.com`");
        world.back_up(|description, _| description["kubernetesVersion"] = json!("1.37.0")).await;
        refused("is of Kubernetes 1.37.0");
        world.back_up(|description, _| description["etcd"]["main"]["etcdVersion"] = json!("4.0.0")).await;
        refused("is of etcd main 4.0.0");
        world.back_up(|it, _| it["etcd"] = json!({"other": it["etcd"]["main"]})).await;
        refused("is of the etcd clusters other");
        assert_eq!(world.order().await, None, "nothing was stopped");

        world.back_up(|_, _| {}).await;
        let said = world.ends("restore cluster --backup 2026-11-23T14:06", 0);
        for part in [
            "restore demo.example.com from the backup",
            ID,
            "etcd main: 12 keys at revision 70",
            "nobody has tried",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(said.contains("Nothing was stopped.") && said.contains("--yes"), "{said}");
        let said = world.ends("restore cluster --yes --backup 2026-11-23T14:04", 1);
        assert!(said.contains("no backup of 2026-11-23T14:04:00Z or before"), "{said}");
        assert_eq!(world.order().await, None);
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "starts the emulated region"]
    async fn a_restore_goes_on_when_masters_have_answered_and_after_it_was_killed() {
        let world = World::new().await;
        world.back_up(|_, _| {}).await;
        let before = world.volumes().await;
        assert_eq!(before.len(), ETCD.len(), "{before:?}");
        // The master has answered that it had begun its etcd, and then its volume was lost.
        let (name, lost) = before[0].clone();
        assert_eq!(name, "a.etcd-main.demo.example.com");
        world.put("control-plane/etcd/main/a.json", b"{}".to_vec()).await;
        let master = world.master().await;
        let detached = world.clients.ec2.detach_volume().volume_id(&lost).force(true).send().await;
        drop(detached);
        world.clients.ec2.delete_volume().volume_id(&lost).send().await.unwrap();
        let said = world.ends("update cluster --yes --create-kube-config=false", 1);
        assert!(said.contains("a new volume would be blank") && said.contains("windlass restore"), "{said}");
        let said = world.ends("restore cluster", 0);
        assert!(said.contains(&format!("make the volume {name} anew")), "{said}");

        let running = world.begins("restore cluster --yes");
        let order = world.phase_becomes("stop").await;
        assert_eq!((&order["generation"], &order["backup"]), (&json!(1), &json!(ID)));
        assert_eq!(order["etcd"]["main"]["members"].as_object().unwrap().len(), 1);
        let deadline = Instant::now() + Duration::from_mins(1);
        while world.volumes().await.len() < ETCD.len() {
            assert!(Instant::now() < deadline, "the volume never came: {}", world.said());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        // It is killed, and whoever runs it again waits for the same order.
        drop(running);
        world.ends("edit instancegroup nodes-us-east-1a --set spec.maxSize=3", 0);
        let said = world.ends("update cluster --yes --create-kube-config=false", 1);
        assert!(said.contains("is being restored") && said.contains("hint: `windlass restore"), "{said}");
        let said = world.ends("restore cluster --yes --backup latest", 1);
        assert!(said.contains("is being restored from the backup"), "{said}");
        let running = world.begins("restore cluster --yes");
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(world.order().await.unwrap()["phase"], "stop", "a master runs that hasn't answered");
        world.answers(1, &format!("stopped/{master}")).await;
        world.phase_becomes("restore").await;
        let said = world.ends("restore cluster --give-up", 4);
        assert!(said.contains("restore cluster"), "somebody restores it: {said}");
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(world.order().await.unwrap()["phase"], "restore", "nothing is restored yet");
        world.answers(1, "restored/main/a").await;
        let done = world.phase_becomes("done").await;
        assert_eq!(done["generation"], 1);
        drop(running);
        // The next one is another restore.
        let running = world.begins("restore cluster --yes");
        assert_eq!(world.phase_becomes("stop").await["generation"], 2);
        drop(running);
        let said = world.ends("restore cluster --give-up", 0);
        assert!(said.contains("Gave up the restore"), "{said}");
        assert_eq!(world.order().await.unwrap()["phase"], "abandoned");
    }
}
