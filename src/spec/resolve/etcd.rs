//! etcd clusters and their members.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use windlass_bootstrap::config::{EtcdPorts, EtcdRequests, MAIN_ETCD as MAIN};

use super::instance_group::{Group, Half};
use super::volume::VolumeFields;
use super::{Report, Reported, Resolved, etcd_manager, text};
use crate::spec::cluster::{
    EbsVolume, EtcdCluster, EtcdMember, HeldMember, InstanceGroup, Instances, Master,
};
use crate::spec::non_empty::NonEmpty;
use crate::spec::problem::Problem;
use crate::spec::subnets;
use crate::spec::v1alpha2::{ClusterSpec, Duration, EtcdClusterSpec, EtcdMemberSpec, Quantity};
use crate::spec::versions::Version;

/// The etcd clusters.
pub(super) struct Etcd(NonEmpty<Resolving>);

/// An etcd cluster, and what is known of its members even where something is wrong with it.
struct Resolving {
    cluster: Resolved<EtcdCluster>,
    /// By the group of their master.
    held: BTreeMap<String, Resolved<(EtcdMember, EbsVolume)>>,
}

impl Etcd {
    /// The clusters, where nothing is wrong with any.
    pub(super) fn clusters(self) -> Resolved<NonEmpty<EtcdCluster>> {
        self.0.map(|_, resolving| resolving.cluster).transpose()
    }

    /// What a group's master holds: a member of each cluster.
    pub(super) fn held_by(&self, group: &str, report: &mut Report<'_>) -> Resolved<NonEmpty<HeldMember>> {
        let held = self.0.as_ref().map(|index, Resolving { cluster, held }| {
            let Some(held) = held.get(group) else {
                let path = format!("spec.etcdClusters[{index}].etcdMembers");
                let message = format!("the master group `{group}` has no member");
                return Err(report.push(Problem::at(path, message)));
            };
            let (member, volume) = held.clone()?;
            Ok(HeldMember { etcd: Box::new(cluster.clone()?), member, volume })
        });
        held.transpose()
    }
}

/// A whole group: a master holds a member of each etcd cluster.
pub(super) fn with_members(
    group: Group,
    etcd: &Resolved<Etcd>,
    report: &mut Report<'_>,
) -> Resolved<InstanceGroup> {
    match group.resolved {
        Half::Master(half) => {
            let etcd = etcd.as_ref().map_err(|reported| *reported);
            let members = etcd.and_then(|etcd| etcd.held_by(&group.name, report));
            let half = half?;
            let master = Master { subnet: half.instances.clone(), members: members? };
            Ok(half.with(Instances::ControlPlane(master)))
        }
        Half::Nodes(half) => {
            let half = half?;
            let nodes = Instances::Node(half.instances.clone());
            Ok(half.with(nodes))
        }
        Half::Bastions(half) => {
            let half = half?;
            let bastions = Instances::Bastion(half.instances.clone());
            Ok(half.with(bastions))
        }
        Half::ApiServers(half) => {
            let half = half?;
            let api_servers = Instances::ApiServer(half.instances.clone());
            Ok(half.with(api_servers))
        }
    }
}

