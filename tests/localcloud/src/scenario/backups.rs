//! Backups of etcd, which a master makes and proves by itself.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{CLUSTER, Life, STATE};

impl Life<'_> {
    /// Waits until the newest backup has been tried, and looks at how that went.
    pub(super) async fn is_backed_up(&mut self) -> Result<()> {
        self.wait("a backup has been tried", async |life| {
            Ok(life.backups().await?.first().is_some_and(|backup| !backup["proof"].is_null()))
        })
        .await?;
        let newest = self.backups().await?.remove(0);
        let proof = &newest["proof"];
        ensure!(proof["failure"].is_null(), "it can't be restored: {proof}");
        let etcd = newest["backup"]["etcd"].as_object().context("the backup holds no etcd")?;
        ensure!(etcd.keys().eq(["events", "main"]), "not of every etcd: {newest}");
        for (name, snapshot) in etcd {
            let (keys, proven) = (snapshot["keys"].as_u64(), proof["keys"][name].as_u64());
            ensure!(keys.is_some() && keys == proven, "{name}: {keys:?} keys, and {proven:?} in the proof");
        }
        for (measured, field) in [
            ("backupProven", "seconds"),
            ("backupProofCpu", "cpuSeconds"),
            ("backupProofMemory", "memoryPeakBytes"),
        ] {
            if let Some(value) = proof[field].as_f64() {
                self.timings.measured.insert(measured.to_owned(), value);
            }
        }
        // Nothing of a proof stays behind.
        let master = self.master().await?;
        let left = self.on(&master, "ls", &["/var/lib/etcd-main"]).await?;
        ensure!(!left.contains("proof") && !left.contains("backup"), "left on the volume: {left}");
        Ok(())
    }

    async fn backups(&self) -> Result<Vec<Value>> {
        let said =
            self.windlass(&["get", "backups", "--name", CLUSTER, "--state", STATE, "-o", "json"]).await?;
        serde_json::from_str(&said).context("what `get backups` says is not JSON")
    }
}
