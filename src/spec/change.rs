//! What can't be changed once a cluster runs.

use std::collections::BTreeMap;

use super::cluster::{Issuer, ServiceAccounts};
use super::default;
use super::documents::Documents;
use super::problem::{Problem, Problems};
use super::resolve::{LEASES, Report, chosen_plugins, is_users_own};
use super::v1alpha2::{
    Cluster, ClusterSpec, EtcdMemberSpec, InstanceGroup, InstanceGroupRole, Object, SubnetSpec, SubnetType,
};
use super::versions::{ControlPlane, Version, check_control_plane_step, check_etcd_step};

/// Compares the specification that a cluster runs with the one that shall follow. A change that would break the
/// cluster is a problem, with the reason and, where there is one, the way to do it.
pub fn check_change(old: &Documents, new: &Documents) -> Result<(), Problems> {
    let issuers = old.resolve().ok().zip(new.resolve().ok());
    let (old_cluster, old_groups) = default::fill(&old.cluster, &old.instance_groups);
    let (new_cluster, new_groups) = default::fill(&new.cluster, &new.instance_groups);
    let mut problems = Problems::new();
    let mut report = Report::of(&new.cluster, &mut problems);
    let (old, new) = (&old_cluster.spec, &new_cluster.spec);
    name(&old_cluster, &new_cluster, &mut report);
    kubernetes_version(old, new, &mut report);
    ranges(old, new, &mut report);
    subnets(old, new, &mut report);
    plugin(old, new, &mut report);
    etcd(old, new, &mut report);
    if let Some((old, new)) = issuers {
        issuer(&old.service_accounts, &new.service_accounts, &mut report);
    }
    instance_groups(&old_groups, &new_groups, &mut problems);
    problems.or(())
}

/// Tokens are good for an hour and longer: they must be until pods have new ones.
fn issuer(old: &ServiceAccounts, new: &ServiceAccounts, report: &mut Report<'_>) {
    if !new.accept_tokens_of(old) {
        let message = "the issuer of service accounts' tokens changes, and tokens of the old one wouldn't be good any more";
        let hint = match (&old.issuer, &old.discovery_store) {
            (Issuer::Written(url), _) => {
                format!("name it here for as long as there are such tokens: `{url}`")
            }
            (Issuer::Api(name), _) => {
                format!("name it here for as long as there are such tokens: `https://{name}`")
            }
            (_, store) => {
                let url = store.as_ref().map_or_else(String::new, |store| store.url("<region>"));
                format!(
                    "name it here for as long as there are such tokens: `{url}`, with the bucket's region"
                )
            }
        };
        let path = "spec.kubeAPIServer.additionalServiceAccountIssuers";
        report.push(Problem::at(path, message).hint(hint));
    }
}

fn name(old: &Cluster, new: &Cluster, report: &mut Report<'_>) {
    if old.metadata.name != new.metadata.name {
        let message = "a cluster can't be renamed";
        report.push(Problem::at("metadata.name", message).hint(ANOTHER_CLUSTER));
    }
}

/// What can't be read as a version is refused for that, elsewhere.
fn kubernetes_version(old: &ClusterSpec, new: &ClusterSpec, report: &mut Report<'_>) {
    let (Some(old), Some(new)) = (control_plane(old), control_plane(new)) else { return };
    if let Err(problem) = check_control_plane_step(old, new) {
        report.push(Problem { path: "spec.kubernetesVersion".to_owned(), ..problem });
    }
}

/// Which Kubernetes the control plane of a complete specification is, where it says so.
pub fn control_plane(spec: &ClusterSpec) -> Option<ControlPlane> {
    let programs = Version::parse(spec.kubernetes_version.as_deref()?)?;
    let emulated = spec.emulated_version.as_deref().and_then(Version::parse);
    Some(ControlPlane { programs, acts_as: emulated.unwrap_or(programs) })
}

/// A group keeps its role, and a master its subnet.
fn instance_groups(old: &[InstanceGroup], new: &[InstanceGroup], problems: &mut Problems) {
    let known: BTreeMap<_, _> = old.iter().map(|group| (group.name(), group)).collect();
    for group in new {
        let Some(before) = known.get(group.name()) else { continue };
        let mut report = Report::of(group, problems);
        if before.spec.role != group.spec.role {
            let message = "a group's role can't be changed: its instances have joined with the old one";
            report.push(Problem::at("spec.role", message).hint("create another group, and delete this one"));
        }
        let master = before.spec.role == Some(InstanceGroupRole::Master);
        if master && before.spec.subnets != group.spec.subnets {
            let message = "a master's subnet can't be changed: its volume and its address are there";
            report.push(Problem::at("spec.subnets", message).hint(back(before.spec.subnets.as_deref())));
        }
    }
}

/// The way back from a change of a list.
fn back(before: Option<&[String]>) -> String {
    format!("keep `{}`, or {ANOTHER_CLUSTER}", before.unwrap_or_default().join(", "))
}

