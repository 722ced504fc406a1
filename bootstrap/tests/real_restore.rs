//! Restores with the real etcdutl what the real etcd wrote, and starts etcd from it.

#![expect(clippy::unwrap_used, reason = "what a test stands on may fail the test")]

mod etcd;
mod programs;

/// Tests that start the real programs, which `tests/kubernetes/build` makes.
mod with_kubernetes {
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::net::Ipv4Addr;
    use std::path::PathBuf;
    use std::process::Command;
    use std::time::Duration;

    use windlass_bootstrap::aws::state::sha256;
    use windlass_bootstrap::backup::{Class, Snapshot};
    use windlass_bootstrap::config::{CONFIG_VERSION, EtcdConfig, EtcdPorts};
    use windlass_bootstrap::control_plane::restore::data::Place;
    use windlass_bootstrap::restore::{Order, Phase, Source};
    use windlass_bootstrap::storage::restore_order::generation;

    use super::etcd::{Begin, KEPT, Member, free_ports};
    use super::programs::program;

    /// By how much revisions grow.
    const BUMP: i64 = 1_000_000_000;

    /// A cluster's etcd that was begun on one member and has gone on after its backup.
    struct World {
        folder: tempfile::TempDir,
        order: Order,
        ports: EtcdPorts,
        former: u64,
        revision: i64,
    }

    impl World {
        fn new(members: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let ports = free_ports();
            let alone: BTreeMap<String, Ipv4Addr> = [("a".to_owned(), Ipv4Addr::LOCALHOST)].into();
            let mount = folder.path().join("a");
            std::fs::create_dir_all(&mount).unwrap();
            let etcd = Member::start(&mount, &config("a", &alone, ports), &Begin::default());
            for key in KEPT {
                etcd.put(key);
            }
            let (former, revision) = etcd.header();
            let saved = folder.path().join("saved.db");
            etcd.run(&["snapshot", "save", saved.to_str().unwrap()]);
            etcd.put("/registry/after-the-backup");
            drop(etcd);
            let whole = std::fs::read(&saved).unwrap();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&whole).unwrap();
            let compressed = encoder.finish().unwrap();
            let snapshot = Snapshot {
                member: "a".into(),
                etcd_version: "3.6.0".into(),
                etcd_cluster_id: format!("{former:x}"),
                revision,
                keys: 3,
                sha256: sha256(&compressed),
                compressed_bytes: compressed.len() as u64,
                bytes: whole.len() as u64,
            };
            std::fs::write(folder.path().join("main.gz"), compressed).unwrap();
            let members = members
                .iter()
                .zip(1..)
                .map(|(name, last)| ((*name).to_owned(), Ipv4Addr::new(127, 0, 0, last)));
            let source = Source { key: "main.gz".into(), snapshot, members: members.collect() };
            let order = Order {
                version: CONFIG_VERSION.into(),
                cluster: "demo.example.com".into(),
                generation: 1,
                backup: "2026-11-23T14-00-00Z".parse().unwrap(),
                class: Class::Daily,
                phase: Phase::Restore,
                etcd: [("main".to_owned(), source)].into(),
                ordered: jiff::Timestamp::UNIX_EPOCH,
                by: "somebody".into(),
            };
            Self { folder, order, ports, former, revision }
        }

        fn mount(&self, member: &str) -> PathBuf {
            let mount = self.folder.path().join(member);
            std::fs::create_dir_all(&mount).unwrap();
            mount
        }

        fn config(&self, member: &str) -> EtcdConfig {
            config(member, &self.order.etcd["main"].members, self.ports)
        }

        /// Restores a member, and is killed after so many of the things that are done.
        async fn restore_until(&self, member: &str, steps: usize) {
            let (mount, etcd) = (self.mount(member), self.config(member));
            let place = Place::begin(&mount, &self.order, &etcd, &self.order.etcd["main"]).unwrap();
            if steps == 0 {
                return;
            }
            std::fs::copy(self.folder.path().join("main.gz"), place.compressed()).unwrap();
            place.expand().await.unwrap();
            if steps == 1 {
                return;
            }
            let etcdutl = Command::new(program("etcdutl")).args(place.arguments()).output().unwrap();
            assert!(etcdutl.status.success(), "{etcdutl:?}");
            if steps == 2 {
                return;
            }
            place.complete().unwrap();
            if steps == 3 {
                return;
            }
            if steps == 4 {
                return place.set_aside().unwrap();
            }
            place.put_in_place().unwrap();
        }

