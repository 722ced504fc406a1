//! Bastions as operators use them: by SSH to the load balancer's name, through a bastion to machines that have no public
//! address, and as a tunnel to an API that is for the VPC alone.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};

use super::{CLUSTER, Life, STATE};
use crate::network::{self, ENDPOINT, RESOLVER};
use crate::process::{Owned, Process};
use crate::world::{Instance, LoadBalancer};

/// The tag of bastions' group.
pub(super) const BASTION: &str = "k8s.io/role/bastion";

/// Where the operator connects from, the one place that `sshAccess` names.
pub(super) const OPERATOR: Ipv4Addr = ENDPOINT;

/// Another address of the Internet, which it doesn't name.
pub(super) const SOMEBODY_ELSE: Ipv4Addr = RESOLVER;

/// The port of the operator's own machine from which the tunnel leads to the API.
const LOCAL_PORT: &str = "127.0.0.1:8443";

/// What ssh ends with that doesn't get to a machine.
const NO_CONNECTION: i32 = 255;

/// What curl ends with that gets no answer: ssh passes it on.
const TIMED_OUT_ON_THE_BASTION: i32 = 28;

/// How the operator's ssh finds its key, and bastions by a short name.
const CONFIGURATION: &str = "\
Host bastion
  HostName NAME
Host *
  User admin
  IdentityFile FOLDER/key
  IdentitiesOnly yes
  BatchMode yes
  ConnectTimeout 3
  ServerAliveInterval 20
  StrictHostKeyChecking accept-new
  UserKnownHostsFile FOLDER/known_hosts
  LogLevel ERROR
";

