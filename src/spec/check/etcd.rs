//! etcd clusters and their members.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::{Report, text};
use crate::spec::problem::Problem;
use crate::spec::subnets;
use crate::spec::v1alpha2::{
    ClusterSpec, EtcdClusterSpec, EtcdMemberSpec, InstanceGroup, InstanceGroupRole, Object,
};
use crate::spec::versions::Version;

pub(super) fn check(spec: &ClusterSpec, groups: &[InstanceGroup], report: &mut Report<'_>) {
    let clusters = spec.etcd_clusters.as_deref().unwrap_or_default();
    if clusters.is_empty() {
        report.missing("spec.etcdClusters", "leave the field out, or write the cluster `main`");
    }
    let mut names = BTreeSet::new();
    let first = clusters.first().and_then(|cluster| cluster.version.as_deref()).unwrap_or_default();
    for (index, cluster) in clusters.iter().enumerate() {
        let path = format!("spec.etcdClusters[{index}]");
        name(cluster, &path, &mut names, report);
        version(cluster, first, &path, report);
        members(cluster, &path, groups, report);
        addresses(spec, cluster, &path, groups, report);
        for (index, member) in cluster.etcd_members.iter().flatten().enumerate() {
            volume(member, &format!("{path}.etcdMembers[{index}]"), report);
        }
    }
}

fn name<'a>(
    cluster: &'a EtcdClusterSpec,
    path: &str,
    names: &mut BTreeSet<&'a str>,
    report: &mut Report<'_>,
) {
    let path = format!("{path}.name");
    match cluster.name.as_deref() {
        None => report.missing(path, "write `main`"),
        Some(name) if !names.insert(name) => {
            report.push(Problem::at(path, format!("two etcd clusters are called `{name}`")));
        }
        Some("main") => {}
        Some(name @ ("events" | "leases" | "cilium")) => report.push(
            Problem::at(path, format!("the etcd cluster `{name}` is not supported yet"))
                .hint("keep `main` only: it holds everything"),
        ),
        Some(name) => {
            report
                .push(Problem::at(path, format!("no etcd cluster is called `{name}`")).hint("write `main`"));
        }
    }
}

/// All etcd clusters have one version, that of the first.
fn version(cluster: &EtcdClusterSpec, first: &str, path: &str, report: &mut Report<'_>) {
    let text = cluster.version.as_deref().unwrap_or_default();
    let path = format!("{path}.version");
    match Version::parse(text) {
        None => report.push(
            Problem::at(path, format!("`{text}` is not an etcd version"))
                .hint("write all three numbers, or leave it out"),
        ),
        Some(version) if version.major != 3 || version.minor < 5 => report.push(
            Problem::at(path, format!("etcd {version} is not supported")).hint("windlass runs 3.5 and later"),
        ),
        Some(_) if text != first => report.push(
            Problem::at(path, format!("etcd {text} is not the version of the first etcd cluster ({first})"))
                .hint("all etcd clusters have one version: they share a binary"),
        ),
        Some(_) => {}
    }
}

/// More members than these make etcd slower and no safer.
const MOST_MEMBERS: usize = 7;

/// Every master has a member, every member a master of its own, and their number is odd.
fn members(cluster: &EtcdClusterSpec, path: &str, groups: &[InstanceGroup], report: &mut Report<'_>) {
    let members = cluster.etcd_members.as_deref().unwrap_or_default();
    let masters: BTreeSet<&str> = groups
        .iter()
        .filter(|group| group.spec.role == Some(InstanceGroupRole::Master))
        .map(Object::name)
        .collect();
    let (mut names, mut held) = (BTreeSet::new(), BTreeSet::new());
    for (index, member) in members.iter().enumerate() {
        let path = format!("{path}.etcdMembers[{index}]");
        match member.name.as_deref() {
            None => report.missing(format!("{path}.name"), "write a short name such as `a`"),
            Some(name) => {
                report.read(&format!("{path}.name"), Some(name), text::dns_label);
                if !names.insert(name) {
                    report.push(Problem::at(
                        format!("{path}.name"),
                        format!("two members are called `{name}`"),
                    ));
                }
            }
        }
        let path = format!("{path}.instanceGroup");
        match member.instance_group.as_deref() {
            None => report.missing(path, "name an instance group with `role: Master`"),
            Some(group) if !masters.contains(group) => {
                let hint = format!("there are: {}", masters.iter().copied().collect::<Vec<_>>().join(", "));
                let message = format!("`{group}` is not an instance group with `role: Master`");
                report.push(Problem::at(path, message).hint(hint));
            }
            Some(group) if !held.insert(group) => {
                report.push(
                    Problem::at(path, format!("two members are on `{group}`")).hint("one master holds one"),
                );
            }
            Some(_) => {}
        }
    }
    let path = format!("{path}.etcdMembers");
    for master in masters.difference(&held) {
        report.push(Problem::at(&path, format!("the master group `{master}` has no member")));
    }
    if members.len().is_multiple_of(2) || members.len() > MOST_MEMBERS {
        let message = format!("an etcd cluster can't have {} members", members.len());
        report.push(Problem::at(path, message).hint("it has 1, 3, 5 or 7"));
    }
}

