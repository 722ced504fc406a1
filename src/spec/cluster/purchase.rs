//! How a group's instances are bought.

use serde::Serialize;

use super::{MixedInstances, SpotPrice};

/// How a group's instances are bought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Purchase {
    /// On demand.
    #[default]
    OnDemand,
    /// From what EC2 has to spare, which it takes back when it needs it, for at most this price.
    Spot(SpotPrice),
    /// Of several machine types, on demand and spot.
    Mixed(Box<MixedInstances>),
}

impl Purchase {
    pub(super) fn is_on_demand(&self) -> bool {
        *self == Self::OnDemand
    }

    /// The most that is paid where all instances are spot instances.
    pub fn spot(&self) -> Option<&SpotPrice> {
        match self {
            Self::Spot(price) => Some(price),
            Self::OnDemand | Self::Mixed(_) => None,
        }
    }

    /// Several machine types.
    pub fn mixed(&self) -> Option<&MixedInstances> {
        match self {
            Self::Mixed(mixed) => Some(mixed),
            Self::OnDemand | Self::Spot(_) => None,
        }
    }
}
