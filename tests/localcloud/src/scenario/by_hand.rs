//! The same components started twice in one cloud: by windlass, and by hand.
//!
//! By hand means that everything was prepared in files beforehand: the very certificates, manifests and settings that
//! windlass's machines had are put onto machines of the same image with the same addresses, and a script starts what is
//! to be started. It asks AWS for nothing, waits for no volume and for no certificate. That is the least time that these
//! components need to come up on this machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Life, Options, PATIENCE, Timings};
use crate::LocalCloud;
use crate::image::Image;
use crate::world::{Instance, InstanceState};

/// The name of the image whose machines start by hand.
const IMAGE: &str = "by-hand";
/// How many machines there are: the master and two nodes.
const MACHINES: usize = 3;
/// How often the API is asked. The question costs the machine something, the same in both runs.
const ASK: Duration = Duration::from_millis(200);
/// What one needs to start a machine's components.
const CAPTURED: [&str; 7] = [
    "etc/kubernetes",
    "srv/kubernetes",
    "etc/cni/net.d",
    "var/lib/kubelet/pki",
    "var/lib/kubelet/kubeconfig",
    "run/windlass/kubelet.env",
    "run/windlass/addons",
];

/// Seconds from the first machine's start until every Node was Ready.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// Started by windlass.
    pub windlass: f64,
    /// Started by hand.
    pub by_hand: f64,
}

/// The layer that lies over an image whose machines are started by hand; files are put into it later.
#[derive(Debug)]
pub struct Layer(PathBuf);

impl Layer {
    /// Makes it in a folder that isn't there yet.
    pub fn make(folder: &Path) -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        fs::create_dir_all(folder.join("by-hand"))?;
        fs::create_dir_all(folder.join("etc"))?;
        let script = folder.join("etc/rc.local");
        fs::write(&script, include_str!("by_hand/rc.local"))?;
        fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        fs::write(folder.join("by-hand/rbac.yaml"), include_str!("by_hand/rbac.yaml"))?;
        Ok(Self(folder.to_owned()))
    }

    /// The image with this layer over it.
    pub fn over(&self, image: &Image) -> Image {
        let layers = image.layers.iter().chain([&self.0]).cloned().collect();
        let containerd_store = image.containerd_store();
        Image { image_name: IMAGE.to_owned(), tags: BTreeMap::new(), layers, containerd_store }
    }

    /// Where a machine of this address looks for a file.
    fn file(&self, machine: &Instance, kind: &str) -> PathBuf {
        self.0.join(format!("by-hand/{}.{kind}", machine.private_ip))
    }
}

/// Starts the components by windlass, and then by hand, in a cloud that is up and empty.
pub async fn compare(
    cloud: &LocalCloud,
    options: &Options,
    layer: &Layer,
    say: impl Fn(&str),
) -> Result<Comparison> {
    let mut life = Life { cloud, options, say: &say, timings: Timings::default(), killed: None, event: None };
    life.create("flannel").await?;
    let started = async { nodes_ready(cloud).await.context("started by windlass") };
    let ((), windlass) = tokio::try_join!(life.update(), started)?;
    say(&format!("started by windlass: {windlass:.1} s"));
    // Settled, so that all that is captured is written.
    life.validate().await?;
    let network = capture(cloud, layer).await?;
    life.delete().await?;

    let python = crate::region::python().await?;
    let network = network.to_string();
    let launch = ["-c", include_str!("by_hand/launch.py"), network.as_str()];
    let started = async { nodes_ready(cloud).await.context("started by hand") };
    let (_, by_hand) = tokio::try_join!(life.operator(&python, &launch), started)?;
    say(&format!("started by hand: {by_hand:.1} s"));
    Ok(Comparison { windlass, by_hand })
}

