//! Groups of several machine types, on demand and spot.

use aws_sdk_autoscaling::types::{
    AutoScalingGroup as Answer, InstanceRequirements, InstancesDistribution, LaunchTemplate,
    LaunchTemplateOverrides, LaunchTemplateSpecification, MemoryMiBRequest, MixedInstancesPolicy,
    VCpuCountRequest,
};

use crate::cloud::ebs::{to_i32, to_u32};
use crate::cloud::fields::Fields;
use crate::spec::cluster::{MachineRequirements, MachineTypes, MixedInstances, Range, SpotPrice};

/// The strategy that has a number of pools.
const LOWEST_PRICE: &str = "lowest-price";

/// What Auto Scaling takes for what isn't said (Auto Scaling API, `InstancesDistribution`).
const PERCENT_ON_DEMAND: u32 = 100;
const POOLS: u32 = 2;

/// The policy. What there was before is taken back by name: an update leaves alone what it doesn't mention.
pub(super) fn request(
    mixed: &MixedInstances,
    before: Option<&MixedInstances>,
    template: LaunchTemplateSpecification,
) -> MixedInstancesPolicy {
    let pools_before = before.and_then(|before| before.spot_pools);
    let distribution = InstancesDistribution::builder()
        .on_demand_base_capacity(to_i32(mixed.on_demand_base))
        .on_demand_percentage_above_base_capacity(to_i32(mixed.on_demand_percent))
        .on_demand_allocation_strategy(&mixed.on_demand_allocation)
        .spot_allocation_strategy(&mixed.spot_allocation)
        .set_spot_instance_pools(mixed.spot_pools.or(pools_before.map(|_| 0)).map(to_i32))
        .spot_max_price(mixed.spot_price.as_ref().map_or("", SpotPrice::as_str));
    let launched = LaunchTemplate::builder()
        .launch_template_specification(template)
        .set_overrides(Some(overrides(&mixed.types)));
    MixedInstancesPolicy::builder()
        .instances_distribution(distribution.build())
        .launch_template(launched.build())
        .build()
}

fn overrides(types: &MachineTypes) -> Vec<LaunchTemplateOverrides> {
    let empty = LaunchTemplateOverrides::builder;
    match types {
        MachineTypes::These(types) => types.iter().map(|kind| empty().instance_type(kind).build()).collect(),
        MachineTypes::With(wanted) => vec![empty().instance_requirements(requirements(wanted)).build()],
    }
}

fn requirements(wanted: &MachineRequirements) -> InstanceRequirements {
    let MachineRequirements { cpus, memory, excluded } = wanted;
    let excluded = (!excluded.is_empty()).then(|| excluded.iter().cloned().collect());
    let cpus = VCpuCountRequest::builder().min(to_i32(cpus.min)).set_max(cpus.max.map(to_i32));
    let memory = MemoryMiBRequest::builder().min(to_i32(memory.min)).set_max(memory.max.map(to_i32));
    InstanceRequirements::builder()
        .v_cpu_count(cpus.build())
        .memory_mib(memory.build())
        .set_excluded_instance_types(excluded)
        .build()
}

/// Which template a group launches from, whether it mixes machine types or not.
pub(super) fn template(group: &Answer) -> Option<&LaunchTemplateSpecification> {
    let mixed = || group.mixed_instances_policy()?.launch_template()?.launch_template_specification();
    group.launch_template().or_else(mixed)
}

pub(super) fn read(group: &Answer) -> Option<MixedInstances> {
    let policy = group.mixed_instances_policy()?;
    let distribution = policy.instances_distribution();
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    let spot_allocation = text(distribution.and_then(InstancesDistribution::spot_allocation_strategy));
    let pools = to_u32(distribution.and_then(InstancesDistribution::spot_instance_pools)).unwrap_or(POOLS);
    let base = distribution.and_then(InstancesDistribution::on_demand_base_capacity);
    let percent = distribution.and_then(InstancesDistribution::on_demand_percentage_above_base_capacity);
    Some(MixedInstances {
        types: read_types(policy.launch_template().map(LaunchTemplate::overrides).unwrap_or_default()),
        on_demand_base: to_u32(base).unwrap_or_default(),
        on_demand_percent: to_u32(percent).unwrap_or(PERCENT_ON_DEMAND),
        on_demand_allocation: text(
            distribution.and_then(InstancesDistribution::on_demand_allocation_strategy),
        ),
        spot_pools: (spot_allocation == LOWEST_PRICE).then_some(pools),
        spot_allocation,
        spot_price: distribution.and_then(InstancesDistribution::spot_max_price).and_then(SpotPrice::read),
    })
}

