use std::net::Ipv4Addr;

use super::*;
use crate::ec2::Ec2;
use crate::instance::Identity;
use crate::notify::Notify;
use crate::state::StateStore;

async fn keeper(folder: &std::path::Path) -> Keeper {
    let identity = Identity {
        id: "i-1".into(),
        region: "us-east-1".into(),
        zone: "us-east-1a".into(),
        machine_type: "t3.medium".into(),
        private_address: Ipv4Addr::LOCALHOST,
        mac: String::new(),
        network_interface: String::new(),
    };
    let instance = Instance {
        identity,
        config: crate::testing::node_config(),
        store: StateStore::Folder(folder.join("state")),
        ec2: Ec2::open("us-east-1", "demo").await,
    };
    Keeper {
        host: Host::folder(folder.join("machine")),
        reporter: Reporter::new(Notify::nobody()),
        instance: Arc::new(instance),
        after_error: Duration::from_millis(5),
    }
}

/// Waits until the report names exactly these tasks as failing.
async fn failing(reporter: &Reporter, wanted: &[&str]) -> Vec<crate::report::FailingTask> {
    for _ in 0..400 {
        let failing = reporter.status().failing;
        if failing.iter().map(|task| task.name.as_str()).eq(wanted.iter().copied()) {
            return failing;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never was {wanted:?} failing: {:?}", reporter.status().failing);
}

#[tokio::test]
async fn a_task_that_fails_is_in_the_report_until_it_works_again() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(folder.path()).await;
    let state = folder.path().join("state");
    std::fs::write(&state, "not a folder").unwrap();
    let task = tokio::spawn(keeper.clone().keep_registry_credentials());
    let told = failing(&keeper.reporter, &[registry_credentials::TASK]).await;
    assert!(told[0].error.contains("can't be read from the state"), "{}", told[0].error);
    std::fs::remove_file(&state).unwrap();
    failing(&keeper.reporter, &[]).await;
    task.abort();
}

#[tokio::test]
async fn approvals_reckon_with_the_certificates_life_that_the_cluster_specifies() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(folder.path()).await;
    let former = include_bytes!("../../tests/former/579859e-master.json");
    let config: crate::config::NodeConfig = crate::config::read(former).unwrap();
    let mut control_plane = config.control_plane.unwrap();
    let longest = |control_plane: &ControlPlaneConfig| {
        let nowhere = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        keeper.approver(Client::try_from(nowhere).unwrap(), control_plane).longest
    };
    assert_eq!(longest(&control_plane), Duration::from_hours(168));
    control_plane.certificate_seconds = Some(1800);
    assert_eq!(longest(&control_plane), Duration::from_mins(30));
}

#[tokio::test]
async fn a_kubelet_that_does_not_run_is_started_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let keeper = keeper(folder.path()).await;
    // In a folder nothing ever runs.
    keeper.tell("ensure_kubelet", keeper.look_at_kubelet().await);
    failing(&keeper.reporter, &["ensure_kubelet"]).await;
    let commands = std::fs::read_to_string(keeper.host.path("/run/windlass/commands")).unwrap();
    assert!(commands.lines().any(|line| line == "/usr/bin/systemctl start kubelet.service"), "{commands}");
}
