use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::aws::state::{StateStore, sha256};
use crate::contract::backup::{Class as Kept, Snapshot};
use crate::contract::restore::Phase;
use crate::host::file;
use crate::kubernetes::manifests::static_pod;
use crate::progress::retry::chain;
use crate::testing;

const KEY: &str = "demo/backups/etcd/daily/2026-11-23T14-00-00Z/main.gz";

/// A lone master whose state has a backup.
struct Master {
    folder: tempfile::TempDir,
    agent: Agent,
    snapshot: Snapshot,
}

impl Master {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = testing::master_config();
        let images = &mut config.control_plane.as_mut().unwrap().images;
        images.insert("etcd".to_owned(), "registry.k8s.io/etcd:3.6.16-0".to_owned());
        let agent = testing::agent(folder.path(), config).await;
        let content = b"what etcd has written".to_vec();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
        let whole = [&content, digest.as_ref()].concat();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&whole).unwrap();
        let compressed = encoder.finish().unwrap();
        let snapshot = Snapshot {
            member: "a".into(),
            etcd_version: "3.6.16".into(),
            etcd_cluster_id: "1".into(),
            revision: 7,
            keys: 3,
            sha256: sha256(&compressed),
            compressed_bytes: compressed.len() as u64,
            bytes: whole.len() as u64,
        };
        agent.store.put(KEY, compressed).await.unwrap();
        std::fs::create_dir_all(agent.host.path("/var/lib/etcd-main")).unwrap();
        Self { folder, agent, snapshot }
    }

    fn control_plane(&self) -> &ControlPlaneConfig {
        self.agent.config.control_plane.as_ref().unwrap()
    }

    async fn order(&self, generation: u64, phase: Phase) -> Order {
        let members = [("a".to_owned(), Ipv4Addr::new(172, 20, 32, 10))].into();
        let source = Source { key: KEY.into(), snapshot: self.snapshot.clone(), members };
        let order = Order {
            version: CONFIG_VERSION.into(),
            cluster: "demo".into(),
            generation,
            backup: "2026-11-23T14-00-00Z".parse().unwrap(),
            class: Kept::Daily,
            phase,
            etcd: [("main".to_owned(), source)].into(),
            ordered: Timestamp::UNIX_EPOCH,
            by: "somebody".into(),
        };
        let bytes = serde_json::to_vec(&order).unwrap();
        self.agent.store.put(&keys::restore_order("demo"), bytes).await.unwrap();
        order
    }

    fn log(&self) -> std::path::PathBuf {
        etcd_data::folder(&self.agent.host, "main").join("member/wal/0.wal")
    }

    fn has_data(&self, what: &str) {
        std::fs::create_dir_all(self.log().parent().unwrap()).unwrap();
        std::fs::write(self.log(), what).unwrap();
    }

    async fn ensure(&self) -> Result<bool, RestoreError> {
        ensure(&self.agent, self.control_plane()).await
    }

    /// What the step does once the containers are gone, with another etcdutl.
    async fn restore(&self, order: &Order) -> Result<(), RestoreError> {
        let etcd = &self.control_plane().etcd;
        restore_each(&self.agent, order, &[etcd], async |arguments| {
            let data = arguments.iter().find_map(|it| it.strip_prefix("--data-dir=")).unwrap();
            let log = Path::new(data).join("member/wal");
            std::fs::create_dir_all(&log).unwrap();
            std::fs::write(log.join("0.wal"), "restored").unwrap();
            Ok(())
        })
        .await
    }

    async fn has(&self, key: &str) -> bool {
        self.agent.store.get(key).await.unwrap().is_some()
    }

    fn pods(&self) -> Vec<&'static str> {
        let all = ["kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler", "kube-proxy"];
        all.into_iter().filter(|name| static_pod(&self.agent.host, name).exists()).collect()
    }
}

