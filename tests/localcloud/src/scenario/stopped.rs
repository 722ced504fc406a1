//! A cluster that is stopped for a while, and started again.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::{CLUSTER, Life, STATE};
use crate::world::InstanceState;

impl Life<'_> {
    pub(super) async fn stop(&mut self) -> Result<()> {
        let before: Vec<String> = self.states().await?.into_keys().collect();
        self.windlass(&["stop", "cluster", "--name", CLUSTER, "--state", STATE, "--yes"]).await?;
        // Nothing takes what is stopped for dead, or what is missing for missed.
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        let after = self.states().await?;
        ensure!(after.keys().eq(before.iter()), "{before:?} became {after:?}");
        ensure!(
            after.values().all(|state| *state == InstanceState::Stopped),
            "not all are stopped: {after:?}"
        );
        // What is suspended is no difference from what was asked for.
        self.update_again().await
    }

    pub(super) async fn start(&mut self) -> Result<()> {
        let before: Vec<String> = self.states().await?.into_keys().collect();
        let started = Instant::now();
        self.windlass(&["start", "cluster", "--name", CLUSTER, "--state", STATE, "--yes"]).await?;
        self.validate().await?;
        self.timings.measured.insert("startToGreen".to_owned(), started.elapsed().as_secs_f64());
        let after = self.states().await?;
        ensure!(after.keys().eq(before.iter()), "{before:?} became {after:?}");
        Ok(())
    }

    /// The state of every machine that isn't gone.
    async fn states(&self) -> Result<BTreeMap<String, InstanceState>> {
        let instances = self.cloud.region().world_now().await?.instances.into_iter();
        let there = instances.filter(|instance| instance.state != InstanceState::Terminated);
        Ok(there.map(|instance| (instance.id, instance.state)).collect())
    }
}
