//! Fills the real etcd, sees its alarm, and clears it; and defragments its members one after the other.

#![expect(clippy::unwrap_used, reason = "what a test stands on may fail the test")]

mod programs;

/// Tests that start the real programs, which `tests/kubernetes/build` makes.
mod with_kubernetes {
    use std::collections::BTreeMap;
    use std::net::Ipv4Addr;
    use std::process::{Child, Command, Stdio};
    use std::sync::Mutex;
    use std::time::Duration;

    use etcd_client::{Client, CompactionOptions};
    use jiff::{SignedDuration, Timestamp};
    use windlass_bootstrap::config::{CONFIG_VERSION, EtcdConfig, EtcdPorts};
    use windlass_bootstrap::control_plane::etcd_client::EtcdClientError;
    use windlass_bootstrap::control_plane::etcd_upkeep::{Keeper, Reach, UpkeepError};
    use windlass_bootstrap::etcd_upkeep::{AlarmKind, Order};

    use super::programs::program;

    const MIB: usize = 1 << 20;
    /// How large databases may become here.
    const QUOTA: usize = 64 * MIB;

    /// A process that ends with the test.
    struct Running(Child);

    impl Drop for Running {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// An etcd cluster whose members run.
    struct World {
        _folder: tempfile::TempDir,
        processes: BTreeMap<String, Running>,
        config: EtcdConfig,
        order: Mutex<Option<Order>>,
    }

    impl World {
        async fn start(names: &[&str]) -> Self {
            let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let ports = EtcdPorts { client: free(), peer: free(), metrics: free() };
            // None of them is 127.0.0.1, which stands for whoever asks.
            let members = names.iter().zip(1..).map(|(name, last)| {
                let name: &str = name;
                (name.to_owned(), Ipv4Addr::new(127, 0, 1, last))
            });
            let members: BTreeMap<String, Ipv4Addr> = members.collect();
            let config = EtcdConfig {
                name: "main".to_owned(),
                members: members.clone(),
                ports,
                ..EtcdConfig::default()
            };
            let folder = tempfile::tempdir().unwrap();
            let peer = |address: &Ipv4Addr| format!("http://{address}:{}", ports.peer);
            let all: Vec<String> =
                members.iter().map(|(name, address)| format!("{name}={}", peer(address))).collect();
            let start = |(name, address): (&String, &Ipv4Addr)| {
                let client = format!("http://{address}:{}", ports.client);
                let log = std::fs::File::create(folder.path().join(format!("{name}.log"))).unwrap();
                let process = Command::new(program("etcd"))
                    .args([format!("--name={name}"), format!("--quota-backend-bytes={QUOTA}")])
                    .arg(format!("--data-dir={}", folder.path().join(name).display()))
                    .args([
                        format!("--listen-client-urls={client}"),
                        format!("--advertise-client-urls={client}"),
                    ])
                    .arg(format!("--listen-peer-urls={}", peer(address)))
                    .arg(format!("--initial-advertise-peer-urls={}", peer(address)))
                    .arg(format!("--initial-cluster={}", all.join(",")))
                    .stdin(Stdio::null())
                    .stdout(log.try_clone().unwrap())
                    .stderr(log)
                    .spawn();
                (name.clone(), Running(process.unwrap()))
            };
            let processes = members.iter().map(start).collect();
            let world = Self { _folder: folder, processes, config, order: Mutex::default() };
            for name in names {
                world.leader_as_seen_by(name).await;
            }
            world
        }

        /// A master's keeper, and how it reaches members.
        fn master(&self, member: &str) -> (Keeper, Master<'_>) {
            let config = EtcdConfig { member: member.to_owned(), ..self.config.clone() };
            (Keeper::of(config), Master { world: self, own: self.config.members[member] })
        }

        async fn client(&self, member: &str) -> Client {
            connect(self.config.members[member], self.config.ports.client).await.unwrap()
        }

        /// Waits until a member knows its leader; returns that one's name.
        async fn leader_as_seen_by(&self, member: &str) -> String {
            for _ in 0..300 {
                if let Ok(mut client) = connect(self.config.members[member], self.config.ports.client).await
                    && let Ok(status) = client.status().await
                    && status.leader() != 0
                {
                    let members = client.member_list().await.unwrap();
                    let leader = members.members().iter().find(|it| it.id() == status.leader());
                    return leader.unwrap().name().to_owned();
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            panic!("{member} has no leader");
        }

        /// How many MiB each member's file has.
        async fn sizes(&self) -> BTreeMap<String, i64> {
            let mut sizes = BTreeMap::new();
            for name in self.processes.keys() {
                let size = self.client(name).await.status().await.unwrap().db_size();
                sizes.insert(name.clone(), size / 1024 / 1024);
            }
            sizes
        }

        /// Writes one key until files are nearly full, and forgets all but its last value.
        async fn write_and_compact(&self, client: &mut Client) {
            let mut revision = 0;
            while client.status().await.unwrap().db_size() < (QUOTA * 85 / 100).try_into().unwrap() {
                let put = client.put("same", vec![b'x'; MIB], None).await.unwrap();
                revision = put.header().unwrap().revision();
            }
            let physical = CompactionOptions::new().with_physical();
            client.compact(revision, Some(physical)).await.unwrap();
            // Followers compact a moment later.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }

        fn order(&self, ordered: Timestamp) {
            let (version, cluster, by) = (CONFIG_VERSION.to_owned(), "demo".to_owned(), "me".to_owned());
            *self.order.lock().unwrap() = Some(Order { version, cluster, ordered, by });
        }
    }

    async fn connect(address: Ipv4Addr, port: u16) -> Result<Client, etcd_client::Error> {
        Client::connect([format!("http://{address}:{port}")], None).await
    }

    struct Master<'a> {
        world: &'a World,
        own: Ipv4Addr,
    }

    impl Reach for Master<'_> {
        async fn connect(&self, etcd: &EtcdConfig, address: Ipv4Addr) -> Result<Client, EtcdClientError> {
            let address = if address == Ipv4Addr::LOCALHOST { self.own } else { address };
            connect(address, etcd.ports.client).await.map_err(|source| EtcdClientError::Connect {
                etcd: etcd.name.clone(),
                endpoints: address.to_string(),
                source: Box::new(source),
            })
        }

        async fn order(&self) -> Result<Option<Order>, UpkeepError> {
            Ok(self.world.order.lock().unwrap().clone())
        }
    }