/// The way to an API that is for the VPC alone. It ends with this.
#[derive(Debug)]
pub(super) struct Tunnel(#[expect(dead_code, reason = "it is there to be dropped")] Owned);

impl Life<'_> {
    /// Makes the operator's key; returns the flags by which a cluster has a bastion that lets in whoever has it, from here.
    pub(super) async fn bastion_flags(&self) -> Result<Vec<String>> {
        let key = self.options.folder.join("key").display().to_string();
        let make = ["-q", "-t", "ed25519", "-N", "", "-f", &key];
        self.operator("ssh-keygen".as_ref(), &make).await.context("there is no key to log in with")?;
        let (public, from) = (format!("{key}.pub"), format!("{OPERATOR}/32"));
        Ok(["--bastion", "--ssh-public-key", &public, "--ssh-access", &from].map(str::to_owned).into())
    }

    fn ssh_configuration(&self) -> PathBuf {
        self.options.folder.join("ssh")
    }

    pub(super) async fn balancer_of(&self, port: u16) -> Result<LoadBalancer> {
        let world = self.cloud.region().world_now().await?;
        let listens = |one: &LoadBalancer| one.listeners.iter().any(|listener| listener.port == port);
        let found = world.load_balancers.into_iter().find(listens);
        found.with_context(|| format!("no load balancer listens at port {port}"))
    }

    async fn ssh(&self, arguments: &[&str]) -> Result<Output> {
        let file = self.ssh_configuration().display().to_string();
        self.run("ssh".as_ref(), &[["-F", &file].as_slice(), arguments].concat()).await
    }

    /// Waits until a machine that is reached by these arguments says its own name.
    async fn logs_in(&self, arguments: &[&str], machine: &Instance) -> Result<()> {
        self.wait(&format!("ssh {} reaches {}", arguments.join(" "), machine.id), async |life| {
            let output = life.ssh(&[arguments, &["hostname"]].concat()).await?;
            let (said, error) =
                (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            ensure!(output.status.success(), "{}", error.trim());
            ensure!(said.trim() == machine.host_name(), "{} says {said:?}", machine.host_name());
            Ok(true)
        })
        .await
    }

    /// The bastion lets in whom `sshAccess` names, with the cluster's key, and through it each machine does; past it none does.
    pub(super) async fn is_jumped_through(&mut self) -> Result<()> {
        let name = self.balancer_of(22).await?.dns_name;
        let folder = self.options.folder.display().to_string();
        let text = CONFIGURATION.replace("NAME", &name).replace("FOLDER", &folder);
        fs_err::write(self.ssh_configuration(), text)?;

        let machines = self.cloud.region().world_now().await?.instances;
        let is_bastion = |machine: &&Instance| machine.tags.contains_key(BASTION);
        let bastion = machines.iter().find(is_bastion).context("there is no bastion")?;
        let here = OPERATOR.to_string();
        self.logs_in(&["-b", &here, "bastion"], bastion).await?;
        let others: Vec<&Instance> = machines.iter().filter(|machine| !is_bastion(machine)).collect();
        for machine in &others {
            let address = machine.private_ip.to_string();
            self.logs_in(&["-J", "bastion", &address], machine).await?;
            self.is_refused(&[&address, "true"], NO_CONNECTION).await?;
            let kubelet = format!("https://{address}:10250/");
            let asked = ["bastion", "curl", "--silent", "--insecure", "--max-time", "2", &kubelet];
            self.is_refused(&asked, TIMED_OUT_ON_THE_BASTION).await?;
        }
        ensure!(others.len() == 3, "a master and two nodes were to be reached, and not {}", others.len());
        let elsewhere = SOMEBODY_ELSE.to_string();
        self.is_refused(&["-b", &elsewhere, "bastion", "true"], NO_CONNECTION).await?;
        self.asks_for_the_cluster_s_key(&name).await
    }

    /// Whoever has another key is turned away by the bastion itself.
    async fn asks_for_the_cluster_s_key(&self, bastion: &str) -> Result<()> {
        let other = self.options.folder.join("other-key").display().to_string();
        self.operator("ssh-keygen".as_ref(), &["-q", "-t", "ed25519", "-N", "", "-f", &other]).await?;
        let user = format!("admin@{bastion}");
        let options = ["BatchMode=yes", "ConnectTimeout=3", "IdentitiesOnly=yes", "StrictHostKeyChecking=no"];
        let options = options.into_iter().chain(["UserKnownHostsFile=/dev/null"]);
        let options: Vec<&str> = options.flat_map(|option| ["-o", option]).collect();
        let line = [["-F", "/dev/null", "-i", &other].as_slice(), &options, &[&user, "true"]].concat();
        let output = self.run("ssh".as_ref(), &line).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && said.contains("Permission denied"),
            "another key: {}: {said}",
            output.status
        );
        Ok(())
    }

    async fn is_refused(&self, arguments: &[&str], code: i32) -> Result<()> {
        let output = self.ssh(arguments).await?;
        let (line, status) = (arguments.join(" "), output.status);
        ensure!(status.code() == Some(code), "`ssh {line}` ended with {status}, and not with {code}");
        Ok(())
    }

    /// The API's load balancer has addresses of the VPC alone, which lead nowhere from here. Opens a tunnel to it through the
    /// bastion: at a port of the operator's machine, and at those very addresses, which the operator's machine takes for its
    /// own. So what goes by the load balancer's name goes there, too.
    pub(super) async fn open_tunnel(&self) -> Result<Tunnel> {
        let balancer = self.balancer_of(443).await?;
        let public: Vec<_> = balancer.nodes.iter().filter_map(|node| node.public_ip).collect();
        ensure!(public.is_empty(), "the API's load balancer has public addresses: {public:?}");
        let internet = network::internet(self.cloud.name());
        let mut forwards = vec![format!("{LOCAL_PORT}:{}:443", balancer.dns_name)];
        for node in &balancer.nodes {
            let address = node.private_ip;
            ensure!(!self.reaches(address, "443").await?, "{address} is reached without a tunnel");
            internet.links(&format!("addr replace {address}/32 dev lo\n")).await?;
            forwards.push(format!("{address}:443:{address}:443"));
        }
        let mut line =
            ["ip", "netns", "exec", internet.name(), "ssh", "-N", "-F"].map(str::to_owned).to_vec();
        line.push(self.ssh_configuration().display().to_string());
        line.extend(["-o", "ExitOnForwardFailure=yes"].map(str::to_owned));
        line.extend(forwards.into_iter().flat_map(|forward| ["-L".to_owned(), forward]));
        line.push("bastion".to_owned());
        let (process, _) = Process::start("tunnel", &line, &[])?;
        let tunnel = Tunnel(Owned(process));
        let address = balancer.nodes.first().context("the load balancer is nowhere")?.private_ip;
        self.wait("the tunnel is there", async |life| life.reaches(address, "443").await).await?;
        Ok(tunnel)
    }

    /// A kubeconfig that names the tunnel's end on the operator's own machine.
    pub(super) async fn api_answers_at_the_tunnel_s_end(&mut self) -> Result<()> {
        let file = self.options.folder.join("by-tunnel").display().to_string();
        let server = format!("https://{LOCAL_PORT}");
        let cluster = ["export", "kubeconfig", "--name", CLUSTER, "--state", STATE, "--admin"];
        let flags = ["--api-server", &server, "--kubeconfig", &file];
        self.windlass(&[cluster.as_slice(), &flags].concat()).await?;
        let ask = ["--kubeconfig", &file, "get", "nodes", "--output=name"];
        let nodes = self.kubectl(&ask).await?;
        ensure!(nodes.lines().count() == 3, "the API has these nodes: {nodes}");
        Ok(())
    }

    /// Whether the operator gets a connection to an address.
    pub(super) async fn reaches(&self, address: Ipv4Addr, port: &str) -> Result<bool> {
        let script = format!("exec 3<>/dev/tcp/{address}/{port}");
        let output = self.run("timeout".as_ref(), &["1", "bash", "-c", &script]).await?;
        Ok(output.status.success())
    }
}