        async fn restore(&self, member: &str) {
            self.restore_until(member, usize::MAX).await;
        }

        fn generation(&self, member: &str) -> u64 {
            generation(&self.mount(member).join("data")).unwrap()
        }

        fn start(&self, member: &str) -> Member {
            Member::start(&self.mount(member), &self.config(member), &Begin::default())
        }
    }

    fn config(member: &str, members: &BTreeMap<String, Ipv4Addr>, ports: EtcdPorts) -> EtcdConfig {
        EtcdConfig {
            name: "main".into(),
            member: member.into(),
            members: members.clone(),
            version: "3.6.0".into(),
            ports,
            ..EtcdConfig::default()
        }
    }

    #[tokio::test]
    #[ignore = "needs etcd's programs"]
    async fn a_lone_member_has_what_the_backup_has_at_a_later_revision_and_what_it_had_is_kept_beside() {
        let world = World::new(&["a"]);
        world.restore("a").await;
        let etcd = world.start("a");
        assert_eq!(etcd.keys(), KEPT);
        let (cluster, revision) = etcd.header();
        assert_ne!(cluster, world.former, "it is another cluster");
        assert!(revision >= world.revision + BUMP, "{revision}");
        // Whoever watches from a revision of before is told so.
        let watch = ["get", "/registry/a", "--rev", &(world.revision + 1).to_string()];
        let said = etcd.try_run(&watch).unwrap_err();
        assert!(said.contains("compacted"), "{said}");
        etcd.put("/registry/d");
        assert!(world.mount("a").join("data.before-1/member/wal").is_dir());
        assert!(!world.mount("a").join("restore").exists());
    }

    #[tokio::test]
    #[ignore = "needs etcd's programs"]
    async fn a_restore_that_was_killed_at_any_moment_is_done_by_the_next() {
        for killed_after in 0..=5 {
            let world = World::new(&["a"]);
            world.restore_until("a", killed_after).await;
            let was_done = world.generation("a") == 1;
            assert_eq!(was_done, killed_after == 5, "{killed_after}");
            if !was_done {
                world.restore("a").await;
            }
            assert_eq!(world.generation("a"), 1, "{killed_after}");
            let kept = generation(&world.mount("a").join("data.before-1")).unwrap();
            assert_eq!(kept, 0, "{killed_after}: what was there first is kept");
            assert!(!world.mount("a").join("data.before-1.1").exists(), "{killed_after}");
            assert_eq!(world.start("a").keys(), KEPT, "{killed_after}");
        }
    }

    #[tokio::test]
    #[ignore = "needs etcd's programs"]
    async fn three_members_of_one_snapshot_are_one_cluster_and_one_that_is_late_follows() {
        let world = World::new(&["a", "b", "c"]);
        for member in ["a", "b"] {
            world.restore(member).await;
        }
        let (a, b) = (world.start("a"), world.start("b"));
        a.put("/registry/while-one-was-away");
        let (cluster, revision) = a.header();
        assert!(revision > BUMP);
        assert_eq!(b.header().0, cluster);
        world.restore("c").await;
        let c = world.start("c");
        let expected = [&KEPT[..], &["/registry/while-one-was-away"]].concat();
        for _ in 0..100 {
            if c.keys() == expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(c.keys(), expected);
        assert_eq!(c.header().0, cluster);
        let said = c.run(&["endpoint", "health", "--cluster"]);
        assert_eq!(said.matches("is healthy").count(), 3, "{said}");
    }

    #[tokio::test]
    #[ignore = "needs etcd's programs"]
    async fn bits_that_flipped_on_the_way_are_not_restored_and_the_data_is_left_alone() {
        let world = World::new(&["a"]);
        let file = world.folder.path().join("main.gz");
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let (mount, etcd) = (world.mount("a"), world.config("a"));
        let place = Place::begin(&mount, &world.order, &etcd, &world.order.etcd["main"]).unwrap();
        std::fs::copy(&file, place.compressed()).unwrap();
        let error = place.expand().await.unwrap_err().to_string();
        assert!(error.contains("SHA-256"), "{error}");
        assert!(mount.join("data/member/wal").is_dir() && !mount.join("data.before-1").exists());
    }
}
