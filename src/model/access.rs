//! Who may reach what: security groups as allow-lists, and the SSH key.
//!
//! What a node may reach on a master is listed port by port: a worker that is taken over can talk to the API and
//! exchange packets of the pod network, and reaches neither etcd nor a kubelet. API servers beside the masters reach both.

use std::collections::BTreeSet;

use ipnet::IpNet;
use windlass_bootstrap::config::Role;
use windlass_bootstrap::tags as shared;

use super::front::{Front, SSH, fronts};
use super::{Desired, ModelError, named, network, role_prefix};
use crate::aws::tags::{self, Tags};
use crate::cloud::existing::Existing;
use crate::cloud::existing_group_rules::ExistingGroupRules;
use crate::cloud::key_pair::KeyPair;
use crate::cloud::launch_template::SshKeyName;
use crate::cloud::security_group::SecurityGroup;
use crate::cloud::security_group_rules::{Others, Peer, Rule, SecurityGroupRules, Traffic};
use crate::cloud::{Reference, digest};
use crate::spec::cluster::{
    AccessSource, Cluster, EtcdCluster, LoadBalancer, NetworkPlugin, NodePortAccess, SshKey,
};

/// The kubelet's port.
const KUBELET: u16 = 10250;

/// vxlan as Linux numbers it, which is what flannel uses.
const VXLAN: u16 = 8472;

/// Adds the security group of a role's instances, with what may reach them.
pub(super) fn add_security_group(
    cluster: &Cluster,
    role: Role,
    description: &str,
    ingress: BTreeSet<Rule>,
    desired: &mut Desired,
) -> Result<(), ModelError> {
    let name = group_name(cluster, role);
    desired.insert(SecurityGroup {
        name: name.clone(),
        description: description.to_owned(),
        vpc: network::vpc(cluster),
        tags: named(cluster, &name)?,
    })?;
    desired.insert(SecurityGroupRules {
        group: Reference::to(&name),
        name,
        ingress,
        egress: anywhere(cluster),
        others: Others::default(),
        marked: true,
    })
}

/// Everything goes out, by IPv6 where there is any.
pub(super) fn anywhere(cluster: &Cluster) -> BTreeSet<Rule> {
    let ipv6 = cluster.has_ipv6().then(Rule::anywhere_v6);
    std::iter::once(Rule::anywhere_v4()).chain(ipv6).collect()
}

/// Adds the rules of a security group that some groups have in the place of windlass's own. The tags are those by which
/// controllers know the one group of an instance in which they may make rules, and by which windlass finds it again.
pub(super) fn add_existing_group(
    cluster: &Cluster,
    id: &str,
    ingress: BTreeSet<Rule>,
    desired: &mut Desired,
) -> Result<(), ModelError> {
    let tags = Tags::from([
        (shared::ownership(&cluster.name), "shared".to_owned()),
        (tags::rules_of(&cluster.name), "true".to_owned()),
    ]);
    desired.insert(Existing { name: id.to_owned(), tags })?;
    desired.insert(ExistingGroupRules { name: id.to_owned(), ingress, others: BTreeSet::new() })
}

/// The security group of windlass's own that says who may reach a load balancer, or what the user has for it.
fn load_balancer_group(cluster: &Cluster, front: &Front<'_>) -> Reference<SecurityGroup> {
    match &front.balancer.security_group {
        Some(id) => Reference::existing(id),
        None => Reference::to(format!("{}-elb.{}", front.purpose, cluster.name)),
    }
}

/// Adds the security group of a load balancer, unless the user has one for it.
pub(super) fn add_load_balancer_group(
    cluster: &Cluster,
    front: &Front<'_>,
    desired: &mut Desired,
) -> Result<(), ModelError> {
    if front.balancer.security_group.is_some() {
        return Ok(());
    }
    let name = load_balancer_group(cluster, front).name().to_owned();
    let of = if front.behind == Role::Bastion { "bastions'" } else { "the API's" };
    desired.insert(SecurityGroup {
        name: name.clone(),
        description: format!("Security group for {of} load balancer"),
        vpc: network::vpc(cluster),
        tags: named(cluster, &name)?,
    })?;
    desired.insert(SecurityGroupRules {
        group: Reference::to(&name),
        name,
        ingress: into_load_balancer(cluster, front),
        egress: anywhere(cluster),
        others: Others::default(),
        marked: true,
    })
}

