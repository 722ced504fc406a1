//! What is wrong with flags in themselves; what they make is checked as a specification.

use super::network::NETWORKING;
use super::{CreateOptions, ExistingSubnet};
use crate::spec::problem::{Problem, Problems};
use crate::spec::quantity;
use crate::spec::resolve;
use crate::spec::shape::nearest;
use crate::spec::subnets;

/// Every flag that can't be understood, or that can't stand beside another.
pub(super) fn check(options: &CreateOptions) -> Problems {
    let mut problems = Problems::new();
    name(options, &mut problems);
    zones(options, &mut problems);
    words(options, &mut problems);
    counts(options, &mut problems);
    combinations(options, &mut problems);
    existing(options, &mut problems);
    for cidr in &options.network_cidr {
        refuse(resolve::net(cidr), "--network-cidr", &mut problems);
    }
    if let Some(key) = options.ssh_public_key.as_deref() {
        refuse(resolve::public_key(key), "--ssh-public-key", &mut problems);
    }
    problems
}

fn refuse<T>(result: Result<T, Problem>, flag: &str, problems: &mut Problems) {
    if let Err(problem) = result {
        problems.push(Problem { path: flag.to_owned(), ..problem });
    }
}

fn name(options: &CreateOptions, problems: &mut Problems) {
    const FLAG: &str = "--name";
    if options.name.is_empty() {
        problems.push(Problem::at(FLAG, "a cluster needs a name").hint("such as `demo.example.com`"));
        return;
    }
    let named = resolve::dns_name(&options.name);
    if named.is_ok() && !options.name.contains('.') {
        let hint = format!("a cluster is called by a DNS name, such as `{}.example.com`", options.name);
        problems.push(Problem::at(FLAG, format!("`{}` has no dot", options.name)).hint(hint));
    }
    refuse(named, FLAG, problems);
}

fn zones(options: &CreateOptions, problems: &mut Problems) {
    if options.zones.is_empty() {
        problems
            .push(Problem::at("--zones", "a cluster needs at least one zone").hint("such as `us-east-1a`"));
    }
    for (flag, zones) in
        [("--zones", &options.zones), ("--control-plane-zones", &options.control_plane_zones)]
    {
        for (index, zone) in zones.iter().enumerate() {
            if subnets::region(zone).is_none() {
                let message = format!("`{zone}` is not an availability zone");
                problems.push(Problem::at(flag, message).hint("write one such as `us-east-1a`"));
            } else if zones[..index].contains(zone) {
                problems.push(Problem::at(flag, format!("`{zone}` stands there twice")));
            }
        }
    }
}

/// Flags that are one of some words.
fn words(options: &CreateOptions, problems: &mut Problems) {
    let flags: [(&str, Option<&str>, &[&str]); 6] = [
        ("--topology", options.topology.as_deref(), &["public", "private"]),
        ("--dns", options.dns.as_deref(), &["public", "private", "none"]),
        ("--api-loadbalancer-type", options.api_loadbalancer_type.as_deref(), &["public", "internal"]),
        ("--instance-manager", options.instance_manager.as_deref(), &["cloudgroups", "karpenter"]),
        ("--authorization", options.authorization.as_deref(), &["RBAC", "AlwaysAllow"]),
        ("--networking", options.networking.as_deref(), &NETWORKING),
    ];
    for (flag, value, words) in flags {
        let Some(value) = value else { continue };
        if !words.iter().any(|word| word.eq_ignore_ascii_case(value)) {
            let hint = match nearest(value, words.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("there are: {}", words.join(", ")),
            };
            problems.push(Problem::at(flag, format!("`{value}` is not known")).hint(hint));
        }
    }
}