pub(super) fn resolve(spec: &ClusterSpec, groups: &[Group], report: &mut Report<'_>) -> Resolved<Etcd> {
    let Some(clusters) = NonEmpty::of(spec.etcd_clusters.iter().flatten()) else {
        return Err(report.missing("spec.etcdClusters", "leave the field out, or write the cluster `main`"));
    };
    if !clusters.iter().any(|cluster| cluster.name.as_deref() == Some(MAIN)) {
        let problem = Problem::at("spec.etcdClusters", format!("there is no etcd cluster `{MAIN}`"));
        report.push(problem.hint("write it, too: it holds what no other does"));
    }
    let count = clusters.iter().count();
    if count > MOST_CLUSTERS {
        let message = format!("a master can't have volumes for {count} etcd clusters");
        report.push(Problem::at("spec.etcdClusters", message).hint(format!("{MOST_CLUSTERS} are the most")));
    }
    let groups = Groups::of(groups);
    let mut places = Places::default();
    let mut addresses = BTreeMap::new();
    let first = clusters.first().version.as_deref().unwrap_or_default();
    let resolving = clusters.map(|index, cluster| {
        let path = format!("spec.etcdClusters[{index}]");
        let place = places.place(cluster, &path, report);
        let version = version(cluster, first, &path, report);
        let requests = requests(cluster, &path, report);
        let timing = timing(cluster, &path, report);
        let image = etcd_manager::image(cluster, &path, report);
        let environment = etcd_manager::environment(cluster, &path, report);
        let (members, held) = members(cluster, &path, &groups, report);
        check_addresses(&held, &mut addresses, &path, report);
        let cluster = (|| {
            let (name, EtcdPlace { ports, holds }) = place?;
            let (version, members, requests) = (version?, members?, requests?);
            image?;
            let [heartbeat_milliseconds, election_milliseconds] = timing?;
            Ok(EtcdCluster {
                name,
                version,
                members,
                ports,
                holds,
                requests,
                heartbeat_milliseconds,
                election_milliseconds,
                environment: environment?,
            })
        })();
        Resolving { cluster, held }
    });
    Ok(Etcd(
        resolving.first_by(|resolving| matches!(&resolving.cluster, Ok(cluster) if cluster.name == MAIN)),
    ))
}

/// A master has a volume for each etcd cluster, and EC2 recommends eleven device names for volumes (EC2 User Guide, "Device
/// names for volumes").
const MOST_CLUSTERS: usize = 11;

/// The etcd clusters that Kubernetes has a use for, each with what it holds: their places are these.
const OF_KUBERNETES: [(&str, Option<&str>); 3] =
    [(MAIN, None), ("events", Some("/events")), (LEASES, Some("coordination.k8s.io/leases"))];

/// The etcd cluster that holds leases.
pub(in crate::spec) const LEASES: &str = "leases";

/// Whether an etcd cluster of this name is one that Kubernetes has no use for.
pub(in crate::spec) fn is_users_own(name: &str) -> bool {
    OF_KUBERNETES.iter().all(|(known, _)| *known != name)
}

/// Where an etcd cluster listens, and what Kubernetes keeps in it.
struct EtcdPlace {
    ports: EtcdPorts,
    holds: Vec<String>,
}

/// The names that are taken, and how many of them are the user's own.
#[derive(Default)]
struct Places<'a> {
    names: BTreeSet<&'a str>,
    own: u16,
}

impl<'a> Places<'a> {
    /// The place of the next etcd cluster. Those that Kubernetes has a use for have places of their own; the others follow
    /// in the order in which they are written.
    fn place(
        &mut self,
        cluster: &'a EtcdClusterSpec,
        path: &str,
        report: &mut Report<'_>,
    ) -> Resolved<(String, EtcdPlace)> {
        let path = format!("{path}.name");
        let Some(name) = cluster.name.as_deref() else { return Err(report.missing(path, "write `main`")) };
        if !self.names.insert(name) {
            return Err(report.push(Problem::at(path, format!("two etcd clusters are called `{name}`"))));
        }
        if name == "cilium" {
            let problem = Problem::at(path, "the etcd cluster `cilium` is not supported yet");
            return Err(report.push(problem.hint("leave it out: only Cilium uses it")));
        }
        let known = (0..).zip(OF_KUBERNETES).find(|(_, (known, _))| *known == name);
        let (number, holds) = if let Some((number, (_, holds))) = known {
            (number, holds)
        } else {
            report.read(&path, name, text::dns_label)?;
            self.own += 1;
            (2 + self.own, None)
        };
        let holds = holds.map(str::to_owned).into_iter().collect();
        Ok((name.to_owned(), EtcdPlace { ports: EtcdPorts::of(number), holds }))
    }
}

