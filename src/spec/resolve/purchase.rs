//! How a group's instances are bought, and of which machine types.

use std::collections::BTreeSet;

use super::{Report, Resolved, all, text};
use crate::spec::cluster::{MachineRequirements, MachineTypes, MixedInstances, Purchase, Range, SpotPrice};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::{
    InstanceGroupSpec, InstanceRequirementsSpec, MinMaxSpec, MixedInstancesPolicySpec, Quantity,
};

pub(super) fn purchase(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<Purchase> {
    let price = spot_price(spec, report);
    match &spec.mixed_instances_policy {
        Some(policy) => Ok(Purchase::Mixed(Box::new(mixed(spec, policy, price, report)?))),
        None => Ok(price?.map_or(Purchase::OnDemand, Purchase::Spot)),
    }
}

fn spot_price(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<Option<SpotPrice>> {
    let Some(written) = &spec.max_price else { return Ok(None) };
    report.read("spec.maxPrice", written, price).map(Some)
}

fn price(text: &str) -> Result<SpotPrice, Problem> {
    SpotPrice::read(text).ok_or_else(|| {
        Problem::at("", format!("`{text}` is not a price that EC2 takes"))
            .hint("write dollars an hour, such as `0.05`: at least `0.001`")
    })
}

const POLICY: &str = "spec.mixedInstancesPolicy";

/// The strategies by which Auto Scaling chooses among types (Auto Scaling API, `InstancesDistribution`): those for
/// requirements have no order of types to go by.
const LOWEST_PRICE: &str = "lowest-price";
const ON_DEMAND: [&str; 2] = ["prioritized", LOWEST_PRICE];
const ON_DEMAND_BY_REQUIREMENTS: [&str; 1] = [LOWEST_PRICE];
const SPOT: [&str; 4] =
    [LOWEST_PRICE, "capacity-optimized", "capacity-optimized-prioritized", "price-capacity-optimized"];
const SPOT_BY_REQUIREMENTS: [&str; 3] = [LOWEST_PRICE, "capacity-optimized", "price-capacity-optimized"];

fn mixed(
    spec: &InstanceGroupSpec,
    policy: &MixedInstancesPolicySpec,
    price: Resolved<Option<SpotPrice>>,
    report: &mut Report<'_>,
) -> Resolved<MixedInstances> {
    let types = types(spec, policy, report);
    let (base, percent) = (on_demand_base(spec, policy, report), on_demand_percent(policy, report));
    let by_requirements = policy.instance_requirements.is_some();
    let on_demand: &[&str] = if by_requirements { &ON_DEMAND_BY_REQUIREMENTS } else { &ON_DEMAND };
    let spot: &[&str] = if by_requirements { &SPOT_BY_REQUIREMENTS } else { &SPOT };
    let on_demand = strategy(
        "onDemandAllocationStrategy",
        policy.on_demand_allocation_strategy.as_deref(),
        on_demand,
        report,
    );
    let spot = strategy("spotAllocationStrategy", policy.spot_allocation_strategy.as_deref(), spot, report);
    let pools = spot.and_then(|spot| spot_pools(policy, spot == LOWEST_PRICE, report));
    Ok(MixedInstances {
        types: types?,
        on_demand_base: base?,
        on_demand_percent: percent?,
        on_demand_allocation: on_demand?.to_owned(),
        spot_allocation: spot?.to_owned(),
        spot_pools: pools?,
        spot_price: price?,
    })
}

/// The strategy that is written; the first, which is Auto Scaling's own default, where none is.
fn strategy<'s>(
    field: &str,
    written: Option<&str>,
    known: &[&'s str],
    report: &mut Report<'_>,
) -> Resolved<&'s str> {
    let Some(written) = written else { return Ok(known[0]) };
    known.iter().find(|strategy| **strategy == written).copied().ok_or_else(|| {
        let message = format!("`{written}` is not a strategy that Auto Scaling has here");
        let hint = format!("write {}", known.join(" or "));
        report.push(Problem::at(format!("{POLICY}.{field}"), message).hint(hint))
    })
}

/// How many types Auto Scaling takes (Auto Scaling User Guide, "Auto Scaling groups with multiple instance types").
const MOST_TYPES: usize = 40;

/// Without types, those of the group's machine type.
fn types(
    spec: &InstanceGroupSpec,
    policy: &MixedInstancesPolicySpec,
    report: &mut Report<'_>,
) -> Resolved<MachineTypes> {
    let path = format!("{POLICY}.instances");
    let written = policy.instances.as_deref().unwrap_or_default();
    if let Some(requirements) = &policy.instance_requirements {
        if !written.is_empty() {
            let problem =
                Problem::at(path, "types are listed here, and chosen by `instanceRequirements`, too");
            return Err(report.push(problem.hint("write one of the two")));
        }
        return self::requirements(requirements, report).map(MachineTypes::With);
    }
    if written.len() > MOST_TYPES {
        let message = format!("{} machine types are more than Auto Scaling takes", written.len());
        report.push(Problem::at(&path, message).hint(format!("at most {MOST_TYPES}")));
    }
    let mut seen = BTreeSet::new();
    let types = written.iter().enumerate().map(|(index, kind)| {
        let path = format!("{path}[{index}]");
        if !seen.insert(kind) {
            report.push(Problem::at(&path, format!("`{kind}` stands here twice")));
        }
        report.read(&path, kind, text::machine_type)
    });
    let types = all(types)?;
    let types = if types.is_empty() { spec.machine_type.clone().into_iter().collect() } else { types };
    Ok(MachineTypes::These(types))
}

fn requirements(
    written: &InstanceRequirementsSpec,
    report: &mut Report<'_>,
) -> Resolved<MachineRequirements> {
    let path = format!("{POLICY}.instanceRequirements");
    let cpus = range(&format!("{path}.cpu"), written.cpu.as_ref(), "4", |text, _| text.parse().ok(), report);
    let memory = range(&format!("{path}.memory"), written.memory.as_ref(), "4Gi", text::mebibytes, report);
    let excluded = written.excluded_instance_types.iter().flatten().enumerate().map(|(index, kind)| {
        report.read(&format!("{path}.excludedInstanceTypes[{index}]"), kind, excluded_type)
    });
    let excluded = all(excluded);
    Ok(MachineRequirements { cpus: cpus?, memory: memory?, excluded: excluded?.into_iter().collect() })
}

/// A range of numbers: nothing at least where it isn't said. What reads a number is told how to round it.
fn range(
    path: &str,
    written: Option<&MinMaxSpec>,
    example: &str,
    read: impl Fn(&str, text::Rounding) -> Option<u32>,
    report: &mut Report<'_>,
) -> Resolved<Range> {
    let mut bound = |name: &str, written: Option<&Quantity>, rounding: text::Rounding| {
        let Some(Quantity(text)) = written else { return Ok(None) };
        read(text, rounding).map(Some).ok_or_else(|| {
            let problem =
                Problem::at(format!("{path}.{name}"), format!("`{text}` is not a whole number of it"));
            report.push(problem.hint(format!("write it like `{example}`")))
        })
    };
    let min = bound("min", written.and_then(|range| range.min.as_ref()), text::Rounding::Up);
    let max = bound("max", written.and_then(|range| range.max.as_ref()), text::Rounding::Down);
    let (min, max) = (min?.unwrap_or_default(), max?);
    match max {
        Some(max) if max < min.max(1) => {
            let problem = Problem::at(format!("{path}.max"), "no machine type has so little");
            Err(report.push(problem.hint("write at least 1, and at least as much as `min`")))
        }
        _ => Ok(Range { min, max }),
    }
}

/// A machine type, or several by `*`.
fn excluded_type(text: &str) -> Result<String, Problem> {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".*-".contains(&byte);
    if (1..=30).contains(&text.len()) && text.bytes().all(known) {
        return Ok(text.to_owned());
    }
    Err(Problem::at("", format!("`{text}` names no machine types"))
        .hint("write it like `t2.micro` or `t2.*`"))
}

fn on_demand_base(
    spec: &InstanceGroupSpec,
    policy: &MixedInstancesPolicySpec,
    report: &mut Report<'_>,
) -> Resolved<u32> {
    let base = policy.on_demand_base.unwrap_or_default();
    match spec.max_size {
        Some(max) if base > max => {
            let message = format!("{base} is more than maxSize ({max})");
            let problem = Problem::at(format!("{POLICY}.onDemandBase"), message);
            Err(report.push(problem.hint("write less, or a larger maxSize")))
        }
        _ => Ok(base),
    }
}

fn on_demand_percent(policy: &MixedInstancesPolicySpec, report: &mut Report<'_>) -> Resolved<u32> {
    let percent = policy.on_demand_above_base.unwrap_or(100);
    if percent <= 100 {
        return Ok(percent);
    }
    let problem =
        Problem::at(format!("{POLICY}.onDemandAboveBase"), format!("{percent} is not a percentage"));
    Err(report.push(problem.hint("write 0 to 100")))
}

/// From how many pools spot instances come, where the cheapest ones are chosen: 1 to 20, and 2 where it isn't said.
fn spot_pools(
    policy: &MixedInstancesPolicySpec,
    cheapest: bool,
    report: &mut Report<'_>,
) -> Resolved<Option<u32>> {
    let path = format!("{POLICY}.spotInstancePools");
    match policy.spot_instance_pools {
        Some(_) if !cheapest => {
            let problem = Problem::at(path, "only the strategy `lowest-price` has pools");
            Err(report.push(problem.hint("leave it out")))
        }
        Some(pools) if !(1..=20).contains(&pools) => {
            let problem = Problem::at(path, format!("Auto Scaling takes no {pools} pools"));
            Err(report.push(problem.hint("write 1 to 20")))
        }
        None if !cheapest => Ok(None),
        pools => Ok(Some(pools.unwrap_or(2))),
    }
}
