use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::aws::Access;
use crate::aws::state::StateStore;
use crate::host::file;
use crate::host::root;
use crate::progress::notify::Notify;
use crate::testing::fake_api::FakeApi;
use crate::testing::{identity, master_config};

const TOKEN: &str = "abcdef.0123456789abcdef";
const ADDRESSES: Addresses = Addresses {
    primary: Some(Ipv4Addr::LOCALHOST),
    ipv6: None,
    stable: Some(Ipv4Addr::new(172, 20, 32, 10)),
    stable_ipv6: None,
    elastic: None,
};

/// A master whose API answers and whose state is away; it has been through a boot since its start.
struct Master {
    folder: tempfile::TempDir,
    agent: Arc<Agent>,
    api: FakeApi,
}

impl Master {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("state"), "not a folder").unwrap();
        let host = Host::folder(folder.path().join("machine"));
        let (api, identity) = (FakeApi::start().await, identity());
        api.know(TOKEN);
        file::ensure(&host.path(api::ADMIN_KUBECONFIG), api.kubeconfig(TOKEN), file::PRIVATE).unwrap();
        file::ensure(&host.path(root::RUN).join("etcd-main-marked"), "", file::PUBLIC).unwrap();
        let ready = json!({"type": "Ready", "status": "True"});
        let node = json!({"metadata": {"name": identity.id}, "status": {"conditions": [ready]}});
        api.hold(&format!("/api/v1/nodes/{}", identity.id), node);
        let agent = Agent {
            host,
            reporter: Reporter::new(Notify::nobody()),
            identity,
            config: master_config(),
            store: StateStore::Folder(folder.path().join("state")),
            ec2: Ec2::open("us-east-1", "demo", &Access::default()).await,
            access: Access::default(),
        };
        Self { folder, agent: Arc::new(agent), api }
    }

    /// Does what the boot does once the API answers, for so long at most; returns whether it is done, and what goes on.
    async fn bring_up(&self, limit: Duration) -> (bool, Tasks) {
        let mut tasks = Tasks::default();
        let control_plane = self.agent.config.control_plane.as_ref().unwrap();
        let volumes = AttachedVolumes::new();
        let bring_up = bring_up(&self.agent, control_plane, &volumes, ADDRESSES, &mut tasks);
        let done = match tokio::time::timeout(limit, bring_up).await {
            Ok(done) => done.map(|()| true).unwrap(),
            Err(_) => false,
        };
        (done, tasks)
    }

    /// The tasks that the report names as failing, and why.
    fn failing(&self) -> Vec<(String, String)> {
        let failing = self.agent.reporter.status().failing;
        failing.into_iter().map(|task| (task.name, task.error)).collect()
    }
}

#[tokio::test]
async fn a_masters_agent_started_again_while_the_state_is_away_is_done_and_goes_on_asking_for_a_token() {
    let master = Master::start().await;
    let (done, tasks) = master.bring_up(Duration::from_secs(20)).await;
    assert!(done, "{:?}", master.agent.reporter.status());
    let failing = master.failing();
    let token = failing.iter().find(|(name, _)| name == bootstrap_token::TASK.name());
    let (_, error) = token.unwrap_or_else(|| panic!("nothing tells of the token: {failing:?}"));
    assert!(error.contains("can't be put into the state"), "{error}");
    for task in ["renew_bootstrap_token", "renew_certificates", "look_at_master", "look_at_machine"] {
        assert!(tasks.started().contains(task), "{task} is not under way: {:?}", tasks.started());
    }
    assert!(!master.api.held().iter().any(|path| path.contains("/secrets/")), "there was nothing to be told");
}

#[tokio::test]
async fn what_keeps_a_master_up_has_begun_before_anything_that_may_have_to_be_waited_for() {
    let master = Master::start().await;
    master.api.break_below(Some("/apis/rbac.authorization.k8s.io"));
    let (done, tasks) = master.bring_up(Duration::from_secs(2)).await;
    assert!(!done, "the bindings can't be made");
    for task in ["renew_bootstrap_token", "renew_certificates", "look_at_master"] {
        assert!(tasks.started().contains(task), "{task} is not under way: {:?}", tasks.started());
    }
}

#[tokio::test]
async fn a_token_that_the_boot_went_on_without_is_made_once_the_state_is_back() {
    let master = Master::start().await;
    let mut tasks = Tasks::default();
    std::fs::remove_file(master.folder.path().join("state")).unwrap();
    tasks.start(bootstrap_token::TASK.name(), bootstrap_token::renew(master.agent.clone(), false));
    let written = master.folder.path().join("state").join(crate::contract::keys::bootstrap_token("demo"));
    for _ in 0..500 {
        if written.exists() && master.failing().is_empty() {
            let secrets =
                master.api.held().into_iter().filter(|path| path.contains("/secrets/bootstrap-token-"));
            assert_eq!(secrets.count(), 1);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there is no token: {:?}", master.failing());
}
