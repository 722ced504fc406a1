//! Machine types: whether they exist, where they are offered, and what they can do.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{InstanceTypeInfo, InstanceTypeOffering, LocationType, ProcessorInfo};
use futures::try_join;

use super::{AMD64, ARM64, Architecture, FactsError};
use crate::aws::{Clients, During};
use crate::spec::cluster::{Cluster, InstanceGroup};

/// Checks that every machine type exists and is offered where its group's subnets are; returns their architectures.
pub(super) async fn machine_types(
    cluster: &Cluster,
    clients: &Clients,
) -> Result<BTreeMap<String, Architecture>, FactsError> {
    let wanted: BTreeSet<&String> = cluster.instance_groups.iter().flat_map(named_types).collect();
    let these = names_filter("instance-type", &wanted);
    let types = async {
        let call = clients.ec2.describe_instance_types().filters(these.clone());
        let types = call.into_paginator().items().send().try_collect().await;
        types.during("ec2", "DescribeInstanceTypes", &cluster.region)
    };
    let offerings = async {
        let call = clients.ec2.describe_instance_type_offerings().filters(these.clone());
        let call = call.location_type(LocationType::AvailabilityZone);
        let offerings = call.into_paginator().items().send().try_collect().await;
        offerings.during("ec2", "DescribeInstanceTypeOfferings", &cluster.region)
    };
    let (types, offerings) = try_join!(types, offerings)?;
    let (architectures, offered) = (architectures(&types), zones_by_type(&offerings));
    for group in &cluster.instance_groups {
        check_machine_types(cluster, group, &architectures, &offered)?;
        check_alike(group, &types, &architectures)?;
        check_cpu_credits(group, &types)?;
    }
    Ok(architectures)
}

/// Only burstable types take a credit specification: with it, an Auto Scaling group launches no instance of another type
/// (EC2 User Guide, "Burstable performance instances").
fn check_cpu_credits(group: &InstanceGroup, types: &[InstanceTypeInfo]) -> Result<(), FactsError> {
    let burstable = |kind: &&String| {
        info(types, kind).and_then(InstanceTypeInfo::burstable_performance_supported) != Some(false)
    };
    let launched = group.machine_types().unwrap_or_default();
    match launched.into_iter().find(|kind| !burstable(kind)) {
        Some(machine_type) if group.cpu_credits.is_some() => {
            let (group, machine_type) = (group.name.clone(), machine_type.clone());
            Err(FactsError::NotBurstable { group, machine_type })
        }
        _ => Ok(()),
    }
}

fn info<'t>(types: &'t [InstanceTypeInfo], name: &str) -> Option<&'t InstanceTypeInfo> {
    types.iter().find(|kind| kind.instance_type().is_some_and(|kind| kind.as_str() == name))
}

/// All types of a group run one image, and have GPUs or have none: Nodes of a group are alike (as with kops).
fn check_alike(
    group: &InstanceGroup,
    types: &[InstanceTypeInfo],
    architectures: &BTreeMap<String, Architecture>,
) -> Result<(), FactsError> {
    let first = &group.machine_type;
    let has_gpu = |kind: &str| info(types, kind).is_some_and(|kind| kind.gpu_info().is_some());
    let difference = |other: &str| {
        if architectures.get(other) != architectures.get(first) {
            return Some("they are of two architectures");
        }
        (has_gpu(other) != has_gpu(first)).then_some("one has GPUs and the other hasn't")
    };
    for other in group.machine_types().unwrap_or_default() {
        if let Some(difference) = difference(other) {
            let (group, machine_type) = (group.name.clone(), first.clone());
            return Err(FactsError::Unlike { group, machine_type, other: other.clone(), difference });
        }
    }
    Ok(())
}

/// The architecture of each machine type.
fn architectures(types: &[InstanceTypeInfo]) -> BTreeMap<String, Architecture> {
    let architecture = |kind: &InstanceTypeInfo| {
        let supported = kind.processor_info().map(ProcessorInfo::supported_architectures).unwrap_or_default();
        let arm = supported.iter().any(|architecture| architecture.as_str() == ARM64.ec2);
        Some((kind.instance_type()?.as_str().to_owned(), if arm { ARM64 } else { AMD64 }))
    };
    types.iter().filter_map(architecture).collect()
}

/// The zones in which each machine type is offered.
fn zones_by_type(offerings: &[InstanceTypeOffering]) -> BTreeMap<String, BTreeSet<String>> {
    let mut offered: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for offering in offerings {
        if let (Some(kind), Some(zone)) = (offering.instance_type(), offering.location()) {
            offered.entry(kind.as_str().to_owned()).or_default().insert(zone.to_owned());
        }
    }
    offered
}

fn names_filter(name: &str, values: &BTreeSet<&String>) -> aws_sdk_ec2::types::Filter {
    let values = values.iter().map(|value| (*value).clone()).collect();
    aws_sdk_ec2::types::Filter::builder().name(name).set_values(Some(values)).build()
}

/// Every type exists, and each zone of the group offers one of them.
fn check_machine_types(
    cluster: &Cluster,
    group: &InstanceGroup,
    architectures: &BTreeMap<String, Architecture>,
    offered: &BTreeMap<String, BTreeSet<String>>,
) -> Result<(), FactsError> {
    if let Some(unknown) = named_types(group).find(|kind| !architectures.contains_key(*kind)) {
        return Err(FactsError::MachineType {
            group: group.name.clone(),
            machine_type: unknown.clone(),
            region: cluster.region.clone(),
        });
    }
    let Some(launched) = group.machine_types() else { return Ok(()) };
    let here: BTreeSet<&String> = launched.iter().filter_map(|kind| offered.get(*kind)).flatten().collect();
    let (with, without): (BTreeSet<String>, BTreeSet<String>) =
        group.subnets().iter().map(|subnet| subnet.zone.clone()).partition(|zone| here.contains(zone));
    if without.is_empty() {
        return Ok(());
    }
    Err(FactsError::NotOffered {
        group: group.name.clone(),
        machine_type: launched.into_iter().map(String::as_str).collect::<Vec<_>>().join("`, `"),
        missing: without.into_iter().collect(),
        offered: with.into_iter().collect(),
    })
}

/// The machine types that a group names.
fn named_types(group: &InstanceGroup) -> impl Iterator<Item = &String> {
    std::iter::once(&group.machine_type).chain(group.machine_types().unwrap_or_default())
}