/// The way to do what no running cluster can do.
const ANOTHER_CLUSTER: &str = "create a new cluster and move workloads to it";

type Text = fn(&ClusterSpec) -> Option<&str>;

/// Fields whose value is built into what runs, and why.
const FIXED: [(&str, Text, &str); 5] = [
    (
        "spec.networkID",
        |spec| spec.network_id.as_deref(),
        "everything that the cluster is made of is in its VPC",
    ),
    ("spec.networkCIDR", |spec| spec.network_cidr.as_deref(), "AWS can't change the range of a VPC"),
    ("spec.podCIDR", |spec| spec.pod_cidr.as_deref(), "every node has its part of the old range"),
    (
        "spec.serviceClusterIPRange",
        |spec| spec.service_cluster_ip_range.as_deref(),
        "every service has an address of the old range, and certificates name the first",
    ),
    (
        "spec.clusterDNSDomain",
        |spec| spec.cluster_dns_domain.as_deref(),
        "names in running pods, and the issuer of their tokens, end in it",
    ),
];

fn ranges(old: &ClusterSpec, new: &ClusterSpec, report: &mut Report<'_>) {
    for (path, value, reason) in FIXED {
        let (old, new) = (value(old).unwrap_or_default(), value(new).unwrap_or_default());
        if old != new {
            let shown =
                |value: &str| if value.is_empty() { "nothing".to_owned() } else { format!("`{value}`") };
            let message = format!("{} can't be changed to {}: {reason}", shown(old), shown(new));
            let hint = hint_for(Some(old).filter(|old| !old.is_empty()));
            report.push(Problem::at(path, message).hint(hint));
        }
    }
}

fn subnets(old: &ClusterSpec, new: &ClusterSpec, report: &mut Report<'_>) {
    let known: BTreeMap<_, _> = old.subnets.iter().flatten().map(|subnet| (&subnet.name, subnet)).collect();
    for (index, subnet) in new.subnets.iter().flatten().enumerate() {
        let Some(before) = known.get(&subnet.name) else { continue };
        private_or_not(&format!("spec.subnets[{index}].type"), before, subnet, report);
        let fields = [
            ("cidr", &before.cidr, &subnet.cidr),
            ("zone", &before.zone, &subnet.zone),
            ("id", &before.id, &subnet.id),
            // A range can be added; what has addresses of it keeps them.
            ("ipv6CIDR", &before.ipv6_cidr, before.ipv6_cidr.as_ref().map_or(&None, |_| &subnet.ipv6_cidr)),
        ];
        for (field, before, after) in fields {
            if before != after {
                let shown = |value: &Option<String>| {
                    value.as_ref().map_or("nothing".to_owned(), |it| format!("`{it}`"))
                };
                let (before, after) = (shown(before), shown(after));
                let message = format!("{before} can't be changed to {after}: AWS can't change a subnet");
                let hint = "add a subnet with another name, move the groups to it, then remove this one";
                report.push(Problem::at(format!("spec.subnets[{index}].{field}"), message).hint(hint));
            }
        }
    }
}

