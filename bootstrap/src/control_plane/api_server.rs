//! Waits for the API on this master.

use kube::Client;

use crate::agent::Agent;
use crate::contract::config::ControlPlaneConfig;
use crate::control_plane::last_words;
use crate::host::Host;
use crate::kubernetes::api::{self, ApiError, STEP};
use crate::progress::step::{Done, StepError};

/// The step: connects as the administrator once the API is ready.
pub async fn run(agent: &Agent, control_plane: &ControlPlaneConfig) -> Result<Client, StepError> {
    let connect = async || connect(&agent.host, control_plane).await.map(Done::unchanged);
    STEP.run(&agent.reporter, connect).await
}

/// Connects as the administrator, and looks whether the API is ready.
pub async fn connect(host: &Host, control_plane: &ControlPlaneConfig) -> Result<Client, ApiError> {
    let client = api::connect_as_admin(host).await?;
    let etcd = control_plane.etcd_clusters().map(|etcd| format!("etcd-{}", etcd.name));
    let pods: Vec<String> = etcd.chain(["kube-apiserver".to_owned()]).collect();
    check_ready(host, &client, &pods).await?;
    Ok(client)
}

/// Whether the API is ready; a master also knows what etcd and the API server said last, where they crash.
async fn check_ready(host: &Host, client: &Client, pods: &[String]) -> Result<(), ApiError> {
    api::check_ready(client).await.map_err(|error| match last_words::of(host, pods) {
        Some(said) => ApiError::Crashing(said, Box::new(error)),
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::file;
    use crate::kubernetes::api::{ADMIN_KUBECONFIG, connect_as_admin};
    use crate::progress::retry::{Class, Classed, chain};
    use crate::testing::fake_api::FakeApi;

    #[tokio::test]
    async fn an_api_that_is_not_ready_is_told_with_the_last_words_of_what_crashes_and_only_then() {
        const TOKEN: &str = "abcdef.0123456789abcdef";
        let folder = tempfile::tempdir().unwrap();
        let (host, api) = (Host::folder(folder.path()), FakeApi::start().await);
        api.know(TOKEN);
        file::ensure(&host.path(ADMIN_KUBECONFIG), api.kubeconfig(TOKEN), file::PRIVATE).unwrap();
        let client = connect_as_admin(&host).await.unwrap();
        let pods = ["etcd-main", "kube-apiserver"].map(str::to_owned);
        check_ready(&host, &client, &pods).await.unwrap();
        api.fail(&["etcd", "informer-sync"]);
        let error = check_ready(&host, &client, &pods).await.unwrap_err();
        assert_eq!(chain(&error), "the Kubernetes API is not ready yet: etcd, informer-sync");
        for (attempt, said) in [(0, "first"), (1, "panic: no space left on device")] {
            let log = format!("/var/log/pods/kube-system_etcd-main-i-0a_1/etcd/{attempt}.log");
            let text = format!("2026-11-21T01:02:03Z stderr F {said}\n");
            file::ensure(&host.path(log), text, file::PUBLIC).unwrap();
        }
        let error = check_ready(&host, &client, &pods).await.unwrap_err();
        assert_eq!(
            chain(&error),
            "etcd-main has ended once, and said last: panic: no space left on device: the Kubernetes API is not \
             ready yet: etcd, informer-sync"
        );
        assert_eq!(error.class(), Class::Waiting);
        api.fail(&[]);
        check_ready(&host, &client, &pods).await.unwrap();
    }
}
