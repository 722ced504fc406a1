//! Every default, in one pure pass: what a field means when it is left out.
//!
//! The values are the ones that kops's users know, except for these, where kops's are for old clusters or unsafe:
//!
//! | field | kops | windlass |
//! |---|---|---|
//! | `spec.authorization` | `alwaysAllow` | `rbac` |
//! | `spec.networking.flannel.backend` | `udp` | `vxlan` |
//! | `spec.api` | a DNS name or a load balancer | a public load balancer for several masters, or one in a private subnet; else `dns` where `dnsZone` or `topology.dns.type: Public` is written, an internal load balancer where `Private` is, else `elasticIP` |
//! | `spec.topology.dns.type` | `Public` | `Public` where `dnsZone` or `api.dns` is written, else `None` |
//! | `zone` of a subnet with `id` | has to be written | the zone of all other subnets, where there is one such |
//! | `spec.etcdClusters` | has to be written | `main`, with a member on each master |
//! | `encryptedVolume` of etcd members | false | true |
//!
//! Nothing here fails: what can't be understood is left as it is, and `resolve` says why.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::resolve::ipv4_net;
use super::subnets::{self, FIRST_MASTER};
use super::v1alpha2::{
    AccessSpec, AuthorizationSpec, Cluster, ClusterSpec, DnsAccessSpec, DnsSpec, DnsType, ElasticIpSpec,
    EtcdClusterSpec, EtcdMemberSpec, InstanceGroup, InstanceGroupRole, InstanceGroupSpec, InstanceManager,
    InstanceMetadataSpec, LoadBalancerClass, LoadBalancerSpec, LoadBalancerType, RbacSpec, SubnetSpec,
    SubnetType, TopologySpec,
};
use super::versions;

/// The VPC's range.
pub const NETWORK_CIDR: &str = "172.20.0.0/16";
/// The range that pods' and services' addresses are cut from: shared address space, which VPCs rarely use.
pub const NON_MASQUERADE_CIDR: &str = "100.64.0.0/10";
/// The range of services in an IPv6 cluster: kops's, of those for private use (RFC 4193).
const SERVICES_IPV6: &str = "fd00:5e4f:ce::/108";
/// The domain of services.
pub const CLUSTER_DNS_DOMAIN: &str = "cluster.local";
/// Who may reach the API: everybody who has a certificate.
pub const API_ACCESS: [&str; 2] = ["0.0.0.0/0", "::/0"];
/// The instance type of every role.
pub const MACHINE_TYPE: &str = "t3.medium";
/// The instance type of bastions.
pub const BASTION_MACHINE_TYPE: &str = "t3.micro";
/// The type of volumes.
pub const VOLUME_TYPE: &str = "gp3";
/// The size of an etcd member's volume in GiB.
pub const ETCD_VOLUME_SIZE: u32 = 20;
/// What gp3 gives without being asked: operations a second.
pub const GP3_IOPS: u32 = 3000;
/// What gp3 gives without being asked: MiB/s.
pub const GP3_THROUGHPUT: u32 = 125;

/// The newest image of this account that windlass's template made for a Kubernetes version; which of its
/// architectures is meant follows from the instance type.
pub fn image(kubernetes_version: &str) -> String {
    let version = kubernetes_version.strip_prefix('v').unwrap_or(kubernetes_version);
    format!("self/windlass-{version}-debian-13-*")
}

/// The Kubernetes version of a group's instances: while the control plane acts as an older version, all but masters stay at
/// that.
pub fn version_of(cluster: &ClusterSpec, role: Option<InstanceGroupRole>) -> Option<&str> {
    let emulated = cluster.emulated_version.as_deref().filter(|_| role != Some(InstanceGroupRole::Master));
    emulated.or(cluster.kubernetes_version.as_deref())
}

/// The specification with nothing left unsaid; the order of groups is kept.
pub fn fill(cluster: &Cluster, groups: &[InstanceGroup]) -> (Cluster, Vec<InstanceGroup>) {
    let mut cluster = cluster.clone();
    let spec = &mut cluster.spec;
    identity(spec);
    ranges(spec);
    subnets(spec);
    access(spec, groups);
    let groups: Vec<InstanceGroup> = groups.iter().map(|group| instance_group(spec, group)).collect();
    etcd_clusters(spec, &groups);
    (cluster, groups)
}