/// What the pods ask the scheduler for.
fn requests(cluster: &EtcdClusterSpec, path: &str, report: &mut Report<'_>) -> Resolved<EtcdRequests> {
    let mut read = |field: &str, written: Option<&Quantity>, usual: String| match written {
        Some(Quantity(text)) => report.read(&format!("{path}.{field}"), text, text::quantity),
        None => Ok(usual),
    };
    let EtcdRequests { cpu, memory } = EtcdRequests::default();
    let cpu = read("cpuRequest", cluster.cpu_request.as_ref(), cpu);
    let memory = read("memoryRequest", cluster.memory_request.as_ref(), memory);
    Ok(EtcdRequests { cpu: cpu?, memory: memory? })
}

/// etcd's own interval of heartbeats, and how long its members wait for their leader, in milliseconds; and the longest that
/// it takes (etcd, "Tuning").
const HEARTBEAT: u32 = 100;
const ELECTION: u32 = 1000;
const LONGEST_ELECTION: u32 = 50_000;

/// The interval of heartbeats and the time-out of elections, in milliseconds, where they are written. etcd doesn't start
/// where a member wouldn't wait for five heartbeats.
fn timing(cluster: &EtcdClusterSpec, path: &str, report: &mut Report<'_>) -> Resolved<[Option<u32>; 2]> {
    let mut read = |field: &str, written: Option<&Duration>| {
        let Some(Duration(text)) = written else { return Ok(None) };
        let milliseconds = text::milliseconds(text).and_then(|milliseconds| u32::try_from(milliseconds).ok());
        let problem = || Problem::at(format!("{path}.{field}"), format!("`{text}` is not a duration"));
        let milliseconds = milliseconds.filter(|milliseconds| *milliseconds > 0);
        milliseconds.map(Some).ok_or_else(|| report.push(problem().hint("write it like `250ms` or `5s`")))
    };
    let heartbeat = read("heartbeatInterval", cluster.heartbeat_interval.as_ref());
    let election = read("leaderElectionTimeout", cluster.leader_election_timeout.as_ref());
    let (heartbeat, election) = (heartbeat?, election?);
    let (every, waits) = (heartbeat.unwrap_or(HEARTBEAT), election.unwrap_or(ELECTION));
    if waits < every.saturating_mul(5) || waits > LONGEST_ELECTION {
        let field = if election.is_some() { "leaderElectionTimeout" } else { "heartbeatInterval" };
        let message =
            format!("with heartbeats every {every} ms, members can't wait {waits} ms for their leader");
        let hint = format!("at least five times as long, and at most {LONGEST_ELECTION} ms");
        return Err(report.push(Problem::at(format!("{path}.{field}"), message).hint(hint)));
    }
    Ok([heartbeat, election])
}

/// A master has one stable private address, for its members of all etcd clusters.
fn check_addresses(
    held: &BTreeMap<String, Resolved<(EtcdMember, EbsVolume)>>,
    known: &mut BTreeMap<String, Ipv4Addr>,
    path: &str,
    report: &mut Report<'_>,
) {
    for (group, member) in held {
        let Ok((EtcdMember { name, private_address, .. }, _)) = member else { continue };
        let first = *known.entry(group.clone()).or_insert(*private_address);
        if first != *private_address {
            let path = format!("{path}.etcdMembers");
            let message = format!(
                "member `{name}` has the address `{private_address}`, and its master `{group}` has `{first}`"
            );
            let hint =
                "leave `privateAddress` out here: a master has one for its members of all etcd clusters";
            report.push(Problem::at(path, message).hint(hint));
        }
    }
}

/// The instance groups by name, as far as members of etcd need to know them.
struct Groups<'a>(BTreeMap<&'a str, &'a Group>);

