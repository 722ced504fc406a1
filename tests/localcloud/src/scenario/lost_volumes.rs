//! One master that becomes three, whose volumes die: one's, and its members of etcd come back through the others; two's, and a backup is
//! restored.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::{
    CLUSTER, Life, Options, STATE, Timings, enforce_permissions, inventory, nobody_was_denied, nothing_left,
};
use crate::LocalCloud;

/// What a cluster of one master is made with that may become one of three: those are behind a load balancer.
const LIKE_THREE: [&str; 12] = [
    "--zones",
    "us-east-1a,us-east-1b,us-east-1c",
    "--api-loadbalancer-type",
    "public",
    "--node-count",
    "1",
    "--networking",
    "flannel",
    "--etcd-clusters",
    "main,events",
    "--set",
    "spec.etcdClusters[*].manager.backupInterval=1m",
];

/// Lives the life of a cluster whose volumes are lost, in a cloud that is up and empty; `say` is told of every stage.
pub async fn run(cloud: &LocalCloud, options: &Options, say: impl Fn(&str)) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    let empty = inventory(cloud).await?;
    enforce_permissions(cloud).await?;

    life.stage("create cluster: one master, with backups every minute", Life::create_one).await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("validate cluster: green", Life::validate).await?;
    life.stage("objects are written", Life::write_objects).await?;
    life.stage("two masters are added, and all others replaced", Life::grow).await?;
    life.stage("each etcd has a leader and two peers", Life::etcd_is_one).await?;
    life.stage("validate cluster: green, with three masters", Life::validate).await?;
    life.stage("update cluster: nothing to do", Life::update_again).await?;
    life.stage("a master and its volumes are destroyed, and come back blank", Life::lose_one).await?;
    life.stage("validate cluster: green again", Life::validate).await?;
    life.stage("each etcd has a leader and two peers again", Life::etcd_is_one).await?;
    life.stage("update cluster: nothing to do", Life::update_again).await?;

    let before = life.dump().await?;
    let mut backup = String::new();
    life.stage("a backup is made", async |life| {
        backup = life.next_backup().await?;
        Ok(())
    })
    .await?;
    life.stage("two masters and their volumes are destroyed", Life::lose_two).await?;
    life.stage("restore cluster, with one of three masters left", async |life| {
        life.restore(&backup, "restoreTwoOfThree").await
    })
    .await?;
    life.stage("the objects of the backup are there", async |life| life.becomes(&before).await).await?;
    life.stage("each etcd has a leader and two peers once more", Life::etcd_is_one).await?;
    life.stage("a Deployment that is scaled gets its pods", Life::scale).await?;
    nobody_was_denied(cloud).await?;
    life.stage("delete cluster", Life::delete).await?;

    nothing_left(cloud, &empty).await?;
    Ok(life.timings)
}

impl Life<'_> {
    async fn create_one(&mut self) -> Result<()> {
        self.create_from(&[["--control-plane-count", "1"].as_slice(), &LIKE_THREE].concat()).await
    }

    /// The specification becomes that of three masters. What there was before them is replaced by hand.
    async fn grow(&mut self) -> Result<()> {
        let before = self.members().await?;
        let began = Instant::now();
        let count = ["--control-plane-count", "3", "--dry-run", "-o", "yaml"];
        let create = ["create", "cluster", "--name", CLUSTER, "--state", STATE];
        let three = self.windlass(&[create.as_slice(), &count, &LIKE_THREE].concat()).await?;
        let refused = self.replace(&three).await?;
        let said = String::from_utf8_lossy(&refused.stderr);
        ensure!(!refused.status.success() && said.contains("joins: true"), "members begin anew: {said}");
        let added = ["b", "c"].iter().fold(three, |text, member| {
            let named = format!("- name: {member}\n");
            text.replace(&named, &format!("{named}      joins: true\n"))
        });
        let replaced = self.replace(&added).await?;
        ensure!(replaced.status.success(), "{}", String::from_utf8_lossy(&replaced.stderr));
        self.apply().await?;
        for (machine, _, _) in before {
            self.cloud.kill(&machine)?;
        }
        self.etcd_is_one().await?;
        self.kubectl(&["get", "configmap", "kept", "--request-timeout=10s"]).await?;
        self.timings.measured.insert("oneMasterToThree".into(), began.elapsed().as_secs_f64());
        Ok(())
    }

    async fn replace(&self, documents: &str) -> Result<std::process::Output> {
        let file = self.options.folder.join("three.yaml");
        fs_err::write(&file, documents)?;
        let file = file.display().to_string();
        let replace = ["replace", "--force", "-f", &file, "--name", CLUSTER, "--state", STATE];
        self.run(&self.options.windlass, &replace).await
    }

    /// One of three dies with all it had. An update names what is lost, and makes it blank where it is told to; the API answers
    /// all the while.
    async fn lose_one(&mut self) -> Result<()> {
        let masters = self.masters().await?;
        let began = Instant::now();
        let volumes = self.lose_with_volumes(&[masters[0].0.clone()]).await?;
        ensure!(volumes.len() == 2, "lost {volumes:?}");
        let update = ["update", "cluster", "--name", CLUSTER, "--state", STATE, "--yes"];
        let refused = self.run(&self.options.windlass, &update).await?;
        let said = String::from_utf8_lossy(&refused.stderr);
        ensure!(!refused.status.success(), "an update made lost volumes anew without being told to");
        ensure!(said.contains("--replace-lost-volume"), "the refusal names no way out: {said}");
        let asked: Vec<&str> =
            volumes.iter().flat_map(|name| ["--replace-lost-volume", name.as_str()]).collect();
        self.windlass(&[update.as_slice(), &asked].concat()).await?;
        self.kubectl(&["get", "configmap", "kept", "--request-timeout=10s"]).await?;
        self.etcd_is_one().await?;
        self.timings.measured.insert("lostVolumesToMembers".into(), began.elapsed().as_secs_f64());
        Ok(())
    }

    async fn lose_two(&mut self) -> Result<()> {
        let masters = self.masters().await?;
        let lost: Vec<String> = masters.into_iter().take(2).map(|(id, _)| id).collect();
        let volumes = self.lose_with_volumes(&lost).await?;
        ensure!(volumes.len() == 4, "lost {volumes:?}");
        Ok(())
    }
}
