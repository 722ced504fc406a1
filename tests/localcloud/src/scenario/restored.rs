//! A cluster that is restored from a backup: after a mistake, while its master runs, and after its master and all its volumes
//! are gone.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    CLUSTER, GLANCE, Life, Options, PATIENCE, STATE, Timings, enforce_permissions, inventory,
    nobody_was_denied, nothing_left,
};
use crate::LocalCloud;
use crate::world::InstanceState;

/// What differs from one moment to the next, or tells of machines and pods.
const FLEETING: [&str; 9] = [
    "nodes",
    "csinodes.storage.k8s.io",
    "leases.coordination.k8s.io",
    "events",
    "events.events.k8s.io",
    "pods",
    "endpoints",
    "endpointslices.discovery.k8s.io",
    "certificatesigningrequests.certificates.k8s.io",
];

/// What masters write again and again while the API answers, so that it tells when it didn't.
const HEARTBEAT: &str = "ConfigMap/kube-system/windlass-approvals";

/// Objects by their kind, namespace and name, without what differs from one moment to the next.
pub(super) type Dump = BTreeMap<String, Value>;

/// Lives the life of a cluster that is restored, in a cloud that is up and empty; `say` is told of every stage.
pub async fn run(cloud: &LocalCloud, options: &Options, say: impl Fn(&str)) -> Result<Timings> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    let empty = inventory(cloud).await?;
    enforce_permissions(cloud).await?;

    life.stage("create cluster, with backups every minute", Life::create_with_backups).await?;
    life.stage("update cluster: the first apply", Life::update).await?;
    life.stage("validate cluster: green", Life::validate).await?;
    life.stage("objects are written", Life::write_objects).await?;
    let before = life.dump().await?;
    let mut backup = String::new();
    life.stage("a backup of them is made", async |life| {
        backup = life.next_backup().await?;
        Ok(())
    })
    .await?;
    life.stage("an operator errs", Life::err).await?;
    life.stage("restore cluster, while the master runs", async |life| {
        life.restore(&backup, "restoreInPlace").await
    })
    .await?;
    life.stage("the objects of the backup are there", async |life| life.becomes(&before).await).await?;
    life.stage("a Deployment that is scaled gets its pods", Life::scale).await?;
    life.stage("the master and its volumes are destroyed", Life::lose_all).await?;
    life.stage("restore cluster, with nothing left of the control plane", async |life| {
        life.restore(&backup, "restoreAll").await
    })
    .await?;
    life.stage("the objects of the backup are there again", async |life| life.becomes(&before).await).await?;
    life.stage("a Deployment that is scaled gets its pods again", Life::scale).await?;
    life.stage("update cluster: nothing to do", Life::update_again).await?;
    nobody_was_denied(cloud).await?;
    life.stage("delete cluster", Life::delete).await?;

    nothing_left(cloud, &empty).await?;
    Ok(life.timings)
}