fn into_load_balancer(cluster: &Cluster, front: &Front<'_>) -> BTreeSet<Rule> {
    let certificates = front.balancer.certificate.as_ref().map(|_| LoadBalancer::CLIENT_CERTIFICATES_PORT);
    let ports = std::iter::once(front.port).chain(certificates);
    let traffic: Vec<Traffic> = ports.map(tcp).chain([Traffic::TooLarge]).collect();
    let behind = [Role::ControlPlane, Role::Bastion, Role::ApiServer].into_iter();
    let behind: Vec<Peer> =
        behind.filter(|role| front.leads_to(*role)).flat_map(|role| peers(cluster, role)).collect();
    let mut ingress = let_in(&[Traffic::TooLarge], &behind);
    for source in front.access {
        ingress.extend(traffic.iter().map(|traffic| from(traffic.clone(), source)));
    }
    if front.balancer.for_nodes {
        for role in [Role::Node, Role::ApiServer] {
            ingress.extend(let_in(&traffic, &peers(cluster, role)));
        }
    }
    ingress
}

/// All security groups of a load balancer.
pub(super) fn load_balancer_groups(
    cluster: &Cluster,
    front: &Front<'_>,
    desired: &mut Desired,
) -> Result<BTreeSet<Reference<SecurityGroup>>, ModelError> {
    let balancer = front.balancer;
    let existing = balancer.security_group.iter().chain(&balancer.additional_security_groups);
    for id in existing {
        network::add_existing_once(id, desired)?;
    }
    let further = balancer.additional_security_groups.iter().map(Reference::existing);
    Ok(further.chain([load_balancer_group(cluster, front)]).collect())
}

/// Adds the SSH key, where one is imported.
pub(super) fn add_ssh_key(cluster: &Cluster, desired: &mut Desired) -> Result<(), ModelError> {
    let SshKey::Import(key) = &cluster.ssh_key else { return Ok(()) };
    let name = imported_key_name(cluster, key);
    desired.insert(KeyPair { public_key: KeyPair::without_comment(key), tags: named(cluster, &name)?, name })
}

/// The name of a role's security group.
pub(super) fn group_name(cluster: &Cluster, role: Role) -> String {
    format!("{}.{}", role_prefix(role), cluster.name)
}

/// The SSH key of all instances.
pub(super) fn ssh_key(cluster: &Cluster) -> Option<SshKeyName> {
    match &cluster.ssh_key {
        SshKey::None => None,
        SshKey::Existing(name) => Some(SshKeyName::Existing(name.clone())),
        SshKey::Import(key) => Some(SshKeyName::Ours(Reference::to(imported_key_name(cluster, key)))),
    }
}

fn imported_key_name(cluster: &Cluster, key: &str) -> String {
    let digest = digest(KeyPair::without_comment(key).as_bytes());
    format!("kubernetes.{}-{}", cluster.name, &digest[..16])
}

pub(super) fn into_masters(cluster: &Cluster) -> BTreeSet<Rule> {
    let [masters, nodes, api_servers] =
        [Role::ControlPlane, Role::Node, Role::ApiServer].map(|role| peers(cluster, role));
    let api = Traffic::Tcp(cluster.api.port, cluster.api.port);
    let etcd = cluster.etcd.iter().flat_map(among_members);
    let among_masters: Vec<Traffic> = [api.clone(), tcp(KUBELET)].into_iter().chain(etcd).collect();
    let mut rules = let_in(std::slice::from_ref(&api), &nodes);
    rules.extend(let_in(&among_masters, &masters));
    // What API servers beside the masters keep is in the masters' etcd.
    let etcd = cluster.etcd.iter().map(|etcd| tcp(etcd.ports.client));
    let from_api_servers: Vec<Traffic> = [api.clone(), tcp(KUBELET)].into_iter().chain(etcd).collect();
    rules.extend(let_in(&from_api_servers, &api_servers));
    for peers in [&masters, &nodes, &api_servers] {
        rules.extend(let_in(&pod_network(cluster.plugin), peers));
    }
    let behind = from_load_balancers(cluster, Role::ControlPlane);
    if behind.is_empty() {
        rules.extend(cluster.api.access.iter().map(|source| from(api.clone(), source)));
    }
    rules.extend(behind);
    rules.extend(by_ssh(cluster));
    rules
}

/// What the members of an etcd cluster say to each other; and what an agent asks other members, where its own is lost.
fn among_members(etcd: &EtcdCluster) -> Vec<Traffic> {
    let client = (etcd.members.iter().count() > 1).then(|| tcp(etcd.ports.client));
    [tcp(etcd.ports.peer)].into_iter().chain(client).collect()
}

