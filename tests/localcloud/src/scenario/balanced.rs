//! A load balancer that somebody else made, and an instance group whose instances Auto Scaling puts behind it: clients go
//! round, those who come while one hangs or goes find another, and those who are there already get their answers.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};

use super::bastion::{OPERATOR, SOMEBODY_ELSE};
use super::interruption::GROUP;
use super::{GLANCE, Life, PATIENCE};
use crate::world::{InstanceState, Target, TargetGroup, TargetHealth};

/// A web server on every node, each behind its own node's port.
const WEB: &str = include_str!("balanced/web.yaml");

/// That port.
const PORT: u16 = 30080;

/// For how long targets drain, in seconds.
const DELAY: u64 = 30;

/// How long an answer is waited for that was asked for before its target drained.
const LONG: Duration = Duration::from_secs(12);

/// Within how many seconds an instance goes that has drained: its agent asks every five whether the group waits at its hook.
const SETTLED: f64 = 60.0;

/// How many clients come to see whether they go round.
const CLIENTS: usize = 40;

/// How many of them find nobody, at most, until health checks have found out that a node hangs: two checks, five seconds
/// apart, and each client waits for as long.
const LOST: usize = 8;

/// How long a client waits for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A connection through the load balancer, and whom it leads to.
struct Open {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Open {
    async fn say(&mut self, text: &str) -> Result<()> {
        self.stream.get_mut().write_all(text.as_bytes()).await.context("the connection is gone")
    }

    /// The body of the next answer, which must be a success.
    async fn answer(&mut self) -> Result<String> {
        tokio::time::timeout(ANSWER, self.read_answer()).await.context("no answer comes")?
    }

    async fn read_answer(&mut self) -> Result<String> {
        let (mut status, mut length) = (String::new(), 0);
        self.stream.read_line(&mut status).await?;
        ensure!(status.contains(" 200 "), "the answer is {status:?}");
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line).await? > 0, "the answer ends in its headers");
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse()?;
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(String::from_utf8(body)?)
    }
}

