//! Instance groups.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use windlass_bootstrap::config::Role;

use super::attachments::attachments;
use super::components;
use super::data_volumes::{data_volumes, mounts};
use super::identity::{additional_security_groups, instance_profile, security_group};
use super::kernel_parameters::{kernel_parameters, with_cluster};
use super::network::Networks;
use super::purchase::purchase;
use super::user_data::additional_user_data;
use super::volume::VolumeFields;
use super::warm_pool;
use super::{Report, Resolved, access, all, files, hooks, labels, text};
use crate::spec::cluster::{self, CpuCredits, EbsVolume, Nodes, Subnet};
use crate::spec::default;
use crate::spec::non_empty::NonEmpty;
use crate::spec::problem::{Problem, Problems};
use crate::spec::v1alpha2::{
    Cluster, Duration, InstanceGroup, InstanceGroupRole, InstanceGroupSpec, KubeletSpec, Object, SubnetType,
};

/// An instance group, and what is known of it even where something is wrong with it.
pub(super) struct Group {
    pub(super) name: String,
    /// The IPv4 range of its first subnet.
    pub(super) range: Resolved<Option<Ipv4Net>>,
    pub(super) resolved: Half,
}

/// A group, but for what a master holds of etcd.
pub(super) enum Half {
    /// A master, and its subnet.
    Master(Resolved<cluster::InstanceGroup<Subnet>>),
    /// Nodes, and what is of no role that there is.
    Nodes(Resolved<cluster::InstanceGroup<Nodes>>),
    /// Bastions.
    Bastions(Resolved<cluster::InstanceGroup<Nodes>>),
    /// API servers beside the masters.
    ApiServers(Resolved<cluster::InstanceGroup<Nodes>>),
}

impl Group {
    pub(super) fn is_master(&self) -> bool {
        matches!(self.resolved, Half::Master(_))
    }
}

/// Resolves all groups of a cluster of this network.
pub(super) fn resolve_all(
    cluster: &Cluster,
    groups: &[InstanceGroup],
    network: &Networks,
    problems: &mut Problems,
) -> Vec<Group> {
    let subnets = Subnets::of(cluster, network);
    let group = |group: &InstanceGroup| resolve(cluster, group, &subnets, &mut Report::of(group, problems));
    groups.iter().map(group).collect()
}

/// The cluster's subnets by name.
struct Subnets<'a> {
    by_name: BTreeMap<&'a str, Known>,
    /// Whether pods and services have IPv6 addresses.
    is_ipv6: bool,
}

/// What groups need to know of a subnet.
struct Known {
    subnet: Resolved<Subnet>,
    range: Resolved<Option<Ipv4Net>>,
    public: bool,
}

