//! The VPC, its subnets, and the network plug-in.

use super::{CreateOptions, ExistingSubnet};
use crate::spec::default;
use crate::spec::v1alpha2::{
    AmazonVpcSpec, BastionSpec, CalicoSpec, CiliumSpec, ClusterSpec, CniSpec, DnsSpec, DnsType, ExternalSpec,
    FlannelSpec, KindnetSpec, KubeRouterSpec, KubenetSpec, NetworkingSpec, SubnetSpec, SubnetType,
    TopologySpec,
};

/// What `--networking` can be.
pub(super) const NETWORKING: [&str; 14] = [
    "flannel",
    "flannel-vxlan",
    "flannel-udp",
    "cni",
    "external",
    "kubenet",
    "calico",
    "kube-router",
    "amazonvpc",
    "amazon-vpc-routed-eni",
    "cilium",
    "cilium-etcd",
    "cilium-eni",
    "kindnet",
];

/// Whether instances are in private subnets, as they are in IPv6 clusters unless asked otherwise.
pub(super) fn is_private(options: &CreateOptions) -> bool {
    options.topology.as_deref().map_or(options.ipv6, |topology| topology.eq_ignore_ascii_case("private"))
}

/// How names are published: in a public zone if a zone is named, else not at all.
pub(super) fn dns(options: &CreateOptions) -> DnsType {
    match options.dns.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("public") => DnsType::Public,
        Some("private") => DnsType::Private,
        None if options.dns_zone.is_some() => DnsType::Public,
        _ => DnsType::None,
    }
}

pub(super) fn network(options: &CreateOptions, spec: &mut ClusterSpec) {
    spec.network_id.clone_from(&options.network_id);
    spec.dns_zone.clone_from(&options.dns_zone);
    spec.disable_subnet_tags = options.disable_subnet_tags.then_some(true);
    let ranges = options.existing_network.as_ref().map_or(&options.network_cidr, |network| &network.ranges);
    let range = ranges.first().map_or(default::NETWORK_CIDR, String::as_str);
    let mut subnets = subnets(options);
    if options.ipv6 {
        for (index, subnet) in subnets.iter_mut().enumerate() {
            subnet.ipv6_cidr = Some(format!("/64#{index:x}"));
        }
    }
    if let Ok(range) = range.parse() {
        default::assign_ranges(range, &mut subnets);
    }
    let further: Vec<String> = ranges.iter().skip(1).cloned().collect();
    spec.network_cidr = Some(range.to_owned());
    spec.additional_network_cidrs = (!further.is_empty()).then_some(further);
    spec.subnets = Some(subnets);
    topology(options, spec);
    plugin(options, spec);
    let amazonvpc = spec.networking.as_ref().is_some_and(|networking| networking.amazonvpc.is_some());
    let internal = match (options.ipv6, amazonvpc) {
        (true, _) => "::/0",
        // Its pods have addresses of the VPC.
        (false, true) => range,
        (false, false) => default::NON_MASQUERADE_CIDR,
    };
    spec.non_masquerade_cidr = Some(internal.to_owned());
}

