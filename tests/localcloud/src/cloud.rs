//! The cloud: makes real, and keeps real, what the region's world says.
//!
//! One task owns everything. It hears of new worlds, of machines that were launched and of machines that ended,
//! and after each makes the network, the machines and the volumes what the world says. Launching and waiting are
//! done by tasks of their own that report back.

mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::firewall;
use crate::health::Checks;
use crate::image::Image;
use crate::imds::Metadata;
use crate::machine::{Machine, Setup};
use crate::namespace::{self, Namespace};
use crate::network::{ENDPOINT_PORT, Network, RESOLVER};
use crate::region::Region;
use crate::resolver::Resolver;
use crate::status::{InstanceStatus, Status, VolumeStatus};
use crate::volume::Volumes;
use crate::world::{Instance, InstanceState, World};

/// How long the task waits before it tries again what failed.
const AGAIN: Duration = Duration::from_secs(1);

/// What the task hears.
#[derive(Debug)]
enum Event {
    World(World),
    Launched(String, Result<Machine, String>),
    Ended(String),
    /// An instance that is off is terminated.
    Discarded(String),
    Again,
}

/// An instance's machine, from its launch until the world has forgotten the instance.
#[derive(Debug)]
enum State {
    Launching {
        doomed: bool,
    },
    Running(Machine),
    /// It is being killed; `off` if its disk is kept.
    Ending {
        machine: Machine,
        off: bool,
    },
    /// It was stopped, or is between the two halves of a reboot.
    Off,
    Ended {
        reason: &'static str,
    },
    Failed(String),
}

impl State {
    fn describe(&self) -> String {
        match self {
            Self::Launching { .. } => "launching".to_owned(),
            Self::Running(_) => "running".to_owned(),
            Self::Ending { .. } => "ending".to_owned(),
            Self::Off => "off".to_owned(),
            Self::Ended { reason } => (*reason).to_owned(),
            Self::Failed(reason) => format!("failed: {reason}"),
        }
    }

    fn machine(&self) -> Option<&Machine> {
        match self {
            Self::Running(machine) | Self::Ending { machine, .. } => Some(machine),
            _ => None,
        }
    }
}

/// The task that keeps the cloud.
pub(crate) struct Keeper {
    pub(crate) setup: Setup,
    pub(crate) images: BTreeMap<String, Image>,
    pub(crate) region: Region,
    pub(crate) network: Network,
    pub(crate) metadata: Metadata,
    pub(crate) resolver: Resolver,
    pub(crate) volumes: Volumes,
    checks: Checks,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) directory: PathBuf,
    world: Arc<World>,
    machines: BTreeMap<String, State>,
    /// How often each machine's instance had been asked to reboot when it was launched.
    reboots: BTreeMap<String, u64>,
    services: BTreeMap<String, Vec<JoinHandle<()>>>,
    events: mpsc::UnboundedSender<Event>,
    inbox: mpsc::UnboundedReceiver<Event>,
    retry_is_due: bool,
    /// What dead machines left is being taken away.
    cleaning: JoinSet<()>,
}

/// What a keeper is made of.
pub(crate) struct Parts {
    pub(crate) setup: Setup,
    pub(crate) images: BTreeMap<String, Image>,
    pub(crate) region: Region,
    pub(crate) network: Network,
    pub(crate) resolver: Resolver,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) directory: PathBuf,
}

impl Keeper {
    pub(crate) fn new(parts: Parts) -> Self {
        let (events, inbox) = mpsc::unbounded_channel();
        Self {
            metadata: Metadata::new(parts.region.clone()),
            checks: Checks::new(&parts.setup.cloud, parts.region.clone()),
            resolver: parts.resolver,
            volumes: Volumes::below(parts.directory.join("volumes")),
            setup: parts.setup,
            images: parts.images,
            region: parts.region,
            network: parts.network,
            status: parts.status,
            directory: parts.directory,
            world: Arc::default(),
            machines: BTreeMap::new(),
            reboots: BTreeMap::new(),
            services: BTreeMap::new(),
            events,
            inbox,
            retry_is_due: false,
            cleaning: JoinSet::new(),
        }
    }