/// Members' addresses are in the subnets of their groups, none of AWS's own, and not shared.
fn addresses(
    spec: &ClusterSpec,
    cluster: &EtcdClusterSpec,
    path: &str,
    groups: &[InstanceGroup],
    report: &mut Report<'_>,
) {
    let mut taken = BTreeMap::new();
    for (index, member) in cluster.etcd_members.iter().flatten().enumerate() {
        let path = format!("{path}.etcdMembers[{index}].privateAddress");
        let range = subnet_range(spec, member, groups);
        let Some(address) = report.read(&path, member.private_address.as_deref(), text::ipv4_address) else {
            if let (Some(range), None) = (range, &member.private_address) {
                let message = format!("no address of the subnet (`{range}`) is left for this master");
                report.push(Problem::at(path, message).hint("use a larger subnet"));
            }
            continue;
        };
        if let Some(range) = range.filter(|range| !subnets::assignable(*range, address)) {
            let message =
                format!("`{address}` can't be an instance's address in the group's subnet (`{range}`)");
            let hint = "AWS keeps the first four addresses and the last for itself";
            report.push(Problem::at(&path, message).hint(hint));
        }
        if let Some(other) = taken.insert(address, index) {
            report.push(Problem::at(path, format!("member {other} has the address `{address}`, too")));
        }
    }
}

fn subnet_range(spec: &ClusterSpec, member: &EtcdMemberSpec, groups: &[InstanceGroup]) -> Option<Ipv4Net> {
    let group = groups.iter().find(|group| group.metadata.name == member.instance_group)?;
    let subnet = group.spec.subnets.as_ref()?.first()?;
    let subnet = spec.subnets.iter().flatten().find(|candidate| candidate.name.as_ref() == Some(subnet))?;
    subnet.cidr.as_ref()?.parse().ok()
}

fn volume(member: &EtcdMemberSpec, path: &str, report: &mut Report<'_>) {
    let volume = VolumeFields {
        size: ("volumeSize", member.volume_size),
        kind: ("volumeType", member.volume_type.as_deref()),
        iops: ("volumeIops", member.volume_iops),
        throughput: ("volumeThroughput", member.volume_throughput),
        encrypted: member.encrypted_volume,
        key: ("kmsKeyId", member.kms_key_id.as_deref()),
    };
    volume.check(path, report);
}

/// The fields of a volume, with the names they have where they stand.
pub(super) struct VolumeFields<'a> {
    pub(super) size: (&'a str, Option<u32>),
    pub(super) kind: (&'a str, Option<&'a str>),
    pub(super) iops: (&'a str, Option<u32>),
    pub(super) throughput: (&'a str, Option<u32>),
    pub(super) encrypted: Option<bool>,
    pub(super) key: (&'a str, Option<&'a str>),
}

/// What EBS sells: the type, the range of sizes in GiB, of operations a second, and of MiB/s.
type Range = std::ops::RangeInclusive<u32>;
const KINDS: [(&str, Range, Option<Range>, Option<Range>); 4] = [
    ("gp3", 1..=65536, Some(3000..=80000), Some(125..=2000)),
    ("gp2", 1..=16384, None, None),
    ("io1", 4..=16384, Some(100..=64000), None),
    ("io2", 4..=65536, Some(100..=256_000), None),
];

impl VolumeFields<'_> {
    pub(super) fn check(&self, path: &str, report: &mut Report<'_>) {
        let at = |name: &str| format!("{path}.{name}");
        let kind = self.kind.1.unwrap_or_default();
        let Some((_, sizes, iops, throughput)) = KINDS.iter().find(|(name, ..)| *name == kind) else {
            let message = format!("`{kind}` is not a volume type that windlass uses");
            return report.push(Problem::at(at(self.kind.0), message).hint("use gp3, gp2, io1 or io2"));
        };
        let fields = [
            (self.size, Some(sizes), "GiB"),
            (self.iops, iops.as_ref(), "operations a second"),
            (self.throughput, throughput.as_ref(), "MiB/s"),
        ];
        for ((name, value), range, unit) in fields {
            match (value, range) {
                (Some(value), Some(range)) if !range.contains(&value) => {
                    let message = format!("volumes of the type {kind} can't have {value} {unit}");
                    let hint = format!("they have {} to {}", range.start(), range.end());
                    report.push(Problem::at(at(name), message).hint(hint));
                }
                (Some(_), None) => {
                    let message = format!("volumes of the type {kind} have no such setting");
                    report.push(Problem::at(at(name), message).hint("leave it out, or use gp3"));
                }
                _ => {}
            }
        }
        if kind.starts_with("io") && self.iops.1.is_none() {
            report.missing(
                at(self.iops.0),
                &format!("say how many operations a second the `{kind}` volume has"),
            );
        }
        self.key(path, report);
    }

    fn key(&self, path: &str, report: &mut Report<'_>) {
        let (name, Some(key)) = self.key else { return };
        let path = format!("{path}.{name}");
        if self.encrypted == Some(false) {
            report.push(Problem::at(&path, "a volume that is not encrypted has no key"));
        }
        let named = key.starts_with("arn:") && key.contains(":kms:");
        let id = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if !named && !id && !key.starts_with("alias/") && !key.starts_with("mrk-") {
            let message = format!("`{key}` is not a KMS key");
            report.push(Problem::at(path, message).hint("write its ARN, its id, or `alias/<name>`"));
        }
    }
}
