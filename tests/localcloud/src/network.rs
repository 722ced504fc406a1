//! The network: one namespace for the Internet, one router for each VPC, one namespace for each instance.
//!
//! [`settings()`] says, purely, which routes, rules and neighbours a router and the Internet must have;
//! [`Network::apply`] makes namespaces and links, and applies what changed.
//!
//! Instances' links carry 9001 bytes, as EC2's do inside a VPC; the gateway's link carries 1500, and so does the one to S3
//! that a gateway endpoint leads to.

mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

pub use settings::{
    Numbers, Setting, Settings, commands, difference, gateway_of, internet_settings, public_addresses,
    settings,
};
use settings::{router_address, s3_link, s3_router_address, vpc_link};

use crate::appliance::{self, Appliance};
use crate::firewall::{self, GATEWAY_LINK, METADATA, S3_LINK, link_name};
use crate::namespace::{self, Namespace};
use crate::world::{Instance, Subnet, Vpc, World};

/// Where AWS's endpoint is, in the Internet.
pub const ENDPOINT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Where S3's endpoint is, in the Internet: an address of its own, so that routes to it can differ.
pub const S3_ENDPOINT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// Where the Internet's DNS resolver is.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);
/// The port of AWS's endpoints.
pub const ENDPOINT_PORT: u16 = 4566;
/// The instance's network interface, named as Linux names the first one of a Nitro instance.
pub const INTERFACE: &str = "ens5";

/// The first number of subnets' routing tables; the kernel's own are below 256.
const FIRST_TABLE: u32 = 1000;

/// The namespaces and links that exist, and what was last applied to them.
#[derive(Debug)]
pub struct Network {
    cloud: String,
    vpcs: Numbers,
    internet: Settings,
    routers: BTreeMap<String, RouterState>,
    /// Connected instances and their VPCs.
    instances: BTreeMap<String, String>,
    /// Appliances that are there.
    appliances: BTreeMap<String, ApplianceState>,
}

#[derive(Debug)]
struct ApplianceState {
    vpc: String,
    /// What was last connected, and what was last loaded.
    appliance: Appliance,
}

#[derive(Debug)]
struct RouterState {
    tables: Numbers,
    settings: Settings,
    firewall: String,
    /// The private address behind each public one.
    public: BTreeMap<Ipv4Addr, Ipv4Addr>,
}

/// What [`Network::apply`] made or took away.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// VPCs whose router is new.
    pub new_routers: Vec<(String, Namespace)>,
    /// VPCs whose router is gone.
    pub lost_routers: Vec<String>,
}

impl Network {
    /// Makes the Internet of the cloud of this name.
    pub async fn create(cloud: &str) -> Result<Self, namespace::Error> {
        let network = Self {
            cloud: cloud.to_owned(),
            vpcs: Numbers::starting_at(2),
            internet: Settings::new(),
            routers: BTreeMap::new(),
            instances: BTreeMap::new(),
            appliances: BTreeMap::new(),
        };
        let internet = network.internet();
        internet.create().await?;
        make_router(&internet)?;
        for address in [ENDPOINT, S3_ENDPOINT, RESOLVER] {
            internet.links(&format!("addr add {address}/32 dev lo\n")).await?;
        }
        internet.resolve_by(RESOLVER)?;
        Ok(network)
    }

    /// The Internet's namespace.
    pub fn internet(&self) -> Namespace {
        internet(&self.cloud)
    }

    /// A VPC's router, or an instance's namespace, by id.
    pub fn namespace(&self, id: &str) -> Namespace {
        Namespace::named(format!("{}-{id}", self.cloud))
    }

    /// Makes the network what the world says. `lingering` are instances that the world has ended but whose
    /// machines still die: their namespaces stay.
    pub async fn apply(
        &mut self,
        world: &World,
        lingering: &BTreeSet<String>,
    ) -> Result<Changes, namespace::Error> {
        let mut changes = Changes::default();
        for vpc in world.vpcs.iter().filter(|vpc| !self.routers.contains_key(&vpc.id)).collect::<Vec<_>>() {
            changes.new_routers.push((vpc.id.clone(), self.create_router(vpc).await?));
        }
        self.connect_instances(world).await?;
        self.connect_appliances(world).await?;
        for vpc in &world.vpcs {
            self.apply_router(world, vpc).await?;
        }
        let internet = internet_settings(world, &mut self.vpcs);
        apply_settings(&self.internet(), &self.internet, &internet).await?;
        self.internet = internet;
        self.disconnect_instances(world, lingering).await?;
        self.disconnect_appliances(world).await?;
        self.delete_routers(world, &mut changes).await?;
        Ok(changes)
    }

