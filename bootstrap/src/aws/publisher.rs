//! Writes the instance's report to the state, for as long as the agent runs.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::OnceCell;

use crate::aws::identity;
use crate::aws::identity::Origin;
use crate::aws::state::StateStore;
use crate::aws::{Access, AwsError};
use crate::contract::keys;
use crate::contract::report::{self, BootState};
use crate::progress::reporter::Reporter;
use crate::progress::retry::chain;

/// How often the report is written. While the instance boots and nothing changes, it is so often that a reader can tell a
/// waiting instance from a dead one.
const PACE: Pace =
    Pace { booting: Duration::from_secs(30), ready: report::HEARTBEAT, spacing: Duration::from_secs(10) };

/// How often the report is written.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// While the instance boots and nothing changes.
    booting: Duration,
    /// Once it is ready and nothing changes.
    ready: Duration,
    /// At most so often once it is ready, however often it changes.
    spacing: Duration,
}

/// Writes what a reporter collects.
#[derive(Debug)]
pub struct Publisher {
    reporter: Reporter,
    store: StateStore,
    cluster: String,
    region: String,
    access: Access,
    writer: OnceCell<String>,
}

impl Publisher {
    /// Into the state that an instance's boot configuration names.
    pub fn new(reporter: &Reporter, origin: &Origin) -> Self {
        let Origin { boot, store, access, .. } = origin;
        let (cluster, region, access) = (boot.cluster.clone(), boot.region.clone(), access.clone());
        let (reporter, store) = (reporter.clone(), store.clone());
        Self { reporter, store, cluster, region, access, writer: OnceCell::new() }
    }

    /// The one key that this instance may write. A folder knows no roles.
    async fn key(&self, instance: &str) -> Result<String, AwsError> {
        let writer = match &self.store {
            StateStore::S3 { .. } => {
                let ask = || identity::user_id(&self.region, &self.access);
                self.writer.get_or_try_init(ask).await?
            }
            StateStore::Folder(_) => instance,
        };
        Ok(keys::status(&self.cluster, writer))
    }

    /// Goes on writing the report to the state, for as long as it is let: on every change, and in between so often that
    /// a reader sees that the agent is alive.
    pub async fn publish(&self) {
        self.publish_at(PACE).await;
    }

    async fn publish_at(&self, pace: Pace) {
        let mut changes = self.reporter.changes();
        changes.mark_changed();
        loop {
            let booting = self.reporter.status().state != BootState::Ready;
            let heartbeat = if booting { pace.booting } else { pace.ready };
            // Whether it is a change or the time that has come, it is written.
            let _ = tokio::time::timeout(heartbeat, changes.changed()).await;
            self.publish_once().await;
            if !booting {
                tokio::time::sleep(pace.spacing).await;
            }
        }
    }

    /// Writes the report to the state. That it can't be written never stops a boot.
    pub async fn publish_once(&self) {
        let mut status = self.reporter.status();
        if status.instance.is_empty() {
            return;
        }
        status.last_seen = Some(Timestamp::now());
        let bytes = match serde_json::to_vec_pretty(&status) {
            Ok(bytes) => bytes,
            Err(error) => return tracing::error!(%error, "the report is not JSON"),
        };
        let key = match self.key(&status.instance).await {
            Ok(key) => key,
            Err(error) => {
                let error = chain(&error);
                return tracing::warn!(error, "this instance doesn't know under which name it may report");
            }
        };
        if let Err(error) = self.store.put(&key, bytes).await {
            tracing::warn!(error = chain(&error), "the report could not be written to the state");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::report::Status;
    use crate::progress::notify::Notify;

    fn publisher(store: &StateStore, reporter: &Reporter) -> Publisher {
        let (reporter, store, cluster) = (reporter.clone(), store.clone(), "demo".to_owned());
        let writer = OnceCell::new();
        Publisher { reporter, store, cluster, region: String::new(), access: Access::default(), writer }
    }

    #[tokio::test]
    async fn after_the_boot_the_report_goes_on_and_says_what_fails_and_since_when() {
        const PACE: Pace = Pace {
            booting: Duration::from_secs(9),
            ready: Duration::from_millis(40),
            spacing: Duration::from_millis(5),
        };
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::Folder(folder.path().to_owned());
        let reporter = Reporter::new(Notify::nobody());
        reporter.identify("i-1", "", "");
        reporter.ready();
        let publisher = publisher(&store, &reporter);
        let publisher = tokio::spawn(async move { publisher.publish_at(PACE).await });
        let seen_when = async |wanted: &dyn Fn(&Status) -> bool| -> Status {
            for _ in 0..400 {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let Ok(bytes) = store.require("demo/status/i-1.json").await else { continue };
                let status: Status = serde_json::from_slice(&bytes).unwrap();
                if wanted(&status) {
                    return status;
                }
            }
            panic!("the report never said so");
        };
        let first = seen_when(&|status| status.state == BootState::Ready && status.failing.is_empty()).await;
        seen_when(&|status| status.last_seen > first.last_seen).await;
        reporter.task("renew_certificates", Some("no space"));
        let failing = seen_when(&|status| !status.failing.is_empty()).await.failing;
        assert_eq!((failing[0].name.as_str(), failing[0].error.as_str()), ("renew_certificates", "no space"));
        reporter.task("renew_certificates", Some("no memory"));
        let still = seen_when(&|status| status.failing[0].error == "no memory").await.failing;
        assert_eq!(still[0].since, failing[0].since);
        reporter.task("renew_certificates", None);
        seen_when(&|status| status.failing.is_empty()).await;
        publisher.abort();
    }

    #[tokio::test]
    async fn the_report_is_written_to_the_state() {
        let folder = tempfile::tempdir().unwrap();
        let store = StateStore::Folder(folder.path().to_owned());
        let reporter = Reporter::new(Notify::nobody());
        publisher(&store, &reporter).publish_once().await;
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            0,
            "nobody knows yet which instance this is"
        );
        reporter.identify("i-1", "", "");
        reporter.begin("ensure_kernel");
        publisher(&store, &reporter).publish_once().await;
        let status: Status =
            serde_json::from_slice(&store.require("demo/status/i-1.json").await.unwrap()).unwrap();
        assert_eq!(status.step, "ensure_kernel");
    }
}