fn counts(options: &CreateOptions, problems: &mut Problems) {
    let (zones, count) = (options.control_plane_zones.len(), options.control_plane_count);
    if let Some(count) = count.filter(|count| *count == 0 || (*count as usize) < zones) {
        let message = format!("{} can't be in {}", quantity(count, "master"), quantity(zones, "zone"));
        problems.push(Problem::at("--control-plane-count", message).hint("leave one of the two flags out"));
    }
    let masters = count.map_or(zones.max(1), |count| count as usize);
    if masters.is_multiple_of(2) && masters > 0 {
        let message = format!("an etcd cluster can't have {masters} members");
        problems.push(Problem::at("--control-plane-count", message).hint("use an odd number of masters"));
    }
    if masters > 7 {
        let message = format!("{masters} masters are more than an etcd cluster can have");
        problems.push(Problem::at("--control-plane-count", message).hint("use 1, 3, 5 or 7"));
    }
    if let Some(count) = options.node_count.filter(|count| *count > resolve::MOST_INSTANCES) {
        let message = format!("{count} nodes are more than a cluster can have ({})", resolve::MOST_INSTANCES);
        problems.push(Problem::at("--node-count", message));
    }
}

/// Flags that need or exclude each other.
fn combinations(options: &CreateOptions, problems: &mut Problems) {
    let private = super::network::is_private(options);
    if options.bastion && !private {
        let message = "a bastion is for a private topology";
        problems.push(Problem::at("--bastion", message).hint("add `--topology private`"));
    }
    if options.networking.as_deref() == Some("kubenet") && private {
        problems.push(Problem::at("--networking", "kubenet does not work in a private topology"));
    }
    if options.instance_manager.as_deref() == Some("karpenter") && options.discovery_store.is_none() {
        let message = "Karpenter needs roles for service accounts";
        problems.push(Problem::at("--instance-manager", message).hint("add `--discovery-store s3://…`"));
    }
    if !options.utility_subnets.is_empty() && !private {
        let message = "utility subnets are for a private topology";
        problems.push(Problem::at("--utility-subnets", message).hint("add `--topology private`"));
    }
    for source in &options.admin_access {
        refuse(resolve::access(source), "--admin-access", problems);
    }
    for source in &options.ssh_access {
        refuse(resolve::access(source), "--ssh-access", problems);
    }
}

/// Existing subnets are in one VPC, and every zone has one.
fn existing(options: &CreateOptions, problems: &mut Problems) {
    for (flag, subnets) in [("--subnets", &options.subnets), ("--utility-subnets", &options.utility_subnets)]
    {
        for (index, subnet) in subnets.iter().enumerate() {
            let ExistingSubnet { id, vpc, zone, .. } = subnet;
            if let Some(other) = subnets[..index].iter().find(|other| other.zone == *zone) {
                let message = format!("`{}` and `{id}` are both in {zone}", other.id);
                problems.push(Problem::at(flag, message).hint("name one for each zone"));
            }
            if let Some(network) = options.network_id.as_ref().filter(|network| *network != vpc) {
                problems.push(Problem::at(flag, format!("`{id}` is in {vpc}, and not in {network}")));
            }
            if !options.zones.iter().chain(&options.control_plane_zones).any(|known| known == zone) {
                let message = format!("`{id}` is in {zone}, where the cluster has no subnet");
                problems.push(Problem::at(flag, message).hint(format!("add {zone} to --zones")));
            }
        }
        let without = |zone: &&String| !subnets.iter().any(|subnet| subnet.zone == **zone);
        if let Some(zone) = options.zones.iter().find(without).filter(|_| !subnets.is_empty()) {
            let message = format!("none of these subnets is in {zone}");
            problems.push(Problem::at(flag, message).hint("name one for each zone"));
        }
    }
    let Some(network) = &options.existing_network else { return };
    if !options.network_cidr.is_empty() && options.network_cidr != network.ranges {
        let message = format!("`{}` has {}", network.id, network.ranges.join(", "));
        problems.push(Problem::at("--network-cidr", message).hint("leave it out: it is looked up"));
    }
}