    /// Keeps the cloud until told to stop; then ends every machine.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        let watcher = tokio::spawn(watch_world(self.region.clone(), self.events.clone()));
        loop {
            let event = tokio::select! {
                _ = &mut stop => break,
                event = self.inbox.recv() => event,
            };
            let Some(event) = event else { break };
            self.hear(event).await;
            self.reconcile().await;
            self.publish();
        }
        watcher.abort();
        self.end_all().await;
    }

    async fn hear(&mut self, event: Event) {
        match event {
            Event::World(world) => {
                self.world = Arc::new(world);
                self.metadata.set_world(Arc::clone(&self.world));
                self.resolver.set_world(Arc::clone(&self.world));
            }
            Event::Launched(id, Ok(machine)) => self.launched(id, machine).await,
            Event::Launched(id, Err(reason)) => {
                tracing::error!(instance = id, reason, "launch failed");
                self.region.report_console(&id, reason.clone().into_bytes()).await;
                self.machines.insert(id.clone(), State::Failed(reason));
                self.release_volumes(&id).await;
                self.report(&id, "terminated").await;
                self.clean(id);
            }
            Event::Ended(id) => self.ended(id).await,
            Event::Discarded(id) if matches!(self.machines.get(&id), Some(State::Off)) => {
                self.machines.insert(id.clone(), State::Ended { reason: "ended" });
                self.report(&id, "terminated").await;
                self.clean(id);
            }
            Event::Discarded(_) => {}
            Event::Again => self.retry_is_due = false,
        }
    }

    async fn launched(&mut self, id: String, machine: Machine) {
        let doomed = matches!(self.machines.get(&id), Some(State::Launching { doomed: true }));
        let (events, mut process, ended) = (self.events.clone(), machine.process().clone(), id.clone());
        tokio::spawn(async move {
            process.ended().await;
            // The receiver is gone only when the cloud is.
            let _ = events.send(Event::Ended(ended));
        });
        if doomed {
            machine.kill();
            self.machines.insert(id, State::Ending { machine, off: false });
            return;
        }
        tracing::info!(instance = id, leader = machine.leader(), "running");
        self.machines.insert(id.clone(), State::Running(machine));
        // Who hears the region say "running" finds the machine.
        self.publish();
        self.report(&id, "running").await;
    }

    async fn ended(&mut self, id: String) {
        let Some(state) = self.machines.get(&id) else { return };
        let (reason, off) = match state {
            State::Ending { off, .. } => ("ended", *off),
            _ => ("died", false),
        };
        if state.machine().is_none() {
            return;
        }
        self.release_volumes(&id).await;
        if off {
            return self.switched_off(id).await;
        }
        tracing::info!(instance = id, reason, "gone");
        self.machines.insert(id.clone(), State::Ended { reason });
        self.publish();
        self.report(&id, "terminated").await;
        self.clean(id);
    }

    /// The machine is off, and its disk is kept. What it had set in its network is gone, as in any machine's memory.
    async fn switched_off(&mut self, id: String) {
        let mut world = World::clone(&self.world);
        world.instances.retain(|instance| instance.id != id);
        self.machines.insert(id.clone(), State::Off);
        self.reconcile_network(&world).await;
        tracing::info!(instance = id, "off");
        self.publish();
        // A reboot isn't told: EC2 goes on showing the instance as running.
        if self.state_of(&id) == Some(InstanceState::Stopping) {
            self.report(&id, "stopped").await;
        }
    }

    fn state_of(&self, id: &str) -> Option<InstanceState> {
        self.world.instances.iter().find(|instance| instance.id == id).map(|instance| instance.state)
    }

    /// Takes away what a machine left. Its disk may be large; nobody waits for that.
    fn clean(&mut self, instance: String) {
        let setup = self.setup.clone();
        self.cleaning.spawn_blocking(move || {
            if let Err(error) = setup.clean(&instance) {
                tracing::warn!(instance, %error, "what the machine left can't be removed");
            }
        });
    }

    async fn report(&self, instance: &str, state: &str) {
        if let Err(error) = self.region.report_instance(instance, state).await {
            tracing::error!(instance, state, error = describe(&error), "the region doesn't take the report");
        }
    }

    async fn reconcile(&mut self) {
        let world = Arc::clone(&self.world);
        self.reconcile_network(&world).await;
        self.checks.follow(&world);
        self.reconcile_machines(&world);
        self.reconcile_volumes(&world).await;
    }

    /// Tries everything again in a while.
    fn again(&mut self, after: Duration) {
        if self.retry_is_due {
            return;
        }
        self.retry_is_due = true;
        let events = self.events.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let _ = events.send(Event::Again);
        });
    }

    async fn reconcile_network(&mut self, world: &World) {
        let lingering: BTreeSet<String> = self
            .machines
            .iter()
            .filter(|(_, state)| !matches!(state, State::Off | State::Ended { .. } | State::Failed(_)))
            .map(|(id, _)| id.clone())
            .collect();
        match self.network.apply(world, &lingering).await {
            Ok(changes) => {
                for vpc in changes.lost_routers {
                    self.services.remove(&vpc).into_iter().flatten().for_each(|service| service.abort());
                }
                for (vpc, router) in changes.new_routers {
                    match self.serve(world, &vpc, &router) {
                        Ok(services) => drop(self.services.insert(vpc, services)),
                        Err(error) => tracing::error!(vpc, error = describe(&error), "no metadata service"),
                    }
                }
            }
            Err(error) => {
                tracing::error!(error = describe(&error), "the network is not what it should be");
                self.again(AGAIN);
            }
        }
    }

    /// Starts what a VPC's router answers itself: metadata and DNS.
    fn serve(
        &self,
        world: &World,
        vpc: &str,
        router: &Namespace,
    ) -> Result<Vec<JoinHandle<()>>, namespace::Error> {
        let inside = |source| namespace::Error::Inside {
            act: "serve".to_owned(),
            name: router.name().to_owned(),
            source,
        };
        let listener = TcpListener::from_std(router.listen(firewall::METADATA, 80)?).map_err(inside)?;
        let mut services = vec![tokio::spawn(self.metadata.clone().serve(vpc.to_owned(), listener))];
        let address = world.vpcs.iter().find(|other| other.id == vpc).map(|vpc| firewall::resolver(vpc.cidr));
        if let Some(address) = address {
            let socket = router.bind_udp(address, 53)?;
            let socket = UdpSocket::from_std(socket).map_err(inside)?;
            services.push(tokio::spawn(self.resolver.clone().serve(Some(vpc.to_owned()), socket)));
        }
        Ok(services)
    }

    fn reconcile_machines(&mut self, world: &World) {
        for instance in &world.instances {
            let off = matches!(self.machines.get(&instance.id), None | Some(State::Off));
            if instance.state.is_alive() && off {
                self.launch(world, instance);
            }
            self.switch_off(instance);
        }
        let wanted: BTreeSet<&String> =
            world.instances.iter().filter(|instance| instance.state.is_alive()).map(|i| &i.id).collect();
        let is_off =
            |instance: &&Instance| matches!(instance.state, InstanceState::Stopping | InstanceState::Stopped);
        let off: BTreeSet<&String> = world.instances.iter().filter(is_off).map(|i| &i.id).collect();
        let known: BTreeSet<&String> = world.instances.iter().map(|instance| &instance.id).collect();
        for (id, state) in &mut self.machines {
            if wanted.contains(id) {
                continue;
            }
            match state {
                State::Launching { doomed } => *doomed = true,
                State::Running(machine) => {
                    machine.kill();
                    *state = State::Ending { machine: machine.clone(), off: false };
                }
                State::Off if !off.contains(id) => {
                    let _ = self.events.send(Event::Discarded(id.clone()));
                }
                State::Ending { off: end, .. } => *end &= off.contains(id),
                State::Off | State::Ended { .. } | State::Failed(_) => {}
            }
        }
        let forgotten: Vec<String> = self
            .machines
            .iter()
            .filter(|(id, state)| {
                !known.contains(id) && matches!(state, State::Ended { .. } | State::Failed(_))
            })
            .map(|(id, _)| id.clone())
            .collect();
        for id in forgotten {
            self.machines.remove(&id);
            self.reboots.remove(&id);
        }
    }

    /// Kills the machine of an instance that is to be stopped, or to be rebooted. It is launched again when the
    /// instance should have a machine and has none.
    fn switch_off(&mut self, instance: &Instance) {
        let Some(State::Running(machine)) = self.machines.get(&instance.id) else { return };
        let reboot = self.reboots.get(&instance.id).is_some_and(|known| *known < instance.reboots);
        if instance.state == InstanceState::Stopping || (reboot && instance.state.is_alive()) {
            machine.kill();
            let machine = machine.clone();
            self.machines.insert(instance.id.clone(), State::Ending { machine, off: true });
        }
    }

    fn launch(&mut self, world: &World, instance: &Instance) {
        let vpc = world.vpcs.iter().find(|vpc| vpc.id == instance.vpc);
        let (Some(vpc), true) = (vpc, world.subnets.iter().any(|subnet| subnet.id == instance.subnet)) else {
            let reason = format!("the world has no VPC {} with {}", instance.vpc, instance.subnet);
            let _ = self.events.send(Event::Launched(instance.id.clone(), Err(reason)));
            self.machines.insert(instance.id.clone(), State::Launching { doomed: false });
            return;
        };
        self.reboots.insert(instance.id.clone(), instance.reboots);
        let image = self.images.get(&instance.image).cloned();
        let (setup, instance, events) = (self.setup.clone(), instance.clone(), self.events.clone());
        let resolver = firewall::resolver(vpc.cidr);
        self.machines.insert(instance.id.clone(), State::Launching { doomed: false });
        tokio::spawn(async move {
            let result = match image {
                Some(image) => {
                    setup.launch(&instance, &image, resolver).await.map_err(|error| describe(&error))
                }
                None => Err(format!("there is no image {} to boot from", instance.image)),
            };
            let _ = events.send(Event::Launched(instance.id, result));
        });
    }

    fn publish(&self) {
        let status = self.describe();
        if *self.status.borrow() == status {
            return;
        }
        if let Err(error) = status.write(&self.directory) {
            tracing::warn!(%error, "the status can't be written");
        }
        self.status.send_replace(status);
    }

    fn describe(&self) -> Status {
        let mut status = self.status.borrow().clone();
        status.instances =
            self.world.instances.iter().map(|instance| self.describe_instance(instance)).collect();
        status.volumes = self
            .world
            .volumes
            .iter()
            .map(|volume| {
                let attached = self.volumes.attached().get(&volume.id);
                VolumeStatus {
                    id: volume.id.clone(),
                    size: volume.size,
                    state: volume.state.clone(),
                    instance: attached.map(|attached| attached.instance.clone()),
                    device: attached.map(|attached| attached.device.display().to_string()),
                }
            })
            .collect();
        status
    }

    fn describe_instance(&self, instance: &Instance) -> InstanceStatus {
        let state = self.machines.get(&instance.id);
        InstanceStatus {
            id: instance.id.clone(),
            name: instance.tags.get("Name").cloned(),
            state: instance.state.as_str().to_owned(),
            machine: state.map_or_else(|| "none".to_owned(), State::describe),
            pid: state.and_then(State::machine).map(Machine::leader),
            private_addresses: instance.private_addresses().collect(),
            public_addresses: instance.public_ips.values().copied().collect(),
        }
    }

    /// Kills every machine and waits until each is gone.
    async fn end_all(&mut self) {
        for service in self.services.values().flatten() {
            service.abort();
        }
        while self.cleaning.join_next().await.is_some() {}
        for (id, state) in &self.machines {
            if let Some(machine) = state.machine() {
                machine.kill();
                machine.process().clone().ended().await;
                tracing::debug!(instance = id, "ended");
            }
        }
    }
}