    async fn create_router(&mut self, vpc: &Vpc) -> Result<Namespace, namespace::Error> {
        let router = self.namespace(&vpc.id);
        router.create().await?;
        make_router(&router)?;
        let number = self.vpcs.of(&vpc.id);
        let (internet, link, address) = (self.internet(), vpc_link(number), router_address(number));
        let (s3_link, s3_address) = (s3_link(number), s3_router_address(number));
        internet
            .links(&format!(
                "link add {link} type veth peer name {GATEWAY_LINK} netns {router}\n\
                 link set {link} up\n\
                 addr add {ENDPOINT}/32 peer {address}/32 dev {link}\n\
                 link add {s3_link} type veth peer name {S3_LINK} netns {router}\n\
                 link set {s3_link} up\n\
                 addr add {ENDPOINT}/32 peer {s3_address}/32 dev {s3_link}\n",
                router = router.name()
            ))
            .await?;
        let resolver = firewall::resolver(vpc.cidr);
        router
            .links(&format!(
                "link set {GATEWAY_LINK} up\n\
                 addr add {address}/32 dev {GATEWAY_LINK} noprefixroute\n\
                 link set {S3_LINK} up\n\
                 addr add {s3_address}/32 dev {S3_LINK} noprefixroute\n\
                 addr add {METADATA}/32 dev lo\n\
                 addr add {resolver}/32 dev lo\n\
                 rule add pref 10 lookup main\n"
            ))
            .await?;
        let tables = Numbers::starting_at(FIRST_TABLE);
        let state = RouterState {
            tables,
            settings: Settings::new(),
            firewall: String::new(),
            public: BTreeMap::new(),
        };
        self.routers.insert(vpc.id.clone(), state);
        Ok(router)
    }

    async fn connect_instances(&mut self, world: &World) -> Result<(), namespace::Error> {
        for vpc in &world.vpcs {
            for instance in world.connected(&vpc.id) {
                let subnet = world.subnets.iter().find(|subnet| subnet.id == instance.subnet);
                if let (false, Some(subnet)) = (self.instances.contains_key(&instance.id), subnet) {
                    self.connect(instance, subnet).await?;
                    self.instances.insert(instance.id.clone(), vpc.id.clone());
                }
            }
        }
        Ok(())
    }

    /// Gives an instance its namespace, its link, and what DHCP on EC2 would give: the primary address only.
    async fn connect(&self, instance: &Instance, subnet: &Subnet) -> Result<(), namespace::Error> {
        let (own, router) = (self.namespace(&instance.id), self.namespace(&instance.vpc));
        own.create().await?;
        let link = link_name(&instance.id);
        router
            .links(&format!(
                "link add {link} mtu 9001 type veth peer name {INTERFACE} address {} mtu 9001 netns {}\n",
                instance.mac,
                own.name()
            ))
            .await?;
        router.set(&format!("net/ipv4/conf/{link}/proxy_arp"), "1")?;
        router.set(&format!("net/ipv4/neigh/{link}/proxy_delay"), "0")?;
        router.links(&format!("link set {link} up\n")).await?;
        own.links(&format!(
            "addr add {}/{} dev {INTERFACE}\nlink set {INTERFACE} up\nroute add default via {} dev {INTERFACE}\n",
            instance.private_ip,
            subnet.cidr.prefix_len(),
            gateway_of(subnet.cidr)
        ))
        .await
    }

    async fn apply_router(&mut self, world: &World, vpc: &Vpc) -> Result<(), namespace::Error> {
        let router = self.namespace(&vpc.id);
        let Some(state) = self.routers.get_mut(&vpc.id) else { return Ok(()) };
        let settings = settings(world, vpc, &mut state.tables);
        apply_settings(&router, &state.settings, &settings).await?;
        state.settings = settings;
        let ruleset = firewall::render(world, vpc);
        if ruleset != state.firewall {
            router.load_ruleset(&ruleset).await?;
            state.firewall = ruleset;
        }
        let public = public_addresses(world, vpc);
        for moved in state.public.iter().filter(|(address, behind)| public.get(address) != Some(behind)) {
            router.forget_connections(*moved.0).await;
        }
        state.public = public;
        Ok(())
    }

    async fn disconnect_instances(
        &mut self,
        world: &World,
        lingering: &BTreeSet<String>,
    ) -> Result<(), namespace::Error> {
        let connected: BTreeSet<&String> =
            world.vpcs.iter().flat_map(|vpc| world.connected(&vpc.id)).map(|instance| &instance.id).collect();
        let gone: Vec<(String, String)> = self
            .instances
            .iter()
            .filter(|(id, _)| !connected.contains(id) && !lingering.contains(*id))
            .map(|(id, vpc)| (id.clone(), vpc.clone()))
            .collect();
        for (id, vpc) in gone {
            self.namespace(&vpc).unlink(&format!("link del {}\n", link_name(&id))).await;
            self.namespace(&id).delete().await?;
            self.instances.remove(&id);
        }
        Ok(())
    }

