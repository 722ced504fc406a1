//! Groups whose instances are of several machine types, on demand and spot.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::SpotPrice;

/// Of which types the instances of a group are, and how many of them are bought how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MixedInstances {
    /// Of which types they are.
    pub types: MachineTypes,
    /// How many instances are on demand before any is spot.
    pub on_demand_base: u32,
    /// The percentage of instances on demand beyond that.
    pub on_demand_percent: u32,
    /// How types are chosen on demand, as Auto Scaling spells it.
    pub on_demand_allocation: String,
    /// How types are chosen for spot instances, as Auto Scaling spells it.
    pub spot_allocation: String,
    /// From how many of the cheapest pools they are taken, where the cheapest are chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_pools: Option<u32>,
    /// The most that is paid for one; the price on demand when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_price: Option<SpotPrice>,
}

/// The machine types of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MachineTypes {
    /// These, the preferred first.
    These(Vec<String>),
    /// All that have this.
    With(MachineRequirements),
}

/// What machine types must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineRequirements {
    /// CPUs.
    pub cpus: Range,
    /// Memory, in MiB.
    pub memory: Range,
    /// Types that are left out, in which `*` stands for anything.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub excluded: BTreeSet<String>,
}

/// A range of numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Range {
    /// At least.
    pub min: u32,
    /// At most; without an end when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

impl fmt::Display for Range {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.max {
            Some(max) => write!(formatter, "{} to {max}", self.min),
            None => write!(formatter, "{} or more", self.min),
        }
    }
}