fn identity(spec: &mut ClusterSpec) {
    let version = spec.kubernetes_version.get_or_insert_with(|| versions::default_kubernetes().to_owned());
    if let Some(plain) = version.strip_prefix('v') {
        *version = plain.to_owned();
    }
    if let Some(plain) = spec.emulated_version.as_deref().and_then(|version| version.strip_prefix('v')) {
        spec.emulated_version = Some(plain.to_owned());
    }
    spec.cloud_provider.get_or_insert_with(|| "aws".to_owned());
    spec.cluster_dns_domain.get_or_insert_with(|| CLUSTER_DNS_DOMAIN.to_owned());
}

/// The VPC's range; services have the first eighth of the internal range and pods its second half.
fn ranges(spec: &mut ClusterSpec) {
    spec.network_cidr.get_or_insert_with(|| NETWORK_CIDR.to_owned());
    let internal = spec.non_masquerade_cidr.get_or_insert_with(|| NON_MASQUERADE_CIDR.to_owned());
    if internal.contains(':') {
        // Pods have addresses of their nodes.
        spec.service_cluster_ip_range.get_or_insert_with(|| SERVICES_IPV6.to_owned());
        return;
    }
    let Ok(internal) = ipv4_net(internal) else { return };
    if let Some(services) = subnets::split(internal, 3).and_then(|blocks| blocks.first().copied()) {
        spec.service_cluster_ip_range.get_or_insert_with(|| services.to_string());
    }
    if let Some(pods) = subnets::split(internal, 1).and_then(|blocks| blocks.last().copied()) {
        spec.pod_cidr.get_or_insert_with(|| pods.to_string());
    }
}

/// Subnets are public. Those without a range get one cut from the VPC's.
fn subnets(spec: &mut ClusterSpec) {
    let network = spec.network_cidr.as_deref().and_then(|cidr| ipv4_net(cidr).ok());
    let subnets = spec.subnets.get_or_insert_default();
    zone_of_existing(subnets);
    for subnet in subnets.iter_mut() {
        subnet.r#type.get_or_insert(SubnetType::Public);
        subnet.name = subnet.name.take().or_else(|| subnet.zone.clone());
    }
    // Which ranges of an existing VPC are free, its owner knows.
    if let (Some(network), None) = (network, &spec.network_id) {
        assign_ranges(network, subnets);
    }
}

/// An existing subnet is in the zone that all others are in, where there is one such; AWS is asked whether it is.
fn zone_of_existing(subnets: &mut [SubnetSpec]) {
    let zones: BTreeSet<String> = subnets.iter().filter_map(|subnet| subnet.zone.clone()).collect();
    let [zone] = zones.iter().collect::<Vec<_>>()[..] else { return };
    for subnet in subnets.iter_mut().filter(|subnet| subnet.id.is_some()) {
        subnet.zone.get_or_insert_with(|| zone.clone());
    }
}