    /// Writes until etcd takes no more.
    async fn fill(client: &mut Client, key: impl Fn(usize) -> String) {
        for number in 0..200 {
            if let Err(error) = client.put(key(number), vec![b'x'; MIB], None).await {
                assert!(error.to_string().contains("database space exceeded"), "{error}");
                return;
            }
        }
        panic!("it never became full");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs Kubernetes' programs"]
    async fn a_full_etcd_is_seen_and_is_cleared_by_an_order_and_by_nothing_else() {
        let world = World::start(&["a"]).await;
        let (mut keeper, reach) = world.master("a");
        keeper.round(&reach).await.unwrap();
        assert_eq!(keeper.alarms, []);
        let mut client = world.client("a").await;
        fill(&mut client, |_| "same".to_owned()).await;

        // One of yesterday is none.
        world.order(Timestamp::now() - SignedDuration::from_hours(24));
        for _ in 0..2 {
            keeper.round(&reach).await.unwrap();
            let [alarm] = keeper.alarms.as_slice() else { panic!("{:?}", keeper.alarms) };
            assert_eq!(
                (alarm.etcd.as_str(), alarm.member.as_str(), alarm.kind),
                ("main", "a", AlarmKind::NoSpace)
            );
            assert_eq!(alarm.quota, QUOTA as u64);
            assert_eq!(alarm.note, None);
        }
        client.put("other", "value", None).await.unwrap_err();

        world.order(Timestamp::now());
        keeper.round(&reach).await.unwrap();
        assert_eq!(keeper.alarms, []);
        client.put("other", "value", None).await.unwrap();
        assert!(world.sizes().await["a"] < 4, "{:?}", world.sizes().await);
        assert_eq!(client.get("same", None).await.unwrap().kvs()[0].value().len(), MIB);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs Kubernetes' programs"]
    async fn where_all_is_in_use_the_alarm_stays_until_something_is_deleted_and_it_is_ordered_again() {
        let world = World::start(&["a"]).await;
        let (mut keeper, reach) = world.master("a");
        let mut client = world.client("a").await;
        // The first time, some of the file may be free: then there is room, until it is filled again.
        let begun = Timestamp::now();
        let mut times = 0;
        while keeper.alarms.is_empty() {
            assert!(times < 5, "there is always room");
            fill(&mut client, |number| format!("key-{times}-{number:03}")).await;
            world.order(begun + SignedDuration::from_millis(times));
            keeper.round(&reach).await.unwrap();
            times += 1;
        }
        keeper.round(&reach).await.unwrap();
        let note = keeper.alarms[0].note.clone().unwrap();
        assert!(note.contains("bytes are still in use: delete objects"), "{note}");
        client.put("other", "value", None).await.unwrap_err();
        for number in 0..40 {
            client.delete(format!("key-0-{number:03}"), None).await.unwrap();
        }
        world.order(begun + SignedDuration::from_millis(times));
        keeper.round(&reach).await.unwrap();
        assert_eq!(keeper.alarms, []);
        client.put("other", "value", None).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "needs Kubernetes' programs"]
    async fn members_are_defragmented_one_in_a_round_with_the_leader_last_and_none_while_one_is_missing() {
        let mut world = World::start(&["a", "b", "c"]).await;
        let leader = world.leader_as_seen_by("a").await;
        let mut client = world.client(&leader).await;
        world.write_and_compact(&mut client).await;
        let is_large = |size: &i64| *size > 51;
        assert!(world.sizes().await.values().all(is_large), "{:?}", world.sizes().await);

        let follower = world.processes.keys().find(|name| **name != leader).unwrap().clone();
        let (mut keeper, reach) = world.master(&follower);
        keeper.round(&reach).await.unwrap();
        assert!(world.sizes().await.values().all(is_large), "who doesn't lead does nothing");

        let (mut keeper, reach) = world.master(&leader);
        for small in 1..=3 {
            keeper.round(&reach).await.unwrap();
            let sizes = world.sizes().await;
            assert_eq!(sizes.values().filter(|size| **size < 10).count(), small, "{sizes:?}");
            assert_eq!(sizes[&leader] < 10, small == 3, "the leader is the last: {sizes:?}");
        }

        // Again so large, and one member gone.
        world.write_and_compact(&mut client).await;
        world.processes.remove(&follower);
        let (mut keeper, reach) = world.master(&leader);
        keeper.round(&reach).await.unwrap_err();
        assert!(world.sizes().await.values().all(is_large), "{:?}", world.sizes().await);
    }
}
