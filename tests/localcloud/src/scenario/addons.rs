//! Add-ons that a cluster asks for, and then doesn't any more.

use anyhow::{Result, ensure};

use super::{CLUSTER, Life, STATE};

/// What the metrics server consists of, but for what any of it can't work without.
const METRICS_SERVER: [&str; 4] = [
    "apiservice/v1beta1.metrics.k8s.io",
    "clusterrole/system:metrics-server",
    "deployment/metrics-server",
    "serviceaccount/metrics-server",
];

impl Life<'_> {
    pub(super) async fn create_with_metrics(&mut self) -> Result<()> {
        let more = ["--set", "spec.metricsServer.enabled=true", "--etcd-clusters", "main,events"];
        self.create_with("flannel", &more).await
    }

    /// What every machine uses. The question goes through the API server to the metrics server, and from there to each
    /// kubelet, whose certificate is checked.
    pub(super) async fn top_nodes(&mut self) -> Result<()> {
        let machines: Vec<String> = self.members().await?.into_iter().map(|(id, _, _)| id).collect();
        ensure!(machines.len() == 3, "expected a master and two nodes, found {machines:?}");
        self.wait("kubectl top nodes answers for every machine", async |life| {
            let said = life.kubectl(&["top", "nodes", "--no-headers"]).await?;
            // The name, the processors' time and its share, the memory and its share.
            let rows: Vec<Vec<&str>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
            let told =
                machines.iter().all(|machine| rows.iter().any(|row| row[0] == machine && is_use(&row[1..])));
            ensure!(told && rows.len() == machines.len(), "it said:\n{said}");
            (life.say)(&said);
            Ok(true)
        })
        .await?;
        self.wait("kubectl top pods answers for the metrics server itself", async |life| {
            let arguments = [
                "top",
                "pods",
                "--namespace=kube-system",
                "--no-headers",
                "--selector=k8s-app=metrics-server",
            ];
            let said = life.kubectl(&arguments).await?;
            Ok(said.starts_with("metrics-server-"))
        })
        .await
    }

    /// Takes the metrics server out of the specification; a master follows when it boots.
    pub(super) async fn drop_metrics(&mut self) -> Result<()> {
        let set = "spec.metricsServer.enabled=false";
        self.windlass(&["edit", "cluster", "--name", CLUSTER, "--state", STATE, "--set", set]).await?;
        self.apply().await?;
        let present = self.metrics_server().await?;
        ensure!(
            present.len() == METRICS_SERVER.len(),
            "the master has deleted something already: {present:?}"
        );
        Ok(())
    }

    pub(super) async fn metrics_are_gone(&mut self) -> Result<()> {
        self.wait("nothing of the metrics server is left", async |life| {
            let left = life.metrics_server().await?;
            ensure!(left.is_empty(), "there are still {left:?}");
            Ok(true)
        })
        .await?;
        // What is still asked for is still there.
        self.kubectl(&["get", "deployment/coredns", "--namespace=kube-system"]).await.map(drop)
    }

    /// Those of the metrics server's objects that there are.
    async fn metrics_server(&self) -> Result<Vec<&'static str>> {
        let mut present = Vec::new();
        for object in METRICS_SERVER {
            let arguments = ["get", object, "--namespace=kube-system", "--ignore-not-found", "--output=name"];
            if !self.kubectl(&arguments).await?.trim().is_empty() {
                present.push(object);
            }
        }
        Ok(present)
    }
}

/// Whether a row says what a machine uses: `250m 12% 512Mi 25%`.
fn is_use(columns: &[&str]) -> bool {
    let [processors, _, memory, _] = columns else { return false };
    let some = |text: &str, unit: &str| {
        text.strip_suffix(unit).is_some_and(|number| number.parse().is_ok_and(|n: u64| n > 0))
    };
    some(processors, "m") && some(memory, "Mi")
}
