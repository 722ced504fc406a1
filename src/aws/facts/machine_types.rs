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
    let wanted: BTreeSet<&String> = cluster.instance_groups.iter().map(|group| &group.machine_type).collect();
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
        check_cpu_credits(group, &types)?;
        check_machine_type(cluster, group, &architectures, &offered)?;
    }
    Ok(architectures)
}

/// Only burstable types take a credit specification: with it, an Auto Scaling group launches no instance of another type
/// (EC2 User Guide, "Burstable performance instances").
fn check_cpu_credits(group: &InstanceGroup, types: &[InstanceTypeInfo]) -> Result<(), FactsError> {
    let is_its = |kind: &&InstanceTypeInfo| {
        kind.instance_type().is_some_and(|name| name.as_str() == group.machine_type)
    };
    let burstable = types.iter().find(is_its).and_then(InstanceTypeInfo::burstable_performance_supported);
    if group.cpu_credits.is_some() && burstable == Some(false) {
        let (group, machine_type) = (group.name.clone(), group.machine_type.clone());
        return Err(FactsError::NotBurstable { group, machine_type });
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

fn check_machine_type(
    cluster: &Cluster,
    group: &InstanceGroup,
    architectures: &BTreeMap<String, Architecture>,
    offered: &BTreeMap<String, BTreeSet<String>>,
) -> Result<(), FactsError> {
    if !architectures.contains_key(&group.machine_type) {
        return Err(FactsError::MachineType {
            group: group.name.clone(),
            machine_type: group.machine_type.clone(),
            region: cluster.region.clone(),
        });
    }
    let here = offered.get(&group.machine_type).cloned().unwrap_or_default();
    let (with, without): (BTreeSet<String>, BTreeSet<String>) =
        group.subnets().iter().map(|subnet| subnet.zone.clone()).partition(|zone| here.contains(zone));
    if without.is_empty() {
        return Ok(());
    }
    Err(FactsError::NotOffered {
        group: group.name.clone(),
        machine_type: group.machine_type.clone(),
        missing: without.into_iter().collect(),
        offered: with.into_iter().collect(),
    })
}