/// What is in a subnet was launched with public addresses or without, and reaches the Internet in that way alone.
fn private_or_not(path: &str, before: &SubnetSpec, after: &SubnetSpec, report: &mut Report<'_>) {
    let is_private =
        |subnet: &SubnetSpec| matches!(subnet.r#type, Some(SubnetType::Private | SubnetType::DualStack));
    if is_private(before) != is_private(after) {
        let message = "a subnet stays private, or open to the Internet: what is in it could reach nothing";
        let hint = "add a subnet with another name, move the groups to it, then remove this one";
        report.push(Problem::at(path, message).hint(hint));
    }
}

fn plugin(old: &ClusterSpec, new: &ClusterSpec, report: &mut Report<'_>) {
    let kind = |spec: &ClusterSpec| chosen_plugins(spec).join(" and ");
    let (old, new) = (kind(old), kind(new));
    if old != new {
        let message =
            format!("`{old}` can't be changed to `{new}`: running pods have the old plug-in's addresses");
        let hint = format!("write `{old}`, or {ANOTHER_CLUSTER}");
        report.push(Problem::at("spec.networking", message).hint(hint));
    }
}

/// The users' own etcd clusters, whose ports follow their order.
fn own_etcd_clusters(spec: &ClusterSpec) -> Vec<&str> {
    let names = spec.etcd_clusters.iter().flatten().filter_map(|cluster| cluster.name.as_deref());
    names.filter(|name| is_users_own(name)).collect()
}

fn etcd(old: &ClusterSpec, new: &ClusterSpec, report: &mut Report<'_>) {
    let (before, after) = (own_etcd_clusters(old), own_etcd_clusters(new));
    if before.iter().all(|name| after.contains(name)) && !after.starts_with(&before) {
        let message = "the order of etcd clusters can't be changed: their ports follow it";
        let hint = format!("write {} first, in this order", before.join(", "));
        report.push(Problem::at("spec.etcdClusters", message).hint(hint));
    }
    let has_leases =
        |spec: &ClusterSpec| spec.etcd_clusters.iter().flatten().any(|it| it.name.as_deref() == Some(LEASES));
    if has_leases(new) && !has_leases(old) {
        let message = "the etcd cluster `leases` can't be added to a cluster that runs: the leases that `main` holds \
                       would be lost, and two could lead";
        report.push(
            Problem::at("spec.etcdClusters", message).hint(format!("leave it out, or {ANOTHER_CLUSTER}")),
        );
    }
    for before in old.etcd_clusters.iter().flatten() {
        let mut clusters = new.etcd_clusters.iter().flatten().enumerate();
        let Some((index, after)) = clusters.find(|(_, cluster)| cluster.name == before.name) else {
            let name = before.name.as_deref().unwrap_or_default();
            let message = format!("the etcd cluster `{name}` can't be removed: it holds the cluster's data");
            report.push(Problem::at("spec.etcdClusters", message).hint("put it back as it was"));
            continue;
        };
        etcd_version(before.version.as_deref(), after.version.as_deref(), index, report);
        let path = format!("spec.etcdClusters[{index}].etcdMembers");
        let known: BTreeMap<_, _> =
            before.etcd_members.iter().flatten().map(|member| (&member.name, member)).collect();
        let members = after.etcd_members.as_deref().unwrap_or_default();
        let kept = members.iter().filter(|member| known.contains_key(&member.name)).count();
        if kept != known.len() {
            let message = "members can't be removed or renamed yet: each is a volume with data";
            let names = known.keys().filter_map(|name| name.as_deref()).collect::<Vec<_>>().join(", ");
            report
                .push(Problem::at(&path, message).hint(format!("keep the members that there are: {names}")));
        }
        for (index, member) in members.iter().enumerate() {
            let path = format!("{path}[{index}]");
            match known.get(&member.name) {
                Some(before) => changed_member(before, member, &path, report),
                // One that is called otherwise than before is not a new one.
                None if kept < known.len() => {}
                None => added_member(member, &path, report),
            }
        }
    }
}

/// Without being told so, a new member would begin a cluster of its own, with the others that are new.
fn added_member(member: &EtcdMemberSpec, path: &str, report: &mut Report<'_>) {
    if member.joins != Some(true) {
        let message = "a member that is added to a cluster that lives joins the others";
        report.push(Problem::at(format!("{path}.joins"), message).hint("write `joins: true`"));
    }
}

/// What can't be read as a version is refused for that, elsewhere.
fn etcd_version(old: Option<&str>, new: Option<&str>, index: usize, report: &mut Report<'_>) {
    let (Some(old), Some(new)) = (old.and_then(Version::parse), new.and_then(Version::parse)) else { return };
    if let Err(problem) = check_etcd_step(old, new) {
        report.push(Problem { path: format!("spec.etcdClusters[{index}].version"), ..problem });
    }
}

fn changed_member(old: &EtcdMemberSpec, new: &EtcdMemberSpec, path: &str, report: &mut Report<'_>) {
    let texts = [
        ("instanceGroup", &old.instance_group, &new.instance_group, "its volume is in that group's zone"),
        (
            "privateAddress",
            &old.private_address,
            &new.private_address,
            "the other members and the nodes know it",
        ),
        ("kmsKeyId", &old.kms_key_id, &new.kms_key_id, "EBS can't encrypt a volume again"),
    ];
    for (field, old, new, reason) in texts {
        if old != new {
            let nothing = || "nothing".to_owned();
            let shown =
                |text: &Option<String>| text.as_ref().map_or_else(nothing, |text| format!("`{text}`"));
            let message = format!("{} can't be changed to {}: {reason}", shown(old), shown(new));
            report.push(Problem::at(format!("{path}.{field}"), message).hint(hint_for(old.as_deref())));
        }
    }
    if old.encrypted_volume != new.encrypted_volume {
        let message = "whether the volume is encrypted can't be changed: EBS can't do it in place";
        let before = old.encrypted_volume.map(|encrypted| encrypted.to_string());
        let hint = hint_for(before.as_deref());
        report.push(Problem::at(format!("{path}.encryptedVolume"), message).hint(hint));
    }
    if new.volume_size < old.volume_size {
        let message = "a volume can't be made smaller";
        let size = old.volume_size.unwrap_or_default();
        let hint = format!("write {size}, or more");
        report.push(Problem::at(format!("{path}.volumeSize"), message).hint(hint));
    }
}

/// The way back from a change of a member.
fn hint_for(before: Option<&str>) -> String {
    let before = before.map_or_else(|| "leave it out".to_owned(), |before| format!("write `{before}`"));
    format!("{before}, or {ANOTHER_CLUSTER}")
}