/// Asks the region for its world for ever, and passes on what is new.
async fn watch_world(region: Region, events: mpsc::UnboundedSender<Event>) {
    // Less than any generation, so that the first answer comes at once.
    let mut known = None;
    loop {
        let world = match known {
            None => region.world_now().await,
            Some(generation) => region.world(generation).await,
        };
        match world {
            Ok(world) if Some(world.generation) == known => {}
            Ok(world) => {
                known = Some(world.generation);
                if events.send(Event::World(world)).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(error = describe(&error), "no news of the world");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// An error with what caused it, on one line.
pub(crate) fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

/// The socket of the Internet's resolver, in its namespace.
pub(crate) fn names(internet: &Namespace) -> Result<UdpSocket, namespace::Error> {
    let socket = internet.bind_udp(RESOLVER, 53)?;
    UdpSocket::from_std(socket).map_err(|source| namespace::Error::Inside {
        act: "serve names".to_owned(),
        name: internet.name().to_owned(),
        source,
    })
}

/// The listener of AWS's endpoints, at all addresses of the Internet's namespace.
pub(crate) fn endpoint(internet: &Namespace) -> Result<TcpListener, namespace::Error> {
    let listener = internet.listen(Ipv4Addr::UNSPECIFIED, ENDPOINT_PORT)?;
    TcpListener::from_std(listener).map_err(|source| namespace::Error::Inside {
        act: "serve AWS's endpoint".to_owned(),
        name: internet.name().to_owned(),
        source,
    })
}