/// Takes from the machines what starts them, and returns what they are to be launched as.
async fn capture(cloud: &LocalCloud, layer: &Layer) -> Result<Value> {
    let world = cloud.region().world_now().await?;
    let running = |instance: &&Instance| instance.state == InstanceState::Running;
    let mut machines = Vec::new();
    for machine in world.instances.iter().filter(running) {
        let mut command = cloud.instance_command(&machine.id, "tar")?;
        command.args([
            "--directory=/",
            "--create",
            "--file=-",
            "--ignore-failed-read",
            "--warning=no-failed-read",
        ]);
        command.args(CAPTURED).stdin(Stdio::null()).stderr(Stdio::null());
        let output = tokio::process::Command::from(command).output().await?;
        ensure!(output.stdout.len() > 10_000, "nothing could be taken from {}: {output:?}", machine.id);
        fs::write(layer.file(machine, "tar"), output.stdout)?;
        let secondary: Vec<String> = machine.secondary_private_ips.iter().map(ToString::to_string).collect();
        let secondary = secondary.iter().map(|address| [address, "\n"].concat()).collect::<String>();
        fs::write(layer.file(machine, "addresses"), secondary)?;
        let subnet = world.subnets.iter().find(|subnet| subnet.id == machine.subnet);
        let subnet = subnet.context("a machine has no subnet")?;
        machines.push(json!({
            "address": machine.private_ip,
            "secondary": machine.secondary_private_ips,
            "subnet": subnet.cidr,
            "zone": subnet.zone,
            "type": machine.instance_type,
        }));
    }
    ensure!(machines.len() == MACHINES, "expected {MACHINES} machines, found {machines:?}");
    let status = cloud.status();
    let image = status.borrow().images.get(IMAGE).cloned().context("the cloud has no image for this")?;
    let vpc = world.vpcs.first().context("the machines have no VPC")?;
    Ok(json!({"cidr": vpc.cidr, "image": image, "machines": machines}))
}

/// Waits until every Node is Ready; returns the seconds since the first machine has started.
async fn nodes_ready(cloud: &LocalCloud) -> Result<f64> {
    let mut status = cloud.status();
    let is_running =
        |status: &crate::status::Status| status.instances.iter().any(|one| one.machine == "running");
    let first = tokio::time::timeout(PATIENCE, status.wait_for(is_running)).await;
    first.context("no machine has started")??;
    let started = Instant::now();
    let mut master = None;
    loop {
        ensure!(started.elapsed() < PATIENCE, "not every Node was Ready in time; the master is {master:?}");
        tokio::time::sleep(ASK).await;
        let ids: Vec<String> = status
            .borrow()
            .instances
            .iter()
            .filter(|one| one.pid.is_some())
            .map(|one| one.id.clone())
            .collect();
        let candidates = master.clone().map_or(ids, |id| vec![id]);
        for id in candidates {
            let Some(ready) = ready(cloud, &id).await else { continue };
            master = Some(id);
            if ready == MACHINES {
                return Ok(started.elapsed().as_secs_f64());
            }
            break;
        }
    }
}

/// How many Nodes are Ready, if this machine is the master and its API answers.
async fn ready(cloud: &LocalCloud, machine: &str) -> Option<usize> {
    const ADMIN: &str = "/srv/kubernetes/admin";
    let mut command = cloud.instance_command(machine, "curl").ok()?;
    command.args(["--silent", "--fail", "--max-time", "2"]);
    command.args(["--cacert", &format!("{ADMIN}/ca.crt"), "--cert", &format!("{ADMIN}/client.crt")]);
    command.args(["--key", &format!("{ADMIN}/client.key"), "https://127.0.0.1/api/v1/nodes"]);
    command.stdin(Stdio::null()).stderr(Stdio::null());
    let output = tokio::process::Command::from(command).output().await.ok()?;
    let nodes: Value = serde_json::from_slice(&output.stdout).ok()?;
    let is_ready = |node: &&Value| {
        let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
    };
    Some(nodes["items"].as_array()?.iter().filter(is_ready).count())
}