impl Life<'_> {
    /// Makes the load balancer, names its target group in the instance group, and sees clients go round.
    pub(super) async fn balance(&mut self) -> Result<()> {
        let manifest = self.options.folder.join("web.yaml");
        fs_err::write(&manifest, WEB)?;
        self.kubectl(&["apply", "--filename", &manifest.display().to_string()]).await?;
        self.kubectl(&["rollout", "status", "daemonset/web", "--timeout=180s"]).await?;

        let world = self.cloud.region().world_now().await?;
        let vpc = world.vpcs.first().context("the cluster has no VPC")?;
        let gateway = vpc.internet_gateway.clone().unwrap_or_default();
        let public = world.subnets.iter().filter(|one| one.routes.iter().any(|way| way.target == gateway));
        let public: Vec<&String> = public.map(|subnet| &subnet.id).collect();
        let wanted = json!({"vpc": vpc.id, "subnets": public, "port": PORT, "delay": DELAY});
        let group = self.front(&wanted.to_string()).await?;
        let setting = format!("spec.externalLoadBalancers[0].targetGroupArn={}", group.trim());
        self.edit_nodes(&["--set", &setting]).await?;
        self.apply().await?;
        self.goes_round().await?;
        // There is a way from where ssh is refused, so that it was `sshAccess` that refused it.
        self.client_from(SOMEBODY_ELSE).await.context("nobody gets in from where ssh is refused").map(drop)
    }

    /// Takes the load balancer away, as whoever made it does.
    pub(super) async fn unbalance(&mut self) -> Result<()> {
        self.front("{}").await.map(drop)
    }

    async fn front(&self, wanted: &str) -> Result<String> {
        let python = crate::region::python().await?;
        self.operator(&python, &["-c", include_str!("balanced/front.py"), wanted]).await
    }

    /// Every node is a healthy target, and many clients find each of them.
    pub(super) async fn goes_round(&mut self) -> Result<()> {
        self.wait("both nodes are healthy targets", async |life| {
            let mut nodes: Vec<String> = life.nodes().await?.into_iter().map(|(id, _)| id).collect();
            nodes.sort();
            Ok(nodes.len() == 2 && life.web_being(TargetHealth::Healthy).await? == nodes)
        })
        .await?;
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for _ in 0..CLIENTS {
            *found.entry(self.client().await.context("a client found nobody")?).or_default() += 1;
        }
        (self.say)(&format!("{CLIENTS} clients found {found:?}"));
        let hosts = self.hosts().await?;
        ensure!(found.keys().eq(hosts.keys()), "the nodes are {hosts:?}");
        ensure!(found.values().all(|count| *count >= CLIENTS / 8), "one of them is found too seldom");
        Ok(())
    }

    /// A node's server answers nobody any more, but keeps its port open: only a health check that asks it finds out.
    pub(super) async fn hangs(&mut self) -> Result<()> {
        let hosts = self.hosts().await?;
        let (host, node) = hosts.first_key_value().context("there are no nodes")?;
        let signal = |signal: &'static str| ["--signal", signal, "--full", "http-port=8088"];
        self.on(node, "pkill", &signal("STOP")).await?;
        let (hung, mut clients, mut lost) = (Instant::now(), 0, 0);
        while self.web_being(TargetHealth::Unhealthy).await? != [node.clone()] {
            clients += 1;
            lost += usize::from(self.client().await.is_err());
            ensure!(
                hung.elapsed() < PATIENCE,
                "{lost} of {clients} clients found nobody: {node} stays a target"
            );
        }
        let seconds = hung.elapsed().as_secs_f64();
        self.timings.measured.insert("hangingToTakenOut".into(), seconds);
        (self.say)(&format!("{lost} of {clients} clients found nobody, in {seconds:.1} s"));
        ensure!(lost <= LOST, "too many clients found nobody");
        for _ in 0..CLIENTS {
            let found = self.client().await.context("a client found nobody after the node was taken out")?;
            ensure!(found != *host, "a client was sent to the node that hangs");
        }
        self.on(node, "pkill", &signal("CONT")).await?;
        self.goes_round().await
    }

    /// While the group is scaled in, the target that goes gets no new clients, and an answer that was asked for before is
    /// waited for; only then its instance goes.
    pub(super) async fn is_drained(&mut self) -> Result<()> {
        self.cloud.region().delete("journal").await?;
        let mut open = self.one_to_each().await?;
        for one in &mut open {
            one.say("GET /hostname HTTP/1.1\r\nHost: web\r\n").await?;
        }
        let ((), (node, drained)) = tokio::try_join!(self.scale_in(), self.drains(open))?;
        self.is_gone(&node).await?;
        let seconds = drained.elapsed().as_secs_f64();
        self.timings.measured.insert("drainingToGone".into(), seconds);
        #[expect(clippy::cast_precision_loss, reason = "half a minute")]
        let delay = DELAY as f64;
        let fits = (delay - 2.0..delay + SETTLED).contains(&seconds);
        ensure!(
            fits,
            "{node} went {seconds:.1} s after it began to drain, and its targets drain for {delay} s"
        );
        self.has_moved_before_it_went().await
    }

    /// Waits for a target that drains; returns it, and since when.
    async fn drains(&self, mut open: Vec<Open>) -> Result<(String, Instant)> {
        self.wait("a target drains", async |life| {
            Ok(life.web_being(TargetHealth::Draining).await?.len() == 1)
        })
        .await?;
        let since = Instant::now();
        let node = self.web_being(TargetHealth::Draining).await?.remove(0);
        let hosts = self.hosts().await?;
        let mut clients = 0;
        while since.elapsed() < LONG {
            let found = self.client().await.context("a client found nobody")?;
            ensure!(hosts.get(&found).is_some_and(|found| *found != node), "a client was sent to {found}");
            clients += 1;
            for one in &mut open {
                one.say("Still: here\r\n").await?;
            }
            tokio::time::sleep(GLANCE).await;
        }
        for one in &mut open {
            one.say("\r\n").await?;
            let answer = one.answer().await.with_context(|| format!("no answer from {}", one.host))?;
            ensure!(answer == one.host, "{} has become {answer}", one.host);
        }
        let world = self.cloud.region().world_now().await?;
        let runs = world.instances.iter().any(|one| one.id == node && one.state == InstanceState::Running);
        ensure!(runs, "{node} was ended while a client waited for its answer");
        let seconds = since.elapsed().as_secs_f64();
        (self.say)(&format!(
            "{clients} clients found the other node; both got their answers, {seconds:.1} s after {node} began to drain"
        ));
        Ok((node, since))
    }

    /// Connections through the load balancer, one to each node.
    async fn one_to_each(&self) -> Result<Vec<Open>> {
        let balancer = self.balancer_of(80).await?;
        let public = balancer.nodes.iter().find_map(|node| node.public_ip).context("it isn't public")?;
        let hosts = self.hosts().await?;
        let mut open: BTreeMap<String, Open> = BTreeMap::new();
        for _ in 0..CLIENTS {
            let socket = TcpSocket::from_std_stream(self.cloud.internet().socket()?);
            let connected =
                tokio::time::timeout(ANSWER, socket.connect(SocketAddr::from((public, 80)))).await;
            let mut one = Open { stream: BufReader::new(connected??), host: String::new() };
            one.say("GET /hostname HTTP/1.1\r\nHost: web\r\n\r\n").await?;
            one.host = one.answer().await?;
            open.entry(one.host.clone()).or_insert(one);
            if open.len() == hosts.len() {
                return Ok(open.into_values().collect());
            }
        }
        Err(anyhow::anyhow!("{CLIENTS} connections led to {:?}, of {hosts:?}", open.keys()))
    }

    /// A client of its own asks by the load balancer's name; returns the host that answers.
    async fn client(&self) -> Result<String> {
        self.client_from(OPERATOR).await
    }

    async fn client_from(&self, address: Ipv4Addr) -> Result<String> {
        let url = format!("http://{}/hostname", self.balancer_of(80).await?.dns_name);
        let (from, limit) = (address.to_string(), ANSWER.as_secs().to_string());
        let asking = ["--silent", "--show-error", "--fail", "--max-time", &limit, "--interface", &from, &url];
        self.operator("curl".as_ref(), &asking).await
    }

    /// The nodes by the host names of their web servers.
    async fn hosts(&self) -> Result<BTreeMap<String, String>> {
        let pods = self.kubectl(&["get", "pods", "--selector=app=web", "--output=json"]).await?;
        let pods: Value = serde_json::from_str(&pods)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let named = |pod: &Value| (text(&pod["metadata"]["name"]), text(&pod["spec"]["nodeName"]));
        let (nodes, pods) = (self.nodes().await?, pods["items"].as_array().into_iter().flatten());
        Ok(pods.map(named).filter(|(_, node)| nodes.iter().any(|(id, _)| id == node)).collect())
    }

    async fn web_being(&self, health: TargetHealth) -> Result<Vec<String>> {
        let balancer = self.balancer_of(80).await?;
        let listener =
            balancer.listeners.first().with_context(|| format!("nobody brings clients to {GROUP}"))?;
        self.targets_being(&listener.target_group, health).await
    }

    /// The targets of a target group that are in a state, in order.
    pub(super) async fn targets_being(&self, group: &str, health: TargetHealth) -> Result<Vec<String>> {
        let world = self.cloud.region().world_now().await?;
        let group = world.target_groups.iter().filter(|one| one.arn == group);
        let targets = group.flat_map(|group: &TargetGroup| &group.targets);
        let being = targets.filter(|target: &&Target| target.health == health);
        let mut ids: Vec<String> = being.map(|target| target.id.clone()).collect();
        ids.sort();
        Ok(ids)
    }
}