impl<'a> Groups<'a> {
    fn of(groups: &'a [Group]) -> Self {
        let mut known = BTreeMap::new();
        for group in groups {
            known.entry(group.name.as_str()).or_insert(group);
        }
        Self(known)
    }

    fn masters(&self) -> BTreeSet<&'a str> {
        self.0.iter().filter(|(_, group)| group.is_master()).map(|(name, _)| *name).collect()
    }
}

/// All etcd clusters have one version, that of the first.
fn version(cluster: &EtcdClusterSpec, first: &str, path: &str, report: &mut Report<'_>) -> Resolved<String> {
    let text = cluster.version.as_deref().unwrap_or_default();
    let path = format!("{path}.version");
    let problem = match Version::parse(text) {
        None => Problem::at(path, format!("`{text}` is not an etcd version"))
            .hint("write all three numbers, or leave it out"),
        Some(version) if version.major != 3 || version.minor < 5 => {
            Problem::at(path, format!("etcd {version} is not supported")).hint("windlass runs 3.5 and later")
        }
        Some(_) if text != first => {
            let message = format!("etcd {text} is not the version of the first etcd cluster ({first})");
            Problem::at(path, message).hint("all etcd clusters have one version: they share a binary")
        }
        Some(version) => return Ok(version.to_string()),
    };
    Err(report.push(problem))
}

/// More members than these make etcd slower and no safer.
const MOST_MEMBERS: usize = 7;

/// What members the others know, and by the group of their master what each holds.
type Members = (Resolved<NonEmpty<EtcdMember>>, BTreeMap<String, Resolved<(EtcdMember, EbsVolume)>>);

/// Every member has a master of its own, and their number is odd.
fn members(cluster: &EtcdClusterSpec, path: &str, groups: &Groups<'_>, report: &mut Report<'_>) -> Members {
    let members = cluster.etcd_members.as_deref().unwrap_or_default();
    let at = |index: usize| format!("{path}.etcdMembers[{index}]");
    let (mut names, mut held) = (BTreeSet::new(), BTreeSet::new());
    let placed: Vec<_> = (0..)
        .zip(members)
        .map(|(index, member)| {
            let name = member_name(member, &at(index), &mut names, report);
            (member, name, place(member, &at(index), groups, &mut held, report))
        })
        .collect();
    let path = format!("{path}.etcdMembers");
    let Some(placed) = NonEmpty::of(placed) else {
        return (Err(wrong_number(0, path, report)), BTreeMap::new());
    };
    if members.len().is_multiple_of(2) || members.len() > MOST_MEMBERS {
        wrong_number(members.len(), path.clone(), report);
    }
    if members.iter().all(joins) {
        let problem = Problem::at(path, "every member joins the others, and none begins");
        report.push(problem.hint("write `joins` with members alone that are added to a cluster that lives"));
    }
    let mut taken = BTreeMap::new();
    let addressed = placed.map(|index, (member, name, place)| {
        let path = format!("{}.privateAddress", at(index));
        let address = address(member, &path, place.range, report);
        let free = address.and_then(|address| match taken.insert(address, index) {
            None => Ok(address),
            Some(other) => {
                let message = format!("member {other} has the address `{address}`, too");
                Err(report.push(Problem::at(path, message)))
            }
        });
        (
            member,
            place.group,
            (|| Ok(EtcdMember { name: name?, private_address: free?, joins: joins(member) }))(),
        )
    });
    let mut held = BTreeMap::new();
    let known = addressed.map(|index, (member, group, known)| {
        let volume = volume(member, &at(index), report);
        let whole = known.clone().and_then(|known| Ok((known, volume?)));
        let group = group?;
        held.insert(group, whole);
        known
    });
    (known.transpose(), held)
}

fn joins(member: &EtcdMemberSpec) -> bool {
    member.joins.unwrap_or(false)
}