impl Life<'_> {
    async fn create_with_backups(&mut self) -> Result<()> {
        let machines = ["--zones", "us-east-1a", "--node-count", "1", "--networking", "flannel"];
        let interval = "spec.etcdClusters[*].manager.backupInterval=1m";
        let etcd = ["--etcd-clusters", "main,events", "--set", interval];
        self.create_from(&[machines.as_slice(), &etcd].concat()).await
    }

    pub(super) async fn write_objects(&mut self) -> Result<()> {
        let image = "--image=registry.k8s.io/e2e-test-images/agnhost:2.63.0";
        self.kubectl(&["create", "deployment", "hello", image, "--replicas=1", "--", "/agnhost", "pause"])
            .await?;
        self.kubectl(&["create", "configmap", "kept", "--from-literal=written=before-the-loss"]).await?;
        self.kubectl(&["rollout", "status", "deployment/hello", "--timeout=180s"]).await.map(drop)
    }

    /// What there is, but for what is fleeting.
    pub(super) async fn dump(&self) -> Result<Dump> {
        let kinds = self.kubectl(&["api-resources", "--verbs=list", "--output=name"]).await?;
        let kinds: Vec<&str> = kinds.split_whitespace().filter(|kind| !FLEETING.contains(kind)).collect();
        let said = self.kubectl(&["get", &kinds.join(","), "--all-namespaces", "--output=json"]).await?;
        let said: Value = serde_json::from_str(&said)?;
        let mut dump = Dump::new();
        for mut object in said["items"].as_array().cloned().context("no list of objects")? {
            object.as_object_mut().map(|it| it.remove("status"));
            for fleeting in ["resourceVersion", "managedFields"] {
                object["metadata"].as_object_mut().map(|it| it.remove(fleeting));
            }
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let metadata = &object["metadata"];
            let name = [&object["kind"], &metadata["namespace"], &metadata["name"]].map(text).join("/");
            if name != HEARTBEAT {
                dump.insert(name, object);
            }
        }
        Ok(dump)
    }

    /// The first backup that was begun after now.
    pub(super) async fn next_backup(&self) -> Result<String> {
        let now = jiff::Timestamp::now();
        let until = Instant::now() + PATIENCE;
        loop {
            let said =
                self.windlass(&["get", "backups", "--name", CLUSTER, "--state", STATE, "-o", "json"]).await?;
            let said: Value = serde_json::from_str(&said)?;
            let rows = said.as_array().cloned().unwrap_or_else(|| vec![said.clone()]);
            let later = rows.iter().find(|row| {
                let taken = row["backup"]["taken"].as_str().and_then(|taken| taken.parse().ok());
                taken.is_some_and(|taken: jiff::Timestamp| taken > now)
            });
            if let Some(row) = later {
                return Ok(row["id"].as_str().context("a backup without a name")?.to_owned());
            }
            ensure!(Instant::now() < until, "no backup was made: {said}");
            tokio::time::sleep(GLANCE).await;
        }
    }

    async fn err(&mut self) -> Result<()> {
        self.kubectl(&["delete", "configmap", "kept"]).await?;
        self.kubectl(&["delete", "deployment", "hello"]).await?;
        self.kubectl(&["create", "configmap", "written-since", "--from-literal=a=b"]).await.map(drop)
    }

    pub(super) async fn restore(&mut self, backup: &str, measured: &str) -> Result<()> {
        let began = Instant::now();
        let command =
            ["restore", "cluster", "--name", CLUSTER, "--state", STATE, "--backup", backup, "--yes"];
        let output = self.run(&self.options.windlass.clone(), &command).await?;
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (self.say)(&said);
        ensure!(output.status.success(), "restore cluster ended with {}: {said}", output.status);
        self.timings.measured.insert(measured.to_owned(), began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Waits until there is what there was.
    pub(super) async fn becomes(&self, before: &Dump) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            let now = self.dump().await?;
            if now == *before {
                return Ok(());
            }
            if Instant::now() > until {
                let names = before.keys().chain(now.keys()).collect::<std::collections::BTreeSet<_>>();
                let differ = names.into_iter().filter(|name| before.get(*name) != now.get(*name));
                let differ: Vec<String> = differ
                    .map(|name| format!("{name}: {:?} became {:?}", before.get(name), now.get(name)))
                    .collect();
                bail!("it isn't what it was:\n{}", differ.join("\n"));
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// The controller and the kubelet see what is written after the restore.
    pub(super) async fn scale(&mut self) -> Result<()> {
        let replicas = async |life: &Self| {
            life.kubectl(&["get", "deployment", "hello", "-o", "jsonpath={.spec.replicas}"]).await
        };
        let before: u32 = replicas(self).await?.parse()?;
        for count in [before + 1, before] {
            let began = Instant::now();
            self.kubectl(&["scale", "deployment/hello", &format!("--replicas={count}")]).await?;
            self.kubectl(&["rollout", "status", "deployment/hello", "--timeout=120s"]).await?;
            self.timings.measured.insert(format!("scaledTo{count}"), began.elapsed().as_secs_f64());
        }
        Ok(())
    }

    async fn lose_all(&mut self) -> Result<()> {
        let master = self.master().await?;
        self.lose_with_volumes(&[master]).await.map(drop)
    }

    /// Machines die, and their disks with them. Nothing takes their place until those are gone: another machine would have them
    /// at once. Returns the names of the volumes.
    pub(super) async fn lose_with_volumes(&self, masters: &[String]) -> Result<Vec<String>> {
        let (mut volumes, mut held) = (Vec::new(), Vec::new());
        for master in masters {
            let instances = self.cloud.region().world_now().await?.instances;
            let instance = instances.into_iter().find(|it| it.id == *master).context("no such master")?;
            let group = instance.tags.get("aws:autoscaling:groupName").context("a master without a group")?;
            let launch = json!({"AutoScalingGroupName": group, "ScalingProcesses": ["Launch"]});
            self.aws("autoscaling", "suspend_processes", &launch).await?;
            held.push(launch);
            let attached = self.volumes_of(master).await?;
            ensure!(attached.len() == 2, "{master} has the volumes {attached:?}");
            volumes.extend(attached);
            self.cloud.kill(master)?;
        }
        self.wait("the masters are gone", async |life| {
            let instances = life.cloud.region().world_now().await?.instances;
            let lives =
                |id: &String| instances.iter().any(|it| it.id == *id && it.state == InstanceState::Running);
            Ok(!masters.iter().any(lives))
        })
        .await?;
        for (volume, _) in &volumes {
            self.wait("its volume is deleted", async |life| {
                Ok(life.aws("ec2", "delete_volume", &json!({"VolumeId": volume})).await.is_ok())
            })
            .await?;
        }
        for launch in held {
            self.aws("autoscaling", "resume_processes", &launch).await?;
        }
        Ok(volumes.into_iter().map(|(_, name)| name).collect())
    }

    /// The volumes of etcd that are attached to an instance, each with its name.
    async fn volumes_of(&self, instance: &str) -> Result<Vec<(String, String)>> {
        let filters = json!([
            {"Name": "attachment.instance-id", "Values": [instance]},
            {"Name": "tag-key", "Values": ["windlass.dev/cluster"]},
        ]);
        let said = self.aws("ec2", "describe_volumes", &json!({"Filters": filters})).await?;
        let volumes = said["Volumes"].as_array().context("no list of volumes")?;
        let named = |volume: &Value| {
            let tags = volume["Tags"].as_array()?;
            let name = tags.iter().find(|tag| tag["Key"] == "Name")?["Value"].as_str()?;
            Some((volume["VolumeId"].as_str()?.to_owned(), name.to_owned()))
        };
        Ok(volumes.iter().filter_map(named).collect())
    }
}
