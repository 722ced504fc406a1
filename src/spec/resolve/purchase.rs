//! How a group's instances are bought.

use super::{Report, Resolved};
use crate::spec::cluster::{Purchase, SpotPrice};
use crate::spec::problem::Problem;
use crate::spec::v1alpha2::InstanceGroupSpec;

pub(super) fn purchase(spec: &InstanceGroupSpec, report: &mut Report<'_>) -> Resolved<Purchase> {
    Ok(spot_price(spec, report)?.map_or(Purchase::OnDemand, Purchase::Spot))
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