fn wrong_number(members: usize, path: String, report: &mut Report<'_>) -> Reported {
    let message = format!("an etcd cluster can't have {members} members");
    report.push(Problem::at(path, message).hint("it has 1, 3, 5 or 7"))
}

fn member_name<'a>(
    member: &'a EtcdMemberSpec,
    path: &str,
    names: &mut BTreeSet<&'a str>,
    report: &mut Report<'_>,
) -> Resolved<String> {
    let path = format!("{path}.name");
    let Some(name) = member.name.as_deref() else {
        return Err(report.missing(path, "write a short name such as `a`"));
    };
    let resolved = report.read(&path, name, text::dns_label);
    if !names.insert(name) {
        report.push(Problem::at(path, format!("two members are called `{name}`")));
    }
    resolved
}

/// Where a member is.
struct Place {
    /// The group of its master.
    group: Resolved<String>,
    /// The range of that group's subnet.
    range: Resolved<Option<Ipv4Net>>,
}

fn place<'a>(
    member: &'a EtcdMemberSpec,
    path: &str,
    groups: &Groups<'_>,
    held: &mut BTreeSet<&'a str>,
    report: &mut Report<'_>,
) -> Place {
    let path = format!("{path}.instanceGroup");
    let Some(name) = member.instance_group.as_deref() else {
        let reported = report.missing(path, "name an instance group with `role: Master`");
        return Place { group: Err(reported), range: Err(reported) };
    };
    match groups.0.get(name) {
        Some(group) if group.is_master() && held.insert(name) => {
            Place { group: Ok(name.to_owned()), range: group.range }
        }
        Some(group) if group.is_master() => {
            let problem = Problem::at(path, format!("two members are on `{name}`"));
            let reported = report.push(problem.hint("one master holds one"));
            Place { group: Err(reported), range: group.range }
        }
        other => {
            let masters: Vec<&str> = groups.masters().into_iter().collect();
            let problem = Problem::at(path, format!("`{name}` is not an instance group with `role: Master`"));
            let reported = report.push(problem.hint(format!("there are: {}", masters.join(", "))));
            Place { group: Err(reported), range: other.map_or(Err(reported), |group| group.range) }
        }
    }
}

/// Members' addresses are in the subnets of their groups, and none of AWS's own.
fn address(
    member: &EtcdMemberSpec,
    path: &str,
    range: Resolved<Option<Ipv4Net>>,
    report: &mut Report<'_>,
) -> Resolved<Ipv4Addr> {
    let Some(written) = member.private_address.as_deref() else {
        // Left out, it would have been chosen in the range.
        return Err(report.push(match range? {
            Some(range) => {
                let message = format!("no address of the subnet (`{range}`) is left for this master");
                Problem::at(path, message).hint("use a larger subnet")
            }
            None => Problem::at(path, "the master's subnet has IPv6 addresses alone")
                .hint("move the master's group to a subnet with `type: DualStack`"),
        }));
    };
    let address = report.read(path, written, text::ipv4_address)?;
    if let Ok(Some(range)) = range
        && !subnets::assignable(range, address)
    {
        let message = format!("`{address}` can't be an instance's address in the group's subnet (`{range}`)");
        let hint = "AWS keeps the first four addresses and the last for itself";
        report.push(Problem::at(path, message).hint(hint));
    }
    Ok(address)
}

fn volume(member: &EtcdMemberSpec, path: &str, report: &mut Report<'_>) -> Resolved<EbsVolume> {
    let volume = VolumeFields {
        size: ("volumeSize", member.volume_size),
        kind: ("volumeType", member.volume_type.as_deref()),
        iops: ("volumeIops", member.volume_iops),
        throughput: ("volumeThroughput", member.volume_throughput),
        encrypted: ("encryptedVolume", member.encrypted_volume),
        key: ("kmsKeyId", member.kms_key_id.as_deref()),
    };
    volume.resolve(path, report)
}