    async fn connect_appliances(&mut self, world: &World) -> Result<(), namespace::Error> {
        for vpc in &world.vpcs {
            for appliance in appliance::of_vpc(world, &vpc.id) {
                let Some(subnet) = world.subnets.iter().find(|subnet| subnet.id == appliance.subnet) else {
                    continue;
                };
                let own = self.namespace(&appliance.id);
                match self.appliances.get(&appliance.id) {
                    None => self.connect_appliance(&vpc.id, &appliance, subnet).await?,
                    Some(state) => {
                        if state.appliance.ruleset != appliance.ruleset {
                            own.load_ruleset(&appliance.ruleset).await?;
                        }
                        for (address, port) in appliance::ended(&state.appliance.open, &appliance.open) {
                            own.end_connections(address, port).await;
                        }
                    }
                }
                let (id, vpc) = (appliance.id.clone(), vpc.id.clone());
                self.appliances.insert(id, ApplianceState { vpc, appliance });
            }
        }
        Ok(())
    }

    /// Gives an appliance its namespace and its link.
    async fn connect_appliance(
        &self,
        vpc: &str,
        appliance: &Appliance,
        subnet: &Subnet,
    ) -> Result<(), namespace::Error> {
        let (own, router) = (self.namespace(&appliance.id), self.namespace(vpc));
        let (inside, link, gateway) = (appliance::INTERFACE, &appliance.link, gateway_of(subnet.cidr));
        own.create().await?;
        make_router(&own)?;
        own.load_ruleset(&appliance.ruleset).await?;
        // They are there once the rules have something to do with connections.
        for (setting, value) in appliance::KERNEL_SETTINGS {
            own.set(setting, value)?;
        }
        let (mac, name) = (appliance.mac(), own.name());
        let peer = format!("{inside} address {mac} mtu 9001 netns {name}");
        router
            .links(&format!("link add {link} mtu 9001 type veth peer name {peer}\nlink set {link} up\n"))
            .await?;
        own.links(&format!(
            "addr add {}/32 dev {inside}\nlink set {inside} up\nroute add default via {gateway} dev {inside} onlink\n",
            appliance.address
        ))
        .await
    }

    async fn disconnect_appliances(&mut self, world: &World) -> Result<(), namespace::Error> {
        let there = world.vpcs.iter().flat_map(|vpc| appliance::of_vpc(world, &vpc.id));
        let there: BTreeSet<String> = there.map(|appliance| appliance.id).collect();
        let gone: Vec<String> = self.appliances.keys().filter(|id| !there.contains(*id)).cloned().collect();
        for id in gone {
            let Some(state) = self.appliances.get(&id) else { continue };
            let link = format!("link del {}\n", state.appliance.link);
            self.namespace(&state.vpc).unlink(&link).await;
            self.namespace(&id).delete().await?;
            self.appliances.remove(&id);
        }
        Ok(())
    }

    async fn delete_routers(&mut self, world: &World, changes: &mut Changes) -> Result<(), namespace::Error> {
        let gone: Vec<String> = self
            .routers
            .keys()
            .filter(|id| !world.vpcs.iter().any(|vpc| vpc.id == **id))
            .filter(|id| !self.instances.values().any(|vpc| vpc == *id))
            .cloned()
            .collect();
        for id in gone {
            let number = self.vpcs.of(&id);
            let links = format!("link del {}\nlink del {}\n", vpc_link(number), s3_link(number));
            self.internet().unlink(&links).await;
            self.namespace(&id).delete().await?;
            self.routers.remove(&id);
            self.vpcs.forget(&id);
            changes.lost_routers.push(id);
        }
        Ok(())
    }
}

/// The Internet's namespace of the cloud of this name.
pub fn internet(cloud: &str) -> Namespace {
    Namespace::named(format!("{cloud}-internet"))
}

fn make_router(namespace: &Namespace) -> Result<(), namespace::Error> {
    namespace.set("net/ipv4/ip_forward", "1")?;
    for scope in ["all", "default"] {
        namespace.set(&format!("net/ipv4/conf/{scope}/rp_filter"), "0")?;
        namespace.set(&format!("net/ipv4/conf/{scope}/send_redirects"), "0")?;
    }
    Ok(())
}

async fn apply_settings(
    namespace: &Namespace,
    old: &Settings,
    new: &Settings,
) -> Result<(), namespace::Error> {
    let (first, set, last) = difference(old, new);
    namespace.unlink(&first).await;
    namespace.links(&set).await?;
    namespace.unlink(&last).await;
    Ok(())
}