fn topology(options: &CreateOptions, spec: &mut ClusterSpec) {
    let dns = dns(options);
    let name = (options.bastion && dns != DnsType::None).then(|| format!("bastion.{}", options.name));
    let bastion = name.map(|name| BastionSpec { bastion_public_name: Some(name), ..BastionSpec::default() });
    spec.topology =
        Some(TopologySpec { bastion, dns: Some(DnsSpec { r#type: Some(dns) }), ..TopologySpec::default() });
}

/// Every zone has a subnet with its name; further ranges are subnets of their own, over the zones in turn. A private
/// topology has a utility subnet beside each, and in IPv6 one for masters.
fn subnets(options: &CreateOptions) -> Vec<SubnetSpec> {
    let private = is_private(options);
    let kind = if private { SubnetType::Private } else { SubnetType::Public };
    let mut zones: Vec<&String> = options.zones.iter().chain(&options.control_plane_zones).collect();
    zones.sort();
    zones.dedup();
    let mut subnets: Vec<SubnetSpec> =
        zones.into_iter().map(|zone| subnet(zone, zone, None, kind, &options.subnets)).collect();
    for (name, zone, cidr) in further(options) {
        subnets.push(subnet(&name, zone, Some(cidr), kind, &options.subnets));
    }
    let beside = |prefix: &str, kind: SubnetType, existing: &[ExistingSubnet]| {
        let twin = |of: &SubnetSpec| {
            let (name, zone) =
                (of.name.as_deref().unwrap_or_default(), of.zone.as_deref().unwrap_or_default());
            subnet(&format!("{prefix}{name}"), zone, None, kind, existing)
        };
        subnets.iter().map(twin).collect::<Vec<_>>()
    };
    let mut more = Vec::new();
    if private && options.ipv6 {
        more.extend(beside("dualstack-", SubnetType::DualStack, &options.utility_subnets));
    }
    if private {
        more.extend(beside("utility-", SubnetType::Utility, &options.utility_subnets));
    }
    subnets.extend(more);
    subnets
}

/// The subnets of further ranges: name, zone and range. An existing VPC has none but those that are named.
pub(super) fn further(options: &CreateOptions) -> impl Iterator<Item = (String, &String, &String)> {
    let ranges =
        options.network_cidr.iter().skip(1).filter(|_| options.existing_network.is_none()).enumerate();
    ranges
        .zip(options.zones.iter().cycle())
        .map(|((index, cidr), zone)| (format!("{zone}-{}", index + 1), zone, cidr))
}

fn subnet(
    name: &str,
    zone: &str,
    cidr: Option<&String>,
    kind: SubnetType,
    existing: &[ExistingSubnet],
) -> SubnetSpec {
    let existing = existing.iter().find(|existing| existing.zone == zone);
    SubnetSpec {
        name: Some(name.to_owned()),
        zone: Some(zone.to_owned()),
        cidr: cidr.or(existing.map(|existing| &existing.cidr)).cloned(),
        id: existing.map(|existing| existing.id.clone()),
        r#type: Some(kind),
        ..SubnetSpec::default()
    }
}

fn plugin(options: &CreateOptions, spec: &mut ClusterSpec) {
    let mut networking = NetworkingSpec::default();
    let flannel = |backend: &str| FlannelSpec { backend: Some(backend.to_owned()), ..FlannelSpec::default() };
    let name = options.networking.as_deref().unwrap_or_default().to_ascii_lowercase();
    match name.as_str() {
        "flannel-udp" => networking.flannel = Some(flannel("udp")),
        "cni" => networking.cni = Some(CniSpec::default()),
        "external" => networking.external = Some(ExternalSpec {}),
        "kubenet" => networking.kubenet = Some(KubenetSpec {}),
        "calico" => networking.calico = Some(CalicoSpec::default()),
        "kube-router" => networking.kuberouter = Some(KubeRouterSpec::default()),
        "amazonvpc" | "amazon-vpc-routed-eni" => networking.amazonvpc = Some(AmazonVpcSpec::default()),
        "kindnet" => networking.kindnet = Some(KindnetSpec::default()),
        "cilium" | "cilium-etcd" | "cilium-eni" => networking.cilium = Some(cilium(&name)),
        _ => networking.flannel = Some(flannel("vxlan")),
    }
    if networking.cilium.is_some() || networking.kuberouter.is_some() {
        spec.kube_proxy.get_or_insert_default().enabled = Some(false);
    }
    spec.networking = Some(networking);
}

fn cilium(name: &str) -> CiliumSpec {
    let mut cilium = CiliumSpec { enable_node_port: Some(true), ..CiliumSpec::default() };
    cilium.etcd_managed = (name == "cilium-etcd").then_some(true);
    cilium.ipam = (name == "cilium-eni").then(|| "eni".to_owned());
    cilium
}