pub(super) fn into_nodes(cluster: &Cluster) -> BTreeSet<Rule> {
    let mut rules = let_in(&[Traffic::All], &peers(cluster, Role::Node));
    for role in [Role::ControlPlane, Role::ApiServer] {
        let peers = peers(cluster, role);
        if cluster.network.is_ipv6() {
            // Pods have addresses of their node's, and no tunnel leads to them: API servers call webhooks and add-ons there.
            rules.extend(let_in(&[Traffic::All], &peers));
            continue;
        }
        rules.extend(let_in(&[tcp(KUBELET)], &peers));
        rules.extend(let_in(&pod_network(cluster.plugin), &peers));
    }
    if let Some(NodePortAccess { sources, ports: (first, last) }) = &cluster.node_ports {
        let both = [Traffic::Tcp(*first, *last), Traffic::Udp(*first, *last)];
        rules.extend(sources.iter().flat_map(|source| both.clone().map(|traffic| from(traffic, source))));
    }
    rules.extend(by_ssh(cluster));
    rules
}

/// An API server beside the masters is a node to masters, and serves whoever is in the cluster: the `kubernetes` service leads
/// to it. From outside there is no way to it but the load balancer.
pub(super) fn into_api_servers(cluster: &Cluster) -> BTreeSet<Rule> {
    let [masters, nodes, api_servers] =
        [Role::ControlPlane, Role::Node, Role::ApiServer].map(|role| peers(cluster, role));
    let mut rules = from_load_balancers(cluster, Role::ApiServer);
    for peers in [&masters, &nodes, &api_servers] {
        rules.extend(let_in(&[tcp(cluster.api.port)], peers));
        rules.extend(let_in(&pod_network(cluster.plugin), peers));
    }
    for peers in [&masters, &api_servers] {
        rules.extend(let_in(&[tcp(KUBELET)], peers));
    }
    rules.extend(by_ssh(cluster));
    rules
}

/// Nobody reaches a bastion but through its load balancer.
pub(super) fn into_bastions(cluster: &Cluster) -> BTreeSet<Rule> {
    from_load_balancers(cluster, Role::Bastion)
}

/// What instances of a role are reached by through load balancers.
fn from_load_balancers(cluster: &Cluster, behind: Role) -> BTreeSet<Rule> {
    let fronts = fronts(cluster).into_iter().filter(|front| front.leads_to(behind));
    let rules = fronts.flat_map(|front| {
        let peer = Peer::Group(load_balancer_group(cluster, &front));
        [tcp(front.port), Traffic::TooLarge].map(|traffic| Rule { traffic, peer: peer.clone() })
    });
    rules.collect()
}

/// Who reaches masters and nodes by SSH: bastions alone, where there are some.
fn by_ssh(cluster: &Cluster) -> BTreeSet<Rule> {
    if cluster.bastion.is_some() {
        return let_in(&[tcp(SSH)], &peers(cluster, Role::Bastion));
    }
    cluster.ssh_access.iter().map(|source| from(tcp(SSH), source)).collect()
}

/// What carries pods' packets between instances.
fn pod_network(plugin: NetworkPlugin) -> Vec<Traffic> {
    match plugin {
        NetworkPlugin::Flannel => vec![Traffic::Udp(VXLAN, VXLAN)],
        // Which tunnel a plug-in of the user's own makes isn't known: all of them use high UDP ports, and those that
        // exchange routes do so by BGP.
        NetworkPlugin::External => vec![Traffic::Udp(1024, u16::MAX), tcp(179)],
    }
}

/// The security groups that instances of a role are in: windlass's own, and those that groups have in its place. Its own is
/// there even where all groups have another one: instances that were launched before may still be in it.
fn peers(cluster: &Cluster, role: Role) -> Vec<Peer> {
    if !cluster.has_role(role) {
        return Vec::new();
    }
    let groups = cluster.instance_groups.iter().filter(|group| group.role() == role);
    let existing: BTreeSet<&String> = groups.filter_map(|group| group.security_group.as_ref()).collect();
    let own = Peer::Group(Reference::to(group_name(cluster, role)));
    std::iter::once(own).chain(existing.into_iter().map(|id| Peer::Group(Reference::existing(id)))).collect()
}

/// Everybody of these is let in with all of this.
fn let_in(traffic: &[Traffic], peers: &[Peer]) -> BTreeSet<Rule> {
    let rules = traffic
        .iter()
        .flat_map(|traffic| peers.iter().map(|peer| Rule { traffic: traffic.clone(), peer: peer.clone() }));
    rules.collect()
}

fn tcp(port: u16) -> Traffic {
    Traffic::Tcp(port, port)
}

fn from(traffic: Traffic, source: &AccessSource) -> Rule {
    let traffic = match (traffic, source) {
        (Traffic::TooLarge, AccessSource::Range(IpNet::V6(_))) => Traffic::TooLargeIpv6,
        (traffic, _) => traffic,
    };
    let peer = match source {
        AccessSource::Range(range) => Peer::Range(range.trunc()),
        AccessSource::PrefixList(id) => Peer::PrefixList(id.clone()),
    };
    Rule { traffic, peer }
}