fn read_types(overrides: &[LaunchTemplateOverrides]) -> MachineTypes {
    if let [only] = overrides
        && let Some(requirements) = only.instance_requirements()
    {
        return MachineTypes::With(read_requirements(requirements));
    }
    MachineTypes::These(overrides.iter().map(read_type).collect())
}

/// A type; with whatever somebody gave it that windlass doesn't, so that it shows as a difference.
fn read_type(one: &LaunchTemplateOverrides) -> String {
    let kind = one.instance_type().unwrap_or("types by what they have").to_owned();
    let weighted = one.weighted_capacity().map(|weight| format!(" (weight {weight})"));
    let other = one.launch_template_specification().map(|_| " (of another launch template)".to_owned());
    [Some(kind), weighted, other].into_iter().flatten().collect()
}

fn read_requirements(requirements: &InstanceRequirements) -> MachineRequirements {
    let range =
        |min: Option<i32>, max: Option<i32>| Range { min: to_u32(min).unwrap_or_default(), max: to_u32(max) };
    let (cpus, memory) = (requirements.v_cpu_count(), requirements.memory_mib());
    MachineRequirements {
        cpus: cpus.map(|cpus| range(cpus.min(), cpus.max())).unwrap_or_default(),
        memory: memory.map(|memory| range(memory.min(), memory.max())).unwrap_or_default(),
        excluded: requirements.excluded_instance_types().iter().cloned().collect(),
    }
}

/// Shows it.
pub(super) fn add_fields(fields: Fields, mixed: Option<&MixedInstances>) -> Fields {
    let Some(mixed) = mixed else { return fields };
    let fields = match &mixed.types {
        MachineTypes::These(types) => fields.one("machineTypes", types.join(", ")),
        MachineTypes::With(MachineRequirements { cpus, memory, excluded }) => fields
            .one("machineTypes.cpus", cpus)
            .one("machineTypes.memoryMiB", memory)
            .set("machineTypes.excluded", excluded),
    };
    fields
        .one("onDemand.base", mixed.on_demand_base)
        .one("onDemand.percentAboveBase", mixed.on_demand_percent)
        .one("onDemand.allocation", &mixed.on_demand_allocation)
        .one("spot.allocation", &mixed.spot_allocation)
        .maybe("spot.pools", mixed.spot_pools)
        .maybe("spot.maxPrice", mixed.spot_price.as_ref())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn mixed(types: MachineTypes) -> MixedInstances {
        MixedInstances {
            types,
            on_demand_base: 1,
            on_demand_percent: 0,
            on_demand_allocation: "prioritized".to_owned(),
            spot_allocation: LOWEST_PRICE.to_owned(),
            spot_pools: Some(3),
            spot_price: SpotPrice::read("0.05"),
        }
    }

    fn read_back(mixed: &MixedInstances) -> Option<MixedInstances> {
        let template = LaunchTemplateSpecification::builder().build();
        read(&Answer::builder().mixed_instances_policy(request(mixed, None, template)).build())
    }

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        let these = mixed(MachineTypes::These(vec!["m5.large".to_owned(), "m6i.large".to_owned()]));
        assert_eq!(read_back(&these), Some(these));
        let with = mixed(MachineTypes::With(MachineRequirements {
            cpus: Range { min: 2, max: Some(4) },
            memory: Range { min: 4096, max: None },
            excluded: BTreeSet::from(["t2.*".to_owned()]),
        }));
        assert_eq!(read_back(&with), Some(with));
        assert_eq!(read(&Answer::builder().build()), None);
    }

    #[test]
    fn pools_and_a_price_that_are_not_wanted_any_more_are_taken_back_by_name() {
        let before = mixed(MachineTypes::These(vec!["m5.large".to_owned()]));
        let after = MixedInstances {
            spot_allocation: "capacity-optimized".to_owned(),
            spot_pools: None,
            spot_price: None,
            ..before.clone()
        };
        let template = LaunchTemplateSpecification::builder().build();
        let asked = request(&after, Some(&before), template.clone());
        let distribution = asked.instances_distribution().unwrap();
        assert_eq!((distribution.spot_instance_pools(), distribution.spot_max_price()), (Some(0), Some("")));
        let asked = request(&after, Some(&after), template);
        assert_eq!(asked.instances_distribution().unwrap().spot_instance_pools(), None);
        assert_eq!(read_back(&after), Some(after));
    }

    #[test]
    fn what_somebody_gave_a_type_shows() {
        let weighted = LaunchTemplateOverrides::builder().instance_type("m5.large").weighted_capacity("2");
        let read = read_types(&[weighted.build()]);
        assert_eq!(read, MachineTypes::These(vec!["m5.large (weight 2)".to_owned()]));
    }
}
