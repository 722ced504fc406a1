//! Takes a member that has lost its volume into the real etcd again.

#![expect(clippy::unwrap_used, reason = "what a test stands on may fail the test")]

mod etcd;
mod programs;

/// Tests that start the real programs, which `tests/kubernetes/build` makes.
mod with_kubernetes {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
    use serde_json::Value;
    use windlass_bootstrap::config::{EtcdConfig, EtcdPorts};
    use windlass_bootstrap::control_plane::etcd_members::{join, promote};
    use windlass_bootstrap::host::{Host, root};
    use windlass_bootstrap::storage::etcd_data;

    use super::etcd::{Begin, KEPT, Member, free_ports};

    const NAMES: [&str; 3] = ["a", "b", "c"];

    /// Masters whose etcd holds [`KEPT`].
    struct World {
        folder: tempfile::TempDir,
        ports: EtcdPorts,
        /// Those that were added when the others lived.
        joining: &'static [&'static str],
        running: BTreeMap<String, Member>,
    }

    impl World {
        fn new() -> Self {
            Self::with(&[])
        }

        fn with(joining: &'static [&'static str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut world = Self { folder, ports: free_ports(), joining, running: BTreeMap::new() };
            let issuer = authority();
            for name in NAMES {
                let host = world.host(name);
                let secrets = host.path(root::SECRETS);
                std::fs::create_dir_all(secrets.join("etcd")).unwrap();
                std::fs::create_dir_all(secrets.join("kube-apiserver")).unwrap();
                std::fs::create_dir_all(world.mount(name).join("data")).unwrap();
                std::fs::write(secrets.join("etcd/ca.crt"), issuer.pem()).unwrap();
                issue(&issuer, &secrets.join("etcd/server"));
                issue(&issuer, &secrets.join("kube-apiserver/etcd-client"));
                if !joining.contains(&name) {
                    world.start(name, None);
                }
            }
            for key in KEPT {
                world.member("a").put(key);
            }
            world
        }

        fn host(&self, name: &str) -> Host {
            Host::folder(self.folder.path().join(name))
        }

        fn mount(&self, name: &str) -> PathBuf {
            self.host(name).path(etcd_data::mount_point("main"))
        }

        fn config(&self, name: &str) -> EtcdConfig {
            let address = |last| Ipv4Addr::new(127, 0, 0, last);
            let members = NAMES.iter().zip(2..).map(|(name, last)| ((*name).to_owned(), address(last)));
            EtcdConfig {
                name: "main".into(),
                member: name.into(),
                members: members.collect(),
                joining: self.joining.iter().map(|name| (*name).to_owned()).collect(),
                version: "3.6.0".into(),
                ports: self.ports,
                ..EtcdConfig::default()
            }
        }

        fn start(&mut self, name: &str, joins: Option<String>) {
            let credentials = Some(self.host(name).path(root::SECRETS).join("etcd"));
            let member = Member::start(&self.mount(name), &self.config(name), &Begin { joins, credentials });
            self.running.insert(name.to_owned(), member);
        }

        fn member(&self, name: &str) -> &Member {
            &self.running[name]
        }

        fn kill(&mut self, name: &str) {
            drop(self.running.remove(name).unwrap());
        }

        /// A member dies, and with it what it has written.
        fn lose(&mut self, name: &str) {
            self.kill(name);
            std::fs::remove_dir_all(self.mount(name).join("data")).unwrap();
            std::fs::create_dir_all(self.mount(name).join("data")).unwrap();
        }

        /// What the agent of a master does whose volume is blank, until its member votes.
        async fn bring_back(&mut self, name: &str) {
            let joins = self.join(name).await;
            self.start(name, Some(joins));
            self.promote(name).await;
        }

        async fn join(&self, name: &str) -> String {
            let (host, etcd) = (self.host(name), self.config(name));
            until(&format!("{name} joins"), async || join(&host, &etcd).await).await
        }

        async fn promote(&self, name: &str) {
            let (host, etcd) = (self.host(name), self.config(name));
            until(&format!("{name} votes"), async || promote(&host, &etcd).await).await;
            assert!(!promote(&host, &etcd).await.unwrap(), "there is nothing left to do");
        }

        /// The members by name, as one of them lists them, each with its id and whether it only learns.
        fn listed(&self, by: &str) -> BTreeMap<String, (u64, bool)> {
            let said = self.member(by).run(&["member", "list", "--write-out=json"]);
            let said: Value = serde_json::from_str(&said).unwrap();
            let of = |member: &Value| {
                let name = member.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
                (name, (member["ID"].as_u64().unwrap(), member["isLearner"].as_bool().unwrap_or(false)))
            };
            said["members"].as_array().unwrap().iter().map(of).collect()
        }

        /// One cluster of three that vote and hold the same.
        async fn check_whole(&self, expected: &[&str]) {
            let cluster = self.member("a").header().0;
            for name in NAMES {
                let member = self.member(name);
                until(&format!("{name} has caught up"), async || {
                    let keys = member.keys();
                    if keys == expected { Ok(()) } else { Err(format!("{keys:?}")) }
                })
                .await;
                assert_eq!(member.header().0, cluster, "{name}");
            }
            let listed = self.listed("a");
            assert_eq!(listed.keys().collect::<Vec<_>>(), NAMES.iter().collect::<Vec<_>>());
            assert!(listed.values().all(|(_, learns)| !learns), "{listed:?}");
        }
    }

    async fn until<T, E: std::fmt::Debug>(what: &str, mut attempt: impl AsyncFnMut() -> Result<T, E>) -> T {
        let begun = Instant::now();
        loop {
            match attempt().await {
                Ok(done) => return done,
                Err(error) if begun.elapsed() > Duration::from_mins(1) => panic!("{what}: never; {error:?}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    fn authority() -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "etcd-ca");
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    /// A certificate for a server and for a client, on any master: `.crt` and `.key` of this path.
    fn issue(issuer: &CertifiedIssuer<'static, KeyPair>, path: &Path) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        // Connections on the loopback come from its first address, whichever they go to.
        params.subject_alt_names =
            (1..5).map(|last| SanType::IpAddress(Ipv4Addr::new(127, 0, 0, last).into())).collect();
        let certificate = params.signed_by(&key, issuer).unwrap();
        std::fs::write(path.with_extension("crt"), certificate.pem()).unwrap();
        std::fs::write(path.with_extension("key"), key.serialize_pem()).unwrap();
    }

    fn and(key: &str) -> Vec<&str> {
        [&KEPT[..], &[key]].concat()
    }

    #[tokio::test]
    #[ignore = "needs etcd's programs"]
    async fn a_member_that_lost_its_volume_comes_back_under_another_id_and_the_cluster_stays_the_same() {
        let mut world = World::new();
        let (cluster, _) = world.member("a").header();
        let before = world.listed("a");
        world.lose("c");
        world.member("a").put("/registry/while-it-was-away");
        world.bring_back("c").await;
        world.check_whole(&and("/registry/while-it-was-away")).await;
        let after = world.listed("a");
        assert_eq!((before["a"], before["b"]), (after["a"], after["b"]));
        assert_ne!(before["c"].0, after["c"].0);
        assert_eq!(world.member("a").header().0, cluster);
        // It counts again: without another one, there is a majority.
        world.kill("a");
        world.member("c").put("/registry/d");
    }

    #[tokio::test]
    #[ignore = "needs etcd's programs"]
    async fn one_after_the_other_every_member_may_lose_its_volume() {
        let mut world = World::new();
        for name in NAMES {
            world.lose(name);
            world.bring_back(name).await;
        }
        world.check_whole(&KEPT).await;
    }

    #[tokio::test]
    #[ignore = "needs etcd's programs"]
    async fn a_member_that_was_killed_while_it_joined_goes_on() {
        for killed_after in ["remove", "add", "order", "start", "promote"] {
            let mut world = World::new();
            world.lose("c");
            let own = format!("{:x}", world.listed("a")["c"].0);
            let a = world.member("a");
            a.run(&["member", "remove", &own]);
            if killed_after != "remove" {
                let peer_url = format!("--peer-urls=https://127.0.0.4:{}", world.ports.peer);
                a.run(&["member", "add", "c", &peer_url, "--learner"]);
            }
            if ["remove", "add"].contains(&killed_after) {
                world.bring_back("c").await;
                world.check_whole(&KEPT).await;
                continue;
            }
            let joins = world.join("c").await;
            if killed_after == "order" {
                assert_eq!(world.join("c").await, joins, "the same, by whom begins again");
            }
            world.start("c", Some(joins.clone()));
            if killed_after == "promote" {
                let learns = until("it learns", async || match world.listed("a").get("c") {
                    Some((id, true)) => Ok(format!("{id:x}")),
                    other => Err(format!("{other:?}")),
                });
                let id = learns.await;
                world.member("a").run(&["member", "promote", &id]);
            }
            // A learner is not alone either when it starts again.
            world.kill("c");
            world.start("c", Some(joins));
            world.promote("c").await;
            world.check_whole(&KEPT).await;
        }
    }

    #[tokio::test]
    #[ignore = "needs etcd's programs"]
    async fn without_a_majority_nobody_is_removed() {
        let mut world = World::new();
        let before = world.listed("a");
        world.lose("c");
        world.kill("b");
        let error = join(&world.host("c"), &world.config("c")).await.unwrap_err().to_string();
        assert!(error.contains("quorum"), "{error}");
        world.start("b", None);
        assert_eq!(world.listed("a"), before);
        world.bring_back("c").await;
        world.check_whole(&KEPT).await;
    }

    #[tokio::test]
    #[ignore = "needs etcd's programs"]
    async fn members_that_are_added_to_one_that_lives_are_taken_in_one_after_the_other() {
        let mut world = World::with(&["b", "c"]);
        let (cluster, _) = world.member("a").header();
        // Both masters boot at once, and neither knows which comes first.
        let once = async |name: &str| join(&world.host(name), &world.config(name)).await;
        let (first, second) = tokio::join!(once("b"), once("c"));
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        for name in if first.is_ok() { ["b", "c"] } else { ["c", "b"] } {
            world.bring_back(name).await;
        }
        world.check_whole(&KEPT).await;
        assert_eq!(world.member("a").header().0, cluster);
        world.kill("a");
        world.member("b").put("/registry/d");
    }

    #[tokio::test]
    #[ignore = "needs etcd's programs"]
    async fn nobody_is_taken_in_while_another_one_learns() {
        let mut world = World::new();
        world.lose("c");
        let joins = world.join("c").await;
        // It was told to start, and hasn't yet: of two that vote, both are needed.
        world.start("c", Some(joins));
        let learns = async || match world.listed("a").get("c") {
            Some((_, true)) => Ok(()),
            other => Err(format!("{other:?}")),
        };
        until("it learns", learns).await;
        let error = join(&world.host("b"), &world.config("b")).await.unwrap_err().to_string();
        assert!(error.contains("c is joining"), "{error}");
        world.promote("c").await;
        world.check_whole(&KEPT).await;
    }
}