#[tokio::test]
async fn while_others_stop_nothing_runs_and_the_data_is_left_alone() {
    let master = Master::new().await;
    master.has_data("of before");
    for name in ["kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler"] {
        file::ensure(&static_pod(&master.agent.host, name), "pod", file::PRIVATE).unwrap();
    }
    master.order(1, Phase::Stop).await;
    for _ in 0..2 {
        let error = master.ensure().await.unwrap_err();
        assert_eq!(error.class(), Class::Waiting);
        assert!(error.to_string().contains("2026-11-23T14-00-00Z"), "{error}");
    }
    assert_eq!(master.pods(), Vec::<&str>::new());
    let stopped = keys::restore_stopped("demo", 1, &master.agent.identity.id);
    assert!(master.has(&stopped).await && !master.has(&keys::restore_restored("demo", 1, "main", "a")).await);
    assert_eq!(std::fs::read_to_string(master.log()).unwrap(), "of before");
    let asked = std::fs::read_to_string(master.agent.host.path("/run/windlass/commands")).unwrap();
    assert!(asked.contains("containers ls --quiet labels.\"io.kubernetes.container.name\"==etcd"), "{asked}");
    // Given up, it goes on with what it has.
    master.order(1, Phase::Abandoned).await;
    assert!(!master.ensure().await.unwrap());
    assert_eq!(std::fs::read_to_string(master.log()).unwrap(), "of before");
}

#[tokio::test]
async fn what_was_restored_is_answered_once_and_is_not_restored_again() {
    let master = Master::new().await;
    master.has_data("of before");
    let order = master.order(1, Phase::Restore).await;
    let mut answered = None;
    assert!(
        look(&master.agent, master.control_plane(), &mut answered).await.unwrap(),
        "there is something to do"
    );
    master.restore(&order).await.unwrap();
    assert_eq!(std::fs::read_to_string(master.log()).unwrap(), "restored");
    // It was killed before it could answer.
    let restored = keys::restore_restored("demo", 1, "main", "a");
    assert!(!master.has(&restored).await);
    assert!(!master.ensure().await.unwrap(), "nothing is left to do");
    assert!(master.has(&restored).await);
    assert!(!look(&master.agent, master.control_plane(), &mut answered).await.unwrap());
    let kept = master.agent.host.path("/var/lib/etcd-main/data.before-1/member/wal/0.wal");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "of before");
    // The next restore takes away what the first one kept.
    let order = master.order(2, Phase::Done).await;
    master.restore(&order).await.unwrap();
    let left = |name: &str| master.agent.host.path("/var/lib/etcd-main").join(name).exists();
    assert_eq!([left("data.before-1"), left("data.before-2"), left("restore")], [false, true, false]);
}

#[tokio::test]
async fn a_blank_volume_is_restored_once_and_one_that_is_lost_after_that_is_not() {
    let master = Master::new().await;
    let etcd = &master.control_plane().etcd;
    let Agent { store, .. } = &master.agent;
    assert!(!restore_order::is_due(store, "demo", etcd).await.unwrap());
    let order = master.order(1, Phase::Restore).await;
    assert!(restore_order::is_due(store, "demo", etcd).await.unwrap());
    master.restore(&order).await.unwrap();
    assert!(!master.ensure().await.unwrap());
    assert!(!master.agent.host.path("/var/lib/etcd-main/data.before-1").exists());
    std::fs::remove_dir_all(etcd_data::folder(&master.agent.host, "main")).unwrap();
    for phase in [Phase::Restore, Phase::Done] {
        master.order(1, phase).await;
        assert!(!restore_order::is_due(store, "demo", etcd).await.unwrap(), "{phase:?}");
        assert!(!master.ensure().await.unwrap(), "{phase:?}");
        assert!(!master.log().exists(), "{phase:?}");
    }
}

#[tokio::test]
async fn without_the_state_a_master_with_data_starts_and_one_without_waits() {
    let master = Master::new().await;
    std::fs::remove_dir_all(master.folder.path().join("state")).unwrap();
    std::fs::write(master.folder.path().join("state"), "not a folder").unwrap();
    assert!(matches!(master.agent.store, StateStore::Folder(_)));
    let error = master.ensure().await.unwrap_err();
    assert!(matches!(error, RestoreError::Order(_)), "{error}");
    master.has_data("of before");
    assert!(!master.ensure().await.unwrap());
}

#[tokio::test]
async fn a_backup_that_is_not_what_was_ordered_leaves_the_data_alone() {
    let master = Master::new().await;
    master.has_data("of before");
    let order = master.order(1, Phase::Restore).await;
    master.agent.store.put(KEY, b"something else".to_vec()).await.unwrap();
    let error = master.restore(&order).await.unwrap_err();
    assert!(chain(&error).contains("SHA-256"), "{}", chain(&error));
    assert_eq!(std::fs::read_to_string(master.log()).unwrap(), "of before");
    // etcdutl that makes nothing: in a folder, commands are only recorded.
    master.order(1, Phase::Restore).await;
    assert!(master.ensure().await.is_err());
    assert_eq!(std::fs::read_to_string(master.log()).unwrap(), "of before");
}