/// Cuts the VPC's range and gives a block to each subnet that has none.
///
/// As in kops: the range is cut into as many equal blocks as there are subnets, rounded up to 1, 2, 4 or 8. With utility
/// subnets, one more block is taken; the first is cut again, into 8 or what the utility subnets need, and they get
/// those; the others get the blocks behind it. A private subnet with an IPv6 range counts, but has no IPv4 range, and
/// so gets no block. Blocks that overlap a
/// range that is written down are not given away; where too few are left, the range is cut finer. All subnets get a
/// block or none does, so that filling in what is filled in already changes nothing.
pub fn assign_ranges(network: Ipv4Net, subnets: &mut [SubnetSpec]) {
    let ipv6_only = |subnet: &SubnetSpec| {
        subnet.ipv6_cidr.is_some() && subnet.r#type == Some(SubnetType::Private) && subnet.cidr.is_none()
    };
    let without = subnets.iter().filter(|subnet| ipv6_only(subnet)).count();
    let (little, big): (Vec<usize>, Vec<usize>) = (0..subnets.len())
        .filter(|index| subnets[*index].cidr.is_none() && !ipv6_only(&subnets[*index]))
        .partition(|index| subnets[*index].r#type == Some(SubnetType::Utility));
    if little.is_empty() && big.is_empty() {
        return;
    }
    let taken: Vec<Ipv4Net> =
        subnets.iter().filter_map(|subnet| ipv4_net(subnet.cidr.as_deref()?).ok()).collect();
    let inside = taken.iter().filter(|range| network.contains(*range)).count();
    let coarsest = subnets::bits_for(big.len() + without + usize::from(!little.is_empty()) + inside);
    let mut cuts = (coarsest..=coarsest.saturating_add(FINER_CUTS))
        .filter_map(|bits| cut(network, bits, &taken, (little.len(), big.len())));
    let Some((pieces, blocks)) = cuts.next() else { return };
    hand_out(subnets, &little, pieces.into_iter());
    hand_out(subnets, &big, blocks.into_iter());
}

/// How often the range is cut in halves once more, where written ranges are in the way.
const FINER_CUTS: u8 = 3;

/// A range cut into 2^`bits` blocks: pieces of the first free block for so many little subnets, if there are any, and
/// the free blocks behind it for so many others. `None` when they don't suffice.
fn cut(
    network: Ipv4Net,
    bits: u8,
    taken: &[Ipv4Net],
    (little, big): (usize, usize),
) -> Option<(Vec<Ipv4Net>, Vec<Ipv4Net>)> {
    let free = |block: &Ipv4Net| !taken.iter().any(|range| subnets::overlap(*range, *block));
    let mut blocks = subnets::split(network, bits)?.into_iter().filter(free);
    let pieces = match little {
        0 => Vec::new(),
        little => subnets::split(blocks.next()?, subnets::bits_for(little).max(3))?,
    };
    let blocks: Vec<Ipv4Net> = blocks.take(big).collect();
    (blocks.len() >= big).then_some((pieces, blocks))
}

/// Blocks go to subnets in the order of their zones.
fn hand_out(subnets: &mut [SubnetSpec], which: &[usize], mut blocks: impl Iterator<Item = Ipv4Net>) {
    let mut which = which.to_vec();
    which.sort_by(|one, other| subnets[*one].zone.cmp(&subnets[*other].zone));
    for index in which {
        subnets[index].cidr = blocks.next().map(|block| block.to_string());
    }
}

fn access(spec: &mut ClusterSpec, groups: &[InstanceGroup]) {
    let asked = spec.topology.as_ref().and_then(|topology| topology.dns.as_ref()?.r#type);
    let published = asked.is_some_and(|kind| kind != DnsType::None);
    let named =
        spec.dns_zone.is_some() || published || spec.api.as_ref().is_some_and(|api| api.dns.is_some());
    let dns =
        spec.topology.get_or_insert_with(TopologySpec::default).dns.get_or_insert_with(DnsSpec::default);
    let kind = *dns.r#type.get_or_insert(if named { DnsType::Public } else { DnsType::None });
    let api = spec.api.get_or_insert_with(AccessSpec::default);
    let masters: Vec<&InstanceGroup> = groups.iter().filter(|group| is_master(group)).collect();
    let behind = masters.len() > 1 || masters.iter().any(|group| is_private(spec.subnets.as_deref(), group));
    if api.dns.is_none() && api.load_balancer.is_none() && api.elastic_ip.is_none() && !masters.is_empty() {
        match (behind, named, kind) {
            (true, ..) | (_, _, DnsType::Private) => api.load_balancer = Some(LoadBalancerSpec::default()),
            (_, true, DnsType::Public) => api.dns = Some(DnsAccessSpec {}),
            _ => api.elastic_ip = Some(ElasticIpSpec {}),
        }
    }
    if let Some(balancer) = &mut api.load_balancer {
        balancer.class.get_or_insert(LoadBalancerClass::Network);
        // A name in a private zone is for those in the VPC.
        let is_private = kind == DnsType::Private;
        let default = if is_private { LoadBalancerType::Internal } else { LoadBalancerType::Public };
        balancer.r#type.get_or_insert(default);
    }
    spec.kubernetes_api_access.get_or_insert_with(|| API_ACCESS.map(str::to_owned).to_vec());
    spec.ssh_access.get_or_insert_default();
    spec.iam.get_or_insert_default().allow_container_registry.get_or_insert(false);
    let authorization = spec.authorization.get_or_insert_with(AuthorizationSpec::default);
    if authorization.always_allow.is_none() {
        authorization.rbac.get_or_insert(RbacSpec {});
    }
    if let Some(flannel) = spec.networking.as_mut().and_then(|networking| networking.flannel.as_mut()) {
        flannel.backend.get_or_insert_with(|| "vxlan".to_owned());
    }
}

/// Whether instances of a group are in private subnets: those that it names, or all that instances can be in.
fn is_private(subnets: Option<&[SubnetSpec]>, group: &InstanceGroup) -> bool {
    let named = group.spec.subnets.as_deref().unwrap_or_default();
    let of_group = |subnet: &&SubnetSpec| {
        named.is_empty() || subnet.name.as_ref().is_some_and(|name| named.contains(name))
    };
    let mut kinds = subnets.unwrap_or_default().iter().filter(of_group).filter_map(|subnet| subnet.r#type);
    kinds.any(|kind| matches!(kind, SubnetType::Private | SubnetType::DualStack))
}

fn is_master(group: &InstanceGroup) -> bool {
    group.spec.role == Some(InstanceGroupRole::Master)
}

/// One etcd cluster, `main`, with a member on each master, where none is written.
fn etcd_clusters(spec: &mut ClusterSpec, groups: &[InstanceGroup]) {
    let mut masters: Vec<&str> = groups
        .iter()
        .filter(|group| is_master(group))
        .filter_map(|group| group.metadata.name.as_deref())
        .collect();
    masters.sort_unstable();
    let subnets = spec.subnets.clone().unwrap_or_default();
    let clusters = spec.etcd_clusters.get_or_insert_with(|| vec![main_cluster(&masters)]);
    for cluster in clusters.iter_mut() {
        cluster.version.get_or_insert_with(|| versions::default_etcd().to_owned());
        if let Some(plain) = cluster.version.as_deref().and_then(|version| version.strip_prefix('v')) {
            cluster.version = Some(plain.to_owned());
        }
        for member in cluster.etcd_members.iter_mut().flatten() {
            etcd_volume(member);
        }
    }
    private_addresses(clusters, &subnets, groups);
}

fn main_cluster(masters: &[&str]) -> EtcdClusterSpec {
    let names = member_names(masters);
    let member = |(name, group): (String, &&str)| EtcdMemberSpec {
        name: Some(name),
        instance_group: Some((*group).to_owned()),
        ..EtcdMemberSpec::default()
    };
    EtcdClusterSpec {
        name: Some("main".to_owned()),
        etcd_members: Some(names.into_iter().zip(masters).map(member).collect()),
        ..EtcdClusterSpec::default()
    }
}

/// The names of etcd members: what tells the names of their groups apart, with `etcd-` before a digit.
pub(super) fn member_names(groups: &[&str]) -> Vec<String> {
    let bare = |name: &&str| {
        let name = name.strip_prefix("control-plane-").unwrap_or(name);
        name.strip_prefix("master-").unwrap_or(name).chars().collect()
    };
    let names: Vec<Vec<char>> = groups.iter().map(bare).collect();
    let shortest = names.iter().map(Vec::len).min().unwrap_or_default();
    let Some(first) = names.first() else { return Vec::new() };
    let common = (0..shortest.saturating_sub(1))
        .take_while(|index| names.iter().all(|name| name[*index] == first[*index]))
        .count();
    let readable = |name: &Vec<char>| {
        let name: String = name[common..].iter().collect();
        if name.starts_with(|c: char| c.is_ascii_digit()) { format!("etcd-{name}") } else { name }
    };
    names.iter().map(readable).collect()
}

fn etcd_volume(member: &mut EtcdMemberSpec) {
    let kind = member.volume_type.get_or_insert_with(|| VOLUME_TYPE.to_owned());
    if kind == VOLUME_TYPE {
        member.volume_iops.get_or_insert(GP3_IOPS);
        member.volume_throughput.get_or_insert(GP3_THROUGHPUT);
    }
    member.volume_size.get_or_insert(ETCD_VOLUME_SIZE);
    member.encrypted_volume.get_or_insert(true);
}

/// A master's address is the eleventh of its group's subnet, or the next that no other master has; its members of
/// several etcd clusters share it.
fn private_addresses(clusters: &mut [EtcdClusterSpec], subnets: &[SubnetSpec], groups: &[InstanceGroup]) {
    let subnets: BTreeMap<_, _> = subnets.iter().map(|subnet| (&subnet.name, subnet)).collect();
    let groups: BTreeMap<_, _> = groups.iter().map(|group| (&group.metadata.name, group)).collect();
    let mut masters: BTreeMap<String, Option<Ipv4Addr>> = BTreeMap::new();
    let members = || clusters.iter().flat_map(|cluster| cluster.etcd_members.iter().flatten());
    for member in members() {
        let address = member.private_address.as_deref().and_then(|address| address.parse().ok());
        let Some(group) = member.instance_group.clone() else { continue };
        let known = masters.entry(group).or_default();
        *known = known.or(address);
    }
    let mut taken: BTreeSet<Ipv4Addr> = masters.values().copied().flatten().collect();
    for (group, address) in masters.iter_mut().filter(|(_, address)| address.is_none()) {
        let group = groups.get(&Some(group.clone()));
        let subnet = group.and_then(|group| subnets.get(&group.spec.subnets.as_deref()?.first().cloned()));
        let range = subnet.and_then(|subnet| ipv4_net(subnet.cidr.as_deref()?).ok());
        let Some(range) = range else { continue };
        let mut addresses = (FIRST_MASTER..).map_while(|offset| subnets::nth(range, offset));
        *address = addresses.find(|address| subnets::assignable(range, *address) && taken.insert(*address));
    }
    for member in clusters.iter_mut().flat_map(|cluster| cluster.etcd_members.iter_mut().flatten()) {
        let address = member.instance_group.as_ref().and_then(|group| *masters.get(group)?);
        member.private_address = member.private_address.take().or(address.map(|address| address.to_string()));
    }
}

/// The size of the root volume in GiB.
fn root_volume_size(role: Option<InstanceGroupRole>) -> u32 {
    match role {
        Some(InstanceGroupRole::Master) => 64,
        Some(InstanceGroupRole::Bastion) => 32,
        Some(InstanceGroupRole::Node | InstanceGroupRole::ApiServer) | None => 128,
    }
}

fn instance_group(cluster: &ClusterSpec, group: &InstanceGroup) -> InstanceGroup {
    let mut group = group.clone();
    let spec = &mut group.spec;
    spec.manager.get_or_insert(InstanceManager::CloudGroup);
    let several = [Some(InstanceGroupRole::Node), Some(InstanceGroupRole::ApiServer)].contains(&spec.role);
    let least = if several { 2 } else { 1 };
    let min = *spec.min_size.get_or_insert_with(|| spec.max_size.map_or(least, |max| max.min(least)));
    spec.max_size.get_or_insert(min);
    spec.machine_type.get_or_insert_with(|| MACHINE_TYPE.to_owned());
    spec.image.get_or_insert_with(|| image(version_of(cluster, spec.role).unwrap_or_default()));
    let metadata = spec.instance_metadata.get_or_insert_with(InstanceMetadataSpec::default);
    metadata.http_put_response_hop_limit.get_or_insert(1);
    metadata.http_tokens.get_or_insert_with(|| "required".to_owned());
    group_subnets(cluster, spec);
    root_volume(spec);
    let public = !is_private(cluster.subnets.as_deref(), &group);
    group.spec.associate_public_ip.get_or_insert(public);
    group
}

/// Nodes span all subnets of the cluster; a master's subnet has to be said unless there is only one.
fn group_subnets(cluster: &ClusterSpec, spec: &mut InstanceGroupSpec) {
    if spec.subnets.as_ref().is_some_and(|subnets| !subnets.is_empty()) {
        return;
    }
    let usable = |subnet: &&SubnetSpec| subnet.r#type != Some(SubnetType::Utility);
    let names: Vec<String> =
        cluster.subnets.iter().flatten().filter(usable).filter_map(|subnet| subnet.name.clone()).collect();
    if spec.role != Some(InstanceGroupRole::Master) || names.len() == 1 {
        spec.subnets = Some(names);
    }
}

fn root_volume(spec: &mut InstanceGroupSpec) {
    let kind = spec.root_volume_type.get_or_insert_with(|| VOLUME_TYPE.to_owned());
    if kind == VOLUME_TYPE {
        spec.root_volume_iops.get_or_insert(GP3_IOPS);
        spec.root_volume_throughput.get_or_insert(GP3_THROUGHPUT);
    }
    spec.root_volume_size.get_or_insert(root_volume_size(spec.role));
    spec.root_volume_encryption.get_or_insert(true);
}