impl<'a> Subnets<'a> {
    fn of(cluster: &'a Cluster, network: &Networks) -> Self {
        let mut known = BTreeMap::new();
        let resolved = network.subnets.iter().zip(&network.ranges);
        for (subnet, (resolved, range)) in cluster.spec.subnets.iter().flatten().zip(resolved) {
            let Some(name) = subnet.name.as_deref() else { continue };
            let public = !matches!(subnet.r#type, Some(SubnetType::Private | SubnetType::DualStack));
            known.entry(name).or_insert_with(|| Known { subnet: resolved.clone(), range: *range, public });
        }
        Self { by_name: known, is_ipv6: network.is_ipv6 }
    }
}

fn resolve(
    cluster: &Cluster,
    group: &InstanceGroup,
    subnets: &Subnets<'_>,
    report: &mut Report<'_>,
) -> Group {
    let spec = &group.spec;
    let name = name(group, report);
    access::belongs(cluster, &group.metadata, "the group", report);
    let role = role(spec, report);
    let sizes = sizes(spec, report);
    let machine_type = report.read_filled("spec.machineType", spec.machine_type.as_ref(), text::machine_type);
    let purchase = purchase(spec, report);
    let warm_pool = warm_pool::of_group(&cluster.spec, spec, report);
    let image = image(cluster, spec, report);
    let hop_limit = metadata_hop_limit(spec, report);
    let max_instance_lifetime = max_instance_lifetime(spec, report);
    let suspended_processes = suspended_processes(spec, report);
    let cpu_credits = cpu_credits(spec, report);
    let dedicated = dedicated(spec, report);
    // The group's own word goes before the cluster's.
    let masters =
        cluster.spec.master_kubelet.as_ref().filter(|_| spec.role == Some(InstanceGroupRole::Master));
    let max_pods = max_pods("spec.kubelet", spec.kubelet.as_ref(), report)
        .or_else(|| masters?.max_pods)
        .or_else(|| cluster.spec.kubelet.as_ref()?.max_pods);
    let components = components::of_group(&cluster.spec, spec, report);
    let placement = placement(spec, subnets, report);
    let public_ip = report.filled("spec.associatePublicIp", spec.associate_public_ip.as_ref());
    let root_volume = root_volume(spec, report);
    let security_group = security_group(spec, report);
    let additional_security_groups = additional_security_groups(spec, report);
    let attached = attachments(spec, report);
    let volumes = data_volumes(spec, report);
    let mounts = mounts(spec, report);
    let instance_profile = instance_profile(spec, report);
    let user_data = additional_user_data(spec, report);
    let files = files::of_group(&cluster.spec, spec, report);
    let units = hooks::of_group(&cluster.spec, spec, report);
    let parameters = kernel_parameters(spec.sysctl_parameters.as_ref(), report);
    let node_labels = labels::node_labels(group, report);
    let taints = labels::taints(spec, report);
    let cloud_labels = labels::cloud_labels(spec.cloud_labels.as_ref(), report);
    let whole = (|| {
        let taints = taints?;
        Ok(cluster::InstanceGroup {
            name: name?,
            instances: (),
            machine_type: machine_type?,
            purchase: purchase?,
            image: image?,
            root_volume: root_volume?,
            volumes: volumes?,
            mounts: mounts?,
            files: files?,
            units: units?,
            ebs_optimized: spec.root_volume_optimization.unwrap_or(false),
            // In a private subnet it means nothing, as in kops.
            associate_public_ip: public_ip? && !placement.private,
            metadata_hop_limit: hop_limit?,
            detailed_monitoring: spec.detailed_instance_monitoring.unwrap_or(false),
            max_instance_lifetime: max_instance_lifetime?,
            protected_from_scale_in: spec.instance_protection.unwrap_or(false),
            capacity_rebalance: spec.capacity_rebalance.unwrap_or(false),
            warm_pool: warm_pool?,
            suspended_processes: suspended_processes?,
            cpu_credits: cpu_credits?,
            dedicated: dedicated?,
            security_group: security_group?,
            additional_security_groups: additional_security_groups?,
            attached: attached?,
            instance_profile: instance_profile?,
            user_data: user_data?,
            kernel_parameters: with_cluster(cluster.spec.sysctl_parameters.as_ref(), parameters?),
            node_labels: node_labels?,
            taints: taints.taints,
            default_taint: taints.default,
            cloud_labels,
            max_pods,
            components: components?,
        })
    })();
    let instances = sizes.and_then(|sizes| Ok((sizes, placement.subnets?)));
    Group { name: group.name().to_owned(), range: placement.range, resolved: half(role, whole, instances) }
}

fn cpu_credits(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<Option<CpuCredits>> {
    let words = CpuCredits::ALL.map(|credits| (credits.as_str(), credits));
    one_of("spec.cpuCredits", spec.cpu_credits.as_ref(), words, report)
}

/// Whether no other account's instances run on the same hardware.
fn dedicated(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<bool> {
    let words = [("default", false), ("dedicated", true)];
    Ok(one_of("spec.tenancy", spec.tenancy.as_ref(), words, report)?.unwrap_or(false))
}

/// A group with its instances, fewest and most in these subnets.
fn half(
    role: Resolved<Role>,
    whole: Resolved<cluster::InstanceGroup<()>>,
    instances: Resolved<((u32, u32), NonEmpty<Subnet>)>,
) -> Half {
    match role {
        Ok(Role::ControlPlane) => {
            let subnet = instances.map(|(_, subnets)| subnets.first().clone());
            Half::Master(whole.and_then(|group| Ok(group.with(subnet?))))
        }
        Ok(Role::Node) => Half::Nodes(some(whole, instances)),
        Ok(Role::Bastion) => Half::Bastions(some(whole, instances)),
        Ok(Role::ApiServer) => Half::ApiServers(some(whole, instances)),
        Err(reported) => Half::Nodes(Err(reported)),
    }
}

fn some(
    whole: Resolved<cluster::InstanceGroup<()>>,
    instances: Resolved<((u32, u32), NonEmpty<Subnet>)>,
) -> Resolved<cluster::InstanceGroup<Nodes>> {
    let (group, ((min_size, max_size), subnets)) = (whole?, instances?);
    Ok(group.with(Nodes { min_size, max_size, subnets }))
}

/// The image; where one of a distribution is written, as kops does, windlass's own.
fn image(cluster: &Cluster, spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<String> {
    let image = report.read_filled("spec.image", spec.image.as_ref(), text::image)?;
    match default::version_of(&cluster.spec, spec.role) {
        Some(version) if text::is_of_a_distribution(&image) => Ok(default::image(version)),
        _ => Ok(image),
    }
}

fn name(group: &InstanceGroup, report: &mut Report<'_>) -> Resolved<String> {
    const PATH: &str = "metadata.name";
    match group.name() {
        "" => Err(report.missing(PATH, "a group is called by a DNS label, such as `nodes`")),
        name => report.read(PATH, name, text::dns_label),
    }
}

const ROLES: &str = "write `Master`, `Node`, `Bastion` or `APIServer`";

fn role(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<Role> {
    const PATH: &str = "spec.role";
    match spec.role {
        Some(InstanceGroupRole::Master) => Ok(Role::ControlPlane),
        Some(InstanceGroupRole::Node) => Ok(Role::Node),
        Some(InstanceGroupRole::Bastion) => Ok(Role::Bastion),
        Some(InstanceGroupRole::ApiServer) => Ok(Role::ApiServer),
        None => Err(report.missing(PATH, ROLES)),
    }
}

/// The most instances of one group: the most Nodes that Kubernetes supports in a cluster.
pub(in crate::spec) const MOST_INSTANCES: u32 = 5000;

/// The fewest and the most instances.
fn sizes(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<(u32, u32)> {
    let min = report.filled("spec.minSize", spec.min_size.as_ref());
    let max = report.filled("spec.maxSize", spec.max_size.as_ref());
    let (min, max) = (min?, max?);
    if spec.role == Some(InstanceGroupRole::Master) && (min, max) != (1, 1) {
        let path = if max == 1 { "spec.minSize" } else { "spec.maxSize" };
        let message = format!("a group of masters has one instance, not {min} to {max}");
        let hint = "set minSize and maxSize to 1: several masters are several groups";
        return Err(report.push(Problem::at(path, message).hint(hint)));
    }
    if min > max {
        report.push(Problem::at("spec.minSize", format!("{min} is more than maxSize ({max})")));
    }
    if max > MOST_INSTANCES {
        let message = format!("{max} instances are more than a cluster can have ({MOST_INSTANCES})");
        report.push(Problem::at("spec.maxSize", message));
    }
    Ok((min, max))
}

fn metadata_hop_limit(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<u32> {
    const PATH: &str = "spec.instanceMetadata.httpPutResponseHopLimit";
    let metadata = spec.instance_metadata.as_ref();
    let limit = metadata.and_then(|metadata| metadata.http_put_response_hop_limit.as_ref());
    let limit = report.filled(PATH, limit)?;
    if (1..=64).contains(&limit) {
        return Ok(limit);
    }
    Err(report.push(Problem::at(PATH, format!("{limit} is not from 1 to 64"))))
}

/// The seconds that Auto Scaling takes for the longest life of an instance: a day to a year
/// (API_CreateAutoScalingGroup).
const LIFETIMES: std::ops::RangeInclusive<u64> = 86_400..=31_536_000;

/// After how many seconds an instance is replaced; none for `0s`, as in kops.
fn max_instance_lifetime(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<Option<u32>> {
    const PATH: &str = "spec.maxInstanceLifetime";
    let Some(Duration(text)) = &spec.max_instance_lifetime else { return Ok(None) };
    let problem = match text::milliseconds(text) {
        Some(0) => return Ok(None),
        Some(milliseconds) if LIFETIMES.contains(&(milliseconds / 1000)) => {
            return Ok(u32::try_from(milliseconds / 1000).ok());
        }
        Some(_) => Problem::at(PATH, format!("`{text}` is not from a day to a year")),
        None => Problem::at(PATH, format!("`{text}` is not a duration")),
    };
    Err(report.push(problem.hint("write it like `168h`")))
}

/// The processes of Auto Scaling (API_ProcessType).
const PROCESSES: [&str; 9] = [
    "AZRebalance",
    "AddToLoadBalancer",
    "AlarmNotification",
    "HealthCheck",
    "InstanceRefresh",
    "Launch",
    "ReplaceUnhealthy",
    "ScheduledActions",
    "Terminate",
];

fn suspended_processes(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<BTreeSet<String>> {
    let written = spec.suspend_processes.iter().flatten().enumerate();
    let processes = written.map(|(index, process)| {
        if PROCESSES.contains(&process.as_str()) {
            return Ok(process.clone());
        }
        let message = format!("Auto Scaling has no process `{process}`");
        let problem = Problem::at(format!("spec.suspendProcesses[{index}]"), message);
        Err(report.push(problem.hint(format!("there are: {}", PROCESSES.join(", ")))))
    });
    Ok(all(processes)?.into_iter().collect())
}

/// What a word means that is one of some, where it is written.
fn one_of<T: Copy, const N: usize>(
    path: &str,
    written: Option<&String>,
    words: [(&str, T); N],
    report: &mut Report<'_>,
) -> Resolved<Option<T>> {
    let Some(written) = written else { return Ok(None) };
    if let Some((_, meaning)) = words.iter().find(|(word, _)| word == written) {
        return Ok(Some(*meaning));
    }
    let words = words.map(|(word, _)| word).join("` nor `");
    Err(report.push(Problem::at(path, format!("`{written}` is neither `{words}`"))))
}

/// How many pods a Node can have: it has a /24 of pods' addresses, of which some are the plug-in's.
const MOST_PODS: u32 = 250;

/// The kubelet's limit of pods, of a group or of the cluster. A limit that is refused is reported and returned all the
/// same.
pub(super) fn max_pods(path: &str, kubelet: Option<&KubeletSpec>, report: &mut Report<'_>) -> Option<u32> {
    let limit = kubelet.and_then(|kubelet| kubelet.max_pods);
    if let Some(limit) = limit.filter(|limit| !(1..=MOST_PODS).contains(limit)) {
        let message = format!("a Node can't have {limit} pods");
        let hint = format!("from 1 to {MOST_PODS}: its range of pods' addresses is a /24");
        report.push(Problem::at(format!("{path}.maxPods"), message).hint(hint));
    }
    limit
}

/// Where a group's instances are.
struct Placement {
    /// Its subnets.
    subnets: Resolved<NonEmpty<Subnet>>,
    /// The IPv4 range of the first.
    range: Resolved<Option<Ipv4Net>>,
    /// Whether they are private.
    private: bool,
}

fn placement(spec: &InstanceGroupSpec, known: &Subnets<'_>, report: &mut Report<'_>) -> Placement {
    const PATH: &str = "spec.subnets";
    let subnets = spec.subnets.as_deref().unwrap_or_default();
    let mut seen = BTreeSet::new();
    let found = subnets.iter().enumerate().map(|(index, subnet)| {
        let path = format!("{PATH}[{index}]");
        let Some(found) = known.by_name.get(subnet.as_str()) else {
            let names: Vec<&str> = known.by_name.keys().copied().collect();
            let problem = Problem::at(path, format!("the cluster has no subnet `{subnet}`"));
            return Err(report.push(problem.hint(format!("there are: {}", names.join(", ")))));
        };
        if !seen.insert(subnet) {
            report.push(Problem::at(&path, format!("`{subnet}` stands here twice")));
        }
        has_addresses(&path, spec, found, known.is_ipv6, report);
        Ok(found)
    });
    let found: Vec<Resolved<&Known>> = found.collect();
    let Some(found) = NonEmpty::of(found) else {
        let reported = report.missing(PATH, "name the subnets that the group spans");
        return Placement { subnets: Err(reported), range: Err(reported), private: false };
    };
    if spec.role == Some(InstanceGroupRole::Master) && subnets.len() > 1 {
        let message = "a master stays in one subnet: its volume and its address are there";
        report.push(Problem::at(format!("{PATH}[1]"), message).hint("keep one subnet"));
    }
    if spec.associate_public_ip == Some(false) && found.iter().flatten().any(|subnet| subnet.public) {
        let message = "instances in a public subnet reach nothing without a public address";
        report.push(Problem::at("spec.associatePublicIp", message).hint("leave it out"));
    }
    let private = found.iter().flatten().any(|subnet| !subnet.public);
    if private && found.iter().flatten().any(|subnet| subnet.public) {
        let message =
            "a group is in public subnets or in private ones: its instances have public addresses or none";
        report.push(Problem::at(PATH, message).hint("make a group for each of the two"));
    }
    let range = found.first().and_then(|subnet| subnet.range);
    let subnets = found.map(|_, known| known.and_then(|known| known.subnet.clone()));
    Placement { subnets: subnets.transpose(), range, private }
}

/// Nodes of an IPv6 cluster have IPv6 addresses, for themselves and for their pods; masters have IPv4 addresses in any case, by
/// which members of etcd know each other.
fn has_addresses(
    path: &str,
    spec: &InstanceGroupSpec,
    known: &Known,
    is_ipv6: bool,
    report: &mut Report<'_>,
) {
    let Ok(subnet) = &known.subnet else { return };
    if spec.role == Some(InstanceGroupRole::Master) && subnet.cidr.is_none() {
        let message = format!("a master has an IPv4 address, and the subnet `{}` has none", subnet.name);
        report.push(Problem::at(path, message).hint("name a subnet with `type: DualStack`"));
    }
    if is_ipv6 && spec.role != Some(InstanceGroupRole::Bastion) && subnet.ipv6.is_none() {
        let message = format!("pods have IPv6 addresses, and the subnet `{}` has none", subnet.name);
        let hint = format!("write `ipv6CIDR: /64#<number>` for `{}`, or name another subnet", subnet.name);
        report.push(Problem::at(path, message).hint(hint));
    }
}

fn root_volume(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<EbsVolume> {
    let volume = VolumeFields {
        size: ("rootVolumeSize", spec.root_volume_size),
        kind: ("rootVolumeType", spec.root_volume_type.as_deref()),
        iops: ("rootVolumeIops", spec.root_volume_iops),
        throughput: ("rootVolumeThroughput", spec.root_volume_throughput),
        encrypted: ("rootVolumeEncryption", spec.root_volume_encryption),
        key: ("rootVolumeEncryptionKey", spec.root_volume_encryption_key.as_deref()),
    };
    volume.resolve("spec", report)
}
