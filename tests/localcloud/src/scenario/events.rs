//! Events, which are in an etcd cluster of their own, on a volume of their own.

use anyhow::{Context as _, Result, ensure};

use super::Life;

/// Where the etcd cluster `events` tells of itself on a master, and `main`.
const METRICS: [(&str, &str); 2] =
    [("events", "http://127.0.0.1:2384/metrics"), ("main", "http://127.0.0.1:2381/metrics")];

impl Life<'_> {
    /// Both etcd clusters hold something, and an event is remembered.
    pub(super) async fn events_are_apart(&mut self) -> Result<()> {
        let master = self.master().await?;
        for (etcd, url) in METRICS {
            let said = self.answers(&master, url).await?;
            let keys = said.lines().find_map(|line| line.strip_prefix("etcd_debugging_mvcc_keys_total "));
            let keys = keys.with_context(|| format!("{etcd} doesn't say how many keys it holds:\n{said}"))?;
            let count: f64 = keys.parse()?;
            ensure!(count > 0.0, "the etcd cluster {etcd} holds nothing");
            (self.say)(&format!("the etcd cluster {etcd} holds {count} keys"));
        }
        let uids = self.events().await?;
        self.event = Some(uids.first().context("there are no events")?.clone());
        Ok(())
    }

    /// What was remembered is still there.
    pub(super) async fn events_are_kept(&mut self) -> Result<()> {
        let event = self.event.clone().context("no event was remembered")?;
        self.wait("the event of before is there", async |life| Ok(life.events().await?.contains(&event)))
            .await
    }

    async fn events(&self) -> Result<Vec<String>> {
        let query = "-o=jsonpath={.items[*].metadata.uid}";
        let said = self.kubectl(&["get", "events", "--all-namespaces", query]).await?;
        Ok(said.split_whitespace().map(str::to_owned).collect())
    }
}
